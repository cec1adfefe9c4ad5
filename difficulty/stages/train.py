"""Train: ingested traffic -> a run folder with the fitted model, its lineage and its test metrics."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from difficulty import __version__
from difficulty.errors import TooFewSamplesError, TrafficError
from difficulty.evaluation import Evaluation, TaskMeans, evaluate, write_metrics
from difficulty.features.static import StaticEncoder
from difficulty.metrics.weights import effective_samples
from difficulty.model.channels import Channel, NgramChannel, StaticChannel, TaskGuessChannel, task_channel_of
from difficulty.model.difficulty import DifficultyModel, Target
from difficulty.model.labelled import LabelledTokens
from difficulty.model.store import save_model
from difficulty.recipe import Recipe
from difficulty.stages.run import RUN_FORMAT, Run, Seen, new_folder, refuse_existing
from difficulty.stages.scoring import Tokenized, judged, tokenize
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer
from difficulty.traffic.logged import weigh_logged
from difficulty.traffic.outcomes import Outcomes
from difficulty.traffic.table import Traffic

__all__ = ["Tracker", "build_model", "known_tasks", "labelled", "library_versions", "train"]

Progress = Callable[[str], None]
NEEDED = {"fit": 60, "calibration": 20}
"""Samples with a known outcome that each split needs."""
LEAST_OF_EACH = 5
LIBRARIES = ("numpy", "scipy", "scikit-learn", "tokenizers", "onnx", "onnxruntime")


class Tracker(Protocol):
    """Where a run is recorded, for example MLflow."""

    def log(self, folder: Path, *, name: str, parameters: Mapping[str, Any], metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Record one finished run."""


def train(
    traffic_path: Path,
    out: Path,
    *,
    recipe: Recipe,
    encoder: StaticEncoder,
    tracker: Tracker | None = None,
    n_draws: int = 1000,
    progress: Progress | None = None,
) -> tuple[Run, Evaluation]:
    """Fit a difficulty model and judge it on held-out requests.

    Parameters
    ----------
    traffic_path : Path
        Traffic that ``ingest`` wrote.
    out : Path
        Run folder to write; it appears when everything is done.
    recipe : Recipe
    encoder : StaticEncoder
        The encoder that the recipe names.
    tracker : Tracker, optional
        Told about the finished run.
    n_draws : int, default 1000
        Bootstrap draws of the test metrics.
    progress : callable, optional
        Told what is being done, in a few words.

    Returns
    -------
    Run, Evaluation
        The run that was written, and the test samples judged (no threshold is chosen yet).

    Raises
    ------
    TooFewSamplesError
        If there are too few samples, or too few of one outcome.
    TrafficError
        If the frontier model is not better than the cheap one and the target is benefit, or outcomes were seen only where an unknown
        policy chose to look and the recipe does not accept that.
    RunError
        If the run folder exists already.
    """
    say = progress or (lambda _: None)
    refuse_existing(out, what="run folder")
    say("reading traffic")
    read = Traffic.read(traffic_path)
    traffic, logged = weigh_logged(read, recipe.labels)
    splits = traffic.splits(recipe.split.fractions, recipe.seed)
    target = _target(recipe.target, traffic.outcomes, splits)
    _check(traffic.outcomes, splits, target)
    say(f"tokenizing {len(traffic):,} requests")
    tokenizer = RequestTokenizer.from_file(encoder.tokenizer_path, max_tokens=recipe.text.max_tokens)
    tokens = tokenize(traffic, view=TextView(recipe.text.view, max_chars=recipe.text.max_chars), tokenizer=tokenizer)
    say("fitting")
    fit = labelled(traffic, tokens, splits == "fit")
    model = build_model(recipe, encoder, target, tasks=known_tasks(recipe, fit))
    model.fit(fit, labelled(traffic, tokens, splits == "calibration"))
    say("judging the test samples")
    evaluation = _evaluate(model, traffic, tokens, splits, target=target, seed=recipe.seed, n_draws=n_draws)
    evaluation = evaluation.noting(logged.notes if logged else ())
    with new_folder(out, what="run folder") as folder:
        save_model(model, folder)
        shutil.copytree(encoder.tokenizer_path.parent, folder / "encoder")
        write_metrics(evaluation, folder / "metrics.json")
        _write_samples(traffic, splits, folder)
        lineage = _lineage(traffic, splits, recipe=recipe, target=target)
        lineage |= {"training_data": read.data_hash, "logged": logged.as_dict() if logged else None}
        (folder / "run.json").write_text(json.dumps(lineage, indent=2) + "\n", encoding="utf-8")
    run = Run.read(out)
    if tracker:
        say("tracking")
        _track(tracker, run, evaluation)
    return run, evaluation


