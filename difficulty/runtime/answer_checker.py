"""Verdicts on cheap answers: what the check reads, what its score means by the policy, and what
was counted.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.answers.answer import Answer, Asked
from difficulty.answers.facts import FACTS, read_facts
from difficulty.answers.shift import Shift, shift_of
from difficulty.bundle.policy import AnswerRule
from difficulty.bundle.store import ANSWER_GRAPH, Bundle
from difficulty.errors import BundleError, RequestError
from difficulty.request import Messages, Request
from difficulty.runtime.answers import (
    AnswerReason,
    AnswerScore,
    AnswerScorer,
    AnswerVerdict,
    AnswerWatch,
    FactMove,
)
from difficulty.runtime.scorer import Scorer, describe, kept
from difficulty.text import TextView, one_line
from difficulty.tokens import RequestTokenizer, TokenRows, lengths_of, pick

if TYPE_CHECKING:
    from difficulty.runtime.decision import Decision

logger = logging.getLogger("difficulty.runtime")

_MOST_LOOKED_AT = 2_000
"""Answers that are looked at for a shift: their means are known to a hundredth by then."""

Asking = Messages | Request | Mapping[str, Any]
"""A request whose answer is checked."""
Answering = Answer | str | Mapping[str, Any]
"""An answer that was read, its text, an assistant message, or a chat completion."""


@dataclass(frozen=True, slots=True, eq=False)
class AnswerInputs:
    """What the check reads of one answer."""

    ids: list[int]
    """Of the request, as the scorer reads it."""
    answer_ids: list[int]
    features: NDArray[np.float32]
    """The facts, then the request's ``p_cheap_fails`` and ``p_frontier_fails``: unknown until
    told.
    """

    def tell(self, p_cheap_fails: float | None, p_frontier_fails: float | None) -> None:
        """Fill in the request's probabilities."""
        for place, value in ((-2, p_cheap_fails), (-1, p_frontier_fails)):
            if value is not None:
                self.features[place] = value

    @property
    def facts(self) -> NDArray[np.float32]:
        """The facts, shape (len(FACTS),)."""
        return self.features[: len(FACTS)]

    @property
    def p_cheap_fails(self) -> float:
        """Of the request; ``nan`` where it is not known."""
        return float(self.features[-2])


class AnswersRead(NamedTuple):
    """What the check reads of m answers."""

    places: list[int]
    """Which of the requests they answer."""
    ids: TokenRows
    facts: NDArray[np.float32]
    """Shape (m, len(FACTS))."""


