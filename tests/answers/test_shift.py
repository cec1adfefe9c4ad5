"""Facts that move, with numbers made up."""

import numpy as np
import pytest

from difficulty.answers.shift import LEAST_ANSWERS, Bands, FactMeans, Reference, shift_of

REFERENCE = Reference(
    np.array([0.0, 5.0, 1.0, np.nan]),
    np.array([1.0, 2.0, 0.0, np.nan]),
    np.array([1.0, 1.0, 1.0, 0.0]),
)


def answers(n=400, *, seed=0, means=(0.0, 5.0)):
    """Return facts of n answers: two that vary, one that never does, one that is never known."""
    rng = np.random.default_rng(seed)
    varying = np.array(means) + rng.normal(size=(n, 2)) * [1.0, 2.0]
    return np.column_stack([varying, np.ones(n), np.full(n, np.nan)]).astype(np.float32)


def test_answers_like_those_of_training_have_not_moved():
    shift = shift_of(answers(), REFERENCE)
    assert (shift.share, shift.moved, shift.n_facts, shift.n_answers) == (0.0, (), 2, 400)


def test_mean_further_than_half_a_deviation_has_moved():
    """5 -> 6.6 is 0.8 deviations, 5 -> 5.6 is 0.3."""
    assert shift_of(answers(means=(0.0, 6.6)), REFERENCE)[:2] == (0.5, (1,))
    assert shift_of(answers(means=(0.0, 5.6)), REFERENCE).share == 0.0


def test_furthest_fact_comes_first():
    assert shift_of(answers(means=(0.7, 7.0)), REFERENCE).moved == (1, 0)


def test_fact_that_is_no_longer_known_has_moved():
    """As where log probabilities are not sent any more; and one that is known all at once."""
    values = answers()
    values[:, 0] = np.nan
    values[:, 3] = 1.0
    assert set(shift_of(values, REFERENCE).moved) == {0, 3}


def test_few_answers_say_nothing():
    assert shift_of(answers(LEAST_ANSWERS - 1, means=(9.0, 9.0)), REFERENCE) is None
    assert shift_of(answers(LEAST_ANSWERS, means=(9.0, 9.0)), REFERENCE).share == 1.0


def test_one_answer_far_out_moves_no_mean():
    """It counts as four deviations, however far it is."""
    values = answers()
    values[7] = [1e30, -np.inf, 1.0, np.nan]
    assert shift_of(values, REFERENCE).share == 0.0


def test_facts_of_training_answers_are_called_moved_once_in_a_thousand():
    """200 draws of 200 answers, 400 means: no false alarm but by 7 deviations."""
    found = [shift_of(answers(LEAST_ANSWERS, seed=seed), REFERENCE).share for seed in range(200)]
    assert sum(found) == 0.0


def test_memory_follows_what_came_last():
    """After 1,000 answers of another kind, and 1,000 of the old one again."""
    means = FactMeans(REFERENCE, memory=200)
    means.add(answers(1_000, means=(2.0, 5.0)))
    assert means.shift().moved == (0,)
    means.add(answers(1_000))
    assert means.shift().moved == ()


def test_no_facts_say_nothing():
    empty = Reference(*(np.zeros(0) for _ in range(3)))
    assert shift_of(np.zeros((300, 0)), empty) is None


@pytest.mark.parametrize("values", [np.full((300, 4), np.nan), np.full((300, 4), np.inf)])
def test_facts_that_are_no_numbers_count_as_unknown(values):
    shift = shift_of(values, REFERENCE)
    assert set(shift.moved) == {0, 1, 2}


def test_answers_to_easy_requests_are_held_against_those_to_easy_requests():
    """Training had as many answers to hard requests, whose second fact is 4 higher and whose fourth
    is known: a policy that sends these on at once leaves the others, and nothing has moved.
    """
    mean = np.array([[0.0, 3.0, 1.0, np.nan], [0.0, 7.0, 1.0, 2.0]])
    known = np.array([[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    whole = Reference(
        np.array([0.0, 5.0, 1.0, 2.0]), np.array([1.0, 2.0, 0.0, 1.0]), np.array([1, 1, 1, 0.5])
    )
    banded = whole._replace(bands=Bands(np.array([0.5]), mean, known))
    easy = answers(means=(0.0, 3.0))
    assert set(shift_of(easy, whole, np.full(400, 0.5)).moved) == {1, 3}
    assert shift_of(easy, banded, np.full(400, 0.5)).moved == ()
    assert set(shift_of(easy, banded, np.full(400, 0.75)).moved) == {1, 3}
    # Of requests that nothing is said of, as without bands.
    assert shift_of(easy, banded) == shift_of(easy, whole)
