"""Requests that one model cannot take never reach it through the gateway, by chance or by error."""

import numpy as np

from difficulty.answers.answer import Answer
from difficulty.gateway.requests import Gateway
from tests.needs.bodies import make_body
from tests.runtime.conftest import hand_made

POLICY = {
    "eligibility": {
        "cheap": {"context_tokens": 8_192, "modalities": ["image"], "tools": False},
        "frontier": {"modalities": ["text", "file"], "context_tokens": 60_000},
    },
    "exploration": {"epsilon": 0.5, "shadow": 0.9},
    "fallback": {"validators": [{"check": "non_empty"}]},
}


def test_neither_chance_nor_fallback_nor_shadow_reaches_a_model_that_cannot_take_it():
    """5,000 requests, half of them explored, nine in ten with a shadow, no answer passes."""
    gateway, rng = Gateway(hand_made(POLICY)), np.random.default_rng(3)
    seen = dict.fromkeys(("ineligible", "explored", "fallback", "shadow"), 0)
    for number in range(5_000):
        visit = gateway.open(make_body(rng, "chat")[0], id=f"r{number}")
        decision = visit.decision
        if decision.can_take != "both":
            assert (visit.route, visit.routed.propensity) == (decision.route, 1.0)
            assert not visit.routed.shadow
            assert visit.event("answered").ineligible == decision.ineligible
            seen["ineligible"] += 1
        if visit.route == "cheap" and number % 4 == 0:
            call = gateway.note(visit, "answer", answer=Answer(""))
            falls_back = gateway.falls_back(visit, call)
            assert falls_back == (decision.can_take == "both")
            seen["fallback"] += falls_back
        seen["explored"] += visit.route != decision.route
        seen["shadow"] += visit.routed.shadow
    assert min(seen.values()) > 100
