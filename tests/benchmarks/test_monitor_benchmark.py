"""The benchmark of monitor: both engines read the same, and a page says what each process took."""

import numpy as np

from benchmarks.lib.decision_logs import Service, feedback_rows
from benchmarks.monitor import Run, as_markdown, damaged_copy, engines, write_service


def test_engines_agree_on_a_log_and_read_what_is_whole_of_a_damaged_one(tmp_path):
    events = 2_500
    log = write_service(tmp_path, events)
    runs = {run.what: run for run in engines(tmp_path, events)}
    # Polars may refuse a file for one damaged line.
    assert [run.code for run in runs.values()][:3] == [0] * 3
    cut = damaged_copy(log, tmp_path)
    assert sum(path.read_bytes().count(b"\n") for path in cut.iterdir()) == events
    said = {what: run.said.splitlines()[-1] for what, run in runs.items()}
    assert said["DuckDB, whole lines"] == said["Polars, whole lines"]
    assert "frontier" in said["DuckDB, damaged lines"]


def test_page_names_what_failed(tmp_path):
    run = Run(
        what="monitor",
        events=10,
        bytes=9_000,
        seconds=1.0,
        cpu_s=0.5,
        peak_mb=100.0,
        code=1,
        said="",
    )
    broken = Run(
        what="Polars",
        events=10,
        bytes=9_000,
        seconds=1.0,
        cpu_s=0.5,
        peak_mb=100.0,
        code=1,
        said="no",
    )
    page = as_markdown([run, broken], 2)
    assert "| monitor | 10 | 0.00 | 1.0 | 0.5 | 100 | 1 |" in page
    assert page.count("ended with") == 1


def test_feedback_is_of_the_answer_that_the_user_saw():
    columns = Service.usual().draw(2_000, np.random.default_rng(0))
    rows = feedback_rows(columns, 0.5, np.random.default_rng(1))
    assert 850 < len(rows) < 1_150
    sides = dict(zip(columns["id"], columns["frontier_role"], strict=True))
    assert all(
        (row["side"] == "frontier") == (sides[row["id"]] in ("answer", "fallback")) for row in rows
    )
