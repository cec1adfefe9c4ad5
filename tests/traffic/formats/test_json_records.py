import json

import pytest

from difficulty.errors import TrafficError
from difficulty.traffic.formats.json_records import first_record, read_records

RECORDS = [{"a": 1, "b": [1, {"c": "]},["}]}, {"a": "two, [three"}, {}]


def written(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(RECORDS),
        json.dumps(RECORDS, indent=2),
        "\ufeff" + json.dumps(RECORDS),
        "\n".join(map(json.dumps, RECORDS)),
        "[\n" + ",\n".join(map(json.dumps, RECORDS)) + "\n]\n",
    ],
)
def test_records_are_read_however_they_are_written(text, tmp_path):
    path = written(tmp_path, text)
    assert [row.fields for row in read_records(path)] == RECORDS
    assert first_record(path) == RECORDS[0]


def test_one_document_over_many_lines_is_one_record(tmp_path):
    path = written(tmp_path, json.dumps(RECORDS[0], indent=2))
    assert [row.fields for row in read_records(path)] == RECORDS[:1]


def test_an_element_that_is_no_object_is_a_row_with_a_problem(tmp_path):
    rows = list(read_records(written(tmp_path, '[{"a": 1}, 7, "x"]')))
    assert [row.problem for row in rows] == [
        "",
        "an element must be one JSON object: got int.",
        "an element must be one JSON object: got str.",
    ]


@pytest.mark.parametrize("text", ['[{"a": 1}', '[{"a": 1}, {"b"', '{\n"a": ', "[]"])
def test_a_file_that_is_not_whole_is_refused(text, tmp_path):
    with pytest.raises(TrafficError, match="must be JSON|at least one row"):
        list(read_records(written(tmp_path, text)))


def test_a_large_array_is_streamed_in_proportion(tmp_path):
    """Elements of many lines, and many elements of one line, take about as long as their text."""
    path = written(tmp_path, json.dumps([{"text": "x" * 200, "n": n} for n in range(20_000)]))
    assert sum(row.fields["n"] for row in read_records(path)) == sum(range(20_000))
    path = written(tmp_path, json.dumps([{"long": list(range(50_000))}] * 3, indent=0))
    assert len(list(read_records(path))) == 3
