"""The advice at the end of a round of labels."""

import numpy as np
import pytest

from difficulty.diagnostics.learning_curve import Forecast, LearningCurve, Point
from difficulty.labelling.advice import LabelAdvice, advise
from difficulty.text import quantity_text
from difficulty.traffic.table import Traffic
from tests.journey import recipe_of, train_on


def advice_of(journey, traffic, **options):
    return advise(traffic, recipe=recipe_of(journey.encoder), **options)


def test_advice_measures_what_twice_as_many_would_bring(journey):
    """Unlabelled requests count in nothing; the gap and its interval are those of the labelled."""
    traffic = Traffic.read(journey.traffic)
    hidden = traffic.without_outcomes(np.arange(len(traffic)) >= 600)
    advice = advice_of(journey, hidden)
    known = traffic.outcomes.gain[:600]
    known = known[~np.isnan(known)]
    assert advice.gap == pytest.approx(known.mean())
    assert advice.gap_error == pytest.approx(1.96 * known.std() / np.sqrt(len(known)), rel=0.25)
    assert 500 < advice.labels <= 600
    assert advice.curve.labels == advice.labels
    assert advice.curve.forecasts[0].labels == 2 * advice.labels
    assert advice.verdict in ("go on", "stop", "cannot tell")
    assert advice.curve.sentence in advice.sentence
    assert "give or take" in advice.sentence
    assert advice.as_dict()["verdict"] == advice.verdict


def test_weights_by_inclusion_count(journey):
    """Of the labelled those without gain were chosen ten times as often."""
    traffic = Traffic.read(journey.traffic)
    gain = traffic.outcomes.gain
    inclusion = np.where(gain == 0, 1.0, 0.1)
    weighed = traffic.with_columns({"inclusion": inclusion.tolist()})
    advice = advice_of(journey, weighed, train=False)
    rows = ~np.isnan(gain)
    assert advice.gap == pytest.approx(np.average(gain[rows], weights=1 / inclusion[rows]))
    assert advice.effective < advice.labels
    assert (advice.curve, advice.verdict) == (None, "cannot tell")


@pytest.mark.parametrize("n", [0, 1, 40])
def test_too_few_labels_are_told_to_go_on(journey, n):
    traffic = Traffic.read(journey.traffic)
    known = ~np.isnan(traffic.outcomes.gain)
    few = traffic.without_outcomes(~known | (np.cumsum(known) > n))
    advice = advice_of(journey, few)
    assert (advice.labels, advice.verdict, advice.curve) == (n, "go on", None)
    assert advice.sentence.startswith(
        f"Go on. {quantity_text(n, 'label does', 'labels do')} not carry a training yet: training"
    )


def curve(low, gain, high):
    points = tuple(Point(n_fit=n, parts=2, value=0.6, low=0.5, high=0.7) for n in (50, 100, 200))
    forecast = Forecast(labels=600, gain=gain, low=low, high=high)
    return LearningCurve(
        figure="apgr", labels=300, value=0.6, points=points, forecasts=(forecast, forecast)
    )


@pytest.mark.parametrize(
    ("ends", "verdict", "begins"),
    [
        ((0.01, 0.03, 0.05), "go on", "Go on. More labels: doubling the labels to 600"),
        ((-0.01, 0.0, 0.005), "stop", "Stop here. More labels: doubling"),
        ((-0.02, 0.02, 0.05), "cannot tell", "Go on or stop: both fit. More labels: cannot tell"),
    ],
)
def test_verdict_is_that_of_the_curve(ends, verdict, begins):
    advice = LabelAdvice(labels=300, effective=270, gap=0.12, gap_error=0.04, curve=curve(*ends))
    assert advice.verdict == verdict
    assert advice.sentence.startswith(begins)
    assert advice.sentence.endswith("by 0.120, give or take 0.040; with twice as many labels give"
                                    " or take 0.028.")  # fmt: skip


def test_a_frontier_model_that_is_no_better_is_said(journey):
    traffic = Traffic.read(journey.traffic)
    cheap = traffic.column("cheap_quality")
    frontier = traffic.column("frontier_quality")
    turned = traffic.with_columns(
        {"cheap_quality": frontier, "frontier_quality": cheap, "preference": [None] * len(traffic)}
    )
    advice = advice_of(journey, turned)
    assert advice.verdict == "cannot tell"
    assert "the frontier model must be better than the cheap one" in advice.sentence


def test_unlabelled_requests_are_no_part_of_the_curve(journey, tmp_path):
    """Trained beside 500 requests without outcomes, the curve counts the labelled ones."""
    traffic = Traffic.read(journey.traffic)
    known = ~np.isnan(traffic.outcomes.gain)
    mixed = traffic.without_outcomes(~known | (np.cumsum(known) > 300))
    mixed.write(tmp_path / "mixed.parquet")
    run, _ = train_on(tmp_path / "mixed.parquet", tmp_path / "run", journey.encoder)
    curve = run.learning_curve
    splits = mixed.splits(run.recipe.split.fractions, run.recipe.seed)
    assert curve.labels == int((mixed.outcomes.known & (splits != "aside")).sum()) <= 300
    assert curve.points[-1].n_fit < 300
