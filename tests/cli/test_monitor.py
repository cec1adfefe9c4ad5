"""``difficulty monitor``: what it prints, and its exit codes."""

import json
import os
import signal
import threading
import time
from datetime import UTC, datetime

import pytest

from difficulty.bundle import read_bundle
from difficulty.gateway.log_files import event_line
from difficulty.monitor.log_series import FAMILIES
from tests.events import event_of
from tests.telemetry.conftest import names_of, read_text


@pytest.fixture
def log(journey, tmp_path):
    """A log of the journey's bundle."""
    folder = tmp_path / "decisions"
    folder.mkdir()
    label = read_bundle(journey.bundle).label
    events = [
        event_of(n, bundle_version=label, time=datetime(2026, 11, 2 + n % 20, tzinfo=UTC))
        for n in range(60)
    ]
    (folder / "a.jsonl").write_bytes(b"".join(map(event_line, events)) + b'{"torn')
    return folder


def test_monitor_writes_and_ends_with_the_result_and_the_next_command(journey, log, run):
    ran = run("monitor", log, "--bundle", journey.bundle, "-o", "seen", code=0)
    lines = ran.out.strip().splitlines()
    assert lines.pop(-2).startswith("to fill in: FEEDBACK is late outcomes")
    assert lines[-3].startswith("60 requests from 2026-11-02 to 2026-11-21")
    assert lines[-2] == "wrote seen/monitor.json, seen/monitor.md, seen/monitor.html"
    assert lines[-1].startswith("next: quality is unknown without late outcomes")
    assert "Files that end in a line that is cut off" in ran.err
    again = run("monitor", log, "--bundle", journey.bundle, "-o", "seen", code=2)
    assert "exists already" in again.complaint
    options = ("--engine", "local", "--workers", 1, "--overwrite")
    with open("seen/monitor.json") as first:
        before = first.read()
    run("monitor", log, "--bundle", journey.bundle, "-o", "seen", *options, code=0)
    with open("seen/monitor.json") as second:
        assert second.read() == before


def test_monitor_prints_one_object_for_machines(journey, log, run):
    ran = run("monitor", log, "-b", journey.bundle, "-o", "seen", "--since", "2026-11-09", "--json")
    printed = json.loads(ran.out)
    assert printed["first"] == "2026-11-09"
    assert printed["overall"]["requests"]["value"] == 39
    assert ran.code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere", "--bundle", "BUNDLE"], "no decision log"),
        (["LOG", "--bundle", "nowhere"], "bundle"),
        (["LOG", "--bundle", "BUNDLE", "--since", "yesterday"], "write a day or a moment"),
        (["LOG", "--bundle", "BUNDLE", "--since", "2027-01-01"], "events of the time"),
        (["BUNDLE", "--bundle", "BUNDLE"], "a decision log"),
        (["LOG", "--bundle", "BUNDLE", "--outcomes", "LOG"], "late outcomes must"),
        (["LOG", "--bundle", "BUNDLE", "--memory-gb", "0"], "memory_gb"),
    ],
)
def test_monitor_says_what_is_wrong(journey, log, run, arguments, said):
    places = {"BUNDLE": journey.bundle, "LOG": log}
    ran = run("monitor", *(places.get(word, word) for word in arguments), "-o", "seen", code=2)
    assert said in ran.err


def test_monitor_writes_what_prometheus_reads(journey, log, run, tmp_path):
    """Figures with their ends, alarms and counts; what is unknown has no series."""
    run("monitor", log, "-b", journey.bundle, "-o", "seen", "--prometheus", "seen/m.prom", code=0)
    samples = read_text((tmp_path / "seen/m.prom").read_text())
    label = ("bundle_version", read_bundle(journey.bundle).label)
    assert samples["difficulty_watched", label, ("figure", "requests")] == 60
    assert ("difficulty_watched", label, ("figure", "quality")) not in samples
    decided = label, ("reason", "within_threshold"), ("route", "cheap")
    assert samples[("difficulty_log_decisions_total", *decided)] == 60
    assert samples["difficulty_log_request_seconds_count", label, ("route", "cheap")] == 60
    assert samples["difficulty_promise", ("answer", "cannot tell"), label] == 1
    assert samples["difficulty_log_cost_usd_total", label, ("side", "cheap")] == pytest.approx(0.06)
    assert {name for name, *_ in samples} <= names_of(FAMILIES)


def test_monitor_follows_a_growing_log_until_it_is_told_to_end(journey, log, run, tmp_path):
    """It writes at once, again when the log has grown, and ends cleanly on SIGTERM."""
    page, label = tmp_path / "seen" / "monitor.json", read_bundle(journey.bundle).label
    seen = []

    def requests():
        return json.loads(page.read_text())["overall"]["requests"]["value"]

    def grow_and_end():
        try:
            seen.append(_wait_for(page.exists))
            event = event_of(60, bundle_version=label, time=datetime(2026, 11, 22, tzinfo=UTC))
            (log / "b.jsonl").write_bytes(event_line(event))
            seen.append(_wait_for(lambda: requests() == 61))
        finally:
            if signal.getsignal(signal.SIGTERM) != before:  # it still listens
                os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    helper = threading.Thread(target=grow_and_end)
    helper.start()
    ran = run("monitor", log, "-b", journey.bundle, "-o", "seen", "--follow", "--every", "1")
    helper.join()
    assert seen == [True, True]
    assert (ran.code, ran.out.strip().splitlines()[-1]) == (0, "ended")
    assert signal.getsignal(signal.SIGTERM) == before


def _wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False


def test_monitor_writes_neither_over_a_file_nor_among_events(journey, log, run, tmp_path):
    """Before anything is read; what is there stays."""
    (taken := tmp_path / "taken").write_text("mine")
    for out, said in ((taken, "a folder is written"), (log, "must not lie among the events")):
        ran = run("monitor", log, "--bundle", journey.bundle, "-o", out, code=2)
        assert said in ran.err
    assert taken.read_text() == "mine"
    assert not list(log.glob("monitor.*"))
