"""Monitor, from a bundle that was trained and a log that the gateway wrote."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.lib.decision_logs import Service, write_log
from difficulty.answers.answer import Answer
from difficulty.bundle import read_bundle
from difficulty.decisions import log_shards
from difficulty.engine import LocalEngine
from difficulty.errors import LogError
from difficulty.gateway.log import DecisionLog
from difficulty.gateway.log_files import JsonLinesSink, read_log
from difficulty.gateway.requests import Gateway
from difficulty.gateway.visits import Usage
from difficulty.records import Prices
from difficulty.runtime import Router
from difficulty.stages.deploying.deployed_policy import change_policy
from difficulty.stages.watching.monitoring import (
    MONITOR_FILES,
    MonitorOptions,
    monitor,
    promised_by,
    write_monitored,
)
from tests.journey import sample_rows

PRICES = Prices(
    date="2026-11-01", cheap_input=0.1, cheap_output=0.3, frontier_input=2.5, frontier_output=10.0
)


@pytest.fixture(scope="module")
def watched(journey, tmp_path_factory):
    """A bundle that explores, the log that the gateway wrote of it, and what users said."""
    folder = tmp_path_factory.mktemp("monitored")
    bundle = folder / "small-2"
    settings = ["exploration.epsilon=0.2", 'fallback.validators=[{check = "non_empty"}]']
    change_policy(journey.bundle, settings, bundle)
    gateway = Gateway(
        Router.load(bundle),
        log=DecisionLog([JsonLinesSink(folder / "log")]),
        prices=PRICES,
        salt="pepper",
    )
    said = []
    for number, row in enumerate(sample_rows(150)):
        visit = gateway.open(
            {"messages": row["messages"]},
            id=f"request-{number}",
            task=row["task"],
            group=f"user-{number // 3}",
        )
        # Every tenth cheap answer is empty, and falls back.
        text = "" if visit.route == "cheap" and number % 10 == 0 else "an answer"
        call = gateway.note(
            visit, "answer", answer=Answer(text), usage=Usage(20, 5), latency_ms=10.0
        )
        if gateway.falls_back(visit, call):
            gateway.note(visit, "fallback", answer=Answer("better"), usage=Usage(20, 9))
        gateway.close(visit)
        if number % 2:
            said.append({"id": f"request-{number}", "quality": 1.0 if number % 4 == 1 else 0.0})
    gateway.log.close()
    (folder / "said.jsonl").write_text("".join(json.dumps(row) + "\n" for row in said))
    return bundle, folder / "log", folder / "said.jsonl"


def test_one_wrong_clock_moves_neither_weeks_nor_the_review(watched, tmp_path):
    bundle, log, _ = watched
    usual = monitor([log], bundle)
    event = json.loads(next(iter(log.glob("*.jsonl"))).read_text().splitlines()[0])
    event |= {"id": "odd", "time": "2091-01-01T00:00:00+00:00", "writer": "odd"}
    (tmp_path / "odd.jsonl").write_text(json.dumps(event) + "\n")
    odd = monitor([log, tmp_path / "odd.jsonl"], bundle)
    assert odd.watch.reading.from_future == 1
    assert (odd.watch.weeks, odd.next_step) == (
        usual.watch.weeks,
        usual.next_step.replace(str(log), f"{log} {tmp_path / 'odd.jsonl'}"),
    )
    assert "Left out of all figures: 1 event from the future." in odd.watch.notes


def test_monitor_says_what_to_expect_without_labels(watched):
    """Of 150 requests, of which a part was scored, too few are known to tell anything."""
    bundle, log, _ = watched
    monitored = monitor([log], bundle)
    expected = monitored.unlabelled
    scored = [event for event in read_log(log) if event.difficulty_score is not None]
    assert expected.requests == len(scored)
    assert expected.risk.value is None
    assert "cannot tell: the interval would reach" in expected.risk.note
    assert monitored.as_dict()["unlabelled"]["requests"] == len(scored)
    told = expected.without("the cheap model is another since 2026-11-02. Label some requests")
    assert told.quality.note.startswith("cannot tell: the cheap model is another since")


def test_monitor_says_the_same_of_a_log_that_an_engine_holds(watched, tmp_path, monkeypatch):
    """Of a log in several files, whatever the order that their rows come in: to the byte, since
    sums are exact. Each file is a part, and some events are in two of them.
    """
    monkeypatch.setattr(log_shards, "PART_BYTES", 1)
    bundle, log, said = watched
    lines = [
        line for file in sorted(log.glob("*.jsonl")) for line in file.read_text().splitlines(True)
    ]
    for name, part in {"a": lines[100:], "b": lines[50:100], "c": lines[:60]}.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(part))

    options = MonitorOptions(outcomes=[said], prices=PRICES, counted=True)
    reports = []
    for engine, logs in ((None, [tmp_path]), (LocalEngine(), [tmp_path]), (None, [log])):
        monitored = monitor(logs, bundle, options, engine=engine)
        form = monitored.as_dict()
        for name in ("files", "doubled"):
            form["reading"].pop(name)
        form.pop("sentences")
        report = json.dumps([form, monitored.meter.text()], default=str)
        reports.append(report.replace(str(tmp_path), str(log)))
    assert reports[0] == reports[1] == reports[2]


def test_monitor_agrees_with_the_log_it_reads(watched):
    """What a reader counts by hand is what the figures say."""
    bundle, log, said = watched
    monitored = monitor([log], bundle, MonitorOptions(outcomes=[said]))
    events = list(read_log(log))
    figures = monitored.watch.overall
    sent = [event for event in events if event.route == "frontier"]
    kept = [event for event in events if event.route == "cheap"]
    assert figures["requests"].value == len(events) == 150
    assert figures["frontier_share"].value == pytest.approx(len(sent) / 150)
    assert figures["fallback_rate"].value == pytest.approx(
        sum(event.fallback is not None for event in kept) / len(kept)
    )
    assert figures["cost"].value == pytest.approx(
        1000 * sum(event.cost_usd for event in events) / 150
    )
    assert figures["explored_share"].value == pytest.approx(
        sum(event.route != event.policy_route for event in events) / 150
    )
    assert figures["labelled_share"].value == pytest.approx(0.5)
    assert figures["quality"].n == 75
    assert monitored.watch.reading.joined == 75
    assert monitored.watch.reading.foreign_bundle == 0
    assert monitored.is_quiet


def test_expectations_are_those_of_policy_and_metrics(watched):
    bundle = read_bundle(watched[0])
    promised = promised_by(bundle)
    assert promised.bundle_version == bundle.label
    assert promised.target == bundle.manifest.target
    shares = bundle.policy.chosen.expected["frontier_share"]
    assert promised.expected["rule_frontier_share"].value == shares["value"]
    metrics = json.loads(bundle.files["metrics.json"])
    assert (
        promised.expected["cheap_quality"].value
        == metrics["baselines"]["always_cheap"]["quality"]["value"]
    )


def test_what_is_written_is_what_was_found(watched, tmp_path):
    bundle, log, said = watched
    monitored = monitor([log], bundle, MonitorOptions(outcomes=[said]))
    paths = write_monitored(monitored, tmp_path / "out")
    assert tuple(path.name for path in paths) == MONITOR_FILES
    form = json.loads(paths[0].read_text())
    assert [*form][:4] == ["format", "sentence", "next", "standing"]
    assert form["standing"] == []
    assert {alarm["name"] for alarm in form["alarms"]} | {*form["not_watched"]} >= {
        "scores",
        "share",
    }
    assert {*form["overall"]["cost"]} == {"value", "low", "high", "n"}
    assert form["overall"].keys() == form["by_week"][form["weeks"][0]].keys()
    assert "150 requests" in form["sentence"]
    assert "# Monitor: " in paths[1].read_text()
    page = paths[2].read_text()
    assert "Without labels" in page
    assert "Does it do what was promised?" in page


def test_next_step_asks_for_outcomes_then_for_a_review(watched):
    bundle, log, said = watched
    assert "--outcomes" in monitor([log], bundle).next_step
    assert "nothing to do" in monitor([log], bundle, MonitorOptions(outcomes=[said])).next_step


def test_log_of_another_bundle_is_told(watched, journey):
    with pytest.raises(LogError, match="small-1"):
        monitor([watched[1]], journey.bundle)
    options = MonitorOptions(any_bundle=True)
    assert monitor([watched[1]], journey.bundle, options).watch.overall["requests"].value == 150


def test_standing_alarm_is_told_with_its_answer(watched, tmp_path):
    """Eight quiet weeks, then two in which the cheap model fails its validators: the alarm stands,
    says since when, and the next step is what answers it.
    """
    bundle, _, _ = watched
    label = read_bundle(bundle).label
    service = Service.usual(bundle_version=label, catch_rate=0.1, epsilon=0.0)
    broken = replace(service, catch_rate=0.9, false_alarms=0.6)
    rng = np.random.default_rng(3)
    write_log(service.draw(8_000, rng, start="2026-07-06", days=56), tmp_path / "log")
    late = broken.draw(2_000, rng, start="2026-08-31", days=14)
    late["writer"] = late["writer"] + 4
    write_log(late, tmp_path / "log", first=100)
    monitored = monitor([tmp_path / "log"], bundle)
    assert not monitored.is_quiet
    names = {alarm.name: alarm for alarm in monitored.alarms.standing}
    assert "validators" in names
    assert str(names["validators"].since) >= "2026-08-24"
    assert monitored.next_step == monitored.alarms.standing[0].answer
    page = write_monitored(monitored, tmp_path / "out")[1].read_text()
    assert "**Alarm: " in page
    assert "stand" in monitored.sentence
