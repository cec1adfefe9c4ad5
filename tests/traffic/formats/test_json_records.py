import json

import pytest

from difficulty.errors import TrafficError
from difficulty.traffic.formats.json_records import first_record, read_records, read_table

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
        "an element must be one JSON object: got a number.",
        "an element must be one JSON object: got a text.",
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


def test_an_array_on_one_line_longer_than_any_line_is_streamed(tmp_path):
    """A minified export is one line, however large."""
    text = json.dumps([{"text": "x" * 2_000, "n": n} for n in range(20_000)])
    assert len(text) > 2**25
    rows = read_records(written(tmp_path, text))
    assert sum(row.fields["n"] for row in rows) == sum(range(20_000))


def test_an_array_of_windows_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"a": "Größe"}]), encoding="utf-16")
    assert [row.fields for row in read_records(path)] == [{"a": "Größe"}]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_document_about_a_list_is_its_elements(tmp_path, indent):
    """As a service answers: the rows, and what it says of them."""
    path = written(
        tmp_path, json.dumps({"count": 3, "meta": [], "results": RECORDS}, indent=indent)
    )
    assert [row.fields for row in read_table(path)] == RECORDS
    request = {"messages": [{"role": "user", "content": "Hi"}], "calls": [{"a": 1}]}
    assert [row.fields for row in read_table(written(tmp_path, json.dumps(request)))] == [request]
