"""What lies at a path is told from names and a few bytes, and what to run is said."""

import gzip
import json
import os

import pytest

from difficulty.kinds import Kind, free_name, kind_of, mistaken
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
        ("rows.jsonl", b'{"prompt": "x"}\n', Kind.ROWS),
        ("rows.csv.gz", gzip.compress(b"prompt\nx\n"), Kind.ROWS),
        ("log.jsonl", json.dumps(EVENT).encode() + b"\n", Kind.LOG),
        ("log.jsonl.gz", gzip.compress(json.dumps(EVENT).encode() + b"\n"), Kind.LOG),
        ("cut.jsonl.gz", b"\x1f\x8bno gzip", Kind.ROWS),
        ("other.parquet", b"PAR1...PAR1", Kind.ROWS),
        ("t.rejects.jsonl", b"{}\n", Kind.NOTES),
        ("metrics.json", b"{}", Kind.FIGURES),
        ("trust.toml", b'public_keys = ["a.pem"]', Kind.TRUST),
        ("broken.toml", b"= = 3", Kind.FILE),
        ("key.pem", b"-----BEGIN PRIVATE KEY-----\n", Kind.KEY),
        ("notes.docx", b"x", Kind.FILE),
        ("nested.jsonl", b"[" * 60_000, Kind.ROWS),
    ],
)
def test_a_file_is_known_by_its_name_and_first_bytes(at, name, content, kind):
    assert kind_of(at(name, content)) is kind


def test_shipped_recipes_and_prices_are_known():
    recipes = sorted((REPOSITORY / "pipelines").glob("*.toml"))
    assert {kind_of(path) for path in recipes} == {Kind.RECIPE}
    assert kind_of(REPOSITORY / "data/prices.example.toml") is Kind.PRICES


def test_what_the_journey_writes_is_known(journey):
    assert kind_of(journey.run) is Kind.RUN
    assert kind_of(journey.bundle) is Kind.BUNDLE
    assert kind_of(journey.traffic) is Kind.TRAFFIC
    assert kind_of(journey.source) is Kind.ROWS


def test_what_is_no_plain_file_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "zero.jsonl").symlink_to("/dev/zero")
    (tmp_path / "gone.jsonl").symlink_to("nowhere")
    kinds = [kind_of(tmp_path / f"{name}.jsonl") for name in ("pipe", "zero", "gone")]
    assert kinds == [Kind.FILE, Kind.FILE, Kind.NOTHING]
    assert kind_of(tmp_path / ("x" * 300)) is Kind.NOTHING


def test_advice_names_no_output_that_is_there(at):
    path = at("traffic.parquet", b"PAR1...PAR1")
    assert mistaken(path, Kind.TRAFFIC).endswith(
        f"it is traffic that was not ingested. Run: difficulty ingest {path} -o traffic-2.parquet"
    )
    at("traffic-2.parquet", b"")
    assert free_name("traffic.parquet") == "traffic-3.parquet"
    assert mistaken(path, Kind.RUN).count("traffic-3.parquet") == 1


def test_nothing_is_said_of_what_is_not_known_or_right(at):
    assert mistaken(at("notes.docx", b"x"), Kind.TRAFFIC) == ""
    assert mistaken(at("rows.jsonl", b"{}\n"), Kind.ROWS) == ""
