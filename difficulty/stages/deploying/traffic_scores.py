"""What a scorer gives for traffic, and a check for its answers: on the path that requests take in
serving, each request and each answer read once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from difficulty.answers.answer import Answer
from difficulty.bundle import Bundle
from difficulty.conversation.request_numbers import read_numbers
from difficulty.engine.local_engine import LocalEngine
from difficulty.engine.threads import count_cores
from difficulty.evaluation.slices import joined_labels, message_labels
from difficulty.model.combination import Scores
from difficulty.needs.takers import plain_chars
from difficulty.runtime.answer_checker import AnswerChecker, AnswersRead, read_answers
from difficulty.runtime.scorer import EarlyScorer, Scorer
from difficulty.stages.bulk.block_graph import block_graph
from difficulty.text import TextView
from difficulty.tokens import Numbers, RequestTokenizer, TokenRows, lengths_of, pick
from difficulty.traffic.stored.text_columns import ASKED, asked_of, received
from difficulty.traffic.stored.tokenized import Tokenized
from difficulty.traffic.table import Traffic
from difficulty.training.reading import ReadCounts, Reading, reading_of

BLOCK_ROWS = 8_192
"""Requests that are read, sorted by length and scored together."""
_MANY_SCORED = 2_048
"""From so many on taking a graph apart takes less time than it saves."""
_MANY_ROWS = 32_768
"""From so many on other processes pay for their start."""
_MOST_WAITING = 3
_NAMES = (*ASKED, "task")

Row: TypeAlias = "tuple[list[dict[str, str]], str | None, list[Any] | None, str | None]"
"""Messages, task, offered tools and the cheap model's answer of a sample."""


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
    labels: dict[str, list[str | None]] | None = None
    """What slices the samples are in; ``None`` where not asked for."""
    chars: NDArray[np.int64] | None = None
    """What :func:`~difficulty.needs.takers.plain_chars` says of each; ``None``: not known."""

    def instead(self, scores: Scores | None) -> TrafficScores:
        """Return the same with other scores of the samples, if there are any; familiarity stays."""
        return self if scores is None else self._replace(outputs=self.outputs | scores.by_name())

    def beside(self, answers: Mapping[str, NDArray[np.floating]] | None) -> TrafficScores:
        """Return the same with what a check says of the answers, if there are any."""
        if answers is None or np.isnan(answers["answer_score"]).all():
            return self
        return self._replace(outputs=self.outputs | dict(answers))


class BlockRead(NamedTuple):
    """What is read of n requests and of the answers to them."""

    with_task: TokenRows
    """As the graph reads them: the task's id first where it is known."""
    tokens: Tokenized
    """Without that id, and with the counts."""
    knows_task: NDArray[np.bool_]
    chars: NDArray[np.int64]
    answers: AnswersRead | None
    """``None`` where nothing checks them."""
    labels: dict[str, list[str | None]] | None
    """What the messages say of slices; ``None`` where not asked for."""


class _Part(NamedTuple):
    outputs: dict[str, NDArray[np.floating]]
    totals: NDArray[np.int64]
    counts: ReadCounts
    readable: NDArray[np.bool_]
    knows_task: NDArray[np.bool_]
    chars: NDArray[np.int64]
    without_task: NDArray[np.float64] | None
    early: EarlyScores | None
    answers: dict[str, NDArray[np.float32]] | None
    labels: dict[str, list[str | None]] | None


