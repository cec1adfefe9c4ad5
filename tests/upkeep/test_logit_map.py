import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.upkeep.logit_map import LogitMap, fit_map

# So that no value reaches the ends, where probabilities are cut.
SLOPES, SHIFTS = st.floats(0.2, 3.0), st.floats(-2.0, 2.0)


def test_a_map_worked_by_hand():
    """The odds 4 of 0.8 squared are 16, and half of that 8: 8/9."""
    assert LogitMap(2.0, -math.log(2.0))(np.array([0.8])) == pytest.approx(8 / 9)


@given(SLOPES, SHIFTS, SLOPES, SHIFTS)
def test_maps_compose_and_undo(slope, shift, slope2, shift2):
    first, second = LogitMap(slope, shift), LogitMap(slope2, shift2)
    p = np.array([0.2, 0.5, 0.7])
    assert second.after(first)(p) == pytest.approx(second(first(p)), rel=1e-6, abs=1e-9)
    assert first.inverse(first(p)) == pytest.approx(p, abs=1e-5)


def test_a_map_keeps_the_order_and_what_is_unknown():
    mapped = LogitMap(0.3, 1.0)(np.array([0.0, 0.2, np.nan, 0.21, 1.0]))
    assert np.isnan(mapped[2])
    assert (np.diff(mapped[[0, 1, 3, 4]]) > 0).all()


def draw(n, *, slope, shift, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.02, 0.98, n)
    y = (rng.random(n) < LogitMap(slope, shift)(p)).astype(float)
    return p, y


def fit(p, y, **changes):
    given = {"weight": np.ones(len(p)), "groups": np.arange(len(p))} | changes
    return fit_map(p, y, **given)


def test_what_is_off_is_put_right():
    """Frequencies are those of slope 0.5 and shift 0.8; unknown outcomes take no part."""
    p, y = draw(6_000, slope=0.5, shift=0.8)
    y[::5] = np.nan
    fitted = fit(p, y)
    assert fitted.map.slope == pytest.approx(0.5, abs=0.06)
    assert fitted.map.shift == pytest.approx(0.8, abs=0.1)
    assert fitted.gain > 0.05


def test_few_samples_move_little():
    """Of 60 samples less is made than of 6,000: shrunk maps are nearer to none."""
    errors = []
    for seed in range(10):
        p, y = draw(60, slope=1.0, shift=1.0, seed=seed)
        shrunk = fit(p, y, strengths=(50.0,)).map
        free = fit(p, y, strengths=(0.01,)).map
        assert 0.0 < shrunk.shift < free.shift or free.shift <= 0.0
        errors.append(abs(shrunk.slope - 1.0) < abs(free.slope - 1.0))
    assert sum(errors) >= 8


def test_what_is_right_mostly_stays():
    """Infinitely strong is among the choices, and taken in most draws."""
    stays = [fit(*draw(400, slope=1.0, shift=0.0, seed=seed)).map for seed in range(20)]
    assert sum(each.is_identity for each in stays) >= 8
    assert all(abs(each.shift) < 0.35 for each in stays)


def test_too_few_groups_move_nothing():
    p, y = draw(300, slope=0.3, shift=2.0)
    assert fit(p, y, groups=np.arange(300) // 40).map.is_identity
    assert fit(p, np.full(300, np.nan)).map.is_identity


def test_groups_are_folded_whole():
    """Copies of 12 requests say as much as the 12: cross-validation is not taken in."""
    p, y = draw(30, slope=1.0, shift=0.0, seed=3)
    many = fit(np.repeat(p, 40), np.repeat(y, 40), groups=np.repeat(np.arange(30), 40))
    assert many.gain < 0.2
