"""A mapping that ingest proposes: valid TOML, honest about what was seen, and good as it is."""

import csv
import json
import tomllib

import pytest

from difficulty.stages.ingest import ingest
from difficulty.text import quantity_text
from difficulty.traffic.reading.dialect import AS_FOUND
from difficulty.traffic.reading.mapping import read_mapping
from difficulty.traffic.reading.suggestion import suggest
from difficulty.traffic.table import Traffic

QUESTIONS = [f"What is {n} plus {n * 7}, and why is that so?" for n in range(60)]


def proposed(path, tmp_path):
    """Return the proposal as text and as read, after it was used as it is."""
    text = suggest(path, AS_FOUND)
    (tmp_path / "proposed.toml").write_text(text)
    summary = ingest(
        [path],
        tmp_path / "t.parquet",
        mapping=read_mapping(tmp_path / "proposed.toml", (), ()),
        near_duplicates=False,
        overwrite=True,
    )
    return text, tomllib.loads(text), summary


def table(path, rows, mark=",", encoding="utf-8"):
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, rows[0], delimiter=mark)
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_calls_in_a_long_table_are_a_pivot(tmp_path):
    """Semicolons, decimal commas, stars, German names for nothing."""
    rows = [
        {
            "Trace ID": f"t{n}",
            "Model name": model,
            "User query": text,
            "Response": "Because.",
            "Rating": f"{1 + (n + better) % 5},0",
            "Output tokens": 9 + n,
            "Use case": "maths",
            "Created at": "01.08.2026 06:25",
        }
        for n, text in enumerate(QUESTIONS)
        for model, better in (("nano-1", 0), ("giant-2", 3))
    ]
    text, content, summary = proposed(table(tmp_path / "calls.csv", rows, ";", "utf-16"), tmp_path)
    assert content["file"] == {"encoding": "utf-16", "delimiter": ";", "decimal": ","}
    assert content["columns"] == {
        "prompt": "User query",
        "task": "Use case",
        "timestamp": "Created at",
    }
    assert content["pivot"] | {"cheap": 0, "frontier": 0} == {
        "request": "Trace ID",
        "model": "Model name",
        "quality": "Rating",
        "answer": "Response",
        "tokens": "Output tokens",
        "cheap": 0,
        "frontier": 0,
        "duplicates": "last",
    }
    assert {*content["pivot"]["cheap"], *content["pivot"]["frontier"]} == {"nano-1", "giant-2"}
    assert content["scale"] == {"quality": [1, 5]}
    assert content["times"] == {"timestamp": "%d.%m.%Y %H:%M"}
    assert summary.kept == 60
    assert summary.known_outcomes["both"] == 60
    assert "difficulty ingest" in text.splitlines()[2]


def test_scores_in_a_wide_table_are_two_qualities_the_lower_one_cheap(tmp_path):
    rows = [
        {
            "question": text,
            "Big: correct?": "pass",
            "Small: correct?": "pass" if n % 2 else "Fail",
            "cost_usd": 0.1,
        }
        for n, text in enumerate(QUESTIONS)
    ]
    _, content, summary = proposed(table(tmp_path / "wide.csv", rows), tmp_path)
    assert content["columns"] == {
        "prompt": "question",
        "cheap_quality": "Small: correct?",
        "frontier_quality": "Big: correct?",
    }
    assert content["words"] == {
        "cheap_quality": {"fail": 0, "pass": 1},
        "frontier_quality": {"fail": 0, "pass": 1},
    }
    assert summary.cheap_quality == 0.5


def test_messages_inside_objects_are_found(tmp_path):
    rows = [
        {"body": {"messages": [{"role": "user", "content": text}]}, "eval": {"score": n % 11}}
        for n, text in enumerate(QUESTIONS)
    ]
    path = tmp_path / "nested.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, content, summary = proposed(path, tmp_path)
    assert content["columns"] == {"messages": "body.messages", "cheap_quality": "eval.score"}
    assert content["scale"] == {"cheap_quality": [0, 10]}
    assert summary.kept == 60


@pytest.mark.parametrize("as_list", [False, True])
def test_what_a_model_answered_is_never_taken_for_the_request(tmp_path, as_list):
    """The answers are longer and come first."""
    rows = [
        {
            "outputs": {"text": [{"role": "assistant", "content": text}] if as_list else text * 3},
            "given": {"said": [{"role": "user", "content": text}] if as_list else text},
        }
        for text in QUESTIONS
    ]
    path = tmp_path / "runs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, content, summary = proposed(path, tmp_path)
    assert content["columns"] == {"messages" if as_list else "prompt": "given.said"}
    assert summary.kept == len(QUESTIONS)


def test_names_that_would_break_toml_do_not(tmp_path):
    name = 'a "score"\\ \u2028 \x1b[2J'
    rows = [{"prompt": text, name: n % 2} for n, text in enumerate(QUESTIONS)]
    text, content, _ = proposed(table(tmp_path / "odd.csv", rows), tmp_path)
    assert content["columns"]["cheap_quality"] == name
    assert "\x1b" not in text


def test_a_table_without_outcomes_is_said_to_be_unlabelled(tmp_path):
    rows = [{"query": text, "model": "one", "output": "x"} for text in QUESTIONS]
    text = suggest(table(tmp_path / "un.csv", rows), AS_FOUND)
    assert "the requests are unlabelled" in text
    assert tomllib.loads(text)["columns"]["prompt"] == "query"


@pytest.mark.parametrize("n", [1, 1_500])
def test_the_first_thousand_rows_are_looked_at(tmp_path, n):
    rows = [{"prompt": f"Say {k} in words", "cheap_passed": k % 2} for k in range(n)]
    text = suggest(table(tmp_path / "t.csv", rows), AS_FOUND)
    assert f"from the first {quantity_text(min(n, 1000), 'row')} of" in text


def test_what_was_kept_can_be_read(tmp_path):
    rows = [{"prompt": text, "cheap_quality": n % 2} for n, text in enumerate(QUESTIONS)]
    proposed(table(tmp_path / "plain.csv", rows), tmp_path)
    assert len(Traffic.read(tmp_path / "t.parquet")) == 60