def _target(wanted: Literal["auto", "benefit", "failure"], outcomes: Outcomes, splits: NDArray[np.str_]) -> Target:
    """Return the target: benefit where both outcomes are known of enough samples to learn from."""
    if wanted != "auto":
        return wanted
    known = ~np.isnan(outcomes.gain)
    enough = all(int(known[splits == split].sum()) >= least for split, least in NEEDED.items())
    return "benefit" if enough else "failure"


def _check(outcomes: Outcomes, splits: NDArray[np.str_], target: Target) -> None:
    """Refuse traffic that nothing can be learned from."""
    known = outcomes.gain if target == "benefit" else outcomes.cheap_failure
    needed = "both outcomes" if target == "benefit" else "the cheap model's outcome"
    for split, least in NEEDED.items():
        n = int((~np.isnan(known[splits == split])).sum())
        if n < least:
            raise TooFewSamplesError(
                f"training needs at least {least} {split} samples with {needed} known, about 200 in all: got {n} of {len(known):,}. "
                "Add labels."
            )
        worth = effective_samples(outcomes.weight[(splits == split) & ~np.isnan(known)])
        if worth < least:
            raise TooFewSamplesError(
                f"training needs {split} samples worth at least {least} equally weighted ones: got {n:,} worth {worth:.0f}, so uneven "
                "are their weights. Lower labels.largest_weight, check the column weight, or log more traffic."
            )
    failure = outcomes.cheap_failure[splits == "fit"]
    failed, fine = int((failure > 0).sum()), int((failure < 1).sum())
    if min(failed, fine) < LEAST_OF_EACH:
        what = "failures" if failed < fine else "good answers"
        raise TooFewSamplesError(
            f"training needs at least {LEAST_OF_EACH} failures and {LEAST_OF_EACH} good answers of the cheap model among the fit samples: "
            f"got {min(failed, fine)} {what}. Add labels, or check the column cheap_quality."
        )
    if target == "benefit":
        _check_gap(outcomes)


def _check_gap(outcomes: Outcomes) -> None:
    known = ~np.isnan(outcomes.gain)
    gap = float(np.average(outcomes.gain[known], weights=outcomes.weight[known]))
    if gap <= 0:
        raise TrafficError(
            f"the frontier model must be better than the cheap one for routing to pay: its mean quality is {-gap:.3f} lower. "
            "Check that the two quality columns are not swapped; if they are right, send everything to the cheap model."
        )


def build_model(recipe: Recipe, encoder: StaticEncoder, target: Target, *, tasks: Sequence[str] = ()) -> DifficultyModel:
    """Return the unfitted model of a recipe; ``tasks`` are those it is to know."""
    ngrams, static = recipe.features.ngrams, recipe.features.static
    channels: list[Channel] = []
    if ngrams:
        channels.append(NgramChannel(len(encoder.table), buckets=ngrams.buckets, strength=ngrams.strength))
    if static and tasks and recipe.features.tasks and recipe.features.tasks.guess:
        channels.append(TaskGuessChannel(encoder, tasks))
    elif static:
        channels.append(StaticChannel(encoder, strength=static.strength))
    task_channel = task_channel_of(channels, tasks)
    rng = np.random.default_rng(recipe.seed)
    return DifficultyModel(channels, task_channel=task_channel, target=target, folds=recipe.folds, rng=rng)


