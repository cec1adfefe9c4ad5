import io
import json
import re
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module

import pytest
from rich.console import Console

from difficulty.cli import main
from difficulty.errors import MissingExtraError, TrackingError
from difficulty.evaluation.result import read_metrics
from difficulty.integrations.tracked_step import TrackedStep
from difficulty.report.figures_table import evaluation_table
from difficulty.request import request_row
from difficulty.runtime import Router
from difficulty.runtime.service import route_rows
from difficulty.stages.ship import ship
from difficulty.stages.tracking.recorded_steps import record_shipping
from difficulty.stages.train import train
from difficulty.traffic.table import Traffic
from difficulty.training.run import Run
from tests.journey import forget, recipe_of

MlflowException = pytest.importorskip("mlflow.exceptions").MlflowException
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning",
        "ignore::FutureWarning",
        "ignore::ResourceWarning",
        "ignore:.*Any type hint is inferred:UserWarning",
    ),
]


def type_of_tracker():
    """Return the class as it is now: a test below imports its module anew."""
    return import_module("difficulty.integrations.mlflow").MlflowTracker


def step_of(name, **rest):
    """Return a step with one figure."""
    form = {"step": "train", "note": "", "parameters": {}, "metrics": {"m": 1.0}, "tags": {}}
    return TrackedStep(**{**form, "name": name, **rest})


@pytest.fixture(scope="module")
def store(journey, tmp_path_factory):
    """A run that was trained and recorded in a SQLite store: the tracker, its MLflow run, and the
    run folder.
    """
    folder = tmp_path_factory.mktemp("mlflow")
    tracker = type_of_tracker()(
        f"sqlite:///{folder / 'mlflow.db'}", experiment="tests", artifacts=folder / "artifacts"
    )
    run = Run.read(journey.run)
    recipe = recipe_of(journey.encoder)
    train(
        journey.traffic,
        folder / "run",
        recipe=recipe,
        encoder=run.encoder,
        tracker=tracker,
        draws=5,
    )
    experiment = tracker.client.get_experiment_by_name("tests")
    (recorded,) = tracker.client.search_runs([experiment.experiment_id])
    return tracker, recorded, folder


def test_parameters_metrics_and_data_hash_are_recorded(store, journey):
    _, recorded, folder = store
    data = recorded.data
    assert (recorded.info.status, recorded.info.run_name) == ("FINISHED", "train run (small)")
    assert (
        data.params["features.ngrams.buckets"],
        data.params["seed"],
        data.params["policy.easy_tasks"],
    ) == ("1024", "0", "['classify']")
    assert (data.params["fit"], data.params["calibration"], data.params["test"]) == (
        "464",
        "141",
        "194",
    )
    judged = read_metrics(folder / "run" / "metrics.json").overall
    assert {name: value for name, value in data.metrics.items() if name in judged} == {
        name: estimate.value for name, estimate in judged.items() if estimate.value is not None
    }
    assert data.metrics["low/apgr"] == judged["apgr"].low
    assert {"auroc", "apgr", "cpt_50", "cpt_80", "brier", "ece"} <= set(data.metrics)
    assert "frontier_share" not in data.metrics
    assert data.tags["training_data"] == Traffic.read(journey.traffic).data_hash
    assert (data.tags["target"], data.tags["run_folder"]) == ("benefit", str(folder / "run"))


def test_console_file_and_store_say_the_same_numbers(store):
    """What training prints, what it writes into metrics.json and what MLflow holds."""
    _, recorded, folder = store
    evaluation = read_metrics(folder / "run" / "metrics.json")
    console = Console(file=io.StringIO(), width=200)
    console.print(evaluation_table(evaluation))
    rows = re.findall(
        r"^(\S.*?)  +(-?\d+\.\d+)( %)? \(", console.file.getvalue(), flags=re.MULTILINE
    )
    printed = {label: (number, bool(percent)) for label, number, percent in rows}
    written = json.loads((folder / "run" / "metrics.json").read_text())["overall"]
    for label, name in {
        "APGR": "apgr",
        "AUROC": "auroc",
        "CPT(50 %)": "cpt_50",
        "Brier, p_cheap_fails": "brier",
    }.items():
        number, is_percent = printed[label]
        for value in (written[name]["value"], recorded.data.metrics[name]):
            assert number == (f"{100 * value:.1f}" if is_percent else f"{value:.3f}")
    known = {
        name: figure["value"] for name, figure in written.items() if figure["value"] is not None
    }
    assert known.items() <= recorded.data.metrics.items()


