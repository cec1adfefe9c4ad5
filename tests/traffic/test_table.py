import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from difficulty.errors import TrafficError, TrafficNotFoundError
from difficulty.stages.ingest import ingest
from difficulty.text import TextView
from difficulty.traffic.outcomes import measures_form
from difficulty.traffic.table import SCHEMA, Traffic

ROWS = [
    {
        "id": "a",
        "prompt": "One",
        "task": "classify",
        "cheap_quality": 0.25,
        "frontier_quality": 1,
        "cheap_model": "c",
        "frontier_model": "f",
    },
    {
        "id": "b",
        "prompt": "Two",
        "cheap_passed": False,
        "frontier_quality": 0.5,
        "cheap_tokens": 7,
        "weight": 2,
        "team": "x",
    },
    {
        "id": "c",
        "messages": [{"role": "system", "content": "Be"}, {"role": "user", "content": "one"}],
        "preference": "cheap",
    },
]


@pytest.fixture
def path(tmp_path):
    return ingested(tmp_path, ROWS)


def ingested(folder, rows, name="traffic"):
    source = folder / f"{name}.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ingest([source], folder / f"{name}.parquet")
    return folder / f"{name}.parquet"


def test_columns_are_lists_and_arrays_with_nan_for_unknown(path):
    """Of the third sample only a vote for the cheap model is known: it counts as a win against a
    loss.
    """
    traffic = Traffic.read(path)
    assert len(traffic) == 3
    assert traffic.ids == ["a", "b", "c"]
    assert traffic.tasks == ["classify", None, None]
    np.testing.assert_array_equal(traffic.outcomes.cheap_quality, [0.25, 0.0, 1.0])
    np.testing.assert_array_equal(traffic.outcomes.frontier_quality, [1.0, 0.5, 0.0])
    np.testing.assert_array_equal(traffic.outcomes.preferred_gain, [np.nan, np.nan, -1.0])
    np.testing.assert_array_equal(traffic.outcomes.gain, [0.75, 0.5, -1.0])
    np.testing.assert_array_equal(traffic.outcomes.weight, [1.0, 2.0, 1.0])
    np.testing.assert_array_equal(traffic.tokens.cheap, [np.nan, 7.0, np.nan])
    assert traffic.model_pair == ("c", "f")
    assert traffic.column("extra") == [{}, {"team": "x"}, {}]


def test_texts_are_those_of_the_view(path):
    traffic = Traffic.read(path)
    assert [one.text for one in traffic.views(TextView())] == ["One", "Two", "Be\none"]
    assert traffic.messages([2, 0])[1] == [{"role": "user", "content": "One"}]
    assert traffic.messages() == traffic.messages([0, 1, 2])


def test_equal_texts_have_equal_hashes_and_keys(path):
    traffic = Traffic.read(path)
    hashes = traffic.text_hashes()
    assert hashes[0] == hashes[2] != hashes[1]
    assert traffic.split_groups[0] == traffic.split_groups[2]
    assert traffic.splits()[0] == traffic.splits()[2]


def test_select_takes_row_numbers_or_a_mask(path):
    traffic = Traffic.read(path)
    assert traffic.select([2, 0]).ids == ["c", "a"]
    assert traffic.select(np.array([False, True, True])).ids == ["b", "c"]
    assert len(traffic.select([])) == 0
    assert traffic.select([1]).model_pair is None


def test_data_hash_is_of_the_content_not_of_the_file(path, tmp_path):
    traffic = Traffic.read(path)
    with pq.ParquetFile(path) as file:
        table, metadata = file.read(), file.metadata.metadata
    other = tmp_path / "other.parquet"
    kept = {key: value for key, value in metadata.items() if key.startswith(b"difficulty")}
    with pq.ParquetWriter(other, table.schema, compression="none") as writer:
        for row in range(3):
            writer.write_table(table.slice(row, 1))
        writer.add_key_value_metadata(kept)
    assert Traffic.read(other).data_hash == traffic.data_hash
    assert len(traffic.data_hash) == 64


@pytest.mark.parametrize(
    "change", [{"prompt": "One!"}, {"cheap_quality": 0.26}, {"task": None}, {"new": 1}]
)
def test_data_hash_changes_with_the_content(path, tmp_path, change):
    changed = ingested(tmp_path, [{**ROWS[0], **change}, *ROWS[1:]], name="changed")
    assert Traffic.read(changed).data_hash != Traffic.read(path).data_hash


def test_a_file_that_was_not_ingested_is_refused_with_the_command(tmp_path):
    plain, text = tmp_path / "plain.parquet", tmp_path / "rows.jsonl"
    pq.write_table(pa.table({"prompt": ["Hi"]}), plain)
    text.write_text("{}")
    for path in (plain, text):
        with pytest.raises(
            TrafficError, match=rf"Run: difficulty ingest {path} -o traffic\.parquet"
        ):
            Traffic.read(path)


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(TrafficNotFoundError, match="must exist"):
        Traffic.read(tmp_path / "none.parquet")


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"version": "2"}, "traffic version 2"),
        ({"version": "1", "rows": "9"}, "must hold the rows it was written with"),
    ],
)
def test_a_newer_version_and_lost_rows_are_refused(metadata, reason, path, tmp_path):
    named = {f"difficulty.traffic.{name}": value for name, value in metadata.items()}
    pq.write_table(pq.read_table(path).replace_schema_metadata(named), tmp_path / "other.parquet")
    with pytest.raises(TrafficError, match=reason):
        Traffic.read(tmp_path / "other.parquet")


