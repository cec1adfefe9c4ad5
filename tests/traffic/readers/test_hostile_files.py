"""Files that have no end, no width and no bottom: refused, or read once, in bounded memory.

The limits are asked of the process that reads, not of a clock.
"""

import gzip
import json
import os
import shutil
import subprocess
import sys
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from difficulty.errors import TrafficError
from difficulty.stages.ingest import ingest
from difficulty.traffic import lines
from difficulty.traffic.readers import read_rows, readable_files
from tests.conftest import REPOSITORY

GOOD = {"id": "a", "prompt": "Hello", "cheap_quality": 0, "frontier_quality": 1}
MEMORY, SECONDS = 2 * 2**30, 60
"""Address space and processor time of a child; the libraries alone take 1 GiB of the first."""

CHILD = """
import resource, sys
from pathlib import Path
from difficulty.errors import DifficultyError
from difficulty.stages.ingest import ingest
resource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory}))
resource.setrlimit(resource.RLIMIT_CPU, ({seconds}, {seconds}))
begun = resource.getrusage(resource.RUSAGE_SELF)
try:
    ingest([Path(sys.argv[1])], Path(sys.argv[2]))
except DifficultyError as error:
    print(error)
ended = resource.getrusage(resource.RUSAGE_SELF)
print(ended.ru_utime - begun.ru_utime, (ended.ru_maxrss - begun.ru_maxrss) // 1024)
"""


def limited(source, out):
    """Ingest in a process with limits; return what was refused, its seconds and its MiB."""
    program = CHILD.format(memory=MEMORY, seconds=SECONDS)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    environment |= {"OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    child = subprocess.run(
        [sys.executable, "-c", program, str(source), str(out)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-2000:]
    *said, figures = child.stdout.strip().split("\n")
    seconds, mib = figures.split()
    return "\n".join(said), float(seconds), int(mib)


def zeros(path, gib):
    """Write so many GiB of zeros as gzip, by repeating one flushed block of 64 MiB."""
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(bytes(2**26)) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(2**26)) + packer.flush(zlib.Z_FULL_FLUSH)
    with path.open("wb") as file:
        file.write(head + first)
        for _ in range(16 * gib - 1):
            file.write(block)
    return path


@pytest.mark.parametrize("name", ["zeros.jsonl.gz", "zeros.csv.gz"])
def test_six_gigabytes_of_zeros_are_refused_in_bounded_memory(tmp_path, name):
    source = zeros(tmp_path / name, 6)
    assert source.stat().st_size < 10 * 2**20
    said, _, mib = limited(source, tmp_path / "out.parquet")
    assert "MiB out of" in said or "must be of at most 32 MiB" in said
    assert mib < 400


@pytest.mark.slow
def test_six_gigabytes_of_blank_lines_are_refused_too(tmp_path):
    block = gzip.compress(b"\n" * 2**26)
    source = tmp_path / "blank.jsonl.gz"
    source.write_bytes(block * 96)
    said, seconds, mib = limited(source, tmp_path / "out.parquet")
    assert "times as much" in said
    assert mib < 200


def test_a_sparse_file_without_a_line_feed_is_refused(tmp_path):
    with (tmp_path / "sparse.jsonl").open("wb") as file:
        file.truncate(30 * 2**30)
    said, _, mib = limited(tmp_path / "sparse.jsonl", tmp_path / "out.parquet")
    assert "without a line feed" in said
    assert mib < 400


@pytest.mark.parametrize("wide", ["csv", "jsonl"])
def test_forty_thousand_columns_take_no_time(tmp_path, wide):
    names = [f"column_{n}" for n in range(40_000)]
    source = tmp_path / f"wide.{wide}"
    if wide == "csv":
        row = ",".join(["1"] * 40_000)
        source.write_text(",".join(names) + "\n" + f"{row}\n" * 100)
    else:
        source.write_text((json.dumps(dict.fromkeys(names, 1)) + "\n") * 20)
    said, seconds, _ = limited(source, tmp_path / "out.parquet")
    assert "at most 2,000 columns" in said
    assert seconds < 1


