import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.economics.hosting import Saving, StepCost

GPU = StepCost(
    fixed=100.0, per_request=0.001, per_replica=500.0, replicas_per_request=1e-6, least=1
)


def test_cost_by_hand():
    """1.5 million requests need two replicas: 100 + 1,500 + 2 x 500; 10 need one all the same: 100
    + 0.01 + 500.
    """
    assert GPU.at(1_500_000) == pytest.approx(2600.0)
    assert GPU.at(10) == pytest.approx(600.01)
    assert GPU.replicas(np.array([1.0, 1e6, 1e6 + 1])).tolist() == [1, 1, 2]


def test_saving_and_break_even_by_hand():
    """Within one replica 0.002 a request has to earn 600: 300,000 requests. A full replica earns
    2,000, so no step undoes it.
    """
    saving = Saving(per_request=0.003, cost=GPU)
    assert saving.at(1_000_000) == pytest.approx(3000.0 - 1600.0)
    assert saving.break_even() == pytest.approx(300_000.0)


def test_break_even_is_behind_the_last_step_that_falls_below_zero():
    """A replica of 500 earns 600 when full, the fixed cost is 100: the step to replica 7 is the
    first that starts at 0 or above.

    Steps start at (R - 1) 600 - 100 - 500 R = 100 R - 700 for replica R; in the sixth the saving
    reaches 0 at (100 + 3,000) / 0.0006.
    """
    saving = Saving(
        per_request=0.0006,
        cost=StepCost(fixed=100.0, per_replica=500.0, replicas_per_request=1e-6, least=1),
    )
    assert saving.break_even() == pytest.approx(3100 / 0.0006)
    assert saving.at(5_000_001) == pytest.approx(-100.0, abs=0.01)
    assert saving.at(6_000_001) == pytest.approx(0.0, abs=0.01)


def test_lines_without_replicas():
    saving = Saving(per_request=0.003, cost=StepCost(fixed=100.0, per_request=0.001))
    assert saving.break_even() == pytest.approx(50_000.0)
    assert StepCost(fixed=7.0).replicas(1e9) == 0


@pytest.mark.parametrize(
    ("per_request", "cost"),
    [
        (0.001, StepCost(fixed=1.0, per_request=0.001)),
        (0.001, StepCost(per_replica=500.0, replicas_per_request=2e-6, least=1)),
    ],
    ids=["no gap", "a full replica earns what it costs"],
)
def test_nothing_breaks_even_without_a_gap(per_request, cost):
    assert Saving(per_request=per_request, cost=cost).break_even() == np.inf


def test_unknown_parts_make_break_even_unknown():
    """An unknown cost is not taken for none."""
    for saving in (
        Saving(per_request=np.nan, cost=GPU),
        Saving(per_request=1.0, cost=StepCost(fixed=np.nan)),
    ):
        assert np.isnan(saving.break_even())


SAVINGS = st.builds(
    lambda gain, fixed, replica, needed, least: Saving(
        per_request=np.array([gain]), cost=StepCost(fixed=fixed, per_replica=replica,
        replicas_per_request=needed, least=least)
    ),
    st.floats(1e-5, 1e-2), st.floats(0, 1e5), st.floats(0, 1e4), st.floats(1e-9, 1e-5),
    st.integers(1, 5),
)  # fmt: skip


@given(SAVINGS, st.floats(1.0, 30.0))
def test_break_even_makes_the_saving_zero_and_above_it_nothing_is_lost(saving, factor):
    volume = float(saving.break_even()[0])
    if np.isfinite(volume):
        size = 1.0 + abs(float(saving.cost.at(volume)))
        if volume > 0:
            assert abs(float(saving.at(volume)[0])) <= 1e-6 * size
        assert float(saving.at(factor * volume + 1.0)[0]) >= -1e-6 * size * factor


@given(SAVINGS, st.integers(2, 50), st.floats(1e3, 1e7))
def test_more_volume_never_lowers_the_saving_of_a_request(saving, times, volume):
    """For whole multiples: between them a replica may just have been added, and not be full yet."""
    once, often = saving.at(volume)[0] / volume, saving.at(times * volume)[0] / (times * volume)
    assert often >= once - 1e-6 * (abs(once) + 1e-6)
