"""``reference.json``: what the requests were like on which the bundle's probabilities were checked,
in counts, so that later traffic can be held against them. It holds none of the texts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from difficulty.errors import FieldError
from difficulty.form import SavedForm, Share, at_least, finite
from difficulty.text import quantity_text

MOST_POINTS = 20_000


@dataclass(frozen=True, kw_only=True)
class Agreement(SavedForm):
    """How far a probability was off where outcomes are known: predicted minus found."""

    n: Annotated[int, at_least(0)]
    mean: Annotated[float, finite]
    error: Annotated[float, at_least(0)]
    """Standard error of the mean, requests of a group drawn together."""

    @property
    def off(self) -> float:
        """How far the probability is to be reckoned off, chance included."""
        return math.hypot(self.mean, self.error)


@dataclass(frozen=True, kw_only=True)
class TrafficReference(SavedForm):
    """Requests that neither training nor a choice of thresholds has seen."""

    format: Annotated[int, at_least(1)]
    n: Annotated[int, at_least(1)]
    effective: Annotated[float, at_least(1)]
    """How many requests drawn one by one would say as much of which requests come."""
    scores: tuple[Share, ...]
    """``difficulty_score`` of each point that requests are about."""
    tokens: tuple[Annotated[float, at_least(0)], ...]
    counts: tuple[Annotated[int, at_least(1)], ...]
    """How many requests are about there."""
    familiarity: tuple[Share, ...] | None = None
    """``None`` where the scorer has none."""
    p_cheap_fails: Agreement | None = None
    p_frontier_fails: Agreement | None = None
    gap: Agreement | None = None
    """Of the difference of the two."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.format != 1:
            raise FieldError(
                f"must be 1: got {self.format}. Upgrade difficulty to read it", where=("format",)
            )
        n_points = len(self.scores)
        if not 0 < n_points <= MOST_POINTS:
            raise FieldError(
                f"must hold 1 to {MOST_POINTS:,} points: got {n_points:,}", where=("scores",)
            )
        for name in ("tokens", "counts", "familiarity"):
            values = getattr(self, name)
            if values is not None and len(values) != n_points:
                raise FieldError(
                    f"must have one entry for each of the {n_points:,} scores: got {len(values):,}",
                    where=(name,),
                )
        if sum(self.counts) != self.n:
            raise FieldError(
                f"must count {quantity_text(self.n, 'request')} in all: got {sum(self.counts):,}",
                where=("counts",),
            )
