"""The page on getting labels is walked from a LiteLLM log to a trained score, command by command,
with its three models on loopback.
"""

import csv
import json
import shlex
from collections import Counter

import pytest

pytest.importorskip("litellm", exc_type=ImportError)

from benchmarks.lib.model_upstream import Upstream, echoing, judging, serving, unit
from difficulty.traffic.table import Traffic
from tests.conftest import REPOSITORY
from tests.journey import write_recipe, write_rows, write_word_encoder
from tests.labelling.purchases import PRICES_TOML

PAGE = REPOSITORY / "docs" / "getting-labels.md"
CHEAP, FRONTIER, JUDGE = "mistral/mistral-small-latest", "gpt-4o", "anthropic/claude-sonnet-4-5"
TOPICS = ("prove", "derive", "translate", "summarise", "list", "name")
HARD = ("prove", "derive")


def commands():
    """Return the command lines of the walk, in the order of the page."""
    walk = PAGE.read_text("utf-8").partition("## From a log to a score")[2].partition("\n## ")[0]
    lines = [line.strip() for line in walk.splitlines() if line.startswith("    difficulty ")]
    return [shlex.split(line)[1:] for line in lines]


def text_of(row):
    """Return a request like no other, hard or easy by its first words."""
    topic = TOPICS[row % len(TOPICS)]
    words = " ".join(f"{unit('word', row, place):.4f}"[2:] for place in range(12))
    return f"Please {topic} and {topic} again {words}"


def log_rows(n):
    """Return a spend log in which everything went to the frontier model."""
    return [
        {
            "request_id": f"chatcmpl-{row}",
            "call_type": "acompletion",
            "spend": 0.002,
            "prompt_tokens": 24,
            "completion_tokens": 15,
            "total_tokens": 39,
            "startTime": f"2026-10-{1 + row % 28:02d}T08:00:00Z",
            "model": "gpt-4o",
            "status": "success",
            "messages": [{"role": "user", "content": text_of(row)}],
            "response": {
                "choices": [
                    {"message": {"role": "assistant", "content": f"frontier: {text_of(row)}"}}
                ]
            },
        }
        for row in range(n)
    ]


def better(request, first, second):
    """Say that the frontier answer is better where the topic is hard, else mostly a tie."""
    seats = {first.partition(":")[0]: "A", second.partition(":")[0]: "B"}
    if any(word in request for word in HARD):
        return seats["frontier"]
    return "TIE" if unit("noise", request) < 0.9 else seats["cheap"]


def judge_by_hand(path):
    """Fill in the pairs as somebody does who agrees with the judge in nine of ten."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        mark = better(row["request"], row["answer_a"], row["answer_b"])
        row["verdict"] = "tie" if mark == "TIE" or unit("hand", row["request"]) < 0.1 else mark
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def test_walk_from_a_log_to_an_honest_score(run_in, tmp_path):
    write_rows(tmp_path / "spend_logs.jsonl", log_rows(210))
    (tmp_path / "prices.toml").write_text(PRICES_TOML)
    texts = [{"messages": [{"content": text_of(row)}]} for row in range(210)]
    encoder = write_word_encoder(tmp_path / "encoder", texts, n_words=60)
    write_recipe(tmp_path / "small.toml", encoder)
    models = {CHEAP: echoing("cheap"), FRONTIER: echoing("frontier"), JUDGE: judging(better)}
    upstream = Upstream(models, {CHEAP: (0.1, 0.3), FRONTIER: (2.0, 8.0), JUDGE: (1.0, 4.0)})
    ran, said = Counter(), {}
    with serving(upstream) as url:
        more = {
            "label": ("--prices", "prices.toml", "--base-url", url, "--no-advice"),
            "train": ("--recipe", "small.toml", "--no-tracking"),
        }
        for words in commands():
            name = f"{words[0]} {ran[words[0]]}"
            if "pairs.csv" in words and words[0] == "label" and "--human" in words:
                pairs = judge_by_hand(tmp_path / "pairs.csv")
            paid = sum(upstream.paid.values())
            # Fewer than there are: a log is larger than a budget.
            some = ("--n", "170") if "traffic.parquet" in words and words[0] == "label" else ()
            said[name] = run_in(*words, *more.get(words[0], ()), *some)
            ran[words[0]] += 1
            if name in ("label 0", "label 2", "label 3"):  # a plan, people's word, another plan
                assert sum(upstream.paid.values()) == paid, name
    assert ran == {
        **{"start": 1, "ingest": 1, "label": 4, "outcomes": 1},
        **{"train": 1, "evaluate": 1, "ship": 1},
    }
    assert "difficulty label traffic.parquet" in said["start 0"]
    assert "nothing was called or written" in said["label 0"]
    assert upstream.calls(FRONTIER) == 0  # the log has its answers
    assert upstream.calls(CHEAP) == 170
    assert f"of {pairs} pairs, kappa" in said["label 2"]
    judged = Traffic.read(tmp_path / "judged.parquet")
    assert sum(vote is not None for vote in judged.column("preference")) == 170
    assert sum(chance is not None for chance in judged.column("inclusion")) == 170
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())["overall"]
    assert metrics["apgr"]["low"] < metrics["apgr"]["value"] < metrics["apgr"]["high"]
    assert (tmp_path / "bundles" / "first-1" / "manifest.json").exists()


@pytest.fixture
def run_in(monkeypatch, tmp_path):
    """Return a function that runs ``difficulty`` in the test's folder and returns what it says."""
    from typer.testing import CliRunner

    from difficulty.cli.app import build_app

    monkeypatch.chdir(tmp_path)

    def run(*words):
        done = CliRunner().invoke(build_app(), [str(word) for word in words])
        assert done.exit_code == 0, (words, done.output, done.exception)
        return done.output

    return run
