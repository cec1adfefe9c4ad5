"""Score traffic with a bundle's scorer, on the path that requests take in serving: one thread
tokenizes while another scores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import ScoringError
from difficulty.runtime.scorer import EarlyScorer, Encoded, Scorer
from difficulty.stages.reading import ReadCounts, Reading, reading_of_counts
from difficulty.traffic.table import Traffic

_CHUNK_ROWS = 8192
_MOST_WAITING = 3


class EarlyScores(NamedTuple):
    """What the graph of early exit gives for n samples, arrays of shape (n,)."""

    told: NDArray[np.float64]
    untold: NDArray[np.float64]
    """When tasks are not told."""
    informed: NDArray[np.bool_]
    """Whether the scorer knows the task."""
    readable: NDArray[np.bool_]
    """Whether there is text to score."""


class TrafficScores(NamedTuple):
    """What a bundle's scorer gives for n samples."""

    outputs: dict[str, NDArray[np.floating]]
    """Each output, shape (n,)."""
    totals: NDArray[np.int64]
    """Tokens of each request, shape (n,)."""
    reading: Reading
    """What the scorer could not read of them."""
    untold: dict[str, NDArray[np.float64]] | None
    """``difficulty_score`` when tasks are not told, by its name among the baselines; ``None`` where
    not asked for or no task is known.
    """
    early: EarlyScores | None = None
    """``None`` where not asked for."""


class _Part(NamedTuple):
    outputs: dict[str, NDArray[np.floating]]
    totals: NDArray[np.int64]
    counts: ReadCounts
    untold: NDArray[np.float64] | None
    early: EarlyScores | None


def score_traffic(
    scorer: Scorer,
    traffic: Traffic,
    *,
    without_task: bool = False,
    early: EarlyScorer | None = None,
    progress: Callable[[int], None] | None = None,
) -> TrafficScores:
    """Score all samples; memory holds the text and the tokens of some thousand of them at a time.

    Parameters
    ----------
    scorer : Scorer
    traffic : Traffic
        n samples, at least one.
    without_task : bool
        Score them again as if no task were told.
    early : EarlyScorer, optional
        The graph of early exit, to be asked about every sample too.
    progress : callable, optional
        Called with the number of samples scored so far.
    """
    requests = zip(traffic.each_messages(), traffic.tasks, strict=True)
    parts: list[_Part] = []
    waiting: deque[Future[_Part]] = deque()
    with ThreadPoolExecutor(max_workers=1) as pool:
        for encoded in _chunks(_encoded(scorer, messages, task) for messages, task in requests):
            waiting.append(
                pool.submit(
                    _scored,
                    scorer,
                    encoded,
                    early,
                    without_task=without_task and bool(scorer.task_ids),
                )
            )
            if len(waiting) > _MOST_WAITING:
                parts.append(waiting.popleft().result())
                if progress:
                    progress(len(parts) * _CHUNK_ROWS)
        parts += [one.result() for one in waiting]
    untold = [part.untold for part in parts if part.untold is not None]
    return TrafficScores(
        outputs={
            name: np.concatenate([part.outputs[name] for part in parts]) for name in scorer.outputs
        },
        totals=np.concatenate([part.totals for part in parts]),
        reading=reading_of_counts([part.counts for part in parts], scorer.tokenizer),
        untold={"without_task": np.concatenate(untold)} if untold else None,
        early=EarlyScores(
            *map(np.concatenate, zip(*(part.early for part in parts if part.early), strict=True))
        )
        if early
        else None,
    )


def _scored(
    scorer: Scorer, encoded: Sequence[Encoded], early: EarlyScorer | None, *, without_task: bool
) -> _Part:
    outputs: dict[str, Any] = dict(scorer.score_many([row.ids for row in encoded]))
    untold = (
        scorer.score_many([row.ids[row.with_task :] for row in encoded])["difficulty_score"]
        if without_task
        else None
    )
    return _Part(
        outputs=outputs,
        totals=np.array([row.tokens for row in encoded], dtype=np.int64),
        counts=ReadCounts.of(encoded, scorer.tokenizer),
        untold=None if untold is None else untold.astype(np.float64),
        early=_early(early, encoded) if early else None,
    )


def _early(early: EarlyScorer, encoded: Sequence[Encoded]) -> EarlyScores:
    told = early.score_many([row.ids for row in encoded]).astype(np.float64)
    informed = np.array([row.with_task for row in encoded], dtype=np.bool_)
    untold, rows = told.copy(), np.flatnonzero(informed).tolist()
    untold[rows] = early.score_many([encoded[row].ids[1:] for row in rows])
    return EarlyScores(
        told, untold, informed, np.array([bool(row.ids) for row in encoded], dtype=np.bool_)
    )


def _chunks(rows: Iterator[Encoded]) -> Iterator[list[Encoded]]:
    while chunk := list(islice(rows, _CHUNK_ROWS)):
        yield chunk


def _encoded(scorer: Scorer, messages: list[dict[str, str]], task: str | None) -> Encoded:
    """Return the token ids; none for text of which the tokenizer keeps nothing, such as a lone
    zero-width space.
    """
    try:
        return scorer.encode(messages, task)
    except ScoringError:
        return Encoded([], 0)
