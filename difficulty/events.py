"""The decision event: one record a request, from the decision to what became of it.

``EVENT_FORMAT`` is raised when a reader of the old number would misread an event: another meaning
of a field, a field gone. A new optional field does not raise it: readers pass over fields they do
not know. Readers refuse numbers above their own.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import Field, dataclass, fields
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from difficulty.errors import InvalidValueError, LogError
from difficulty.form import Record
from difficulty.routes import Route

EVENT_FORMAT = 1

CallRole = Literal["answer", "fallback", "shadow"]
FallbackCause = Literal["validation", "timeout", "rate_limit", "error"]
Outcome = Literal["answered", "failed", "abandoned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Record):
    """What one validator said of one answer."""

    name: str
    passed: bool | None
    """``None`` when the validator itself failed, so that nothing is known of the answer."""
    detail: str = ""


_NUMBERS_OF_A_CALL = (
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cost_usd",
    "latency_ms",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Record):
    """One call of a model for a request."""

    role: CallRole
    """``answer``: the call of the route taken; ``fallback``: the frontier call after that failed;
    ``shadow``: the other model, unseen.
    """
    side: Route
    """Which of the pair was called."""
    model: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    """Of the prompt's tokens, those that the provider read from its cache."""
    cache_hit: bool = False
    """Whether the gateway answered from a cache of its own, so that no model was called."""
    cost_usd: float | None = None
    latency_ms: float | None = None
    checks: tuple[Check, ...] = ()
    answer: str | None = None
    """What the model answered, where the log is told to keep answers: text, or an assistant message
    as JSON text.
    """
    error: str | None = None
    """Why there is no answer: ``timeout``, ``rate_limit``, or the kind of the error."""

    def __post_init__(self) -> None:
        _check_word("role", self.role, CallRole)
        _check_word("side", self.side, Route)
        for name in _NUMBERS_OF_A_CALL:
            number = getattr(self, name)
            if number is not None and not 0 <= number < math.inf:
                raise InvalidValueError(name, number, rule="be 0 or more, or null")

    def as_dict(self, *, without: Container[str] = ()) -> dict[str, Any]:
        """Return the JSON form; ``answer`` appears only where it is kept."""
        # By name, because slots make the class anew and a bare super() knows only the first one.
        return super(Call, self).as_dict(without=without if self.answer is not None else {"answer"})

    @property
    def passed(self) -> bool | None:
        """Whether the answer passed every validator; ``None`` where none could tell."""
        # No answer is no pass, whatever the validators would have said.
        if self.error is not None:
            return False
        verdicts = [check.passed for check in self.checks if check.passed is not None]
        return all(verdicts) if verdicts else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation(Record):
    """What the learned check said of the cheap answer, and what was done.

    It is no :class:`Check`: those become labels, and a check that learned from its own verdicts
    would learn nothing.
    """

    answer_score: float | None = None
    """``None`` where the answer could not be checked."""
    p_answer_fails: float | None = None
    threshold: float | None = None
    reason: str
    policy_escalates: bool
    """What the rule named: whether the frontier model is asked too."""
    escalated: bool
    """What was done; differs where exploration did the other thing, or validators had refused the
    answer already.
    """
    propensity: float
    """Probability of what was done, given the answer, in (0, 1]."""
    moved: tuple[str, ...] = ()
    """Names of the facts that moved the score most."""
    error: str | None = None
    """Why the answer could not be checked."""

    def __post_init__(self) -> None:
        if not 0.0 < self.propensity <= 1.0:
            rule = "be in (0, 1]: the probability of what was done"
            raise InvalidValueError("propensity of escalation", self.propensity, rule=rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionEvent:
    """One routed request."""

    id: str
    time: datetime
    """When the request came, by the wall clock; for order see ``seq``."""
    bundle_version: str
    route: Route
    """The route taken."""
    policy_route: Route
    """The route that the rule named; differs from ``route`` where exploration took the other."""
    reason: str
    difficulty_score: float | None = None
    p_cheap_fails: float | None = None
    p_frontier_fails: float | None = None
    familiarity: float | None = None
    threshold: float
    propensity: float
    """Probability of the route taken, in (0, 1]."""
    task: str | None = None
    tokens: int | None = None
    tokens_source: str | None = None
    truncated: bool = False
    masked_share: float = 0.0
    """Share of the request that the text view left out as context."""
    scored_by: str | None = None
    """Whose score decided: ``scorer``, or ``early`` where the small graph was sure; ``None``
    without a score.
    """
    held_on: Route | None = None
    """The route that the request's session was on, where the policy keeps sessions on their model;
    ``None``: it was decided alone.
    """
    switch_cost_usd: float | None = None
    """What leaving that route costs in cold prompt caches: paid where ``policy_route`` is another
    one, spared with reason ``stick``; ``None``: not known, or no session. It is in ``cost_usd`` of
    the call already.
    """
    decision_error: str | None = None
    """Why the request could not be scored, with reason ``scorer_error``."""
    ineligible: tuple[str, ...] = ()
    """Why one of the models cannot take the request, with reason ``ineligible``: ``cheap.image``,
    ...; where rules of both stand there, neither can. Left out where there is nothing.
    """
    calls: tuple[Call, ...] = ()
    fallback: FallbackCause | None = None
    """Why the frontier model was called after the cheap one; ``None`` when it was not."""
    escalation: Escalation | None = None
    """What the learned check said of the cheap answer; ``None`` where there was none."""
    outcome: Outcome = "answered"
    """``abandoned``: the gateway never said how the request ended, for example because the client
    hung up.
    """
    streamed: bool = False
    latency_ms: float | None = None
    """From the request to its answer, fallback included and shadow calls not."""
    decision_ms: float | None = None
    """What deciding took of that."""
    group: str | None = None
    """Salted hash of the conversation or user."""
    messages: tuple[Mapping[str, Any], ...] | None = None
    """The request's messages, where the log is told to keep texts."""
    tools: tuple[Mapping[str, Any], ...] | None = None
    """What the request offered to call, where the log keeps texts; an event without is written
    without the field.
    """
    notes: tuple[str, ...] = ()
    """What came with the request and is null here, as no log can hold it, and why."""
    seq: int | None = None
    """Number of the event in the order of its writer, from 0, given by the log; a gap is an event
    that was lost.
    """
    writer: str | None = None
    """The process that wrote the event, given by the log."""

    def __post_init__(self) -> None:
        for name in ("route", "policy_route"):
            _check_word(name, getattr(self, name), Route)
        _check_word("outcome", self.outcome, Outcome)
        if self.fallback is not None:
            _check_word("fallback", self.fallback, FallbackCause)
        if self.held_on is not None:
            _check_word("held_on", self.held_on, Route)
        if not 0.0 < self.propensity <= 1.0:
            rule = "be in (0, 1]: the probability of the route taken"
            raise InvalidValueError("propensity", self.propensity, rule=rule)
        # A local time says nothing beside events of other machines.
        if self.time.tzinfo is None:
            raise InvalidValueError("time", self.time.isoformat(), rule="have a time zone")

    def call(self, side: Route, *, roles: tuple[CallRole, ...] = get_args(CallRole)) -> Call | None:
        """Return the call of one of the two models in one of some roles, where there was one."""
        return next((call for call in self.calls if call.side == side and call.role in roles), None)

    @property
    def cost_usd(self) -> float | None:
        """What the request cost, a failed first answer included and shadow calls not; ``None``
        where a part is not known.
        """
        costs = [
            call.cost_usd
            for call in self.calls
            # A call that failed and has no known cost is taken to be free.
            if call.role != "shadow" and (call.error is None or call.cost_usd is not None)
        ]
        if not costs or None in costs:
            return None
        return math.fsum(cost or 0.0 for cost in costs)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if not values["tools"]:
            del values["tools"]
        if self.ineligible:
            values["ineligible"] = list(self.ineligible)
        else:
            del values["ineligible"]
        return (
            {"format": EVENT_FORMAT}
            | values
            | {
                # In UTC, so that lines of several machines stand in one order.
                "time": self.time.astimezone(UTC).isoformat(timespec="milliseconds"),
                "calls": [call.as_dict() for call in self.calls],
                "escalation": self.escalation and self.escalation.as_dict(),
                "notes": list(self.notes),
                # As they came, not copied: they are the bulk of an event.
                "messages": None if self.messages is None else list(self.messages),
                **({"tools": list(self.tools)} if self.tools else {}),
            }
        )

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> DecisionEvent:
        """Read the JSON form; fields that this version does not know are passed over.

        Raises
        ------
        LogError
            If the form is no event, or of a newer format.
        """
        number = form.get("format")
        if not isinstance(number, int) or not 1 <= number <= EVENT_FORMAT:
            raise LogError(
                f"a decision event must be of format 1 to {EVENT_FORMAT}: got {number!r}. Upgrade"
                " difficulty, or check the file."
            )
        try:
            values = _values_of(cls, form)
            messages, tools = values.get("messages"), values.get("tools")
            parsed = {
                "time": datetime.fromisoformat(values["time"]),
                "calls": tuple(map(_call_of, values.get("calls") or ())),
                "escalation": _escalation_of(values.get("escalation")),
                "messages": None if messages is None else tuple(messages),
                "tools": tuple(tools) if tools else None,
                "notes": tuple(values.get("notes") or ()),
                "ineligible": tuple(map(str, values.get("ineligible") or ())),
            }
            return cls(**values | parsed)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LogError(
                f"a decision event must have the fields of format {number}: {error!s:.200}. Check"
                " the file."
            ) from error


def _call_of(form: Mapping[str, Any]) -> Call:
    checks = tuple(Check(**_values_of(Check, check)) for check in form.get("checks") or ())
    return Call(**_values_of(Call, form) | {"checks": checks})


def _escalation_of(form: Mapping[str, Any] | None) -> Escalation | None:
    if form is None:
        return None
    values = _values_of(Escalation, form)
    return Escalation(**values | {"moved": tuple(map(str, values.get("moved") or ()))})


def _values_of(kind: type, form: Mapping[str, Any]) -> dict[str, Any]:
    # Fields of a newer writer are passed over; see above.
    values = {field.name: form[field.name] for field in fields(kind) if field.name in form}
    for field in fields(kind):
        _check_kind(field, values.get(field.name))
    return values


_KINDS: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
}


def _check_kind(field: Field[Any], value: object) -> None:
    """Refuse a list where a text or a number should be; words and tuples are checked elsewhere."""
    # Annotations are their source here, see the import from __future__.
    name = str(field.type).partition(" | ")[0]
    wanted = _KINDS.get(name)
    if wanted is None or value is None:
        return
    if not isinstance(value, wanted) or (isinstance(value, bool) and name != "bool"):
        raise TypeError(f"{field.name} must be of type {name}: got {type(value).__name__}")


def _check_word(subject: str, value: object, words: Any) -> None:
    if value not in get_args(words):
        raise InvalidValueError(subject, value, rule=f"be one of {', '.join(get_args(words))}")
