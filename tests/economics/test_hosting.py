import numpy as np
import pytest

from difficulty.economics.hosting import Load, hosted
from difficulty.economics.prices import Aggregator, CloudGpu, Dedicated, OwnGpu

MACHINE = {
    "input_tokens_per_second": 1000,
    "output_tokens_per_second": 100,
    "max_utilisation": 0.5,
    "min_replicas": 0,
    "usd_per_month": 30,
}
OWN = OwnGpu(
    **MACHINE,
    gpus_per_replica=2,
    usd_per_gpu=3600,
    months=36,
    watts_per_gpu=500,
    usd_per_kwh=0.2,
    power_overhead=1.5,
)
CLOUD = CloudGpu(**MACHINE, gpus_per_replica=2, usd_per_gpu_hour=1.5, cold_start_seconds=60)
DEDICATED = Dedicated(**MACHINE, usd_per_endpoint_hour=3.0, cold_start_seconds=60)


def load(*, prompt=500.0, cheap=50.0, peak=2.0, active=730.0):
    return Load(
        prompt_tokens=np.array([prompt]),
        cheap_tokens=np.array([cheap]),
        peak_to_mean=peak,
        active_hours=active,
    )


def test_own_gpus_by_hand():
    """A GPU costs 3,600 / 36 = 100 and 0.5 kW x 1.5 x 730 h x 0.2 = 109.50 a month; a replica has
    two.
    """
    cost = hosted(OWN, load(), keep_warm=False).cost
    assert cost.per_replica == pytest.approx(2 * 209.5)
    assert (cost.fixed, cost.least) == (30, 1)


def test_replicas_by_hand():
    """A request takes 1 s to read and write; of 2,628,000 s a month, at twice the mean and half
    full, one replica serves a quarter.
    """
    made = hosted(OWN, load(), keep_warm=False)
    assert made.cost.replicas(2_628_000 / 4)[0] == 1
    assert made.cost.replicas(2_628_000 / 4 + 1)[0] == 2
    assert made.busy * 2_628_000 == pytest.approx([1.0])


@pytest.mark.parametrize("section", [CLOUD, DEDICATED])
def test_machines_by_the_hour_are_paid_in_active_hours(section):
    """3 USD an hour, for 500 hours; the first request after a pause waits."""
    made = hosted(section, load(active=500.0), keep_warm=False)
    assert (made.cost.per_replica, made.cost.fixed, made.warm_cost, made.cold_start_seconds) == (
        1500.0,
        30.0,
        0.0,
        60.0,
    )


def test_keeping_one_warm_costs_the_idle_hours_in_place_of_waiting():
    """230 idle hours at 3 USD."""
    made = hosted(CLOUD, load(active=500.0), keep_warm=True)
    assert (made.cost.fixed, made.warm_cost, made.cold_start_seconds) == (720.0, 690.0, 0.0)
    assert (
        hosted(CLOUD, load(), keep_warm=False).cold_start_seconds == 0.0
    )  # no idle hours, no pause


def test_few_active_hours_make_a_peak():
    """All traffic in a tenth of the hours is at least ten times the mean."""
    assert load(peak=2.0, active=73.0).peak == 10.0


def test_aggregator_by_hand():
    """500 tokens at 2 and 50 at 10 USD a million: 1,500 millionths a request; it cannot be kept
    warm.
    """
    made = hosted(
        Aggregator(input=2, output=10, usd_per_month=5, cold_start_seconds=4),
        load(),
        keep_warm=True,
    )
    assert made.cost.at(1000) == pytest.approx([6.5])
    assert (made.busy, made.cold_start_seconds) == (None, 4.0)


def test_something_else_hosts_nothing():
    with pytest.raises(TypeError, match="no way to host"):
        hosted("a drawer", load(), keep_warm=False)
