"""Train: ingested traffic -> a run folder with the fitted model, its lineage and its test
metrics.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from itertools import chain, repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.answer_check.saved_check import ANSWER_SCORES_FILE, save_check, write_answer_scores
from difficulty.bundle.store import KINDS
from difficulty.channels import Channel, kinds_of
from difficulty.diagnostics.learning_curve import LearningCurve
from difficulty.diagnostics.signal import Signal
from difficulty.diagnostics.suspicion import LabelReport
from difficulty.diagnostics.unfamiliar import FamiliarityAdvice
from difficulty.early_exit import EarlyModel, fit_early, save_early
from difficulty.encoders.base import Encoder
from difficulty.encoders.transformer import TransformerEncoder
from difficulty.engine import Engine
from difficulty.engine.threads import one_core_each
from difficulty.errors import TooFewSamplesError
from difficulty.evaluation import Evaluation, evaluate, write_metrics
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.evaluation.slices import scripts, traffic_labels
from difficulty.integrations.tracked_step import Tracker
from difficulty.metrics import Resampling
from difficulty.model.combination import OutOfFold, Scores
from difficulty.model.continuing import continued
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.labelled import LabelledTokens
from difficulty.model.saved_model import load_model, save_model
from difficulty.recipe import FeatureSettings, Recipe
from difficulty.stages.deploying.traffic_clusters import (
    cluster_traffic,
    clustered_rows,
    kinds_bytes,
)
from difficulty.stages.judging import lineage_of
from difficulty.storage import on_urls, refuse_existing, whole_folder
from difficulty.storage.mapped import GrowingRows, let_go, trim_heap
from difficulty.traffic.outcomes import ungraded_notes
from difficulty.traffic.stored.splits import ASIDE
from difficulty.traffic.table import Traffic
from difficulty.training.answering import TrainedCheck, train_check
from difficulty.training.assemble import (
    build_model,
    known_tasks,
    knows_numbers,
    labelled,
    number_notes,
    tune,
)
from difficulty.training.diagnosis import (
    GROUPS,
    Unseen,
    advice_of_student,
    advise_familiarity,
    check_labels,
    down_weighted,
    measure_curve,
    signal_of,
    unseen_scores,
    with_suspicion,
)
from difficulty.training.finished_parts import FinishedParts
from difficulty.training.material import Material, Progress, gather, start_record
from difficulty.training.reading import ReadCounts, Reading, reading_of
from difficulty.training.run import (
    CURVE_FILE,
    EARLY_FILE,
    LEARNED_FILE,
    OUT_OF_FOLD_FILE,
    VIEW_FILE,
    NamedScores,
    Run,
    RunRecord,
    SplitSamples,
    library_versions,
    notes_of,
)
from difficulty.training.seen_traffic import Seen

_BLOCK = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fitted:
    """A fitted model, what it was fitted on, and what that says of the labels."""

    model: DifficultyModel
    encoder: Encoder
    learned: LabelledTokens
    labels: LabelReport
    signal: Signal
    unseen: Unseen
    reading: Reading
    answers: TrainedCheck | None
    answer_notes: tuple[str, ...]
    """Why there is no check of answers, where the traffic has some; what is to be known of it."""


@on_urls
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
    draws: int = 1000,
    engine: Engine | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> tuple[Run, Evaluation]:
    """Fit a difficulty model and judge it on held-out requests.

    Parameters
    ----------
    traffic_path : Path
        Traffic that ``ingest`` wrote.
    out : Path
        Run folder to write; it appears when everything is done.
    encoder : Encoder
        The encoder that the recipe names.
    find : callable, optional
        From features to the encoder that they name; needed where ``search.encoders`` lists some.
    start : Run, optional
        A run of another model pair to start from. Requests that it saw are set aside; where too
        few are left and another cheap model answered them, they are learned from, the score anew
        and the check of answers from the run's.
    teacher : Run, optional
        What a recipe with a section ``distil`` learns from beside the labels.
    unlabelled : Path, optional
        JSON lines of requests without labels that the teacher is asked about too.
    cache : Path, optional
        Where a fine-tuned encoder is kept while it is trained and after; without it, it lasts as
        long as the training.
    more_labels : bool, default True
        Whether to measure the learning curve, which says what more labels would bring.
    unseen_tasks : bool, default True
        Whether to leave tasks out in turn, which says how familiar a request must be for its score
        to say anything.
    tracker : Tracker, optional
        Told about the finished run.
    draws : int, default 1000
        Bootstrap draws of the test metrics.
    engine : Engine, optional
        Where texts are read; by default in this process. The run is the same whichever it is.
    resume : bool, default False
        Whether to go on from the finished parts that a training of large traffic left beside
        ``out`` when it was stopped; the run is the one that it would have been.
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
        If the frontier model is not better than the cheap one and the target is benefit, or
        outcomes were seen only where an unknown policy chose to look and the recipe does not accept
        that.
    RunError
        If the run folder exists already, or the run to start from has another encoder, other
        features or another text view.
    RecipeError, UnknownNameError
        If the recipe names a channel that is not installed, or gives it what it does not take.
    """
    kinds_of(recipe.features)  # an unknown one is refused before anything is read
    say = progress or (lambda _: None)
    refuse_existing(out, what="run folder")
    parts = FinishedParts(out.with_name(f".{out.name}.parts"), resume=resume)
    material = gather(
        traffic_path,
        recipe,
        encoder,
        find=find,
        start=start,
        teacher=teacher,
        unlabelled=unlabelled,
        progress=say,
        engine=engine,
        parts=parts,
    )
    trim_heap()
    with parts, TemporaryDirectory(prefix="difficulty-") as scratch, one_core_each():
        fitted = _fit(material, cache or Path(scratch), say)
        trim_heap()
        say("judging the test samples")
        evaluation = _evaluate(material, fitted, Resampling(draws, recipe.seed))
        trim_heap()
        curve = _curve(material, fitted, say) if more_labels else None
        advice = _advice(material, fitted, say) if unseen_tasks else None
        trim_heap()
        record = _record(material, fitted, advice)
        evaluation = replace(evaluation, lineage=_build_lineage(record))
        _write(out, material, fitted, evaluation, curve, record)
        parts.remove()
    run = Run.read(out)
    if tracker:
        # Here, as most who train are told nothing.
        from difficulty.stages.tracking.recorded_steps import record_training

        say("tracking")
        record_training(tracker, run, evaluation, traffic_path)
    return run, evaluation


def _fit(material: Material, cache: Path, say: Progress) -> _Fitted:
    """Fit the model, check the labels by it, and fit again where the recipe has suspicious ones
    count less.
    """
    recipe = material.recipe
    say("fitting")
    tuned = (
        tune(recipe, material.encoder, material.learned, cache, progress=say)
        if recipe.features.finetune
        else None
    )
    encoder = tuned.encoder if tuned else material.encoder
    model = _fit_model(material, "model", _unfitted(material, encoder, tuned))
    trim_heap()
    say("checking the labels")
    traffic, tokens = material.traffic, material.tokens
    splits, target = material.splits, material.target
    # By scores of heads that did not see the sample: others have learned its label.
    unseen = unseen_scores(model, tokens, splits)
    report = check_labels(
        unseen, traffic, splits, target=target, single=recipe.labels.row_weight < 1.0
    )
    learned = material.learned
    names = chain(material.learned_ids(), repeat("", material.n_unlabelled))
    if weighted := down_weighted(learned, names, report, recipe.labels):
        say("fitting with less weight on suspicious labels")
        # Once: a second round would judge the labels by what the first made of them.
        unfitted = _unfitted(material, encoder, tuned)
        model = _fit_model(material, "model again", unfitted, weighted)
        unseen = unseen_scores(model, tokens, splits)
    signal = signal_of(unseen, traffic, target=target)
    answers, answer_notes = train_check(material, weighted or learned, unseen, progress=say)
    reading = reading_of(ReadCounts.of(tokens, material.tokenizer), material.tokenizer, encoder)
    return _Fitted(
        model=model,
        encoder=encoder,
        learned=weighted or learned,
        labels=report,
        signal=signal,
        unseen=unseen,
        reading=reading,
        answers=answers,
        answer_notes=answer_notes,
    )


def _fit_model(
    material: Material, name: str, model: DifficultyModel, weighted: LabelledTokens | None = None
) -> DifficultyModel:
    """Fit a model, or take up what it was when that part was finished."""

    def write(folder: Path) -> DifficultyModel:
        model.fit(material.fit, material.calibration, weighted=weighted)
        save_model(model, folder)
        out_of_fold = model.out_of_fold_
        scores = {
            name: each for name, each in asdict(out_of_fold.scores).items() if each is not None
        }
        np.savez(folder / "out_of_fold.npz", fold=out_of_fold.fold, **scores)
        return model

    def read(folder: Path) -> DifficultyModel:
        model.take_up(load_model(folder, encoder=material.encoder))
        with np.load(folder / "out_of_fold.npz", allow_pickle=False) as arrays:
            scores = {field.name: arrays.get(field.name) for field in fields(Scores)}
            model.out_of_fold_ = OutOfFold(Scores(**scores), arrays["fold"])
        return model

    if not material.parts.kept:
        return model.fit(material.fit, material.calibration, weighted=weighted)
    return material.parts.part(name, write, read)


def _unfitted(material: Material, encoder: Encoder, tuned: Channel | None) -> DifficultyModel:
    """Return the model that is to be fitted: the recipe's, or one that starts from another
    run's.
    """
    recipe, start = material.recipe, material.start
    tasks = known_tasks(recipe, material.learned)
    if start is None or material.asks_again:
        return build_model(
            recipe,
            encoder,
            material.target,
            tasks=tasks,
            numbers=knows_numbers(recipe, material.learned),
            tuned=tuned,
            calibration=material.how,
        )
    return continued(
        start.model,
        target=material.target,
        tasks=tasks,
        folds=recipe.folds,
        rng=np.random.default_rng(recipe.seed),
        calibration=material.how,
    )


def _evaluate(material: Material, fitted: _Fitted, resampling: Resampling) -> Evaluation:
    """Judge the test samples, or refuse when there are none."""
    rows, traffic, model = material.rows("test"), material.traffic, fitted.model
    if not len(rows):
        raise TooFewSamplesError(
            "training needs test samples to judge the score by: got none. Add traffic, or raise"
            " split.test in the recipe."
        )
    scores, without_task = fitted.unseen.predicted(rows)
    outputs, others = scores.by_name(), dict[str, np.ndarray]()
    if model.task_channels:
        others["without_task"] = without_task.difficulty_score
    if fitted.answers:
        checked = fitted.answers.scores.at(rows)
        outputs |= checked.by_name()
        if not np.isnan(checked.answer_score).all():
            # As if the score knew the answer; where there is none, the request's own.
            others["answer_check"] = np.where(
                np.isnan(checked.answer_score), outputs["difficulty_score"], checked.answer_score
            )
    test, unpriced = traffic.select(rows), np.full(len(rows), np.nan)
    held_out = ScoredTraffic.of(
        test,
        outputs,
        material.tokens.totals[rows],
        costs=(unpriced, unpriced),
        target=material.target,
        labels=traffic_labels(test),
    )
    held_out = with_suspicion(held_out, test.each("id"), fitted.labels.ids(GROUPS))
    evaluation = evaluate(held_out, resampling, task_means=material.task_means, others=others)
    notes = notes_of(material.logged, fitted.reading, fitted.signal, fitted.labels.summary())
    offered = number_notes(material.recipe, material.learned)
    ungraded = ungraded_notes(material.ungraded)
    return evaluation.noting((*ungraded, *notes, *offered, *fitted.answer_notes))


def _curve(material: Material, fitted: _Fitted, say: Progress) -> LearningCurve | None:
    """Measure what more labels would bring; a tuned encoder and a teacher saw all labels at once,
    so nothing is known with fewer.
    """
    if material.recipe.features.finetune or material.teacher:
        return None
    say("measuring what more labels would bring")
    splits = material.splits
    chosen = splits != ASIDE
    chosen[material.learned_rows] = False
    held_out = labelled(material.traffic, material.tokens, chosen)
    labels = int(((splits != ASIDE) & material.traffic.outcomes.known).sum())

    def measured() -> LearningCurve:
        return measure_curve(
            fitted.model, fitted.learned, held_out, labels=labels, seed=material.recipe.seed
        )

    return material.parts.saved("curve", LearningCurve, measured)


def _advice(material: Material, fitted: _Fitted, say: Progress) -> FamiliarityAdvice:
    """Find how familiar a request must be for its score to say anything."""
    if material.teacher:
        return advice_of_student()
    say("leaving tasks out, to see how the score fares on new ones")
    fit = fitted.learned[np.arange(len(material.fit))]  # percentiles need others that are not known

    def advised() -> FamiliarityAdvice:
        seed = material.recipe.seed
        return advise_familiarity(fitted.model, fit, material.calibration, seed=seed)

    return material.parts.saved("advice", FamiliarityAdvice, advised)


def _write(
    out: Path,
    material: Material,
    fitted: _Fitted,
    evaluation: Evaluation,
    curve: LearningCurve | None,
    record: RunRecord,
) -> None:
    """Write the run folder; it appears when it is whole."""
    refuse_existing(out, what="run folder")  # again: it may have come while the model was trained
    with whole_folder(out) as folder:
        save_model(fitted.model, folder)
        if answers := fitted.answers:
            save_check(answers.check, folder)
            rows = np.flatnonzero(material.splits != ASIDE)
            kept = material.traffic.picked("id", rows)
            write_answer_scores(answers.scores.at(rows), kept, folder / ANSWER_SCORES_FILE)
        if early := _early(material, fitted):
            save_early(early, folder / EARLY_FILE)
        # The encoder travels with the run: its name may mean something else tomorrow.
        shutil.copytree(fitted.encoder.tokenizer_path.parent, folder / "encoder")
        if material.view.version > 1:
            (folder / VIEW_FILE).write_bytes(material.view.learned.as_bytes)
        write_metrics(evaluation, folder / "metrics.json")
        fitted.labels.write(folder / "suspicious.jsonl")
        out_of_fold = fitted.model.out_of_fold_.scores.first(len(material.learned_rows))
        learned = material.traffic.select(material.learned_rows)
        totals = material.tokens.totals[material.learned_rows]
        if material.how == "cross":
            # Outcomes for the choice of a threshold; texts are the user's, and no step needs them.
            learned.without_texts().write(folder / LEARNED_FILE)
        hashes = _write_samples(material, folder)
        unseen = NamedScores(_words_of(learned, "id"), out_of_fold, totals, hashes)
        unseen.write(folder / OUT_OF_FOLD_FILE)
        for name, part in ((CURVE_FILE, curve), ("run.json", record)):
            if part:
                content = json.dumps(part.as_dict(), indent=2) + "\n"
                (folder / name).write_text(content, encoding="utf-8")


def _early(material: Material, fitted: _Fitted) -> EarlyModel | None:
    """Return a light student of a model that takes milliseconds; it needs the fit samples, which
    shipping does not have. Its cut-offs need calibration samples that its model did not learn from.
    """
    if material.how == "cross":
        return None
    if not isinstance(fitted.encoder, TransformerEncoder) or not material.recipe.features.ngrams:
        return None
    return fit_early(fitted.model, fitted.learned.ids, fitted.learned.tasks)


def _record(material: Material, fitted: _Fitted, advice: FamiliarityAdvice | None) -> RunRecord:
    """Return what run.json holds."""
    traffic, splits, start = material.traffic, material.splits, material.start
    cheap_model, frontier_model = traffic.model_pair or (None, None)
    return RunRecord(
        created=material.parts.form("begun", _begun)["created"],
        target=material.target,
        cheap_model=cheap_model,
        frontier_model=frontier_model,
        training_data=material.data_hash,
        samples=SplitSamples(
            **{field.name: int((splits == field.name).sum()) for field in fields(SplitSamples)}
        ),
        task_gains=material.task_means,
        recipe=material.recipe,
        libraries=library_versions(),
        teacher=material.teacher.recipe.as_dict() if material.teacher else None,
        unlabelled=material.n_unlabelled,
        start=(start_record(start, traffic, asks_again=material.asks_again) if start else None),
        search=material.searched,
        reading=fitted.reading,
        familiarity=advice,
        logged=material.logged,
        ungraded=material.ungraded,
        labels=fitted.labels.summary(),
        signal=fitted.signal,
        answer=fitted.answers.record if fitted.answers else None,
        calibration=material.how,
    )


def _begun() -> dict[str, str]:
    return {"created": datetime.now(UTC).isoformat(timespec="seconds")}


def _build_lineage(record: RunRecord) -> dict[str, Any]:
    """Return what metrics.json says of the test samples and the run that they judge; its folder may
    be moved, so the recipe names it.
    """
    return lineage_of(
        record,
        scorer="run",
        name=record.recipe.name,
        policy=None,
        judged_data=record.training_data,
        judged=record.samples.test,
        left_out=record.samples.beside_test,
    )


def _words_of(traffic: Traffic, name: str) -> NDArray[np.str_]:
    """Return a column of words as one array, of many samples in a file."""
    longest = max((len(word) for word in traffic.each(name)), default=1)
    words = GrowingRows(f"U{longest}")
    for block in traffic.blocks(name):
        words.add(np.array(block, f"U{longest}"))
    return words.whole()


def _write_samples(material: Material, folder: Path) -> NDArray[np.str_]:
    """Write the samples that shipping needs, and hashes and kinds of those that fitting and
    calibration saw; return hashes of the texts that were learned from.
    """
    traffic, splits = material.traffic, material.splits
    # Not the fit samples: shipping needs none, and texts are the user's.
    for split in ("calibration", "test"):
        traffic.select(splits == split).write(folder / f"{split}.parquet")
    rows = np.flatnonzero((splits == "fit") | (splits == "calibration"))
    seen = traffic.select(rows)
    remembered = Seen.of(seen, material.engine)
    remembered.seen.write(folder / "seen.npz")
    clustered = clustered_rows(len(rows), seed=material.recipe.seed)
    seen = seen.select(clustered)
    kinds = cluster_traffic(
        material.tokens.at(rows[clustered]).ids,
        scripts=scripts(seen),
        tasks=seen.tasks,
        groups=seen.split_groups,
        outcomes=seen.outcomes,
        seed=material.recipe.seed,
    )
    if kinds:
        (folder / KINDS).write_bytes(kinds_bytes(kinds))
    hashes = GrowingRows(remembered.text_hashes.dtype)
    places = np.searchsorted(rows, material.learned_rows)
    for start in range(0, len(places), _BLOCK):
        hashes.add(remembered.text_hashes[places[start : start + _BLOCK]])
        let_go(remembered.text_hashes)
    return hashes.whole()
