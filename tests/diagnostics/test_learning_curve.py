import json

import numpy as np
import pytest

from difficulty.diagnostics.learning_curve import (
    Forecast,
    HeldOut,
    LearningCurve,
    Point,
    learning_curve,
    parts_of,
)

RNG = np.random.default_rng(3)
N = 4_000
GAIN = RNG.choice([-1.0, 0.0, 1.0], N, p=[0.05, 0.7, 0.25])


def held_out(figure="apgr", outcome=GAIN):
    groups = np.array([f"g{number // 2}" for number in range(len(outcome))])
    return HeldOut(figure=figure, outcome=outcome, weight=np.ones(len(outcome)), groups=groups)


def scores(sizes, parts, *, signal):
    """Return scores that follow the gain the closer, the larger their size; ``signal`` says how
    close.
    """
    rng = np.random.default_rng(5)
    return [
        [signal(size) * GAIN + rng.normal(size=N) for _ in range(n)]
        for size, n in zip(sizes, parts, strict=True)
    ]


def curve_of(signal, **changes):
    sizes, parts = (300, 600, 1200, 2400), (4, 2, 2, 1)
    made = scores(sizes, parts, signal=signal)
    return learning_curve(
        sizes, made, held_out(**changes), labels=4_000, rng=np.random.default_rng(0), n_draws=200
    )


def curve(*forecasts, value=0.69):
    """Return a curve with its forecasts alone."""
    kept = tuple(
        Forecast(labels=labels, gain=gain, low=low, high=high)
        for labels, gain, low, high in forecasts
    )
    return LearningCurve(figure="apgr", labels=8_400, value=value, points=(), forecasts=kept)


def test_score_that_gets_better_with_size_is_said_to_rise():
    found = curve_of(lambda size: 0.9 - 8.0 / np.sqrt(size))
    assert found.verdict == "rises"
    assert [(point.n_fit, point.parts) for point in found.points] == [
        (300, 4),
        (600, 2),
        (1200, 2),
        (2400, 1),
    ]
    assert all(point.low < point.value < point.high for point in found.points)
    assert [forecast.labels for forecast in found.forecasts] == [8_000, 16_000]
    assert 0.0 < found.forecasts[0].gain < found.forecasts[1].gain < 0.2
    assert found.value == found.points[-1].value


def test_score_that_no_size_changes_is_said_to_be_flat_or_not_known():
    """Never that labels would pay."""
    found = curve_of(lambda size: 0.5)
    assert found.verdict in ("flat", "cannot tell")
    assert found.forecasts[0].low <= 0.0 <= found.forecasts[0].high


def test_labels_of_unknown_outcome_are_left_out():
    unknown = np.where(np.arange(N) < 1_000, np.nan, GAIN)
    found = curve_of(lambda size: 0.9 - 8.0 / np.sqrt(size), outcome=unknown)
    assert 0.5 < found.value < 1.2


def test_auroc_is_measured_where_the_target_is_failure():
    failed = (GAIN > 0).astype(float)
    found = curve_of(lambda size: 0.9 - 8.0 / np.sqrt(size), figure="auroc", outcome=failed)
    assert (found.figure, found.verdict) == ("auroc", "rises")
    assert 0.6 < found.value < 0.95


def test_one_size_is_no_curve():
    found = learning_curve([500], [[GAIN]], held_out(), labels=700, rng=np.random.default_rng(0))
    assert (found.points, found.forecasts, found.verdict) == ((), (), "cannot tell")
    assert "cannot tell from 700 labelled requests" in found.sentence


@pytest.mark.parametrize(
    ("forecast", "verdict", "sentence"),
    [
        (
            (16_800, 0.012, 0.002, 0.03),
            "rises",
            (
                "doubling the labels to 16,800 is expected to raise APGR from 0.69 to about 0.70"
                " [0.69, 0.72]."
            ),
        ),
        (
            (16_800, 0.002, -0.003, 0.006),
            "flat",
            (
                "to 16,800 is expected to raise APGR by 0.006 at most; more of the same are hardly"
                " worth it."
            ),
        ),
        (
            (16_800, 0.01, -0.03, 0.05),
            "cannot tell",
            (
                "cannot tell. With noise as it is, doubling the labels to 16,800 may take APGR from"
                " 0.69"
            ),
        ),
    ],
)
def test_sentence_says_the_verdict(forecast, verdict, sentence):
    found = curve(forecast)
    assert found.verdict == verdict
    assert sentence in found.sentence


def test_curve_as_json_keeps_points_verdict_and_sentence():
    found = LearningCurve(
        figure="apgr",
        labels=10,
        value=0.5,
        points=(Point(n_fit=6, parts=1, value=0.5, low=0.4, high=0.6),),
        forecasts=(),
    )
    form = json.loads(json.dumps(found.as_dict()))
    assert form["points"] == [{"n_fit": 6, "parts": 1, "value": 0.5, "low": 0.4, "high": 0.6}]
    assert (form["format"], form["verdict"], form["sentence"]) == (1, "cannot tell", found.sentence)


def test_parts_of_one_size_are_disjoint_and_keep_groups_whole():
    groups = [f"g{number // 3}" for number in range(1_200)]
    parts = parts_of(groups, rng=np.random.default_rng(0))
    assert [len(of_size) for of_size in parts] == [4, 2, 2]
    for of_size, share in zip(parts, (8, 4, 2), strict=True):
        rows = np.concatenate(of_size)
        assert len(np.unique(rows)) == len(rows)
        members = [{groups[row] for row in part} for part in of_size]
        assert not set.intersection(*members[:2])
        assert all(len(part) == pytest.approx(1_200 / share, abs=6) for part in of_size)


@pytest.mark.parametrize(("n", "sizes"), [(100, 0), (200, 2), (400, 3)])
def test_parts_are_left_out_where_they_would_be_too_small(n, sizes):
    """Three sizes are needed, the whole among them; with 200 samples eighths are too small, with
    100 quarters are as well.
    """
    assert (
        len(parts_of([str(number) for number in range(n)], rng=np.random.default_rng(0))) == sizes
    )


def test_divisions_of_one_size_are_no_curve():
    """A few large groups cannot be parted: two divisions then hold the same parts."""
    rng = np.random.default_rng(0)
    held_out = HeldOut(
        figure="auroc",
        outcome=(rng.random(60) < 0.5).astype(float),
        weight=np.ones(60),
        groups=np.arange(60).astype(str),
    )
    sizes = [500, 500, 1_000, 2_000]
    scores = [[rng.random(60), rng.random(60)] for _ in sizes]
    curve = learning_curve(sizes, scores, held_out, labels=3_000, rng=rng, n_draws=50)
    assert curve.points == ()
    assert curve.verdict == "cannot tell"
