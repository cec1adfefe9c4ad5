"""metrics.json."""

import json

import pytest

from difficulty.errors import RunError
from difficulty.evaluation import evaluate, read_metrics, write_metrics
from difficulty.evaluation.result import without_threshold
from difficulty.metrics import Resampling
from difficulty.records import Estimate


@pytest.fixture
def evaluation(many):
    return evaluate(many, Resampling(20))


def test_metrics_file_holds_the_contract(evaluation, tmp_path):
    """Flat names, each with value, low, high and n, under overall and under slices."""
    write_metrics(evaluation, tmp_path / "new" / "metrics.json")
    form = json.loads((tmp_path / "new" / "metrics.json").read_text())
    assert form == evaluation.as_dict()
    assert form["format"] == 1
    assert {"threshold", "target", "overall", "slices", "baselines"} <= form.keys()
    for estimates in (form["overall"], form["slices"]["task"]["code"], form["baselines"]["length"]):
        assert estimates["apgr"].keys() == {"value", "low", "high", "n"}


def test_metrics_file_reads_back(evaluation, tmp_path):
    write_metrics(evaluation, tmp_path / "metrics.json")
    assert read_metrics(tmp_path / "metrics.json") == evaluation


def test_unknown_figures_are_null_not_nan(four, tmp_path):
    """NaN is no JSON."""
    write_metrics(evaluate(four, Resampling(5)), tmp_path / "metrics.json")
    assert "NaN" not in (tmp_path / "metrics.json").read_text()


def test_a_failed_write_leaves_the_old_file(evaluation, tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    path.write_text("old")

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="disk full"):
        write_metrics(evaluation, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be used"),
        ("[]", "cannot be used"),
        ('{"format": 2}', "metrics format must be 1: got 2"),
        ('{"format": 1}', "'target'"),
    ],
)
def test_a_file_that_is_not_ours_is_refused(text, words, tmp_path):
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(RunError, match=words):
        read_metrics(tmp_path / "metrics.json")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(RunError, match="must be readable"):
        read_metrics(tmp_path / "metrics.json")


def test_without_threshold_leaves_only_what_does_not_move_with_it(many):
    """Ranking and calibration stay, figures at the threshold become unknown with the reason; one
    model for everything stays.
    """
    evaluation = evaluate(many, Resampling(5))
    cleared = without_threshold(evaluation, "another one was chosen")
    assert cleared.threshold is None
    assert cleared.overall["apgr"] == evaluation.overall["apgr"]
    assert cleared.overall["brier"] == evaluation.overall["brier"]
    assert cleared.overall["quality"] == Estimate(value=None, note="another one was chosen")
    assert cleared.slices["task"]["code"]["risk"].value is None
    assert cleared.baselines["length"]["quality"].value is None
    assert cleared.baselines["always_cheap"] == evaluation.baselines["always_cheap"]
