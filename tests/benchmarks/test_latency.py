"""The latency benchmark's protocol with its contenders, and its page."""

import json
import sys
from types import SimpleNamespace

import pytest

from benchmarks import latency
from benchmarks.latency import CONTENDERS, Contender
from benchmarks.lib.latency_report import as_markdown, plot

SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
from worker import serve
print("a library's own words")
lengths = lambda texts: [len(text) for text in texts]
serve({{"length": len, "upper": str.upper}}, batches={{"length": lengths}})
"""


def test_contender_answers_with_times_of_every_call(tmp_path):
    """What its libraries print does not get in the way."""
    script = tmp_path / "contender.py"
    script.write_text(SCRIPT.format(folder=str(CONTENDERS)))
    with Contender("test", [sys.executable, script]) as one:
        assert one.said["calls"] == ["length", "upper"]
        found = one.ask(texts=["a", "b"], calls=["upper", "length"], rounds=3)
        assert [len(found[call]) for call in ("upper", "length")] == [6, 6]
        assert all(wall > 0 for wall, _ in found["length"])
        assert len(one.ask(batch=["a", "b"], call="length")["length"]) == 1


def test_second_half_of_the_calls_counts_where_a_contender_is_timed_alone():
    """By hand: 9 ms at first; then 2 ms of wall and 1 of processor time for ``decide``, 1 and 0.5
    for the tokenizer, new words left out.
    """

    def ask(*, calls, texts, rounds):
        (call,), half = calls, len(texts) * rounds // 2
        then = [2_000_000, 1_000_000] if call == "decide" else [1_000_000, 500_000]
        return {call: [[9_000_000, 9_000_000]] * half + [then] * half}

    fast = SimpleNamespace(
        name="fast", said={"calls": ["decide", "decide, all words new", "tokenizer"]}, ask=ask
    )
    decide, tokenizer = latency._alone([fast], ["a", "b"])
    assert decide == {
        "contender": "fast",
        "call": "decide",
        "p50_ms": 2.0,
        "p99_ms": 2.0,
        "times_tokenizer": 2.0,
    }
    assert tokenizer == {
        "contender": "fast",
        "call": "tokenizer",
        "p50_ms": 1.0,
        "p99_ms": 1.0,
        "times_tokenizer": 1.0,
    }


def test_contender_that_cannot_start_says_why(tmp_path):
    script = tmp_path / "contender.py"
    script.write_text("raise ImportError('no such package')")
    with pytest.raises(RuntimeError, match="^ImportError: no such package$"):
        Contender("test", [sys.executable, script])


def test_concurrent_callers_are_timed_in_each_way(journey, monkeypatch):
    """The real script on a real bundle, with few requests."""
    monkeypatch.setattr(latency, "CALLED", 70)
    rows = latency._callers(journey.bundle)
    ways = ["adecide", "decide in a pool", "decide in the loop"]
    assert [(row["callers"], row["way"]) for row in rows] == [
        (callers, way) for callers in (1, 8, 64) for way in ways
    ]
    assert all(0 < row["p50_ms"] <= row["p99_ms"] and row["per_second"] > 0 for row in rows)


def test_page_and_picture_show_every_row(tmp_path):
    row = {
        "contender": "fast",
        "call": "decide",
        "tokens": 64,
        "p50_ms": 0.1,
        "p99_ms": 0.25,
        "processor_ms": 0.1,
        "times_tokenizer": 0.9,
    }
    asked = {"way": "adecide", "callers": 8, "per_second": 2_500, "processor_ms": 0.3}
    results = {
        "date": "2026-11-25",
        "machine": "test",
        "python": "3",
        "rounds": 1,
        "texts": 1,
        "left_out": {"other": "not asked for"},
        "single": [row, row | {"call": "tokenizer"}],
        "alone_tokens": 64,
        "alone": [
            {
                "contender": "fast",
                "call": "decide",
                "p50_ms": 0.125,
                "p99_ms": 0.25,
                "times_tokenizer": 1.25,
            }
        ],
        "batches": {"fast": {"requests": 4_000, "per_second": 6_000}},
        "callers": [asked | {"p50_ms": 2.5, "p99_ms": 10.25, "loop_late_p99_ms": 1.44}],
        "processes": {"fast": {"start_s": 0.3, "resident_mb": 120.0}},
        "cold_start": {"first decision, wall": 0.3},
        "install_mb": 230.0,
        "long_prompt_ms": {"1 MB": 1.5},
    }
    page = as_markdown(results, picture="x.svg")
    assert "| fast | decide | 64 | 0.100 | 0.250 | 2.5 | 0.100 | 0.90 |" in page
    assert "| fast | decide | 0.125 | 0.250 | 2.0 | 1.25 |" in page
    assert "| 8 | adecide | 2,500 | 0.300 | 2.50 | 10.25 | 1.4 |" in page
    for part in ("6,000", "x.svg", "230 MB", "1 MB 1.5", "other (not asked for)"):
        assert part in page
    plot(json.loads(json.dumps(results)), tmp_path / "x.svg")
    assert "tokenizer alone" in (tmp_path / "x.svg").read_text()
