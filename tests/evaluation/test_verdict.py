"""The one verdict: each thing that is weighed, what decides, and that it is written and read."""

import dataclasses
import json
import re

import numpy as np
import pytest

from difficulty.evaluation import Evaluation, evaluate, metrics_text
from difficulty.evaluation.decision.aim import Aim
from difficulty.evaluation.decision.finding import Finding
from difficulty.evaluation.decision.money_case import MoneyCase
from difficulty.evaluation.decision.remedies import (
    LABEL,
    NAMES,
    REMEDIES,
    explain_names,
    fill,
    remedy_of,
)
from difficulty.evaluation.findings import CHECKS
from difficulty.evaluation.result import without_threshold
from difficulty.evaluation.verdict import SwitchVerdict, weigh
from difficulty.evaluation.words import as_percent, complement
from difficulty.metrics import Resampling
from difficulty.records import Estimate
from tests.evaluation.conftest import scored_of


@pytest.fixture(scope="module")
def evaluation():
    """A score that knows something, of a frontier model that is better and dearer."""
    rng = np.random.default_rng(7)
    hard = rng.normal(size=800)
    cheap = (rng.random(800) < 1 / (1 + np.exp(hard - 0.5))).astype(float)
    scored = scored_of(
        1 / (1 + np.exp(-hard + rng.normal(0, 0.7, 800))),
        cheap,
        (rng.random(800) < 0.95).astype(float),
        cheap_cost=np.full(800, 0.001),
        frontier_cost=np.full(800, 0.011),
    )
    judged = evaluate(scored, Resampling(40))
    return dataclasses.replace(judged, findings=())


def sure(value, width=0.01):
    return Estimate(value=value, low=value - width, high=value + width, n=100)


def changed(evaluation, *, overall=None, baselines=None, **changes):
    merged = {
        name: {**dict(part), **(baselines or {}).get(name, {})}
        for name, part in evaluation.baselines.items()
    }
    return dataclasses.replace(
        evaluation, overall={**evaluation.overall, **(overall or {})}, baselines=merged, **changes
    )


def ahead(low, value, high):
    return {"random": {"quality_difference": Estimate(value=value, low=low, high=high, n=100)}}


def money(answer, *, net=900.0, month=2e6, even=1e6, keep=1070.0):
    return MoneyCase(
        answer=answer,
        text="with the bundle's policy aggregator saves or loses",
        requests_per_month=Estimate(value=month),
        net_saving=sure(net, 100.0) if net is not None else Estimate(value=None),
        keep_cost=Estimate(value=keep),
        break_even=Estimate(value=even),
    )


def test_routing_that_beats_chance_and_pays_is_switched_on(evaluation):
    said = weigh(evaluation, money=money("build"))
    assert (said.answer, said.word, said.lever) == ("switch_on", "Switch on", "")
    stays = as_percent(complement(evaluation.overall["frontier_share"]))
    assert said.sentence.startswith(f"{stays} of the requests stay on the cheap model")
    assert as_percent(evaluation.overall["gap_recovered"]) in said.sentence
    assert "saves USD 900 (800 to 1,000) a month after the cost to keep it" in said.sentence
    assert [ground.name for ground in said.grounds] == ["quality", "money"]


def test_without_economics_the_bill_counts_and_says_what_is_not_in_it(evaluation):
    assert weigh(evaluation).answer == "switch_on"
    assert "before the cost to keep it" in weigh(evaluation).sentence
    dearer = changed(evaluation, overall={"saving": sure(-0.2)})
    assert weigh(dearer).answer == "do_not_switch_on"
    unclear = changed(evaluation, overall={"saving": sure(0.005)})
    assert weigh(unclear).answer == "keep_testing"
    unknown = changed(evaluation, overall={"saving": Estimate(value=None, note="no prices")})
    assert weigh(unknown).answer == "switch_on"
    assert "what that saves is not known" in weigh(unknown).sentence


