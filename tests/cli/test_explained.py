"""``difficulty route --why``."""

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


def test_json_of_one_text(run, journey):
    row = json.loads(run("route", journey.bundle, TEXT, "--why", "--json", code=0).out)
    parts = [part for part in row["why"]["parts"] if part["finest"]]
    assert "".join(TEXT[part["start"] : part["end"]] for part in parts) == TEXT
