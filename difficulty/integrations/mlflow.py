"""MLflow: record training runs, and serve a bundle as one of its models."""

from __future__ import annotations

import json
import math
import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from difficulty import __version__
from difficulty.bundle import Bundle
from difficulty.bundle.store import copy_bundle
from difficulty.errors import MissingExtraError, TrackingError
from difficulty.integrations.layouts import Layout
from difficulty.integrations.mlflow_address import (
    find_silence,
    hide_password,
    little_patience,
    tell_refusal,
)
from difficulty.integrations.tracked_step import TrackedData, TrackedRun, TrackedStep
from difficulty.request import request_row
from difficulty.runtime import Router
from difficulty.runtime.service import route_rows

try:
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient
except ImportError as error:  # pragma: no cover - installed without the extra
    raise MissingExtraError("tracking", package="mlflow", extra="track") from error


# The longest value of a parameter that MLflow takes.
_ADDRESS = "MLFLOW_TRACKING_URI"
_LONGEST_VALUE = 6_000
_LONGEST_TAG = 5_000
_LONGEST_DIGEST = 36
# Of the experiment: else MLflow opens the view of traces, of which there are none.
_KIND = {"mlflow.experimentKind": "custom_model_development"}
_MODEL_NAME = "bundle"


class MlflowTracker:
    """Record runs in an MLflow tracking store.

    Parameters
    ----------
    uri : str
        Tracking URI, for example ``sqlite:///mlflow.db`` or a server's address.
    experiment : str, default "difficulty"
        Created when it does not exist.
    artifacts : Path, optional
        Where a local store keeps artifacts, used when the experiment is created; servers have their
        own place.

    Raises
    ------
    TrackingError
        If there is no store at the URI: before training takes its time. A local store that is not
        there yet is made when the first step is recorded, so a step that fails leaves none.
    """

    def __init__(
        self, uri: str, *, experiment: str = "difficulty", artifacts: Path | None = None
    ) -> None:
        self.uri, self.experiment = uri, experiment
        self.recorded: TrackedRun | None = None
        """Where the last step was recorded."""
        self._artifacts = artifacts
        self._is_open = False
        if not _is_to_make(uri):
            self._open()

    def _open(self) -> None:
        if self._is_open:
            return
        hint = "Pass another --tracking-uri, or --no-tracking."
        if silence := find_silence(self.uri):
            raise TrackingError(f"{silence}. {hint}")
        try:
            with little_patience():
                self.client = MlflowClient(tracking_uri=self.uri)
                self._experiment = find_experiment(
                    self.client, self.experiment, artifacts=self._artifacts
                )
        except MlflowException as error:
            raise TrackingError(
                f"MLflow cannot be used at {hide_password(self.uri)}: {tell_refusal(error)}. {hint}"
            ) from error
        self._is_open = True

    def log(self, step: TrackedStep) -> TrackedRun:
        """Record a finished step: its figures with their ends, files, pictures, what it read and,
        where it has one, its bundle as a model.

        Raises
        ------
        TrackingError
            If the store refuses; what the step wrote stays.
        """
        written = f"{step.step} {str(_find_written(step))!r} is written"
        if silence := find_silence(self.uri):  # gone while the step took its time
            raise TrackingError(f"{written}, but not recorded: {silence}.")
        self._open()  # a new store only now
        try:
            with little_patience():
                training = self._find_training(step)
                run = self._record(step, _written_tags(step, training))
        except MlflowException as error:
            raise TrackingError(
                f"{written}, but MLflow at {hide_password(self.uri)} did not record it:"
                f" {tell_refusal(error)}."
            ) from error
        self.recorded = TrackedRun(run, step.name, self.experiment, self.uri, training)
        return self.recorded

    def _record(self, step: TrackedStep, tags: Mapping[str, str]) -> str:
        """Write all of a step into a run of its own, and return the run's id."""
        with recorded_run(self.client, self._experiment, name=step.name, tags=tags) as run:
            self._log_figures(run, step)
            for path, kept_in in step.files:
                self.client.log_artifact(run, str(path), artifact_path=kept_in)
            self._log_pictures(run, step)
            if step.data is not None:
                self.client.log_inputs(run, datasets=[_dataset_input(step.data, step.step)])
            if step.bundle is not None:
                self._log_model(run, step.bundle)
        return run

    def _log_figures(self, run: str, step: TrackedStep) -> None:
        for key, value in step.parameters.items():
            self.client.log_param(run, key, str(value)[:_LONGEST_VALUE])
        for key, figure in step.metrics.items():
            self.client.log_metric(run, key, figure)
        if step.figures:
            rows = [{"figure": name, **figure} for name, figure in step.figures.items()]
            columns = {
                name: [row.get(name) for row in rows]
                for name in ("figure", "value", "low", "high", "n")
            }
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # MLflow's own, of what pandas is to change
                self.client.log_table(run, columns, "figures.json")

    def _log_pictures(self, run: str, step: TrackedStep) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            for name, picture in step.pictures.items():
                path = Path(scratch) / name
                path.write_bytes(picture)
                self.client.log_artifact(run, str(path), artifact_path="pictures")

    def _log_model(self, run: str, folder: Path) -> None:
        """Keep a bundle as a model that ``mlflow models serve`` can serve."""
        import mlflow

        # Models are logged by MLflow's module alone, whose address is the process's.
        before, variable = mlflow.get_tracking_uri(), os.environ.get(_ADDRESS)
        mlflow.set_tracking_uri(self.uri)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # MLflow's own, of its type hints
                with mlflow.start_run(run_id=run, log_system_metrics=False):
                    mlflow.pyfunc.log_model(name=_MODEL_NAME, **_model_parts(folder))
        finally:
            mlflow.set_tracking_uri(before)
            # MLflow sets it, and a later step would take it for ours.
            os.environ.pop(_ADDRESS, None)
            if variable is not None:
                os.environ[_ADDRESS] = variable

    def _find_training(self, step: TrackedStep) -> str | None:
        """Return the id of the run that recorded the training which a step goes on from."""
        if step.step == "train" or step.run_folder is None:
            return None
        # A quote would end the filter's text.
        folder = str(step.run_folder.resolve()).replace("'", "")
        found = self.client.search_runs(
            [self._experiment],
            f"tags.step = 'train' and tags.run_folder = '{folder}'",
            max_results=1,
        )
        return str(found[0].info.run_id) if found else None


