"""Every figure, its interval and what is said when there is none."""

import dataclasses

import numpy as np
import pytest

from difficulty.evaluation import REPORTED, TaskMeans, evaluate, measure
from difficulty.evaluation.figures import FIGURES
from difficulty.evaluation.measure import VOTES_ALONE
from difficulty.metrics import Resampling, auroc, brier, expected_calibration_error
from difficulty.metrics.arrays import spread_rows
from tests.reference import (
    average_gap_recovered,
    calls_for_gap,
    cheap_route_precision,
    cost_quality_curve,
    risk,
    routing_precision,
    routing_recall,
)

from .conftest import outcomes_of, scored_of


def run(scored, n_draws=30, **options):
    return evaluate(scored, Resampling(n_draws), **options)


def values(estimates):
    return {name: estimate.value for name, estimate in estimates.items()}


def test_figures_of_four_requests_by_hand(four):
    """One request is sent, rightly; another that needed it is kept; gains along the ranking are 1,
    0, -1, 1.
    """
    got = values(run(four).overall)
    # The score is 4 x 0.45, its variance 4 x 0.21: F = 3.857 with 1 and 3 degrees of freedom.
    assert got.pop("calibration_p") == pytest.approx(0.1444, abs=1e-3)
    assert got == pytest.approx(
        {
            "auroc": 0.5,
            "apgr": 0.625,
            "cpt_50": 0.125,
            "cpt_80": 0.2,
            "brier": (3 * 0.49 + 0.09) / 4,
            "ece": 0.45,
            "routing_precision": 1.0,
            "routing_recall": 0.5,
            "frontier_share": 0.25,
            "quality": 0.5,
            "cost": 6.0,
            "saving": 1 - 24 / 84,
            "saved_cost": 15.0,
            "answers_worse": 0.25,
            "calls_avoided": 0.75,
            "gap_recovered": 1.0,
            "risk": 2 / 3,
            "cheap_route_precision": 2 / 3,
            "cheap_route_recall": 1.0,
            "fallback_share": None,
            "gap": 0.25,
            # Three of four failed: the base rate has 3/16.
            "brier_skill": 1 - (3 * 0.49 + 0.09) / 4 / (3 / 16),
            # All are called 0.3 and 3/4 failed: the distance is 0.45, of which chance makes 1/16.
            "calibration_error": np.sqrt(0.45**2 - 1 / 16),
            "calibration_slope": None,
            "calibration_intercept": None,
        }
    )


def test_baselines_of_four_requests_by_hand(four):
    """At share 1/4 random gains a quarter of the gap, the oracle all of it: half of each of the two
    requests that gain.
    """
    baselines = {name: values(estimates) for name, estimates in run(four).baselines.items()}
    assert list(baselines) == ["random", "length", "always_cheap", "always_frontier", "oracle"]
    assert baselines["random"]["apgr"] == pytest.approx(0.5)
    assert baselines["random"]["quality"] == pytest.approx(0.25 + 0.25 * 0.25)
    ends = {
        "frontier_share": 0.0,
        "gap_recovered": 0.0,
        "quality": 0.25,
        "cost": 1.0,
        "quality_difference": 0.25,
    }
    assert baselines["always_cheap"] == pytest.approx(ends)
    ends = {
        "frontier_share": 1.0,
        "gap_recovered": 1.0,
        "quality": 0.5,
        "cost": 21.0,
        "quality_difference": 0.0,
    }
    assert baselines["always_frontier"] == pytest.approx(ends)
    assert baselines["oracle"]["apgr"] == pytest.approx(1.375)
    assert baselines["oracle"]["quality"] == pytest.approx(0.5)
    assert baselines["oracle"]["apgr_difference"] == pytest.approx(0.625 - 1.375)
    assert baselines["length"]["apgr"] == pytest.approx(0.375)


