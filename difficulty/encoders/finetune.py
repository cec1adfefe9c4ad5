"""Fine-tuning a sentence-transformers encoder end to end on both models' outcomes.

The encoder is trained with a linear head for each outcome on its unit vector. The loss of a request
is the sum of

- the cross-entropy of each known outcome (graded outcomes are soft labels),
- ``gain_weight`` times the squared error of the expected gain, P(cheap fails) - P(frontier fails),
  against the observed one: that is what routing ranks by, and the noise that both outcomes share
  cancels in it,
- ``task_weight`` times the cross-entropy of the request's task, where it is known: tasks have many
  samples and no noise.

Held-out requests are not trained on. After each epoch they are scored, and the epoch with the least
loss on them is kept; they are also what the encoder's scores are combined with other scores on.
Where none are held out the last epoch is kept. A run that is interrupted goes on where it was. A
GPU is used where there is one; on processors with bfloat16 arithmetic the encoder runs in that.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.encoders.base import TuningData, load_encoder
from difficulty.encoders.sentence import Precision, convert, find_source, weights_digest
from difficulty.encoders.transformer import Frame, TransformerEncoder
from difficulty.errors import MissingExtraError, TooFewSamplesError
from difficulty.recipe import FinetuneSettings
from difficulty.storage import whole_folder

FloatArray = NDArray[np.float64]
_HEADS = "heads.npz"
_LEAST_HELD_OUT = 20
_VERSION = 3
"""Raised when the same data and settings would give another encoder."""


class Tuned(NamedTuple):
    """A fine-tuned encoder and its heads: ``logits = embeddings @ weights + bias``."""

    encoder: TransformerEncoder
    weights: FloatArray
    """Shape (dim, 2): the cheap and the frontier model's failure."""
    bias: FloatArray
    """Shape (2,)."""
    epochs: int
    """Passes over the requests that it was trained on."""


def finetune(
    source: str,
    data: TuningData,
    cache: Path,
    *,
    settings: FinetuneSettings,
    frame: Frame,
    precision: Precision,
    seed: int,
    progress: Callable[[str], None] | None = None,
) -> Tuned:
    """Fine-tune an encoder, convert it, and return it with its heads; what was tuned before on the
    same data is used again.

    Parameters
    ----------
    source : str
        The encoder to start from, as :func:`~difficulty.encoders.sentence.find_source` finds it.
    data : TuningData
    cache : Path
        Where unfinished and finished encoders are kept.
    settings : FinetuneSettings
    frame : Frame
        What the encoder reads of a request.
    precision : {"int8", "float32"}
        Of the converted weights.
    seed : int
    progress : callable, optional
        Told what is being done, in a few words.

    Raises
    ------
    TooFewSamplesError
        If fewer than 20 requests with a known outcome are held out of ``data``, or as few are left
        to train on; 20 to train on are enough where ``data`` holds out none.
    MissingExtraError
        If torch is not installed.
    """
    folder, _ = find_source(source, cache)
    weights_sha256 = weights_digest(folder)
    identity = [_VERSION, weights_sha256, data.digest, repr(settings), repr(frame), precision, seed]
    name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:24]
    out = cache / "tuned" / name
    if not (out / _HEADS).is_file():
        _refuse_too_few(data)
        checkpoints = out.with_suffix(".unfinished")
        model = _import_trainer()(
            folder,
            data,
            checkpoints,
            settings=settings,
            frame=frame,
            seed=seed,
            say=progress or (lambda _: None),
        )
        weights, bias = model.heads()
        origin = {"name": folder.name, "weights_sha256": weights_sha256, "fine_tuned": True}
        with whole_folder(out) as unfinished, TemporaryDirectory(dir=checkpoints) as plain:
            model.encoder.save_pretrained(plain)
            convert(
                Path(plain),
                unfinished,
                max_tokens=frame.max_tokens,
                precision=precision,
                origin=origin,
            )
            np.savez(unfinished / _HEADS, weights=weights, bias=bias, epochs=model.epochs)
        shutil.rmtree(checkpoints)
    encoder = load_encoder(out)
    assert isinstance(encoder, TransformerEncoder)
    with np.load(out / _HEADS, allow_pickle=False) as heads:
        return Tuned(encoder, heads["weights"], heads["bias"], int(heads["epochs"]))


def _refuse_too_few(data: TuningData) -> None:
    seen, unseen = data.rows
    least = min(len(seen), len(unseen)) if data.unseen.any() else len(seen)
    if least < _LEAST_HELD_OUT:
        raise TooFewSamplesError(
            f"fine-tuning needs at least {_LEAST_HELD_OUT} samples to train on and as many held"
            f" out: got {len(seen)} and {len(unseen)}. Use recipe accurate or fast, or add labels."
        )


def _import_trainer() -> Any:
    """Return the training function; it needs torch, which finding a tuned encoder does not."""
    try:
        from difficulty.encoders.trainer import train
    except ImportError as error:
        package = error.name or "torch"
        raise MissingExtraError("fine-tuning", package=package, extra="encoders") from error
    return train
