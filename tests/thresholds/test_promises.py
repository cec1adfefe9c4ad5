import re
from dataclasses import replace

import numpy as np
import pytest

from difficulty.errors import InvalidValueError, NotAttainableError, UndefinedMetricError
from difficulty.metrics import Resampling
from difficulty.thresholds.point import choose, choose_per_task
from difficulty.thresholds.policy_curve import Objective, PolicyCurve
from difficulty.thresholds.promises import threshold_for_missed, threshold_for_risk
from tests.thresholds.conftest import NAN, scored, sent_at


def failing(n=2000, *, seed=0, **more):
    """Return requests of which the cheap model fails a share that is its score, and the frontier
    model none.
    """
    rng = np.random.default_rng(seed)
    score = rng.random(n)
    cheap = (rng.random(n) >= score).astype(float)
    return scored(score, cheap=cheap, gain=1.0 - cheap, **more)


def kept(traffic, choice):
    return sent_at(traffic, choice.threshold) == 0


def test_risk_is_kept_with_little_to_spare():
    """With failures as likely as the score, a risk of 0.2 allows a threshold of 0.4; what is found
    is a little below it.
    """
    traffic = failing()
    choice = threshold_for_risk(PolicyCurve.of(traffic), 0.2)
    assert 0.33 < choice.threshold < 0.4
    assert (
        "with confidence 0.9, the cheap model fails at most 0.2 of the kept requests"
        in choice.guarantee
    )
    assert "exact binomial test" in " ".join(choice.assumed)


def test_more_confidence_keeps_less():
    curve = PolicyCurve.of(failing())
    assert (
        threshold_for_risk(curve, 0.2, delta=0.01).threshold
        < threshold_for_risk(curve, 0.2, delta=0.3).threshold
    )


def test_caught_failures_are_no_risk():
    """A validator that catches half of the failures allows twice the failures."""
    traffic = failing(catch_rate=0.5)
    choice = threshold_for_risk(PolicyCurve.of(traffic), 0.2)
    assert 0.66 < choice.threshold < 0.8
    assert "unnoticed" in choice.guarantee


