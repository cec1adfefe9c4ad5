"""Exploration: which requests take the other route, and which are also sent to the other model, so
that the log can teach.

The rule itself stays a pure function; this sits above it. Chance is a hash of the policy's seed and
the request's id, so the same request gets the same treatment when it comes again, and a log can be
checked afterwards. Ids must not depend on what requests hold.

Only routes that a score decided are explored. A task that the policy names is its owner's word, and
a request that could not be scored is sent to the frontier model because nothing is known of it;
both keep their route with probability 1. Shadow calls risk nothing, so any request may have one.
"""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

from difficulty.bundle.policy import Exploration
from difficulty.route import Route
from difficulty.runtime.rule import Reason

EXPLORED: frozenset[Reason] = frozenset({"above_threshold", "within_threshold", "unfamiliar"})
"""Reasons whose routes may be exchanged."""


class Routed(NamedTuple):
    """The route taken."""

    route: Route
    propensity: float
    """Probability of this route, in (0, 1]."""
    shadow: bool
    """Whether the other model is asked too."""


def explore(route: Route, reason: Reason, settings: Exploration, *, id: str) -> Routed:
    """Return the route that a request takes, given the one that the rule named.

    Parameters
    ----------
    route, reason : str
        What the rule says.
    settings : Exploration
        Of the policy.
    id : str
        Id of the request.
    """
    epsilon = settings.epsilon if reason in EXPLORED else 0.0
    shadow = chance("shadow", settings.seed, id) < settings.shadow
    if chance("explore", settings.seed, id) < epsilon:
        return Routed(other(route), epsilon, shadow)
    return Routed(route, 1.0 - epsilon, shadow)


def other(route: Route) -> Route:
    """Return the other one of the two."""
    return "frontier" if route == "cheap" else "cheap"


def chance(purpose: str, seed: int, id: str) -> float:
    """Return a number in [0, 1) that depends on nothing but the arguments."""
    digest = sha256(f"{purpose}:{seed}:{id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