def known_tasks(recipe: Recipe, data: LabelledTokens) -> list[str]:
    """Return the tasks with enough samples to learn from, by name; none where there is only one or the recipe wants none."""
    settings = recipe.features.tasks
    if not settings or data.tasks is None:
        return []
    counts = Counter(task for task in data.tasks if task is not None)
    frequent = sorted(task for task, n in counts.items() if n >= settings.least_samples)
    return frequent if len(frequent) > 1 else []


def labelled(traffic: Traffic, tokens: Tokenized, chosen: NDArray[np.bool_]) -> LabelledTokens:
    """Return some requests as models are fitted on them."""
    rows = np.flatnonzero(chosen)
    groups = traffic.split_groups
    picked = tokens.at(rows)
    return LabelledTokens(ids=picked.ids, outcomes=traffic.outcomes[rows], groups=[groups[row] for row in rows], tasks=picked.tasks)


def _evaluate(
    model: DifficultyModel, traffic: Traffic, tokens: Tokenized, splits: NDArray[np.str_], *, target: Target, seed: int, n_draws: int
) -> Evaluation:
    """Judge the test samples, or refuse when there are none."""
    rows, fitted = np.flatnonzero(splits == "test"), np.flatnonzero(splits == "fit")
    if not len(rows):
        raise TooFewSamplesError(
            "training needs test samples to judge the score by: got none. Add traffic, or raise split.test in the recipe."
        )
    picked = tokens.at(rows)
    outputs = model.predict(picked.ids, picked.tasks).by_name()
    others = {"without_task": model.predict(picked.ids).difficulty_score} if model.task_channel else None
    gain, weight = traffic.outcomes.gain[fitted], traffic.outcomes.weight[fitted]
    means = TaskMeans.fit([traffic.tasks[row] for row in fitted], gain, weight=weight) if target == "benefit" else None
    held_out = judged(traffic.select(rows), outputs, tokens.totals[rows], target=target, prices=None)
    rng = np.random.default_rng(seed)
    return evaluate(held_out, n_draws=n_draws, rng=rng, task_means=means, others=others)


def _write_samples(traffic: Traffic, splits: NDArray[np.str_], folder: Path) -> None:
    """Write the samples that shipping needs, and hashes of those that fitting and calibration saw."""
    for split in ("calibration", "test"):
        traffic.select(splits == split).write(folder / f"{split}.parquet")
    seen = Seen.of(traffic.select((splits == "fit") | (splits == "calibration")))
    np.savez_compressed(folder / "seen.npz", texts=seen.texts, groups=seen.groups)


def _lineage(traffic: Traffic, splits: NDArray[np.str_], *, recipe: Recipe, target: Target) -> dict[str, Any]:
    pair = traffic.model_pair or (None, None)
    fitted = np.flatnonzero(splits == "fit")
    outcomes = traffic.outcomes[fitted]
    gains = (
        asdict(TaskMeans.fit([traffic.tasks[row] for row in fitted], outcomes.gain, weight=outcomes.weight))
        if target == "benefit"
        else None
    )
    return {
        "format": RUN_FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "target": target,
        "cheap_model": pair[0],
        "frontier_model": pair[1],
        "training_data": traffic.data_hash,
        "samples": {name: int((splits == name).sum()) for name in ("fit", "calibration", "test", "aside")},
        "task_gains": gains,
        "recipe": recipe.model_dump(mode="json"),
        "libraries": library_versions(),
    }


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that shaped a run."""
    found = {"difficulty": __version__}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _track(tracker: Tracker, run: Run, evaluation: Evaluation) -> None:
    lineage = run.lineage
    values = {name: estimate.value for name, estimate in evaluation.overall.items() if estimate.value is not None}
    tags = {"training_data": lineage["training_data"], "target": lineage["target"], "run_folder": str(run.folder)}
    tracker.log(run.folder, name=run.recipe.name, parameters=_flat(lineage["recipe"]) | lineage["samples"], metrics=values, tags=tags)


def _flat(form: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in form.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
