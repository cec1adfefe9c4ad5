"""``difficulty route --why``."""

import csv
import json

TEXT = "Thanks. Plan the move of our warehouse to Lyon, step by step."


def test_why_is_printed_for_people(run, journey):
    lines = run("route", journey.bundle, TEXT, "--why", code=0).out.splitlines()
    assert {
        "towards the frontier model:",
        "beside the words:",
        "nearest kinds of training traffic:",
        "what would change it:",
    } <= {*lines}
    assert any("threshold" in line and "->" in line for line in lines)


def test_why_stands_beside_each_decision_of_a_file(run, journey, tmp_path):
    """Decisions are those without ``--why``; a row that cannot be read has its error."""
    requests = tmp_path / "requests.jsonl"
    requests.write_text(json.dumps({"prompt": TEXT}) + "\n[]\n")
    run("route", journey.bundle, "--input", requests, "-o", "plain.jsonl", code=0)
    run("route", journey.bundle, "--input", requests, "--why", "-o", "why.jsonl", code=0)
    plain, told = (
        [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        for name in ("plain.jsonl", "why.jsonl")
    )
    whys = [row.pop("why") for row in told]
    assert told == plain
    assert whys[0]["parts"]
    assert whys[1]["parts"] == []
    assert whys[1]["notes"]


def test_needs_of_a_text_are_told_and_explained(run, journey):
    needs = '{"max_tokens": 40000}'
    row = json.loads(run("route", journey.bundle, TEXT, "--why", "--needs", needs, "--json").out)
    assert (row["reason"], row["ineligible"]) == ("ineligible", ["cheap.context_window"])
    bad = run("route", journey.bundle, TEXT, "--needs", "[]", code=2)
    assert "--needs takes a JSON object" in bad.err


def test_tables_are_explained_as_lines_are(run, journey, tmp_path):
    """A table of texts, with messages as JSON text in one of its columns."""
    messages = json.dumps([{"role": "user", "content": TEXT}])
    with (tmp_path / "asked.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "messages", "max_tokens"], ["a", messages, "40000"]])
    row = json.loads(run("route", journey.bundle, "--input", "asked.csv", "--why", code=0).out)
    assert (row["id"], row["ineligible"]) == ("a", ["cheap.context_window"])
    assert row["why"]["notes"]


def test_json_of_one_text(run, journey):
    row = json.loads(run("route", journey.bundle, TEXT, "--why", "--json", code=0).out)
    parts = [part for part in row["why"]["parts"] if part["finest"]]
    read = TEXT.removeprefix("Thanks. ")  # thanks are not read
    assert "".join(read[part["start"] : part["end"]] for part in parts) == read
