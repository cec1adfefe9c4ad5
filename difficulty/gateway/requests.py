"""What a gateway does around the router's decision, whatever gateway it is: explore, check answers,
fall back, log.

A gateway opens a :class:`Visit` for each request, calls the model of its route, notes the call,
asks whether to fall back, and closes the visit, which writes one event. It calls models itself;
nothing here waits for a network.

    visit = gateway.open(body, id=request_id, task=task)
    call = gateway.note(visit, "answer", answer=Answer.of(reply), usage=usage)
    if gateway.falls_back(visit, call):
        ...  # call the frontier model once, and note that with role "fallback"
    gateway.close(visit)
"""

from __future__ import annotations

import hmac
import logging
import math
import secrets
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait as wait_for
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

from difficulty.answers.answer import Answer, Asked, answer_column
from difficulty.bundle.policy import Policy
from difficulty.conversation import messages_of, tools_of
from difficulty.events import Call, CallRole, DecisionEvent, Outcome
from difficulty.gateway.checking import Checking, Pending
from difficulty.gateway.learned import LearnedCheck, settle
from difficulty.gateway.log import DecisionLog
from difficulty.gateway.sessions import Sessions, price_switch
from difficulty.gateway.validators import Checker
from difficulty.gateway.visits import SessionAsked, Usage, Visit, explore
from difficulty.needs import Needs
from difficulty.records import Prices
from difficulty.request import Messages
from difficulty.routes import Held, Route
from difficulty.runtime.answer_checker import AnswerChecker
from difficulty.runtime.decision import Decision
from difficulty.text import is_list

logger = logging.getLogger("difficulty.runtime")

EMPTY = "empty"
"""What the log calls the error of a model that answered and said nothing."""
Redact = Callable[[Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]]


class Deciding(Protocol):
    """What a gateway asks for decisions: a router, or what stands in its place."""

    @property
    def policy(self) -> Policy:
        """The rule by which it decides, checks and falls back."""

    @property
    def answers(self) -> AnswerChecker | None:
        """The learned check of answers."""

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
        """Return the decision for one request."""


class Decider(Protocol):
    """What decides: a router, or what holds one and may exchange it."""

    @property
    def current(self) -> Deciding:
        """The router of the bundle that decides now."""


