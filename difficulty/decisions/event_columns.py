"""What the table of decisions holds, as SQL on the fields of an event.

Fields are read one by one and leniently: one that is missing or of another type is unknown, as a
reader of a log cannot ask the writer again. What makes an event no event (no id, no time with a
zone, no route, no bundle, another format) is a ``problem`` of its row; see :class:`Problem`.
"""

from __future__ import annotations

import json
from enum import IntEnum
from typing import Any, get_args

from difficulty.events import EVENT_FORMAT, CallRole, FallbackCause, Outcome
from difficulty.routes import Route


class Problem(IntEnum):
    """Why a line is left out of the table."""

    NONE = 0
    DAMAGED = 1
    """No JSON object, or one without any field of an event."""
    NEWER = 2
    """An event of a format that this version does not read."""
    REFUSED = 3
    """An object that is no event: a field that each has is missing or no such value."""
    WITHOUT_ZONE = 4
    """Its time says nothing beside those of other machines."""


_CHECKS = [{"name": "VARCHAR", "passed": "BOOLEAN"}]
_CALLS = [
    {
        "role": "VARCHAR",
        "side": "VARCHAR",
        "model": "VARCHAR",
        "prompt_tokens": "DOUBLE",
        "completion_tokens": "DOUBLE",
        "cache_hit": "BOOLEAN",
        "cost_usd": "DOUBLE",
        "latency_ms": "DOUBLE",
        "checks": _CHECKS,
        "error": "VARCHAR",
    }
]
_ESCALATION = {
    "answer_score": "DOUBLE",
    "p_answer_fails": "DOUBLE",
    "threshold": "DOUBLE",
    "policy_escalates": "BOOLEAN",
    "escalated": "BOOLEAN",
    "propensity": "DOUBLE",
}
FIELDS: dict[str, Any] = {
    "format": "DOUBLE",
    **dict.fromkeys(
        ("id", "time", "bundle_version", "route", "policy_route", "reason", "held_on", "task"),
        "VARCHAR",
    ),
    **dict.fromkeys(("difficulty_score", "p_cheap_fails", "p_frontier_fails"), "DOUBLE"),
    **dict.fromkeys(("familiarity", "threshold", "propensity", "tokens"), "DOUBLE"),
    "switch_cost_usd": "DOUBLE",
    "ineligible": ["VARCHAR"],
    "truncated": "BOOLEAN",
    "calls": _CALLS,
    "fallback": "VARCHAR",
    "escalation": _ESCALATION,
    "outcome": "VARCHAR",
    "latency_ms": "DOUBLE",
    "decision_ms": "DOUBLE",
    "group": "VARCHAR",
    "seq": "DOUBLE",
    "writer": "VARCHAR",
}
"""Fields of an event that are read, with their types; nested ones as DuckDB's JSON structures."""
MESSAGES = "messages"

_SIDE_NUMBERS = ("prompt_tokens", "completion_tokens", "cost_usd", "latency_ms")
NUMBERS = (
    *("seq", "threshold", "difficulty_score", "p_cheap_fails", "p_frontier_fails", "familiarity"),
    *("propensity", "tokens", "truncated", "latency_ms", "decision_ms", "cost_usd"),
    *(f"{side}_{name}" for side in get_args(Route) for name in _SIDE_NUMBERS),
    *("cheap_passed", "answer_score", "p_answer_fails", "answer_threshold", "policy_escalates"),
    *("escalated", "escalation_propensity", "cheap_quality", "frontier_quality"),
    "switch_cost_usd",
)
"""Columns that are floats, NaN where unknown."""
TEXTS = (
    *("id", "writer", "bundle_version", "route", "policy_route", "reason", "task", "group"),
    *("held_on", "ineligible"),
    *("outcome", "fallback"),
    *(f"{side}_{name}" for side in get_args(Route) for name in ("role", "model", "error")),
    *("failed_validator", "preference", "measured_by"),
)
"""Columns that are strings, None where unknown."""
LABELS = ("cheap_quality", "frontier_quality", "preference", "measured_by")
"""Columns that late outcomes fill."""


def typed_fields(*, texts: bool) -> str:
    """Return the fields with their types, as ``read_json`` takes them."""
    fields = FIELDS | ({MESSAGES: "JSON"} if texts else {})
    return "{" + ", ".join(f"'{name}': '{_type(kind)}'" for name, kind in fields.items()) + "}"


