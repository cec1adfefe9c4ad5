"""The encoder with its heads and its loss, trained by the trainer of transformers. Needs torch.

:mod:`~difficulty.encoders.finetune` says what the loss is. The trainer is the one that the trainer
of sentence-transformers derives from: the derived one leaves a loss's own weights, here the heads,
out of its checkpoints, and reads texts, where we have token ids in a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import accelerate  # noqa: F401  # transformers asks for it only once training begins
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from difficulty.encoders.base import TUNED_HEADS, TuningData
from difficulty.encoders.sentence import embedding_length, load_sentence_encoder
from difficulty.encoders.transformer import Frame
from difficulty.errors import EncoderError
from difficulty.recipe import FinetuneSettings
from difficulty.tokens import pad

FloatArray = NDArray[np.float64]
Rows = NDArray[np.intp]
Say = Callable[[str], None]
_HEAD_RATE = 20.0
"""How many times faster heads learn than the encoder: they start from nothing."""
_WARM_UP = 0.1
_WEIGHT_DECAY = 0.01
_BUCKET = 50
_SAVE_EVERY = 50


def train(
    folder: Path,
    data: TuningData,
    checkpoints: Path,
    *,
    settings: FinetuneSettings,
    frame: Frame,
    seed: int,
    say: Callable[[str], None],
) -> OutcomeModel:
    """Return a sentence-transformers encoder with heads as they were after their best epoch.

    Where ``torch.distributed`` is ready, each of its processes trains on a part of every batch.
    What an interrupted call left in ``checkpoints`` is gone on from; the weights come out the same.

    Raises
    ------
    EncoderError
        If a checkpoint cannot be read, or processes see different ones.
    """
    torch.manual_seed(seed)
    rank, world = _place()
    batches = Batches(data, frame)
    seen, unseen = data.rows
    model = OutcomeModel(
        load_sentence_encoder(folder, attention="sdpa"),
        data.failure[seen],
        n_tasks=len(batches.tasks),
        settings=settings,
    )
    heads = [*model.outcome_head.parameters(), *model.task_head.parameters()]
    groups = [
        {"params": [value for value in model.encoder.parameters() if value.requires_grad]},
        {"params": heads, "lr": _HEAD_RATE * settings.learning_rate},
    ]
    optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=_WEIGHT_DECAY)
    # All epochs in one list: the seed alone decides the order, however often training is resumed.
    steps = [
        # Processes take the mean of their gradients.
        (part, world * weight / data.weight[rows].sum())
        for epoch in range(settings.epochs)
        for rows in batches.shuffled(seen, settings.batch_size, [seed, epoch])
        for part, weight in _parted(rows, data.weight[rows], world)
    ]
    held_out = batches.by_length(unseen, settings.batch_size)
    # the trainer takes the mean of batches
    per_batch = data.weight[unseen].sum() / max(1, len(held_out) * world)
    watch = _Watch(say)
    epoch = len(steps) // (settings.epochs * world)
    # What is dropped of a vector is drawn by each process for itself.
    arguments = _arguments(checkpoints, seed=seed + rank, epoch=epoch, judged=bool(held_out))
    trainer = Trainer(
        model=model,
        args=arguments,
        data_collator=batches,
        train_dataset=steps,
        eval_dataset=[
            (part, weight / per_batch)
            for rows in held_out
            for part, weight in _parted(rows, data.weight[rows], world)
        ]
        or None,
        callbacks=[watch],
        optimizers=(optimiser, None),
    )
    trainer.remove_callback(PrinterCallback)
    last = last_checkpoint(checkpoints)
    _refuse_differing(last, world)
    try:
        trainer.train(resume_from_checkpoint=last and str(last))
    except Exception as error:  # torch, safetensors and json raise many kinds
        if last is None or watch.stepped:
            raise
        raise EncoderError(
            f"checkpoint {str(last)!r} cannot be read ({type(error).__name__}). Remove "
            f"{str(checkpoints)!r} to start again."
        ) from error
    best = trainer.state.best_model_checkpoint
    model.epochs = int(best.rpartition("-")[2]) // epoch if best else settings.epochs
    return model


def write_trained(
    folder: Path, data: TuningData, checkpoints: Path, *, say: Say = lambda _: None, **how: Any
) -> Path:
    """Train as :func:`train` does and write the encoder and its heads; return the folder, which is
    among the checkpoints.
    """
    model = train(folder, data, checkpoints, say=say, **how)
    trained = checkpoints / "trained"
    rank, world = _place()
    if rank == 0:
        weights, bias = model.heads()
        model.encoder.save_pretrained(str(trained))
        np.savez(trained / TUNED_HEADS, weights=weights, bias=bias, epochs=model.epochs)
    if world > 1:
        torch.distributed.barrier()
    return trained


def _place() -> tuple[int, int]:
    """Return the number of this process among those that train together, and how many they are."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def _parted(rows: Rows, weight: FloatArray, world: int) -> list[tuple[Rows, FloatArray]]:
    """Return a batch in a part for each process, those of like length spread over them."""
    parts = [(rows[rank::world], weight[rank::world]) for rank in range(world)]
    # None may be without rows: one that counts nothing stands in.
    return [part if len(part[0]) else (rows[:1], np.zeros(1)) for part in parts]


