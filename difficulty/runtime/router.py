"""The router: one decision a request, by the bundle's policy, and one verdict a cheap answer."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, overload

from difficulty.bundle import Bundle, Policy
from difficulty.bundle.store import Trust
from difficulty.bundle.trusted import read_trusted
from difficulty.errors import InvalidValueError, RequestError, ScoringError
from difficulty.needs import Needs
from difficulty.needs.takers import find_takers, is_plain, needs_of
from difficulty.request import Messages, Request, check_tokens, read_count
from difficulty.routes import Held
from difficulty.runtime.answer_checker import (
    AnswerChecker,
    Answering,
    Asking,
    no_verdict,
    read_asking,
)
from difficulty.runtime.answers import AnswerVerdict
from difficulty.runtime.decision import Decision, Look, build_decision
from difficulty.runtime.rule import (
    UNFAMILIAR,
    Ruling,
    after_scoring,
    before_scoring,
    threshold_of,
    without_check,
)
from difficulty.runtime.scorer import EarlyScorer, Score, Scorer, describe, exit_early, exits, kept
from difficulty.runtime.sticking import find_held, hold
from difficulty.text import one_line

if TYPE_CHECKING:
    from difficulty.bundle.traffic_kinds import TrafficKinds
    from difficulty.runtime.explaining import Explanation
    from difficulty.runtime.waiting import WaitingByLoop


logger = logging.getLogger("difficulty.runtime")

_MANY_UNASKED = 1_000
"""Requests after which a check that nobody asked is spoken of."""


class Router:
    """Decide between the cheap and the frontier model: ``Router("bundles/support-1")``, or
    :meth:`load` with a trust to check the signature by.

    ``decide`` always answers: a request that cannot be scored takes the route of the policy's
    ``on_error`` with reason ``scorer_error``, and is counted in ``scorer_errors``; so does one that
    neither model can take, with reason ``ineligible``, counted in ``untaken``. ``check`` always
    answers too: what cannot be checked passes or escalates as the policy says. Safe to use from
    several threads.

    Examples
    --------
    >>> router = Router.load("bundles/support-1")  # doctest: +SKIP
    >>> router.decide("What are your opening hours?", task="question answering").route  # doctest:
    +SKIP 'cheap'
    """

    @overload
    def __init__(self, scorer: str | Path) -> None: ...

    @overload
    def __init__(
        self,
        scorer: Scorer,
        policy: Policy,
        *,
        version: str,
        early: EarlyScorer | None = None,
        answers: AnswerChecker | None = None,
        kinds: TrafficKinds | None = None,
    ) -> None: ...

    def __init__(
        self,
        scorer: Scorer | str | Path,
        policy: Policy | None = None,
        *,
        version: str = "",
        early: EarlyScorer | None = None,
        answers: AnswerChecker | None = None,
        kinds: TrafficKinds | None = None,
    ) -> None:
        if isinstance(scorer, str | Path):
            # ``Router("bundles/support-1")``, as people write it before they have read of ``load``.
            self.__dict__.update(Router.load(scorer).__dict__)
            return
        if policy is None:
            raise InvalidValueError(
                "policy", policy, rule="come with a scorer", hint="Or pass a bundle's folder alone."
            )
        self.scorer = scorer
        self.policy = policy
        self.early = early
        self.answers = answers
        """The learned check of answers; ``None`` where the bundle has none."""
        self.kinds = kinds
        """Kinds of the training traffic; ``None`` where the bundle does not tell."""
        self._policy_unchecked = without_check(policy)
        self._exits = exits(policy) if early else None  # once: neither ever changes
        self.version = version
        self.scorer_errors = 0
        self.untaken = 0
        self._unasked = 0
        self._lock = threading.Lock()

    @classmethod
    def load(cls, path: str | Path, *, threads: int = 1, trust: Trust | None = None) -> Router:
        """Read and check a bundle and score requests of a few lengths, so that the first one pays
        for no warm-up.

        Parameters
        ----------
        path : str or Path
            Bundle folder, or its URL.
        threads : int
            Threads ONNX Runtime may use for one request.
        trust : Trust, optional
            Whose signature the bundle must bear; without it, signatures are not looked at.

        Raises
        ------
        BundleError
            If anything about the bundle is wrong, ``SignatureError`` if its signature is; nothing
            is built from a bundle that fails its checks.
        """
        return cls.from_bundle(read_trusted(path, trust), threads=threads)

    def __repr__(self) -> str:
        return f"Router({self.version})"

    @classmethod
    def from_bundle(cls, bundle: Bundle, *, threads: int = 1) -> Router:
        """Build the router of a bundle that is read already."""
        early = EarlyScorer.from_bundle(bundle, threads=threads)
        scorer = Scorer.from_bundle(bundle, threads=threads)
        scorer.warm_up()
        router = cls(
            scorer,
            bundle.policy,
            version=bundle.label,
            early=early,
            answers=AnswerChecker.from_bundle(bundle, scorer, threads=threads),
            kinds=bundle.kinds,
        )
        if early:
            router.consider(Request("warm up"))
        return router

    @property
    def current(self) -> Router:
        """The router itself; :class:`ReloadingRouter` has another one from time to time."""
        return self

    def decide(
        self,
        messages: Messages,
        task: str | None = None,
        *,
        tokens: int | None = None,
        tools: object = None,
        checked: bool = True,
        held: Held | None = None,
        needs: Needs | None = None,
    ) -> Decision:
        """Return the decision for one request.

        Parameters
        ----------
        messages : str or sequence of mapping
            OpenAI-style messages; a string is one user message.
        task : str, optional
            What kind of request it is, where the caller knows.
        tokens : int, optional
            The request's own token count, where the gateway has one; else the scorer's tokenizer
            counts.
        tools : optional
            The functions that the request offers, as ``tools`` of an OpenAI body. A bundle whose
            scorer was not trained on any decides as if there were none.
        checked : bool
            Whether the answer will be checked (:meth:`check`) before it is sent. A policy that
            decides by answers decides other requests by its ``request_threshold``.
        held : Held, optional
            The session that the request goes on with, and the route that it is on. A policy without
            ``stick`` decides as if there were none; what is malformed is none.
        needs : Needs, optional
            Of the whole body, ``Needs.of(body)``, or what the caller knows beside.
        """
        return self._note(
            self.consider(Request(messages, task, tokens, checked, tools, held, needs))
        )

    def decide_many(self, requests: Iterable[Request]) -> list[Decision]:
        """Return the decisions for many requests, in order; much faster than one at a time."""
        return [self._note(decision) for decision in self.consider_many(requests)]

    async def adecide(
        self,
        messages: Messages,
        task: str | None = None,
        *,
        tokens: int | None = None,
        tools: object = None,
        checked: bool = True,
        held: Held | None = None,
        needs: Needs | None = None,
    ) -> Decision:
        """Return the decision for one request without blocking the event loop; arguments as in
        :meth:`decide`.

        A thread decides. Requests that come while it is busy are decided together.
        """
        request = Request(messages, task, tokens, checked, tools, held, needs)
        try:
            return await self._waiting.ask(request)
        except (OSError, RuntimeError, ImportError) as error:
            # No file left to import asyncio's part from, no thread to be had: late is better than
            # not at all.
            logger.debug("no thread decides (%s), the event loop does", type(error).__name__)
            return self._note(self.consider(request))

    @cached_property
    def _waiting(self) -> WaitingByLoop[Request, Decision]:
        # Here for its asyncio: loaded already where somebody awaits, 30 ms for who never does.
        from difficulty.runtime.waiting import WaitingByLoop

        return WaitingByLoop(self.decide_many)

    def check(
        self,
        request: Asking,
        answer: Answering,
        decision: Decision | None = None,
        *,
        task: str | None = None,
        problem: str | None = None,
    ) -> AnswerVerdict:
        """Return whether the frontier model is to be asked too, given the cheap model's answer.

        Parameters
        ----------
        request : str, sequence of mapping, Request or mapping
            Messages, or the body of a chat completion request, which has its tools too.
        answer : Answer, str or mapping
            The text, an assistant message, or a chat completion.
        decision : Decision, optional
            What was decided on the request: saves scoring it again.
        task : str, optional
            As it was given to :meth:`decide`; default: the decision's.
        problem : str, optional
            Why the caller could not read them: nothing is known of that answer.
        """
        if self.answers is None:
            return no_verdict(self.version)
        if decision is not None and decision.can_take == "cheap":
            return self.answers.leave("ineligible")
        if problem is not None:
            return self.answers.give_up(problem)
        named = decision.task if task is None and decision else task
        try:
            asked, messages = read_asking(request, named)
        except BaseException as error:  # of a class of the caller's
            return self.answers.give_up(describe(kept(error)))
        return self.answers.check(asked, messages, answer, decision)

    async def acheck(
        self,
        request: Asking,
        answer: Answering,
        decision: Decision | None = None,
        *,
        task: str | None = None,
    ) -> AnswerVerdict:
        """Return the verdict without blocking the event loop; arguments as in :meth:`check`."""
        import asyncio  # loaded already where somebody awaits

        return await asyncio.to_thread(self.check, request, answer, decision, task=task)

    def _policy_for(self, request: Request) -> Policy:
        """Return the policy that decides a request: where no check can count, the one in which the
        request's score decides alone.
        """
        is_stale = self.answers is not None and self.answers.watch.is_stale
        return self.policy if request.checked and not is_stale else self._policy_unchecked

    def consider(self, request: Request, *, early: bool = True, eligible: bool = True) -> Decision:
        """Return the decision without counting or logging it: for tests of a bundle, not for
        traffic.

        With ``early=False`` the scorer decides whatever needs a score; with ``eligible=False`` what
        the models take is not looked at.
        """
        look = self._look_at(request, eligible=eligible)
        if early and look.is_open:
            self._exit_early([look])
        if look.is_open:
            self._score_one(look)
        return self._conclude(look)

    def consider_many(self, requests: Iterable[Request]) -> list[Decision]:
        """Return the decisions for many requests, in order, without counting or logging them."""
        pending = [self._look_at(request) for request in requests]
        self._exit_early([look for look in pending if look.is_open])
        self._score_all([look for look in pending if look.is_open])
        return [self._conclude(look) for look in pending]

    def rescore(
        self, request: Request, rows: Sequence[Sequence[int]]
    ) -> list[tuple[Score | None, Decision]]:
        """Return what the scorer would say and what would be decided, had a request other token
        ids, for each row of them.

        Tokens that the rule counts, and whatever else is decided without the ids, stay as they
        are. A score is ``None`` where none can be had.
        """
        first = self._look_at(request)
        looks = [replace(first, ids=row) for row in rows]
        self._exit_early([look for look in looks if look.is_open])
        scored = [Look(request, first.policy, ids=look.ids) for look in looks]
        self._score_all(scored)
        for look, other in zip(looks, scored, strict=True):
            if look.is_open:
                look.score, look.error = other.score, other.error
        return [
            (other.score, self._conclude(look)) for look, other in zip(looks, scored, strict=True)
        ]

    def explain(
        self,
        messages: Messages,
        task: str | None = None,
        *,
        tokens: int | None = None,
        tools: object = None,
        checked: bool = True,
        held: Held | None = None,
        needs: Needs | None = None,
    ) -> Explanation:
        """Return why a request is decided as it is: the parts of its text and the features that
        move the score, the nearest kinds of training traffic, and what would change the decision.

        Arguments as in :meth:`decide`. Scores the request some hundred times; it is not counted,
        and nothing of it is logged. Raises nothing for what a request holds.
        """
        return self.explain_request(Request(messages, task, tokens, checked, tools, held, needs))

    def explain_request(self, request: Request) -> Explanation:
        """Return why a request is decided as it is, see :meth:`explain`."""
        # Here, so that routers that explain nothing do not load it.
        from difficulty.runtime.explaining import explain

        return explain(self, request)

    def _exit_early(self, looks: list[Look]) -> None:
        """Decide those far from the threshold; where that fails, the scorer decides them."""
        looks = [look for look in looks if look.policy is self.policy]  # whose cut-offs they are
        if self.early is None or self._exits is None or not looks:
            return
        try:
            if len(looks) == 1:  # nothing to pad
                scores = [self.early.score_ids(looks[0].ids)]
            else:
                scores = self.early.score_many([look.ids for look in looks]).tolist()
        except BaseException as error:
            logger.debug("early exit failed, the scorer decides: %s", describe(kept(error)))
            return
        for look, score in zip(looks, scores, strict=True):
            if math.isfinite(score) and (
                verdict := exit_early(self._exits, score, with_task=look.with_task)
            ):
                # By which margin it crosses, the scorer alone can say.
                if look.held is None or verdict.route == look.held.route:
                    look.verdict, look.early_score = verdict, score

    def _score_one(self, look: Look) -> None:
        try:
            look.score = self.scorer.score_ids(look.ids)
        except BaseException as error:
            look.error = kept(error)

    def _score_all(self, looks: list[Look]) -> None:
        """Score in batches; one at a time where a batch fails, so that none takes others along."""
        try:
            columns = self.scorer.score_many([look.ids for look in looks])
        except BaseException as error:
            kept(error)
            for look in looks:
                self._score_one(look)
            return
        for row, look in enumerate(looks):
            try:
                values = {name: float(column[row]) for name, column in columns.items()}
                look.score = Score.of(values)
            except ScoringError as error:
                look.error = error

    def _look_at(self, request: Request, *, eligible: bool = True) -> Look:
        """Count, tokenize, apply the rules that need no score; keep errors for the conclusion."""
        look = Look(request, self._policy_for(request))
        try:
            if eligible and not is_plain(look.policy.eligibility, request):
                look.needs = needs_of(request)
                self._find_takers(look, given=read_count(request.tokens))
            if look.verdict is None:
                self._read(look)
        except BaseException as error:  # the tokenizer's panics are no Exceptions
            if isinstance(error, ScoringError) and look.needs.ask_in_media:
                look.verdict = UNFAMILIAR  # no text at all is hardly any
            else:
                look.error = kept(error)
        return look

    def _read(self, look: Look) -> None:
        request = look.request
        if request.held is not None:
            look.held = find_held(look.policy.stick, request.held)
        if request.task is not None and not isinstance(request.task, str):
            raise RequestError("task", request.task, rule="be a string or None")
        if request.tokens is not None:
            look.tokens, look.source = check_tokens(request.tokens), "request"
            look.verdict = before_scoring(
                look.policy, task=look.task, tokens=look.tokens, needs=look.needs
            )
            if look.verdict:
                return  # without tokenizing: the caller has counted
        encoded = self.scorer.encode(request.messages, request.task, request.tools)
        look.ids, look.with_task = encoded.ids, encoded.with_task
        look.truncated, look.masked_share = encoded.truncated, encoded.masked_share
        if look.tokens is None:
            look.tokens = encoded.tokens
            look.source = "estimate" if encoded.estimated else "tokenizer"
            if look.needs.is_read:
                self._find_takers(look, counted=look.tokens)
            look.verdict = look.verdict or before_scoring(
                look.policy, task=look.task, tokens=look.tokens, needs=look.needs
            )

    def _find_takers(
        self, look: Look, *, given: int | None = None, counted: int | None = None
    ) -> None:
        """Decide a request that not both models can take."""
        look.taking = find_takers(look.policy.eligibility, look.needs, given=given, counted=counted)
        if look.taking.takers == "both":
            return
        look.verdict = Ruling(look.taking.route or look.policy.on_error, "ineligible")
        if look.tokens is None:
            look.tokens, look.source = given, None if given is None else "request"

    def _conclude(self, look: Look) -> Decision:
        score = look.score
        if score is not None and look.error is None:
            try:
                look.verdict = after_scoring(
                    look.policy,
                    task=look.task,
                    score=score.difficulty_score,
                    familiarity=score.familiarity,
                )
                look.verdict = hold(
                    look.policy.stick,
                    look.held,
                    look.verdict,
                    score=score.difficulty_score,
                    threshold=threshold_of(look.policy, look.task),
                )
            except BaseException as error:
                look.error = kept(error)
        if look.verdict is None:
            look.verdict, score = Ruling(self.policy.on_error, "scorer_error"), None
        return build_decision(look, look.verdict, score, version=self.version)

    def _note(self, decision: Decision) -> Decision:
        """Count and log a decision that was made without a score because none could be had."""
        if decision.reason == "scorer_error":
            with self._lock:
                self.scorer_errors += 1
            logger.warning(
                "request not scored, sent to %s: %s", one_line(decision.model), decision.error
            )
        elif decision.can_take == "neither":
            with self._lock:
                self.untaken += 1
            logger.warning("neither model can take a request (%s)", ", ".join(decision.ineligible))
        elif self.answers and decision.route == "cheap" and not self.answers.watch.checked:
            self._note_unasked(decision)
        return decision

    def _note_unasked(self, decision: Decision) -> None:
        """Say once that nobody asks the check, where the policy leaves the quality to it."""
        rule = self.policy.answer
        # By its own threshold it would decide alone; rules keep requests whatever is checked.
        if rule is None or decision.reason != "within_threshold":
            return
        if decision.threshold == rule.request_threshold:
            return
        with self._lock:
            self._unasked += 1
            unasked = self._unasked
        if unasked == _MANY_UNASKED:
            logger.warning(
                "%d requests went to the cheap model so that its answers are checked, and none was:"
                " ask Router.check, or decide with checked=False",
                unasked,
            )
