import json

import pytest

from difficulty.diagnostics.suspicion import (
    LabelReport,
    SuspiciousGroup,
    SuspiciousLabel,
    read_suspicious,
)
from difficulty.errors import RunError

GROUP = SuspiciousGroup(
    scope="task",
    name="maths",
    model="frontier",
    n=50,
    rate=0.98,
    expected=0.4,
    low=0.2,
    high=0.6,
    p_value=2e-5,
)


def label(name, scope, *, task="maths", model="frontier"):
    return SuspiciousLabel(
        id=name,
        task=task,
        split="fit",
        model=model,
        label=0.0,
        p_fails=0.4,
        label_quality=0.4,
        scope=scope,
        why="because",
    )


@pytest.fixture
def report():
    labels = (
        label("a", "task"),
        label("b", "region", task=None),
        label("a", "row", model="cheap"),
        label("c", "row"),
        label("d", "row"),
    )
    return LabelReport(groups=(GROUP,), labels=labels, checked=100)


def test_report_counts_samples_by_scope_and_by_task(report):
    summary = report.summary().as_dict()
    assert (summary["checked"], summary["suspicious"]) == (100, {"task": 1, "region": 1, "row": 3})
    assert summary["by_task"] == {"maths": {"row": 3, "task": 1}, "(none)": {"region": 1}}
    assert summary["groups"][0]["name"] == "maths"


def test_report_is_written_one_label_a_line_and_read_by_scope(report, tmp_path):
    report.write(tmp_path / "suspicious.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "suspicious.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["a", "b", "a", "c", "d"]
    assert (
        read_suspicious(tmp_path / "suspicious.jsonl", ["task", "region"])
        == report.ids(["task", "region"])
        == {"a", "b"}
    )


@pytest.mark.parametrize("content", [None, "{", '{"scope": "row"}\n', "5\n"])
def test_read_suspicious_refuses_a_missing_or_damaged_report(tmp_path, content):
    path = tmp_path / "suspicious.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RunError, match="cannot be read .* Train again"):
        read_suspicious(path, ["row"])


def test_group_says_why_with_its_figures():
    assert GROUP.why == (
        "task 'maths': the frontier model is marked as failing on 98% of 50 samples, "
        "where the other tasks make 40% plausible (20% to 60%; p = 2e-05)"
    )