def _refuse_differing(last: Path | None, world: int) -> None:
    if world == 1:
        return
    seen: list[str | None] = [None] * world
    torch.distributed.all_gather_object(seen, last and last.name)
    if len({*seen}) > 1:
        raise EncoderError(
            "workers that train together must see the same checkpoints: got"
            f" {', '.join(map(str, seen))}. Pass a --cache on storage that all machines share."
        )


def last_checkpoint(folder: Path) -> Path | None:
    """Return the last checkpoint that is whole: ``trainer_state.json`` is written last."""
    paths = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json")]
    return max(paths, key=lambda path: int(path.name.partition("-")[2]), default=None)


class OutcomeModel(torch.nn.Module):  # type: ignore[misc]  # torch counts as untyped
    """An encoder with a linear head for both outcomes and one for the task.

    The outcome head starts at the rates of ``failure``, of shape (n, 2): what is trained on.
    """

    _keys_to_ignore_on_save = None  # asked for when a checkpoint lacks weights, here frozen ones
    epochs: int
    """Epochs after which the weights were kept."""

    def __init__(
        self, encoder: Any, failure: FloatArray, *, n_tasks: int, settings: FinetuneSettings
    ) -> None:
        super().__init__()
        self.encoder, self.settings = encoder, settings
        _freeze(encoder[0].auto_model, settings.frozen_layers)
        dim = embedding_length(encoder)
        self.scale = float(np.sqrt(dim))
        self.outcome_head = torch.nn.Linear(dim, 2)
        self.task_head = torch.nn.Linear(dim, max(1, n_tasks))
        n_known = (~np.isnan(failure)).sum(axis=0)
        rates = np.where(n_known > 0, np.nansum(failure, axis=0) / np.maximum(n_known, 1), 0.5)
        rates = rates.clip(0.01, 0.99)
        with torch.no_grad():
            self.outcome_head.weight.zero_()
            self.outcome_head.bias.copy_(torch.as_tensor(np.log(rates / (1 - rates))))

    def forward(
        self, input_ids: Any, attention_mask: Any, failure: Any, gain: Any, task: Any, weight: Any
    ) -> dict[str, Any]:
        """Return the weighted sum of the requests' losses; the task counts in training alone."""
        vectors = self.embed(input_ids, attention_mask)
        logits = self.outcome_head(vectors)
        cross = functional.binary_cross_entropy_with_logits(
            logits, torch.nan_to_num(failure), reduction="none"
        )
        chances = torch.sigmoid(logits)
        error = torch.nan_to_num(chances[:, 0] - chances[:, 1] - gain) ** 2
        each = (cross * ~torch.isnan(failure)).sum(dim=1)
        each = each + self.settings.gain_weight * error * ~torch.isnan(gain)
        if self.training and self.settings.task_weight and bool((task >= 0).any()):
            guess = functional.cross_entropy(
                self.task_head(vectors), task, ignore_index=-1, reduction="none"
            )
            each = each + self.settings.task_weight * guess
        return {"loss": (each * weight).sum()}

    def embed(self, input_ids: Any, attention_mask: Any) -> Any:
        """Return vectors as long as the root of their size, which usual heads can read."""
        device = input_ids.device.type
        with torch.autocast(device, dtype=torch.bfloat16, enabled=_has_bfloat16(device)):
            features = self.encoder({"input_ids": input_ids, "attention_mask": attention_mask})
        return self.scale * functional.normalize(features["sentence_embedding"].float(), dim=1)

    def heads(self) -> tuple[FloatArray, FloatArray]:
        """Return weights of shape (dim, 2) and bias of shape (2,) for unit vectors."""
        tensors = self.outcome_head.parameters()
        weight, bias = (value.detach().cpu().numpy().astype(np.float64) for value in tensors)
        return self.scale * weight.T, bias

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return what is trained; frozen weights would double the size of a checkpoint."""
        names = {name for name, value in self.named_parameters() if value.requires_grad}
        state = super().state_dict(*args, **kwargs)
        return {name: value for name, value in state.items() if name in names}


class Batches:
    """Batches of requests of like length; called, reads what the trainer takes for one sample."""

    def __init__(self, data: TuningData, frame: Frame) -> None:
        self.data = data
        self.framed = [frame(row) for row in data.ids]
        self.lengths = np.array([len(row) for row in self.framed])
        self.tasks = sorted({task for task in data.tasks if task is not None})
        places = {None: -1} | {task: place for place, task in enumerate(self.tasks)}
        self.task = np.array([places[task] for task in data.tasks], dtype=np.int64)

    def __call__(self, samples: list[tuple[Rows, FloatArray]]) -> dict[str, Any]:
        """Return the tensors of rows with their weights."""
        ((rows, weight),) = samples
        input_ids, mask = pad([self.framed[row] for row in rows])
        arrays = {"input_ids": input_ids, "attention_mask": mask, "task": self.task[rows]}
        numbers = {
            "failure": self.data.failure[rows],
            "gain": self.data.gain[rows],
            "weight": weight,
        }
        arrays |= {name: value.astype(np.float32) for name, value in numbers.items()}
        return {name: torch.as_tensor(value) for name, value in arrays.items()}

    def by_length(self, rows: Rows, size: int) -> list[Rows]:
        """Return rows in batches, the shortest first."""
        return _split(rows[np.argsort(self.lengths[rows], kind="stable")], size)

    def shuffled(self, rows: Rows, size: int, seed: list[int]) -> list[Rows]:
        """Return rows in batches in random order, of like length within each 50 batches."""
        rng = np.random.default_rng(seed)
        buckets = _split(rng.permutation(rows), size * _BUCKET)
        batches = [batch for bucket in buckets for batch in self.by_length(bucket, size)]
        return [batches[place] for place in rng.permutation(len(batches))]


class _Watch(TrainerCallback):  # type: ignore[misc]  # transformers counts as untyped
    """Says how far training is, and asks for checkpoints within an epoch."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.stepped = False

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.stepped = True  # so a checkpoint was read, if there was one

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        where = args.device.type
        self.say(f"fine-tuning: step {state.global_step:,} of {state.max_steps:,} on {where}")
        control.should_save |= state.global_step % _SAVE_EVERY == 0


