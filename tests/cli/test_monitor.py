"""``difficulty monitor``: what it prints, and its exit codes."""

import json
from datetime import UTC, datetime

import pytest

from difficulty.bundle import read_bundle
from difficulty.gateway.log_files import event_line
from tests.events import event_of


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
    assert lines[-3].startswith("60 requests from 2026-11-02 to 2026-11-21")
    assert lines[-2] == "wrote seen/monitor.json, seen/monitor.md, seen/monitor.html"
    assert lines[-1].startswith("next: quality is unknown without late outcomes")
    assert "Files that end in a line that is cut off" in ran.err
    again = run("monitor", log, "--bundle", journey.bundle, "-o", "seen", code=2)
    assert "exists already" in again.complaint


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