class AnswerChecker:
    """Check answers by a bundle; safe to use from several threads.

    ``check`` never fails a request: what cannot be checked passes or escalates as the policy says,
    and is counted.

    Parameters
    ----------
    graph : AnswerScorer
    scorer : Scorer
        Whose ids and probabilities the check reads.
    rule : AnswerRule or None
        ``None``: answers are scored, and none is escalated.
    version : str
        Of the bundle.
    """

    def __init__(
        self, graph: AnswerScorer, scorer: Scorer, rule: AnswerRule | None, *, version: str
    ) -> None:
        self.graph = graph
        self.scorer = scorer
        self.rule = rule
        self.version = version
        self.watch = AnswerWatch(graph, rule, version=version)

    @classmethod
    def from_bundle(
        cls, bundle: Bundle, scorer: Scorer, *, threads: int = 1
    ) -> AnswerChecker | None:
        """Build the check of a bundle that was read; ``None`` where it has none.

        Raises
        ------
        BundleError
            If the check does not fit this runtime, or cannot score a plain answer.
        """
        graph = AnswerScorer.from_bundle(bundle, threads=threads)
        if graph is None:
            return None
        checker = cls(graph, scorer, bundle.policy.answer, version=bundle.label)
        checker.warm_up()
        return checker

    def warm_up(self) -> None:
        """Check a plain answer of each of a few lengths.

        Raises
        ------
        BundleError
            If one cannot be checked.
        """
        asked, messages = read_asking("warm up", None)
        for text in ("", "warm up", "warm up " * 64):
            verdict = self.consider(asked, messages, text)
            if verdict.answer_score is None:
                raise BundleError(
                    f"{ANSWER_GRAPH} must score a plain answer: got {verdict.error}. Ship the"
                    " bundle again."
                )

    def check(
        self,
        asked: Asked,
        messages: Messages,
        answer: Answering,
        decision: Decision | None = None,
        *,
        advisory: bool = False,
    ) -> AnswerVerdict:
        """Return the verdict on an answer, and count it.

        Parameters
        ----------
        asked : Asked
        messages : str or sequence of mapping
            Of the request.
        answer : Answer, str or mapping
        decision : Decision, optional
            What was decided on the request: saves scoring it again.
        advisory : bool
            Whether the answer was sent already, so that the score is only for the log.
        """
        verdict, inputs = self._weigh(asked, messages, answer, decision, advisory=advisory)
        if inputs is not None:
            self.watch.add(inputs.facts, inputs.p_cheap_fails)
        return self._note(verdict)

    def consider(self, asked: Asked, messages: Messages, answer: Answering) -> AnswerVerdict:
        """Return the verdict without counting it: for tests of a bundle, not for traffic."""
        return self._weigh(asked, messages, answer, None, advisory=False)[0]

    def refuse(self, problem: str) -> AnswerVerdict:
        """Return the verdict on what the caller could not read, without counting it."""
        return self._judge(None, error=problem, advisory=False)

    def give_up(self, error: str, *, advisory: bool = False) -> AnswerVerdict:
        """Return the verdict on an answer that was not checked, for example because that took too
        long, and count it.
        """
        return self._note(self._judge(None, error=error, advisory=advisory))

    def leave(self, reason: AnswerReason) -> AnswerVerdict:
        """Return that an answer stays, whatever it says, without counting it."""
        rule = self.rule
        return AnswerVerdict(
            escalate=False,
            reason=reason,
            answer_score=None,
            p_answer_fails=None,
            threshold=rule.threshold if rule else None,
            bundle_version=self.version,
        )

    def read(self, asked: Asked, messages: Messages, answer: Answering) -> AnswerInputs:
        """Return what the check reads.

        Raises
        ------
        ScoringError
            If the request holds no text.
        """
        told = read_answer(answer)
        text = self.scorer.view.plain(told.as_text()).text
        features = np.full(len(FACTS) + 2, np.nan, dtype=np.float32)
        features[: len(FACTS)] = read_facts(asked, told)
        return AnswerInputs(
            self.scorer.encode(messages, asked.task, asked.tools).ids,
            self.scorer.tokenizer.encode(text).ids,
            features,
        )

    def score_many(
        self,
        requests: Sequence[Asking],
        answers: Sequence[Answering | None],
        tasks: Sequence[str | None] | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        """Return ``p_answer_fails`` and ``answer_score`` of n answers, arrays of shape (n,).

        Both are ``nan`` where there is no answer, or it cannot be checked. Nothing is counted.
        """
        read = read_answers(self.scorer.view, self.scorer.tokenizer, requests, answers, tasks)
        ids: list[list[int]] = [[] for _ in requests]
        for row in read.places:
            asked, messages = read_asking(requests[row], tasks[row] if tasks else None)
            try:
                ids[row] = self.scorer.encode(messages, asked.task, asked.tools).ids
            except BaseException as error:  # the tokenizer's panics are no Exceptions
                logger.debug("an answer was not scored: %s", describe(kept(error)))
        return self.score_read(read, ids, self.scorer.score_many(ids))

    def score_read(
        self,
        read: AnswersRead,
        ids: Sequence[Sequence[int]],
        scores: Mapping[str, NDArray[np.floating]],
    ) -> dict[str, NDArray[np.float32]]:
        """Return ``p_answer_fails`` and ``answer_score`` of answers that were read, arrays of shape
        (n,) for the n requests; ``nan`` where there is no answer, or none that can be checked.

        Parameters
        ----------
        read : AnswersRead
        ids : sequence of n sequences of int
            Of the requests, as the scorer reads them; without any no answer is checked.
        scores : mapping of str to ndarray of shape (n,)
            What the scorer gives for them.
        """
        results = {name: np.full(len(ids), np.nan, np.float32) for name in AnswerScore._fields}
        kept_ones = np.flatnonzero(lengths_of(ids)[read.places] > 0)
        if not len(kept_ones):
            return results
        rows = np.array(read.places, np.intp)[kept_ones]
        unknown = np.full(len(rows), np.nan, np.float32)
        told = [
            scores[name][rows] if name in scores else unknown
            for name in ("p_cheap_fails", "p_frontier_fails")
        ]
        features = np.column_stack([read.facts[kept_ones], *told]).astype(np.float32, copy=False)
        found = self.graph.score_many(pick(ids, rows), read.ids.at(kept_ones), features)
        for name, column in found.items():
            results[name][rows] = column
        return results

    def find_shift(
        self,
        requests: Sequence[Asking],
        answers: Sequence[Answering | None],
        tasks: Sequence[str | None] | None = None,
        p_cheap_fails: NDArray[np.floating] | None = None,
    ) -> Shift | None:
        """Return how far the facts of n answers are from those of training, of answers to requests
        of which the scorer says the like where ``p_cheap_fails`` of theirs, of shape (n,), is
        known; ``None`` where there are too few to say.
        """
        rows = looked_at(np.flatnonzero([answer is not None for answer in answers])).tolist()
        read = []
        for row in rows:
            asked, _ = read_asking(requests[row], tasks[row] if tasks else None)
            read.append(read_facts(asked, read_answer(answers[row] or "")))
        if not read:
            return None
        said = np.nan if p_cheap_fails is None else p_cheap_fails[rows]
        return shift_of(np.stack(read), self.graph.reference, said)

    def _weigh(
        self,
        asked: Asked,
        messages: Messages,
        answer: Answering,
        decision: Decision | None,
        *,
        advisory: bool,
    ) -> tuple[AnswerVerdict, AnswerInputs | None]:
        inputs = None
        try:
            inputs = self.read(asked, messages, answer)
            inputs.tell(*self._probabilities(inputs.ids, decision))
            score = self.graph.score(inputs.ids, inputs.answer_ids, inputs.features)
            moved = self.graph.find_moved(inputs.facts)
        except BaseException as error:  # the tokenizer's panics are no Exceptions
            return self._judge(None, error=describe(kept(error)), advisory=advisory), inputs
        return self._judge(score, moved, advisory=advisory), inputs

    def _probabilities(
        self, ids: list[int], decision: Decision | None
    ) -> tuple[float | None, float | None]:
        """Return ``p_cheap_fails`` and ``p_frontier_fails`` of a request."""
        # Those of another bundle, where one came in between, are others.
        if decision and decision.scored_by == "scorer" and decision.bundle_version == self.version:
            return decision.p_cheap_fails, decision.p_frontier_fails
        score = self.scorer.score_ids(ids)
        return score.p_cheap_fails, score.p_frontier_fails

    def _judge(
        self,
        score: AnswerScore | None,
        moved: tuple[FactMove, ...] = (),
        *,
        error: str | None = None,
        advisory: bool,
    ) -> AnswerVerdict:
        """Return what a score means by the policy."""
        rule, escalate = self.rule, False
        reason: AnswerReason
        if rule is None:
            reason = "no_check"
        elif advisory:
            reason = "advisory"
        elif self.watch.is_stale:
            reason = "stale"
        elif score is None:
            reason, escalate = "unknown", rule.on_unknown == "escalate"
        else:
            escalate = score.answer_score > rule.threshold
            reason = "above_threshold" if escalate else "within_threshold"
        return AnswerVerdict(
            escalate=escalate,
            reason=reason,
            answer_score=score.answer_score if score else None,
            p_answer_fails=score.p_answer_fails if score else None,
            threshold=rule.threshold if rule else None,
            moved=moved,
            bundle_version=self.version,
            error=error,
        )

    def _note(self, verdict: AnswerVerdict) -> AnswerVerdict:
        if verdict.error is not None:
            logger.warning("an answer was not checked: %s", one_line(verdict.error))
        return self.watch.note(verdict)


def read_answers(
    view: TextView,
    tokenizer: RequestTokenizer,
    requests: Sequence[Asking],
    answers: Sequence[Answering | None],
    tasks: Sequence[str | None] | None = None,
) -> AnswersRead:
    """Return what a check reads of n answers, but for what it reads of their requests; ``view`` and
    ``tokenizer`` are those of its scorer.
    """
    places, texts, facts = [], [], [np.zeros((0, len(FACTS)), np.float32)]
    for row, (request, answer) in enumerate(zip(requests, answers, strict=True)):
        if answer is None:
            continue
        try:
            asked, _ = read_asking(request, tasks[row] if tasks else None)
            told = read_answer(answer)
            packed, _ = tokenizer.pack(view.plain(told.as_text()).text)
            facts.append(read_facts(asked, told)[np.newaxis])
        except BaseException as error:  # the tokenizer's panics are no Exceptions
            logger.debug("an answer was not scored: %s", describe(kept(error)))
            continue
        places.append(row)
        texts.append(packed)
    return AnswersRead(places, TokenRows.packed(texts, tokenizer.digest), np.concatenate(facts))


def looked_at(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return every so many of the rows with answers, by which a shift is seen."""
    return rows[:: -(-len(rows) // _MOST_LOOKED_AT) or 1]


def no_verdict(version: str) -> AnswerVerdict:
    """Return the verdict of a bundle that has no check: every answer passes."""
    return AnswerVerdict(
        escalate=False,
        reason="no_check",
        answer_score=None,
        p_answer_fails=None,
        threshold=None,
        bundle_version=version,
    )


def read_asking(request: Asking, task: str | None) -> tuple[Asked, Messages]:
    """Return a request as checks of its answer need it, and its messages."""
    if isinstance(request, Request):
        form = {"messages": request.messages, "tools": request.tools}
        return Asked.of(form, task=task or request.task), request.messages
    if isinstance(request, Mapping):
        messages = request.get("messages")
        return Asked.of(request, task=task), [] if messages is None else messages
    return Asked.of({"messages": request}, task=task), request


def read_answer(answer: Answering) -> Answer:
    """Return an answer, whatever it came as.

    Raises
    ------
    RequestError
        If it is none of them.
    """
    if isinstance(answer, Answer):
        return answer
    if isinstance(answer, str):
        return Answer(answer)
    if not isinstance(answer, Mapping):
        raise RequestError("an answer", answer, rule="be a text or a message")
    return Answer.of(answer if "choices" in answer else {"choices": [{"message": answer}]})
