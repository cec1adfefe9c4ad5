import gzip

import pytest

from difficulty.errors import InvalidValueError
from difficulty.traffic.readers import read_rows
from difficulty.traffic.reading.dialect import ReadOptions, find_dialect, pointed

TABLE = [
    ["id", "prompt", "cheap_quality", "frontier_quality"],
    ["1", "Wie groß ist die Fläche? Länge 2,5; Breite 4", "0,5", "1,0"],
    ["2", 'Say "déjà vu", twice', "0,25", "0,75"],
]


def table(mark, rows=TABLE):
    """Return rows as text, cells quoted where they must be."""
    quoted = [
        [
            '"' + cell.replace('"', '""') + '"' if mark in cell or '"' in cell else cell
            for cell in row
        ]
        for row in rows
    ]
    return "".join(mark.join(row) + "\r\n" for row in quoted)


def fields(path, **said):
    return [list(row.fields.values()) for row in read_rows(path, ReadOptions(**said))]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "utf-32"]
)
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz"])
def test_encoding_delimiter_and_decimal_comma_are_found(tmp_path, mark, encoding, suffix):
    """Whatever a spreadsheet wrote; the comma in a text stays."""
    data = table(mark).encode(encoding)
    path = tmp_path / f"in{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    assert fields(path) == [["1", TABLE[1][1], "0.5", "1.0"], ["2", TABLE[2][1], "0.25", "0.75"]]


def test_what_was_found_is_described(tmp_path):
    (tmp_path / "a.csv").write_text(table(";"), encoding="utf-8-sig")
    dialect = find_dialect(tmp_path / "a.csv")
    assert dialect.describe() == (
        "UTF-8 with a byte order mark, semicolon between cells, decimal comma"
    )
    assert not dialect.usual
    (tmp_path / "b.csv").write_text("id,prompt\n1,Hi\n")
    assert find_dialect(tmp_path / "b.csv").usual


def test_the_line_by_which_excel_names_the_delimiter_is_no_header(tmp_path):
    (tmp_path / "a.csv").write_text("sep=|\nid|prompt\n1|a;b\n")
    (row,) = read_rows(tmp_path / "a.csv")
    assert (row.line, row.fields) == (3, {"id": "1", "prompt": "a;b"})


def test_json_lines_of_windows_are_read(tmp_path):
    """As PowerShell writes them."""
    (tmp_path / "a.jsonl").write_text(
        '{"prompt": "Größe"}\r\n{"prompt": "b"}\r\n', encoding="utf-16"
    )
    assert fields(tmp_path / "a.jsonl") == [["Größe"], ["b"]]


def test_quotes_escaped_by_backslashes_are_found(tmp_path):
    (tmp_path / "a.csv").write_text('id,prompt\n1,"say \\"hi, you\\" now"\n2,"and, \\"so\\""\n')
    assert fields(tmp_path / "a.csv") == [["1", 'say "hi, you" now'], ["2", 'and, "so"']]


def test_quotes_that_are_text_are_found(tmp_path):
    """A tab-separated file of a database quotes nothing."""
    lines = "".join(f'{n}\t"so he said {n}\n' for n in range(9))
    (tmp_path / "a.tsv").write_text("id\tprompt\n" + lines)
    assert fields(tmp_path / "a.tsv")[0] == ["0", '"so he said 0']


def test_what_is_named_is_not_found(tmp_path):
    (tmp_path / "a.csv").write_text("a;b,c\n1;2,3\n")
    assert fields(tmp_path / "a.csv", delimiter=",") == [["1;2", "3"]]
    (tmp_path / "b.csv").write_bytes("prompt,task\nこんにちは,x\n".encode("shift_jis"))
    assert fields(tmp_path / "b.csv", encoding="shift_jis") == [["こんにちは", "x"]]
    (tmp_path / "c.csv").write_text('prompt,weight\nHi,"1,234"\n')
    assert fields(tmp_path / "c.csv") == [["Hi", "1,234"]]
    assert fields(tmp_path / "c.csv", decimal=",") == [["Hi", "1.234"]]


def test_other_encodings_are_not_guessed(tmp_path):
    """Cyrillic read as cp1252 would be another text, and nobody would see it."""
    (tmp_path / "a.csv").write_bytes("prompt,task\nСколько будет,x\n".encode("cp1251"))
    (row,) = read_rows(tmp_path / "a.csv")
    assert row.problem.startswith("a row must be UTF-8, or --encoding must name what it is: got ")


def test_a_broken_byte_in_a_file_of_utf8_is_one_bad_row(tmp_path):
    (tmp_path / "a.csv").write_bytes("prompt,task\ncafé,x\n".encode() + b"caf\xe9,y\n")
    assert [bool(row.fields) for row in read_rows(tmp_path / "a.csv")] == [True, False]


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("0,5", "0.5"),
        ("1.234,5", "1234.5"),
        ("12", "12"),
        ("0.5", "0.5"),
        ("1.000", "1000"),
        ("-3,2e5", "-3.2e5"),
        ("1,2,3", "1,2,3"),
        ("about 2,5", "about 2,5"),
    ],
)
def test_a_decimal_comma_becomes_a_point(cell, number):
    assert pointed(cell) == number


@pytest.mark.parametrize(
    "said",
    [
        {"delimiter": "ab"},
        {"delimiter": '"'},
        {"encoding": "klingon"},
        {"encoding": "base64"},
        {"decimal": "x"},
    ],
)
def test_what_cannot_be_is_refused(said):
    with pytest.raises(InvalidValueError, match="must be"):
        ReadOptions(**said)
