"""Reliability bins, histogram, and the curves of the baselines."""

import dataclasses

import numpy as np
import pytest

from difficulty.evaluation import evaluate
from difficulty.metrics import Resampling
from difficulty.metrics.probability import equal_mass_bins
from tests.reference import cost_quality_curve, quality_at_share, reliability


def run(scored, n_draws=30, **options):
    return evaluate(scored, Resampling(n_draws), **options)


def test_calibration_bins_are_those_of_the_metric(many):
    """Mean probability and frequency of failures in each bin, with the interval around the
    frequency.
    """
    bins = run(many, n_draws=200).calibration["p_cheap_fails"]
    bin_of = equal_mass_bins(many.p_cheap_fails, n_bins=15, weight=np.ones(len(many)))
    predicted, observed, n = reliability(many.p_cheap_fails, many.outcomes.cheap_failure, bin_of).T
    assert bins.predicted == pytest.approx(predicted)
    assert bins.observed.value == pytest.approx(observed)
    assert list(bins.observed.n) == n.tolist()
    assert len(bins.edges) == len(bins.predicted) + 1
    assert all(
        low <= mean <= high
        for low, mean, high in zip(bins.edges[:-1], bins.predicted, bins.edges[1:], strict=True)
    )
    ends = zip(bins.observed.low, bins.observed.value, bins.observed.high, strict=True)
    assert all(low <= value <= high for low, value, high in ends)


def test_equal_probabilities_are_one_bin(many):
    bins = run(many).calibration["p_frontier_fails"]
    assert (bins.edges, bins.predicted, bins.observed.n) == (
        (0.1, 0.1),
        (pytest.approx(0.1),),
        (600,),
    )


def test_no_outcome_no_bins(many):
    """What the frontier model did is not known."""
    outcomes = dataclasses.replace(many.outcomes, frontier_quality=np.full(len(many), np.nan))
    assert list(run(dataclasses.replace(many, outcomes=outcomes)).calibration) == ["p_cheap_fails"]


def test_histogram_counts_every_request_once(many):
    frontier = np.where(np.arange(len(many)) < 50, np.nan, many.outcomes.frontier_quality)
    histogram = run(
        dataclasses.replace(
            many, outcomes=dataclasses.replace(many.outcomes, frontier_quality=frontier)
        )
    ).histogram
    assert sum(histogram.unknown) == 50
    assert sum(histogram.needed) + sum(histogram.not_needed) == 550
    assert (histogram.edges[0], histogram.edges[-1]) == (
        many.difficulty_score.min(),
        many.difficulty_score.max(),
    )
    assert len(histogram.edges) == len(histogram.needed) + 1


def test_histogram_of_equal_scores_is_one_bin(four):
    histogram = run(dataclasses.replace(four, difficulty_score=np.full(4, 0.3))).histogram
    assert (histogram.needed, histogram.not_needed) == ((2,), (2,))


def test_baseline_curves_are_the_cost_quality_curve(many):
    """The score's own curve and that of a baseline, at any share."""
    curves = run(many).baseline_curves
    assert list(curves) == ["score", "random", "length", "oracle"]
    cheap, frontier = many.outcomes.cheap_quality, many.outcomes.frontier_quality
    for name, score in {"score": many.difficulty_score, "oracle": frontier - cheap}.items():
        expected = cost_quality_curve(score, cheap, frontier)
        for share, quality in zip(
            curves[name]["frontier_share"], curves[name]["quality"], strict=True
        ):
            assert quality == pytest.approx(quality_at_share(*expected, share=share))
    assert curves["score"]["cost"][0] == pytest.approx(1000 * many.cheap_cost.mean())
    assert curves["random"]["cost"][50] == pytest.approx(
        500 * (many.cheap_cost + many.frontier_cost).mean()
    )


def test_baseline_curves_leave_out_what_is_not_known(many):
    curves = run(dataclasses.replace(many, cheap_cost=np.full(len(many), np.nan))).baseline_curves
    assert set(curves["score"]) == {"frontier_share", "quality"}
