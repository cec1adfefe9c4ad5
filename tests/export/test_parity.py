import numpy as np
import onnx
import pytest

from difficulty.errors import ParityError
from difficulty.export.parity import ParityReport, check_flips, compare
from difficulty.model.combination import Scores
from difficulty.recipe import ExportSettings
from difficulty.stages import exporting
from difficulty.stages.ship import ship

SETTINGS = ExportSettings(max_score_difference=0.01)
NAMES = ["a", "b", "c", "d"]


def scores(*values, frontier=None):
    """Return what the Python model gives."""
    values = np.array(values)
    return Scores(
        difficulty_score=values,
        p_cheap_fails=values,
        p_frontier_fails=None if frontier is None else np.array(frontier),
    )


def outputs(*values, **others):
    """Return what the graph gives."""
    given = {"difficulty_score": values, "p_cheap_fails": values, **others}
    return {name: np.array(column, dtype=np.float32) for name, column in given.items()}


def flips(python, shipped, *, threshold=0.5, settings=SETTINGS):
    report = ParityReport(n=len(python), max_difference=0.001)
    return check_flips(
        NAMES[: len(python)],
        np.array(python),
        np.array(shipped),
        threshold=threshold,
        report=report,
        settings=settings,
    )


def test_compare_by_hand():
    """The largest difference of any output on any request: 0.005 on b's p_frontier_fails."""
    report = compare(
        NAMES[:2],
        scores(0.5, 0.25, frontier=[0.1, 0.2]),
        outputs(0.501, 0.25, p_frontier_fails=[0.1, 0.205]),
        SETTINGS,
    )
    assert (report.n, report.flips) == (2, 0)
    assert report.max_difference == pytest.approx(0.005, abs=1e-7)


def test_compare_names_the_worst_requests_first():
    with pytest.raises(ParityError) as caught:
        compare(NAMES, scores(0.1, 0.2, 0.3, 0.4), outputs(0.1, 0.5, 0.32, 0.401), SETTINGS)
    assert str(caught.value) == (
        "the exported scorer must stay within 0.01 of the Python model: got 0.3. "
        "Worst requests: b (0.3), c (0.02), d (0.001), a (1.5e-09). Nothing was shipped."
    )
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("name", ["difficulty_score", "p_cheap_fails", "p_frontier_fails"])
@pytest.mark.parametrize("value", [0.3, float("nan"), float("inf")])
def test_compare_refuses_a_wrong_value_of_any_output(name, value):
    shipped = outputs(0.1, 0.2, p_frontier_fails=[0.1, 0.2])
    shipped[name] = np.array([0.1, value], dtype=np.float32)
    with pytest.raises(ParityError, match=r"Worst requests: b \("):
        compare(NAMES[:2], scores(0.1, 0.2, frontier=[0.1, 0.2]), shipped, SETTINGS)


def test_difference_at_the_tolerance_is_allowed():
    settings = ExportSettings(max_score_difference=0.25)
    assert compare(["a"], scores(0.5), outputs(0.75), settings).max_difference == 0.25
    with pytest.raises(ParityError):
        compare(["a"], scores(0.5), outputs(0.7501), settings)


def test_flip_is_counted_outside_the_tolerance_of_the_threshold_only():
    """Request a lies 0.005 from the threshold, within the tolerance of 0.01: either side will do.
    Request b lies 0.02 from it.
    """
    assert flips([0.495, 0.9], [0.505, 0.9]).flips == 0
    with pytest.raises(
        ParityError,
        match=r"may flip at most 0 of the decisions: got 1 of 2\. First: b\. Nothing was shipped",
    ):
        flips([0.495, 0.48], [0.505, 0.52])


def test_tie_with_the_threshold_is_no_flip():
    assert flips([0.5, 0.2], [0.5, 0.2]).flips == 0


def test_flips_may_be_as_many_as_the_recipe_allows():
    quarter = ExportSettings(max_score_difference=0.01, max_flips=0.25)
    assert flips([0.4, 0.1, 0.2, 0.3], [0.6, 0.1, 0.2, 0.3], settings=quarter).flips == 1
    with pytest.raises(ParityError, match="got 2 of 4. First: a, d"):
        flips([0.4, 0.1, 0.2, 0.3], [0.6, 0.1, 0.2, 0.6], settings=quarter)


def test_report_keeps_what_was_compared():
    assert flips([0.1], [0.1]) == ParityReport(n=1, max_difference=0.001, flips=0)


def changed_graph(build, kind):
    """Return a builder whose graph has its largest table, or its last bias, changed."""

    def built(*args, **kwargs):
        model = build(*args, **kwargs)
        kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
        floats = [item for item in model.graph.initializer if item.data_type in kinds]
        item = max(floats, key=lambda one: len(one.raw_data)) if kind == "table" else floats[-1]
        array = onnx.numpy_helper.to_array(item).copy()
        array *= 1.5
        item.CopyFrom(onnx.numpy_helper.from_array(array, item.name))
        return model

    return built


@pytest.mark.parametrize("kind", ["table", "last"])
def test_graph_with_a_changed_weight_is_not_shipped(journey, tmp_path, monkeypatch, kind):
    """The gate asks the runtime, so it finds any fault on the way from the model to a router."""
    monkeypatch.setattr(exporting, "build_graph", changed_graph(exporting.build_graph, kind))
    with pytest.raises(
        ParityError,
        match=r"must stay within 0.0001 of the Python model: got .*"
        r" Worst requests: (sample-\d+|suite:\S+) \(",
    ):
        ship(journey.run, tmp_path / "wrong-1", draws=10)
    assert list(tmp_path.iterdir()) == []


def test_decision_that_flips_is_not_shipped(journey, tmp_path, monkeypatch):
    """``ship`` asks for flips too: here the graph routes every request the other way round."""

    def flipped(names, python, shipped, **rest):
        return check_flips(names, python, 1.0 - shipped, **rest)

    monkeypatch.setattr(exporting, "check_flips", flipped)
    with pytest.raises(ParityError, match="may flip at most 0 of the decisions: got"):
        ship(journey.run, tmp_path / "wrong-1", draws=10)
    assert list(tmp_path.iterdir()) == []
