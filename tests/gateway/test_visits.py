"""Exploration: which route is taken, how probable it was, and that chance is the request's own."""

import numpy as np
import pytest

from difficulty.bundle import Exploration
from difficulty.errors import FieldError
from difficulty.gateway.visits import chance, explore

IDS = [f"request-{number}" for number in range(20_000)]


def routes(settings, route="cheap", reason="within_threshold"):
    return [explore(route, reason, settings, id=name) for name in IDS]


def test_route_is_the_rules_and_certain_by_default():
    assert explore("cheap", "within_threshold", Exploration(), id="r1") == ("cheap", 1.0, False)


def test_explored_share_is_epsilon_and_its_propensity_is_logged():
    """Of 20,000 requests 5 % take the other route, within 4 standard errors (0.0062); each knows
    how probable its own route was.
    """
    found = routes(Exploration(epsilon=0.05))
    other = [routed for routed in found if routed.route == "frontier"]
    assert len(other) / len(found) == pytest.approx(0.05, abs=0.0062)
    assert {routed.propensity for routed in other} == {0.05}
    assert {routed.propensity for routed in found if routed.route == "cheap"} == {0.95}


def test_inverse_propensities_give_back_what_the_other_route_would_have_seen():
    """Outcomes seen on the frontier route alone, weighted by 1 / propensity, have the mean over all
    requests: the Horvitz-Thompson sum.
    """
    outcome = np.random.default_rng(0).random(len(IDS))
    found = routes(Exploration(epsilon=0.2))
    weighted = [
        value / routed.propensity
        for value, routed in zip(outcome, found, strict=True)
        if routed.route == "frontier"
    ]
    assert sum(weighted) / len(IDS) == pytest.approx(outcome.mean(), abs=0.02)


@pytest.mark.parametrize("reason", ["easy_task", "hard_task", "scorer_error"])
def test_routes_without_a_score_are_not_explored(reason):
    assert {
        (routed.route, routed.propensity)
        for routed in routes(Exploration(epsilon=0.5), "frontier", reason)
    } == {("frontier", 1.0)}


def test_shadow_calls_are_a_sample_of_all_reasons_and_independent_of_exploration():
    found = routes(Exploration(epsilon=0.5, shadow=0.1))
    for route in ("cheap", "frontier"):
        taken = [routed.shadow for routed in found if routed.route == route]
        assert np.mean(taken) == pytest.approx(0.1, abs=0.013)
    assert np.mean(
        [routed.shadow for routed in routes(Exploration(shadow=0.1), "frontier", "hard_task")]
    ) == pytest.approx(0.1, abs=0.009)


def test_the_same_request_gets_the_same_treatment_and_another_seed_another():
    first, again, reseeded = (routes(Exploration(epsilon=0.5, seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != reseeded


def test_chance_is_uniform_and_takes_any_id():
    values = np.array([chance("explore", 0, name) for name in IDS])
    assert np.histogram(values, bins=10, range=(0, 1))[0].min() > 1_800
    assert 0 <= chance("explore", 0, "lone \udcff surrogate") < 1


@pytest.mark.parametrize(
    "change", [{"epsilon": 0.6}, {"epsilon": -0.1}, {"shadow": 1.1}, {"seed": -1}, {"often": 1}]
)
def test_exploration_refuses_what_breaks_a_rule(change):
    with pytest.raises(FieldError):
        Exploration.parse(change)


def test_chance_is_a_secret_of_the_server():
    """Who knows the id and the seed knows nothing: another secret, another draw."""
    drawn = {secret: [chance("explore", 0, name, secret=secret) for name in IDS] for secret in "ab"}
    assert abs(np.corrcoef(drawn["a"], drawn["b"])[0, 1]) < 0.1