def test_figures_agree_with_the_metrics(many):
    """The evaluation computes many draws at once; on the data itself it is the plain metric."""
    got, outcomes, score = values(run(many).overall), many.outcomes, many.difficulty_score
    cheap, frontier = outcomes.cheap_quality, outcomes.frontier_quality
    curve = cost_quality_curve(score, cheap, frontier)
    ends = {"cheap_quality": cheap.mean(), "frontier_quality": frontier.mean()}
    assert got["apgr"] == pytest.approx(average_gap_recovered(*curve, **ends))
    assert got["cpt_80"] == pytest.approx(calls_for_gap(*curve, target=0.8, **ends))
    assert got["auroc"] == pytest.approx(auroc(score, frontier > cheap))
    assert got["brier"] == pytest.approx(brier(many.p_cheap_fails, 1 - cheap))
    assert got["ece_frontier"] == pytest.approx(
        expected_calibration_error(many.p_frontier_fails, 1 - frontier)
    )
    needed = frontier > cheap
    assert got["routing_precision"] == pytest.approx(
        routing_precision(score, needed, threshold=0.6)
    )
    assert got["routing_recall"] == pytest.approx(routing_recall(score, needed, threshold=0.6))
    assert got["cheap_route_precision"] == pytest.approx(
        cheap_route_precision(score, needed, threshold=0.6)
    )
    assert got["risk"] == pytest.approx(risk(score, 1 - cheap, threshold=0.6))


def test_every_figure_has_an_interval_that_holds_it(many):
    """And overall names come in the order of the contract."""
    overall = run(dataclasses.replace(many, catch_rate=0.5), n_draws=100).overall
    assert tuple(overall) == (*REPORTED, *(name for name in FIGURES if name not in REPORTED))
    for name, estimate in overall.items():
        assert estimate.n > 0
        if name.removesuffix("_frontier") in ("ece", "calibration_error", "calibration_p"):
            assert (estimate.low, estimate.high) == (None, None)
        elif name in ("calibration_slope_frontier", "calibration_intercept_frontier"):
            assert "hardly differ" in estimate.note  # all are 0.1
        else:
            assert estimate.low <= estimate.value <= estimate.high, name
            assert not estimate.note


def test_whole_weights_are_copies(many):
    """Sample weights of 2 count like two requests in every figure of the data itself."""
    times = np.random.default_rng(1).integers(1, 3, len(many))
    weighted = dataclasses.replace(
        many, outcomes=dataclasses.replace(many.outcomes, weight=times.astype(float))
    )
    rows = np.repeat(np.arange(len(many)), times)
    copied = dataclasses.replace(
        many,
        **{
            name: getattr(many, name)[rows]
            for name in (
                "difficulty_score", "p_cheap_fails", "p_frontier_fails", "outcomes", "groups",
                "n_tokens", "cheap_cost", "frontier_cost",
            )
        },
        tasks=[many.tasks[row] for row in rows],
    )  # fmt: skip
    one, other = run(weighted, n_draws=2), run(copied, n_draws=2)
    # What chance does depends on how many requests there are, and weights are not requests.
    chance = {f"calibration_p{suffix}": None for suffix in ("", "_frontier")}
    assert values(one.overall) | chance == pytest.approx(values(other.overall) | chance)
    for name in one.baselines:
        assert values(one.baselines[name]) == pytest.approx(values(other.baselines[name])), name


def test_the_order_of_requests_does_not_matter(many):
    rows = np.random.default_rng(2).permutation(len(many))
    arrays = (
        "difficulty_score",
        "p_cheap_fails",
        "p_frontier_fails",
        "outcomes",
        "groups",
        "n_tokens",
        "cheap_cost",
        "frontier_cost",
    )
    shuffled = dataclasses.replace(
        many,
        **{name: getattr(many, name)[rows] for name in arrays},
        tasks=[many.tasks[row] for row in rows],
    )
    assert values(run(many).overall) == pytest.approx(values(run(shuffled).overall))


def test_the_seed_decides_the_intervals(many):
    assert run(many).as_dict() == run(many).as_dict()


def test_unknown_outcomes_are_left_out_and_counted():
    """The figures are those of the four known requests; n says so."""
    nan = np.nan
    scored = scored_of([0.2, 0.9, 0.4, 0.6, 0.8], [0, 0, 1, 0, nan], [1, 1, 0, 0, 1], threshold=0.7)
    result = run(scored)
    assert result.overall["apgr"].value == pytest.approx(0.625)
    assert result.overall["apgr"].n == 4
    assert result.overall["frontier_share"].value == pytest.approx(0.4)
    assert result.overall["frontier_share"].n == 5
    assert result.counts["cheap_known"] == 4
    assert result.counts["frontier_known"] == 5