def field_structure(*, texts: bool) -> str:
    """Return the fields as the structure that ``json_transform`` takes."""
    return json.dumps(FIELDS | ({MESSAGES: "JSON"} if texts else {}))


def _type(kind: Any) -> str:
    if isinstance(kind, list):
        return f"{_type(kind[0])}[]"
    if isinstance(kind, dict):
        return "STRUCT(" + ", ".join(f'"{name}" {_type(of)}' for name, of in kind.items()) + ")"
    return str(kind)


def event_query(source: str, *, texts: bool) -> str:
    """Return the query that turns events as they were read into rows of the table.

    Parameters
    ----------
    source : str
        A table or query in parentheses, with the columns of ``FIELDS``.
    texts : bool
        Whether ``messages`` is among them.
    """
    sides = ", ".join(f"{_call_of(side)} AS {side}" for side in get_args(Route))
    paid = (
        "list_filter(calls, lambda c: c.role IS DISTINCT FROM 'shadow'"
        " AND (c.error IS NULL OR c.cost_usd IS NOT NULL)) AS paid"
    )
    # The time is cast once; a bare timestamp would drop the zone unread.
    moment = 'try_cast("time" AS TIMESTAMPTZ) AS moment'
    return (
        f"SELECT {', '.join(_columns(texts=texts))}"
        f" FROM (SELECT *, {sides}, {paid}, {moment} FROM {source})"
    )


def _call_of(side: str) -> str:
    """Return the call of a model: one whose answer counted before one that nobody saw."""
    own = f"c.side = '{side}'"
    return (
        f"coalesce(list_filter(calls, lambda c: {own} AND c.role IS DISTINCT FROM 'shadow')[1],"
        f" list_filter(calls, lambda c: {own})[1])"
    )


def _columns(*, texts: bool) -> list[str]:
    plain = ("id", "writer", "bundle_version", "reason", "task", '"group"')
    return [
        f"CAST({_problem()} AS TINYINT) AS problem",
        # Twice the same event has the same number of the same writer; without one, the same time.
        'hash(id, writer, seq, CASE WHEN writer IS NULL OR seq IS NULL THEN "time" END) AS event',
        "CAST(moment AS TIMESTAMP) AS time",
        'CAST(moment AS TIMESTAMP) IS DISTINCT FROM try_cast("time" AS TIMESTAMP) AS other_zone',
        *plain,
        _amount("seq"),
        _word("route", get_args(Route)),
        _word("policy_route", get_args(Route)),
        _word("held_on", get_args(Route)),
        _amount("switch_cost_usd"),
        "CASE WHEN len(ineligible) > 0 THEN array_to_string(ineligible, ', ') END AS ineligible",
        *map(_share, ("threshold", "difficulty_score", "p_cheap_fails", "p_frontier_fails")),
        _share("familiarity"),
        *_propensity("propensity", "propensity"),
        _amount("tokens"),
        "truncated",
        _word("outcome", get_args(Outcome)),
        _word("fallback", get_args(FallbackCause)),
        _amount("latency_ms"),
        _amount("decision_ms"),
        f"{_cost()} AS cost_usd",
        *(part for side in get_args(Route) for part in _side(side)),
        *_verdict(),
        *_escalation(),
        f"({_bad_numbers()}) AS bad_number",
        *([f"CAST({MESSAGES} AS VARCHAR) AS {MESSAGES}"] if texts else []),
    ]


def _problem() -> str:
    essential = ("id", '"time"', "route", "bundle_version")
    nothing = " AND ".join(f"{name} IS NULL" for name in ("format", *essential))
    # As Python's dates read it; DuckDB takes one without a zone for UTC.
    zone = r"""regexp_matches("time", '(Z|[+-]\d\d(:?\d\d)?(:\d\d)?)$')"""
    return (
        f"CASE WHEN {nothing} THEN {Problem.DAMAGED:d}"
        f" WHEN format > {EVENT_FORMAT} THEN {Problem.NEWER:d}"
        f" WHEN format IS NULL OR format < 1 OR format <> trunc(format)"
        f" OR id IS NULL OR id = '' OR bundle_version IS NULL OR moment IS NULL"
        f" OR NOT isfinite(moment) OR route IS NULL OR route NOT IN ({_listed(get_args(Route))})"
        f" THEN {Problem.REFUSED:d}"
        f' WHEN length("time") < 12 OR NOT {zone} THEN {Problem.WITHOUT_ZONE:d}'
        f" ELSE {Problem.NONE:d} END"
    )


