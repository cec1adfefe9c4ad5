import numpy as np
import pytest

from difficulty.diagnostics.signal import Signal, SignalPart, measure_signal
from tests.reference import average_gap_recovered, cost_quality_curve


def part(score, outcome, *, fold=None, groups=None):
    n = len(score)
    groups = np.arange(n).astype(str) if groups is None else groups
    return SignalPart(
        score=np.asarray(score, float),
        outcome=np.asarray(outcome, float),
        weight=np.ones(n),
        groups=groups,
        fold=fold,
    )


def noise(n, seed):
    rng = np.random.default_rng(seed)
    return rng.random(n), rng.choice([-1.0, 0.0, 0.0, 1.0, 1.0], n)


def test_signal_of_four_samples_by_hand():
    """Ranks -3/8, -1/8, 1/8, 3/8 times gains -1/2, -1/2, 1/2, 1/2 add up to 1/2, their squares to
    10/128; t is 1.79 with 3 degrees.
    """
    found = measure_signal([part([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1])])
    assert found.n == 4
    assert found.p_value == pytest.approx(0.0858, abs=1e-4)
    assert found.verdict == "weak"


def test_signal_is_zero_where_apgr_is_one_half():
    """The statistic is APGR - 1/2 times the mean gain, so routing at random has p = 1/2."""
    score, gain = np.array([4.0, 3.0, 2.0, 1.0]), np.array([0.0, 1.0, 1.0, 0.0])
    share, quality = cost_quality_curve(score, 1 - gain, np.ones(4))
    assert average_gap_recovered(
        share, quality, cheap_quality=0.5, frontier_quality=1.0
    ) == pytest.approx(0.5)
    assert measure_signal([part(score, gain)]).p_value == pytest.approx(0.5)


def test_signal_keeps_its_level_on_pure_chance():
    """One in ten sets of noise passes for a weak signal, as the rule says."""
    weak = [measure_signal([part(*noise(150, seed))]).p_value <= 0.1 for seed in range(600)]
    assert 0.07 <= np.mean(weak) <= 0.13


def test_signal_of_out_of_fold_scores_allows_for_each_pair_counting_twice():
    """Nearest neighbours on noise, out of fold: two samples in different folds are scored by each
    other's label.
    """
    passed, naive = 0, 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        points, gain, fold = (
            rng.normal(size=(120, 3)),
            rng.choice([-1.0, 0.0, 1.0], 120),
            np.arange(120) % 5,
        )
        near = np.exp(-((points[:, None] - points[None]) ** 2).sum(axis=-1)) * (
            fold[:, None] != fold[None]
        )
        score = near @ gain
        passed += measure_signal([part(score, gain, fold=fold)]).p_value <= 0.1
        naive += measure_signal([part(score, gain)]).p_value <= 0.1
    assert passed / 300 <= 0.13
    assert naive > passed


def test_signal_puts_parts_together():
    """Two parts that alone are weak are clear together."""
    rng = np.random.default_rng(0)
    gain = rng.normal(size=200)
    score = gain + rng.normal(scale=4.0, size=200)
    halves = [
        part(score[rows], gain[rows], groups=np.arange(200).astype(str)[rows])
        for rows in (slice(0, 100), slice(100, 200))
    ]
    assert measure_signal(halves).p_value < min(measure_signal([half]).p_value for half in halves)


def test_signal_counts_a_group_once():
    rng = np.random.default_rng(2)
    gain = rng.normal(size=30)
    score = gain + rng.normal(scale=2.0, size=30)
    alone = measure_signal([part(score, gain)])
    groups = np.tile(np.arange(30), 10).astype(str)
    copied = measure_signal([part(np.tile(score, 10), np.tile(gain, 10), groups=groups)])
    assert copied.p_value == pytest.approx(alone.p_value, rel=1e-6)


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [part([1, 2, 3], [np.nan] * 3)],
        [part([1, 1, 1], [0, 1, 0])],
        [part([1, 2, 3], [1, 1, 1])],
        [part([1], [1])],
    ],
    ids=["nothing", "unknown", "equal scores", "equal outcomes", "one sample"],
)
def test_signal_is_none_where_nothing_can_be_told(parts):
    assert measure_signal(parts).verdict == "none"


@pytest.mark.parametrize(
    ("p_value", "verdict", "note"),
    [(0.02, "clear", ""), (0.05, "weak", "a weak signal"), (0.3, "none", "no signal")],
)
def test_signal_verdict_and_note_follow_the_rule(p_value, verdict, note):
    signal = Signal(n=100, p_value=p_value)
    assert signal.verdict == verdict
    assert note in "".join(signal.notes)
    assert bool(signal.notes) == (verdict != "clear")
    assert Signal.parse(signal.as_dict()) == signal
