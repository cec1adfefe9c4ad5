"""Columns of small decision logs, as the decision table names them."""

import numpy as np

from difficulty.replay.logged_sides import LoggedRequests

NAN = float("nan")
_NUMBERS = (
    "cheap_quality",
    "frontier_quality",
    "cost_usd",
    "cheap_cost_usd",
    "frontier_cost_usd",
    "cheap_passed",
    "answer_score",
    "policy_escalates",
    "escalated",
    "escalation_propensity",
    "difficulty_score",
    "tokens",
)
_WORDS = ("fallback", "group", "cheap_role", "frontier_role")


def columns_of(route, **columns):
    """Return the columns of some requests; what is not named is unknown, the propensity 1/2 and the
    logged rule the route taken.
    """
    n = len(route)
    words = {"route": route, "policy_route": columns.pop("policy_route", route)}
    for name in _WORDS:
        words[name] = columns.pop(name, [None] * n)
    numbers = {name: columns.pop(name, [NAN] * n) for name in _NUMBERS}
    numbers["propensity"] = columns.pop("propensity", [0.5] * n)
    assert not columns
    return {name: np.array(values, dtype=object) for name, values in words.items()} | {
        name: np.array(values, dtype=float) for name, values in numbers.items()
    }


def log_of(route, **columns):
    return LoggedRequests.of(columns_of(route, **columns))
