"""Figures of a judge, worked by hand first."""

import numpy as np
import pytest

from difficulty.labelling.judge_figures import (
    cohens_kappa,
    judge_agreement,
    mean_interval,
    position_bias,
    power_sentence,
    verdicts_needed,
)
from difficulty.records import Estimate


def test_kappa_of_a_table_worked_by_hand():
    """20 pairs, 14 equal; each side says cheap 10 times and frontier 10 times: 0.5 by chance."""
    judge = np.array([-1.0] * 10 + [1.0] * 10)
    people = np.array([-1.0] * 7 + [1.0] * 3 + [1.0] * 7 + [-1.0] * 3)
    assert float(cohens_kappa(judge, people)) == pytest.approx(0.4)
    agreement = judge_agreement(judge, people)
    assert agreement.agreement.value == pytest.approx(0.7)
    assert agreement.agreement.low < 0.7 < agreement.agreement.high
    assert agreement.kappa.low < 0.4 < agreement.kappa.high
    assert agreement.by_people == (10, 0, 10)


def test_kappa_is_unknown_where_both_always_say_the_same():
    agreement = judge_agreement(np.zeros(30), np.zeros(30))
    assert agreement.kappa.value is None
    assert agreement.agreement.value == 1.0
    assert judge_agreement([], []).agreement.value is None


def test_position_bias_is_zero_of_a_judge_that_looks_at_the_answers():
    bias = position_bias(np.zeros(60))
    assert bias.value == 0.0
    assert -0.06 < bias.low < 0.0 < bias.high < 0.06


def test_position_bias_of_a_judge_that_favours_the_first():
    gains = np.array([1.0] * 30 + [0.0] * 70)
    bias = position_bias(gains)
    assert bias.value == pytest.approx(0.3)
    assert 0.2 < bias.low < 0.3 < bias.high < 0.4
    assert position_bias([1.0] * 5).low is None


def test_weighted_mean_is_hajeks():
    """Two strata: 10 of 10 chosen with gain 1, 10 of 90 with gain 0: the mean of all is 0.1."""
    gain = np.array([1.0] * 10 + [0.0] * 10)
    weight = 1.0 / np.array([1.0] * 10 + [10 / 90] * 10)
    assert mean_interval(gain, weight).value == pytest.approx(0.1)


def test_power_says_how_many_more_verdicts_decide():
    """A spread of 0.8 and a gain of 0.1 need (2.8 x 0.8 / 0.1)^2 = 502 verdicts; there are 100."""
    half = 1.959964 * 0.8 / np.sqrt(100)
    gain = Estimate(value=0.1, low=0.1 - half, high=0.1 + half, n=100)
    assert verdicts_needed(gain) == 403
    assert "about 400 more verdicts decide it" in power_sentence(gain)
    decided = Estimate(value=0.1, low=0.05, high=0.15, n=100)
    assert verdicts_needed(decided) == 0
    assert "the frontier model is better" in power_sentence(decided)
    equal = Estimate(value=0.0, low=-0.1, high=0.1, n=100)
    assert "would hardly decide it" in power_sentence(equal)
    assert "nothing is known" in power_sentence(Estimate(value=None))
