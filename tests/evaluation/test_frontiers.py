"""What a check of the cheap model's answer does to every figure, and three ways side by side."""

import dataclasses

import numpy as np
import pytest

from difficulty.errors import InvalidValueError
from difficulty.evaluation import evaluate, metrics_text
from difficulty.evaluation.figures import columns_of, ratios_at
from difficulty.evaluation.findings import Provenance
from difficulty.evaluation.frontiers import CheckFigures, Frontiers, ThresholdSweep
from difficulty.evaluation.measure import Evaluation
from difficulty.metrics import Resampling
from tests.evaluation.conftest import scored_of

NAN = float("nan")


def checked(**changes):
    """Five requests: the check sends two on, one of which had failed; one answer is not checked."""
    fields = {
        "cheap_cost": np.full(5, 0.001),
        "frontier_cost": np.full(5, 0.01),
        "answer_score": np.array([0.9, 0.6, 0.2, 0.1, NAN]),
        "answer_threshold": 0.5,
        "threshold": 0.8,
    }
    return scored_of(
        [0.1, 0.2, 0.3, 0.9, 0.5], [0, 1, 1, 0, 0], [1, 1, 1, 1, 1], **(fields | changes)
    )


def figures(scored):
    rows = np.arange(len(scored))
    columns = columns_of(scored)
    return {
        name: float(each.value(scored.outcomes.weight))
        for name, each in ratios_at(columns, scored.sent, rows).items()
    }


def test_every_figure_counts_what_the_check_sends_on():
    """Request 4 is sent at once, 1 and 2 after the check; 5 has no checked answer and passes."""
    got = figures(checked())
    assert got["frontier_share"] == pytest.approx(3 / 5)
    assert got["escalated_share"] == pytest.approx(2 / 5)
    assert got["quality"] == pytest.approx(4 / 5)
    # Four cheap calls, three frontier calls; USD per 1,000.
    assert got["cost"] == pytest.approx(1000 * (4 * 0.001 + 3 * 0.01) / 5)
    assert got["saving"] == pytest.approx(1 - 0.034 / 0.05)
    assert got["gap_recovered"] == pytest.approx(2 / 3)
    # Of requests 3 and 5, which stay, one fails.
    assert got["risk"] == pytest.approx(1 / 2)
    assert got["routing_precision"] == pytest.approx(2 / 3)
    assert got["routing_recall"] == pytest.approx(2 / 3)
    assert got["cheap_route_precision"] == pytest.approx(1 / 2)
    assert got["cheap_route_recall"] == pytest.approx(1 / 2)


def test_what_was_not_checked_is_sent_on_where_the_policy_says_so():
    got = figures(checked(on_unknown="escalate"))
    assert got["escalated_share"] == pytest.approx(3 / 5)
    assert got["quality"] == pytest.approx(1.0)


def test_validation_catches_failures_among_what_the_check_lets_pass():
    """Of the three that fail one is sent, one escalated, and half of one is caught."""
    got = figures(checked(catch_rate=0.5))
    assert got["fallback_share"] == pytest.approx(0.5 / 5)
    assert got["quality"] == pytest.approx(4.5 / 5)
    assert got["risk"] == pytest.approx(0.5 / 2)
    assert got["cost"] == pytest.approx(1000 * (4 * 0.001 + 3.5 * 0.01) / 5)


def test_without_a_check_nothing_changes_and_no_name_is_added():
    plain = checked().unchecked
    assert "escalated_share" not in columns_of(plain)
    assert figures(plain)["frontier_share"] == pytest.approx(1 / 5)


def test_baselines_are_not_checked():
    """The cheap model alone costs one call, and random routing sends as many as the policy."""
    evaluation = evaluate(checked(), Resampling(5))
    assert evaluation.baselines["always_cheap"]["quality"].value == pytest.approx(2 / 5)
    assert evaluation.baselines["always_cheap"]["cost"].value == pytest.approx(1.0)
    assert evaluation.baselines["random"]["frontier_share"].value == pytest.approx(3 / 5)