def test_what_was_read_and_what_came_of_it_are_shown(store, journey):
    """The data set by its digest, a note, pictures, a table with intervals; the experiment opens
    among models, not traces.
    """
    tracker, recorded, folder = store
    (read,) = recorded.inputs.dataset_inputs
    assert (read.dataset.name, read.tags[0].value) == (journey.traffic.name, "training")
    assert Traffic.read(journey.traffic).data_hash.startswith(read.dataset.digest)
    assert "test samples" in recorded.data.tags["mlflow.note.content"]
    run_id = recorded.info.run_id
    pictures = {item.path for item in tracker.client.list_artifacts(run_id, "pictures")}
    assert pictures >= {"pictures/calibration.png", "pictures/scores.png"}
    reports = {item.path for item in tracker.client.list_artifacts(run_id, "report")}
    assert reports == {"report/report.html", "report/report.md"}
    (table,) = (folder / "artifacts" / run_id).rglob("figures.json")
    columns = json.loads(table.read_text())
    assert columns["columns"] == ["figure", "value", "low", "high", "n"]
    experiment = tracker.client.get_experiment_by_name("tests")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_shipped_bundle_is_a_model_that_decides(store, journey, tmp_path):
    """With its signature and an example, linked to the training; the process's own address of
    MLflow stays.
    """
    import mlflow

    tracker, recorded, folder = store
    bundle = tmp_path / "small-1"
    shipped = ship(folder / "run", bundle, draws=5)
    before = mlflow.get_tracking_uri()
    told = record_shipping(tracker, shipped, folder / "run", bundle)
    assert mlflow.get_tracking_uri() == before
    assert told.training_run == recorded.info.run_id
    run = tracker.client.get_run(told.run_id)
    assert (run.info.status, run.data.tags["training_run"]) == ("FINISHED", told.training_run)
    assert run.data.tags["bundle"] == "small-1"
    (output,) = run.outputs.model_outputs
    logged = tracker.client.get_logged_model(output.model_id)
    model = mlflow.pyfunc.load_model(logged.artifact_location)
    assert {"messages", "prompt", "task"} <= {*model.metadata.get_input_schema().input_names()}
    asked = [{"prompt": "Which label fits?", "task": "classify"}]
    rows = [request_row(asked[0], 1)]
    assert model.predict(asked) == list(route_rows(Router.load(bundle), rows))


def test_model_and_lineage_are_uploaded_and_texts_are_not(store):
    tracker, recorded, folder = store
    uploaded = {item.path for item in tracker.client.list_artifacts(recorded.info.run_id, "run")}
    assert uploaded == {
        f"run/{name}" for name in ("run.json", "model.json", "model.npz", "metrics.json")
    }
    text = Traffic.read(folder / "run" / "test.parquet").messages()[0][0]["content"][:40].encode()
    run_id = recorded.info.run_id
    files = [path for path in (folder / "artifacts" / run_id).rglob("*") if path.is_file()]
    assert len(files) == 4 + 2 + 1 + 3
    assert not [path for path in [*files, folder / "mlflow.db"] if text in path.read_bytes()]


def test_uploaded_files_are_those_of_the_run(store):
    _, recorded, folder = store
    kept = folder / "artifacts" / recorded.info.run_id
    for name in ("run.json", "model.npz", "metrics.json"):
        (uploaded,) = kept.rglob(name)
        assert uploaded.read_bytes() == (folder / "run" / name).read_bytes()


def test_run_that_cannot_be_recorded_whole_is_marked_failed(store, tmp_path):
    """The folder lacks its files: what was begun does not stay open."""
    tracker, recorded, _ = store
    with pytest.raises(OSError, match=r"run\.json"):
        tracker.log(
            step_of("broken", parameters={"a": "x" * 10_000}, files=[(tmp_path / "run.json", "r")])
        )
    runs = tracker.client.search_runs([recorded.info.experiment_id])
    (broken,) = [run for run in runs if run.info.run_name == "broken"]
    assert broken.info.status == "FAILED"
    assert len(broken.data.params["a"]) == 6_000


def test_store_that_is_none_is_refused_before_training():
    with pytest.raises(
        TrackingError,
        match=(
            r"MLflow cannot be used at 'nonsense://x': .*Pass another --tracking-uri, or"
            r" --no-tracking"
        ),
    ):
        type_of_tracker()("nonsense://x")


