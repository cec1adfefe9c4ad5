import gzip
import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from difficulty.errors import TrafficError, TrafficNotFoundError
from difficulty.traffic.readers import READERS, read_rows, readable_files

ROW = {"id": "a", "prompt": "Hi", "cheap_quality": 1.0}


def read(path):
    return [row for file in readable_files(path) for row in read_rows(file)]


def write(path, content):
    data = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def written(folder, suffix, fields):
    """Return a file of this type that holds ``fields`` as its one row."""
    path = folder / f"file{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([fields]), path)
    elif suffix in (".csv", ".tsv"):
        mark = "," if suffix == ".csv" else "\t"
        write(path, mark.join(fields) + "\n" + mark.join(map(str, fields.values())))
    else:
        write(path, json.dumps(fields))
    return path


@pytest.mark.parametrize("suffix", sorted(READERS))
def test_every_reader_yields_rows_with_columns(suffix, tmp_path):
    (row,) = read(written(tmp_path, suffix, ROW))
    assert row.fields["id"] == "a"
    assert float(row.fields["cheap_quality"]) == 1.0
    assert not row.problem


def test_lines_are_split_at_newlines_only(tmp_path):
    """U+2028, U+0085 and carriage returns inside a JSON string are part of the text."""
    path = write(tmp_path / "a.jsonl", '{"prompt": "one\u2028two\u0085"}\r\n\n{"prompt": "three"}')
    assert [(row.line, row.fields["prompt"]) for row in read(path)] == [
        (1, "one\u2028two\u0085"),
        (3, "three"),
    ]


def test_gzip_and_byte_order_marks_are_read(tmp_path):
    assert (
        read(write(tmp_path / "a.jsonl.gz", b"\xef\xbb\xbf" + json.dumps(ROW).encode()))[0].fields
        == ROW
    )
    assert read(write(tmp_path / "a.csv.gz", b"\xef\xbb\xbfprompt\nHi\n"))[0].fields == {
        "prompt": "Hi"
    }


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"prompt": ', "must be one JSON object: got none, it ends too soon"),
        (b'{"prompt": "\xff"}', "must be UTF-8, or --encoding must name what it is: got byte 0xff"),
        (b"5", "must be one JSON object: got a number"),
        (b"[" * 100_000, "must be one JSON object"),
        (b'{"n": ' + b"1" * 5_000 + b"}", "must be one JSON object"),
    ],
)
def test_a_bad_line_is_one_bad_row_and_the_next_is_read(line, problem, tmp_path):
    first, bad, last = read(write(tmp_path / "a.jsonl", b'{"id": 1}\n' + line + b'\n{"id": 3}\n'))
    assert (first.fields, last.fields, bad.line) == ({"id": 1}, {"id": 3}, 2)
    assert problem in bad.problem
    assert bad.raw


def test_a_json_array_is_refused_with_the_command_that_converts_it(tmp_path):
    with pytest.raises(TrafficError, match=r"jq -c '\.\[\]' a\.json > a\.jsonl"):
        read(write(tmp_path / "a.json", "[{}]"))


def test_csv_cells_are_text_with_newlines_and_empty_ones_are_unknown(tmp_path):
    path = write(
        tmp_path / "a.csv", 'id,prompt,task\n1,"two\nlines, ""quoted""",\n2,nan,NULL\n\n3,x,y\n'
    )
    assert [(row.line, row.fields) for row in read(path)] == [
        (2, {"id": "1", "prompt": 'two\nlines, "quoted"', "task": None}),
        (4, {"id": "2", "prompt": "nan", "task": "NULL"}),
        (6, {"id": "3", "prompt": "x", "task": "y"}),
    ]


def test_a_csv_cell_may_hold_megabytes(tmp_path):
    assert (
        len(read(write(tmp_path / "a.csv", f"prompt\n{'x' * 3_000_000}\n"))[0].fields["prompt"])
        == 3_000_000
    )


def test_bad_csv_records_are_bad_rows_and_the_others_are_read(tmp_path):
    path = write(
        tmp_path / "a.csv",
        b'id,prompt\n1\n2,a,b\n3,caf\xe9\n4,caf\xc3\xa9\n"5"x,y\n6,ok\n7,"never closed\n',
    )
    rows = read(path)
    assert [row.line for row in rows if row.fields] == [5, 7]
    assert [row.problem.partition(": got")[0] for row in rows if row.problem] == [
        "a row must have as many cells as the header",
        "a row must have as many cells as the header",
        "a row must be UTF-8, or --encoding must name what it is",
        "a row must be CSV",
        "a row must be CSV",
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("\n1,2\n", "must begin with a line of column names"),
        ("a,a\n1,2\n", "must name each column once: got a more than once"),
        ("PAR1\x15\x04,b\n1,2\n", "must be text: its first line is not"),
    ],
)
def test_a_csv_without_a_good_header_is_refused(content, reason, tmp_path):
    with pytest.raises(TrafficError, match=reason):
        read(write(tmp_path / "a.csv", content))


