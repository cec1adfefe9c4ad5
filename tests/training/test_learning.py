import json

from difficulty.stages.train import train
from difficulty.traffic.table import Traffic
from difficulty.training.diagnosis import measure_curve
from difficulty.training.run import Run
from tests.fakes import fit_model, labelled_tokens


def test_curve_of_a_model_ends_at_the_model_itself():
    """The last point is the fitted model, those before it saw an eighth, a quarter and a half of
    the fit samples.
    """
    model = fit_model(n=640)
    curve = measure_curve(
        model, labelled_tokens(640), labelled_tokens(600, seed=9), labels=1_000, seed=0, n_draws=100
    )
    assert [point.parts for point in curve.points] == [4, 2, 2, 1]
    assert [round(point.n_fit, -1) for point in curve.points] == [80, 160, 320, 640]
    assert curve.value == curve.points[-1].value > 0.55
    assert [forecast.labels for forecast in curve.forecasts] == [2_000, 4_000]


def test_curve_of_a_model_for_failure_is_auroc():
    model = fit_model(n=400, target="failure", frontier=False)
    curve = measure_curve(
        model,
        labelled_tokens(400, frontier=False),
        labelled_tokens(400, seed=9, frontier=False),
        labels=800,
        seed=0,
        n_draws=50,
    )
    assert curve.figure == "auroc"
    assert curve.value > 0.6


def test_training_writes_the_curve(journey):
    run = Run.read(journey.run)
    assert run.learning_curve.as_dict() == json.loads(
        (journey.run / "learning_curve.json").read_text()
    )
    assert run.learning_curve.figure == "apgr"
    usable, _ = Traffic.read(journey.traffic).without_forms()
    known = int(usable.outcomes.known.sum())
    assert run.learning_curve.labels == known - run.record.samples.aside
    assert run.learning_curve.sentence.startswith("More labels: ")


def test_training_leaves_the_curve_out_when_told_so(journey, tmp_path):
    run = Run.read(journey.run)
    bare, _ = train(
        journey.traffic,
        tmp_path / "run",
        recipe=run.recipe,
        encoder=run.encoder,
        more_labels=False,
        draws=5,
    )
    assert bare.learning_curve is None