@pytest.mark.parametrize(
    ("case", "answer", "lever"),
    [
        (money("wait", net=-500.0, even=4e6), "do_not_switch_on", "It pays from about 4 million"),
        (money("wait"), "do_not_switch_on", "See the conditions of 'difficulty economics'"),
        (money("unsure", net=None, month=None), "keep_testing", "--requests-per-month"),
        (money("unsure", net=None, keep=None), "keep_testing", "[team] in the price list"),
    ],
)
def test_money_that_is_lost_or_unknown_decides(evaluation, case, answer, lever):
    said = weigh(evaluation, money=case)
    assert said.answer == answer
    assert lever in said.lever
    assert said.sentence == case.sentence
    assert said.brief


def test_a_volume_that_is_too_low_is_told_in_what_it_saves_and_costs(evaluation):
    """Saving 0.48 and costing 1,070 is a loss of 1,069.52 a month."""
    said = weigh(evaluation, money=money("wait", net=-1069.52, month=1660, even=3.7e6))
    assert said.sentence == (
        "At 1,660 requests a month the router saves USD 0.48 and costs USD 1,070 to run."
    )
    assert said.lever == "It pays from about 3.7 million requests a month on."
    assert money("wait").sentence == "With the bundle's policy aggregator saves or loses."


def test_the_three_figures_are_those_of_the_evaluation_and_the_money(evaluation):
    """Net of what it costs to keep where the economics say so, else the bill by the volume."""
    figures = weigh(evaluation, money=money("build")).stakes
    assert figures.usd_per_month == money("build").net_saving
    assert figures.is_net
    for name in ("answers_worse", "calls_avoided", "saved_cost"):
        assert getattr(figures, name) == evaluation.overall[name]
    bill = weigh(evaluation, money=money("unsure", net=None, month=2000)).stakes
    saved = evaluation.overall["saved_cost"]
    assert (bill.usd_per_month.value, bill.is_net) == (pytest.approx(2 * saved.value), False)
    assert weigh(evaluation).stakes.usd_per_month.value is None
    assert "--requests-per-month" in weigh(evaluation).stakes.usd_per_month.note


def test_what_stands_against_it_has_a_short_reason_and_a_command(evaluation):
    finding = Finding(name="few_samples", severity="warning", message="Few.")
    judged = changed(evaluation, findings=(finding,), baselines=ahead(-0.01, 0.01, 0.03))
    against = weigh(judged).against
    assert [ground.name for ground in against] == ["quality", "few_samples"]
    assert all(ground.brief and ground.command.startswith("difficulty ") for ground in against)
    assert weigh(judged).brief == against[0].brief
    assert weigh(changed(evaluation)).against == ()


def test_every_finding_has_a_short_reason():
    assert {*CHECKS} - {*REMEDIES} <= {"check_would_save", "overlap_unknown"}  # they are notes
    assert all(len(remedy.brief.split()) <= 12 for remedy in REMEDIES.values())
    assert remedy_of("their_own").brief == "Their own."


def test_commands_name_what_the_user_has_quoted_for_a_shell():
    names = {"BUNDLE": "my bundle", "TRAFFIC": ""}
    command = "difficulty evaluate BUNDLE TRAFFIC --by RUNNER"
    assert fill(command, names) == "difficulty evaluate 'my bundle' TRAFFIC --by RUNNER"
    assert explain_names(fill(command, names)) == f"TRAFFIC is {NAMES['TRAFFIC']}"


def test_every_name_in_a_command_is_one_that_is_explained():
    """What is filled in by hand has a line that says what it is."""
    for remedy in REMEDIES.values():
        capitals = set(re.findall(r"(?<!\S)[A-Z_]{2,}(?!\S)", remedy.command))
        assert capitals <= {*NAMES}
        explained = explain_names(remedy.command)
        assert all(f"{name} is " in explained for name in capitals)


