"""The recipes of the page run as they stand there."""

import re
import shutil

import pytest

from difficulty.stages.bulk.block_scoring import score_block
from difficulty.traffic.table import pa, pq
from tests.conftest import REPOSITORY
from tests.journey import sample_rows

PAGE = (REPOSITORY / "docs" / "bulk-scoring.md").read_text(encoding="utf-8")
JOINED, AS_FUNCTION, SPARK, PANDAS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture
def log(journey, tmp_path, monkeypatch):
    """Stand in a folder with the files that the page names, and return the log."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(journey.bundle, tmp_path / "bundles" / "support-1")
    rows = [
        {"id": row["id"], "messages": row["messages"], "task": row["task"], "team": "a"}
        for row in sample_rows(30)
    ]
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, "log.parquet")
    pq.write_table(score_block(journey.bundle)(table), "scores.parquet")
    return table


def run(code):
    names = {}
    exec(code, names)
    return names


def test_scores_are_joined_in_duckdb(log):
    pytest.importorskip("duckdb")
    names = run(JOINED.replace("duckdb.sql", "joined = duckdb.sql"))
    assert sum(row[2] for row in names["joined"].fetchall()) == len(log)


def test_the_score_is_a_function_of_duckdb(log):
    pytest.importorskip("duckdb")
    hardest = run(AS_FUNCTION)["hardest"]
    assert len(hardest) == 10
    assert [row[1] for row in hardest] == sorted((row[1] for row in hardest), reverse=True)


def test_batches_are_scored_as_spark_hands_them(log):
    written = pa.Table.from_batches(run(SPARK)["score_batches"](log.to_batches(max_chunksize=7)))
    assert written.column("id").equals(log.column("id"))
    assert written.column_names == ["id", "difficulty_score", "route"]


def test_a_pandas_frame_has_its_scores(log):
    pytest.importorskip("pandas")
    frame = run(PANDAS)["with_scores"](log.to_pandas())
    expected = pq.read_table("scores.parquet").column("difficulty_score").to_numpy()
    assert frame["difficulty_score"].to_numpy() == pytest.approx(expected, abs=1e-6)