def test_wide_parquet_is_refused(tmp_path):
    pq.write_table(pa.table({f"c{n}": [1] for n in range(2_001)}), tmp_path / "wide.parquet")
    with pytest.raises(TrafficError, match=r"at most 2,000 columns: got 2,001"):
        list(read_rows(tmp_path / "wide.parquet"))


@pytest.mark.parametrize("name", ["zero.jsonl", "zero.csv", "zero.parquet", "zero.jsonl.gz"])
def test_a_device_is_refused_by_any_name(tmp_path, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).symlink_to("/dev/zero")
    for source in (tmp_path / "in" / name, tmp_path / "in"):
        with pytest.raises(TrafficError, match="must be a plain file"):
            ingest([source], tmp_path / "out.parquet")


def test_a_pipe_and_a_link_to_nothing_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(TrafficError, match="must be a plain file"):
        ingest([tmp_path / "pipe.jsonl"], tmp_path / "out.parquet")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "gone.jsonl").symlink_to("nowhere")
    with pytest.raises(TrafficError, match="must be a plain file"):
        ingest([tmp_path / "in"], tmp_path / "out.parquet")


def test_a_folder_with_links_to_itself_gives_each_file_once_and_in_order(tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for name, key in (("b.jsonl", "b"), ("sub/a.jsonl", "a")):
        (folder / name).write_text(json.dumps({**GOOD, "id": key}) + "\n")
    (folder / "a-loop").symlink_to(folder)
    (folder / "sub" / "loop").symlink_to(folder)
    (folder / "also-b.jsonl").symlink_to(folder / "b.jsonl")
    (folder / "also-sub").symlink_to(folder / "sub")
    found = [path.relative_to(folder).as_posix() for path in readable_files(folder)]
    assert found == ["b.jsonl", "sub/a.jsonl"]
    assert ingest([folder], tmp_path / "out.parquet").kept == 2


def test_runs_bundles_and_reports_in_a_folder_are_passed_over(journey, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text(json.dumps(GOOD) + "\n")
    for name in ("run", "bundle"):
        (tmp_path / "in" / name).symlink_to(getattr(journey, name))
    shutil.copytree(journey.run, tmp_path / "in" / "copy")
    assert [path.name for path in readable_files(tmp_path / "in")] == ["a.jsonl"]


def test_a_long_line_is_a_bad_row_and_the_next_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "LONGEST_LINE", 100)
    monkeypatch.setattr("difficulty.traffic.readers.LONGEST_LINE", 100)
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps({**GOOD, "prompt": "x" * 300}) + "\n" + json.dumps(GOOD) + "\n")
    rows = list(read_rows(source))
    assert [(row.line, row.fields is None) for row in rows] == [(1, True), (2, False)]
    assert rows[0].problem.startswith("a line must be of at most ")


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_lines_of_every_system_are_read(tmp_path, ends):
    rows = ["prompt,cheap_quality", '"two\nlines",1', "caf\u00e9,0"]
    (tmp_path / "in.csv").write_bytes(("\ufeff" + ends.join(rows) + ends).encode())
    found = [dict(row.fields) for row in read_rows(tmp_path / "in.csv")]
    assert found == [
        {"prompt": "two\nlines", "cheap_quality": "1"},
        {"prompt": "caf\u00e9", "cheap_quality": "0"},
    ]


@pytest.mark.parametrize("name", ["bad.jsonl.gz", "bad.csv.gz"])
def test_a_damaged_archive_is_refused_whoever_reads_it_first(tmp_path, name):
    content = bytearray(gzip.compress(os.urandom(4_000)))
    content[20:40] = bytes(20)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TrafficError):
        ingest([tmp_path / name], tmp_path / "out.parquet")


@pytest.mark.slow
def test_a_dictionary_of_long_texts_does_not_fill_the_memory(tmp_path):
    """512 rows of one text of 8 MB are 4 GB when they are read together."""
    table = pa.table({"prompt": ["x" * 8_000_000] * 8, "cheap_quality": [1.0] * 8})
    with pq.ParquetWriter(tmp_path / "in.parquet", table.schema) as writer:
        for _ in range(40):
            writer.write_table(table)
    assert (tmp_path / "in.parquet").stat().st_size < 20 * 2**20
    _, _, mib = limited(tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert mib < 1_200
