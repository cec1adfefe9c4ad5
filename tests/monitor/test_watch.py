"""Figures of a log, worked by hand and on simulated services whose truth is known."""

import json
from datetime import timedelta

import numpy as np
import pytest

from benchmarks.lib.decision_logs import Service, feedback_rows, write_log
from difficulty.decisions import read_decisions
from difficulty.errors import LogError
from difficulty.events import Check
from difficulty.gateway.log_files import event_line
from difficulty.monitor import Promised, watch_log
from difficulty.monitor.bucket_sums import PartSums, part_weights, ratio_of
from difficulty.monitor.monitor_page import figure_text, monitor_markdown
from difficulty.monitor.watched_figures import COST, LABELS, MEANINGS, QUALITY, SAVING, SENT
from difficulty.monitor.watched_table import BUCKETS
from difficulty.records import Estimate, Prices
from tests.events import WHEN, answer, event_of

OWN = Promised(bundle_version="small-1")


def watched(folder, events, promised=OWN, *, feedback=(), **options):
    """Return what a log of some events says."""
    log = folder / "log"
    log.mkdir(exist_ok=True)
    (log / "a.jsonl").write_bytes(b"".join(map(event_line, events)))
    said = []
    if feedback:
        (folder / "said.jsonl").write_text("".join(json.dumps(row) + "\n" for row in feedback))
        said = [folder / "said.jsonl"]
    with read_decisions(log, outcomes=said, bundle_versions=["small-1"]) as table:
        return watch_log(table, promised, **options)


