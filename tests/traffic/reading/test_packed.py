"""Packed text is read as what is in it."""

import bz2
import gzip
import lzma
import zipfile

import pyarrow as pa
import pytest

from difficulty.errors import TrafficError
from difficulty.traffic.readers import read_rows, readable_files
from difficulty.traffic.reading.packed import plain_name

CSV = b"id;prompt;cheap_quality\na;What is rust?;0,5\nb;And snow?;1,0\n"


def write_zip(path, **files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_csv", ".csv"), content)
    return path


def write_zst(path, content):
    with pa.OSFile(str(path), "wb") as file, pa.CompressedOutputStream(file, "zstd") as packed:
        packed.write(content)


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz", "zst", "zip"])
def test_a_packed_table_is_read_with_its_delimiter_and_decimals(tmp_path, packing):
    path = tmp_path / f"calls.csv.{packing}"
    match packing:
        case "zst":
            write_zst(path, CSV)
        case "zip":
            write_zip(path, export__calls_csv=CSV)
        case _:
            pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[packing]
            path.write_bytes(pack(CSV))
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