@pytest.mark.parametrize("n", [20, 2000])
def test_graded_failures_lose_more_than_what_slips_through(n):
    """Of qualities 0.3 and 0.7 a catch rate of 0.9 leaves losses of 0.259 and 0.219, a mean of
    0.239: more than the 0.1 that it leaves of answers that are right or wrong.
    """
    cheap = np.tile([0.3, 0.7], n // 2)
    traffic = scored(np.linspace(0.01, 0.99, n), cheap=cheap, gain=1.0 - cheap, catch_rate=0.9)
    with pytest.raises(NotAttainableError, match="the lowest risk along the curve is 0.2"):
        threshold_for_risk(PolicyCurve.of(traffic), 0.11)


def test_missed_of_graded_answers_is_not_cut_by_the_catch_rate():
    """An answer of quality 0.9 where the frontier has 1 is missed, and caught in 9 of 100."""
    cheap = np.full(400, 0.9)
    traffic = scored(np.linspace(0, 1, 400), cheap=cheap, gain=1.0 - cheap, catch_rate=0.9)
    with pytest.raises(NotAttainableError, match="the lowest missed along the curve is 0.91"):
        threshold_for_missed(PolicyCurve.of(traffic), 0.5)


def test_missed_counts_only_what_the_frontier_would_have_done_better():
    """Requests that both models fail are a risk, but nothing is missed by keeping them."""
    rng = np.random.default_rng(0)
    score = rng.random(1000)
    both_fail = rng.random(1000) < 0.5
    traffic = scored(score, cheap=np.where(both_fail, 0.0, 1.0), gain=np.zeros(1000))
    assert kept(traffic, threshold_for_missed(PolicyCurve.of(traffic), 0.05)).all()
    with pytest.raises(NotAttainableError, match="risk of at most 0.05"):
        threshold_for_risk(PolicyCurve.of(traffic), 0.05)


def test_easy_tasks_count_among_the_kept():
    """Requests that always stay cheap and always fail use up the risk."""
    traffic = failing(fixed=np.r_[np.zeros(100), np.full(1900, NAN)])
    traffic.outcomes.cheap_quality[:100] = 0.0
    free = threshold_for_risk(PolicyCurve.of(failing()), 0.4).threshold
    assert threshold_for_risk(PolicyCurve.of(traffic), 0.4).threshold < free


def test_unknown_outcomes_take_no_part_and_are_told():
    traffic = failing()
    traffic.outcomes.cheap_quality[::4] = NAN
    choice = threshold_for_risk(PolicyCurve.of(traffic), 0.2)
    assert 0.3 < choice.threshold < 0.4
    assert any("500 samples without a known outcome" in sentence for sentence in choice.assumed)
    assert "1,500 samples" in choice.guarantee


def test_groups_are_tested_as_wholes():
    """Four hundred conversations of five requests tell less than 2,000 requests."""
    grouped = failing(groups=np.repeat(np.arange(400), 5).astype(str))
    choice = threshold_for_risk(PolicyCurve.of(grouped), 0.3)
    assert choice.threshold < threshold_for_risk(PolicyCurve.of(failing()), 0.3).threshold
    assert any("sums of 400 groups" in sentence for sentence in choice.assumed)


def test_too_few_samples_are_told_how_many_are_needed():
    """Thirty samples show little; the number that the message names is about what it takes."""
    with pytest.raises(
        NotAttainableError,
        match=r"risk of at most 0\.05 with confidence 0\.9 cannot be shown .* on 30 samples",
    ) as caught:
        threshold_for_risk(PolicyCurve.of(failing(30)), 0.05)
    needed = int(re.search(r"About ([\d,]+) samples", str(caught.value))[1].replace(",", ""))
    assert needed > 60
    assert caught.value.exit_code == 1


def test_risk_below_the_lowest_of_the_curve_names_the_nearest():
    """No number of samples would do; the nearest level that is named can be asked for."""
    curve = PolicyCurve.of(
        scored(np.linspace(0.1, 0.9, 400), cheap=[0, 1] * 200, gain=[1, 0] * 200)
    )
    with pytest.raises(
        NotAttainableError,
        match="No number of samples would: the lowest risk along the curve is 0.500",
    ) as caught:
        threshold_for_risk(curve, 0.2)
    nearest = float(re.search(r"Nearest: risk=(\d\.\d+),", str(caught.value))[1])
    assert 0.5 < nearest < 0.6
    assert threshold_for_risk(curve, nearest).guarantee


@pytest.mark.parametrize(
    ("alpha", "delta"),
    [(0.0, 0.1), (1.0, 0.1), (20, 0.1), (NAN, 0.1), (0.2, 0.0), (0.2, 1.0), (0.2, 10)],
)
def test_risk_and_confidence_are_shares(alpha, delta):
    with pytest.raises(InvalidValueError, match=r"risk must be in \(0, 1\)"):
        threshold_for_risk(PolicyCurve.of(failing(50)), alpha, delta=delta)


def test_risk_needs_outcomes():
    with pytest.raises(
        UndefinedMetricError,
        match="objective risk needs samples with an outcome of the cheap model",
    ):
        threshold_for_risk(PolicyCurve.of(scored([0.2, 0.8])), 0.2)


def test_promise_is_broken_no_more_often_than_it_says():
    """300 draws from traffic whose true risk at every threshold is known: half of it. At most delta
    0.1 and 3 standard errors are above.
    """
    broken = []
    for seed in range(300):
        traffic = failing(400, seed=seed)
        try:
            broken.append(threshold_for_risk(PolicyCurve.of(traffic), 0.25).threshold / 2 > 0.25)
        except NotAttainableError:
            broken.append(False)
    assert np.mean(broken) <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / 300)


def measured(traffic, names):
    """Return traffic of which the outcomes were measured by these."""
    measured_by = np.resize(np.array(names, dtype=object), len(traffic))
    return replace(traffic, outcomes=replace(traffic.outcomes, measured_by=measured_by))


RISK = Objective("risk", 0.2)


def test_promise_says_what_failures_were_measured_by():
    traffic = measured(failing(), ["exact", "judge:gpt-4", "exact"])
    assert (
        "as measured by exact match and judge:gpt-4 on 2,000 samples"
        in RISK.find(PolicyCurve.of(traffic)).guarantee
    )


def test_checks_of_the_form_promise_nothing():
    """A log of answers that are not empty says nothing of wrong ones: whatever its checks saw."""
    traffic = measured(failing(), ["validators:non_empty,refusal"])
    with pytest.raises(
        UndefinedMetricError,
        match="all 2,000 were measured by validators:non_empty,refusal, which see the form",
    ):
        choose(traffic, RISK, Resampling(1))


