"""Our side of the benchmark: a recipe's out-of-fold scores, through the same functions as ``difficulty train``.

Of the requests that a model may learn from 80 % are fitted on and 20 % calibrated on, by group; nothing else is chosen. Everything that
knows how a model is made from a recipe is in :func:`fit_model`.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.experiments import Experiment
from difficulty.cli.shipped import find_encoder
from difficulty.export.graph import build_graph, task_ids
from difficulty.model.difficulty import DifficultyModel
from difficulty.recipe import Recipe
from difficulty.runtime.scorer import Scorer, load_session
from difficulty.stages.scoring import Tokenized, tokenize
from difficulty.stages.train import build_model, known_tasks, labelled
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer
from difficulty.traffic.table import Traffic

SPLIT = (0.8, 0.2, 0.0)
PARITY_SAMPLE = 1000
"""Requests on which the exported graph is compared with the Python model."""

Arrays = dict[str, NDArray[np.float64]]


class Prepared(NamedTuple):
    """Traffic as a recipe reads it."""

    traffic: Traffic
    tokens: Tokenized


def score_recipe(experiment: Experiment, recipe: Recipe) -> Arrays:
    """Return what a recipe's models say of the judged requests, as a peer would write it.

    ``<name>`` is scored on the text alone, ``<name>_task`` with the task told as well. Beside the scores stand ``p_cheap_fails__<name>``,
    ``familiarity__<name>`` and ``parity__<name>``: requests compared, largest difference between graph and Python model, and how many
    decisions differ.
    """
    judged = prepare(experiment.judged, recipe)
    others = prepare(experiment.trained_on, recipe) if experiment.trained_on else None
    fold = experiment.outcomes.fold
    columns = np.zeros((5, len(fold)))
    train_s, score_s = [], []
    parity = np.zeros(3)
    for number in np.unique(fold):
        start = time.perf_counter()
        learned = others or judged
        model = fit_model(recipe, learned, np.full(len(learned.traffic), True) if others else fold != number)
        trained = time.perf_counter()
        rows = np.flatnonzero(fold == number)
        columns[:, rows] = outputs(model, judged.tokens.at(rows))
        train_s.append(trained - start)
        score_s.append((time.perf_counter() - trained) / 2)  # scored twice, without and with the task
        if not parity[0]:
            parity = parity_of(model, recipe, judged, rows[:PARITY_SAMPLE])
    name, told = recipe.name, f"{recipe.name}_task"
    seconds = {f"{what}__{one}": np.array(s) for what, s in (("train_s", train_s), ("score_s", score_s)) for one in (name, told)}
    keys = (f"score__{name}", f"score__{told}", f"p_cheap_fails__{name}", f"p_cheap_fails__{told}", f"familiarity__{name}")
    return dict(zip(keys, columns, strict=True)) | seconds | {f"parity__{name}": parity}


def prepare(traffic: Traffic, recipe: Recipe) -> Prepared:
    """Tokenize traffic as training does."""
    view, tokenizer = _reading(recipe)
    return Prepared(traffic, tokenize(traffic, view=view, tokenizer=tokenizer))


def fit_model(recipe: Recipe, data: Prepared, may_learn: NDArray[np.bool_]) -> DifficultyModel:
    """Return a recipe's model, fitted and calibrated on some requests."""
    inner = data.traffic.splits(SPLIT, recipe.seed)
    fit = labelled(data.traffic, data.tokens, may_learn & (inner == "fit"))
    model = build_model(recipe, find_encoder(recipe.features), "benefit", tasks=known_tasks(recipe, fit))
    return model.fit(fit, labelled(data.traffic, data.tokens, may_learn & (inner == "calibration")))


def outputs(model: DifficultyModel, tokens: Tokenized) -> NDArray[np.float64]:
    """Return score, score with the task told, P(cheap fails) of both, and familiarity; shape (5, n)."""
    blind, told = model.predict(tokens.ids), model.predict(tokens.ids, tokens.tasks)
    familiarity = np.full(len(tokens.ids), np.nan) if blind.familiarity is None else blind.familiarity
    return np.stack([blind.difficulty_score, told.difficulty_score, blind.p_cheap_fails, told.p_cheap_fails, familiarity])


def parity_of(model: DifficultyModel, recipe: Recipe, data: Prepared, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return how many requests were compared, the exported graph's largest difference, and how many decisions differ at 30 % frontier."""
    view, tokenizer = _reading(recipe)
    scorer = Scorer(load_session(build_graph(model).SerializeToString()), tokenizer, view, task_ids=task_ids(model))
    messages, tokens = data.traffic.messages(), data.tokens.at(rows)
    ids = [scorer.encode(messages[row], task).ids for row, task in zip(rows, tokens.tasks, strict=True)]
    python, shipped = model.predict(tokens.ids, tokens.tasks).difficulty_score, scorer.score_many(ids)["difficulty_score"]
    threshold = float(np.quantile(python, 0.7))
    return np.array([len(rows), np.abs(python - shipped).max(), ((python > threshold) != (shipped > threshold)).sum()])


def _reading(recipe: Recipe) -> tuple[TextView, RequestTokenizer]:
    encoder = find_encoder(recipe.features)
    view = TextView(recipe.text.view, max_chars=recipe.text.max_chars)
    return view, RequestTokenizer.from_file(encoder.tokenizer_path, max_tokens=recipe.text.max_tokens)