def test_store_that_refuses_a_run_says_that_the_run_is_there(store, monkeypatch):
    tracker, _, folder = store

    def refuse(*_, **__):
        raise MlflowException("the disk is full")

    monkeypatch.setattr(tracker.client, "log_metric", refuse)
    with pytest.raises(
        TrackingError,
        match=r"train .* is written, but MLflow at 'sqlite:.*' did not record it: the disk is full",
    ):
        tracker.log(step_of("refused", run_folder=folder / "run"))


def test_missing_package_names_the_extra(monkeypatch):
    forget(monkeypatch, "mlflow")
    monkeypatch.delitem(sys.modules, "difficulty.integrations.mlflow", raising=False)
    with pytest.raises(
        MissingExtraError,
        match=r"tracking needs the package 'mlflow', .* Run: pip install .*\[track\]'",
    ):
        __import__("difficulty.integrations.mlflow")


def test_a_step_that_fails_leaves_no_store(tmp_path):
    """A new store is made when there is something to record; one that cannot be is said at once."""
    file = tmp_path / "mlflow.db"
    tracker = type_of_tracker()(f"sqlite:///{file}", artifacts=tmp_path / "artifacts")
    assert not any(tmp_path.iterdir())
    assert tracker.recorded is None
    with pytest.raises(TrackingError, match="cannot be used"):
        type_of_tracker()("nothing://at/all")


def test_an_evaluation_is_recorded_with_its_verdict(journey, tmp_path, monkeypatch):
    """Answer and reason as tags, figures as metrics, the report as an artifact, but no texts."""
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    for folder, *options in (["plain"], ["texts", "--show-texts"]):
        command = ["evaluate", str(journey.bundle), str(journey.traffic), "-o", folder]
        command += ["--draws", "40", "--tracking-uri", uri, *options]
        monkeypatch.setattr(sys, "argv", ["difficulty", *command])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert not stopped.value.code
    client = type_of_tracker()(uri).client
    experiment = client.get_experiment_by_name("difficulty")
    texts, plain = client.search_runs([experiment.experiment_id])
    judged = read_metrics(tmp_path / "plain" / "metrics.json")
    assert plain.data.tags["verdict"] == judged.verdict.answer
    assert plain.data.tags["verdict_reason"] == judged.verdict.sentence
    assert plain.data.metrics["apgr"] == judged.overall["apgr"].value
    name = f"evaluate {journey.bundle.name} on {journey.traffic.name}"
    assert plain.info.run_name == name
    names = [
        {item.path for item in client.list_artifacts(each.info.run_id, "evaluation")}
        for each in (plain, texts)
    ]
    assert names[0] - names[1] == {"evaluation/report.html"}
    assert {"evaluation/metrics.json", "evaluation/report.md"} <= names[1]


@contextmanager
def serving_faults(status=503):
    """Serve nothing but faults, as an MLflow server in trouble."""

    class Fault(BaseHTTPRequestHandler):
        def log_message(self, *_):
            """Print nothing."""

        def do_GET(self):
            """Fail."""
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET

    with HTTPServer(("127.0.0.1", 0), Fault) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://user:secret@127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_server_that_is_gone_is_said_at_once_in_one_sentence(store, monkeypatch):
    """Before the step, and after it: what was written stays, and no try of MLflow's is printed."""
    tracker, _, folder = store
    gone = r"no MLflow server answers at 'http://127.0.0.1:1' \(Connection refused\)"
    with pytest.raises(TrackingError, match=rf"^{gone}\. Pass another --tracking-uri, or"):
        type_of_tracker()("http://127.0.0.1:1")
    monkeypatch.setattr(tracker, "uri", "http://127.0.0.1:1")
    with pytest.raises(
        TrackingError, match=rf"^train .*run' is written, but not recorded: {gone}\.$"
    ):
        tracker.log(step_of("gone", run_folder=folder / "run"))


def test_a_server_in_trouble_is_not_waited_for(caplog, monkeypatch):
    """Its password stands in no message."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with serving_faults() as uri, pytest.raises(TrackingError) as refused:
        type_of_tracker()(uri)
    said = str(refused.value)
    assert said.startswith("MLflow cannot be used at 'http://127.0.0.1:")
    assert ": it did not answer (too many 503 error responses). Pass another" in said
    for word in ("secret", "\n", "HTTPConnectionPool"):
        assert word not in said
    assert not caplog.records
