import numpy as np
import pytest

from difficulty.metrics.arrays import effective_samples


@pytest.mark.parametrize(
    ("weight", "worth"),
    [([2, 2, 2, 2], 4), ([1, 3], 16 / 10), ([1e300, 1.0], 1), ([], 0), ([0, 0], 0)],
)
def test_effective_samples_by_hand(weight, worth):
    assert effective_samples(weight) == pytest.approx(worth)


def test_effective_samples_do_not_depend_on_the_unit():
    weight = np.random.default_rng(0).exponential(size=50)
    assert effective_samples(1e-200 * weight) == pytest.approx(effective_samples(weight))
