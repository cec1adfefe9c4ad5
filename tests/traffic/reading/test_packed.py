"""Packed text is read as what is in it."""

import bz2
import gzip
import json
import lzma
import zipfile

import pyarrow as pa
import pytest

from difficulty.errors import InvalidValueError, TrafficError
from difficulty.kinds import PACKINGS, PathKind, kind_of, plain_name
from difficulty.request import read_requests
from difficulty.traffic.readers import read_rows, readable_files

CSV = b"id;prompt;cheap_quality\na;What is rust?;0,5\nb;And snow?;1,0\n"


def write_zip(path, **files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_csv", ".csv"), content)
    return path


def pack(path, content):
    """Write content packed as the name says."""
    match path.suffix:
        case ".zst":
            write_zst(path, content)
        case ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr(path.stem, content)
        case suffix:
            packed = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
            path.write_bytes(packed[suffix](content))
    return path


def write_zst(path, content):
    with pa.OSFile(str(path), "wb") as file, pa.CompressedOutputStream(file, "zstd") as packed:
        packed.write(content)


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz", "zst", "zip"])
def test_a_packed_table_is_read_with_its_delimiter_and_decimals(tmp_path, packing):
    path = tmp_path / f"calls.csv.{packing}"
    if packing == "zip":
        write_zip(path, export__calls_csv=CSV)
    else:
        pack(path, CSV)
    assert readable_files(path) == [path]
    rows = list(read_rows(path))
    assert [row.fields["prompt"] for row in rows] == ["What is rust?", "And snow?"]
    assert [row.line for row in rows] == [2, 3]


@pytest.mark.parametrize("packing", ["bz2", "xz", "zst", "zip"])
def test_a_damaged_archive_is_refused_in_a_sentence(tmp_path, packing):
    path = tmp_path / f"calls.csv.{packing}"
    path.write_bytes(b"no archive at all")
    with pytest.raises(TrafficError, match="Check that the file is complete"):
        list(read_rows(path))


def test_a_refusal_shows_no_bytes(tmp_path):
    (tmp_path / "calls.jsonl.gz").write_bytes(b'{"prompt": "Hi"}')
    with pytest.raises(TrafficError, match="Not a gzipped file\\. Check that the file is complete"):
        list(read_rows(tmp_path / "calls.jsonl.gz"))


def test_a_zip_holds_one_file_and_what_a_file_manager_adds(tmp_path):
    one = write_zip(tmp_path / "export.zip", calls_csv=CSV)
    two = write_zip(tmp_path / "two.zip", a_csv=CSV, b_csv=CSV)
    assert plain_name(two.with_name("none.csv.gz")) == "none.csv"
    with pytest.raises(TrafficError, match=r"must hold one file: .*two\.zip holds 2\. Unpack it"):
        plain_name(two)
    with zipfile.ZipFile(one, "a") as archive:
        archive.writestr("__MACOSX/._calls.csv", b"x")
    assert plain_name(one) == "calls.csv"


@pytest.mark.parametrize(
    ("name", "advice"),
    [("book.xlsx", "Save the sheet as CSV"), ("calls.log", "Give it the name of what it holds")],
)
def test_files_of_other_types_are_refused_with_what_to_do(tmp_path, name, advice):
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(TrafficError, match=advice):
        readable_files(tmp_path / name)


REQUESTS = b'{"id": "a", "prompt": "What is rust?"}\n{"id": "b", "prompt": "And snow?"}\n'


@pytest.mark.parametrize("packing", PACKINGS)
def test_requests_to_decide_on_may_be_packed_as_traffic_may(tmp_path, packing):
    path = pack(tmp_path / f"requests.jsonl{packing}", REQUESTS)
    assert kind_of(path) is PathKind.ROWS
    assert [row.id for row in read_requests(path)] == ["a", "b"]
    assert [row.fields["id"] for row in read_rows(path)] == ["a", "b"]
    path.write_bytes(b"no archive at all")
    with pytest.raises((InvalidValueError, TrafficError), match="damaged|complete"):
        list(read_requests(path))


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_packed_decision_log_is_known(tmp_path, packing):
    event = dict.fromkeys(("bundle_version", "policy_route", "propensity", "calls"), 1)
    path = pack(tmp_path / f"log.jsonl{packing}", json.dumps(event).encode() + b"\n")
    assert kind_of(path) is PathKind.LOG


@pytest.mark.parametrize("name", ["calls.log", "calls.TXT", "calls.log.gz"])
def test_json_lines_in_a_log_or_a_text_are_read(tmp_path, name):
    path = tmp_path / name
    pack(path, REQUESTS) if name.endswith(".gz") else path.write_bytes(b"\xef\xbb\xbf" + REQUESTS)
    assert kind_of(path) is PathKind.ROWS
    assert [row.fields["id"] for row in read_rows(path)] == ["a", "b"]
    with pytest.raises(TrafficError, match="found none"):
        readable_files(tmp_path)  # in a folder they are notes as often as traffic


def test_a_long_first_line_of_a_log_is_enough(tmp_path):
    path = tmp_path / "calls.log"
    path.write_text(json.dumps({"prompt": "x" * 200_000}) + "\n")
    assert len(list(read_rows(path))) == 1


@pytest.mark.parametrize(
    "content", [b"12:00 started\n{}\n", b"", b"[1, 2]\n", b"prompt,task\nx,y\n"]
)
def test_a_log_of_something_else_is_told_what_to_do(tmp_path, content):
    path = tmp_path / "app.log"
    path.write_bytes(content)
    assert kind_of(path) is PathKind.FILE
    with pytest.raises(TrafficError, match=r"\.jsonl for an object a line or \.csv for a table"):
        readable_files(path)
    with pytest.raises(InvalidValueError, match="must be JSON lines"):
        list(read_requests(path))