class Gateway:
    """Decide, check and log; :class:`~difficulty.gateway.settings.GatewaySettings` says what the
    parameters mean. Without a log nothing is logged, without prices the cost of calls is unknown.
    """

    def __init__(
        self,
        router: Decider,
        *,
        log: DecisionLog | None = None,
        prices: Prices | None = None,
        texts: bool = False,
        answers: bool = False,
        redact: Redact | None = None,
        salt: str = "",
        allowed: Sequence[str] = (),
        validation_timeout_s: float = 1.0,
        most_sessions: int = 100_000,
        session_minutes: float = 60.0,
    ) -> None:
        self.router = router
        self.log, self.prices, self.salt = log, prices, salt
        # Without a salt chance is still a secret of this process.
        self._secret = salt or secrets.token_hex(32)
        self.sessions = Sessions(
            secret=self._secret, most=most_sessions, keep_s=session_minutes * 60.0
        )
        self.texts, self.answers, self.redact = texts, answers, redact
        self.allowed = tuple(allowed)
        self._checking = Checking(timeout_s=validation_timeout_s)
        self._learned = LearnedCheck(timeout_s=validation_timeout_s)
        self._validators = self._build(router.current.policy, wait=True)

    def open(
        self,
        body: Mapping[str, Any],
        *,
        id: str,
        task: str | None = None,
        tokens: int | None = None,
        group: str | None = None,
        session: str | None = None,
        client: str | None = None,
        lot: str | None = None,
        notes: Sequence[str] = (),
        can_hold: bool = True,
    ) -> Visit:
        """Decide on a request.

        Parameters
        ----------
        body : mapping
            OpenAI chat completion request, or one of Anthropic's messages or OpenAI's Responses.
        id : str
            Of the request.
        task : str, optional
            Where the caller names it; nothing else is taken for one.
        tokens : int, optional
            The caller's own count.
        group : str, optional
            Conversation or user; logged as a salted hash.
        session, client : str, optional
            The client's id of the session, and whatever the server knows the client by; see
            :mod:`difficulty.gateway.sessions`. They count where the policy has ``stick``, and are
            not kept.
        lot : str, optional
            What chance is a hash of; default: the id. Give another one where a client chose the id,
            or it would choose its luck too.
        notes : sequence of str
            What came and was left out, for the log.
        can_hold : bool, default True
            Whether the gateway can hold back this request's answer where it is streamed.
        """
        when, started = datetime.now(UTC), time.perf_counter()
        # Decision and policy come from one bundle, whatever is exchanged meanwhile.
        router, (messages, tools) = self.router.current, _read_chat(body)
        asked_messages, streamed = [] if messages is None else messages, bool(body.get("stream"))
        # What is streamed past the check is decided by the request alone.
        is_held = can_hold and router.policy.fallback.streaming == "buffer"
        checked = not streamed or is_held
        stepping, held = self._find_session(router.policy, messages, session, client)
        decision = router.decide(
            asked_messages,
            task,
            tokens=tokens,
            tools=tools,
            checked=checked,
            held=held,
            needs=_read_needs(body),
        )
        lot = id if lot is None else lot
        return Visit(
            id=id,
            time=when,
            started=started,
            asked=Asked.of({**body, "messages": messages, "tools": tools}, task=task),
            asked_messages=asked_messages,
            lot=lot,
            answers=router.answers,
            decision=decision,
            routed=explore(
                decision.route,
                decision.reason,
                router.policy.exploration,
                id=lot,
                secret=self._secret,
            ),
            policy=router.policy,
            reason=decision.reason,
            decision_ms=(time.perf_counter() - started) * 1000,
            group=self._hash(group),
            messages=self._loggable(messages),
            tools=self._loggable_tools(tools),
            streamed=streamed,
            can_hold=can_hold,
            notes=tuple(notes),
            session=stepping,
        )

    def note(
        self,
        visit: Visit,
        role: CallRole,
        *,
        answer: Answer | None = None,
        usage: Usage = Usage(),  # noqa: B008 - immutable
        latency_ms: float | None = None,
        error: str | None = None,
        side: Route | None = None,
        pending: Pending | None = None,
    ) -> Call:
        """Note a call of a model, and check its answer where there is one; that waits for the
        checks, up to the deadline. Of checks that were begun, what is done by now counts.
        """
        called = side or visit.side_of(role)
        if pending is None and answer is not None:
            pending = self.begin_checks(visit, answer, role)
            wait_for(pending.futures, pending.left_s)
        checks = () if pending is None else pending.checks()
        verdict = None if pending is None else pending.verdict()
        if verdict is not None:
            visit.escalation = settle(verdict, visit, visit.policy.exploration, secret=self._secret)
        call = Call(
            role=role,
            side=called,
            model=visit.policy.cheap_model if called == "cheap" else visit.policy.frontier_model,
            prompt_tokens=usage.prompt,
            completion_tokens=usage.completion,
            cached_tokens=usage.cached,
            cache_hit=usage.hit,
            cost_usd=self._cost(called, usage),
            latency_ms=latency_ms,
            checks=checks,
            answer=None if pending is None else pending.answer,
            error=error,
        )
        visit.calls.append(call)
        return call

    def begin_checks(
        self, visit: Visit, answer: Answer, role: CallRole = "answer", *, advisory: bool = False
    ) -> Pending:
        """Begin to check an answer by the policy's validators, and one of the cheap model by the
        learned check; return at once. ``advisory``: whether the client has it already.
        """
        if role != "shadow" and visit.session is not None and visit.session.key is None:
            visit.answer = answer  # by which its session is found again
        pending = self._checking.begin(self._find_checker(visit.policy), answer, visit.asked)
        pending = pending._replace(answer=self._loggable_answer(answer))
        if visit.side_of(role) != "cheap":
            return pending
        is_advisory = advisory or role != "answer" or not visit.is_checked
        return pending._replace(learned=self._learned.begin(visit, answer, advisory=is_advisory))

    def falls_back(self, visit: Visit, call: Call) -> bool:
        """Return whether the cheap answer failed validation, or the learned check, and the frontier
        model is asked.
        """
        if call.side != "cheap" or call.role != "answer" or call.error is not None:
            return visit.fallback == "validation"
        escalation = visit.escalation
        if not visit.may_fall_back:
            if escalation is not None:
                visit.escalation = replace(escalation, escalated=False, propensity=1.0)
            return False
        if call.passed is False and visit.policy.fallback.on_validation_failure:
            visit.fallback = "validation"
            if escalation is not None:  # it had nothing left to say
                visit.escalation = replace(escalation, escalated=False, propensity=1.0)
        elif escalation is not None and escalation.escalated:
            visit.fallback = "validation"
        return visit.fallback == "validation"

    def replaces_empty(self, visit: Visit, call: Call) -> bool:
        """Return whether the frontier model is asked because the cheap answer of ``call``, the last
        one noted, says nothing; that is an error of the cheap model, by whatever validators it has
        passed.
        """
        may_replace = visit.policy.fallback.on_call_failure and visit.may_fall_back
        is_first = call.side == "cheap" and call.role == "answer" and visit.fallback is None
        if not (may_replace and is_first and call.error is None):
            return False
        visit.fallback = "error"
        visit.calls[-1] = replace(call, error=EMPTY)
        if visit.escalation is not None:  # it had nothing left to say
            visit.escalation = replace(visit.escalation, escalated=False, propensity=1.0)
        return True

    def close(self, visit: Visit, outcome: Outcome = "answered") -> DecisionEvent:
        """Return the event of a request, and hand it to the log."""
        event = visit.event(outcome)
        if visit.session is not None and outcome == "answered":
            self._note_step(visit, visit.session)
        if self.log is not None:
            self.log.write(event)
        return event

    def _find_session(
        self, policy: Policy, messages: Any, session: str | None, client: str | None
    ) -> tuple[SessionAsked | None, Held | None]:
        """Return the session of a request, and what is known of it."""
        if policy.stick is None:
            return None, None
        for key, stays in self.sessions.keys(messages, session=session, client=client):
            held = self.sessions.find(key, policy, messages)
            if held is not None:
                held = held._replace(switch_cost_usd=price_switch(self.prices, held))
                asked = SessionAsked(key, client) if stays else SessionAsked(None, client, key)
                return asked, held
        named = self.sessions.key(messages, session=session, client=client)
        return SessionAsked(named, client), None

    def _note_step(self, visit: Visit, asked: SessionAsked) -> None:
        """Remember where a session is after a step that was answered."""
        key, route = asked.key, visit.session_route
        if key is None and visit.answer is not None:
            key = self.sessions.key(
                visit.asked_messages, session=None, client=asked.client, answer=visit.answer
            )
        if key is None:
            return
        calls = [call for call in visit.calls if call.side == route and call.error is None]
        call = calls[-1] if calls else None
        # What the gateway's own cache answered, the provider has not read.
        if call is None or call.cache_hit:
            self.sessions.note(key, visit.policy, route, after=asked.after)
        else:
            tokens = {"prompt": call.prompt_tokens, "cached": call.cached_tokens}
            self.sessions.note(key, visit.policy, route, **tokens, after=asked.after)

    def _find_checker(self, policy: Policy) -> Checker:
        """Return a policy's validators, built with the first request after a bundle's change."""
        validators = self._validators  # read once: another thread may put others in its place
        if validators.policy is not policy:
            try:
                validators = self._build(policy)
            except Exception as error:  # requests go on: at the start the same error would stop us
                logger.warning(
                    "the validators of the new policy cannot be built, so no answer is checked: %s",
                    error,  # of the policy: no request is in it
                )
                validators = _Validators(policy, Checker(()))
            self._validators = validators
        return validators.checker

    def _build(self, policy: Policy, *, wait: bool = False) -> _Validators:
        checker = Checker(policy.fallback.validators, allowed=self.allowed)
        self._checking.warm_up(checker, wait=wait)
        return _Validators(policy, checker)

    def _cost(self, side: Route, usage: Usage) -> float | None:
        if usage.hit:
            return 0.0  # nothing was called, whatever the prices are
        if self.prices is None or usage.prompt is None or usage.completion is None:
            return None
        # A provider that says more came from its cache than there was is not believed.
        cached = min(usage.cached or 0, usage.prompt)
        cost = float(self.prices.cost(side, usage.prompt, usage.completion, cached=cached))
        return cost if math.isfinite(cost) else None

    def _hash(self, group: str | None) -> str | None:
        if not group or not self.salt:
            return None
        named = group.encode("utf-8", "surrogatepass")
        return hmac.new(self.salt.encode(), named, sha256).hexdigest()[:16]

    def _loggable(self, messages: Any) -> tuple[Mapping[str, Any], ...] | None:
        """Return the messages as the log may hold them; ``None`` where it may not."""
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        if not self.texts or not is_list(messages):
            return None
        return self._redacted([message for message in messages if isinstance(message, Mapping)])

    def _loggable_tools(self, tools: Any) -> tuple[Mapping[str, Any], ...] | None:
        """Return the tools as the log may hold them, where training is to read the same as we do.
        Redaction knows messages alone: where there is one, no tools are logged.
        """
        if not self.texts or self.redact is not None or not is_list(tools):
            return None
        return tuple(tool for tool in tools if isinstance(tool, Mapping)) or None

    def _loggable_answer(self, answer: Answer) -> str | None:
        """Return an answer as the log may hold it, redacted as a message is; ``None`` where it may
        not.
        """
        if not self.answers:
            return None
        messages = self._redacted([answer.as_message()])
        try:
            return answer_column(messages[0]) if messages else None
        except (TypeError, ValueError, AttributeError, RecursionError):  # of what redaction gave
            return None

    def _redacted(
        self, messages: Sequence[Mapping[str, Any]]
    ) -> tuple[Mapping[str, Any], ...] | None:
        try:
            return tuple(messages if self.redact is None else self.redact(messages))
        except Exception as error:  # of a function that is not ours; better no text than a bare one
            logger.warning(
                "redaction failed (%s), the texts of this request are not logged",
                type(error).__name__,
            )
            return None


