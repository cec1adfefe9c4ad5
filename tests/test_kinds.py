"""What lies at a path is told from names and a few bytes, and what to run is said."""

import gzip
import json
import os

import pytest

from difficulty.kinds import PathKind, free_name, kind_of, mistaken
from tests.conftest import REPOSITORY

EVENT = {
    "format": 1,
    "bundle_version": "b-1",
    "policy_route": "cheap",
    "propensity": 1,
    "calls": [],
}


@pytest.fixture
def at(tmp_path, monkeypatch):
    """Return a function that writes a file in an empty folder and returns its path."""
    monkeypatch.chdir(tmp_path)

    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("rows.jsonl", b'{"prompt": "x"}\n', PathKind.ROWS),
        ("rows.csv.gz", gzip.compress(b"prompt\nx\n", mtime=0), PathKind.ROWS),
        ("log.jsonl", json.dumps(EVENT).encode() + b"\n", PathKind.LOG),
        ("log.jsonl.gz", gzip.compress(json.dumps(EVENT).encode() + b"\n", mtime=0), PathKind.LOG),
        ("cut.jsonl.gz", b"\x1f\x8bno gzip", PathKind.ROWS),
        ("other.parquet", b"PAR1...PAR1", PathKind.ROWS),
        ("t.rejects.jsonl", b"{}\n", PathKind.NOTES),
        ("metrics.json", b"{}", PathKind.FIGURES),
        ("trust.toml", b'public_keys = ["a.pem"]', PathKind.TRUST),
        ("broken.toml", b"= = 3", PathKind.FILE),
        ("key.pem", b"-----BEGIN PRIVATE KEY-----\n", PathKind.KEY),
        ("notes.docx", b"x", PathKind.FILE),
        ("nested.jsonl", b"[" * 60_000, PathKind.ROWS),
    ],
)
def test_a_file_is_known_by_its_name_and_first_bytes(at, name, content, kind):
    assert kind_of(at(name, content)) is kind


def test_shipped_recipes_and_prices_are_known():
    recipes = sorted((REPOSITORY / "pipelines").glob("*.toml"))
    assert {kind_of(path) for path in recipes} == {PathKind.RECIPE}
    assert kind_of(REPOSITORY / "data/prices.example.toml") is PathKind.PRICES


def test_what_the_journey_writes_is_known(journey):
    assert kind_of(journey.run) is PathKind.RUN
    assert kind_of(journey.bundle) is PathKind.BUNDLE
    assert kind_of(journey.traffic) is PathKind.TRAFFIC
    assert kind_of(journey.source) is PathKind.ROWS


def test_what_is_no_plain_file_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "zero.jsonl").symlink_to("/dev/zero")
    (tmp_path / "gone.jsonl").symlink_to("nowhere")
    kinds = [kind_of(tmp_path / f"{name}.jsonl") for name in ("pipe", "zero", "gone")]
    assert kinds == [PathKind.FILE, PathKind.FILE, PathKind.NOTHING]
    assert kind_of(tmp_path / ("x" * 300)) is PathKind.NOTHING


def test_advice_names_no_output_that_is_there(at):
    path = at("traffic.parquet", b"PAR1...PAR1")
    assert mistaken(path, PathKind.TRAFFIC).endswith(
        f"it is traffic that was not ingested. Run: difficulty ingest {path} -o traffic-2.parquet"
    )
    at("traffic-2.parquet", b"")
    assert free_name("traffic.parquet") == "traffic-3.parquet"
    assert mistaken(path, PathKind.RUN).count("traffic-3.parquet") == 1


def test_nothing_is_said_of_what_is_not_known_or_right(at):
    assert mistaken(at("notes.docx", b"x"), PathKind.TRAFFIC) == ""
    assert mistaken(at("rows.jsonl", b"{}\n"), PathKind.ROWS) == ""
