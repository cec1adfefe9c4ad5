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
loss on them is kept; they are also what the encoder's scores are combined with other scores on. A
run that is interrupted goes on where it was. A GPU is used where there is one; on processors with
bfloat16 arithmetic the encoder runs in that.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.encoders.base import load_encoder
from difficulty.encoders.sentence import (
    Precision,
    convert,
    embedding_length,
    find_source,
    load_sentence_encoder,
    weights_digest,
)
from difficulty.encoders.transformer import Frame, TransformerEncoder
from difficulty.errors import EncoderError, MissingExtraError, TooFewSamplesError

FloatArray = NDArray[np.float64]
_HEADS = "heads.npz"
_LEAST_HELD_OUT = 20
_HEAD_RATE = 20.0
"""How many times faster heads learn than the encoder: they start from nothing."""
_WARM_UP = 0.1
_WEIGHT_DECAY = 0.01
_LARGEST_NORM = 1.0
_BUCKET = 50
_SAVE_EVERY = 50
_VERSION = 1
"""Raised when the same data and settings would give another encoder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningSettings:
    """How an encoder is fine-tuned; the fields are those of the recipe's section
    ``features.finetune``.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    frozen_layers: int
    gain_weight: float
    task_weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningData:
    """n requests to train on.

    Attributes
    ----------
    ids : sequence of n sequences of int
        Token ids of the text, as the encoder's own tokenizer gives them without special tokens.
    failure : ndarray of shape (n, 2)
        Failure of the cheap and of the frontier model in [0, 1], NaN where unknown.
    gain, weight : ndarray of shape (n,)
        Frontier minus cheap quality, NaN where unknown; sample weights.
    unseen : ndarray of shape (n,), bool
        Requests that are held out.
    tasks : sequence of n str or None
    """

    ids: Sequence[Sequence[int]]
    failure: FloatArray
    gain: FloatArray
    weight: FloatArray
    unseen: NDArray[np.bool_]
    tasks: Sequence[str | None]

    @property
    def digest(self) -> str:
        """sha256 of everything that training reads, in hexadecimal."""
        digest = hashlib.sha256(
            json.dumps(
                [[list(map(int, row)) for row in self.ids], self.unseen.tolist(), list(self.tasks)]
            ).encode()
        )
        for array in (self.failure, self.gain, self.weight):
            digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
        return digest.hexdigest()


class Tuned(NamedTuple):
    """A fine-tuned encoder and its heads: ``logits = embeddings @ weights + bias``."""

    encoder: TransformerEncoder
    weights: FloatArray
    """Shape (dim, 2): the cheap and the frontier model's failure."""
    bias: FloatArray
    """Shape (2,)."""


