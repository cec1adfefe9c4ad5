"""What a scorer gives for traffic, and a check for its answers: on the path that requests take in
serving, each request and each answer read once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from itertools import chain, islice, repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.answers.answer import Answer
from difficulty.bundle import Bundle
from difficulty.conversation.request_numbers import read_numbers
from difficulty.model.combination import Scores
from difficulty.runtime.answer_checker import AnswerChecker, AnswersRead
from difficulty.runtime.scorer import EarlyScorer, Scorer
from difficulty.stages.bulk.block_graph import block_graph
from difficulty.tokens import Numbers, TokenRows
from difficulty.traffic.table import Tokenized, Traffic
from difficulty.training.reading import ReadCounts, Reading, reading_of

BLOCK_ROWS = 8_192
"""Requests that are read, sorted by length and scored together."""
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

    def beside(self, answers: Mapping[str, NDArray[np.floating]] | None) -> TrafficScores:
        """Return the same with what a check says of the answers, if there are any."""
        if answers is None or np.isnan(answers["answer_score"]).all():
            return self
        return self._replace(outputs=self.outputs | dict(answers))


class RequestsRead(NamedTuple):
    """What the scorer reads of n requests."""

    with_task: TokenRows
    """As the graph reads them: the task's id first where it is known."""
    tokens: Tokenized
    """Without that id, and with the counts."""
    knows_task: NDArray[np.bool_]


class _Part(NamedTuple):
    outputs: dict[str, NDArray[np.floating]]
    totals: NDArray[np.int64]
    counts: ReadCounts
    readable: NDArray[np.bool_]
    knows_task: NDArray[np.bool_]
    without_task: NDArray[np.float64] | None
    early: EarlyScores | None
    answers: dict[str, NDArray[np.float32]] | None