def _arguments(checkpoints: Path, *, seed: int, epoch: int, judged: bool) -> TrainingArguments:
    """Return how to train; after every ``epoch`` steps the held-out batches are scored, where there
    are some.
    """
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=1,
        per_device_train_batch_size=1,  # what the trainer takes for samples are our batches
        per_device_eval_batch_size=1,
        train_sampling_strategy="sequential",
        warmup_steps=_WARM_UP,  # below 1: a share of all steps
        eval_strategy="steps" if judged else "no",
        eval_steps=epoch,
        save_strategy="steps",
        save_steps=epoch,
        save_total_limit=2,  # the best and the last
        load_best_model_at_end=judged,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        label_names=["failure"],
        prediction_loss_only=True,
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=True,  # a part without any task leaves that head out
        use_cpu=not torch.cuda.is_available(),
        seed=seed,
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # several would split batches, and their weights
    return arguments


def _split(rows: Rows, size: int) -> list[Rows]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _freeze(transformer: Any, frozen_layers: int) -> None:
    """Freeze token embeddings and the first layers."""
    for name, value in transformer.named_parameters():
        layer = next((int(part) for part in name.split(".") if part.isdigit()), None)
        frozen = "embeddings" in name if layer is None else layer < frozen_layers
        value.requires_grad = not frozen


def _has_bfloat16(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported())
