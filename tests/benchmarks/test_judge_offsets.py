"""The benchmark of judges in small: offsets are there to be taken off, and a page with intervals is
written.
"""

import json
import sys

import numpy as np
import pytest

from benchmarks import judge_offsets
from benchmarks.judge_offsets import AS_GIVEN, PULLS, Setting, judged, main
from difficulty.errors import InvalidValueError
from difficulty.traffic.labels.judge import JudgeScores

SMALL = {"judges": 4, "requests": 300, "twice": 0.3}


def test_taking_offsets_off_lowers_the_error_where_there_are_some_and_raises_it_where_not():
    biased = judged(Setting(**SMALL, offsets=0.3), repetitions=6)
    fair = judged(Setting(judges=30, requests=300, twice=0.1, offsets=0.0), repetitions=4)
    assert biased.more["as given"].low > 0.02
    assert fair.more["as given"].high < 0
    assert fair.error["as given"].value == pytest.approx(judge_offsets.NOISE, rel=0.2)


def test_a_very_strong_pull_gives_the_plain_mean():
    """Request 1 has 0.2 and 0.6 of two judges; request 0 only the first's 0.4."""
    given = [("0", "a", 0.4), ("1", "a", 0.2), ("1", "b", 0.6)]
    rows = [
        judge_offsets._row(line, int(name), 0, [value, value])
        for line, (name, _, value) in enumerate(given)
    ]
    rows = [
        row._replace(fields={**row.fields, "judge": judge})
        for row, (_, judge, _) in zip(rows, given, strict=True)
    ]
    plain, corrected = (
        np.array(
            [
                row.fields["cheap_quality"]
                for row in JudgeScores(scale=(0, 1), prior_scores=pull).rows(rows)
            ]
        )
        for pull in (AS_GIVEN, 1.0)
    )
    assert plain == pytest.approx([0.4, 0.4])
    assert corrected[0] > 0.41


@pytest.mark.parametrize("pull", [0.0, -1.0, float("nan"), float("inf")])
def test_a_pull_that_leaves_offsets_open_is_refused(pull):
    with pytest.raises(InvalidValueError, match="prior_scores must be a number above 0"):
        JudgeScores(scale=(0, 1), prior_scores=pull)


def test_page_and_figures_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr(judge_offsets, "SETTINGS", (Setting(**SMALL),))
    monkeypatch.setattr(
        sys, "argv", ["judge_offsets", "--repetitions", "3", "-o", str(tmp_path / "found")]
    )
    main()
    (setting,) = json.loads((tmp_path / "found.json").read_text())["settings"]
    assert set(setting["error"]) == set(PULLS)
    assert all(one["low"] < one["value"] < one["high"] for one in setting["error"].values())
    assert (tmp_path / "found.md").read_text().count(
        "| 4 judges, 300 requests, 30% scored twice |"
    ) == 2
