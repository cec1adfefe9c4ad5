"""MLflow: record training runs, and serve a bundle as one of its models."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from difficulty import __version__
from difficulty.bundle import Bundle
from difficulty.bundle.store import copy_bundle
from difficulty.errors import MissingExtraError, TrackingError
from difficulty.integrations.layouts import Layout
from difficulty.request import request_row
from difficulty.runtime import Router
from difficulty.runtime.service import route_rows

try:
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient
except ImportError as error:  # pragma: no cover - installed without the extra
    raise MissingExtraError("tracking", package="mlflow", extra="track") from error


# Named one by one: suspicious.jsonl and the like hold the user's texts.
_TRAINING_FILES = ("run.json", "model.json", "model.npz", "metrics.json")
# The longest value of a parameter that MLflow takes.
_LONGEST_VALUE = 6_000


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
        If there is no store at the URI: before training takes its time.
    """

    def __init__(
        self, uri: str, *, experiment: str = "difficulty", artifacts: Path | None = None
    ) -> None:
        self.uri = uri
        try:
            self.client = MlflowClient(tracking_uri=uri)
            self._experiment = find_experiment(self.client, experiment, artifacts=artifacts)
        except MlflowException as error:
            raise TrackingError(
                f"MLflow cannot be used at {uri!r}: {error}. Pass another --tracking-uri, or"
                " --no-tracking."
            ) from error

    def log(
        self,
        folder: Path,
        *,
        name: str,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        files: Sequence[str] = _TRAINING_FILES,
        kept_in: str = "run",
    ) -> None:
        """Record a finished run with its metrics and lineage, and ``files`` of the folder as
        artifacts in ``kept_in``.

        Raises
        ------
        TrackingError
            If the store refuses; the run folder stays.
        """
        try:
            with recorded_run(self.client, self._experiment, name=name, tags=tags) as run:
                for key, value in parameters.items():
                    self.client.log_param(run, key, str(value)[:_LONGEST_VALUE])
                for key, figure in metrics.items():
                    self.client.log_metric(run, key, figure)
                for file in files:
                    self.client.log_artifact(run, str(folder / file), artifact_path=kept_in)
        except MlflowException as error:
            raise TrackingError(
                f"{kept_in} {str(folder)!r} is written, but MLflow at {self.uri!r} did not record"
                f" it: {error}."
            ) from error


def find_experiment(client: MlflowClient, name: str, *, artifacts: Path | None = None) -> str:
    """Return the id of an experiment, made where there is none."""
    experiment = client.get_experiment_by_name(name)
    if experiment:
        return str(experiment.experiment_id)
    location = artifacts.resolve().as_uri() if artifacts else None
    return str(client.create_experiment(name, artifact_location=location))


@contextmanager
def recorded_run(
    client: MlflowClient, experiment: str, *, name: str, tags: Mapping[str, str]
) -> Iterator[str]:
    """Give the id of a new MLflow run, which counts as failed where the block does."""
    run = str(client.create_run(experiment, run_name=name, tags=dict(tags)).info.run_id)
    try:
        yield run
    except BaseException:  # Ctrl-C too: else the run would count as under way for good
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
        save_model(
            str(folder),
            loader_module=__name__,
            data_path=str(checked),
            pip_requirements=[f"difficulty=={__version__}"],
        )


MLFLOW_MODEL = Layout(
    write=_write, next_step="mlflow models serve -m {folder} --env-manager local --port 5000"
)