def test_preferences_alone_give_apgr_but_no_quality():
    nan = np.full(4, np.nan)
    scored = scored_of(
        [0.2, 0.9, 0.4, 0.6],
        nan,
        nan,
        outcomes=outcomes_of(nan, nan, preferred=[1, 1, -1, 0]),
        threshold=0.7,
    )
    overall = run(scored).overall
    assert overall["apgr"].value == pytest.approx(0.625)
    assert overall["quality"].value is None
    assert overall["quality"].note == "no request has the known quality of both models"
    assert overall["brier"].value is None


def test_only_the_cheap_outcome_known():
    """What needs the frontier model is unknown, with the reason; what does not is there."""
    scored = scored_of(
        [0.2, 0.9, 0.4, 0.6], [1, 0, 0, 1], np.full(4, np.nan), target="failure", threshold=0.5
    )
    result = run(scored)
    assert result.overall["auroc"].value == pytest.approx(0.75)
    assert result.overall["risk"].value == pytest.approx(0.5)
    for name in ("apgr", "cpt_50", "cpt_80", "gap_recovered", "quality"):
        assert result.overall[name].value is None
        assert "both models" in result.overall[name].note
    assert result.baselines["oracle"]["apgr"].value is None


def test_no_price_leaves_cost_unknown(many):
    result = run(dataclasses.replace(many, cheap_cost=np.full(len(many), np.nan)))
    assert result.overall["cost"].value is None
    assert "prices and token counts" in result.overall["cost"].note


def test_no_threshold_leaves_routing_unknown(four):
    result = run(dataclasses.replace(four, threshold=None))
    assert result.overall["apgr"].value == pytest.approx(0.625)
    assert result.overall["frontier_share"].note == "no threshold was given"
    assert result.baselines["length"]["quality"].note == "no threshold was given"
    assert result.baselines["always_cheap"]["quality"].value == pytest.approx(0.25)
    assert any("No threshold" in note for note in result.notes)


def test_a_frontier_model_that_is_worse_leaves_the_gap_undefined():
    result = run(scored_of([0.2, 0.9, 0.4], [1, 1, 0], [0, 1, 0]))
    assert result.overall["apgr"].value is None
    assert (
        result.overall["apgr"].note
        == "the frontier model is not better than the cheap one on these requests"
    )
    assert result.overall["quality"].value == pytest.approx(2 / 3)


def test_one_class_leaves_auroc_undefined():
    assert (
        "all needed the frontier model, or none did"
        in run(scored_of([0.2, 0.9], [0, 0], [1, 1])).overall["auroc"].note
    )


def test_equal_scores_are_told_truthfully(many):
    """Ties stay cheap: nothing is sent, and the precision of an empty route is unknown."""
    result = run(dataclasses.replace(many, difficulty_score=np.full(len(many), 0.6)))
    assert result.overall["apgr"].value == pytest.approx(0.5)
    assert result.overall["auroc"].value == pytest.approx(0.5)
    assert result.overall["frontier_share"].value == 0.0
    assert result.overall["routing_precision"].value is None
    assert [finding.name for finding in result.findings] == ["equal_scores"]


def test_one_request_is_judged_as_far_as_it_goes():
    result = run(scored_of([0.9], [0.0], [1.0]))
    assert result.overall["quality"].value == 1.0
    assert result.overall["auroc"].value is None


def test_task_means_are_a_baseline_when_given(many):
    means = TaskMeans.fit(many.tasks, many.outcomes.gain)
    result = run(many, task_means=means)
    assert result.baselines["task_mean"]["apgr"].value > 0.5
    assert result.baselines["task_mean"]["apgr_difference"].low is not None


def test_the_oracle_is_never_beaten(many):
    result = run(many, n_draws=100)
    assert result.baselines["oracle"]["apgr_difference"].high <= 0
    assert result.baselines["oracle"]["quality"].value >= result.overall["quality"].value


def test_work_is_bounded(many):
    assert run(many, n_draws=7).n_draws == 7


def test_score_without_signal_is_found(many):
    """A score of pure noise gets a finding, the score with signal none."""
    rng = np.random.default_rng(3)
    noise = dataclasses.replace(many, difficulty_score=rng.random(len(many)))
    warned, fine = (evaluate(one, Resampling(50)).findings for one in (noise, many))
    assert [finding.name for finding in warned] == ["no_signal"]
    assert fine == ()


