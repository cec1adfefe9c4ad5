"""Intervals cover the truth as often as they say: simulations in which the truth is known."""

import sys

import numpy as np
import pytest

from benchmarks.coverage import POPULATIONS, coverage, judged, simulated, too_low
from difficulty.evaluation.figures import CALIBRATION_FIGURES, FIGURES
from difficulty.thresholds.point import EXPECTED

FIGURES_WITH_INTERVAL = {
    *FIGURES, "gap", "apgr", "cpt_50", "cpt_80", "auroc",
    *(f"{name}{suffix}" for suffix in ("", "_frontier") for name in ("brier", *CALIBRATION_FIGURES)
      if name not in ("calibration_error", "calibration_p")),
    *(f"{kind}: {name}" for kind in ("point", "change") for name in EXPECTED),
}  # fmt: skip


def test_every_figure_with_an_interval_is_judged():
    """None is left out, the operating point and its changes among them."""
    figures = judged(simulated(POPULATIONS["plain"], 400, np.random.default_rng(0)), 20)
    assert set(figures) == FIGURES_WITH_INTERVAL


@pytest.mark.long
def test_intervals_cover_the_truth():
    """A small simulation: 60 samples, so that 93 % stands for 87 % and more."""
    found = coverage("groups", n=300, n_simulations=60, n_draws=100, n_truth=100_000)
    assert {one.figure for one in found} == FIGURES_WITH_INTERVAL
    assert too_low(found, least=0.92) == []


@pytest.mark.slow
@pytest.mark.parametrize("population", POPULATIONS)
def test_intervals_cover_the_truth_in_easy_and_hard_populations(population, capsys):
    """93 % or more, less what chance does to 300 simulations; counts are printed."""
    found = coverage(population, n=300, n_simulations=300, n_draws=200, n_truth=1_000_000)
    with capsys.disabled():
        for one in found:
            sys.stdout.write(
                f"\n{population}, {one.figure}: {one.covered} of {one.simulations} hold"
                f" {one.truth:.4f}, {one.below} below, {one.above} above"
            )
    assert too_low(found) == []


@pytest.mark.slow
@pytest.mark.parametrize("n_groups", [45, 150])
def test_heavy_groups_are_covered(n_groups):
    """Groups of Pareto(1.1) sizes up to 200 that share luck."""
    found = coverage(
        "heavy groups", n=round(n_groups * 4.6), n_simulations=300, n_draws=200, n_truth=1_000_000
    )
    assert too_low(found) == []
