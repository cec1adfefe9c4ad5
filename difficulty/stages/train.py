"""Train: ingested traffic -> a run folder with the fitted model, its lineage and its test metrics."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from difficulty import __version__
from difficulty.errors import RecipeError, TooFewSamplesError, TrafficError
from difficulty.evaluation import Evaluation, TaskMeans, evaluate, write_metrics
from difficulty.features.encoder import Encoder
from difficulty.metrics.weights import effective_samples
from difficulty.model.channels import (
    Channel,
    EmbeddingChannel,
    NeighbourChannel,
    NgramChannel,
    TaskGuessChannel,
    TunedChannel,
    task_channels_of,
)
from difficulty.model.difficulty import DifficultyModel, Target
from difficulty.model.labelled import LabelledTokens
from difficulty.model.store import save_model
from difficulty.model.warm_start import continued
from difficulty.recipe import FeatureSettings, Recipe
from difficulty.stages.distil import check_teacher, taught, with_unlabelled
from difficulty.stages.labels import (
    GROUPS,
    check_labels,
    down_weighted,
    label_lineage,
    label_notes,
    signal_of,
    unseen_scores,
    with_suspicion,
)
from difficulty.stages.learning import measured_curve
from difficulty.stages.reading import reading_of
from difficulty.stages.run import CURVE_FILE, OUT_OF_FOLD_FILE, RUN_FORMAT, NamedScores, Run, Seen, new_folder, refuse_existing
from difficulty.stages.scoring import Tokenized, judged, tokenize
from difficulty.stages.search import search
from difficulty.stages.start import check_start, start_lineage, without_seen
from difficulty.stages.tune import tune
from difficulty.stages.unseen_tasks import advice_of_student, familiarity_advice
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer
from difficulty.traffic.logged import weigh_logged
from difficulty.traffic.outcomes import Outcomes
from difficulty.traffic.splits import ASIDE
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
    encoder: Encoder,
    find: Callable[[FeatureSettings], Encoder] | None = None,
    start: Run | None = None,
    teacher: Run | None = None,
    unlabelled: Path | None = None,
    cache: Path | None = None,
    more_labels: bool = True,
    unseen_tasks: bool = True,
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
    encoder : Encoder
        The encoder that the recipe names.
    find : callable, optional
        From features to the encoder that they name; needed where ``search.encoders`` lists some.
    start : Run, optional
        A run of another model pair to start from; requests that it saw are set aside.
    teacher : Run, optional
        What a recipe with a section ``distil`` learns from beside the labels.
    unlabelled : Path, optional
        JSON lines of requests without labels that the teacher is asked about too.
    cache : Path, optional
        Where a fine-tuned encoder is kept while it is trained and after; without it, it lasts as long as the training.
    more_labels : bool, default True
        Whether to measure the learning curve, which says what more labels would bring.
    unseen_tasks : bool, default True
        Whether to leave tasks out in turn, which says how familiar a request must be for its score to say anything.
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
        If the run folder exists already, or the run to start from has another encoder, other features or another text view.
    """
    say = progress or (lambda _: None)
    refuse_existing(out, what="run folder")
    if start and recipe.features.finetune:
        raise RecipeError("a fine-tuned encoder cannot start from another run. Leave out --start-from, or use another recipe.")
    if start:
        check_start(start, recipe, encoder)
    say("reading traffic")
    read = Traffic.read(traffic_path)
    check_teacher(recipe, teacher, read, unlabelled)
    traffic, logged = weigh_logged(read, recipe.labels)
    splits = traffic.splits(recipe.split.fractions, recipe.seed)
    splits = without_seen(splits, traffic, start) if start else splits
    target = _target(recipe.target, traffic.outcomes, splits)
    _check(traffic.outcomes, splits, target)
    recipe, encoder, searched = _search(recipe, encoder, find, traffic, splits == "fit", target=target, progress=say)
    say(f"tokenizing {len(traffic):,} requests")
    tokenizer = RequestTokenizer.from_file(encoder.tokenizer_path, max_tokens=recipe.text.max_tokens)
    tokens = tokenize(traffic, view=TextView(recipe.text.view, max_chars=recipe.text.max_chars), tokenizer=tokenizer)
    say("fitting")
    fit, calibration = (labelled(traffic, tokens, splits == split) for split in ("fit", "calibration"))
    names = traffic.select(splits == "fit").ids
    if teacher and recipe.distil:
        say("asking the teacher")
        fit = taught(fit, names, teacher.out_of_fold, share=recipe.distil.share, target=teacher.model.target)
    n_unlabelled = 0
    if teacher and recipe.distil and unlabelled:
        view, share = TextView(recipe.text.view, max_chars=recipe.text.max_chars), recipe.distil.share
        fit, n_unlabelled = with_unlabelled(fit, unlabelled, teacher, view=view, tokenizer=tokenizer, kept_out=traffic, share=share)
    tuned = tune(recipe, encoder, fit, cache, progress=say) if recipe.features.finetune else None
    encoder = tuned.encoder if tuned else encoder
    model = _unfitted(recipe, encoder, target, fit, start, tuned).fit(fit, calibration)
    say("checking the labels")
    report = check_labels(unseen_scores(model, tokens, splits), traffic, splits, target=target)
    if weighted := down_weighted(fit, [*names, *[""] * n_unlabelled], report, recipe.labels):
        say("fitting with less weight on suspicious labels")
        model = _unfitted(recipe, encoder, target, fit, start, tuned).fit(weighted, calibration)
    signal = signal_of(unseen_scores(model, tokens, splits), traffic, target=target)
    say("judging the test samples")
    suspicious, checked = report.ids(GROUPS), label_lineage(report, signal)
    evaluation = _evaluate(model, traffic, tokens, splits, target=target, seed=recipe.seed, n_draws=n_draws, suspicious=suspicious)
    reading = reading_of(tokens, tokenizer, encoder)
    evaluation = evaluation.noting([*(logged.notes if logged else ()), *reading.notes, *label_notes(checked)])
    more_labels = more_labels and tuned is None and teacher is None  # both saw all labels at once
    if more_labels:
        say("measuring what more labels would bring")
        held_out = labelled(traffic, tokens, (splits == "calibration") | (splits == "test"))
        curve = measured_curve(model, weighted or fit, held_out, labels=int((splits != ASIDE).sum()), seed=recipe.seed)
    advice = None
    if unseen_tasks:
        say("leaving tasks out, to see how the score fares on new ones")
        advice = advice_of_student() if teacher else familiarity_advice(model, weighted or fit, calibration, seed=recipe.seed)
    with new_folder(out, what="run folder") as folder:
        save_model(model, folder)
        shutil.copytree(encoder.tokenizer_path.parent, folder / "encoder")
        write_metrics(evaluation, folder / "metrics.json")
        report.write(folder / "suspicious.jsonl")
        NamedScores(names, model.out_of_fold_.scores.first(len(names))).write(folder / OUT_OF_FOLD_FILE)
        _write_samples(traffic, splits, folder)
        lineage = _lineage(traffic, splits, recipe=recipe, target=target)
        if more_labels:
            (folder / CURVE_FILE).write_text(json.dumps(curve.as_dict(), indent=2) + "\n", encoding="utf-8")
        lineage |= {"teacher": teacher.lineage["recipe"] if teacher else None, "unlabelled": n_unlabelled}
        lineage |= {"start": start_lineage(start, traffic) if start else None, "search": searched}
        lineage |= {"reading": reading.as_dict(), "familiarity": advice.as_dict() if advice else None}
        lineage |= {"training_data": read.data_hash, "logged": logged.as_dict() if logged else None, **checked}
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
    if len(np.unique(known[(splits == "fit") & ~np.isnan(known)])) < 2:
        what = "gain of the frontier model" if target == "benefit" else "outcome of the cheap model"
        raise TooFewSamplesError(f"training needs samples that differ: every known {what} is equal. Check the outcome columns.")
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


