"""``difficulty evaluate``: findings and the exit code."""

import io
import json

from difficulty.cli import console
from difficulty.stages.ingest import ingest
from tests.conftest import REPOSITORY
from tests.journey import write_rows


def noise(folder, n=200):
    """Ingest requests whose outcomes have nothing to do with them."""
    rows = [
        {
            "id": f"n{number}",
            "prompt": f"Question {number} of {number * 31 % 97}",
            "cheap_quality": number % 2,
            "frontier_quality": number % 3 > 0,
        }
        for number in range(n)
    ]
    ingest(
        [write_rows(folder / "noise.jsonl", rows)], folder / "noise.parquet", near_duplicates=False
    )
    return folder / "noise.parquet"


def test_strict_exits_with_one_where_something_is_wrong(run, journey, tmp_path):
    """The report is written all the same, and without --strict the code is 0."""
    traffic = noise(tmp_path)
    loose = run("evaluate", journey.run, traffic, "-o", "loose", "--draws", 50, code=0)
    options = ("--draws", 50, "--strict", "--details")
    strict = run("evaluate", journey.run, traffic, "-o", "strict", *options, code=1)
    assert loose.out.startswith("Keep testing: The score cannot be told from chance")
    assert "error: The score cannot be told from chance" in strict.out
    assert "(no_signal)" in strict.out
    for table in ("difficulty_score for", "Beside the baselines"):
        assert (table in strict.out, table in loose.out) == (True, False)
    assert (
        json.loads((tmp_path / "strict" / "metrics.json").read_text())["findings"][0]["name"]
        == "no_signal"
    )


def test_strict_json_names_what_was_found(run, journey, tmp_path):
    result = run(
        "evaluate",
        journey.run,
        noise(tmp_path),
        "-o",
        "out",
        "--draws",
        50,
        "--strict",
        "--json",
        code=1,
    )
    assert "no_signal" in [finding["name"] for finding in json.loads(result.out)["findings"]]


def test_the_verdict_is_said_first_and_obeyed_by_strict(run, journey, tmp_path):
    """A bundle that costs more to keep than it saves: the same words everywhere, and code 1."""
    command = ["evaluate", journey.bundle, journey.traffic, "--draws", 50]
    command += ["--prices", REPOSITORY / "data" / "prices.example.toml"]
    command += ["--requests-per-month", 1000]
    ran = run(*command, "-o", "out", "--strict", code=1)
    said = json.loads((tmp_path / "out" / "metrics.json").read_text())["verdict"]
    assert said["answer"] == "do_not_switch_on"
    assert ran.out.startswith(f"Do not switch on: {said['sentence']}")
    for page in ("report.html", "report.md"):
        assert "Do not switch on" in (tmp_path / "out" / page).read_text()
    assert run(*command, "-o", "loose", code=0).out.startswith("Do not switch on: ")


def test_little_is_printed_and_on_a_terminal_no_word_is_broken(run, journey, monkeypatch):
    """The decision, ten figures at most, where the report is, one next command; a terminal of 80
    columns and a pipe show the same words.
    """
    command = ["evaluate", journey.bundle, journey.traffic, "--draws", 40, "--no-tracking", "-o"]
    piped = run(*command, "one", code=0).out
    lines = piped.splitlines()
    assert lines[0].partition(":")[0] in ("Switch on", "Keep testing", "Do not switch on")
    assert [line for line in lines if line.startswith("figure")] == [lines[2]]
    assert len(lines) <= 25
    assert sum(line.startswith("next: difficulty ") for line in lines) == 1
    assert lines[-1].startswith("next: ")
    report = next(line for line in lines if line.startswith("report: "))
    assert report.startswith("report: one/report.html, beside it metrics.json, report.md; ")
    assert "By task" not in piped

    screen = io.StringIO()
    terminal = type(console.out)(
        file=screen, force_terminal=True, width=80, color_system=None, soft_wrap=True
    )
    monkeypatch.setattr(console, "out", terminal)
    run(*command, "two", code=0)
    shown = screen.getvalue()
    assert shown.split() == piped.replace("one/report", "two/report").split()
    copied = ("report: ", "next: ")
    assert all(len(line) <= 80 for line in shown.splitlines() if not line.startswith(copied))
