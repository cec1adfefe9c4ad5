"""``difficulty evaluate``: findings and the exit code."""

import json

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
    strict = run(
        "evaluate", journey.run, traffic, "-o", "strict", "--draws", 50, "--strict", code=1
    )
    for result in (loose, strict):
        assert "error: The score cannot be told from chance" in result.out
        assert "(no_signal)" in result.out
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