@pytest.mark.parametrize(
    ("lead", "answer", "words"),
    [
        ((0.01, 0.02, 0.03), "switch_on", "of the requests stay on"),
        ((-0.01, 0.01, 0.03), "keep_testing", "higher by 1.0 % (-1.0 to 3.0)"),
        ((-0.03, -0.02, -0.01), "do_not_switch_on", "lower by 2.0 % (1.0 to 3.0)"),
    ],
)
def test_the_lead_over_chance_decides_by_its_interval(evaluation, lead, answer, words):
    said = weigh(changed(evaluation, baselines=ahead(*lead)))
    assert said.answer == answer
    assert words in said.sentence


def test_labels_that_would_show_a_lead_are_counted(evaluation):
    """An interval of 0.01 plus and minus 0.02 is half as wide with four times as many."""
    said = weigh(changed(evaluation, baselines=ahead(-0.01, 0.01, 0.03)))
    assert said.lever == "About 400 labelled requests would show a lead of this size."
    none = weigh(changed(evaluation, baselines=ahead(-0.03, -0.01, 0.01)))
    assert "Choose another threshold or rule" in none.lever


@pytest.mark.parametrize(
    ("kept", "answer"),
    [
        (0.7, "switch_on"),
        (0.505, "keep_testing"),
        (0.492, "keep_testing"),
        (0.3, "do_not_switch_on"),
    ],
)
def test_chance_with_the_same_money_is_the_other_measure(evaluation, kept, answer):
    """All cheap costs 1, all frontier 11, routing 6: random routing of that cost keeps half of the
    gain.
    """
    judged = changed(
        evaluation,
        overall={"cost": sure(6.0), "gap_recovered": sure(kept)},
        baselines={"always_cheap": {"cost": sure(1.0)}, "always_frontier": {"cost": sure(11.0)}},
        baseline_curves={},
    )
    said = weigh(judged)
    assert said.answer == answer
    assert any("keep about 50.0 %" in ground.text for ground in said.grounds)


def test_a_rule_that_the_score_alone_beats_is_the_lever(evaluation):
    quality = evaluation.overall["quality"].value
    share = evaluation.overall["frontier_share"].value
    curve = {"score": {"frontier_share": (share,), "quality": (quality + 0.02,)}}
    behind = changed(evaluation, baselines=ahead(-0.03, -0.02, -0.01), baseline_curves=curve)
    assert weigh(behind).lever.startswith("Ship without the rule (--no-rule)")


@pytest.mark.parametrize(
    ("name", "severity", "numbers", "answer"),
    [
        ("few_samples", "warning", {}, "keep_testing"),
        ("calibration_off", "warning", {}, "keep_testing"),
        ("training_overlap", "warning", {}, "switch_on"),
        ("overlap_unknown", "info", {}, "switch_on"),
        ("threshold_on_judged_data", "error", {}, "keep_testing"),
        ("equal_scores", "error", {}, "do_not_switch_on"),
        ("frontier_not_better", "error", {}, "do_not_switch_on"),
        ("losing_rule", "error", {}, "do_not_switch_on"),
        ("no_signal", "error", {"high": 0.62}, "keep_testing"),
        ("no_signal", "error", {"high": 0.53}, "do_not_switch_on"),
    ],
)
def test_findings_are_weighed(evaluation, name, severity, numbers, answer):
    """A small sample that shows no signal asks for more of it; a large one says that there is
    none.
    """
    finding = Finding(name=name, severity=severity, message="Found.", numbers=numbers)
    said = weigh(changed(evaluation, findings=(finding,)), money=money("build"))
    assert said.answer == answer
    assert (said.sentence == "Found.") == (answer != "switch_on")
    assert (name in {ground.name for ground in said.grounds}) == (severity != "info")


@pytest.mark.parametrize(
    ("objective", "guarantee", "risk", "answer"),
    [
        ("share=0.3", None, sure(0.4), "switch_on"),
        ("risk=0.27", "at most 0.27", sure(0.2), "switch_on"),
        ("risk=0.27", "at most 0.27", sure(0.275), "keep_testing"),
        ("risk=0.27", "at most 0.27", sure(0.302), "do_not_switch_on"),
        ("risk=0.27,delta=0.05", "at most 0.27", sure(0.302), "do_not_switch_on"),
        ("risk=0.27", None, sure(0.2), "keep_testing"),
    ],
)
def test_a_promise_is_held_against_what_was_measured(
    evaluation, objective, guarantee, risk, answer
):
    judged = changed(evaluation, overall={"risk": risk})
    assert weigh(judged, objective=objective, guarantee=guarantee).answer == answer


