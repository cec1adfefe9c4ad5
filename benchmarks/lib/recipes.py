"""Our side of the benchmark: a recipe's out-of-fold scores, through the same functions as
``difficulty train``.

Of the requests that a model may learn from 80 % are fitted on and 20 % calibrated on, by group;
nothing else is chosen. Everything that knows how a model is made from a recipe is in
:class:`Trainer`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import difficulty
from benchmarks.lib.experiments import Experiment
from benchmarks.lib.stored import Arrays, digest_of
from difficulty.encoders.base import Encoder
from difficulty.export.graph import build_graph, task_ids
from difficulty.model.difficulty import DifficultyModel
from difficulty.recipe import Recipe
from difficulty.runtime.scorer import Scorer
from difficulty.runtime.session import load_session
from difficulty.storage import DEFAULT_CACHE
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer
from difficulty.traffic.stored.tokenized import Tokenized, tokenize
from difficulty.traffic.table import Traffic
from difficulty.training.assemble import (
    build_model,
    calibration_of,
    known_tasks,
    knows_numbers,
    labelled,
    tune,
)
from difficulty.training.distil import with_opinion
from difficulty.training.run import NamedScores
from difficulty.training.shipped import find_encoder, find_recipe
from difficulty.training.view_learning import learn_view
from difficulty.views.boilerplate import LearnedView

SPLIT = (0.8, 0.2, 0.0)
TEACHER = "accurate"
"""Recipe that a distilled one learns from."""
PARITY_SAMPLE = 1000
"""Requests on which the exported graph is compared with the Python model."""
SPARED = ("bundle", "cli", "economics", "gateway", "integrations", "replay", "report", "thresholds")
"""Rooms that read scores and decide none: a change there keeps the scores that are stored. Named
are these and not the deciding ones, so that a room that is new makes scores come about again.
"""


@dataclass(frozen=True, eq=False)
class Trainer:
    """Makes a recipe's models."""

    recipe: Recipe
    encoder: Encoder
    view: TextView
    tokenizer: RequestTokenizer

    @classmethod
    def of(cls, recipe: Recipe) -> Trainer:
        """Find what a recipe reads texts with."""
        encoder = find_encoder(recipe.features)
        view = TextView(recipe.text.view, max_chars=recipe.text.max_chars)
        return cls(
            recipe,
            encoder,
            view,
            RequestTokenizer.from_file(encoder.tokenizer_path, max_tokens=recipe.text.max_tokens),
        )

    def reading(self, traffic: Traffic, may_learn: NDArray[np.bool_]) -> Trainer:
        """Return the same with what its text view learns from the samples to fit."""
        fit = may_learn & (traffic.splits(SPLIT, self.recipe.seed) == "fit")
        return replace(self, view=learn_view(self.recipe, traffic, np.flatnonzero(fit)))

    def tokenize(self, traffic: Traffic) -> Tokenized:
        """Return the token ids of traffic; a view that has learned nothing yet learns from all of
        it.
        """
        view = self.view
        if view.learned == LearnedView():
            view = learn_view(self.recipe, traffic, np.arange(len(traffic)))
        return tokenize(traffic, view=view, tokenizer=self.tokenizer)

    def fit(
        self, traffic: Traffic, tokens: Tokenized, may_learn: NDArray[np.bool_]
    ) -> DifficultyModel:
        """Return a model, fitted and calibrated on some requests."""
        inner, recipe, encoder, tuned = (
            traffic.splits(SPLIT, self.recipe.seed),
            self.recipe,
            self.encoder,
            None,
        )
        fit = labelled(traffic, tokens, may_learn & (inner == "fit"))
        if recipe.distil:
            names = traffic.select(may_learn & (inner == "fit")).ids
            fit = with_opinion(
                fit, names, self._opinion(traffic, names, may_learn), share=recipe.distil.share
            )
        calibration = labelled(traffic, tokens, may_learn & (inner == "calibration"))
        how = calibration_of(recipe, int(may_learn.sum()))
        learned = fit.joined(calibration) if how == "cross" else fit
        if recipe.features.finetune:
            tuned = tune(recipe, encoder, learned, DEFAULT_CACHE, progress=lambda _: None)
            encoder = tuned.encoder
        model = build_model(
            recipe,
            encoder,
            "benefit",
            tasks=known_tasks(recipe, learned),
            numbers=knows_numbers(recipe, learned),
            tuned=tuned,
            calibration=how,
        )
        return model.fit(fit, calibration)

    def _opinion(
        self, traffic: Traffic, names: list[str], may_learn: NDArray[np.bool_]
    ) -> NamedScores:
        """Return what a teacher thinks of the samples it may learn from, each scored by heads that
        did not see it.
        """
        # as a run that teaches has to be
        teacher = Trainer.of(replace(find_recipe(TEACHER), calibration="split"))
        teacher = teacher.reading(traffic, may_learn)
        model = teacher.fit(traffic, teacher.tokenize(traffic), may_learn)
        return NamedScores(names, model.out_of_fold_.scores)

    def parity(
        self, model: DifficultyModel, traffic: Traffic, tokens: Tokenized
    ) -> NDArray[np.float64]:
        """Return how many requests were compared, the graph's largest difference, and how many
        decisions differ at 30 % frontier.
        """
        scorer = Scorer(
            load_session(build_graph(model).SerializeToString()),
            self.tokenizer,
            self.view,
            task_ids=task_ids(model),
        )
        requests = zip(traffic.messages(), tokens.tasks, traffic.each_tools(), strict=True)
        shipped = scorer.score_many([scorer.encode(*request).ids for request in requests])[
            "difficulty_score"
        ]
        python = model.predict(tokens.ids, tokens.tasks).difficulty_score
        threshold = float(np.quantile(python, 0.7))
        return np.array(
            [
                len(python),
                np.abs(python - shipped).max(),
                ((python > threshold) != (shipped > threshold)).sum(),
            ]
        )


