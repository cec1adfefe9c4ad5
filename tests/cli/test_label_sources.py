"""Label sources and logged traffic from the command line."""

import json

import pytest

from tests.cli.test_bad_input import refused
from tests.journey import write_recipe, write_rows
from tests.logs import complete_rows, logged_rows


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (
            "jury",
            "unknown label source 'jury'. Known: annotators, gap, halves, judge, preference,"
            " validation.",
        ),
        (
            "judge",
            (
                "scale must be two different numbers, the worst score and the best: got None. Write"
                " for example: judge:scale=1,10."
            ),
        ),
        ("gap:margin=10", "margin must be in (0, 1]: got 10.0. Write for example: gap:margin=0.1."),
    ],
)
def test_label_source_that_cannot_be_is_refused(run, tmp_path, labels, complaint):
    write_rows(tmp_path / "in.jsonl", [{"prompt": "Hello", "cheap_quality": 1}])
    assert (
        refused(run, tmp_path, "ingest", "in.jsonl", "-o", "t.parquet", "--labels", labels)
        == complaint
    )


def test_judges_are_read_and_shown(run, tmp_path):
    rows = [
        {
            "id": f"r{n}",
            "prompt": f"request {n}",
            "judge": name,
            "cheap_score": 4 + n % 3,
            "frontier_score": 8,
        }
        for n in range(9)
        for name in "ab"
    ]
    write_rows(tmp_path / "in.jsonl", rows)
    result = run(
        "ingest",
        "in.jsonl",
        "-o",
        "t.parquet",
        "--labels",
        "judge:scale=1,10",
        "--labels",
        "gap:margin=0.2",
    )
    assert "9 of 18 rows kept; 9 more were joined with a row of the same request" in result.out
    assert "labels     judge: requests 9, scores 36, alpha as given 1.000" in result.out
    assert "a: scores 18, offset 0.000" in result.out
    assert "labels     gap: margin 0.200, both qualities 9, equal 0, within margin 0" in result.out


def test_unknown_policy_is_refused_until_it_is_accepted(run, journey, tmp_path):
    write_rows(tmp_path / "log.jsonl", logged_rows(complete_rows(700), propensity=False))
    recipe = write_recipe(tmp_path / "small.toml", journey.encoder)
    run("ingest", "log.jsonl", "-o", "log.parquet")
    train = ("train", "log.parquet", "-o", "run", "--no-tracking", "--recipe", recipe)
    assert "--accept-selection-bias" in refused(run, tmp_path, *train)
    result = run(*train, "--accept-selection-bias")
    assert "warning: SELECTION BIAS ACCEPTED: 700 outcomes" in result.err
    lineage = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (
        lineage["logged"]["unknown_policy"],
        lineage["recipe"]["labels"]["accept_selection_bias"],
    ) == (700, True)