def finetune(
    source: str,
    data: TuningData,
    cache: Path,
    *,
    settings: TuningSettings,
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
    settings : TuningSettings
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
        If fewer than 20 requests with a known outcome are held out, or as few are left to train on.
    MissingExtraError
        If torch is not installed.
    """
    folder, _ = find_source(source)
    said = [
        _VERSION,
        weights_digest(folder),
        data.digest,
        repr(settings),
        repr(frame),
        precision,
        seed,
    ]
    name = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:24]
    made = cache / "tuned" / name
    if not (made / _HEADS).is_file():
        made.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".tuning-", dir=made.parent))
        try:
            checkpoint = cache / "tuned" / f"{name}.unfinished.pt"
            _tune(
                folder,
                data,
                scratch,
                checkpoint,
                settings=settings,
                frame=frame,
                precision=precision,
                seed=seed,
                say=progress,
            )
            scratch.chmod(0o755)
            shutil.rmtree(made, ignore_errors=True)
            scratch.rename(made)
            checkpoint.unlink(missing_ok=True)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    encoder = load_encoder(made)
    assert isinstance(encoder, TransformerEncoder)
    with np.load(made / _HEADS, allow_pickle=False) as heads:
        return Tuned(encoder, heads["weights"], heads["bias"])


def _tune(
    folder: Path,
    data: TuningData,
    out: Path,
    checkpoint: Path,
    *,
    settings: TuningSettings,
    frame: Frame,
    precision: Precision,
    seed: int,
    say: Callable[[str], None] | None,
) -> None:
    """Train, keep the best epoch, and write the converted encoder and its heads."""
    known = ~np.isnan(data.failure).all(axis=1)
    rows, unseen = np.flatnonzero(known & ~data.unseen), np.flatnonzero(known & data.unseen)
    if min(len(rows), len(unseen)) < _LEAST_HELD_OUT:
        raise TooFewSamplesError(
            f"fine-tuning needs at least {_LEAST_HELD_OUT} samples to train on and as many held"
            f" out: got {len(rows)} and {len(unseen)}. Use recipe accurate or fast, or add labels."
        )
    trainer = _Trainer(folder, data, rows, settings=settings, frame=frame, seed=seed)
    trainer.run(unseen, checkpoint, say or (lambda _: None))
    with tempfile.TemporaryDirectory(dir=out.parent) as plain:
        trainer.encoder.save_pretrained(plain)
        origin = {
            "name": str(folder.name),
            "weights_sha256": weights_digest(folder),
            "fine_tuned": True,
        }
        convert(Path(plain), out, max_tokens=frame.max_tokens, precision=precision, origin=origin)
    weights, bias = trainer.heads()
    np.savez(out / _HEADS, weights=weights, bias=bias)


class _Trainer:
    """The encoder with its heads and optimiser; :meth:`run` trains them."""

    def __init__(
        self,
        folder: Path,
        data: TuningData,
        rows: NDArray[np.intp],
        *,
        settings: TuningSettings,
        frame: Frame,
        seed: int,
    ) -> None:
        self.torch = torch = _torch()
        self.settings, self.data, self.rows, self.seed = settings, data, rows, seed
        torch.manual_seed(seed)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.framed = [frame(row) for row in data.ids]
        self.encoder = load_sentence_encoder(folder, attention="sdpa").to(self.device)
        self.trained = _unfrozen(self.encoder, settings.frozen_layers)
        names = sorted({task for task in data.tasks if task is not None})
        self.task = np.array(
            [names.index(task) if task is not None else -1 for task in data.tasks], dtype=np.int64
        )
        dim = embedding_length(self.encoder)
        self.outcome_head = torch.nn.Linear(dim, 2, device=self.device)
        self.task_head = torch.nn.Linear(dim, max(1, len(names)), device=self.device)
        self._start_heads()
        self.steps = settings.epochs * -(-len(rows) // settings.batch_size)
        heads = [*self.outcome_head.parameters(), *self.task_head.parameters()]
        groups = [
            {"params": self.trained},
            {"params": heads, "lr": _HEAD_RATE * settings.learning_rate},
        ]
        self.optimiser = torch.optim.AdamW(
            groups, lr=settings.learning_rate, weight_decay=_WEIGHT_DECAY
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, self._rate)
        self.scale = float(np.sqrt(dim))

    def run(self, unseen: NDArray[np.intp], checkpoint: Path, say: Callable[[str], None]) -> None:
        """Train all epochs, from a checkpoint where there is one, and end with the weights of the
        best.
        """
        step, best, kept = self._resume(checkpoint)
        per_epoch = self.steps // self.settings.epochs
        for epoch in range(self.settings.epochs):
            for number, batch in enumerate(self._batches(epoch), start=epoch * per_epoch):
                if number < step:
                    continue
                self._step(batch)
                step = number + 1
                say(f"fine-tuning: step {step:,} of {self.steps:,}")
                if step % _SAVE_EVERY == 0 and step % per_epoch:
                    self._save(checkpoint, step, best, kept)
            if step == (epoch + 1) * per_epoch and len(kept) <= epoch:
                loss = self._loss_of(unseen)
                kept = [*kept, loss]
                if loss <= min(kept):
                    best = self._weights()
                self._save(checkpoint, step, best, kept)
        self._restore(best)

    def heads(self) -> tuple[FloatArray, FloatArray]:
        """Return weights of shape (dim, 2) and bias of shape (2,) for unit vectors."""
        weight, bias = (
            tensor.detach().cpu().numpy().astype(np.float64)
            for tensor in self.outcome_head.parameters()
        )
        return self.scale * weight.T, bias

    def _start_heads(self) -> None:
        """Start the outcome heads at the rates of failure."""
        failure = self.data.failure[self.rows]
        n_known = (~np.isnan(failure)).sum(axis=0)
        rates = np.where(
            n_known > 0, np.nansum(failure, axis=0) / np.maximum(n_known, 1), 0.5
        ).clip(0.01, 0.99)
        with self.torch.no_grad():
            self.outcome_head.weight.zero_()
            self.outcome_head.bias.copy_(
                self.torch.tensor(np.log(rates / (1 - rates)), dtype=self.torch.float32)
            )

    def _rate(self, step: int) -> float:
        """Return the share of the learning rate: up in the first tenth of the steps, then down to
        0.
        """
        up = _WARM_UP * self.steps
        return (
            min((step + 1) / up, (self.steps - step) / (self.steps - up))
            if step < self.steps
            else 0.0
        )

    def _batches(self, epoch: int) -> Iterator[NDArray[np.intp]]:
        """Yield rows of like length, in an order that the seed and the epoch fix."""
        rng = np.random.default_rng([self.seed, epoch])
        size = self.settings.batch_size
        rows, lengths = rng.permutation(self.rows), np.array([len(row) for row in self.framed])
        batches = []
        for start in range(0, len(rows), size * _BUCKET):
            bucket = rows[start : start + size * _BUCKET]
            bucket = bucket[np.argsort(lengths[bucket], kind="stable")]
            batches += [bucket[place : place + size] for place in range(0, len(bucket), size)]
        for number in rng.permutation(len(batches)):
            yield batches[number]

    def _step(self, rows: NDArray[np.intp]) -> None:
        self.encoder.train()
        loss = self._loss(rows)
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.trained, _LARGEST_NORM)
        self.optimiser.step()
        self.schedule.step()
        self.optimiser.zero_grad()

    def _loss(self, rows: NDArray[np.intp], *, tasks: bool = True) -> Any:
        torch, data = self.torch, self.data
        vectors = self._embed(rows)
        logits = self.outcome_head(vectors)
        weight = self._tensor(data.weight[rows])
        failure, gain = self._tensor(data.failure[rows]), self._tensor(data.gain[rows])
        seen = ~torch.isnan(failure)
        cross = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, torch.nan_to_num(failure), reduction="none"
        )
        each = (cross * seen).sum(dim=1)
        chances = torch.sigmoid(logits)
        error = torch.nan_to_num(chances[:, 0] - chances[:, 1] - gain) ** 2
        each = each + self.settings.gain_weight * error * ~torch.isnan(gain)
        task = torch.as_tensor(self.task[rows], device=self.device)
        if tasks and self.settings.task_weight and bool((task >= 0).any()):
            guess = torch.nn.functional.cross_entropy(
                self.task_head(vectors), task, ignore_index=-1, reduction="none"
            )
            each = each + self.settings.task_weight * guess
        return (each * weight).sum() / weight.sum()

    def _loss_of(self, rows: NDArray[np.intp]) -> float:
        """Return the mean loss of held-out rows, with no dropout and without the tasks."""
        self.encoder.eval()
        ordered = rows[np.argsort([len(self.framed[row]) for row in rows], kind="stable")]
        total = 0.0
        with self.torch.no_grad():
            for start in range(0, len(ordered), self.settings.batch_size):
                some = ordered[start : start + self.settings.batch_size]
                total += float(self._loss(some, tasks=False)) * float(self.data.weight[some].sum())
        return total / float(self.data.weight[rows].sum())

    def _embed(self, rows: NDArray[np.intp]) -> Any:
        """Return unit vectors times the root of their length, so that heads of usual size can read
        them.
        """
        torch = self.torch
        width = max(len(self.framed[row]) for row in rows)
        ids = np.zeros((len(rows), width), dtype=np.int64)
        mask = np.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, : len(self.framed[row])] = self.framed[row]
            mask[place, : len(self.framed[row])] = 1
        read = {
            "input_ids": torch.as_tensor(ids, device=self.device),
            "attention_mask": torch.as_tensor(mask, device=self.device),
        }
        with torch.autocast(
            self.device, dtype=torch.bfloat16, enabled=_has_bfloat16(torch, self.device)
        ):
            found = self.encoder(read)["sentence_embedding"]
        return self.scale * torch.nn.functional.normalize(found.float(), dim=1)

    def _tensor(self, values: FloatArray) -> Any:
        return self.torch.as_tensor(values.astype(np.float32), device=self.device)

    def _weights(self) -> dict[str, Any]:
        """Return a copy of what is trained."""
        tensors = {
            f"encoder.{name}": value
            for name, value in self.encoder.named_parameters()
            if value.requires_grad
        }
        tensors |= {
            f"outcome.{name}": value for name, value in self.outcome_head.named_parameters()
        }
        return {name: value.detach().clone() for name, value in tensors.items()}

    def _restore(self, weights: dict[str, Any]) -> None:
        known = dict(self.encoder.named_parameters())
        with self.torch.no_grad():
            for name, value in weights.items():
                part, _, rest = name.partition(".")
                target = known[rest] if part == "encoder" else getattr(self.outcome_head, rest)
                target.copy_(value)

    def _save(self, path: Path, step: int, best: dict[str, Any], losses: list[float]) -> None:
        """Write where training stands; a crash while writing leaves the checkpoint before."""
        state = {
            "step": step,
            "best": best,
            "losses": losses,
            "trained": self._weights(),
            "task_head": self.task_head.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "random": self.torch.get_rng_state(),
        }
        fresh = path.with_suffix(".new")
        self.torch.save(state, fresh)
        fresh.replace(path)

    def _resume(self, path: Path) -> tuple[int, dict[str, Any], list[float]]:
        """Return the step to go on from, the best weights so far and the losses of finished
        epochs.
        """
        if not path.is_file():
            return 0, {}, []
        try:
            state = self.torch.load(path, weights_only=True, map_location=self.device)
        except Exception as error:  # torch raises many kinds
            raise EncoderError(
                f"checkpoint {str(path)!r} cannot be read ({type(error).__name__}). Remove it to"
                " start again."
            ) from error
        self._restore(state["trained"])
        self.task_head.load_state_dict(state["task_head"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.torch.set_rng_state(state["random"].cpu())
        return int(state["step"]), state["best"], list(state["losses"])


def _unfrozen(encoder: Any, frozen_layers: int) -> list[Any]:
    """Freeze token embeddings and the first layers; return the parameters that are trained."""
    transformer = encoder[0].auto_model
    for name, value in transformer.named_parameters():
        layer = next(
            (int(part) for part in name.split(".") if part.isdigit()),
            -1 if "embeddings" in name else None,
        )
        value.requires_grad = layer is None or layer >= frozen_layers
    return [value for value in encoder.parameters() if value.requires_grad]


def _has_bfloat16(torch: Any, device: str) -> bool:
    return bool(
        torch.cuda.is_bf16_supported()
        if device == "cuda"
        else torch.cpu._is_avx512_bf16_supported()
    )


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("fine-tuning", package="torch", extra="encoders") from error
    return torch
