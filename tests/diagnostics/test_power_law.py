import numpy as np
import pytest

from difficulty.diagnostics.learning_curve import expected_gains
from difficulty.errors import InvalidValueError

SIZES = np.array([125.0, 250.0, 500.0, 1000.0])


def gains(values, *, noise=1e-3, size=4000.0, n_draws=400):
    """Return the gains of draws that lie off some values by the noise."""
    rng = np.random.default_rng(0)
    drawn = values + rng.normal(scale=noise, size=(n_draws, len(values)))
    return expected_gains(SIZES, drawn, noise=np.full(4, noise), size=size, rng=rng)


def test_gain_of_an_exact_inverse_square_root_is_found():
    """0.7 - 2 / sqrt(size) is 0.7 - 2 / 31.62 at 1,000 and 0.7 - 2 / 63.25 at 4,000: higher by
    0.0316.
    """
    found = gains(0.7 - 2.0 / np.sqrt(SIZES), noise=1e-5)
    assert np.median(found) == pytest.approx(0.0316, abs=1e-3)


def test_gain_of_a_flat_curve_is_none_give_or_take_its_noise():
    found = gains(np.full(4, 0.6))
    assert np.quantile(found, 0.025) < 0.0 < np.quantile(found, 0.975)
    assert np.abs(found).max() < 0.01


def test_more_noise_widens_the_gain():
    """What is left of it without noise is that the exponent is not known."""
    narrow, wide = (np.std(gains(0.7 - SIZES**-0.4, noise=noise)) for noise in (1e-3, 1e-2))
    assert wide > 2.0 * narrow > 0.0


def test_point_of_little_noise_counts_more():
    """The last two points are sure and level, so the first two, which are not sure, make no
    slope.
    """
    values = np.array([[0.5, 0.55, 0.6, 0.6]])
    noise = np.array([0.5, 0.5, 1e-4, 1e-4])
    found = expected_gains(SIZES, values, noise=noise, size=2000.0, rng=np.random.default_rng(0))
    assert found == pytest.approx([0.0], abs=1e-3)


def test_gain_covers_the_truth_as_often_as_it_says():
    """Points with noise from a curve with exponent 0.35: the 95 % interval holds the true gain in
    at least 90 of 100 cases.
    """
    rng, noise = np.random.default_rng(1), np.full(4, 0.004)
    truth = 0.75 - 1.2 * np.append(SIZES, 2000.0) ** -0.35
    held = 0
    for _ in range(100):
        seen = truth[:4] + rng.normal(scale=noise)
        found = expected_gains(
            SIZES, seen + rng.normal(scale=noise, size=(400, 4)), noise=noise, size=2000.0, rng=rng
        )
        low, high = np.quantile(found, [0.025, 0.975])
        held += low <= truth[4] - truth[3] <= high
    assert held >= 90


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": [1.0, 2.0]}, "sizes must be at least 3 different numbers above 0"),
        ({"sizes": [1.0, 1.0, 2.0]}, "sizes must be at least 3 different"),
        ({"size": 0.0}, "sizes must be"),
        ({"noise": [0.0, 1.0, 1.0]}, "noise must be above 0"),
    ],
)
def test_what_is_no_curve_is_refused(changes, message):
    given = {"sizes": [1.0, 2.0, 3.0], "size": 4.0, "noise": [1.0, 1.0, 1.0]} | changes
    with pytest.raises(InvalidValueError, match=message):
        expected_gains(
            values=np.zeros((2, len(given["sizes"]))), rng=np.random.default_rng(0), **given
        )
