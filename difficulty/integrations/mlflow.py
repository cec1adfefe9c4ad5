"""MLflow: record training runs. The one module that names mlflow."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Mapping
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
        self.experiment = experiment
        self.artifacts = artifacts
        try:
            self.client = MlflowClient(tracking_uri=uri)
            self._experiment_id()
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
    ) -> None:
        """Record a finished run with its model, metrics and lineage; the user's texts in the run
        folder are not uploaded.

        Raises
        ------
        TrackingError
            If the store refuses; the run folder stays.
        """
        try:
            self._record(folder, name=name, parameters=parameters, metrics=metrics, tags=tags)
        except MlflowException as error:
            raise TrackingError(
                f"run {str(folder)!r} is written, but MLflow at {self.uri!r} did not record it:"
                f" {error}."
            ) from error

    def _record(
        self,
        folder: Path,
        *,
        name: str,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
    ) -> None:
        run = self.client.create_run(self._experiment_id(), run_name=name, tags=dict(tags))
        run_id = run.info.run_id
        try:
            for key, value in parameters.items():
                self.client.log_param(run_id, key, str(value)[:_LONGEST_VALUE])
            for key, value in metrics.items():
                self.client.log_metric(run_id, key, value)
            for file in ("run.json", "model.json", "model.npz", "metrics.json"):
                self.client.log_artifact(run_id, str(folder / file), artifact_path="run")
        except BaseException:
            self.client.set_terminated(run_id, status="FAILED")
            raise
        self.client.set_terminated(run_id)

    def _experiment_id(self) -> str:
        found = self.client.get_experiment_by_name(self.experiment)
        if found:
            return str(found.experiment_id)
        location = self.artifacts.resolve().as_uri() if self.artifacts else None
        return str(self.client.create_experiment(self.experiment, artifact_location=location))


class DecisionModel:
    """What MLflow calls: requests in, decisions out.

    Parameters
    ----------
    router : Router
    """

    def __init__(self, router: Router) -> None:
        self.router = router

    def predict(
        self, model_input: Any, params: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Return the decision for each request, as ``difficulty route`` writes them.

        Parameters
        ----------
        model_input : DataFrame or list of dict
            A request a row: ``messages`` or ``prompt``, and optionally ``id``, ``task`` and
            ``prompt_tokens``.
        params : mapping, optional
            Not used.
        """
        rows = [
            request_row(_known(form), number)
            for number, form in enumerate(_records(model_input), 1)
        ]
        return list(route_rows(self.router, rows))


def _records(model_input: Any) -> Iterable[Any]:
    if hasattr(model_input, "to_dict"):  # a pandas DataFrame
        return model_input.to_dict(orient="records")  # type: ignore[no-any-return]
    return [model_input] if isinstance(model_input, Mapping) else model_input


def _known(form: Any) -> Any:
    """Undo what a table does to rows of different keys: absent values are NaN there, and counts
    beside them have become floats.
    """
    if not isinstance(form, Mapping):
        return form
    known = {
        key: value
        for key, value in form.items()
        if not (isinstance(value, float) and math.isnan(value))
    }
    count = known.get("prompt_tokens")
    return (
        {**known, "prompt_tokens": int(count)}
        if isinstance(count, float) and count.is_integer()
        else known
    )


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
        requirements = [f"difficulty=={__version__}"]
        save_model(
            str(folder),
            loader_module=__name__,
            data_path=str(checked),
            pip_requirements=requirements,
        )


MLFLOW_MODEL = Layout(
    write=_write, next_step="mlflow models serve -m {folder} --env-manager local --port 5000"
)
