"""Intervals cover the truth as often as they say: simulations in which the truth is known."""

import pytest

from benchmarks.coverage import coverage

FIGURES = {
    "apgr", "cpt_50", "cpt_80", "auroc", "brier", "gap", "frontier_share", "quality", "cost",
    "gap_recovered", "risk", "fallback_share",
    "saving", "routing_precision", "routing_recall", "cheap_route_precision", "cheap_route_recall",
}  # fmt: skip


@pytest.mark.long
def test_intervals_cover_the_truth():
    """A small simulation: 200 samples, so that 95 % stands for 91 to 99 %."""
    found = coverage(n_groups=200, n_simulations=200, n_draws=200, n_truth=200_000)
    assert {one.figure for one in found} == FIGURES
    for one in found:
        assert 0.91 <= one.covered <= 0.99, one


@pytest.mark.slow
@pytest.mark.parametrize("n_groups", [300, 1000])
def test_intervals_cover_the_truth_within_two_points(n_groups):
    for one in coverage(n_groups=n_groups, n_simulations=2000, n_draws=500, n_truth=2_000_000):
        assert 0.93 <= one.covered <= 0.97, one
