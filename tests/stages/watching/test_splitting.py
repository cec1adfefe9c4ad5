import json

import pytest

from difficulty.errors import InvalidValueError, OutputExistsError, TooFewSamplesError
from difficulty.stages.ingest import ingest
from difficulty.stages.watching.splitting import split
from difficulty.traffic.table import Traffic
from tests.journey import sample_rows, write_rows


def test_parts_are_disjoint_and_whole(journey, tmp_path):
    """Every row is in one part, and no key of a row is in another part."""
    report = split(journey.traffic, tmp_path / "parts", parts={"fit": 0.7, "judge": 0.3})
    parts = {name: Traffic.read(tmp_path / "parts" / f"{name}.parquet") for name in report.parts}
    assert sum(map(len, parts.values())) == len(Traffic.read(journey.traffic)) == report.rows
    keys = {
        name: {*part.split_groups, *(key for near in part.near_groups for key in near)}
        for name, part in parts.items()
    }
    assert not keys["fit"] & keys["judge"]
    assert json.loads((tmp_path / "parts" / "split.json").read_text()) == report.as_dict()
    assert report.parts["judge"].labelled <= report.parts["judge"].rows
    assert report.cuts == ()


def test_by_time_the_oldest_come_first(journey, tmp_path):
    report = split(
        journey.traffic,
        tmp_path / "parts",
        by="time",
        parts={"earlier": 0.6, "later": 0.4},
        straddling="aside",
    )
    assert report.parts["earlier"].last < report.cuts[0] <= report.parts["later"].first
    assert report.straddling_rows == report.parts["aside"].rows > 0
    assert any("stand on both sides of a cut" in note for note in report.notes)


def test_rows_without_a_time_are_told(tmp_path):
    rows = [dict(row, group=None) for row in sample_rows(60)]
    for row in rows[:10]:
        del row["timestamp"]
    ingest([write_rows(tmp_path / "rows.jsonl", rows)], tmp_path / "traffic.parquet")
    report = split(tmp_path / "traffic.parquet", tmp_path / "parts", by="time")
    assert report.parts["undated"].rows == 10
    assert report.parts["undated"].first is None


def test_bad_input_writes_nothing(journey, tmp_path):
    with pytest.raises(InvalidValueError, match="'hash' or 'time'"):
        split(journey.traffic, tmp_path / "parts", by="size")
    with pytest.raises(InvalidValueError, match="neither 'aside' nor"):
        split(journey.traffic, tmp_path / "parts", parts={"aside": 0.5, "x": 0.5})
    with pytest.raises(InvalidValueError, match="names of letters"):
        split(journey.traffic, tmp_path / "parts", parts={"../x": 0.5, "y": 0.5})
    with pytest.raises(TooFewSamplesError, match="'b' would have none"):
        split(journey.traffic, tmp_path / "parts", parts={"a": 1.0 - 1e-9, "b": 1e-9})
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "parts").mkdir()
    with pytest.raises(OutputExistsError):
        split(journey.traffic, tmp_path / "parts")