def _find_written(step: TrackedStep) -> Path | str:
    """Return what a step has left on this machine."""
    files = step.files[0][0].parent if step.files else ""
    return step.bundle or step.run_folder or files


def _written_tags(step: TrackedStep, training: str | None) -> dict[str, str]:
    folder = {"run_folder": str(step.run_folder.resolve())} if step.run_folder else {}
    link = {"training_run": training} if training else {}
    ours = {"step": step.step, "mlflow.note.content": step.note, "mlflow.source.type": "LOCAL"}
    ours["mlflow.source.name"] = f"difficulty {step.step}"
    tags = {**step.tags, **folder, **link, **ours}
    return {name: value[:_LONGEST_TAG] for name, value in tags.items()}


def _dataset_input(data: TrackedData, context: str) -> DatasetInput:
    """Return what a step read, as MLflow lists it; no row of it is kept."""
    kept = Dataset(
        name=data.path.name,
        digest=data.digest[:_LONGEST_DIGEST],
        source_type="local",
        source=json.dumps({"uri": str(data.path.resolve())}),
        profile=json.dumps({"num_rows": data.rows}),
    )
    name = {"train": "training", "evaluate": "evaluation"}.get(context, context)
    return DatasetInput(kept, tags=[InputTag("mlflow.data.context", name)])


def _is_to_make(uri: str) -> bool:
    """Whether a URI names a file of SQLite that is not there yet, in a folder that is."""
    path = Path(uri.removeprefix("sqlite:///"))
    return uri.startswith("sqlite:///") and not path.exists() and path.parent.is_dir()


def find_experiment(client: MlflowClient, name: str, *, artifacts: Path | None = None) -> str:
    """Return the id of an experiment, made where there is none."""
    experiment = client.get_experiment_by_name(name)
    if experiment:
        for tag, value in _KIND.items():
            if tag not in experiment.tags:
                client.set_experiment_tag(experiment.experiment_id, tag, value)
        return str(experiment.experiment_id)
    location = artifacts.resolve().as_uri() if artifacts else None
    return str(client.create_experiment(name, artifact_location=location, tags=_KIND))