def score_fold(experiment: Experiment, trainer: Trainer, number: int) -> Arrays:
    """Return what a recipe's model of one fold says of that fold's requests.

    ``score`` on the text alone and ``score_task`` with the task told as well, ``p_cheap_fails`` and
    ``p_cheap_fails_task``, ``familiarity``, each of shape (n_rows,); ``parity``; ``train_s`` and
    ``score_s`` in seconds of processor time.
    """
    others, learning = experiment.trained_on, experiment.outcomes.fold != number
    trainer = (
        trainer.reading(experiment.judged, learning)
        if others is None
        else trainer.reading(others, np.full(len(others), True))
    )
    tokens = trainer.tokenize(experiment.judged)
    rows = np.flatnonzero(~learning)
    start = time.process_time()
    if others is None:
        model = trainer.fit(experiment.judged, tokens, learning)
    else:
        model = trainer.fit(others, trainer.tokenize(others), np.full(len(others), True))
    trained = time.process_time()
    picked = tokens.at(rows)
    without_task = model.predict(picked.ids)
    with_task = model.predict(picked.ids, picked.tasks)
    scored = time.process_time()
    few = rows[:PARITY_SAMPLE]
    return {
        "score": without_task.difficulty_score,
        "score_task": with_task.difficulty_score,
        "p_cheap_fails": without_task.p_cheap_fails,
        "p_cheap_fails_task": with_task.p_cheap_fails,
        "familiarity": np.full(len(rows), np.nan)
        if without_task.familiarity is None
        else without_task.familiarity,
        "parity": trainer.parity(model, experiment.judged.select(few), tokens.at(few)),
        "train_s": np.array(trained - start),
        "score_s": np.array((scored - trained) / 2),  # scored twice, without and with the task
    }


def joined(name: str, fold: NDArray[np.int64], parts: Sequence[Arrays]) -> Arrays:
    """Return the folds' scores as a peer would write them, under ``name`` and ``<name>_task``;
    parity is that of the first fold.
    """
    arrays: Arrays = {f"parity__{name}": parts[0]["parity"]}
    for what in ("score", "p_cheap_fails", "familiarity", "score_task", "p_cheap_fails_task"):
        whole = np.full(len(fold), np.nan)
        for number, part in zip(np.unique(fold), parts, strict=True):
            whole[fold == number] = part[what]
        kind, with_task = what.removesuffix("_task"), what.endswith("_task")
        arrays[f"{kind}__{name}_task" if with_task else f"{kind}__{name}"] = whole
    for what in ("train_s", "score_s"):
        arrays |= dict.fromkeys(
            (f"{what}__{name}", f"{what}__{name}_task"), np.array([part[what] for part in parts])
        )
    return arrays


def digest_of_recipe(recipe: Recipe) -> str:
    """Return a hash of the recipe and of the code that decides its scores."""
    package = Path(difficulty.__file__).parent
    paths = [
        path
        for path in sorted(package.rglob("*.py"))
        if path.relative_to(package).parts[0] not in SPARED
    ]
    recipes = [recipe, find_recipe(TEACHER)] if recipe.distil else [recipe]
    return digest_of(
        [*(json.dumps(one.as_dict()) for one in recipes), str(SPLIT)],
        *(path.read_bytes() for path in paths),
    )
