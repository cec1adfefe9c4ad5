"""Judge the labels of a training run by scores of models that did not see them: which are
suspicious, and whether there is a signal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from difficulty.diagnostics.broken_tasks import EVEN, losing_region, outlying_tasks
from difficulty.diagnostics.learning_curve import HeldOut, LearningCurve, learning_curve, parts_of
from difficulty.diagnostics.signal import Signal, SignalPart, measure_signal
from difficulty.diagnostics.suspicion import (
    LabelReport,
    Model,
    Scope,
    SuspiciousGroup,
    SuspiciousLabel,
    unlikely_labels,
)
from difficulty.diagnostics.unfamiliar import (
    FamiliarityAdvice,
    UnseenTasks,
    advise,
    lift_of,
    no_advice,
)
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.metrics.arrays import FloatArray
from difficulty.metrics.coded_names import codes_of, count_names, look_up, pick_names
from difficulty.model.combination import Scores, Target
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.labelled import LabelledTokens
from difficulty.recipe import LabelSettings
from difficulty.traffic.outcomes import Outcomes
from difficulty.traffic.stored.splits import ASIDE, SplitNames
from difficulty.traffic.stored.tokenized import Tokenized
from difficulty.traffic.table import Traffic
from difficulty.training.assemble import learned_rows

GROUPS: tuple[Scope, ...] = ("task", "region")
"""Suspicions that no sample's own label decides: leaving such samples out flatters no figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """Scores of n samples of a run, each predicted without the sample.

    Attributes
    ----------
    score, p_cheap_fails, p_frontier_fails : ndarray of shape (n,)
        NaN for samples set aside, and where the model has no such output.
    fold : ndarray of shape (n,)
        Fold of the samples that heads learned from; -1 for those that the model did not see.
    held_out : ndarray of int
        Places of those, ascending.
    told, untold : Scores
        What the model says of them, with their tasks and without.
    """

    score: FloatArray
    p_cheap_fails: FloatArray
    p_frontier_fails: FloatArray
    fold: NDArray[np.int64]
    held_out: NDArray[np.intp]
    told: Scores
    untold: Scores

    def predicted(self, rows: NDArray[np.intp]) -> tuple[Scores, Scores]:
        """Return what the model says of some of the samples that it did not see, with their tasks
        and without.
        """
        places = np.searchsorted(self.held_out, rows)
        return self.told.at(places), self.untold.at(places)


def unseen_scores(model: DifficultyModel, tokens: Tokenized, splits: SplitNames) -> Unseen:
    """Return out-of-fold scores of the samples that heads learned from, and the model's own of the
    others.
    """
    n = len(splits)
    fitted = learned_rows(splits, model.calibration)
    held_out = np.setdiff1d(np.flatnonzero(splits != ASIDE), fitted)
    picked = tokens.at(held_out)
    told, untold = model.predict_both(picked.ids, picked.tasks)
    unseen = Unseen(
        score=np.full(n, np.nan),
        p_cheap_fails=np.full(n, np.nan),
        p_frontier_fails=np.full(n, np.nan),
        fold=np.full(n, -1, dtype=np.int64),
        held_out=held_out,
        told=told,
        untold=untold,
    )
    # Unlabelled requests of a student stand after the samples.
    out_of_fold = model.out_of_fold_.first(len(fitted))
    unseen.fold[fitted] = out_of_fold.fold
    for rows, scores in ((fitted, out_of_fold.scores), (held_out, told)):
        unseen.score[rows] = scores.difficulty_score
        unseen.p_cheap_fails[rows] = scores.p_cheap_fails
        if scores.p_frontier_fails is not None:
            unseen.p_frontier_fails[rows] = scores.p_frontier_fails
    return unseen


def signal_of(unseen: Unseen, traffic: Traffic, *, target: Target) -> Signal:
    """Test whether the scores carry a signal, on every sample of the run that was not set aside."""
    outcomes = traffic.outcomes
    wanted = outcomes.gain if target == "benefit" else outcomes.cheap_failure
    groups = codes_of(traffic.split_groups)
    fitted = np.flatnonzero(unseen.fold >= 0)
    held_out = np.flatnonzero((unseen.fold < 0) & ~np.isnan(unseen.score))

    def part(rows: NDArray[np.intp], fold: NDArray[np.int64] | None) -> SignalPart:
        return SignalPart(
            score=unseen.score[rows],
            outcome=wanted[rows],
            weight=outcomes.weight[rows],
            groups=groups[rows],
            fold=fold,
        )

    return measure_signal([part(fitted, unseen.fold[fitted]), part(held_out, None)])


def check_labels(
    unseen: Unseen, traffic: Traffic, splits: SplitNames, *, target: Target, single: bool = False
) -> LabelReport:
    """Look for tasks and regions whose labels are implausible, and for single samples if asked to:
    of those 8 to 61 % were wrong where it was measured, and which it is nobody knows beforehand.

    Tasks and regions are judged on the fit and calibration samples alone; test samples belong to
    one by their task or score, whatever their labels.
    """
    outcomes, scored = traffic.outcomes, np.flatnonzero(~np.isnan(unseen.score))
    learned = np.flatnonzero((splits == "fit") | (splits == "calibration"))
    outliers = outlying_tasks(pick_names(traffic.tasks, learned), outcomes[learned])
    names = {group.name for group in outliers}
    in_task = look_up(traffic.tasks, names.__contains__, np.bool_)
    members = [(group, scored[_is_of(group.name, traffic)[scored]]) for group in outliers]
    # A broken task would make a losing region of its own.
    rest = learned[~in_task[learned]]
    region = (
        losing_region(unseen.score[rest], outcomes[rest], codes_of(traffic.split_groups)[rest])
        if target == "benefit"
        else None
    )
    if region:
        members.append((region, scored[~in_task[scored] & (unseen.score[scored] < EVEN)]))
    lister = _Lister(traffic, splits)
    labels = [label for group, rows in members for label in lister.of_group(group, rows)]
    listed: set[tuple[str, Model]] = {(label.id, label.model) for label in labels}
    # What its group explains already is not listed twice.
    alone = [
        label
        for label in (lister.single(unseen) if single else ())
        if (label.id, label.model) not in listed
    ]
    alone.sort(key=lambda label: label.label_quality)
    return LabelReport(
        groups=tuple(group for group, _ in members), labels=(*labels, *alone), checked=len(scored)
    )


def _is_of(task: str, traffic: Traffic) -> NDArray[np.bool_]:
    """Return which samples are of a task."""
    return look_up(traffic.tasks, lambda name: name == task, np.bool_)


def down_weighted(
    fit: LabelledTokens, ids: Iterable[str], report: LabelReport, settings: LabelSettings
) -> LabelledTokens | None:
    """Return the samples that heads learn from with less weight on suspicious ones, or ``None``
    where the settings or the report change no weight.

    Parameters
    ----------
    ids : iterable of n str
        Id of each sample, in order; not read where none is suspicious.
    settings : LabelSettings
        Factors for samples of suspicious groups and for single ones; a sample that is both has the
        smaller one.
    """
    of_groups, single = report.ids(GROUPS), report.ids(["row"])
    pairs = ((single, settings.row_weight), (of_groups, settings.group_weight))
    # The smaller factor wins where a sample is suspicious twice.
    weights = {name: weight for names, weight in pairs for name in names if weight < 1.0}
    for name in single & of_groups:
        weights[name] = min(settings.row_weight, settings.group_weight)
    if not weights:
        return None
    factor = np.fromiter((weights.get(name, 1.0) for name in ids), np.float64, len(fit))
    if (factor == 1.0).all():
        return None
    return replace(fit, outcomes=replace(fit.outcomes, weight=fit.outcomes.weight * factor))


def with_suspicion(
    scored: ScoredTraffic, ids: Iterable[str], suspicious: Collection[str]
) -> ScoredTraffic:
    """Return what is judged with slices for suspicious groups and the rest; unchanged where no
    sample is suspicious.
    """
    if not suspicious:
        return scored
    names = ["suspicious" if name in suspicious else "not suspicious" for name in ids]
    return (
        replace(scored, labels={**scored.labels, "labels": names})
        if "suspicious" in names
        else scored
    )


@dataclass(frozen=True, slots=True)
class _Lister:
    """Makes entries of the report."""

    traffic: Traffic
    splits: SplitNames

    def of_group(self, group: SuspiciousGroup, rows: NDArray[np.intp]) -> Iterator[SuspiciousLabel]:
        """Yield the samples of a group whose outcome is known, labels that make up the excess
        first.
        """
        quality = _quality(self.traffic.outcomes, group.model)
        rows = rows[~np.isnan(quality[rows])]
        likely = quality * (1.0 - group.expected) + (1.0 - quality) * group.expected
        # Where too many fail, the failures are in doubt; where too few, the good answers.
        worst_first = np.argsort(
            quality[rows] if group.rate > group.expected else -quality[rows], kind="stable"
        )
        rows = rows[worst_first]
        for row, name in zip(rows, self.traffic.picked("id", rows), strict=True):
            yield self._entry(
                name,
                row,
                group.model,
                p_fails=group.expected,
                likely=likely[row],
                scope=group.scope,
                why=group.why,
            )

    def single(self, unseen: Unseen) -> Iterator[SuspiciousLabel]:
        """Yield the labels that are unlikely by themselves."""
        probabilities: dict[Model, FloatArray] = {
            "cheap": unseen.p_cheap_fails,
            "frontier": unseen.p_frontier_fails,
        }
        for model, p_fails in probabilities.items():
            quality = np.where(np.isnan(p_fails), np.nan, _quality(self.traffic.outcomes, model))
            rows, likely = unlikely_labels(p_fails, quality)
            for row, name in zip(rows, self.traffic.picked("id", rows), strict=True):
                marked = "failed" if quality[row] < EVEN else "good"
                why = (
                    f"the {model} model is marked as {marked}, which has probability"
                    f" {likely[row]:.2f} on requests like this"
                )
                p, likely_one = p_fails[row], likely[row]
                yield self._entry(
                    name, row, model, p_fails=p, likely=likely_one, scope="row", why=why
                )

    def _entry(
        self,
        name: str,
        row: np.intp,
        model: Model,
        *,
        p_fails: float,
        likely: float,
        scope: Scope,
        why: str,
    ) -> SuspiciousLabel:
        return SuspiciousLabel(
            id=name,
            task=self.traffic.tasks[int(row)],
            split=str(self.splits[row]),
            model=model,
            label=float(_quality(self.traffic.outcomes, model)[row]),
            p_fails=round(float(p_fails), 6),
            label_quality=round(float(likely), 6),
            scope=scope,
            why=why,
        )


def _quality(outcomes: Outcomes, model: Model) -> FloatArray:
    return outcomes.cheap_quality if model == "cheap" else outcomes.frontier_quality


CURVE_DRAWS = 500
_MOST_JUDGED = 20_000
"""Requests that a learning curve is judged on: every so many of more."""


def measure_curve(
    model: DifficultyModel,
    fit: LabelledTokens,
    held_out: LabelledTokens,
    *,
    labels: int,
    seed: int,
    n_draws: int = CURVE_DRAWS,
) -> LearningCurve:
    """Return the learning curve of a fitted model; it takes about half as long as fitting did.

    Parameters
    ----------
    model : DifficultyModel
        Fitted on ``fit``.
    fit, held_out : LabelledTokens
        What its heads were fitted on, and requests that they did not see. Calibration requests may
        be among them where heads kept off them: calibration does not change the order of requests.
    labels : int
        Labelled requests in all.
    seed, n_draws : int
        Of the parts and the bootstrap.
    """
    held_out = held_out[np.arange(0, len(held_out), 1 + (len(held_out) - 1) // _MOST_JUDGED)]
    # Unlabelled requests among them teach nothing, and are no part of a size.
    known: NDArray[np.intp] = np.flatnonzero(fit.outcomes.known)
    groups = pick_names(fit.groups, known)
    parts = [
        [known[rows] for rows in of_size]
        for of_size in parts_of(groups, rng=np.random.default_rng(seed))
    ]
    if parts:  # of many samples parts hold a few, and no others are read
        read = np.unique(np.concatenate([rows for of_size in parts for rows in of_size]))
        fit, places = fit[read], np.zeros(len(fit), dtype=np.intp)
        places[read] = np.arange(len(read))
        parts = [[places[rows] for rows in of_size] for of_size in parts]
    # Made one after the other: a model of each part is not kept.
    of_parts = model.scores_of_parts(
        [rows for of_size in parts for rows in of_size], fit, held_out.ids, held_out.tasks
    )
    scores = [[next(of_parts) for _ in of_size] for of_size in parts]
    scores.append([model.predict(held_out.ids, held_out.tasks).difficulty_score])
    sizes = [round(np.mean([len(rows) for rows in of_size])) for of_size in parts]
    sizes.append(len(known))
    judged = held_out_of(held_out, target=model.target)
    return learning_curve(
        sizes, scores, judged, labels=labels, rng=np.random.default_rng(seed), n_draws=n_draws
    )


def held_out_of(data: LabelledTokens, *, target: Target) -> HeldOut:
    """Return what scores of labelled requests are judged by: APGR for the target ``benefit``, the
    AUROC of failures for ``failure``.
    """
    outcomes, groups = data.outcomes, codes_of(data.groups)
    if target == "benefit":
        return HeldOut(figure="apgr", outcome=outcomes.gain, weight=outcomes.weight, groups=groups)
    failure = outcomes.cheap_failure
    failed = np.where(np.isnan(failure), np.nan, (failure > 0.5).astype(np.float64))
    return HeldOut(figure="auroc", outcome=failed, weight=outcomes.weight, groups=groups)


LEAST_TASKS = 8
"""Tasks with ``LEAST_SAMPLES`` fit samples or more that are needed: fewer say little of tasks in
general.
"""
LEAST_SAMPLES = 20
_FOLDS = 4
_MOST_SAMPLES = 20_000


def advise_familiarity(
    model: DifficultyModel, fit: LabelledTokens, calibration: LabelledTokens, *, seed: int
) -> FamiliarityAdvice:
    """Leave every task out once, four groups of tasks in turn, and recommend a ``min_familiarity``.

    Heads and familiarity are fitted again for each group (see
    :meth:`DifficultyModel.scores_of_unseen`), on at most 20,000 samples; this takes about a quarter
    as long as training did. Nothing but fit and calibration samples is used.

    Parameters
    ----------
    model : DifficultyModel
        Fitted on ``fit`` and calibrated on ``calibration``, just now: its out-of-fold scores say
        what the score carries on known tasks.
    seed : int
        Of the groups of tasks, the draws and the samples.
    """
    if model.familiarity_ is None:
        return no_advice("the model has no familiarity")
    if any(channel.knows_outcomes for channel in model.channels):
        return no_advice(
            "a fine-tuned encoder saw all tasks, so none can be left out without tuning it again"
        )
    # Samples without a task are in no fold and never left out.
    counts = count_names(fit.tasks or [None] * len(fit))
    names = np.array(sorted(name for name in counts if name))
    sizes = np.array([counts[name] for name in names.tolist()], dtype=np.int64)
    if (n_large := int((sizes >= LEAST_SAMPLES).sum())) < LEAST_TASKS:
        return no_advice(
            f"what it should be is learned by leaving tasks out, which needs {LEAST_TASKS} tasks of"
            f" at least {LEAST_SAMPLES} fit samples, and the traffic has {n_large}"
        )
    rng = np.random.default_rng(seed)
    of_folds = model.out_of_fold_.first(len(fit))
    known_lift = lift_of(
        of_folds.scores.difficulty_score, _outcome(model, fit), fit.outcomes.weight, of_folds.fold
    )
    # Enough to tell, and the time stays bounded.
    sample = np.sort(rng.permutation(len(fit))[:_MOST_SAMPLES])
    step = 1 + (len(calibration) - 1) // _MOST_SAMPLES
    calibration = calibration[np.arange(0, len(calibration), step)]
    fold_of = dict(zip(names, rng.permutation(len(names)) % _FOLDS, strict=True))
    unseen = _unseen_tasks(model, fit[sample], calibration, fold_of)
    familiarity = model.predict(calibration.ids).familiarity
    assert familiarity is not None
    return advise(unseen, known_lift=known_lift, known_familiarity=familiarity, rng=rng)


def advice_of_student() -> FamiliarityAdvice:
    """Return the advice for a model that learned from a teacher: none, as the teacher saw every
    task.
    """
    return no_advice(
        "what the model learned from its teacher holds something of every task; the teacher's own"
        " run has the advice"
    )


def _unseen_tasks(
    model: DifficultyModel,
    fit: LabelledTokens,
    calibration: LabelledTokens,
    fold_of: dict[str, int],
) -> UnseenTasks:
    """Return scores and familiarity of the fit samples whose task is known, each by a model that
    knows no sample of the task.
    """
    fold, held = (
        np.array([fold_of.get(task or "", -1) for task in data.tasks or []])
        for data in (fit, calibration)
    )
    numbers = np.unique(fold[fold >= 0])
    rows = [np.flatnonzero(fold == number) for number in numbers]
    parts = [
        (left_out, np.flatnonzero(held != number))
        for left_out, number in zip(rows, numbers, strict=True)
    ]
    scores, familiarity = np.zeros(len(fit)), np.zeros(len(fit))
    predicted = model.scores_of_unseen(parts, fit, calibration)
    for left_out, output in zip(rows, predicted, strict=True):
        scores[left_out], familiarity[left_out] = output.difficulty_score, output.familiarity
    named: NDArray[np.intp] = np.flatnonzero(fold >= 0)
    return UnseenTasks(
        score=scores[named],
        familiarity=familiarity[named],
        outcome=_outcome(model, fit)[named],
        weight=fit.outcomes.weight[named],
        tasks=np.array([task or "" for task in fit.tasks or []])[named],
        fold=fold[named],
    )


def _outcome(model: DifficultyModel, data: LabelledTokens) -> FloatArray:
    return data.outcomes.gain if model.target == "benefit" else data.outcomes.cheap_failure