def test_checked_samples_take_no_part_beside_judged_ones():
    traffic = measured(failing(), ["validators:json", "exact"])
    choice = RISK.find(PolicyCurve.of(traffic))
    assert "measured by exact match on 1,000 samples" in choice.guarantee
    assert any("1,000 samples without a known outcome" in sentence for sentence in choice.assumed)


@pytest.mark.parametrize("per_task", [False, True])
def test_samples_without_a_failure_promise_nothing(per_task):
    traffic = measured(
        scored(np.linspace(0, 1, 300), cheap=np.ones(300), gain=np.zeros(300), tasks=["a"] * 300),
        ["judge:gpt-4"],
    )
    with pytest.raises(NotAttainableError, match="none of 300 is, as measured by judge:gpt-4"):
        (choose_per_task if per_task else choose)(traffic, RISK, Resampling(1))


def test_exploration_is_inside_the_promise():
    """Two of a hundred that are sent come back, and fail more than those that are kept."""
    traffic = failing()
    explored = replace(traffic, exchanged=np.full(len(traffic), 0.02))
    plain, careful = (RISK.find(PolicyCurve.of(data)) for data in (traffic, explored))
    assert careful.threshold < plain.threshold - 0.02
    assert "(exploration included)" in careful.guarantee
    kept_share = np.where(sent_at(traffic, careful.threshold) == 0, 0.98, 0.02)
    assert np.average(1.0 - traffic.outcomes.cheap_quality, weights=kept_share) < 0.2


def test_exploration_alone_can_break_a_promise():
    """Of requests that always fail a tenth is kept whatever the threshold."""
    traffic = scored(np.linspace(0, 1, 500), cheap=np.zeros(500), gain=np.ones(500))
    traffic = replace(traffic, exchanged=np.full(500, 0.1))
    with pytest.raises(NotAttainableError):
        RISK.find(PolicyCurve.of(traffic))


def test_early_exit_is_inside_the_promise():
    traffic = failing()
    careful = RISK.find(PolicyCurve.of(replace(traffic, early_budget=0.01)))
    assert careful.threshold < RISK.find(PolicyCurve.of(traffic)).threshold - 0.01
    assert "(early exit included)" in careful.guarantee


def test_promise_counts_the_requests_of_a_group():
    """Each failure is asked again twice: 0.15 of the groups fail, but 0.35 of the requests."""
    rng = np.random.default_rng(0)
    fails = rng.random(1000) < 0.15
    rows = np.repeat(np.arange(1000), np.where(fails, 3, 1))
    cheap = 1.0 - fails[rows]
    traffic = scored(rng.random(1000)[rows], cheap=cheap, gain=1.0 - cheap, groups=rows.astype(str))
    with pytest.raises(NotAttainableError):
        Objective("risk", 0.25).find(PolicyCurve.of(traffic))
    assert Objective("risk", 0.45).find(PolicyCurve.of(traffic)).guarantee


def test_a_few_groups_that_fail_as_a_whole_are_many_failures():
    """Of 1,000 groups 30 have ten requests that all fail: a share of the requests of 0.24, though
    only 0.03 of the groups.
    """
    rng = np.random.default_rng(0)
    fails = np.arange(1000) < 30
    rows = np.repeat(np.arange(1000), np.where(fails, 10, 1))
    cheap = 1.0 - fails[rows]
    traffic = scored(rng.random(1000)[rows], cheap=cheap, gain=1.0 - cheap, groups=rows.astype(str))
    with pytest.raises(NotAttainableError):
        Objective("risk", 0.15).find(PolicyCurve.of(traffic))


def test_logged_samples_are_never_tested_as_if_they_stood_alone():
    """Their weights are equal here, but heavier ones may come."""
    traffic = failing()
    outcomes = replace(traffic.outcomes, request_weight=np.ones(len(traffic)))
    choice = RISK.find(PolicyCurve.of(replace(traffic, outcomes=outcomes)))
    assert not any("binomial" in sentence for sentence in choice.assumed)


def test_samples_that_a_rule_sends_are_not_counted_as_tested():
    traffic = failing(fixed=np.r_[np.ones(300), np.full(1700, NAN)])
    assert "on 1,700 samples" in RISK.find(PolicyCurve.of(traffic)).guarantee