def test_the_gravest_ground_speaks(evaluation):
    """All that was weighed stays in view behind it."""
    finding = Finding(name="few_samples", severity="warning", message="Few.")
    said = weigh(changed(evaluation, findings=(finding,)), money=money("wait", net=-5.0))
    assert [ground.name for ground in said.grounds] == ["money", "few_samples", "quality"]
    assert said.answer == said.grounds[0].answer == "do_not_switch_on"


def test_without_a_threshold_only_the_order_is_judged(evaluation):
    said = weigh(without_threshold(evaluation, "it has not been chosen"))
    assert said.answer == "keep_testing"
    assert said.sentence.startswith(
        "No threshold has been chosen. The score orders requests better"
    )
    assert "difficulty ship" in said.lever


def test_unknown_quality_is_said_with_its_reason():
    unknown = np.full(60, np.nan)
    scored = scored_of(np.linspace(0, 1, 60), [0, 1] * 30, unknown, target="failure")
    said = weigh(dataclasses.replace(evaluate(scored, Resampling(5)), findings=()))
    assert said.answer == "keep_testing"
    assert "No request has the known quality of both models" in said.sentence


@pytest.mark.parametrize("case", [None, money("build"), money("unsure", net=None, month=None)])
def test_it_is_written_first_and_read_back(evaluation, case):
    said = weigh(evaluation, money=case)
    written = json.loads(metrics_text(dataclasses.replace(evaluation, verdict=said)))
    assert list(written)[:2] == ["format", "verdict"]
    assert list(written["verdict"])[0] == "answer"
    assert Evaluation.from_dict(written).verdict == said
    assert "verdict" not in json.loads(metrics_text(evaluation))


def test_a_promise_of_missed_is_held_against_what_was_kept_rightly(evaluation):
    """Of the kept requests 78.5 % were kept rightly, so 21.5 % are missed: more than promised."""
    overall = {"cheap_route_precision": Estimate(value=0.785, low=0.759, high=0.81, n=900)}
    said = weigh(changed(evaluation, overall=overall), objective="missed=0.2", guarantee="at most")
    ground = next(ground for ground in said.grounds if ground.name == "promise")
    assert ground.answer == "keep_testing"
    assert "measured 21.5 % (19.0 to 24.1)" in ground.text


def test_a_promise_per_task_is_held_against_each_task(evaluation):
    parts = {
        "code": {"risk": Estimate(value=0.36, low=0.30, high=0.45, n=200)},
        "chat": {"risk": Estimate(value=0.1, low=0.05, high=0.15, n=200)},
    }
    said = weigh(
        changed(evaluation, slices={"task": parts}),
        objective="risk=0.25 per task",
        guarantee="at most",
    )
    ground = next(ground for ground in said.grounds if ground.name == "promise")
    assert ground.answer == "keep_testing"
    assert "'code' (risk 36.0 % (30.0 to 45.0))" in ground.text
    assert "chat" not in ground.text
    overall = {"risk": sure(0.4)}
    broken = weigh(
        changed(evaluation, overall=overall), objective="risk=0.25 per task", guarantee="at most"
    )
    assert broken.answer == "do_not_switch_on"


def test_what_has_no_interval_is_not_shown_to_beat_chance(evaluation):
    for name, unknown in (
        ("quality", changed(evaluation, overall={"gap_recovered": Estimate(value=0.5, n=90)})),
        ("quality", changed(evaluation, baselines=ahead(None, 0.05, None))),
        ("money", changed(evaluation, overall={"saving": Estimate(value=0.4, n=90)})),
    ):
        said = weigh(unknown)
        ground = next(ground for ground in said.grounds if ground.name == name)
        assert (said.answer, ground.answer) == ("keep_testing", "keep_testing")