def test_fallback_is_counted_where_the_catch_rate_is_known(four):
    """Of the three kept requests two fail; half of each is caught: 1/4 of all, and its answer is
    the frontier model's.
    """
    got = values(run(dataclasses.replace(four, catch_rate=0.5)).overall)
    assert got["fallback_share"] == pytest.approx(0.25)
    assert got["quality"] == pytest.approx((1.0 + 0.5 + 1.0 + 0.0) / 4)
    assert got["gap_recovered"] == pytest.approx((1.0 + 0.5 * 1.0 + 0.0 + 0.0) / 1.0)
    assert got["cost"] == pytest.approx(1000 * (0.021 + 3 * 0.001 + 2 * 0.5 * 0.021) / 4)
    assert got["risk"] == pytest.approx((0.5 + 0.5 + 0.0) / 3)
    assert got["routing_recall"] == pytest.approx(0.5)


def test_a_task_with_its_own_threshold_is_routed_by_it(four):
    """The requests of task extract score 0.4 and 0.6: one is above their own threshold, none above
    the common one.
    """
    got = values(run(dataclasses.replace(four, task_thresholds={"extract": 0.5})).overall)
    assert got["frontier_share"] == pytest.approx(0.5)
    assert got["routing_precision"] == pytest.approx(0.5)


def test_lead_on_chance_is_seen_where_the_check_knows_more_requests():
    """Requests whose cheap answer was never judged count where the check sends them on; that the
    two means are then over other requests does not blur their difference.
    """
    rng = np.random.default_rng(5)
    fails = rng.random(600) < 0.3
    cheap = np.where(fails, 0.0, 1.0)
    cheap[np.flatnonzero(fails)[:6]] = np.nan
    scored = scored_of(
        rng.random(600),
        cheap,
        np.ones(600),
        threshold=1.0,
        answer_score=np.where(fails, 0.9, 0.1),
        answer_threshold=0.5,
    )
    lead = run(scored, n_draws=200).baselines["random"]["quality_difference"]
    assert lead.value == pytest.approx(0.3 * 0.7, abs=0.04)
    assert lead.value - 0.05 < lead.low < lead.value < lead.high < lead.value + 0.05


def test_votes_alone_are_said_to_know_no_failure():
    votes = np.array([1.0, -1.0, 0.0] * 20)
    unknown = np.full(60, np.nan)
    judged = {
        name: evaluate(
            scored_of(np.linspace(0, 1, 60), unknown, unknown, outcomes=outcomes), Resampling(20)
        )
        for name, outcomes in {
            "votes": outcomes_of(unknown, unknown, preferred=votes),
            "graded": outcomes_of(np.r_[1.0, unknown[1:]], unknown, preferred=votes),
            "nothing": outcomes_of(unknown, unknown),
        }.items()
    }
    said = {name: VOTES_ALONE in evaluation.notes for name, evaluation in judged.items()}
    assert said == {"votes": True, "graded": False, "nothing": False}
    assert judged["votes"].overall["risk"].value is None


def test_of_very_many_requests_one_of_every_so_many_is_looked_at(many, monkeypatch):
    """And all else is as if the others had not been there."""
    most = len(many) // 3
    every = many.at(spread_rows(len(many), most))
    few = run(every)
    monkeypatch.setattr(measure, "MOST_JUDGED", most)
    thin = run(many)
    assert (values(thin.overall), thin.slices) == (values(few.overall), few.slices)
    assert thin.notes[1] == (
        f"Figures are of {len(every):,} of the {len(many):,} requests, which stand evenly among"
        " them."
    )


@pytest.mark.parametrize("n", [1, 2, 3])
def test_no_figure_of_a_few_requests_has_a_range_without_width(n):
    """All alike, in outcome and cost: no draw differs, and what has no range says why."""
    costs = {"cheap_cost": np.full(n, 0.1), "frontier_cost": np.full(n, 1.0)}
    result = run(scored_of([0.9, 0.8, 0.7][:n], [0] * n, [1] * n, threshold=0.5, **costs))
    parts = [result.overall, *result.baselines.values(), *result.slices.get("task", {}).values()]
    for name, figure in ((name, part[name]) for part in parts for name in part):
        assert figure.low is None or figure.low < figure.high, name
        if figure.low is None and not name.startswith(("ece", "calibration_")):
            assert figure.note, name
