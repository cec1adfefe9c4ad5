"""What is said of why a request is decided as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from difficulty.form import Record
from difficulty.routes import Route

if TYPE_CHECKING:
    from difficulty.bundle.traffic_kinds import KindFigure
    from difficulty.runtime.decision import Decision

Lever = Literal[
    "threshold", "part", "parts", "task", "tokens", "familiarity", "session", "eligibility", "text"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartPush(Record):
    """A part of the text, and what it does to the score."""

    text: str
    """Its beginning, on one line."""
    start: int
    end: int
    """Where it stands in the text that the scorer reads, in code points."""
    message: int | None
    """Place of the message that it stands in; ``None`` for a lone text, or where it is not told."""
    score: float
    """``difficulty_score`` of the request without it."""
    push: float
    """The request's score minus that: above 0 it moves the request to the frontier model."""
    familiarity: float | None
    """Familiarity of the request without it."""
    route: Route
    """Where the request would go without it."""
    finest: bool
    """Whether none of its own parts were looked at: these parts, put together, are the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturePush(Record):
    """Something beside the words, and what it does to the score."""

    name: str
    """``task``, ``functions`` (all that is read of the offered ones), a number of the request, or
    ``length``: the score is that of the same text said twice.
    """
    value: str | float | None
    score: float
    """``difficulty_score`` with it unknown; for ``length`` with twice as much."""
    push: float
    """The request's score minus that."""
    route: Route


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarTraffic(Record):
    """A kind of training traffic that the request is near to, and what came of it."""

    cosine: float
    alike: bool
    """Whether the request lies as near as 95 of 100 of the kind's own requests."""
    requests: int
    groups: int
    share: float
    """Of the training traffic."""
    tasks: dict[str, float]
    script: str | None
    tokens: tuple[float, ...]
    """Tenth, median and ninetieth percentile."""
    cheap_quality: KindFigure | None
    frontier_quality: KindFigure | None
    gain: KindFigure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionChange(Record):
    """One thing that would change the route, all else being as it is."""

    by: Lever
    route: Route
    """The route then."""
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation(Record):
    """Why a request is decided as it is; it quotes the request."""

    decision: Decision
    difficulty_score: float | None
    """The scorer's own, also where a rule or the early graph decided; ``None``: none can be had."""
    familiarity: float | None
    parts: tuple[PartPush, ...]
    """In the order of the text, each before its own parts; empty where a rule decided."""
    features: tuple[FeaturePush, ...]
    nearest: tuple[SimilarTraffic, ...]
    changes: tuple[DecisionChange, ...]
    notes: tuple[str, ...]
    """What is to be known to read this, a sentence each."""

    @property
    def finest(self) -> tuple[PartPush, ...]:
        """The parts that make up the text, those that push most first."""
        parts = [part for part in self.parts if part.finest]
        return tuple(sorted(parts, key=lambda part: -abs(part.push)))