def score_traffic(
    scorer: Scorer,
    traffic: Traffic,
    *,
    without_task: bool = False,
    early: EarlyScorer | None = None,
    checker: AnswerChecker | None = None,
    sliced: bool = False,
    progress: Callable[[int], None] | None = None,
) -> TrafficScores:
    """Score all samples; memory holds the text and the tokens of some thousand of them at a time.
    Many are read in other processes, one for each core; the numbers are the same.

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
    sliced : bool
        Look at the messages for the slices that an evaluation tells apart, too.
    progress : callable, optional
        Called with the number of samples scored so far.
    """
    wanted = Wanted(numbers=scorer.reads_numbers, answers=checker is not None, slices=sliced)
    again = without_task and bool(scorer.task_ids)
    parts: list[_Part] = []
    waiting: deque[Future[_Part]] = deque()
    # One thread scores, in order, while requests are read.
    with ThreadPoolExecutor(max_workers=1) as pool:
        for block in _read_blocks(scorer, traffic, wanted):
            waiting.append(pool.submit(_score, scorer, block, early, checker, without_task=again))
            # Reading runs ahead of scoring by a few parts only, so that memory stays bounded.
            if len(waiting) > _MOST_WAITING:
                parts.append(waiting.popleft().result())
                if progress:
                    progress(len(parts) * BLOCK_ROWS)
        parts += [part.result() for part in waiting]
    scores = _joined(scorer, parts)
    if not sliced:
        return scores
    labels = [part.labels for part in parts if part.labels is not None]
    return scores._replace(labels=joined_labels(traffic, labels))


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
    if n < _MANY_SCORED:
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


class Wanted(NamedTuple):
    """What is read of requests beside their ids."""

    numbers: bool
    """The numbers that ids cannot carry, as the graph reads them."""
    answers: bool = False
    """The answers to them."""
    slices: bool = False
    """What messages say of slices."""


class RequestReader:
    """Read what a scorer, and a check of answers, are asked about: what :meth:`Scorer.encode` gives
    for each request, in arrays.

    Parameters
    ----------
    view, tokenizer, task_ids
        Of the scorer.
    wanted : Wanted
    """

    def __init__(
        self,
        view: TextView,
        tokenizer: RequestTokenizer,
        task_ids: Mapping[str, int],
        wanted: Wanted,
    ) -> None:
        self.view, self.tokenizer, self.wanted = view, tokenizer, wanted
        self._firsts = {task: np.int32(number).tobytes() for task, number in task_ids.items()}

    def __call__(self, block: Sequence[Row]) -> BlockRead:
        """Return what is read of a block; of text of which the tokenizer keeps nothing, such as a
        lone zero-width space, no ids.
        """
        digest = self.tokenizer.digest
        packed: list[bytes] = []
        asked: list[bytes] = []
        numbers: dict[int, Numbers] = {}
        # Tokens in all, whether that is an estimate, and whether context alone was left out.
        said: list[tuple[int, bool, bool, bool]] = []
        for place, (messages, task, tools, _) in enumerate(block):
            view = self.view(messages)
            ids, total = self.tokenizer.pack(view.text)
            if not ids or not view.text.strip():
                packed.append(b"")
                asked.append(b"")
                said.append((0, False, False, False))
                continue
            first = None if task is None else self._firsts.get(task)
            packed.append(ids)
            asked.append(ids if first is None else first + ids)
            is_cut = view.truncated or total > self.tokenizer.max_tokens
            is_masked = view.masked_share > 0 and not is_cut
            said.append((view.whole(total), view.shortened, is_masked, first is not None))
            if self.wanted.numbers:
                found = read_numbers(messages, tools, view.question)
                if found is not None:
                    numbers[place] = found
        totals, shortened, masked, knows = (np.array(column) for column in zip(*said, strict=True))
        rows = TokenRows.packed(packed, digest, numbers)
        tokens = Tokenized(rows, totals.astype(np.int64), [None] * len(said), shortened, masked)
        with_task = TokenRows.packed(asked, digest, numbers)
        answers = self._read_answers(block) if self.wanted.answers else None
        labels = message_labels([row[0] for row in block]) if self.wanted.slices else None
        chars = np.array([plain_chars(row[0], row[2]) for row in block], np.int64)
        return BlockRead(with_task, tokens, knows, chars, answers, labels)

    def _read_answers(self, block: Sequence[Row]) -> AnswersRead:
        messages, tasks, tools, texts = zip(*block, strict=True)
        bodies = [
            {"messages": each, "tools": offered}
            for each, offered in zip(messages, tools, strict=True)
        ]
        return read_answers(self.view, self.tokenizer, bodies, [*map(_parsed, texts)], tasks)


