"""A bundle as an MLflow model, for ``mlflow models serve`` and whatever else runs MLflow's
``python_function`` flavor.

    <folder>/MLmodel  data/<the bundle>  requirements.txt ...

Nothing in it is pickled: ``MLmodel`` names this module, which loads the bundle with every check
when the model is loaded.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from difficulty import __version__
from difficulty.bundle import Bundle
from difficulty.bundle.store import copy_bundle
from difficulty.errors import MissingExtraError
from difficulty.integrations.layouts import Layout
from difficulty.runtime import Router
from difficulty.runtime.service import request_row, route_rows


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