def _listed(words: tuple[str, ...]) -> str:
    return ", ".join(f"'{word}'" for word in words)


def _word(name: str, words: tuple[str, ...]) -> str:
    return f"CASE WHEN {name} IN ({_listed(words)}) THEN {name} END AS {name}"


_IS_SHARE = "isfinite({0}) AND {0} BETWEEN 0 AND 1.000001"
"""Rounding in float32 ends a little above 1."""
_IS_AMOUNT = "isfinite({0}) AND {0} >= 0"


def _share(name: str) -> str:
    return f"CASE WHEN {_IS_SHARE.format(name)} THEN least({name}, 1) END AS {name}"


def _amount(name: str, of: str = "") -> str:
    return f"CASE WHEN {_IS_AMOUNT.format(of or name)} THEN {of or name} END AS {name}"


def _propensity(name: str, of: str) -> tuple[str, str]:
    """Return a probability of what was done, and whether it is one that cannot be."""
    right = f"isfinite({of}) AND {of} > 0 AND {of} <= 1"
    return (
        f"CASE WHEN {right} THEN {of} END AS {name}",
        f"({of} IS NOT NULL AND NOT ({right})) AS bad_{name}",
    )


def _cost() -> str:
    """Return the cost of a request, as ``DecisionEvent.cost_usd`` counts it."""
    costs = "list_transform(paid, lambda c: c.cost_usd)"
    known = f"len(paid) > 0 AND list_count({costs}) = len(paid)"
    total = f"list_sum({costs})"
    return f"CASE WHEN {known} AND {_IS_AMOUNT.format(total)} THEN {total} END"


def _side(side: str) -> list[str]:
    return [
        _word_of(side, "role", get_args(CallRole)),
        f"{side}.model AS {side}_model",
        f"{side}.error AS {side}_error",
        *(_amount(f"{side}_{name}", f"{side}.{name}") for name in _SIDE_NUMBERS),
    ]


def _word_of(side: str, name: str, words: tuple[str, ...]) -> str:
    field = f"{side}.{name}"
    return f"CASE WHEN {field} IN ({_listed(words)}) THEN {field} END AS {side}_{name}"


def _verdict() -> list[str]:
    # An answer that never came says nothing of how the model answers; no verdict at all is null.
    passes = "list_bool_and(list_transform(cheap.checks, lambda k: k.passed))"
    failed = "list_filter(cheap.checks, lambda k: k.passed = false)[1]"
    return [
        f"CASE WHEN cheap.error IS NULL THEN {passes} END AS cheap_passed",
        f'CASE WHEN cheap.error IS NULL THEN ({failed})."name" END AS failed_validator',
    ]


def _escalation() -> list[str]:
    scores = {"answer_score": "answer_score", "p_answer_fails": "p_answer_fails"}
    numbers = scores | {"answer_threshold": "threshold"}
    return [
        *(
            f"CASE WHEN {_IS_SHARE.format(f'escalation.{of}')} THEN least(escalation.{of}, 1) END"
            f" AS {name}"
            for name, of in numbers.items()
        ),
        "escalation.policy_escalates AS policy_escalates",
        "escalation.escalated AS escalated",
        *_propensity("escalation_propensity", "escalation.propensity"),
    ]


def _bad_numbers() -> str:
    """Return whether a number of the event is none that such a number can be."""
    shares = ("threshold", "difficulty_score", "p_cheap_fails", "p_frontier_fails", "familiarity")
    amounts = (
        *("tokens", "latency_ms", "decision_ms"),
        *(f"{side}.{name}" for side in get_args(Route) for name in _SIDE_NUMBERS),
    )
    rules = [(_IS_SHARE, shares), (_IS_AMOUNT, amounts)]
    return " OR ".join(
        f"({name} IS NOT NULL AND NOT ({rule.format(name)}))"
        for rule, names in rules
        for name in names
    )