def _read_blocks(scorer: Scorer, traffic: Traffic, wanted: Wanted) -> Iterator[BlockRead]:
    """Yield what is read of traffic: here, or in a process for each core where it is much."""
    names = [*_NAMES, *(["cheap_answer"] if wanted.answers else [])]
    blocks, tokenizer = traffic.sent(names, rows=BLOCK_ROWS), scorer.tokenizer
    if len(traffic) < _MANY_ROWS:
        own = RequestReader(scorer.view, tokenizer, scorer.task_ids, wanted)
        return map(partial(_read_sent, own), blocks)
    asked = tokenizer.tokenizer.to_str(), tokenizer.max_tokens
    work = partial(_open_reader, scorer.view, *asked, scorer.task_ids, wanted)
    return LocalEngine(processes=count_cores()).map_blocks(work, blocks)


def _open_reader(
    view: TextView, tokenizer: str, max_tokens: int, task_ids: Mapping[str, int], wanted: Wanted
) -> Callable[[bytes], BlockRead]:
    own = RequestTokenizer.from_text(tokenizer, max_tokens=max_tokens)
    return partial(_read_sent, RequestReader(view, own, task_ids, wanted))


def _read_sent(reader: RequestReader, sent: bytes) -> BlockRead:
    batch = received(sent)
    messages, tools = asked_of(batch)
    tasks, answers = batch.column("task").to_pylist(), [None] * len(batch)
    if "cheap_answer" in batch.column_names:
        answers = batch.column("cheap_answer").to_pylist()
    return reader([*zip(messages, tasks, tools, answers, strict=True)])


def answered_rows(traffic: Traffic) -> tuple[list[dict[str, Any]], list[Answer | None]]:
    """Return requests as bodies, and the cheap model's answers."""
    columns = (traffic.each_messages(), traffic.each_tools())
    bodies = [
        {"messages": messages, "tools": tools} for messages, tools in zip(*columns, strict=True)
    ]
    return bodies, [*map(_parsed, traffic.column("cheap_answer"))]


def _parsed(text: str | None) -> Answer | None:
    return None if text is None else Answer.parse(text)


def _score(
    scorer: Scorer,
    read: BlockRead,
    early: EarlyScorer | None,
    checker: AnswerChecker | None,
    *,
    without_task: bool,
) -> _Part:
    outputs: dict[str, Any] = dict(scorer.score_many(read.with_task))
    tokens, without = read.tokens, None
    if without_task:
        again = scorer.score_many(tokens.ids)["difficulty_score"]
        without = again.astype(np.float64)
    answers = None
    if checker and read.answers:
        answers = checker.score_read(read.answers, read.with_task, outputs)
    return _Part(
        outputs=outputs,
        totals=tokens.totals,
        counts=ReadCounts.of(tokens, scorer.tokenizer),
        readable=lengths_of(tokens.ids) > 0,
        knows_task=read.knows_task,
        chars=read.chars,
        without_task=without,
        early=_score_early(early, read) if early else None,
        answers=answers,
        labels=read.labels,
    )


def _score_early(early: EarlyScorer, read: BlockRead) -> EarlyScores:
    with_task = early.score_many(read.with_task).astype(np.float64)
    without_task, rows = with_task.copy(), np.flatnonzero(read.knows_task)
    without_task[rows] = early.score_many(pick(read.tokens.ids, rows))
    return EarlyScores(with_task, without_task)


def _joined(scorer: Scorer, parts: Sequence[_Part]) -> TrafficScores:
    totals, readable, knows_task, chars = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("totals", "readable", "knows_task", "chars")
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
        chars=chars,
    )
    if not answers:
        return scores
    return scores.beside(
        {name: np.concatenate([part[name] for part in answers]) for name in answers[0]}
    )
