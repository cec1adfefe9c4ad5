"""What an alarm says, and what a bundle promises that can be held against a log."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from difficulty.form import Record
from difficulty.text import quantity_text

CERTAIN = 1e12
"""Evidence is written up to here; beyond, and where something is read and not inferred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm(Record):
    """One thing that is watched: whether it moved, since when, how sure that is, what to do."""

    name: str
    subject: str
    """What moved, or stayed, for a sentence: "scores of requests"."""
    standing: bool
    since: date | None = None
    """The day on which the change began, as far as can be told."""
    crossed: date | None = None
    """The look at which the alarm rose."""
    evidence: float = 1.0
    """The most that was reached in the quarter: an e-value, at most 1e12."""
    threshold: float
    """Evidence at which it rises: 1 / (its part of the false-alarm rate)."""
    odds: str = ""
    """How sure, in words."""
    found: str = ""
    expected: str = ""
    cost: str | None = None
    usd_a_month: float | None = None
    answer: str = ""
    """The command that answers it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood(Record):
    """A day on which one group sent much more than any did in the reference."""

    day: date
    requests: int
    """Of the group."""
    share: float
    """Of the day's requests."""

    def __str__(self) -> str:
        return (
            f"{self.day}: one client or conversation sent"
            f" {quantity_text(self.requests, 'request')},"
            f" {self.share:.1%} of the day's. It counts as one in every alarm, so it is no drift of"
            " all traffic."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Promises(Record):
    """What the bundle's policy says of the traffic it is used on.

    Attributes
    ----------
    frontier_share : tuple of float, optional
        Low and high end of the expected share.
    risk, missed : float, optional
        Bound on the share of kept requests that the cheap model fails; that needed the frontier.
    quality : float, optional
        Low end of the expected quality.
    noticed : bool
        Whether failures that validation catches do not count.
    """

    frontier_share: tuple[float, float] | None = None
    risk: float | None = None
    missed: float | None = None
    quality: float | None = None
    noticed: bool = False

    @classmethod
    def of(
        cls, *, objective: str, expected: Mapping[str, Any], catch_rate: float | None = None
    ) -> Promises:
        """Read what ``policy.json`` has under ``chosen`` and ``fallback``.

        What cannot be read there is not promised.
        """
        name, _, level = objective.partition(",")[0].partition("=")
        bound = _number(level)
        if bound is None or not 0.0 < bound < 1.0:
            bound = None
        share = _ends(expected.get("frontier_share"))
        quality = _ends(expected.get("quality"))
        return cls(
            frontier_share=share,
            risk=bound if name == "risk" else None,
            missed=bound if name == "missed" else None,
            quality=quality[0] if quality else None,
            noticed=bool(catch_rate),
        )


def odds_in_words(evidence: float) -> str:
    """Return how sure an e-value makes, for people."""
    if evidence >= CERTAIN:
        return "as good as certain: quiet traffic would hardly ever look like this"
    if evidence < 2.0:
        return "nothing speaks for a change"
    return f"quiet traffic looks like this in fewer than 1 of {_rounded(evidence):,} quarters"


def capped(log_evidence: float) -> float:
    """Return an e-value of its logarithm, at most ``CERTAIN``."""
    return math.exp(min(log_evidence, math.log(CERTAIN)))


def _rounded(number: float) -> int:
    unit = int(10 ** max(0, math.floor(math.log10(number)) - 1))
    return math.floor(number / unit) * unit


def _ends(estimate: object) -> tuple[float, float] | None:
    if not isinstance(estimate, Mapping):
        return None
    value = _number(estimate.get("value"))
    low, high = (_number(estimate.get(end)) for end in ("low", "high"))
    if value is None:
        return None
    return (value if low is None else low, value if high is None else high)


def _number(value: object) -> float | None:
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
