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
from difficulty.model.combination import Scores
from difficulty.runtime.scorer import EarlyScorer, Encoded, Scorer
from difficulty.traffic.table import Tokenized, Traffic
from difficulty.training.reading import ReadCounts, Reading, reading_of

_CHUNK_ROWS = 8192
_MOST_WAITING = 3


class EarlyScores(NamedTuple):
    """What the graph of early exit gives for n samples, arrays of shape (n,)."""

    with_task: NDArray[np.float64]
    without_task: NDArray[np.float64]
    """As if no task were known."""


class TrafficScores(NamedTuple):
    """What a bundle's scorer gives for n samples; arrays of shape (n,)."""

    outputs: dict[str, NDArray[np.floating]]
    totals: NDArray[np.int64]
    """Tokens of each request."""
    reading: Reading
    """What the scorer could not read of them."""
    readable: NDArray[np.bool_]
    """Whether there is text to score."""
    knows_task: NDArray[np.bool_]
    """Whether the scorer knows the task."""
    without_task: NDArray[np.float64] | None
    """``difficulty_score`` as if no task were known; ``None`` where not asked for or no task is
    known.
    """
    early: EarlyScores | None = None
    """``None`` where not asked for."""

    def instead(self, scores: Scores | None) -> TrafficScores:
        """Return the same with other scores of the samples, if there are any; familiarity stays."""
        return self if scores is None else self._replace(outputs=self.outputs | scores.by_name())


class _Part(NamedTuple):
    outputs: dict[str, NDArray[np.floating]]
    totals: NDArray[np.int64]
    counts: ReadCounts
    readable: NDArray[np.bool_]
    knows_task: NDArray[np.bool_]
    without_task: NDArray[np.float64] | None
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
        Score them again as if no task were known.
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
            # Tokenizing runs ahead of scoring by a few parts only, so that memory stays bounded.
            if len(waiting) > _MOST_WAITING:
                parts.append(waiting.popleft().result())
                if progress:
                    progress(len(parts) * _CHUNK_ROWS)
        parts += [part.result() for part in waiting]
    totals, readable, knows_task = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("totals", "readable", "knows_task")
    )
    without = [part.without_task for part in parts if part.without_task is not None]
    of_early = [part.early for part in parts if part.early]
    return TrafficScores(
        outputs={
            name: np.concatenate([part.outputs[name] for part in parts]) for name in scorer.outputs
        },
        totals=totals,
        reading=reading_of(ReadCounts.joined([part.counts for part in parts]), scorer.tokenizer),
        readable=readable,
        knows_task=knows_task,
        without_task=np.concatenate(without) if without else None,
        early=EarlyScores(*map(np.concatenate, zip(*of_early, strict=True))) if early else None,
    )


def tokens_of(encoded: Sequence[Encoded]) -> Tokenized:
    """Return encoded requests without the id that tells the task."""
    return Tokenized(
        [row.ids[row.with_task :] for row in encoded],
        np.array([row.tokens for row in encoded], dtype=np.int64),
        [None] * len(encoded),
        np.array([row.estimated for row in encoded], dtype=bool),
    )


def _scored(
    scorer: Scorer, encoded: Sequence[Encoded], early: EarlyScorer | None, *, without_task: bool
) -> _Part:
    outputs: dict[str, Any] = dict(scorer.score_many([row.ids for row in encoded]))
    tokens = tokens_of(encoded)
    knows_task = np.array([row.with_task for row in encoded], dtype=np.bool_)
    without = scorer.score_many(tokens.ids)["difficulty_score"] if without_task else None
    return _Part(
        outputs=outputs,
        totals=tokens.totals,
        counts=ReadCounts.of(tokens, scorer.tokenizer),
        readable=np.array([bool(row) for row in tokens.ids], dtype=np.bool_),
        knows_task=knows_task,
        without_task=None if without is None else without.astype(np.float64),
        early=_early(early, encoded, knows_task) if early else None,
    )


def _early(
    early: EarlyScorer, encoded: Sequence[Encoded], knows_task: NDArray[np.bool_]
) -> EarlyScores:
    # The first id is the task's where the scorer knows it; without it the task is not known.
    with_task = early.score_many([row.ids for row in encoded]).astype(np.float64)
    without_task, rows = with_task.copy(), np.flatnonzero(knows_task).tolist()
    without_task[rows] = early.score_many([encoded[row].ids[1:] for row in rows])
    return EarlyScores(with_task, without_task)


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
