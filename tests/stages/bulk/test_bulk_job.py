"""Files of any size are scored whole, on after a kill, and what is wrong with a part is said."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from difficulty.engine import LocalEngine
from difficulty.errors import OutputExistsError, StorageError, TrafficError, TrafficNotFoundError
from difficulty.stages.bulk import bulk_job, bulk_sources
from difficulty.stages.bulk.bulk_job import score_files
from difficulty.traffic.table import pa, pq
from tests.journey import sample_rows

HERE = LocalEngine()


@pytest.fixture(scope="module")
def rows():
    return [
        {"id": row["id"], "messages": row["messages"], "task": row["task"], "team": index % 3}
        for index, row in enumerate(sample_rows(120))
    ]


@pytest.fixture
def source(tmp_path, rows):
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "log.parquet", row_group_size=20)
    return tmp_path / "log.parquet"


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(bulk_sources, "PART_ROWS", 40)


def score(journey, out, *places, **options):
    return score_files(journey.bundle, [str(p) for p in places], out, engine=HERE, **options)


def test_rows_come_out_in_order_with_what_is_kept(journey, source, rows, tmp_path):
    told = []
    done = score(
        journey,
        tmp_path / "s.parquet",
        source,
        keep=["team", "team"],
        progress=lambda *n: told.append(n),
    )
    written = pq.read_table(tmp_path / "s.parquet")
    assert written.column("id").to_pylist() == [row["id"] for row in rows]
    assert written.column("team").to_pylist() == [row["team"] for row in rows]
    assert (done.counts["rows"], done.n_parts, told) == (120, 3, [(40, 120), (80, 120), (120, 120)])
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_row_group_of_many_rows_is_cut_into_pieces(journey, rows, tmp_path, monkeypatch):
    """One process would have all of it; what comes out is the same."""
    monkeypatch.setattr(bulk_sources, "_WINDOW_ROWS", 16)
    for size in (120, 50):
        pq.write_table(
            pa.Table.from_pylist(rows), tmp_path / f"{size}.parquet", row_group_size=size
        )
    done = score(journey, tmp_path / "s.parquet", tmp_path / "120.parquet", keep=["team"])
    assert done.n_parts == 3
    parts = bulk_sources.BulkSources([str(tmp_path / "50.parquet")]).parts()
    assert [(part.first_row, part.n_rows, part.groups, part.skip) for part in parts] == [
        *((0, 48, (0,), 0), (48, 2, (0,), 48), (50, 48, (1,), 0), (98, 2, (1,), 48)),
        (100, 20, (2,), 0),
    ]
    score(journey, tmp_path / "t.parquet", tmp_path / "50.parquet", keep=["team"])
    first, second = (pq.read_table(tmp_path / f"{name}.parquet") for name in "st")
    names = ["id", "route", "reason", "tokens", "team"]
    assert first.select(names) == second.select(names)
    assert first.column("id").to_pylist() == [row["id"] for row in rows]


def test_json_lines_and_folders_give_the_same_scores(journey, source, rows, tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    lines = [json.dumps(row) + "\n" for row in rows]
    (folder / "a.jsonl").write_text("".join(lines[:50]))
    with gzip.open(folder / "b.jsonl.gz", "wt") as file:
        file.write("".join(lines[50:]))
    score(journey, tmp_path / "s.parquet", source)
    score(journey, tmp_path / "t.parquet", folder, keep=["team"])
    score(journey, tmp_path / "u.parquet", f"{folder}/*.jsonl*")
    first, second = (pq.read_table(tmp_path / f"{name}.parquet") for name in "st")
    names = ["id", "route", "reason", "tokens", "error"]
    assert first.select(names) == second.select(names)
    assert second.column("team").to_pylist() == [str(row["team"]) for row in rows]
    assert pq.read_table(tmp_path / "u.parquet").equals(second.drop_columns(["team"]))


def test_job_that_was_stopped_goes_on_to_the_same_bytes(journey, source, tmp_path, monkeypatch):
    score(journey, tmp_path / "whole.parquet", source)
    out = tmp_path / "s.parquet"
    real = bulk_job._score_part

    def stop_at_the_second(scorer, schema, task):
        if task.part.first_row == 40:
            raise KeyboardInterrupt
        return real(scorer, schema, task)

    monkeypatch.setattr(bulk_job, "_score_part", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        score(journey, out, source)
    monkeypatch.setattr(bulk_job, "_score_part", real)
    assert not out.exists()
    with pytest.raises(OutputExistsError, match="stopped after 1 part. Pass --resume"):
        score(journey, out, source)
    assert score(journey, out, source, resume=True).n_kept == 1
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_file_that_changed_meanwhile_is_scored_again(journey, source, tmp_path, monkeypatch):
    work, assemble = tmp_path / "work", bulk_job._assemble
    monkeypatch.setattr(bulk_job, "_assemble", lambda *parts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        score(journey, tmp_path / "s.parquet", source, work_dir=work)
    assert len(list(work.glob("s.parquet-*.parts/*.parquet"))) == 3
    monkeypatch.setattr(bulk_job, "_assemble", assemble)
    os.utime(source, ns=(1, 1))
    done = score(journey, tmp_path / "s.parquet", source, work_dir=work, resume=True)
    assert (done.n_kept, done.n_parts) == (0, 3)


def test_parts_of_another_version_are_scored_again(journey, source, tmp_path, monkeypatch):
    assemble = bulk_job._assemble
    monkeypatch.setattr(bulk_job, "_assemble", lambda *parts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        score(journey, tmp_path / "s.parquet", source)
    monkeypatch.setattr(bulk_job, "_assemble", assemble)
    monkeypatch.setattr(bulk_job, "__version__", "0.0.9")
    assert score(journey, tmp_path / "s.parquet", source, resume=True).n_kept == 0
    assert not list(tmp_path.glob(".s.parquet.parts"))


def test_column_to_keep_that_no_row_has_is_told(journey, rows, tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows[:20]))
    with pytest.raises(TrafficError, match=r"'nocol', which is to be kept: the first .* id, mess"):
        score(journey, tmp_path / "s.parquet", path, keep=["team", "nocol"])
    monkeypatch.setattr(bulk_sources, "_LOOKED_ROWS", 0)  # it may be in later ones
    done = score(journey, tmp_path / "s.parquet", path, keep=["team", "nocol"])
    assert done.absent == ("nocol",)


def test_nothing_of_the_users_goes_with_the_parts(journey, source, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    for name in ("thesis.txt", "mine.parquet", "download.part"):
        (work / name).write_text("mine")
    score(journey, tmp_path / "s.parquet", source, work_dir=work)
    assert sorted(path.name for path in work.iterdir()) == [
        "download.part",
        "mine.parquet",
        "thesis.txt",
    ]


def test_no_output_takes_the_place_of_what_is_read(journey, source, tmp_path):
    for place in (source, tmp_path, f"{tmp_path}/*.parquet"):
        with pytest.raises(OutputExistsError, match="must not be what is read"):
            score(journey, source, place)


def test_two_jobs_do_not_write_one_output(journey, source, tmp_path):
    with (
        bulk_job._held(tmp_path / "work", tmp_path / "s.parquet", resume=False),
        pytest.raises(OutputExistsError, match="another job writes"),
    ):
        score(journey, tmp_path / "s.parquet", source, work_dir=tmp_path / "other")


def test_row_group_that_is_damaged_is_named_and_can_be_passed_over(
    journey, source, rows, tmp_path, monkeypatch
):
    """What was passed over is not taken for whole later, where that is not asked for."""
    about = pq.ParquetFile(source).metadata.row_group(3)
    start = about.column(1).dictionary_page_offset or about.column(1).data_page_offset
    content = bytearray(source.read_bytes())
    content[start : start + about.column(1).total_compressed_size] = b"\x00" * (
        about.column(1).total_compressed_size
    )
    source.write_bytes(content)
    out = tmp_path / "s.parquet"
    with pytest.raises(TrafficError, match=r"log.parquet: row group 3 \(of 6\).*\(1\) are kept in"):
        score(journey, out, source)
    done = score(journey, out, source, resume=True, skip_damaged=True)
    assert (done.n_kept, done.n_parts) == (1, 3)  # a part without damage is the same either way
    written = pq.read_table(out).to_pylist()
    assert len(written) == 120
    assert done.counts["errors"] >= 20
    bad = [index for index, row in enumerate(written) if "row group 3" in (row["error"] or "")]
    assert bad == list(range(60, 80))
    assert written[80]["id"] == rows[80]["id"]
    monkeypatch.setattr(bulk_job, "_assemble", lambda *parts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        score(journey, tmp_path / "t.parquet", source, skip_damaged=True)
    with pytest.raises(TrafficError, match=r"row group 3.*\(1\) are kept in"):
        score(journey, tmp_path / "t.parquet", source, resume=True)


def test_full_disk_is_told_and_parts_stay(journey, source, tmp_path, monkeypatch):
    real = os.replace

    def fill(first, second):
        if len(list(Path(second).parent.glob("*.parquet"))) == 2:
            raise OSError(28, "No space left on device")
        real(first, second)

    monkeypatch.setattr(bulk_job.os, "replace", fill)
    with pytest.raises(StorageError, match=r"no space is left.*\(2\) are kept"):
        score(journey, tmp_path / "s.parquet", source)


def test_schema_that_changes_between_files_is_told(journey, source, rows, tmp_path):
    other = tmp_path / "other.parquet"
    pq.write_table(pa.Table.from_pylist([{**row, "team": "x"} for row in rows[:3]]), other)
    with pytest.raises(TrafficError, match=r"'team' must have one type: it is int64 in .*string"):
        score(journey, tmp_path / "s.parquet", source, other, keep=["team"])
    pq.write_table(pa.table({"question": ["a"]}), other)
    with pytest.raises(TrafficError, match=r"other.parquet must have a column messages or prompt"):
        score(journey, tmp_path / "s.parquet", source, other)
    with pytest.raises(TrafficError, match="must have the column 'no'"):
        score(journey, tmp_path / "s.parquet", source, keep=["no"])
    other.write_bytes(b"PAR1 no")
    with pytest.raises(TrafficError, match=r"other.parquet must be a Parquet file"):
        score(journey, tmp_path / "s.parquet", other)
    with pytest.raises(TrafficNotFoundError, match="no request file"):
        score(journey, tmp_path / "s.parquet", tmp_path / "*.absent")


def test_row_of_many_megabytes_is_passed_over(journey, rows, tmp_path):
    huge = {**rows[0], "id": "huge", "messages": [{"role": "user", "content": "a " * 25_000_000}]}
    table = pa.Table.from_pylist([rows[0], huge, rows[1]])
    pq.write_table(table, tmp_path / "log.parquet")
    score(journey, tmp_path / "s.parquet", tmp_path / "log.parquet")
    written = pq.read_table(tmp_path / "s.parquet").to_pylist()
    assert [row["id"] for row in written] == [rows[0]["id"], "huge", rows[1]["id"]]
    assert "at most 16,000,000 bytes" in written[1]["error"]
    assert written[2]["difficulty_score"] is not None
    (tmp_path / "log.jsonl").write_text(
        json.dumps({"id": "large", "prompt": "a " * 8_000_001}) + '\n{"prompt": "Hi"}\n'
    )
    score(journey, tmp_path / "t.parquet", tmp_path / "log.jsonl")
    written = pq.read_table(tmp_path / "t.parquet").to_pylist()
    assert (written[0]["id"], written[1]["error"]) == ("large", None)
    assert "at most 16,000,000 bytes" in written[0]["error"]


SCRIPT = (
    "import sys; from difficulty.stages.bulk import bulk_sources; bulk_sources.PART_ROWS = 40;"
    "from difficulty.cli import main; main()"
)


@pytest.mark.slow
def test_killed_job_goes_on_to_the_same_bytes(journey, rows, tmp_path):
    """The driver and its workers are killed when some parts are done, each time some more."""
    source, out = tmp_path / "log.parquet", tmp_path / "s.parquet"
    pq.write_table(pa.Table.from_pylist(rows * 60), source, row_group_size=40)
    words = [sys.executable, "-c", SCRIPT, "score", str(journey.bundle), "--input", str(source)]
    words += ["--processes", "2", "-o"]
    subprocess.run([*words, str(tmp_path / "whole.parquet")], check=True)
    for n_done in (1, 40, 90):
        job = subprocess.Popen([*words, str(out), "--resume"], start_new_session=True)
        while job.poll() is None and len(list(tmp_path.glob(".s.*/*.parquet"))) < n_done:
            time.sleep(0.005)
        os.killpg(job.pid, signal.SIGKILL)
        assert (job.wait(), out.exists()) == (-signal.SIGKILL, False)
    told = subprocess.run(
        [*words, str(out), "--resume"], check=True, capture_output=True, text=True
    )
    assert "of 180 parts were scored before" in told.stdout + told.stderr
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