@contextmanager
def recorded_run(
    client: MlflowClient, experiment: str, *, name: str, tags: Mapping[str, str]
) -> Iterator[str]:
    """Give the id of a new MLflow run, which counts as failed where the block does."""
    run = str(client.create_run(experiment, run_name=name, tags=dict(tags)).info.run_id)
    try:
        yield run
    except BaseException:  # Ctrl-C too: else the run would count as under way for good
        with suppress(MlflowException):  # of a server that is gone: the first error says why
            client.set_terminated(run, status="FAILED")
        raise
    client.set_terminated(run)


class DecisionModel:
    """What MLflow calls: requests in, decisions out."""

    def __init__(self, router: Router) -> None:
        self.router = router

    def predict(
        self, model_input: Any, params: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Return the decision for each request, as ``difficulty route`` writes them.

        ``model_input`` is a DataFrame or a list of dict, a request a row: ``messages`` or
        ``prompt``, and optionally ``id``, ``task`` and ``prompt_tokens``.
        """
        rows = (_without_gaps(row) for row in _rows(model_input))
        return list(
            route_rows(
                self.router, [request_row(row, number) for number, row in enumerate(rows, 1)]
            )
        )


def _rows(model_input: Any) -> Iterable[Any]:
    if hasattr(model_input, "to_dict"):  # a pandas DataFrame
        return model_input.to_dict(orient="records")  # type: ignore[no-any-return]
    return [model_input] if isinstance(model_input, Mapping) else model_input


def _without_gaps(row: Any) -> Any:
    """Undo what a table does to rows of different keys."""
    if not isinstance(row, Mapping):
        return row
    # A table holds NaN where a row has no such key.
    entries = {
        key: value
        for key, value in row.items()
        if not (isinstance(value, float) and math.isnan(value))
    }
    # Beside a NaN, counts have become floats.
    count = entries.get("prompt_tokens")
    if isinstance(count, float) and count.is_integer():
        entries["prompt_tokens"] = int(count)
    return entries


def _load_pyfunc(path: str) -> DecisionModel:
    """Load the bundle: MLflow calls this by name."""
    return DecisionModel(Router.load(path))


def _write(bundle: Bundle, folder: Path) -> None:
    try:
        from mlflow.pyfunc import save_model
    except ImportError as error:  # pragma: no cover - installed without the extra
        raise MissingExtraError("an MLflow model", package="mlflow", extra="track") from error
    with tempfile.TemporaryDirectory() as scratch:
        copy_bundle(bundle, checked := Path(scratch) / bundle.label)
        save_model(str(folder), **_model_parts(checked))


def _model_parts(folder: Path) -> dict[str, Any]:
    """Return what MLflow is told of a bundle as a model."""
    return {
        "loader_module": __name__,
        "data_path": str(folder),
        "pip_requirements": [f"difficulty=={__version__}"],
        "signature": _signature(),
        "input_example": _EXAMPLE,
    }


_EXAMPLE = [{"prompt": "Which label fits: invoice or complaint?", "task": "classify"}]


def _signature() -> Any:
    """Return the columns of requests, none of them required, and of decisions."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, DataType, Schema

    # Of any kind: a table holds NaN where a row has no such key, which is no count and no list.
    loose = ("id", "messages", "prompt_tokens", "tools", "checked", "held")
    anything: Any = AnyType
    asked: list[Any] = [ColSpec(anything(), name, required=False) for name in loose]
    asked += [ColSpec(DataType.string, name, required=False) for name in ("prompt", "task")]
    texts = ("id", "route", "model", "reason", "bundle_version")
    numbers = ("difficulty_score", "p_cheap_fails", "p_frontier_fails", "familiarity")
    told: list[Any] = [ColSpec(DataType.string, name) for name in texts]
    told += [ColSpec(DataType.double, name, required=False) for name in (*numbers, "threshold")]
    return ModelSignature(inputs=Schema(asked), outputs=Schema(told))


MLFLOW_MODEL = Layout(
    write=_write, next_step="mlflow models serve -m {folder} --env-manager local --port 5000"
)
