"""The conditions under which routing does not pay, each checked against the traffic and the team's
answers.

A condition holds, or does not hold, where the whole 95 % interval says so; else it is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from difficulty.economics.basis import interval
from difficulty.economics.hosting import Hosted, Load, Saving, hosted
from difficulty.economics.prices import SHAPE_WORDS, SHAPES, Hosting, Shape
from difficulty.errors import InvalidValueError
from difficulty.form import Record
from difficulty.metrics.arrays import FloatArray

State = Literal["holds", "does not hold", "unknown"]
Compliance = Literal["own-hardware", "own-cloud", "any"]
# Rented GPUs are the team's own cloud; endpoints and aggregators are run by others.
_ALLOWED: dict[Compliance, frozenset[Shape]] = {
    "own-hardware": frozenset({"own"}),
    "own-cloud": frozenset({"own", "cloud"}),
    "any": frozenset(SHAPES),
}


@dataclass(frozen=True, slots=True)
class Condition(Record):
    """A condition under which routing does not pay."""

    name: str
    state: State
    text: str
    """What was found, with its numbers."""


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
        """Return whether it saves something at this volume; where unknown, at any."""
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
        # What cannot be worked out is no candidate, yet there may be nothing else.
        return -np.inf if np.isnan(value) else value

    return max(allowed, key=worth) if allowed else None


def _option(shape: Shape, flow: Flow, section: object, *, keep_warm: bool) -> Option:
    served = hosted(section, flow.load, keep_warm=keep_warm)
    cost = replace(served.cost, fixed=served.cost.fixed + flow.fixed)
    net = replace(cost, fixed=cost.fixed + flow.keep)
    return Option(
        shape=shape,
        hosted=served,
        saving=Saving(per_request=flow.saved_per_request, cost=cost),
        net=Saving(per_request=flow.saved_per_request, cost=net),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Premises:
    """What the conditions are checked on; arrays of shape (1 + n_draws,), NaN where unknown."""

    volume: FloatArray
    """Requests a month."""
    share: FloatArray
    """Share of the requests that is to be kept."""
    quality_loss: FloatArray
    """Fall of the mean quality over all requests."""
    gain_free_share: FloatArray
    """Share of the requests that the frontier model answers no better or, where its answers are
    unknown, that the cheap one passes.
    """
    gain_free_words: str
    """Which of the two it is."""
    options: Mapping[Shape, Option]
    """Ways to host, as the answers ask for."""
    relaxed: Mapping[Shape, Option]
    """The same if requests could wait for cold starts."""
    best: Option | None
    """The one that saves most."""

    def paying(self, options: Mapping[Shape, Option], barred: Mapping[Shape, str]) -> list[Shape]:
        """Return the ways to host that save something and are not barred."""
        return [
            shape
            for shape, option in options.items()
            if shape not in barred and option.pays(self.volume)
        ]


def check_conditions(facts: Premises, answers: Answers) -> tuple[Condition, ...]:
    """Return every condition, checked."""
    return (
        _low_volume(facts),
        _no_price_gap(facts),
        _hard_reasoning(facts),
        _cold_starts(facts, answers),
        _compliance(facts, answers),
        _quality_loss(facts, answers),
    )


def _low_volume(facts: Premises) -> Condition:
    """Too few requests to earn what it costs to keep."""
    if facts.best is None:
        return Condition(
            "low_volume", "unknown", "no way to host is left to work out a break-even for"
        )
    break_even, hosting = facts.best.net.break_even(), SHAPE_WORDS[facts.best.shape]
    # Where no volume pays it is not the volume that is too low.
    if np.isinf(break_even[0]):
        return Condition(
            "low_volume",
            "does not hold",
            f"no volume pays with {hosting}, so more would not help: see no_price_gap",
        )
    text = (
        f"{_count(facts.volume)} requests a month, break-even with {hosting} at"
        f" {_count(break_even)}"
    )
    return Condition("low_volume", _above(-facts.best.net.at(facts.volume), 0.0), text)


def _no_price_gap(facts: Premises) -> Condition:
    """The cheap model is not cheaper, whatever the volume."""
    if not facts.options:
        return Condition("no_price_gap", "unknown", "no way to host has a price")
    even = {shape: option.saving.break_even() for shape, option in facts.options.items()}
    if any(np.isnan(values[0]) for values in even.values()):
        return Condition("no_price_gap", "unknown", "prices or token counts are missing")
    paying = [shape for shape, values in even.items() if np.isfinite(values[0])]
    if not paying:
        return Condition(
            "no_price_gap", "holds", f"nothing is saved at any volume by: {_listed(list(even))}"
        )
    unsure = all(np.isinf(interval(even[shape])[1]) for shape in paying)
    text = f"with enough requests something is saved by: {_listed(paying)}"
    return Condition(
        "no_price_gap",
        "unknown" if unsure else "does not hold",
        text + (", though not in all draws" if unsure else ""),
    )


def _hard_reasoning(facts: Premises) -> Condition:
    """Too few requests that the cheap model answers as well."""
    easy = facts.gain_free_share
    if np.isnan(easy[0]):
        return Condition("hard_reasoning", "unknown", "outcomes are missing")
    text = (
        f"{_percent(easy)} of the requests {facts.gain_free_words},"
        f" {100.0 * facts.share[0]:.0f} % are to be kept"
    )
    return Condition("hard_reasoning", _above(facts.share - easy, 0.0), text)


def _cold_starts(facts: Premises, answers: Answers) -> Condition:
    """No request may wait, and keeping machines warm costs what would be saved."""
    waiting = {
        shape: option.hosted.cold_start_seconds
        # Those that are kept warm have no cold start to tell of.
        for shape, option in facts.relaxed.items()
        if option.hosted.cold_start_seconds > 0
    }
    waits = ", ".join(f"{shape} {seconds:g} s" for shape, seconds in waiting.items())
    if not waiting:
        return Condition(
            "cold_starts",
            "does not hold",
            "no way to host has cold starts, as the price list and the active hours say",
        )
    if answers.latency_critical is None:
        return Condition(
            "cold_starts",
            "unknown",
            f"cold starts: {waits}. Say whether requests can wait: --latency-critical or not",
        )
    if not answers.latency_critical:
        return Condition(
            "cold_starts", "does not hold", f"requests can wait for cold starts: {waits}"
        )
    strict, relaxed = (
        barred_shapes(facts.options, answers),
        # Without the demand for speed: what is asked is whether waiting would let anything pay.
        barred_shapes(facts.relaxed, Answers(compliance=answers.compliance)),
    )
    # A reason only where nothing pays while warm, and something would if requests could wait.
    reason = _is_reason(facts.paying(facts.options, strict), facts.paying(facts.relaxed, relaxed))
    warm = [
        f"{shape} ({option.hosted.warm_cost:,.0f} USD a month)"
        for shape, option in facts.options.items()
        if option.hosted.warm_cost > 0
    ]
    text = f"cold starts: {waits}. Kept warm in idle hours: {', '.join(warm) or 'none'}"
    return Condition("cold_starts", "holds" if reason else "does not hold", text)


def _compliance(facts: Premises, answers: Answers) -> Condition:
    """Where the data may go leaves no way to host that pays."""
    if answers.compliance is None:
        return Condition(
            "compliance",
            "unknown",
            "say where requests may go: --compliance own-hardware, own-cloud or any",
        )
    # Compliance alone: cold starts are a condition of their own.
    barred = barred_shapes(facts.options, Answers(compliance=answers.compliance))
    left = [shape for shape in facts.options if shape not in barred]
    text = (
        f"requests may go to: {answers.compliance}. Excluded: {_listed(list(barred))}; left with a"
        f" price: {_listed(left)}"
    )
    reason = not left or _is_reason(
        facts.paying(facts.options, barred), facts.paying(facts.options, {})
    )
    return Condition("compliance", "holds" if reason and barred else "does not hold", text)


def _quality_loss(facts: Premises, answers: Answers) -> Condition:
    """Quality falls by more than the team tolerates."""
    if np.isnan(facts.quality_loss[0]):
        return Condition(
            "quality_loss",
            "unknown",
            "how much quality is lost is unknown: outcomes of both models are missing",
        )
    text = f"mean quality falls by {_points(facts.quality_loss)}"
    if answers.max_quality_loss is None:
        return Condition(
            "quality_loss", "unknown", f"{text}; say what is tolerated: --max-quality-loss"
        )
    state = _above(facts.quality_loss, answers.max_quality_loss)
    return Condition("quality_loss", state, f"{text}; tolerated: {answers.max_quality_loss:g}")


def _is_reason(with_it: list[Shape], without_it: list[Shape]) -> bool:
    """Return whether a demand is why nothing pays."""
    return bool(without_it) and not with_it


def _above(drawn: FloatArray, bound: float) -> State:
    low, high = interval(drawn)
    if np.isnan(drawn[0]) or np.isnan(low):
        return "unknown"
    if low > bound:
        return "holds"
    return "does not hold" if high <= bound else "unknown"


def _listed(shapes: list[Shape]) -> str:
    return ", ".join(shapes) or "none"


def _count(drawn: FloatArray) -> str:
    return _with_ends(drawn, "{:,.0f}")


def _percent(drawn: FloatArray) -> str:
    text = _with_ends(100.0 * drawn, "{:.1f}")
    value, bracket, ends = text.partition(" (")
    return f"{value} %{bracket}{ends}"


def _points(drawn: FloatArray) -> str:
    return _with_ends(drawn, "{:.4f}")


def _with_ends(drawn: FloatArray, pattern: str) -> str:
    """Return ``value (low to high)``; no brackets for a number without a spread."""
    if np.isnan(drawn[0]):
        return "unknown"
    value, low, high = (pattern.format(number) for number in (drawn[0], *interval(drawn)))
    return value if low == high else f"{value} ({low} to {high})"