def test_a_share_that_is_exceeded_is_said(evaluation):
    overall = {"frontier_share": sure(0.33)}
    said = weigh(changed(evaluation, overall=overall), objective="share=0.3")
    ground = next(ground for ground in said.grounds if ground.name == "objective")
    assert ground.text == said.aim.text
    assert "missed here by 3.0 points, more than chance explains" in said.aim.text
    assert SwitchVerdict.from_dict(said.as_dict()).aim == said.aim


@pytest.mark.parametrize(
    ("objective", "low", "value", "high", "state", "beyond"),
    [
        ("share=0.3", 0.25, 0.29, 0.35, "kept", -0.01),
        ("share=0.3", 0.27, 0.33, 0.39, "missed_by_chance", 0.03),
        ("share=0.3 per task", 0.31, 0.33, 0.35, "missed", 0.03),
        ("share=0.3", None, 0.33, None, "missed_by_chance", 0.03),
        ("quality=0.5", 0.4, 0.45, 0.52, "missed_by_chance", 0.05),
        ("quality=0.5", 0.4, 0.45, 0.48, "missed", 0.05),
        ("risk=0.2,delta=0.1", 0.1, 0.15, 0.25, "kept", -0.05),
        ("cost=2", None, None, None, "unknown", None),
    ],
)
def test_an_aim_says_how_far_it_was_missed_and_if_by_chance(
    objective, low, value, high, state, beyond
):
    figure = {"share": "frontier_share", "quality": "gap_recovered"}
    name = objective.partition("=")[0]
    overall = {figure.get(name, name): Estimate(value=value, low=low, high=high, note="no prices")}
    aim = Aim.of(objective, overall, {}, target="benefit")
    assert (aim.state, aim.beyond) == (state, beyond if beyond is None else pytest.approx(beyond))
    words = {"kept": "is kept here", "unknown": "not known (no prices)"}
    assert words.get(state, f"is missed here by {100 * (beyond or 0):.1f} points") in aim.text


def test_an_aim_counts_the_luck_of_the_requests_that_chose_the_threshold():
    """0.03 away is beyond the range here of 0.02, and within both ranges: sqrt(.02^2 + .03^2)."""
    overall = {"frontier_share": Estimate(value=0.33, low=0.31, high=0.35)}
    chosen = {"frontier_share": Estimate(value=0.3, low=0.27, high=0.33)}
    assert Aim.of("share=0.3", overall, {}, target="benefit").state == "missed"
    assert Aim.of("share=0.3", overall, chosen, target="benefit").state == "missed_by_chance"
    assert Aim.of("utility=0.02", overall, {}, target="benefit") is None
    assert Aim.of("missed=0.05", overall, {}, target="failure") is None


def test_few_requests_get_one_advice(evaluation):
    """Where there is too little to judge by, no other threshold is advised beside more labels."""
    few = Finding.of("few_samples", "warning", "Few.", "Add labels.", {})
    for lead in ((-0.03, -0.01, 0.01), (-0.01, 0.01, 0.03)):
        said = weigh(changed(evaluation, findings=(few,), baselines=ahead(*lead)))
        assert {ground.command for ground in said.against} == {LABEL}
        assert "threshold or rule" not in said.lever.partition(":")[0]
    assert (few.fact, few.message) == ("Few.", "Few. Add labels.")


def test_a_bill_that_rises_is_said_without_a_sign(evaluation):
    overall = {"saving": Estimate(value=-0.53, low=-0.6, high=-0.5, n=100)}
    said = weigh(changed(evaluation, overall=overall))
    assert "rises by 53.0 % (50.0 to 60.0)" in said.sentence


def test_money_that_is_not_known_says_neither_yes_nor_no(evaluation):
    """It stops nobody, but the table of what was weighed does not read it as a yes."""
    unknown = Estimate(value=None, note="no prices were given")
    unpriced = dataclasses.replace(evaluation, overall={**evaluation.overall, "saving": unknown})
    told = {ground.name: ground.says for ground in weigh(unpriced).grounds}
    assert told["money"] == "not known"
    assert told["quality"] == "switch on"
