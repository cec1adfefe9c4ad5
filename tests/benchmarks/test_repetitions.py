import numpy as np
import pytest

from benchmarks.lib.repetitions import mean_of, root_mean_squares


def test_mean_by_hand():
    """1, 2 and 3: sd 1, and Student's 0.975 quantile with two degrees of freedom is 4.3027."""
    found = mean_of([1.0, 2.0, 3.0])
    assert (found.value, found.sd, found.n) == (2.0, 1.0, 3)
    assert found.high - 2.0 == pytest.approx(4.3027 / np.sqrt(3), abs=1e-4)
    assert found.low + found.high == pytest.approx(4.0)


def test_root_mean_squares_by_hand():
    """The root of (9 + 16) / 2, beside a way that is always off by 5 and one that is the same;
    draws take rows whole.
    """
    error, more = root_mean_squares([[3.0, -5.0, 3.0], [-4.0, 5.0, -4.0]], beside=0)
    assert [one.value for one in error] == pytest.approx([np.sqrt(12.5), 5.0, np.sqrt(12.5)])
    assert (error[0].low, error[0].high) == (3.0, 4.0)
    assert more[1].value == pytest.approx(5 - np.sqrt(12.5))
    assert (more[1].low, more[1].high) == (1.0, 2.0)
    assert (more[2].value, more[2].low, more[2].high) == (0.0, 0.0, 0.0)
