"""``run.json`` is read into a record and written from it."""

import json

import pytest

from difficulty.errors import RunError
from difficulty.training.run import Run, RunRecord

LATER = ("teacher", "start", "search", "reading", "familiarity", "logged", "labels", "signal")
"""Fields that a run of an earlier version may lack."""
ZERO = ("unlabelled", "ungraded")
"""Counts that it may lack."""


@pytest.fixture
def content(journey):
    """What a run's file holds."""
    return json.loads((journey.run / "run.json").read_text())


def test_record_is_written_as_it_was_read(content):
    """Keys in the same order as well."""
    assert json.dumps(RunRecord.parse(content).as_dict()) == json.dumps(content)


def test_run_of_an_earlier_version_is_read(content):
    early = {name: value for name, value in content.items() if name not in LATER + ZERO}
    record = RunRecord.parse(early)
    assert (record.unlabelled, record.ungraded, record.notes) == (0, 0, ())
    assert {getattr(record, name) for name in LATER} == {None}


def test_what_a_later_version_adds_is_passed_over(content):
    later = {**content, "weather": "fine", "signal": {**content["signal"], "strength": 2}}
    assert RunRecord.parse(later) == RunRecord.parse(content)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"format": 2}, "run format 2 is not the one this version reads"),
        ({"samples": {"fit": "many"}}, r"run\.json: samples\.calibration is missing"),
        ({"recipe": {"name": "x", "folds": 1}}, r"run\.json: recipe\.folds must be at least 2"),
        ({"target": "luck"}, r"target must be .* got 'luck'\. Train again\."),
    ],
)
def test_damaged_run_is_refused(content, tmp_path, changes, complaint):
    (tmp_path / "run.json").write_text(json.dumps(content | changes))
    with pytest.raises(RunError, match=complaint):
        Run.read(tmp_path)
