"""Saving and loading a fitted model without pickle: ``model.json`` for what is said, ``model.npz``
for the arrays.

``MODEL_FORMAT`` is raised when either changes its meaning; :func:`load_model` refuses numbers it
does not know.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from difficulty.channels import describe, load_channel, task_channels_of
from difficulty.channels.heads import LinearHead
from difficulty.encoders.base import Encoder
from difficulty.errors import RunError
from difficulty.model.calibration import Calibrator
from difficulty.model.combination import Combination, GainWeights, OutcomeStack
from difficulty.model.continuing import speaking_of
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.familiarity import Familiarity, Percentile, Topic, Wording
from difficulty.model.fitted_channel import FittedChannel

MODEL_FORMAT = 2
Arrays = dict[str, NDArray[Any]]
# by the names that they have in model.npz since its first version
_COMBINATIONS = {"blind": "without_task_", "informed": "with_task_", "told": "beside_task_"}


def save_model(model: DifficultyModel, folder: Path) -> None:
    """Write ``model.json`` and ``model.npz`` into an existing folder; encoders are not copied,
    their digest is written.
    """
    arrays: Arrays = {}
    for channel in model.all_channels:
        fitted = model.fitted_[channel.name]
        # what has more than one array has a name for each
        if isinstance(fitted.state, dict):
            arrays |= {f"{channel.name}.state.{key}": one for key, one in fitted.state.items()}
        elif fitted.state is not None:
            arrays[f"{channel.name}.state"] = fitted.state
        _put_head(arrays, f"{channel.name}.cheap", fitted.cheap)
        _put_head(arrays, f"{channel.name}.frontier", fitted.frontier)
        _put_head(arrays, f"{channel.name}.gain", fitted.gain)
    for name, attribute in _COMBINATIONS.items():
        _put_combination(arrays, name, getattr(model, attribute))
    _put_familiarity(arrays, model.familiarity_)
    content = {
        "format": MODEL_FORMAT,
        "target": model.target,
        "tasks": list(model.tasks.tasks) if model.tasks else [],
        "channels": [describe(channel) for channel in model.channels],
    }
    (folder / "model.json").write_text(
        json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    np.savez_compressed(folder / "model.npz", **arrays)  # type: ignore[arg-type]


def load_model(folder: Path, *, encoder: Encoder | None = None) -> DifficultyModel:
    """Read a model written by :func:`save_model`.

    Parameters
    ----------
    folder : Path
        The folder that holds the two files.
    encoder : Encoder, optional
        Needed when the model reads embeddings; its digest must be the one it was fitted with.

    Raises
    ------
    RunError
        If a file is missing or damaged, the format is unknown, or the encoder is another one.
    """
    if not (folder / "model.json").is_file() or not (folder / "model.npz").is_file():
        raise RunError(
            f"no model in {str(folder)!r}: model.json or model.npz is missing. Train again."
        )
    content = _read_json(folder / "model.json")
    arrays = read_arrays(folder / "model.npz")
    channels = [load_channel(entry, encoder) for entry in content["channels"]]
    model = DifficultyModel(
        channels,
        # as the run was built: what knows the gain alone has no head for a failure
        task_channels=speaking_of(task_channels_of(channels, content["tasks"]), content["target"]),
        target=content["target"],
    )
    model.fitted_ = {
        channel.name: _get_channel(arrays, channel.name) for channel in model.all_channels
    }
    for name, attribute in _COMBINATIONS.items():
        setattr(model, attribute, _get_combination(arrays, name))
    if model.without_task_ is None:
        raise RunError(
            f"the model in {str(folder)!r} has no head for the cheap model. Train again."
        )
    model.familiarity_ = _get_familiarity(arrays)
    return model


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        number = content["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"model file {str(path)!r} cannot be read ({error}). Train again."
        ) from error
    if number != MODEL_FORMAT:
        raise RunError(
            f"model format {number!r} is not the one this version reads ({MODEL_FORMAT}). Train"
            " again."
        )
    return content


def read_arrays(path: Path) -> Arrays:
    """Return the arrays of an npz file; a damaged one is refused with ``RunError``."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return dict(stored)
    except (ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise RunError(
            f"model file {str(path)!r} cannot be read ({error}). Train again."
        ) from error


def _put_head(arrays: Arrays, name: str, head: LinearHead | None) -> None:
    if head is not None:
        arrays[f"{name}.coefficients"] = head.coefficients
        arrays[f"{name}.intercept"] = np.array(head.intercept)


def get_head(arrays: Arrays, name: str) -> LinearHead | None:
    """Return the head that stands under a name; ``None`` where there is none."""
    if f"{name}.coefficients" not in arrays:
        return None
    return LinearHead(arrays[f"{name}.coefficients"], float(arrays[f"{name}.intercept"]))


def _get_channel(arrays: Arrays, name: str) -> FittedChannel:
    cheap, frontier, gain = (
        get_head(arrays, f"{name}.{what}") for what in ("cheap", "frontier", "gain")
    )
    if cheap is None and gain is None:
        raise RunError(f"model.npz lacks the head {name}.cheap. Train again.")
    prefix = f"{name}.state."
    parts = {key.removeprefix(prefix): one for key, one in arrays.items() if key.startswith(prefix)}
    return FittedChannel(parts or arrays.get(f"{name}.state"), cheap, frontier, gain)


def _put_combination(arrays: Arrays, name: str, combination: Combination | None) -> None:
    if combination is None:
        return
    _put_outcome(arrays, f"{name}.cheap", combination.cheap)
    _put_outcome(arrays, f"{name}.frontier", combination.frontier)
    if combination.gain:
        arrays[f"{name}.gain.weights"] = combination.gain.weights
        arrays[f"{name}.gain.intercept"] = np.array(combination.gain.intercept)
        _put_calibrator(arrays, f"{name}.gain", combination.score_calibrator)


def _get_combination(arrays: Arrays, name: str) -> Combination | None:
    cheap = _get_outcome(arrays, f"{name}.cheap")
    if cheap is None:
        return None
    frontier = _get_outcome(arrays, f"{name}.frontier")
    if f"{name}.gain.weights" not in arrays:
        return Combination(cheap=cheap, frontier=frontier, gain=None)
    gain = GainWeights(arrays[f"{name}.gain.weights"], float(arrays[f"{name}.gain.intercept"]))
    return Combination(
        cheap=cheap,
        frontier=frontier,
        gain=gain,
        score_calibrator=_get_calibrator(arrays, f"{name}.gain"),
    )


def _put_familiarity(arrays: Arrays, familiarity: Familiarity | None) -> None:
    if familiarity is None:
        return
    _put_percentile(arrays, "familiarity", familiarity.joint)
    if familiarity.topic:
        arrays["familiarity.topic.centres"] = familiarity.topic[0].centres
        _put_percentile(arrays, "familiarity.topic", familiarity.topic[1])
    if familiarity.wording:
        arrays["familiarity.wording.log_share"] = familiarity.wording[0].log_share
        _put_percentile(arrays, "familiarity.wording", familiarity.wording[1])
    if familiarity.extent:
        _put_percentile(arrays, "familiarity.extent", familiarity.extent)


def _get_familiarity(arrays: Arrays) -> Familiarity | None:
    if "familiarity.knots" not in arrays:
        return None
    topic = wording = None
    if (centres := arrays.get("familiarity.topic.centres")) is not None:
        topic = Topic(centres), _get_percentile(arrays, "familiarity.topic")
    if (log_share := arrays.get("familiarity.wording.log_share")) is not None:
        wording = Wording(log_share), _get_percentile(arrays, "familiarity.wording")
    if topic is None and wording is None:
        raise RunError("model.npz has a familiarity without a measure. Train again.")
    # Models of before have none.
    has_extent = "familiarity.extent.knots" in arrays
    extent = _get_percentile(arrays, "familiarity.extent") if has_extent else None
    return Familiarity(topic, wording, _get_percentile(arrays, "familiarity"), extent)


def _put_percentile(arrays: Arrays, name: str, percentile: Percentile) -> None:
    arrays[f"{name}.knots"], arrays[f"{name}.values"] = percentile.knots, percentile.values


def _get_percentile(arrays: Arrays, name: str) -> Percentile:
    return Percentile(arrays[f"{name}.knots"], arrays[f"{name}.values"])


def _put_outcome(arrays: Arrays, name: str, outcome: OutcomeStack | None) -> None:
    if outcome is not None:
        _put_head(arrays, f"{name}.stack", outcome.stack)
        _put_calibrator(arrays, name, outcome.calibrator)


def _get_outcome(arrays: Arrays, name: str) -> OutcomeStack | None:
    stack = get_head(arrays, f"{name}.stack")
    return OutcomeStack(stack, _get_calibrator(arrays, name)) if stack else None


def _put_calibrator(arrays: Arrays, name: str, calibrator: Calibrator) -> None:
    arrays[f"{name}.sigmoid"] = np.array([calibrator.slope, calibrator.intercept])
    arrays[f"{name}.knots"], arrays[f"{name}.values"] = calibrator.knots, calibrator.values


def _get_calibrator(arrays: Arrays, name: str) -> Calibrator:
    slope, intercept = arrays[f"{name}.sigmoid"]
    return Calibrator(
        float(slope), float(intercept), arrays[f"{name}.knots"], arrays[f"{name}.values"]
    )
