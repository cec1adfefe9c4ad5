"""An objective as the user writes it, the curve that it is sought on, and what choosing by it
gives.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import InvalidValueError, UnknownNameError
from difficulty.evaluation.figures import Pair, columns_of
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.evaluation.tradeoff import thresholds_between
from difficulty.metrics.arrays import FloatArray, divide
from difficulty.plugins import resolve
from difficulty.thresholds import OBJECTIVES

_EXAMPLES = "For example: share=0.3 or quality=0.9, with options: risk=0.2,delta=0.05."


@dataclass(frozen=True, kw_only=True)
class PolicyCurve:
    """Every operating point a threshold can reach, from the fewest requests on the frontier model
    to the most.

    Attributes
    ----------
    traffic : ScoredTraffic
        What it is the curve of.
    thresholds : ndarray of shape (n_points,)
        Descending. Each lies between two neighbouring scores, so rounding in another runtime moves
        no request of this traffic.
    order : ndarray of int, shape (n_free,)
        Requests that the score decides, highest score first.
    ends : ndarray of int, shape (n_points,)
        How many of ``order`` each threshold sends.
    """

    traffic: ScoredTraffic
    thresholds: FloatArray
    order: NDArray[np.intp]
    ends: NDArray[np.intp]
    _figures: dict[str, FloatArray] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, traffic: ScoredTraffic) -> PolicyCurve:
        """Return the curve of scored traffic."""
        # Only rules settle a request here: thresholds of single tasks are what may be sought.
        free = np.flatnonzero(np.isnan(traffic.by_rule))
        order = free[np.argsort(-traffic.difficulty_score[free], kind="stable")]
        ranked = traffic.difficulty_score[order]
        # Equal scores move together, so a step ends where the score changes; -1 ends the last.
        last = np.flatnonzero(np.diff(ranked, append=-1.0))
        scores = ranked[last]
        # No threshold sends a score of 0.
        reachable = slice(None, -1 if len(scores) and scores[-1] <= 0.0 else None)
        ends = np.append(0, last + 1).astype(np.intp)
        return cls(
            traffic=traffic,
            thresholds=thresholds_between(scores)[reachable],
            order=order,
            ends=ends[reachable],
        )

    def figure(self, name: str) -> FloatArray:
        """Return a figure of :data:`difficulty.evaluation.figures.FIGURES` at each threshold, of
        shape (n_points,); NaN where it is undefined.
        """
        if name not in self._figures:
            columns = columns_of(self.traffic, [name])[name]
            pairs = zip(columns.kept, columns.sent, strict=True)
            above, below = (self._along(pair) for pair in pairs)
            total = self.traffic.outcomes.weight.sum()
            self._figures[name] = divide(above, below, total=total)
        return self._figures[name]

    def _along(self, pair: Pair) -> FloatArray:
        """Return, at each threshold, the weighted sum of what requests are, kept or sent."""
        kept, sent = (values * self.traffic.outcomes.weight for values in pair)
        start = np.where(self.traffic.by_rule == 1.0, sent, kept).sum()
        steps = np.append(0.0, np.cumsum((sent - kept)[self.order]))
        return np.asarray(start + steps[self.ends])


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
        chosen = self._find(curve, self.value, **self.options)
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
        raise InvalidValueError(
            "objective", text, rule="be written as name=number", hint=_EXAMPLES
        ) from None
    return Objective(
        name,
        numbers[0],
        {
            option.strip(): number
            for (option, _, _), number in zip(parts[1:], numbers[1:], strict=True)
        },
    )


def _options_of(find: Callable[..., object]) -> list[str]:
    """Return the names of the options of an objective: its keyword-only parameters."""
    return [
        name
        for name, parameter in inspect.signature(find).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