def build_model(
    recipe: Recipe, encoder: Encoder, target: Target, *, tasks: Sequence[str] = (), tuned: TunedChannel | None = None
) -> DifficultyModel:
    """Return the unfitted model of a recipe; ``tasks`` are those it is to know, ``tuned`` its fine-tuned encoder where it has one."""
    features = recipe.features
    channels: list[Channel] = []
    if features.ngrams:
        channels.append(NgramChannel(encoder.vocabulary_size, buckets=features.ngrams.buckets, strength=features.ngrams.strength))
    if tuned:
        channels.append(tuned)
    guess = features.embedding and tasks and features.tasks and features.tasks.guess
    if guess:
        channels.append(TaskGuessChannel(encoder, tasks))
    if features.embedding and (features.embedding.beside_guess or not guess):
        channels.append(EmbeddingChannel(encoder, strength=features.embedding.strength))
    if features.neighbours:
        channels.append(NeighbourChannel(encoder, **features.neighbours.model_dump()))
    rng = np.random.default_rng(recipe.seed)
    return DifficultyModel(channels, task_channels=task_channels_of(channels, tasks), target=target, folds=recipe.folds, rng=rng)


def _search(
    recipe: Recipe,
    encoder: Encoder,
    find: Callable[[FeatureSettings], Encoder] | None,
    traffic: Traffic,
    chosen: NDArray[np.bool_],
    *,
    target: Target,
    progress: Progress,
) -> tuple[Recipe, Encoder, dict[str, Any] | None]:
    """Return recipe and encoder as they are, or what a search chose by the fit samples, with its report; others are not even tokenized."""
    if not recipe.search:
        return recipe, encoder, None
    fitted, groups = traffic.select(chosen), [traffic.split_groups[row] for row in np.flatnonzero(chosen)]
    view = TextView(recipe.text.view, max_chars=recipe.text.max_chars)

    def read(encoder: Encoder) -> LabelledTokens:
        tokenizer = RequestTokenizer.from_file(encoder.tokenizer_path, max_tokens=recipe.text.max_tokens)
        tokens = tokenize(fitted, view=view, tokenizer=tokenizer)
        return replace(labelled(fitted, tokens, np.ones(len(fitted), dtype=np.bool_)), groups=groups)

    def build(recipe: Recipe, encoder: Encoder, fit: LabelledTokens) -> DifficultyModel:
        return build_model(recipe, encoder, target, tasks=known_tasks(recipe, fit))

    found = search(recipe, encoder, read=read, build=build, target=target, find=find, progress=progress)
    return found.recipe, found.encoder, found.report