@pytest.mark.parametrize("values", [[0.1, 0.2, 0.3, 0.4, 1.5], [0.1, 0.2, 0.3, 0.4, -0.1]])
def test_scores_of_answers_are_probabilities(values):
    with pytest.raises(InvalidValueError, match="answer_score must be in"):
        checked(answer_score=np.array(values))


def test_a_threshold_of_answers_needs_their_scores():
    with pytest.raises(InvalidValueError, match="answer_threshold must stand beside"):
        checked(answer_score=None)


def many(*, knows=2.0, request=0.5, cheap_right=0.6, cheap_cost=0.05, n=1200, seed=0):
    """Requests of which the check knows more than the request's score does."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(size=n)
    wrong = hard > np.quantile(hard, cheap_right)

    def score(strength):
        return 1.0 / (1.0 + np.exp(-(strength * hard + rng.normal(size=n))))

    return scored_of(
        score(request),
        1.0 - wrong,
        np.ones(n),
        answer_score=score(knows),
        cheap_cost=np.full(n, cheap_cost / 1000),
        frontier_cost=np.full(n, 1e-3),
    )


def test_a_sweep_of_answers_ends_with_everything_paid_twice():
    sweep = ThresholdSweep.over_answers(many())
    assert sweep.figure("frontier_share")[[0, -1]] == pytest.approx([0.0, 1.0])
    assert sweep.figure("cost")[[0, -1]] == pytest.approx([0.05, 1.05])
    assert sweep.figure("gap_recovered")[[0, -1]] == pytest.approx([0.0, 1.0])
    assert sweep.figure("escalated_share")[-1] == pytest.approx(1.0)


def test_what_is_sent_at_once_is_not_checked():
    scored = many()
    cut = float(np.quantile(scored.difficulty_score, 0.8))
    sweep = ThresholdSweep.over_answers(scored, at_once=cut)
    assert sweep.figure("frontier_share")[0] == pytest.approx(0.2, abs=0.001)
    assert sweep.figure("cost")[-1] == pytest.approx(1.0 + 0.8 * 0.05, abs=0.001)


def test_a_good_check_saves_and_a_poor_one_loses_money():
    """The same order costs more after an answer than before it: the cheap call is paid too."""
    assert Frontiers.of(many()).saved("check", 0.8) > 0.2
    scored = many()
    alike = dataclasses.replace(scored, answer_score=scored.difficulty_score)
    loses = Frontiers.of(alike).saved("check", 0.8)
    assert -0.10 < loses < -0.03


def test_a_dear_cheap_model_makes_a_check_lose():
    assert Frontiers.of(many(cheap_cost=0.5)).saved("check", 0.8) < 0.0


def test_without_prices_a_cheap_call_counts_a_twentieth():
    unpriced = dataclasses.replace(many(), cheap_cost=np.full(1200, NAN))
    frontiers = Frontiers.of(unpriced)
    assert not frontiers.in_usd
    # All 1,000 on the cheap model are 50 frontier calls; all answered twice are 1,050.
    assert frontiers.sweeps["check"][0].figure("cost")[[0, -1]] == pytest.approx([50.0, 1050.0])
    assert frontiers.saved("check", 0.8) == pytest.approx(Frontiers.of(many()).saved("check", 0.8))


def test_too_few_checked_answers_are_not_compared():
    scored = many(n=100)
    few = np.where(np.arange(100) < 59, scored.answer_score, NAN)
    assert Frontiers.of(dataclasses.replace(scored, answer_score=few)) is None


def test_without_outcomes_of_the_frontier_model_it_is_taken_to_be_right():
    scored = many()
    unknown = dataclasses.replace(
        scored.outcomes, frontier_quality=np.full(1200, NAN), preferred_gain=np.full(1200, NAN)
    )
    frontiers = Frontiers.of(dataclasses.replace(scored, outcomes=unknown))
    assert frontiers.frontier_assumed
    assert frontiers.saved("check", 0.8) == pytest.approx(Frontiers.of(scored).saved("check", 0.8))


def test_an_evaluation_says_what_the_check_does_to_the_bill():
    used = dataclasses.replace(many(), threshold=1.0, answer_threshold=0.6)
    evaluation = evaluate(used, Resampling(60))
    answer = evaluation.answer
    assert (answer.kind, answer.requests, answer.in_usd) == ("check", 1200, True)
    assert answer.level == evaluation.overall["gap_recovered"].value
    assert answer.saved["check"].low > 0.0
    # The request's score is weak, and nothing is sent by it.
    assert "no_signal" not in {finding.name for finding in evaluation.findings}
    assert Evaluation.from_dict(evaluation.as_dict()).answer == answer


def test_a_check_that_loses_money_is_named():
    scored = many(request=1.5)
    used = dataclasses.replace(
        scored, answer_score=scored.difficulty_score, threshold=1.0, answer_threshold=0.6
    )
    found = {each.name: each for each in evaluate(used, Resampling(60)).findings}
    assert found["check_loses_money"].severity == "warning"
    assert found["check_loses_money"].numbers["saved"] < 0.0
    assert "loses money here" in found["check_loses_money"].message


def test_a_check_left_out_that_would_save_is_told():
    found = {each.name: each for each in evaluate(many(), Resampling(60)).findings}
    assert found["check_would_save"].severity == "info"


def test_requests_without_an_answer_are_counted():
    used = dataclasses.replace(many(), threshold=1.0, answer_threshold=0.6)
    part = np.where(np.arange(1200) < 900, used.answer_score, NAN)
    judged = evaluate(dataclasses.replace(used, answer_score=part), Resampling(20))
    found = {each.name: each for each in judged.findings}
    assert found["answers_unchecked"].numbers == {"unchecked": 300, "requests": 1200}


def test_not_a_single_answer_to_check_is_told_where_the_policy_checks():
    bare = dataclasses.replace(many(), answer_score=None, p_answer_fails=None, threshold=0.5)
    source = Provenance(requests=1200, own_traffic=False, checks_answers=True)
    judged = evaluate(bare, Resampling(20), provenance=source)
    found = {each.name: each for each in judged.findings}
    assert found["answers_unchecked"].severity == "warning"
    assert found["answers_unchecked"].numbers == {"unchecked": 1200, "requests": 1200}
    assert "routed by the request's score alone" in found["answers_unchecked"].message
    plain = evaluate(
        bare, Resampling(20), provenance=dataclasses.replace(source, checks_answers=False)
    )
    assert "answers_unchecked" not in {each.name for each in plain.findings}


def test_metrics_without_answers_have_no_such_part():
    evaluation = evaluate(checked().unchecked, Resampling(5))
    assert evaluation.answer is None
    assert "answer" not in evaluation.as_dict()


def test_figures_of_answers_can_be_read_again():
    figures_ = CheckFigures.of(many(), Resampling(10), level=None)
    assert figures_.level == 0.8
    assert CheckFigures.from_dict(figures_.as_dict()) == figures_


@pytest.mark.parametrize("graded", [0, 40])
def test_ways_are_compared_where_votes_alone_are_known_of_some_requests(graded):
    """The qualities of voted requests are unknown, their gains are not: of votes alone the axis is
    the win rate.
    """
    scored = many()
    known = scored.outcomes
    voted = np.arange(len(scored)) >= graded
    hidden = {
        name: np.where(voted, NAN, getattr(known, name))
        for name in ("cheap_quality", "frontier_quality")
    }
    votes = np.where(voted, known.gain, NAN)
    outcomes = dataclasses.replace(known, preferred_gain=votes, **hidden)
    evaluation = evaluate(dataclasses.replace(scored, outcomes=outcomes), Resampling(10))
    before = CheckFigures.of(scored, Resampling(10), level=None)
    assert evaluation.answer.cost == before.cost
    gap = known.gain.mean()
    least = known.cheap_quality[:graded].mean() if graded else (1.0 - gap) / 2.0
    expected = least + gap * np.array(before.recovered)
    assert evaluation.answer.quality == pytest.approx(expected)
    metrics_text(evaluation)
