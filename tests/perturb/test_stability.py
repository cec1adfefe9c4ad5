"""How far decisions hold."""

import numpy as np
import pytest

from difficulty.metrics import Resampling
from difficulty.perturb import Stability, measure_stability

GROUPS = np.array([f"g{number}" for number in range(400)])


def measured(plain, perturbed, *, gain=None, flags=None, groups=GROUPS):
    return measure_stability(
        Stability(plain, plain > 0.5),
        Stability(perturbed, perturbed > 0.5, flags),
        gain=np.zeros(len(plain)) if gain is None else gain,
        groups=groups,
        resampling=Resampling(200),
    )


def test_figures_by_hand():
    """Scores 0.2, 0.4, 0.6, 0.8 become 0.2, 0.6, 0.4, 0.8: two decisions of four change, of the
    four pairs of a kept and a sent one three keep their order.
    """
    figures = measured(
        np.array([0.2, 0.4, 0.6, 0.8]),
        np.array([0.2, 0.6, 0.4, 0.8]),
        gain=np.array([0.0, 0.0, 0.0, 1.0]),
        flags=np.array([False, True, False, False]),
        groups=GROUPS[:4],
    )
    assert figures["unchanged"].value == 0.5
    assert figures["told_apart"].value == 0.75
    assert figures["frontier_share_change"].value == 0.0
    assert figures["apgr_change"].value == pytest.approx(0.0)
    assert figures["unfamiliar"].value == 0.25
    assert figures["unchanged_or_unfamiliar"].value == 0.75


def test_score_that_collapsed_tells_nothing_apart_however_much_is_unchanged():
    rng = np.random.default_rng(0)
    plain = np.where(rng.random(400) < 0.1, 0.6, 0.4) + 0.01 * rng.random(400)
    figures = measured(plain, np.full(400, 0.45))
    assert figures["unchanged"].value > 0.85
    assert figures["told_apart"].value == 0.5
    assert figures["frontier_share_change"].value < -0.05


def test_loss_of_order_is_a_loss_of_apgr():
    rng = np.random.default_rng(0)
    plain = rng.random(400)
    gain = (rng.random(400) < plain).astype(float)
    figures = measured(plain, rng.random(400), gain=gain)
    assert figures["apgr_change"].high < 0.0


def test_all_the_same_has_an_interval_all_the_same():
    """Four hundred of four hundred: the lower end is that of the exact interval."""
    plain = np.linspace(0.0, 1.0, 400)
    figure = measured(plain, plain)["unchanged"]
    assert (figure.value, figure.high) == (1.0, 1.0)
    assert 0.98 < figure.low < 1.0


def test_without_outcomes_and_bound_figures_are_unknown():
    plain = np.linspace(0.0, 1.0, 400)
    figures = measured(plain, plain, gain=np.full(400, np.nan))
    assert figures["apgr_change"].value is None
    assert figures["unfamiliar"].value is None
    nothing_sent = measured(plain / 4, plain / 4)
    assert nothing_sent["told_apart"].value is None
