"""Agreement of raters, against values worked by hand and the examples of the literature."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.metrics.agreement import krippendorff_alpha, pair_agreement


def test_alpha_of_four_answers_by_hand():
    """Units (1,1), (0,0), (1,0), (0,0): observed 1/4 of ordered pairs; of 8 values 3 are 1, so
    expected 2 x 3 x 5 / 56.
    """
    units, values = [0, 0, 1, 1, 2, 2, 3, 3], [1, 1, 0, 0, 1, 0, 0, 0]
    assert krippendorff_alpha(units, values) == pytest.approx(1 - (2 / 8) / (30 / 56))
    assert pair_agreement(units, values) == pytest.approx(3 / 4)


def test_alpha_of_the_published_example():
    """Krippendorff (2011), section E: four observers, twelve units, missing values; interval alpha
    0.849.
    """
    observers = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    said = [
        (unit, value) for row in observers for unit, value in enumerate(row) if value is not None
    ]
    assert krippendorff_alpha(*zip(*said, strict=True)) == pytest.approx(0.849, abs=5e-4)


@pytest.mark.parametrize(
    ("units", "values"), [([], []), ([0, 1, 2], [1, 0, 1]), ([0, 0, 1, 1], [1, 1, 1, 1])]
)
def test_alpha_is_unknown_without_pairs_or_differences(units, values):
    assert np.isnan(krippendorff_alpha(units, values))


def test_agreement_is_unknown_without_pairs():
    assert np.isnan(pair_agreement([0, 1], [1.0, 1.0]))
    assert np.isnan(pair_agreement([], []))


def test_alpha_of_raters_that_toss_coins_is_about_zero():
    values = np.random.default_rng(0).integers(0, 2, 20_000)
    assert krippendorff_alpha(np.repeat(np.arange(10_000), 2), values) == pytest.approx(
        0.0, abs=0.03
    )


@given(
    st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1)), min_size=2, max_size=40),
    st.floats(0.1, 9),
    st.floats(-5, 5),
)
def test_alpha_depends_on_neither_scale_nor_order(said, factor, shift):
    units, values = np.array([unit for unit, _ in said]), np.array([value for _, value in said])
    alpha = krippendorff_alpha(units, values)
    moved = krippendorff_alpha(units[::-1], (values * factor + shift)[::-1])
    assert (np.isnan(alpha) or np.ptp(values) < 1e-6) or moved == pytest.approx(alpha, abs=1e-6)
    assert np.isnan(alpha) or alpha <= 1.0