def score_traffic(
    scorer: Scorer,
    traffic: Traffic,
    *,
    without_task: bool = False,
    early: EarlyScorer | None = None,
    checker: AnswerChecker | None = None,
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
    checker : AnswerChecker, optional
        Checks the answers, where there are some: told of a request what the scorer gives here, as
        in a router.
    progress : callable, optional
        Called with the number of samples scored so far.
    """
    answered = chain.from_iterable(traffic.blocks("cheap_answer")) if checker else repeat(None)
    requests = zip(traffic.each_messages(), traffic.tasks, traffic.each_tools(), strict=True)
    again = without_task and bool(scorer.task_ids)
    parts: list[_Part] = []
    waiting: deque[Future[_Part]] = deque()
    # One thread scores, in order, while this one reads.
    with ThreadPoolExecutor(max_workers=1) as pool:
        for block in _blocks(zip(requests, answered, strict=False)):
            asked = [request for request, _ in block]
            read = read_requests(scorer, asked)
            answers = _read_answers(checker, block) if checker else None
            waiting.append(
                pool.submit(_score, scorer, read, early, checker, answers, without_task=again)
            )
            # Reading runs ahead of scoring by a few parts only, so that memory stays bounded.
            if len(waiting) > _MOST_WAITING:
                parts.append(waiting.popleft().result())
                if progress:
                    progress(len(parts) * BLOCK_ROWS)
        parts += [part.result() for part in waiting]
    return _joined(scorer, parts)


def quicker(scorer: Scorer, content: bytes, n: int) -> Scorer:
    """Return a scorer that gives n requests the same numbers in less time, where they are many; of
    few its graph would take longer to be taken apart.

    Parameters
    ----------
    scorer : Scorer
    content : bytes
        The file that its graph was read from.
    n : int
    """
    if n < BLOCK_ROWS:
        return scorer
    quick = copy(scorer)
    quick.graph = block_graph(scorer.graph, content, vocabulary=scorer.tokenizer.vocabulary_size)
    return quick


def quick_scorer(bundle: Bundle, n: int) -> Scorer:
    """Return the scorer of a checked bundle, for n requests."""
    return quicker(Scorer.from_bundle(bundle), bundle.files["scorer.onnx"], n)


def every_so_many(rows: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """Return at most so many of the rows, spread evenly; all of fewer."""
    return rows[:: -(-len(rows) // most) or 1]


def read_requests(
    scorer: Scorer, requests: Sequence[tuple[list[dict[str, str]], str | None, list[Any] | None]]
) -> RequestsRead:
    """Return what :meth:`Scorer.encode` gives for messages, task and tools of each request, in
    arrays; no ids for text of which the tokenizer keeps nothing, such as a lone zero-width space.
    """
    view_of, tokenizer, digest = scorer.view, scorer.tokenizer, scorer.tokenizer.digest
    firsts = {task: np.int32(number).tobytes() for task, number in scorer.task_ids.items()}
    packed: list[bytes] = []
    asked: list[bytes] = []
    numbers: dict[int, Numbers] = {}
    reads_numbers = scorer.reads_numbers
    # Tokens in all, whether that is an estimate, and whether context alone was left out.
    said: list[tuple[int, bool, bool, bool]] = []
    for place, (messages, task, tools) in enumerate(requests):
        view = view_of(messages)
        ids, total = tokenizer.pack(view.text)
        if not ids or not view.text.strip():
            packed.append(b"")
            asked.append(b"")
            said.append((0, False, False, False))
            continue
        first = None if task is None else firsts.get(task)
        packed.append(ids)
        asked.append(ids if first is None else first + ids)
        is_cut = view.truncated or total > tokenizer.max_tokens
        is_masked = view.masked_share > 0 and not is_cut
        said.append((view.whole(total), view.shortened, is_masked, first is not None))
        if reads_numbers and (found := read_numbers(messages, tools, view.question)) is not None:
            numbers[place] = found
    totals, shortened, masked, knows_task = (np.array(column) for column in zip(*said, strict=True))
    ids = TokenRows.packed(packed, digest, numbers)
    tokens = Tokenized(ids, totals.astype(np.int64), [None] * len(said), shortened, masked)
    return RequestsRead(TokenRows.packed(asked, digest, numbers), tokens, knows_task)


def answered_rows(traffic: Traffic) -> tuple[list[dict[str, Any]], list[Answer | None]]:
    """Return requests as bodies, and the cheap model's answers."""
    columns = (traffic.each_messages(), traffic.each_tools())
    bodies = [
        {"messages": messages, "tools": tools} for messages, tools in zip(*columns, strict=True)
    ]
    return bodies, [*map(_parsed, traffic.column("cheap_answer"))]


def _read_answers(checker: AnswerChecker, block: Sequence[Any]) -> AnswersRead:
    bodies = [{"messages": messages, "tools": tools} for (messages, _, tools), _ in block]
    answers = [_parsed(text) for _, text in block]
    return checker.read_many(bodies, answers, [task for (_, task, _), _ in block])


def _parsed(text: str | None) -> Answer | None:
    return None if text is None else Answer.parse(text)


def _blocks(rows: Iterable[Any]) -> Iterator[list[Any]]:
    each = iter(rows)
    while block := list(islice(each, BLOCK_ROWS)):
        yield block


def _score(
    scorer: Scorer,
    read: RequestsRead,
    early: EarlyScorer | None,
    checker: AnswerChecker | None,
    answers: AnswersRead | None,
    *,
    without_task: bool,
) -> _Part:
    outputs: dict[str, Any] = dict(scorer.score_many(read.with_task))
    tokens, without = read.tokens, None
    if without_task:
        again = scorer.score_many(tokens.ids)["difficulty_score"]
        without = again.astype(np.float64)
    found = None
    if checker and answers:
        found = checker.score_read(answers, read.with_task, outputs)
    return _Part(
        outputs=outputs,
        totals=tokens.totals,
        counts=ReadCounts.of(tokens, scorer.tokenizer),
        readable=np.diff(tokens.ids.ends) > 0,
        knows_task=read.knows_task,
        without_task=without,
        early=_score_early(early, read) if early else None,
        answers=found,
    )


def _score_early(early: EarlyScorer, read: RequestsRead) -> EarlyScores:
    with_task = early.score_many(read.with_task).astype(np.float64)
    without_task, rows = with_task.copy(), np.flatnonzero(read.knows_task)
    without_task[rows] = early.score_many(read.tokens.ids.at(rows))
    return EarlyScores(with_task, without_task)


def _joined(scorer: Scorer, parts: Sequence[_Part]) -> TrafficScores:
    totals, readable, knows_task = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("totals", "readable", "knows_task")
    )
    without = [part.without_task for part in parts if part.without_task is not None]
    early = [part.early for part in parts if part.early]
    answers = [part.answers for part in parts if part.answers]
    scores = TrafficScores(
        outputs={
            name: np.concatenate([part.outputs[name] for part in parts]) for name in scorer.outputs
        },
        totals=totals,
        reading=reading_of(ReadCounts.joined([part.counts for part in parts]), scorer.tokenizer),
        readable=readable,
        knows_task=knows_task,
        without_task=np.concatenate(without) if without else None,
        early=EarlyScores(*map(np.concatenate, zip(*early, strict=True))) if early else None,
    )
    if not answers:
        return scores
    return scores.beside(
        {name: np.concatenate([part[name] for part in answers]) for name in answers[0]}
    )
