"""The ways to host the cheap model side by side: what each saves for a plan, and which the team's
answers exclude.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from difficulty.economics.hosting import Hosted, Load, hosted
from difficulty.economics.saving import Saving
from difficulty.economics.sections import SHAPES, Hosting, Shape
from difficulty.errors import InvalidValueError
from difficulty.metrics.arrays import FloatArray

Compliance = Literal["own-hardware", "own-cloud", "any"]
_ALLOWED: dict[Compliance, frozenset[Shape]] = {
    "own-hardware": frozenset({"own"}),
    "own-cloud": frozenset({"own", "cloud"}),
    "any": frozenset(SHAPES),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What only the team can say; ``None``: not said.

    Attributes
    ----------
    catch_rate : float or None
        Share of the cheap model's failures that validation catches, in [0, 1].
    latency_critical : bool or None
        Whether no request may wait for a cold start.
    compliance : {"own-hardware", "own-cloud", "any"} or None
        Where requests may be answered that the cheap model gets.
    max_quality_loss : float or None
        Fall of the mean quality over all requests that is tolerated, in [0, 1].
    """

    catch_rate: float | None = None
    latency_critical: bool | None = None
    compliance: Compliance | None = None
    max_quality_loss: float | None = None

    def __post_init__(self) -> None:
        for name in ("catch_rate", "max_quality_loss"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value <= 1.0:
                hint = "Shares and qualities are fractions, not percentages."
                raise InvalidValueError(
                    name.replace("_", " "), value, rule="be in [0, 1]", hint=hint
                )
        if self.compliance is not None and self.compliance not in get_args(Compliance):
            raise InvalidValueError(
                "compliance", self.compliance, rule=f"be one of {', '.join(get_args(Compliance))}"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flow:
    """What a plan moves, whatever the hosting.

    Attributes
    ----------
    load : Load
        What the cheap model has to do.
    saved_per_request : ndarray of shape (1 + n_draws,)
        USD a request of the whole traffic that the frontier model costs less, after fallbacks, the
        scorer, and lost answers.
    fixed : float
        USD a month for the scorer.
    keep : float
        USD a month to keep it; NaN where unknown.
    """

    load: Load
    saved_per_request: FloatArray
    fixed: float
    keep: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Option:
    """A way to host, for a plan."""

    shape: Shape
    hosted: Hosted
    saving: Saving
    """Before the cost to keep it."""
    net: Saving
    """After it."""

    def pays(self, volume: FloatArray) -> bool:
        """Return whether it saves something at this volume; where that is unknown, whether it does
        at any.
        """
        break_even = float(self.net.break_even()[0])
        if np.isnan(volume[0]):
            return bool(np.isfinite(break_even))
        return bool(self.net.at(volume)[0] > 0.0)


def options_of(flow: Flow, hosting: Hosting, *, keep_warm: bool) -> dict[Shape, Option]:
    """Return every way to host that the price list has."""
    sections = {shape: getattr(hosting, shape) for shape in SHAPES}
    return {
        shape: _option(shape, flow, section, keep_warm=keep_warm)
        for shape, section in sections.items()
        if section is not None
    }


def barred_shapes(options: Mapping[Shape, Option], answers: Answers) -> dict[Shape, str]:
    """Return the ways to host that the answers exclude, and why."""
    barred: dict[Shape, str] = {}
    for shape, option in options.items():
        if answers.compliance and shape not in _ALLOWED[answers.compliance]:
            barred[shape] = f"compliance: requests may go to {answers.compliance} only"
        elif answers.latency_critical and option.hosted.cold_start_seconds > 0:
            barred[shape] = (
                f"latency: a cold start takes {option.hosted.cold_start_seconds:g} seconds"
            )
    return barred


def best_option(
    options: Mapping[Shape, Option], barred: Mapping[Shape, str], volume: FloatArray
) -> Option | None:
    """Return the option that saves most of those that are not barred, without a volume the one that
    breaks even first.

    The cost to keep it is the same for all and takes no part.
    """
    allowed = [option for shape, option in options.items() if shape not in barred]

    def worth(option: Option) -> float:
        value = (
            -float(option.saving.break_even()[0])
            if np.isnan(volume[0])
            else float(option.saving.at(volume)[0])
        )
        return -np.inf if np.isnan(value) else value

    return max(allowed, key=worth) if allowed else None


def _option(shape: Shape, flow: Flow, section: object, *, keep_warm: bool) -> Option:
    made = hosted(section, flow.load, keep_warm=keep_warm)
    cost = replace(made.cost, fixed=made.cost.fixed + flow.fixed)
    net = replace(cost, fixed=cost.fixed + flow.keep)
    return Option(
        shape=shape,
        hosted=made,
        saving=Saving(per_request=flow.saved_per_request, cost=cost),
        net=Saving(per_request=flow.saved_per_request, cost=net),
    )
