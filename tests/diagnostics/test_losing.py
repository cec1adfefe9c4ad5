import numpy as np
import pytest

from difficulty.diagnostics.broken_tasks import losing_region
from tests.diagnostics.conftest import outcomes_of


def sample(n=400, *, loses, seed=0):
    """Return scores of which a quarter expect a loss, and outcomes; there the frontier model fails
    with chance ``loses``.
    """
    rng = np.random.default_rng(seed)
    low = np.arange(n) < n // 4
    cheap = (rng.random(n) >= 0.4).astype(float)
    frontier = (rng.random(n) >= np.where(low, loses, 0.1)).astype(float)
    return np.where(low, 0.45, 0.6), cheap, frontier


def test_losing_region_is_found_where_the_expected_loss_is_real():
    score, cheap, frontier = sample(loses=0.95)
    found = losing_region(score, outcomes_of(cheap, frontier), np.arange(400).astype(str))
    assert (found.scope, found.model, found.n) == ("region", "frontier", 100)
    assert (found.rate, found.expected) == pytest.approx(
        (1 - frontier[:100].mean(), 1 - cheap[:100].mean())
    )
    assert found.high < found.rate


def test_losing_region_is_none_where_the_models_draw_level():
    """What the model expected was noise."""
    score, cheap, frontier = sample(loses=0.4)
    assert losing_region(score, outcomes_of(cheap, frontier), np.arange(400).astype(str)) is None


def test_losing_region_counts_a_group_once():
    """The same conversation a hundred times is one observation."""
    score, cheap, frontier = sample(loses=0.95)
    groups = np.where(np.arange(400) < 100, "one", np.arange(400).astype(str))
    assert losing_region(score, outcomes_of(cheap, frontier), groups) is None


def test_losing_region_needs_twenty_samples_of_which_both_outcomes_are_known():
    score, cheap, frontier = sample(loses=1.0)
    cheap[19:] = np.nan
    assert losing_region(score, outcomes_of(cheap, frontier), np.arange(400).astype(str)) is None


def test_losing_region_keeps_its_level():
    """Where the models draw level and predictions are made out of fold of pure noise, one in a
    hundred is found at most, or so.
    """
    found = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        cheap, frontier = rng.integers(0, 2, (2, 300)).astype(float)
        found += (
            losing_region(rng.random(300), outcomes_of(cheap, frontier), np.arange(300).astype(str))
            is not None
        )
    assert found <= 6
