"""An objective as the user writes it, the curve that it is sought on, and what choosing by it
gives.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from difficulty.errors import InvalidValueError, UnknownNameError
from difficulty.evaluation.frontiers import ThresholdSweep
from difficulty.plugins import resolve
from difficulty.thresholds import OBJECTIVES

_EXAMPLES = "For example: share=0.3 or quality=0.9, with options: risk=0.2,delta=0.05."


@dataclass(frozen=True, kw_only=True)
class PolicyCurve(ThresholdSweep):
    """Every operating point a threshold can reach, from the fewest requests on the frontier model
    to the most, with what an objective has to know of the search.
    """

    beside: int = 1
    """Curves on which a promise is tested, this one among them: its ``delta`` is for one of all."""


class Tested(NamedTuple):
    """What a promise was tested on."""

    claim: str
    """What holds, and how surely."""
    measures: tuple[str, ...]
    """What the outcomes were measured by."""
    n: int
    """Samples with a known outcome."""

    @property
    def sentence(self) -> str:
        """The promise: of what, of how many, measured how, and what breaks it."""
        more = f" and {len(self.measures) - 3} more" if len(self.measures) > 3 else ""
        return (
            f"{self.claim}, as measured by {' and '.join(self.measures[:3])}{more} on {self.n:,}"
            " samples; other traffic, other models or another way to measure make it void"
        )


class Choice(NamedTuple):
    """A threshold, and what is promised of it."""

    threshold: float
    guarantee: str | None = None
    """What holds for a finite number of samples, and with which confidence."""
    assumed: tuple[str, ...] = ()
    """What the guarantee rests on, a sentence each."""
    tested: Tested | None = None
    """What the guarantee says, in parts; ``None`` where an objective says it in its own words."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A named objective with its number and options."""

    name: str
    value: float
    options: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return ",".join(
            f"{name}={value:g}" for name, value in ((self.name, self.value), *self.options.items())
        )

    @property
    def promises(self) -> bool:
        """Whether what it finds holds with a stated confidence."""
        return self.delta is not None

    @property
    def delta(self) -> float | None:
        """The probability with which its promise may be broken; ``None`` where it promises
        nothing.
        """
        # By its signature, so that an objective of another package can promise too.
        own = inspect.signature(self._find).parameters.get("delta")
        return None if own is None else float(self.options.get("delta", own.default))

    def find(self, curve: PolicyCurve) -> Choice:
        """Return the choice on a curve.

        Raises
        ------
        NotAttainableError
            If no threshold meets it; the message names the nearest point.
        """
        options = dict(self.options)
        if self.delta is not None and curve.beside > 1:
            # Bonferroni: whichever of the curves is taken, its promise holds.
            options["delta"] = self.delta / curve.beside
        chosen = self._find(curve, self.value, **options)
        return chosen if isinstance(chosen, Choice) else Choice(chosen)

    @property
    def _find(self) -> Callable[..., float | Choice]:
        find: Callable[..., float | Choice] = resolve(self.name, OBJECTIVES, kind="objective")
        return find


def parse_objective(text: str) -> Objective:
    """Return the objective written as ``name=number``, for example ``share=0.3``, perhaps with
    options: ``risk=0.2,delta=0.05``.

    Raises
    ------
    InvalidValueError
        If it is not written so.
    UnknownNameError
        If there is no objective of that name, or it has no such option.
    """
    parts = [part.partition("=") for part in text.split(",")]
    name = parts[0][0].strip()
    # Without a number the name is not looked up: the refusal below says what is wrong first.
    if parts[0][1]:
        options = _options_of(resolve(name, OBJECTIVES, kind="objective"))
        for option, _, _ in parts[1:]:
            if option.strip() not in options:
                raise UnknownNameError(f"option of the objective {name}", option.strip(), options)
    try:
        numbers = [float(number) for _, _, number in parts]
    except ValueError:
        hint = _without_percent(text) or _EXAMPLES
        raise InvalidValueError(
            "objective", text, rule="be written as name=number", hint=hint
        ) from None
    return Objective(
        name,
        numbers[0],
        {
            option.strip(): number
            for (option, _, _), number in zip(parts[1:], numbers[1:], strict=True)
        },
    )


def _without_percent(text: str) -> str | None:
    """Return what was meant by a percentage, which is how people say a share."""
    name, _, number = text.partition("=")
    if not number.endswith("%"):
        return None
    try:
        return f"Shares are fractions: write {name.strip()}={float(number[:-1]) / 100:g}."
    except ValueError:
        return None


def _options_of(find: Callable[..., object]) -> list[str]:
    """Return the names of the options of an objective: its keyword-only parameters."""
    return [
        name
        for name, parameter in inspect.signature(find).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
