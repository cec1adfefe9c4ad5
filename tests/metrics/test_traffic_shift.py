"""How far requests are from a reference, and what is told of them without outcomes."""

import numpy as np
import pytest

from difficulty.errors import InvalidValueError, TooFewSamplesError
from difficulty.metrics.traffic_shift import (
    UNKNOWN_FAILURE,
    UNKNOWN_GAP,
    RequestPoints,
    ShiftDistance,
    clustered_variance,
    effective_size,
    shift_distance,
    unlabelled_parts,
)


def points(n, rng, *, score=0.5, tokens=60.0, familiarity=0.5, groups=None):
    return RequestPoints(
        difficulty_score=np.clip(rng.normal(score, 0.03, n), 0.0, 1.0),
        tokens=np.exp(rng.normal(np.log(tokens), 0.5, n)),
        familiarity=np.clip(rng.normal(familiarity, 0.2, n), 0.0, 1.0),
        groups=groups,
    )


def mixed(first, second):
    return RequestPoints(
        **{
            name: np.concatenate([getattr(first, name), getattr(second, name)])
            for name in ("difficulty_score", "tokens", "familiarity")
        }
    )


def test_requests_like_the_reference_are_at_no_distance():
    rng = np.random.default_rng(0)
    far = [shift_distance(points(800, rng), points(800, rng), seed=n) for n in range(20)]
    assert np.mean([each.value for each in far]) < 0.03
    assert all(each.value < 3.0 * each.error for each in far)


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_distance_is_about_the_share_that_is_new(share):
    """Requests ten times as long and unfamiliar are told apart, all others are not."""
    rng = np.random.default_rng(1)
    new = points(round(1000 * share), rng, tokens=900.0, familiarity=0.0)
    some = mixed(new, points(1000 - len(new), rng)) if share < 1.0 else new
    distance = shift_distance(points(1500, rng), some, seed=0)
    # At most the share, and of it all but what a small share leaves unlearned.
    assert 0.75 * share <= distance.value <= share + 2.0 * distance.error


def test_counts_stand_for_requests():
    """A reference in bins says nearly what its requests say."""
    rng = np.random.default_rng(2)
    plain = points(2000, rng)
    place = (plain.tokens > 60.0).astype(int)
    middle = np.array([np.median(plain.tokens[place == side]) for side in (0, 1)])
    cells, counts = np.unique(
        np.column_stack(
            [plain.difficulty_score.round(2), middle[place], plain.familiarity.round(1)]
        ),
        axis=0,
        return_counts=True,
    )
    binned = RequestPoints(
        difficulty_score=cells[:, 0],
        tokens=cells[:, 1],
        familiarity=cells[:, 2],
        count=counts.astype(float),
        effective=2000.0,
    )
    new = points(1000, rng, tokens=300.0)
    exact, rough = (shift_distance(each, new, seed=0).value for each in (plain, binned))
    assert rough == pytest.approx(exact, abs=0.1)


def test_one_client_among_few_makes_it_less_sure():
    """Ten requests a conversation are worth fewer than as many apart."""
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(80).astype(str), 10)
    alone = shift_distance(points(800, rng), points(800, rng), seed=0)
    clustered = shift_distance(points(800, rng), points(800, rng, groups=groups), seed=0)
    assert clustered.error > 1.5 * alone.error
    assert effective_size(points(800, rng, groups=groups)) == pytest.approx(80.0)


def test_too_few_requests_are_not_compared():
    rng = np.random.default_rng(4)
    with pytest.raises(TooFewSamplesError, match="needs 30 of each: got 12"):
        shift_distance(points(100, rng), points(12, rng), seed=0)


def test_values_that_are_no_numbers_are_refused():
    with pytest.raises(InvalidValueError, match="hold no NaN"):
        RequestPoints(difficulty_score=np.array([0.5, np.nan]), tokens=np.ones(2))


def test_variance_of_a_mean_over_groups_by_hand():
    """Sums of two groups of two about the mean 0.5 are 1 and -1: 2 x (1 + 1) / 16."""
    values, groups = np.array([1.0, 1.0, 0.0, 0.0]), np.array(["a", "a", "b", "b"])
    assert clustered_variance(values, groups) == pytest.approx(0.25)
    # Each alone: 4 / 3 of a variance of 1/4, over 4.
    assert clustered_variance(values, None) == pytest.approx(1.0 / 12.0)


def test_interval_has_three_parts_by_hand():
    """Shift 0.2 of what is 0.2 from the middle, calibration 0.01, noise 0.2 / 100, alike."""
    value, parts = unlabelled_parts(
        np.full(100, 0.3),
        noise=np.full(100, 0.2),
        groups=None,
        distance=ShiftDistance(0.15, 0.05),
        unknown=UNKNOWN_FAILURE,
        calibration_error=0.01,
    )
    assert value == pytest.approx(0.3)
    assert parts == pytest.approx((0.04 * (1.0 / 12.0 + 0.04), 0.0001, 0.002))
    assert parts.half == pytest.approx(1.959964 * np.sqrt(sum(parts)))
    assert UNKNOWN_GAP.spread == pytest.approx(np.sqrt(2.0) * UNKNOWN_FAILURE.spread)


def test_estimate_covers_where_part_of_the_traffic_fails_as_it_likes():
    """A fifth is of a new kind with a failure rate drawn from anywhere, 200 draws."""
    rng = np.random.default_rng(5)
    reference, covered = points(1500, rng), 0
    for draw in range(200):
        new = points(200, rng, tokens=900.0, familiarity=0.0)
        some = mixed(new, points(800, rng))
        p = np.full(1000, 0.3)
        truth = np.concatenate([np.full(200, rng.random()), np.full(800, 0.3)])
        value, parts = unlabelled_parts(
            p,
            noise=p * (1.0 - p),
            groups=None,
            distance=shift_distance(reference, some, seed=draw),
            unknown=UNKNOWN_FAILURE,
            calibration_error=0.0,
        )
        covered += abs((rng.random(1000) < truth).mean() - value) <= parts.half
    assert covered >= 184  # 0.95 x 200 less two binomial deviations


def test_few_requests_of_the_same_traffic_are_seldom_told_to_be_unlike_it():
    """Of 40 sets of 40 requests drawn as the reference, at the level of 5 %: 2 are expected, 6 are
    three binomial deviations. Requests of another kind are told every time.
    """
    rng = np.random.default_rng(7)
    reference = points(800, rng)
    alike = [shift_distance(reference, points(40, rng), seed=draw) for draw in range(40)]
    assert sum(distance.is_shown for distance in alike) <= 6
    others = [
        shift_distance(reference, points(40, rng, tokens=900.0), seed=draw) for draw in range(5)
    ]
    assert all(distance.is_shown for distance in others)
