"""What ``difficulty train`` makes of traffic whose outcomes, or tasks, are changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from difficulty.diagnostics.signal import Signal
from difficulty.diagnostics.suspicion import LabelSummary, Model, Scope
from difficulty.encoders.base import Encoder
from difficulty.recipe import Recipe
from difficulty.stages.train import train
from difficulty.traffic.stored.tokenized import tokenize
from difficulty.traffic.table import SCHEMA, Traffic, pa, pq
from difficulty.training.run import Run
from difficulty.training.shipped import find_encoder

N_DRAWS = 20
"""Of the test metrics that training writes; nothing here reads their intervals."""


def changed(traffic: Traffic, **columns: Sequence[Any] | np.ndarray) -> Traffic:
    """Return the traffic with the values of some columns in the place of its own; NaN and ``None``
    are unknown.
    """
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "traffic.parquet"
        traffic.write(path)
        table = pq.read_table(path)
    for name, values in columns.items():
        column = pa.array(values, type=SCHEMA.field(name).type, from_pandas=True)
        table = table.set_column(SCHEMA.get_field_index(name), SCHEMA.field(name), column)
    return Traffic(table)


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """What a run says of its labels, and its scores of the test samples."""

    labels: LabelSummary
    signal: Signal
    suspicious: list[dict[str, Any]]
    """The report of suspicious labels, one entry a label."""
    ids: list[str]
    """The test samples."""
    with_task: np.ndarray
    """``difficulty_score`` of the test samples, with their tasks; shape (n,)."""
    without_task: np.ndarray
    """The same on the text alone."""
    p_cheap_fails: np.ndarray

    def listed(self, scope: Scope, model: Model | None = None) -> set[str]:
        """Return the ids of the samples that are suspicious in a scope, for the outcome of one
        model or of any.
        """
        return {
            one["id"]
            for one in self.suspicious
            if one["scope"] == scope and model in (None, one["model"])
        }


@dataclass(frozen=True, eq=False)
class Training:
    """Trains a recipe as the command does, without the learning curve and the advice on unseen
    tasks.
    """

    recipe: Recipe
    encoder: Encoder

    @classmethod
    def of(cls, recipe: Recipe) -> Training:
        """Find what the recipe reads texts with."""
        return cls(recipe, find_encoder(recipe.features))

    def run(
        self, traffic: Traffic, *, seed: int, row_weight: float = 1.0, group_weight: float = 1.0
    ) -> TrainedRun:
        """Train on traffic; the seed splits it and deals the folds, the weights are those of
        suspicious labels. Single ones are listed whatever the weight.

        Raises
        ------
        TooFewSamplesError, TrafficError
            If training refuses the traffic.
        """
        # Just below 1 they are looked for, and weigh the same.
        row_weight = min(row_weight, float(np.nextafter(1.0, 0.0)))
        weights = {"row_weight": row_weight, "group_weight": group_weight}
        labels = replace(self.recipe.labels, **weights)
        recipe = replace(self.recipe, seed=seed, labels=labels)
        with TemporaryDirectory() as scratch:
            path, out = Path(scratch) / "traffic.parquet", Path(scratch) / "run"
            traffic.write(path)
            run, _ = train(
                path,
                out,
                recipe=recipe,
                encoder=self.encoder,
                more_labels=False,
                unseen_tasks=False,
                draws=N_DRAWS,
            )
            return _read(run)


def _read(run: Run) -> TrainedRun:
    tokens = tokenize(run.test, view=run.view, tokenizer=run.tokenizer)
    with_task = run.model.predict(tokens.ids, tokens.tasks)
    without_task = run.model.predict(tokens.ids)
    lines = (run.folder / "suspicious.jsonl").read_text(encoding="ascii").splitlines()
    labels, signal = run.record.labels, run.record.signal
    assert labels  # only runs of earlier versions lack either
    assert signal
    return TrainedRun(
        labels=labels,
        signal=signal,
        suspicious=[json.loads(line) for line in lines],
        ids=run.test.ids,
        with_task=with_task.difficulty_score,
        without_task=without_task.difficulty_score,
        p_cheap_fails=with_task.p_cheap_fails,
    )
