"""MLflow: record training runs. The one module that names mlflow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from difficulty.errors import MissingExtraError, TrackingError

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