def _unfitted(
    recipe: Recipe, encoder: Encoder, target: Target, fit: LabelledTokens, start: Run | None, tuned: TunedChannel | None
) -> DifficultyModel:
    """Return the model that is to be fitted: the recipe's, or one that starts from another run's."""
    tasks = known_tasks(recipe, fit)
    if start is None:
        return build_model(recipe, encoder, target, tasks=tasks, tuned=tuned)
    return continued(start.model, target=target, tasks=tasks, folds=recipe.folds, rng=np.random.default_rng(recipe.seed))


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
    model: DifficultyModel,
    traffic: Traffic,
    tokens: Tokenized,
    splits: NDArray[np.str_],
    *,
    target: Target,
    seed: int,
    n_draws: int,
    suspicious: Collection[str],
) -> Evaluation:
    """Judge the test samples, or refuse when there are none."""
    rows, fitted = np.flatnonzero(splits == "test"), np.flatnonzero(splits == "fit")
    if not len(rows):
        raise TooFewSamplesError(
            "training needs test samples to judge the score by: got none. Add traffic, or raise split.test in the recipe."
        )
    picked = tokens.at(rows)
    outputs = model.predict(picked.ids, picked.tasks).by_name()
    others = {"without_task": model.predict(picked.ids).difficulty_score} if model.task_channels else None
    gain, weight = traffic.outcomes.gain[fitted], traffic.outcomes.weight[fitted]
    means = TaskMeans.fit([traffic.tasks[row] for row in fitted], gain, weight=weight) if target == "benefit" else None
    held_out = judged(traffic.select(rows), outputs, tokens.totals[rows], target=target, prices=None)
    held_out = with_suspicion(held_out, [traffic.ids[row] for row in rows], suspicious)
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