def test_a_damaged_file_is_refused(path):
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TrafficError, match="damaged"):
        Traffic.read(path)


def test_the_schema_holds_the_contract_and_the_groups():
    assert SCHEMA.names[:2] == ["id", "messages"]
    assert SCHEMA.names[-3:] == ["extra", "split_group", "near_groups"]


@pytest.mark.parametrize("kept", [(), ("measured_by",), ("tools", "cached_tokens")])
def test_files_of_before_a_column_are_read_as_if_nothing_were_known(kept, path, tmp_path):
    """Whatever columns came later, and in whatever order: the same content, the same hash."""
    later = {"measured_by", "cheap_answer", "frontier_answer", "tools"}
    later |= {"cached_tokens", "cheap_cost_usd", "frontier_cost_usd"}
    with pq.ParquetFile(path) as file:
        table, metadata = file.read(), file.metadata.metadata
    older = table.drop_columns(sorted(later - {*kept}))
    pq.write_table(older.replace_schema_metadata(metadata), tmp_path / "older.parquet")
    traffic = Traffic.read(tmp_path / "older.parquet")
    assert traffic.data_hash == Traffic.read(path).data_hash
    assert traffic.column("cached_tokens") == [None] * len(traffic)


def test_votes_of_a_judge_are_votes(tmp_path):
    """Who cast a vote is kept, and it says of neither model how often it fails."""
    rows = [
        {"id": "a", "prompt": "x", "preference": "cheap", "measured_by": "judge:m"},
        {"id": "b", "prompt": "y", "cheap_quality": 1.0, "measured_by": "judge:m"},
        {"id": "c", "prompt": "z", "preference": "tie"},
    ]
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ingest([source], tmp_path / "rows.parquet")
    outcomes = Traffic.read(tmp_path / "rows.parquet").outcomes
    assert outcomes.measures == {"votes:judge:m": 1, "judge:m": 1, "votes": 1}
    assert np.isnan(outcomes.without_votes().cheap_quality).tolist() == [True, False, True]
    assert outcomes.without_votes().gain[0] == -1.0


def test_verdict_on_the_form_is_no_grade_whatever_is_graded_beside_it(tmp_path):
    """A log knows that the cheap answer passed; then the frontier answer is graded, or the cheap
    one is, and ``measured_by`` names both.
    """
    checked = {"cheap_passed": True, "measured_by": "validators:json"}
    both = "validators:json+exact"
    rows = [
        {"id": "a", "prompt": "a", **checked},
        {"id": "b", "prompt": "b", **checked, "frontier_quality": 0.8, "measured_by": both},
        {"id": "c", "prompt": "c", **checked, "cheap_quality": 0.5, "measured_by": both},
        {"id": "d", "prompt": "d", "cheap_passed": False, "frontier_quality": 0.6},
        {"id": "e", "prompt": "e", "cheap_passed": True, "measured_by": "tests"},
        {"id": "f", "prompt": "f", "cheap_quality": 1.0, "measured_by": "validators:json"},
        {"id": "g", "prompt": "g", "cheap_quality": 0.0, "frontier_quality": 1.0},
    ]
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ingest([source], tmp_path / "rows.parquet")
    traffic = Traffic.read(tmp_path / "rows.parquet")
    outcomes = traffic.outcomes
    assert outcomes.only_checked.tolist() == [True, True, False, True, False, True, False]
    grades = [None, None, 0.5, None, 1.0, None, 0.0]
    np.testing.assert_array_equal(outcomes.graded().cheap_quality, np.array(grades, dtype=float))
    frontier = [None, 0.8, None, 0.6, None, None, 1.0]
    np.testing.assert_array_equal(
        outcomes.graded().frontier_quality, np.array(frontier, dtype=float)
    )
    # Cut, and joined with others, they are told apart as before.
    picked = outcomes[np.array([1, 2])].joined(outcomes[np.array([3])])
    assert picked.only_checked.tolist() == [True, False, True]

    usable, n = traffic.without_forms()
    assert n == 4
    np.testing.assert_array_equal(usable.outcomes.cheap_quality, np.array(grades, dtype=float))
    np.testing.assert_array_equal(usable.outcomes.frontier_quality, np.array(frontier, dtype=float))
    assert usable.column("measured_by") == [None, "exact", both, None, "tests", None, None]
    assert usable.without_forms()[1] == 0
    # With fewer grades than are asked for, or none at all, they are all that is known.
    assert traffic.without_forms(least=4) == (traffic, 0)
    alone = traffic.select(np.array([0, 5]))
    assert alone.without_forms() == (alone, 0)


@pytest.mark.parametrize(
    ("name", "is_form"),
    [
        ("validators", True),
        ("validators:a,b", True),
        ("validators:a+validators:b", True),
        ("validators:a+judge:x", False),
        ("judge:x+validators:a", False),
        ("tests", False),
        ("", False),
        (None, False),
    ],
)
def test_measure_of_the_form_is_told_by_all_its_names(name, is_form):
    assert measures_form(name) == is_form
