"""Slices: the same figures for each task, each band of length, and each further label the caller
gives.

To add a kind of slice that follows from what :class:`ScoredTraffic` holds, write a function and add
its line to ``SLICERS``. A kind that needs more (script of the text, source, conversation depth)
comes in as ``ScoredTraffic.labels``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from difficulty.evaluation.scored import ScoredTraffic
from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.records import Estimate

Slicer = Callable[[ScoredTraffic], Sequence[str | None]]

OTHER = "(other)"
NO_NAME = "(none)"
MOST_SLICES = 200
"""Slices of one kind; the smallest beyond them are judged together as ``(other)``."""
LEAST_REQUESTS = 50
LEAST_OUTCOMES = 10

_BANDS = (64, 256, 1024, 4096)
_BAND = re.compile(r"(\d+(?:\.\d+)?)(?:-\d|\+|$)")
_TOO_FEW = "too few to judge"


def by_task(scored: ScoredTraffic) -> Sequence[str | None]:
    """Return each request's task."""
    return scored.tasks


def by_tokens(scored: ScoredTraffic) -> Sequence[str | None]:
    """Return each request's band of length in tokens: 0-63, 64-255, 256-1023, 1024-4095, 4096+."""
    starts = (0, *_BANDS)
    names = [f"{low}-{high - 1}" for low, high in zip(starts, _BANDS, strict=False)] + [
        f"{_BANDS[-1]}+"
    ]
    if scored.n_tokens is None:
        return [None] * len(scored)
    return [names[band] for band in np.searchsorted(_BANDS, scored.n_tokens, side="right")]


SLICERS: dict[str, Slicer] = {"task": by_task, "tokens": by_tokens}


def slice_rows(scored: ScoredTraffic) -> dict[str, dict[str, IntArray]]:
    """Return, for each kind of slice, each slice's requests; largest slice first.

    Beside named requests, unnamed ones are the slice ``(none)``. A kind in which all requests are
    in one slice is left out: it would repeat the figures of all.
    """
    kinds = {kind: slicer(scored) for kind, slicer in SLICERS.items()} | dict(scored.labels)
    return {kind: _rows_by_name(names) for kind, names in kinds.items() if len(set(names)) > 1}


def too_small(n_requests: int, n_needed: int, n_not_needed: int) -> str:
    """Return why a slice is too small to judge, or an empty string.

    It needs 50 requests and, of those that needed the frontier model and of those that did not, 10
    each.
    """
    if n_requests < LEAST_REQUESTS:
        return f"{_TOO_FEW}: {n_requests} requests (about {LEAST_REQUESTS} are needed)"
    if min(n_needed, n_not_needed) < LEAST_OUTCOMES:
        return (
            f"{_TOO_FEW}: {n_needed} requests needed the frontier model, {n_not_needed} did not"
            f" ({LEAST_OUTCOMES} each are needed)"
        )
    return ""


def is_too_small(estimates: Mapping[str, Estimate]) -> bool:
    """Return whether the figures of a slice bear the mark of :func:`too_small`."""
    return any(estimate.note.startswith(_TOO_FEW) for estimate in estimates.values())


def in_order(
    parts: Sequence[tuple[str, Mapping[str, Estimate]]],
) -> list[tuple[str, Mapping[str, Estimate]]]:
    """Return slices that are all bands of a number, such as ``0.05-0.20`` or ``4096+``, from the
    lowest; others as they are.
    """
    starts = [_BAND.match(name) for name, _ in parts]
    if not all(starts):
        return list(parts)
    return [
        part
        for _, part in sorted(
            zip(starts, parts, strict=True), key=lambda pair: float(pair[0][1]) if pair[0] else 0.0
        )
    ]


def _rows_by_name(names: Sequence[str | None]) -> dict[str, IntArray]:
    """Return the requests of each name, most frequent name first."""
    filled = [NO_NAME if name is None else name for name in names]
    ranked = [
        name for name, _ in sorted(Counter(filled).items(), key=lambda item: (-item[1], item[0]))
    ]
    # A free-text column would else make a slice of every request.
    if len(ranked) > MOST_SLICES:
        ranked = [*ranked[: MOST_SLICES - 1], OTHER]
    code = {name: index for index, name in enumerate(ranked)}
    codes = np.array([code.get(name, len(ranked) - 1) for name in filled])
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(ranked)))
    return dict(zip(ranked, np.split(order, ends[:-1]), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A request that was routed wrongly: what the scorer said, and what happened."""

    id: str
    task: str | None
    score: float
    p_cheap_fails: float
    cheap_quality: float | None
    frontier_quality: float | None
    by_rule: bool
    """Whether a rule decided and not the score."""
    text: str | None = None
    """The request; ``None`` where texts are not shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistakes:
    """Both kinds of mistakes, the most confident first."""

    kept: tuple[Mistake, ...]
    """Kept on the cheap model although the frontier model was needed."""
    sent: tuple[Mistake, ...]
    """Sent to the frontier model although it was not."""
    n_kept: int
    """How many there are in all."""
    n_sent: int


def worst_mistakes(scored: ScoredTraffic, ids: Sequence[str], *, most: int = 10) -> Mistakes | None:
    """Return the mistakes of a routing; None without a threshold.

    Kept requests that needed the frontier model come with the lowest score first, sent requests
    that did not need it with the highest. Requests of which that is not known are in neither.

    Parameters
    ----------
    scored : ScoredTraffic
    ids : sequence of n str
        Id of each request.
    most : int
        Mistakes of each kind.
    """
    score, routes = scored.difficulty_score, scored.sent
    if routes is None:
        return None
    kept = np.flatnonzero((routes == 0.0) & (scored.needed == 1.0))
    sent = np.flatnonzero((routes == 1.0) & (scored.needed == 0.0))
    return Mistakes(
        kept=_listed(scored, ids, kept[np.argsort(score[kept], kind="stable")][:most]),
        sent=_listed(scored, ids, sent[np.argsort(-score[sent], kind="stable")][:most]),
        n_kept=len(kept),
        n_sent=len(sent),
    )


def _listed(scored: ScoredTraffic, ids: Sequence[str], rows: IntArray) -> tuple[Mistake, ...]:
    outcomes, p_cheap_fails = scored.outcomes, scored.p_cheap_fails
    assert p_cheap_fails is not None
    return tuple(
        Mistake(
            id=ids[row],
            task=scored.tasks[row],
            score=float(scored.difficulty_score[row]),
            p_cheap_fails=float(p_cheap_fails[row]),
            cheap_quality=_known(outcomes.cheap_quality, row),
            frontier_quality=_known(outcomes.frontier_quality, row),
            by_rule=not np.isnan(scored.by_rule[row]),
        )
        for row in rows
    )


def _known(values: FloatArray, row: int) -> float | None:
    return None if np.isnan(values[row]) else float(values[row])
