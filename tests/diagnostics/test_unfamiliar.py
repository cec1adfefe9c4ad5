"""Below which familiarity a score says nothing."""

from dataclasses import replace

import numpy as np
import pytest

from difficulty.diagnostics.unfamiliar import (
    FamiliarityAdvice,
    UnseenTasks,
    advise,
    lift_of,
    no_advice,
)

KNOWN = np.linspace(0.0, 1.0, 1_001)
"""Familiarity of the calibration requests: percentiles."""


def unseen_tasks(*, silent_below=0.0, n=6_000, gain=0.2, unfamiliar_gain=None, seed=0):
    """Return 60 tasks whose score tells gains apart, but not below a familiarity."""
    rng = np.random.default_rng(seed)
    familiarity, wanted = rng.random(n), rng.random(n)
    told = familiarity >= silent_below
    p_gain = np.where(told, 2 * gain * wanted, gain if unfamiliar_gain is None else unfamiliar_gain)
    outcome = (rng.random(n) < np.abs(p_gain)) * np.sign(p_gain)
    return UnseenTasks(
        score=wanted,
        familiarity=familiarity,
        outcome=outcome,
        weight=np.ones(n),
        tasks=np.array([f"task {number % 60}" for number in range(n)]),
        fold=np.arange(n) % 60 % 5,
    )


def advice(unseen, *, known_lift=0.2 / 6):
    return advise(
        unseen,
        known_lift=known_lift,
        known_familiarity=KNOWN,
        rng=np.random.default_rng(0),
        n_draws=200,
    )


def test_lift_by_hand():
    """Ranks 1/8, 3/8, 5/8, 7/8 and gains 0, 0, 1, 1: their mean product 3/8 minus the product of
    their means 1/4.
    """
    score, gain = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 0.0, 1.0, 1.0])
    assert lift_of(score, gain, np.ones(4), np.zeros(4, dtype=int)) == pytest.approx(0.125)
    assert lift_of(-score, gain, np.ones(4), np.zeros(4, dtype=int)) == pytest.approx(-0.125)


def test_lift_counts_no_offset_between_folds():
    """The second fold scores and gains more throughout; inside the folds the score knows
    nothing.
    """
    score, gain, fold = (
        np.array([1.0, 1.0, 9.0, 9.0]),
        np.array([0.0, 0.0, 1.0, 1.0]),
        np.array([0, 0, 1, 1]),
    )
    assert lift_of(score, gain, np.ones(4), fold) == pytest.approx(0.0)


def test_lift_leaves_unknown_outcomes_out():
    score, gain = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([0.0, 0.0, 1.0, 1.0, np.nan])
    assert lift_of(score, gain, np.ones(5), np.zeros(5, dtype=int)) == pytest.approx(0.125)
    assert np.isnan(lift_of(score, np.full(5, np.nan), np.ones(5), np.zeros(5, dtype=int)))


def test_advice_finds_where_the_score_falls_silent():
    """The score knows nothing below 0.2, and a fifth of the traffic is below that."""
    found = advice(unseen_tasks(silent_below=0.2))
    assert found.recommended == 0.2
    assert (found.known_share, found.unseen_share) == (
        pytest.approx(0.2, abs=0.01),
        pytest.approx(0.2, abs=0.02),
    )
    assert "Shipping sets min_familiarity 0.1 unless" in found.sentence
    assert "--min-familiarity recommended sets 0.2" in found.sentence
    assert "20.0%" in found.sentence


def test_advice_sets_no_large_bound_unasked():
    """0.2 would cost a fifth of ordinary traffic, so it has to be asked for; 0.02 has not."""
    found = advice(unseen_tasks(silent_below=0.2))
    assert (found.unasked, found.at_request) == (0.1, 0.2)
    assert (replace(found, recommended=0.02).unasked, no_advice("why").unasked) == (0.02, 0.0)


def test_advice_is_none_where_the_score_also_tells_the_unfamiliar_apart():
    found = advice(unseen_tasks())
    assert (found.recommended, found.known_share) == (0.0, 0.0)
    assert "also tells unfamiliar requests of left-out tasks apart" in found.sentence


def test_advice_is_none_where_few_requests_tell_nothing():
    """Silent below 0.2, but on 120 requests a good score would look the same."""
    found = advice(unseen_tasks(silent_below=0.2, n=120))
    assert found.recommended == 0.0
    assert "too few to tell" in found.sentence


def test_advice_is_none_where_the_frontier_model_is_no_better_there():
    """Sending what is unfamiliar to a model that does worse on it would cost twice."""
    assert advice(unseen_tasks(silent_below=0.5, unfamiliar_gain=-0.1)).recommended == 0.0


def test_advice_of_a_score_without_lift_says_so():
    sentence = advice(unseen_tasks(), known_lift=0.0).sentence
    assert "is set: the score routes known tasks no better than chance." in sentence


def test_advice_leaves_unknown_outcomes_out():
    unseen = unseen_tasks(silent_below=0.2)
    unseen.outcome[::3] = np.nan
    assert sum(lift.n for lift in advice(unseen).lifts[-1:]) < 0.5 * 6_000


def test_advice_as_json_has_null_for_what_is_not_defined():
    """No request is less familiar than 0.3."""
    unseen = unseen_tasks()
    form = advice(unseen[unseen.familiarity > 0.35]).as_dict()
    assert [lift["value"] is None for lift in form["lifts"]] == [True] * 5 + [False]
    assert FamiliarityAdvice.parse(form).as_dict() == form
    advised = no_advice("why")
    assert advised.sentence.startswith("No --min-familiarity is set: why.")
    assert (advised.recommended, advised.at_request) == (0.0, 0.02)