def test_parquet_keeps_null_and_nan_apart(tmp_path):
    table = pa.table(
        {
            "messages": [[{"role": "user", "content": "Hi"}]] * 2,
            "cheap_quality": pa.array([None, float("nan")]),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    null, nan = [row.fields["cheap_quality"] for row in read(tmp_path / "a.parquet")]
    assert null is None
    assert nan != nan


def test_times_in_nanoseconds_are_read(tmp_path):
    times = pa.array([1_769_860_800_000_000_001, None], pa.timestamp("ns", tz="UTC"))
    pq.write_table(pa.table({"timestamp": times}), tmp_path / "a.parquet")
    first, second = [row.fields["timestamp"] for row in read(tmp_path / "a.parquet")]
    assert first.isoformat() == "2026-01-31T12:00:00+00:00"
    assert second is None


def test_text_that_is_not_utf8_in_parquet_is_refused(tmp_path):
    broken = pa.array([b"caf\xe9"]).view(pa.string())
    pq.write_table(pa.table({"prompt": broken}), tmp_path / "a.parquet")
    with pytest.raises(TrafficError, match="cannot be read after 0 rows"):
        read(tmp_path / "a.parquet")


def test_a_saved_dataset_is_read_with_its_splits(tmp_path):
    one = datasets.Dataset.from_list([ROW, {**ROW, "id": "b"}])
    one.save_to_disk(tmp_path / "one")
    datasets.DatasetDict(train=one, extra=one.select([1])).save_to_disk(tmp_path / "two")
    assert [row.fields for row in read(tmp_path / "one")] == [ROW, {**ROW, "id": "b"}]
    assert [
        (row.source.rpartition(":")[2], row.line, row.fields["id"])
        for row in read(tmp_path / "two")
    ] == [("train", 1, "a"), ("train", 2, "b"), ("extra", 1, "b")]


def test_a_damaged_dataset_folder_is_refused(tmp_path):
    write(tmp_path / "state.json", "{}")
    with pytest.raises(TrafficError, match="must be a folder saved by the datasets library"):
        read(tmp_path)


def test_a_folder_is_read_in_order_without_the_notes_of_earlier_runs(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in (
        "b.jsonl",
        "a.csv",
        "sub/c.jsonl",
        ".hidden.jsonl",
        "old.rejects.jsonl",
        "old.summary.json",
        "notes.txt",
    ):
        write(tmp_path / name, "{}")
    assert [file.name for file in readable_files(tmp_path)] == ["a.csv", "b.jsonl", "c.jsonl"]


@pytest.mark.parametrize("name", ["a.xlsx", "a.txt", "a", "a.parquet.gz", "a.7z"])
def test_an_unknown_file_type_is_refused_with_those_that_are_read(name, tmp_path):
    with pytest.raises(
        TrafficError,
        match=r"known type: got .*Read are \.csv, \.json, \.jsonl, \.ndjson, \.parquet, \.tsv",
    ):
        readable_files(write(tmp_path / name, "x"))


def test_a_folder_of_nothing_and_a_path_of_nothing_are_refused(tmp_path):
    with pytest.raises(TrafficError, match="found none"):
        readable_files(tmp_path)
    with pytest.raises(TrafficNotFoundError, match="must exist"):
        readable_files(tmp_path / "missing.jsonl")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", ""),
        ("a.jsonl", "\n \n"),
        ("a.csv", ""),
        ("a.csv", "id,prompt\n"),
        ("a.jsonl.gz", ""),
    ],
)
def test_an_empty_file_is_refused(name, content, tmp_path):
    with pytest.raises(TrafficError, match="it is empty"):
        read(write(tmp_path / name, content))


def test_an_empty_parquet_file_is_refused(tmp_path):
    pq.write_table(pa.table({"prompt": pa.array([], pa.string())}), tmp_path / "a.parquet")
    with pytest.raises(TrafficError, match="it is empty"):
        read(tmp_path / "a.parquet")


def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path):
    with pytest.raises(TrafficError, match="must be a Parquet file"):
        read(write(tmp_path / "a.parquet", "id,prompt\n"))
    (tmp_path / "b.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(TrafficError, match="cannot be read"):
        read(tmp_path / "b.jsonl.gz")


def test_a_cut_gzip_file_says_how_far_it_went(tmp_path):
    whole = gzip.compress(
        b"\n".join(json.dumps({"id": n, "x": str(hash(str(n)))}).encode() for n in range(20_000))
    )
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TrafficError, match=r"cannot be read after [\d,]+ rows"):
        read(tmp_path / "a.jsonl.gz")
