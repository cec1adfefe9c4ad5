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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.encoders.base import TUNED_HEADS, TuningData, load_encoder
from difficulty.encoders.sentence import Precision, convert, find_source, weights_digest
from difficulty.encoders.transformer import Frame, TransformerEncoder
from difficulty.engine import Engine, JointEngine
from difficulty.errors import InvalidValueError, MissingExtraError, TooFewSamplesError
from difficulty.recipe import FinetuneSettings
from difficulty.storage import whole_folder

FloatArray = NDArray[np.float64]
_LEAST_HELD_OUT = 20
_VERSION = 3
"""Raised when the same data and settings would give another encoder."""


_ENGINE: ContextVar[JointEngine | None] = ContextVar("engine of fine-tuning", default=None)


@contextmanager
def tuning_on(engine: Engine | None) -> Iterator[None]:
    """Have encoders be fine-tuned by the workers of an engine together, each with a part of every
    batch.

    Parameters
    ----------
    engine : Engine or None
        One whose workers can be one process group of torch; None, or one worker: here.

    Raises
    ------
    InvalidValueError
        If they cannot.
    """
    if engine is not None and not isinstance(engine, JointEngine):
        raise InvalidValueError(
            "the engine of fine-tuning",
            type(engine).__name__,
            rule="have workers that train together",
            hint="Take --engine ray, or tune in this process, which uses all its cores.",
        )
    token = _ENGINE.set(engine if engine is not None and engine.workers > 1 else None)
    try:
        yield
    finally:
        _ENGINE.reset(token)


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
    identity: list[Any] = [_VERSION, weights_sha256, data.digest, repr(settings), repr(frame)]
    identity += [precision, seed]
    engine = _ENGINE.get()
    if engine is not None:
        identity.append(engine.workers)  # sums of gradients, and what is dropped, depend on it
    name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:24]
    out = cache / "tuned" / name
    if not (out / TUNED_HEADS).is_file():
        _refuse_too_few(data)
        checkpoints = out.with_suffix(".unfinished").absolute()
        say = progress or (lambda _: None)
        write = partial(
            _import_trainer(),
            folder.absolute(),  # workers have another folder to begin from
            data,
            checkpoints,
            settings=settings,
            frame=frame,
            seed=seed,
        )
        if engine is None:
            trained = write(say=say)
        else:
            say(f"fine-tuning on {engine.workers} workers together")
            trained = engine.run_together(write)
        origin = {"name": folder.name, "weights_sha256": weights_sha256, "fine_tuned": True}
        with whole_folder(out) as unfinished:
            convert(
                trained, unfinished, max_tokens=frame.max_tokens, precision=precision, origin=origin
            )
            shutil.copyfile(trained / TUNED_HEADS, unfinished / TUNED_HEADS)
        shutil.rmtree(checkpoints)
    encoder = load_encoder(out)
    assert isinstance(encoder, TransformerEncoder)
    with np.load(out / TUNED_HEADS, allow_pickle=False) as heads:
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
        from difficulty.encoders.trainer import write_trained
    except ImportError as error:
        package = error.name or "torch"
        raise MissingExtraError("fine-tuning", package=package, extra="encoders") from error
    return write_trained
