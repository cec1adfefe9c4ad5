"""Texts that stay in the file are the texts of the file."""

from dataclasses import fields

import numpy as np
import pytest

from difficulty.errors import TrafficError
from difficulty.tokens import TokenRows
from difficulty.traffic import table
from difficulty.traffic.stored import text_columns
from difficulty.traffic.stored.tokenized import Tokenized
from difficulty.traffic.table import Traffic, pq
from difficulty.training.assemble import labelled


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Traffic of 20 rows in row groups of 6."""
    folder = tmp_path_factory.mktemp("traffic")
    n = 20
    values = {
        "id": [f"id{row}" for row in range(n)],
        "messages": [[{"role": "user", "content": f"question {row}"}] for row in range(n)],
        "cheap_answer": [f"answer {row}" if row % 3 else None for row in range(n)],
        "tools": ['[{"name": "f"}]' if row == 4 else None for row in range(n)],
        "weight": [1.0] * n,
        "split_group": [f"g{row}" for row in range(n)],
        "near_groups": [[]] * n,
    }
    columns = {name: values.get(name, [None] * n) for name in table.SCHEMA.names}
    file = folder / "traffic.parquet"
    said = {table.VERSION_KEY: b"1", table.ROWS_KEY: str(n).encode()}
    with pq.ParquetWriter(file, table.SCHEMA.with_metadata(said)) as writer:
        writer.write_table(table.pa.table(columns, schema=table.SCHEMA), row_group_size=6)
    return file


@pytest.fixture
def traffics(path, monkeypatch):
    """The same traffic in memory and with its texts in the file."""
    whole = Traffic.read(path)
    monkeypatch.setattr(text_columns, "MOST_IN_MEMORY", 0)
    apart = Traffic.read(path)
    assert apart._stored
    assert not whole._stored
    return whole, apart


@pytest.mark.parametrize(
    "rows", [slice(None), [3, 4, 5, 9], [19, 0, 7, 6], list(range(10, 20)) + list(range(5)), []]
)
def test_any_rows_hold_the_same_texts(traffics, rows, tmp_path):
    chosen = np.arange(20)[rows] if isinstance(rows, slice) else np.array(rows, dtype=np.int64)
    whole, apart = (traffic.select(chosen) for traffic in traffics)
    assert apart.messages() == whole.messages()
    for name in ("cheap_answer", "tools", "extra", "task"):
        assert apart.column(name) == whole.column(name)
        assert apart.known(name).tolist() == whole.known(name).tolist()
    assert apart.data_hash == whole.data_hash
    assert list(apart.each_asked()) == list(whole.each_asked())
    assert list(apart.each_answered()) == list(whole.each_answered())
    for number, traffic in enumerate((whole, apart)):
        traffic.write(tmp_path / f"{number}.parquet")
    again = [Traffic.read(tmp_path / f"{number}.parquet") for number in (0, 1)]
    assert again[0].data_hash == again[1].data_hash == whole.data_hash


def test_other_columns_may_be_set_beside_texts_in_the_file(traffics):
    whole, apart = traffics
    assert apart.without_texts().data_hash == whole.without_texts().data_hash
    tasks = {"task": ["one"] * 20, "cheap_answer": ["other"] * 20}
    assert apart.with_columns(tasks).data_hash == whole.with_columns(tasks).data_hash
    assert apart.with_columns(tasks).messages() == whole.messages()


def test_a_damaged_row_group_is_named(path, tmp_path, monkeypatch):
    """The second of four; the first can be read."""
    monkeypatch.setattr(text_columns, "MOST_IN_MEMORY", 0)
    content = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(1).column(1).data_page_offset
    content[start : start + 60] = bytes(60)
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(content)
    traffic = Traffic.read(damaged)
    assert len(traffic.messages([0, 1])) == 2
    with pytest.raises(TrafficError, match="row group 1 of the traffic, from row 7 on"):
        traffic.messages([7])


def test_samples_that_stay_in_the_file_take_little_memory(traffics):
    """What training keeps of a sample; lists of strings took ten times as much."""
    both = [(traffic, traffic.splits() == "fit") for traffic in traffics]
    (whole, split), (apart, again) = both
    assert np.array_equal(split, again)
    ids, nothing = TokenRows([[1, 2]] * 20, ""), np.zeros(20, dtype=bool)
    expected, fit = (
        labelled(traffic, Tokenized(ids, ids.lengths, traffic.tasks, nothing), split)
        for traffic, split in both
    )
    assert (fit.ids, fit.tasks, fit.groups) == (expected.ids, expected.tasks, expected.groups)
    assert np.array_equal(fit.outcomes.gain, expected.outcomes.gain, equal_nan=True)
    kept = [*_columns_of(apart.outcomes), apart.splits().codes]
    kept += [apart.tasks.codes, apart.split_groups.codes]
    assert sum(map(_bytes_of, kept)) <= 36 * len(apart)
    kept = [*_columns_of(fit.outcomes), fit.tasks.codes, fit.groups.codes]
    assert sum(map(_bytes_of, kept)) <= 26 * len(fit)


def _columns_of(outcomes):
    """Return the arrays of outcomes."""
    columns = (getattr(outcomes, field.name) for field in fields(outcomes))
    return [column for column in columns if column is not None]


def _bytes_of(array):
    """Return the bytes of an array; of one number that is read n times there are none."""
    return 0 if array.strides == (0,) else array.nbytes