def _read_chat(body: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return messages and tools of a body in any API's form."""
    try:
        return messages_of(body), tools_of(body)
    except Exception:  # of classes of the caller's: as they are, for who reads on to refuse
        return body.get("messages"), body.get("tools")


def _read_needs(body: Mapping[str, Any]) -> Needs | None:
    try:
        return Needs.of(body)
    except Exception:  # of a class of the caller's: the router says what it cannot read
        return None


class _Validators(NamedTuple):
    """Validators, and the policy they are of: exchanged in one step."""

    policy: Policy
    checker: Checker


_SWEEP_S = 60.0  # least time between two looks for visits that nobody closed.


class Visits:
    """Keep open visits, and close those that nobody closes.

    A gateway may never say how a request ended, for example because the client hung up. Such visits
    are logged as ``abandoned`` after ``patience_s`` seconds, when the next request comes, so that
    the log has one event a request and memory stays bounded.
    """

    def __init__(self, gateway: Gateway, *, patience_s: float = 900.0) -> None:
        self.gateway = gateway
        self.patience_s = patience_s
        self._open: dict[str, Visit] = {}
        self._swept = time.perf_counter()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, visit: Visit) -> str:
        """Keep a visit and return its number."""
        self._sweep()
        # Of our own: two requests of one id would else share a visit.
        number = uuid.uuid4().hex
        self._open[number] = visit
        visit.number = number
        return number

    def get(self, number: object) -> Visit | None:
        """Return an open visit."""
        return self._open.get(number) if isinstance(number, str) else None

    def close(self, visit: Visit, outcome: Outcome = "answered") -> DecisionEvent | None:
        """Log a visit; ``None`` when that was done already."""
        return self.gateway.close(visit, outcome) if self._open.pop(visit.number, None) else None

    def _sweep(self) -> None:
        now = time.perf_counter()
        if now - self._swept < min(_SWEEP_S, self.patience_s):
            return
        self._swept = now
        for visit in list(self._open.values()):
            if now - visit.started > self.patience_s:
                self.close(visit, "abandoned")