def simulated(folder, service, n, *, seed=0, share=1.0, days=28.0, **promised):
    """Return the columns of a simulated service and what its log says."""
    rng = np.random.default_rng(seed)
    columns = service.draw(n, rng, days=days)
    write_log(columns, folder / "log")
    rows = feedback_rows(columns, share, rng)
    (folder / "said.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with read_decisions(folder / "log", outcomes=[folder / "said.jsonl"]) as table:
        return columns, watch_log(
            table, Promised(bundle_version=service.bundle_version, **promised)
        )


def holds(estimate, truth):
    return estimate.low <= truth <= estimate.high


def five_events():
    """Two kept, of which one fell back; three sent, of which one was explored."""
    refused = (Check(name="json", passed=False),)
    sent = {"route": "frontier", "policy_route": "frontier", "propensity": 0.5}
    calls = (answer("frontier", cost_usd=0.003),)
    return [
        event_of(0, propensity=0.5, latency_ms=100.0),
        event_of(
            1,
            propensity=0.5,
            fallback="validation",
            latency_ms=400.0,
            calls=(answer(checks=refused), answer("frontier", role="fallback", cost_usd=0.003)),
        ),
        event_of(2, **sent, calls=calls, latency_ms=200.0),
        event_of(3, **sent, calls=calls, latency_ms=200.0),
        event_of(4, **sent | {"policy_route": "cheap"}, calls=calls, latency_ms=200.0),
    ]


def test_figures_of_five_requests(tmp_path):
    """Each worked by hand."""
    feedback = [{"id": f"r{n}", "quality": quality} for n, quality in enumerate((0, 1, 1, 0.5, 1))]
    watch = watched(tmp_path, five_events(), feedback=feedback)
    values = {name: figure.value for name, figure in watch.overall.items()}
    assert values["requests"] == 5
    assert values["frontier_share"] == pytest.approx(3 / 5)
    assert values["explored_share"] == pytest.approx(1 / 5)
    assert values["fallback_rate"] == pytest.approx(1 / 2)
    assert values["fallback_share"] == pytest.approx(1 / 5)
    assert values["pass_rate"] == pytest.approx(1 / 2)
    assert values["quality"] == pytest.approx(3.5 / 5)
    assert values["risk"] == 1.0  # one request kept its cheap answer, and it was bad
    assert values["cost"] == pytest.approx(1000 * (0.001 + 0.004 + 3 * 0.003) / 5)
    assert values["rule_frontier_share"] == pytest.approx(2 / (2 + 2 * 2))
    # The four whose route is the rule's have propensity 1/2: all weigh the same.
    assert values["rule_quality"] == pytest.approx((0 + 1 + 1 + 0.5) / 4)
    assert values["rule_cost"] == pytest.approx(1000 * (0.001 + 0.004 + 0.006) / 4)
    assert values["cost_always_frontier"] == pytest.approx(3.0)
    assert values["cost_always_cheap"] == pytest.approx(1.0)
    # Of two kept ones one failed, and the refused one reached nobody.
    assert values["rule_risk"] == pytest.approx(0.5)
    assert values["saving"] == pytest.approx(1 - 0.014 / 0.015)
    assert values["labelled_share"] == 1.0
    assert values["escalated_share"] is None
    assert values["failed_share"] == 0.0
    assert values["mean_score"] == pytest.approx(0.25)
    assert values["mean_familiarity"] is None
    assert values["latency_p50"] == pytest.approx(200, rel=0.03)
    assert watch.overall["risk"].n == 1
    assert watch.overall["escalated_share"].note == "answers are not checked"
    assert watch.weeks == ("2026-11-23",)
    assert {*values} == {*LABELS} == {*MEANINGS}


def test_sessions_that_leave_their_model_are_counted_with_their_price(tmp_path):
    """Of three steps of warm sessions one switched, for 0.02 USD; of one the price is not known,
    and a request alone has no part.
    """
    events = [
        event_of(0),
        event_of(1, reason="stick", held_on="cheap", switch_cost_usd=0.5),
        event_of(2, held_on="frontier", switch_cost_usd=0.02),
        event_of(3, held_on="cheap"),
    ]
    overall = watched(tmp_path, events).overall
    assert overall["switched_share"].value == pytest.approx(1 / 3)
    assert (overall["switch_cost"].value, overall["switch_cost"].n) == (pytest.approx(10.0), 2)


def test_explored_step_that_left_the_sessions_model_is_a_switch(tmp_path):
    events = [
        event_of(0, held_on="cheap", route="frontier", switch_cost_usd=0.02),
        event_of(1, held_on="cheap", switch_cost_usd=0.02),
    ]
    overall = watched(tmp_path, events).overall
    assert overall["switched_share"].value == 0.5
    assert overall["switch_cost"].value == pytest.approx(10.0)


def test_what_a_model_cannot_take_is_counted_by_rule(tmp_path):
    """Of four requests two are ineligible, one of them for both models."""
    events = [
        event_of(0),
        event_of(1),
        event_of(2, reason="ineligible", ineligible=("cheap.image",)),
        event_of(3, reason="ineligible", ineligible=("cheap.tools", "frontier.tools")),
    ]
    watch = watched(tmp_path, events)
    assert watch.overall["ineligible_share"].value == 0.5
    assert watch.overall["untaken_share"].value == 0.25
    assert {*watch.slices["ineligible"]} == {"none", "cheap.image", "cheap.tools, frontier.tools"}
    assert watch.slices["ineligible"]["cheap.image"]["traffic_share"].value == 0.25


def test_catch_rate_takes_caught_and_kept_answers_apart(tmp_path):
    """Of 4 refused answers 2 were judged and 1 was bad, of 16 kept ones 8 and 1: 2 of 4 failures
    are caught.
    """
    refused = (Check(name="json", passed=False),)
    caught = {"fallback": "validation"}
    calls = (answer(checks=refused), answer("frontier", role="fallback"))
    events = [event_of(n, **caught, calls=calls) for n in range(4)]
    events += [event_of(n) for n in range(4, 20)]
    said = {0: 0, 1: 1} | {n: int(n != 4) for n in range(4, 12)}
    feedback = [{"id": f"r{n}", "side": "cheap", "quality": value} for n, value in said.items()]
    figure = watched(tmp_path, events, feedback=feedback).overall["catch_rate"]
    assert figure.value == pytest.approx(0.5)
    assert figure.n == 10
    only_kept = [row for row in feedback if row["id"] not in ("r0", "r1")]
    unknown = watched(tmp_path, events, feedback=only_kept).overall["catch_rate"]
    assert unknown.value is None
    assert "was refused" in unknown.note


def test_routing_precision_from_explored_answers(tmp_path):
    """Of ten sent requests the three that were explored say how the cheap model does; two of them
    needed the frontier model.
    """
    rule = {"policy_route": "frontier", "difficulty_score": 0.9}
    events = [
        event_of(n, **rule, route="frontier", propensity=0.7, calls=(answer("frontier"),))
        for n in range(7)
    ]
    events += [event_of(n, **rule, propensity=0.3) for n in range(7, 10)]
    feedback = [{"id": f"r{n}", "quality": int(n == 9)} for n in range(7, 10)]
    figures = watched(tmp_path, events, feedback=feedback).overall
    assert figures["routing_precision"].value == pytest.approx(2 / 3)
    assert figures["sent_cheap_fails"].value == pytest.approx(2 / 3)
    benefit = Promised(bundle_version="small-1", target="benefit")
    unknown = watched(tmp_path, events, benefit, feedback=feedback).overall["routing_precision"]
    assert unknown.value is None
    both = [{"id": f"r{n}", "cheap_quality": int(n % 2), "frontier_quality": 1} for n in range(4)]
    known = watched(tmp_path, events, benefit, feedback=both).overall["routing_precision"]
    assert (known.value, known.n) == (pytest.approx(0.5), 4)


def test_rule_figures_undo_what_was_explored(tmp_path):
    """With a fifth explored what happened is not what the rule would have done; intervals of the
    rule's figures hold the truth.
    """
    service = Service.usual(epsilon=0.2, threshold=0.65, shadow=0.0, catch_rate=0.0, false_alarms=0)
    columns, watch = simulated(tmp_path, service, 10_000)
    above = columns["policy_route"] == "frontier"
    truth = np.where(above, columns["frontier_truth"], columns["cheap_truth"])
    cost = np.where(above, columns["frontier_cost_usd"], columns["cheap_cost_usd"])
    figures = watch.overall
    assert holds(figures["rule_frontier_share"], above.mean())
    assert holds(figures["rule_quality"], truth.mean())
    assert holds(figures["rule_cost"], 1000 * cost.mean())
    assert holds(figures["rule_risk"], 1 - columns["cheap_truth"][~above].mean())
    assert not holds(figures["frontier_share"], above.mean())
    assert holds(figures["cheap_quality"], columns["cheap_truth"].mean())
    assert holds(figures["frontier_quality"], columns["frontier_truth"].mean())
    assert holds(figures["sent_cheap_fails"], 1 - columns["cheap_truth"][above].mean())
    assert holds(figures["cost_always_frontier"], 1000 * columns["frontier_cost_usd"].mean())
    exact = np.quantile(columns["latency_ms"], (0.5, 0.95))
    assert figures["latency_p50"].value == pytest.approx(exact[0], rel=0.02)
    assert figures["latency_p95"].value == pytest.approx(exact[1], rel=0.02)
    assert holds(figures["latency_p95"], exact[1])


def test_validators_seen_by_shadow_calls_tell_of_sent_requests(tmp_path):
    service = Service.usual(threshold=0.6, epsilon=0.1, shadow=0.2)
    columns, watch = simulated(tmp_path, service, 10_000, share=0.01)
    above = columns["policy_route"] == "frontier"
    figure = watch.overall["sent_cheap_refused"]
    assert figure.n < 0.4 * above.sum()
    assert holds(figure, 1 - columns["cheap_passed"][above].mean())


def test_without_exploration_a_quality_is_of_those_that_were_sent_there(tmp_path):
    service = Service.usual(threshold=0.6, epsilon=0.0, shadow=0.0, catch_rate=0.0, false_alarms=0)
    _, watch = simulated(tmp_path, service, 2_000)
    assert "of the requests that were sent there" in watch.overall["cheap_quality"].note
    assert any("cheap_quality" in note for note in watch.notes)


def test_kept_answers_are_no_picture_of_the_cheap_model(tmp_path):
    """Users say nothing of refused answers, which fail more often: without any of them judged the
    cheap model's quality is unknown, with a tenth of them judged it is that of all.
    """
    service = Service.usual(threshold=0.8, epsilon=0.2, shadow=0.0, catch_rate=0.6)
    columns, watch = simulated(tmp_path, service, 6_000)
    refused = columns["fallback"] == "validation"
    for name in ("cheap_quality", "sent_cheap_fails"):
        assert watch.overall[name].value is None
        assert "have some refused answers judged" in watch.overall[name].note
    assert watch.overall["risk"].value is not None
    rng = np.random.default_rng(1)
    judged = [
        {"id": str(name), "side": "cheap", "quality": float(truth)}
        for name, truth in zip(columns["id"][refused], columns["cheap_truth"][refused], strict=True)
        if rng.random() < 0.1
    ]
    (tmp_path / "judged.jsonl").write_text("".join(json.dumps(row) + "\n" for row in judged))
    said = [tmp_path / "said.jsonl", tmp_path / "judged.jsonl"]
    with read_decisions(tmp_path / "log", outcomes=said) as table:
        again = watch_log(table, Promised(bundle_version=service.bundle_version))
    assert holds(again.overall["cheap_quality"], columns["cheap_truth"].mean())


def test_groups_count_whole(tmp_path):
    """400 requests of 20 users are not 400 requests: the interval is as wide as 20 give."""
    rng = np.random.default_rng(0)
    routes = rng.random(20) < 0.4

    def one(n, grouped):
        sent = bool(routes[n % 20])
        group = f"user-{n % 20}" if grouped else f"user-{n}"
        route = "frontier" if sent else "cheap"
        return event_of(n, group=group, route=route, policy_route=route)

    width = {}
    for grouped in (False, True):
        folder = tmp_path / str(grouped)
        folder.mkdir()
        figure = watched(folder, [one(n, grouped) for n in range(400)]).overall["frontier_share"]
        width[grouped] = figure.high - figure.low
        assert holds(figure, routes.mean())
    assert width[True] > 3 * width[False]


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Of 300 logs of 400 users each, whose requests are alike, 92 to 98 % of the intervals hold the
    true share, cost and quality.
    """
    weights, hits = part_weights(), np.zeros(3)
    for seed in range(300):
        rng = np.random.default_rng(seed)
        sizes = rng.integers(1, 6, 400)
        user = np.repeat(np.arange(400), sizes)
        columns = {
            SENT: (rng.random(len(user)) < rng.beta(2, 3, 400)[user]).astype(float),
            COST: rng.exponential(1.0, len(user)) * rng.exponential(1.0, 400)[user],
            QUALITY: np.clip(rng.beta(2, 2, 400)[user] + rng.normal(0, 0.05, len(user)), 0, 1),
        }
        truths = (0.4, 1000.0, 0.5)
        bucket = rng.integers(0, BUCKETS, 400)[user]
        counts = np.bincount(bucket, minlength=BUCKETS).astype(float)
        for place, (figure, values) in enumerate(columns.items()):
            sums = {
                f"{figure.name}__n": counts,
                f"{figure.name}__above": np.bincount(bucket, values, BUCKETS),
            }
            estimate = ratio_of(figure, PartSums(sums, 400.0, {}), weights)
            hits[place] += holds(estimate, truths[place])
    assert (hits / 300 >= 0.92).all(), hits
    assert (hits / 300 <= 0.98).all(), hits


def test_risk_by_the_rule_is_unknown_where_no_kept_answer_is_judged(tmp_path):
    """That refused answers reach nobody is no word on the kept."""
    assert watched(tmp_path, five_events()).overall["rule_risk"].value is None


@pytest.mark.slow
def test_costs_taken_from_other_calls_are_as_unsure_as_those_are_few(tmp_path):
    """Twelve logs of 800 requests, a third of them sent: intervals of what either model alone would
    cost hold the truth in ten at least, of the saving and of the risk by the rule as well.
    """
    hits = dict.fromkeys(("cost_always_frontier", "cost_always_cheap", "saving", "rule_risk"), 0)
    for seed in range(12):
        folder = tmp_path / str(seed)
        folder.mkdir()
        columns, watch = simulated(
            folder, Service.usual(catch_rate=0.4), 800, seed=seed, share=0.6, days=14.0
        )
        kept = columns["policy_route"] == "cheap"
        refused = columns["cheap_passed"] < 0.5
        always = {side: columns[f"{side}_cost_usd"] for side in ("cheap", "frontier")}
        sent, back = columns["route"] == "frontier", columns["fallback"] == "validation"
        paid = np.where(sent, 0.0, always["cheap"]) + np.where(sent | back, always["frontier"], 0)
        truth = {
            "cost_always_frontier": 1000 * always["frontier"].mean(),
            "cost_always_cheap": 1000 * always["cheap"].mean(),
            "saving": 1.0 - paid.sum() / always["frontier"].sum(),
            "rule_risk": ((1.0 - columns["cheap_truth"]) * ~refused)[kept].mean(),
        }
        for name, value in truth.items():
            hits[name] += holds(watch.overall[name], value)
    assert min(hits.values()) >= 10, hits


def test_a_cost_is_never_below_0_and_a_saving_may_be():
    """Six users, one of whom sent nearly all that was dear."""
    spent = np.zeros(BUCKETS)
    spent[:6] = 100.0, 0.1, 0.1, 0.1, 0.1, 0.1
    users = (np.arange(BUCKETS) < 6).astype(float)
    ends = {}
    for figure, above in ((COST, spent), (SAVING, spent)):
        sums = {f"{figure.name}__{part}": users for part in ("n", "below", "squares")}
        part = PartSums(sums | {f"{figure.name}__above": above}, 6.0, {})
        ends[figure.name] = ratio_of(figure, part, part_weights())
    assert ends["cost"].low == 0.0 < ends["cost"].value
    assert ends["saving"].low < 0.0


def test_weeks_without_traffic_are_there_and_empty(tmp_path):
    events = [event_of(0), event_of(1, time=WHEN + timedelta(days=28))]
    watch = watched(tmp_path, events)
    assert watch.weeks == ("2026-11-23", "2026-11-30", "2026-12-07", "2026-12-14", "2026-12-21")
    assert [*watch.by_week] == ["2026-11-23", "2026-12-21"]
    page = monitor_markdown(watch, "Result.", "nothing")
    assert page.count("no traffic") == 3


def test_slices_are_by_route_task_bundle_and_model(tmp_path):
    events = [event_of(n, task=("a", "", None)[n % 3]) for n in range(9)]
    events += [
        event_of(9, route="frontier", policy_route="frontier", calls=(answer("frontier"),)),
        event_of(10, bundle_version="old-1", task="b"),
    ]
    watch = watched(tmp_path, events)
    sizes = {
        kind: {name: part["requests"].value for name, part in parts.items()}
        for kind, parts in watch.slices.items()
    }
    assert sizes == {
        "route": {"cheap": 9, "frontier": 1},
        "task": {"none": 4, "": 3, "a": 3},
        "ineligible": {"none": 10},
        "bundle_version": {"small-1": 10, "old-1": 1},
        "cheap_model": {"cheap-model": 9, "none": 1},
        "frontier_model": {"none": 9, "frontier-model": 1},
    }
    assert watch.reading.foreign_bundle == 1
    assert watch.slices["bundle_version"]["old-1"]["traffic_share"].value == pytest.approx(1 / 11)
    assert watch.slices_by_week["task"]["a"]["2026-11-23"]["requests"].value == 3


def test_rare_tasks_fall_together(tmp_path):
    events = [event_of(n, task=f"task-{n // 2}") for n in range(50)]
    watch = watched(tmp_path, events)
    assert len(watch.slices["task"]) == 21
    assert watch.slices["task"]["other"]["requests"].value == 10
    assert watch.rare == {"task": 5}


def test_prices_stand_in_for_costs_that_the_log_lacks(tmp_path):
    """10 tokens in, 5 out: cheap 20e-6 USD, frontier 200e-6 USD."""
    prices = Prices(
        date="2026-11-01",
        cheap_input=1.0,
        cheap_output=2.0,
        frontier_input=10.0,
        frontier_output=20.0,
    )
    events = [
        event_of(0, calls=(answer(cost_usd=None),)),
        event_of(
            1, route="frontier", policy_route="frontier", calls=(answer("frontier", cost_usd=None),)
        ),
    ]
    assert watched(tmp_path, events).overall["cost"].value is None
    figures = watched(tmp_path, events, prices=prices).overall
    assert figures["cost"].value == pytest.approx(0.11)
    assert figures["cost_always_frontier"].value == pytest.approx(0.2)
    assert figures["cost_always_cheap"].value == pytest.approx(0.02)


def test_one_route_only_and_no_propensity(tmp_path):
    """What the other route would have cost is unknown, not nothing."""
    lines = [
        event_line(event_of(n)).replace(b'"propensity":0.95', b'"propensity":0') for n in range(5)
    ]
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "a.jsonl").write_bytes(b"".join(lines))
    with read_decisions(tmp_path / "log") as table:
        watch = watch_log(table, OWN)
    figures = watch.overall
    for name in ("cost_always_frontier", "saving", "rule_cost", "rule_quality", "frontier_quality"):
        assert figures[name].value is None, name
        assert figures[name].note
    assert figures["cost"].value == pytest.approx(1.0)
    assert figures["frontier_share"].value == 0.0
    assert 0.0 < figures["frontier_share"].high < 1.0
    assert any("without a propensity 5 requests" in note for note in watch.notes)


def test_time_can_be_bounded(tmp_path):
    events = [event_of(n, time=WHEN + timedelta(days=n)) for n in range(10)]
    watch = watched(
        tmp_path, events, since=WHEN + timedelta(days=2), until=WHEN + timedelta(days=5)
    )
    assert watch.overall["requests"].value == 3
    assert (watch.first, watch.last) == ("2026-11-27", "2026-11-29")
    with pytest.raises(LogError, match="events of the time"):
        watched(tmp_path, events, since=WHEN + timedelta(days=20))


def test_log_of_another_bundle_is_refused(tmp_path):
    events = [event_of(0, bundle_version="it's another")]
    with pytest.raises(LogError, match="--any-bundle"):
        watched(tmp_path, events)
    assert watched(tmp_path, events, Promised()).overall["requests"].value == 1


def test_expected_stands_beside_found(tmp_path):
    expected = {
        "rule_frontier_share": Estimate(value=0.2, low=0.15, high=0.25, n=100),
        "rule_cost": Estimate(value=1.0),
        "gap_recovered": Estimate(value=0.7),
    }
    promised = Promised(bundle_version="small-1", expected=expected)
    watch = watched(tmp_path, five_events(), promised)
    assert {*watch.expected} == {"rule_frontier_share", "rule_cost"}
    found = watch.overall["rule_frontier_share"]
    difference = watch.differences["rule_frontier_share"]
    assert difference.value == pytest.approx(found.value - 0.2)
    assert difference.low == pytest.approx(
        difference.value - np.hypot(found.value - found.low, 0.05)
    )
    assert watch.differences["rule_cost"].low is None


def test_page_reads_as_a_comment(tmp_path):
    promised = Promised(
        bundle_version="small-1",
        expected={"rule_frontier_share": Estimate(value=0.2, low=0.15, high=0.25, n=100)},
    )
    events = [*five_events(), event_of(9, task="a|b <script>")]
    page = monitor_markdown(watched(tmp_path, events, promised), "The result.", "wait")
    assert page.startswith("# Monitor: small-1\n\nThe result.\n\nNext: wait\n")
    assert "| sent by the rule | " in page
    assert "20.0 % (15.0 to 25.0)" in page
    assert "<script>" not in page
    assert "a\\|b" in page


def test_figures_read_as_people_write_them():
    share = Estimate(value=0.287, low=0.258, high=0.314)
    assert figure_text("frontier_share", share) == "28.7 % (25.8 to 31.4)"
    assert figure_text("quality", share) == "0.287 (0.258 to 0.314)"
    assert figure_text("rule_frontier_share", Estimate(value=-0.02), signed=True) == "-2.0 points"
    assert (
        figure_text("cost", Estimate(value=12.345, low=12.0, high=13.0)) == "12.35 (12.00 to 13.00)"
    )
    assert figure_text("requests", Estimate(value=12345.0)) == "12,345"
    assert figure_text("cost", Estimate(value=None)) == figure_text("cost", None) == "unknown"
