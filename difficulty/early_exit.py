"""Early exit: a light student decides the requests that are far from the threshold, and the scorer
is asked about the rest.

The student and its graph, and the cut-offs that keep a budget of changed decisions. Routers run it
in :mod:`difficulty.runtime.scorer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from scipy.special import expit, logit

from difficulty.channels import Channel, Tasks
from difficulty.channels.heads import LinearHead, Matrix, fit_ridge
from difficulty.errors import InvalidValueError, NotAttainableError, RunError
from difficulty.export.graph import requests_of
from difficulty.metrics.intervals import exact_interval
from difficulty.model.combination import Combination
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.saved_model import get_head, read_arrays
from difficulty.records import Estimate
from difficulty.tensors import GraphBuilder, Tensor
from difficulty.text import quantity_text
from difficulty.thresholds.certify import KeptLosses, losses_allowed
from difficulty.tokens import pick

FloatArray = NDArray[np.float64]
_PENALTY = 0.3
"""Of the ridge regression; from 0.03 to 1 the share of requests that leave early differs by less
than its error.
"""
# Scores are cut to this far from 0 and 1, whose logits are infinite.
_EDGE = 1e-6
_STORED_NAMES = ("blind", "informed")
"""Of the heads without and with a task, in early.npz since its first version."""


@dataclass(frozen=True, slots=True)
class OwnPart:
    """What the n-gram heads add to the score's logit: ``weight`` times P(cheap fails) - P(frontier
    fails), or times the logit of cheap.
    """

    weight: float
    of_gain: bool
    """Whether it is the difference of probabilities."""

    def __call__(self, cheap: FloatArray | float, frontier: FloatArray | float) -> FloatArray:
        """Return it for logits of both outcomes; an outcome without a head has the logit 0."""
        return np.asarray(
            self.weight * (expit(cheap) - expit(frontier) if self.of_gain else cheap),
            dtype=np.float64,
        )


@dataclass(frozen=True, slots=True)
class EarlyModel:
    """The heads that guess the rest of the logit from weighted n-grams; ``with_task`` has further
    columns for the tasks.
    """

    without_task: LinearHead
    with_task: LinearHead | None

    def predict(
        self, model: DifficultyModel, ids: Sequence[Sequence[int]], tasks: Tasks | None = None
    ) -> FloatArray:
        """Return early scores of tokenized requests; ``model`` is the one that was copied."""
        scores = _scores(model, model.without_task_, self.without_task, ids, None)
        if self.with_task is None or model.with_task_ is None or not model.tasks or tasks is None:
            return scores
        with_task = _scores(model, model.with_task_, self.with_task, ids, tasks)
        return np.where(model.tasks.known(tasks, len(ids)), with_task, scores)


def fit_early(
    model: DifficultyModel, ids: Sequence[Sequence[int]], tasks: Tasks | None
) -> EarlyModel:
    """Fit a student on the requests that a model was fitted on.

    Raises
    ------
    InvalidValueError
        If the model's first channel is not n-grams.
    """
    head = _fit(model, model.without_task_, model.predict(ids).difficulty_score, ids, None)
    if model.with_task_ is None or model.tasks is None or tasks is None:
        return EarlyModel(head, None)
    rows = np.flatnonzero(model.tasks.known(tasks, len(ids))).tolist()
    ids, tasks = pick(ids, rows), [tasks[row] for row in rows]
    score = model.predict(ids, tasks).difficulty_score
    return EarlyModel(head, _fit(model, model.with_task_, score, ids, tasks))


def light_channel(model: DifficultyModel) -> Channel:
    """Return the channel that a student reads: the model's first.

    Raises
    ------
    InvalidValueError
        If it is not n-grams, or costs as much as the model.
    """
    first = model.channels[0]
    if not first.is_light:
        raise InvalidValueError(
            "first channel", first.name, rule="be ngrams, for a student to read"
        )
    return first


def own_part(combination: Combination, column: int) -> OwnPart:
    """Return what a channel adds to the logit of a combination's score; ``column`` is its place
    among those that the combination reads.
    """
    gain, cheap = combination.gain, combination.cheap
    if gain is not None:
        # the score's calibrator reads twice the gain
        return OwnPart(float(2.0 * combination.score_calibrator.slope * gain.weights[column]), True)
    return OwnPart(float(cheap.calibrator.slope * cheap.stack.coefficients[column]), False)


def save_early(early: EarlyModel, path: Path) -> None:
    """Write a student as :func:`load_early` reads it."""
    heads = dict(zip(_STORED_NAMES, (early.without_task, early.with_task), strict=True))
    arrays = {f"{name}.coefficients": head.coefficients for name, head in heads.items() if head}
    arrays |= {
        f"{name}.intercept": np.array(head.intercept) for name, head in heads.items() if head
    }
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def load_early(path: Path) -> EarlyModel:
    """Read a student.

    Raises
    ------
    RunError
        If the file is damaged.
    """
    arrays = read_arrays(path)
    heads = [get_head(arrays, name) for name in _STORED_NAMES]
    if heads[0] is None:
        raise RunError(
            f"model file {str(path)!r} lacks the head for requests without a task. Train again."
        )
    return EarlyModel(heads[0], heads[1])


def _fit(
    model: DifficultyModel,
    combination: Combination,
    score: FloatArray,
    ids: Sequence[Sequence[int]],
    tasks: Tasks | None,
) -> LinearHead:
    vectors, own = _read(model, combination, ids, tasks)
    rest = logit(np.clip(score, _EDGE, 1.0 - _EDGE)) - own
    return fit_ridge(vectors, rest, np.ones(len(rest)), penalty=_PENALTY)


def _scores(
    model: DifficultyModel,
    combination: Combination,
    head: LinearHead,
    ids: Sequence[Sequence[int]],
    tasks: Tasks | None,
) -> FloatArray:
    vectors, own = _read(model, combination, ids, tasks)
    return np.asarray(expit(own + head.logits(vectors)), dtype=np.float64)


def _read(
    model: DifficultyModel,
    combination: Combination,
    ids: Sequence[Sequence[int]],
    tasks: Tasks | None,
) -> tuple[Matrix, FloatArray]:
    """Return what the student reads, and what the n-gram heads add to the logit."""
    first = light_channel(model)
    vectors, own = _own(model, first, own_part(combination, 0), ids, None)
    beside = model.task_channel_of(first)
    if tasks is None or beside is None:
        return vectors, own
    vectors, more = _own(model, beside, own_part(combination, len(model.channels)), ids, tasks)
    return vectors, own + more


def _own(
    model: DifficultyModel,
    channel: Channel,
    part: OwnPart,
    ids: Sequence[Sequence[int]],
    tasks: Tasks | None,
) -> tuple[Matrix, FloatArray]:
    """Return a channel's vectors, and what its heads add."""
    fitted, prepared = model.fitted_[channel.name], channel.prepare(ids, tasks)
    return channel.transform(prepared, fitted.state), part(*fitted.logits(channel, prepared)[:2])


def build_early_graph(model: DifficultyModel, early: EarlyModel) -> onnx.ModelProto:
    """Return the ONNX form of a student; inputs as those of the model's own graph, output
    ``early_score`` (float32, batch).

    Raises
    ------
    InvalidValueError
        If the model's first channel is not n-grams.
    """
    first, graph = light_channel(model), GraphBuilder()
    requests = requests_of(graph, model)
    beside = model.task_channel_of(first) if requests.task else None
    # of a branch the heads of the outcomes, cheap first, then the student's
    branches = [[*model.fitted_[first.name].heads, early.without_task]]
    owns = [[own_part(model.without_task_, 0)]]
    if beside and early.with_task and model.with_task_:
        branches.append([*model.fitted_[beside.name].heads, early.with_task])
        columns = (0, len(model.channels))
        owns.append([own_part(model.with_task_, column) for column in columns])
    heads = [head for branch in branches for head in branch]
    dim = len(early.without_task.coefficients)
    read = [LinearHead(head.coefficients[:dim], head.intercept) for head in heads]
    logits = first.export_heads(requests, model.fitted_[first.name].state, read).logits
    shifts = np.stack(
        [head.intercept + np.append(0.0, _task_weights(head, dim, model)) for head in heads], axis=1
    ).astype(np.float32)
    shift = graph.constant(shifts).take(requests.task) if requests.task else shifts[0]
    scores = _sums(logits + shift, len(branches[0]), owns).sigmoid()
    if requests.task and len(branches) > 1:
        without_task, with_task = (scores.take(column, axis=1) for column in (0, 1))
        score = (requests.task > 0).where(with_task, without_task)
    else:
        score = scores.squeeze(1)
    graph.output(score, "early_score", ["batch"])
    return graph.build("early")


def _task_weights(head: LinearHead, dim: int, model: DifficultyModel) -> NDArray[np.float64]:
    """Return what each task adds to a head's logit: nothing without columns for them."""
    n_tasks = len(model.tasks.tasks) if model.tasks else 0
    return head.coefficients[dim:] if len(head.coefficients) > dim else np.zeros(n_tasks)


def _sums(logits: Tensor, size: int, owns: list[list[OwnPart]]) -> Tensor:
    """Return the logit of each branch's score, of shape (batch, n_branches)."""
    # ``logits``: ``size`` heads a branch, the student last; ``owns``: by branch, what heads add.
    width = size * len(owns)
    # weights of the probabilities, then of the logits
    weights, bias = np.zeros((2 * width, len(owns))), np.zeros(len(owns))
    for branch, parts in enumerate(owns):
        for number, own in enumerate(parts):
            start = number * size
            weights[(0 if own.of_gain else width) + start, branch] = own.weight
            if own.of_gain and size > 2:
                weights[start + 1, branch] = -own.weight
            elif own.of_gain:
                bias[branch] -= 0.5 * own.weight  # without a head the frontier's logit is 0
        weights[width + branch * size + size - 1, branch] = 1.0
    return logits.graph.concat([logits.sigmoid(), logits], axis=1).affine(weights, bias)


CONFIDENCE = 0.95
KINDS = {"with_task": "with a known task", "without_task": "without a known task"}
"""Kinds of requests, which have cut-offs of their own, and what sentences call them."""
# a request as far off as the cut-off itself has to stay inside, whatever rounding does
_ROUNDING = 1.0 + 1e-9


class BothScores(NamedTuple):
    """Early score, score, group and weight of n requests that need a score, arrays of shape
    (n,).
    """

    early: FloatArray
    score: FloatArray
    groups: NDArray[np.str_]
    weight: FloatArray


class Width(NamedTuple):
    """Cut-offs, and what they do to the requests that they were chosen on."""

    low: float
    high: float
    figures: dict[str, Estimate]
    """See :func:`figures_of_exit`."""


def unfit(*, per_task: bool, min_familiarity: float, checked: bool = False) -> str | None:
    """Return why a policy cannot have early exit; ``None`` where it can."""
    if per_task:
        return "no early exit: its cut-offs belong to one threshold, and tasks have their own"
    if min_familiarity > 0:
        return (
            "no early exit: only the scorer says how familiar a request is, and min_familiarity"
            " asks for that"
        )
    if checked:
        return (
            "no early exit: the check of answers reads the scorer's probabilities of every request"
        )
    return None


def choose_cut_offs(
    early: FloatArray,
    score: FloatArray,
    *,
    threshold: float,
    groups: NDArray[np.str_],
    weight: FloatArray,
    budget: float,
    confidence: float = CONFIDENCE,
) -> Width:
    """Return the cut-offs that ask the scorer least and change no more decisions than ``budget``.

    Parameters
    ----------
    early, score : ndarray of shape (n,)
        Early score and score, in [0, 1], of the requests that need one.
    threshold : float
        What the score is compared with.
    groups : ndarray of shape (n,)
        Requests of one group are not independent.
    weight : ndarray of shape (n,)
        How many requests of the traffic each stands for, above 0.
    budget, confidence : float
        Most decisions that may change, as a share, and how sure that has to be; both in (0, 1).

    Raises
    ------
    NotAttainableError
        If no cut-offs can be shown to keep the budget, or those that can let no request leave
        early.
    """
    for name, value in (("budget", budget), ("confidence", confidence)):
        if not 0.0 < value < 1.0:
            raise InvalidValueError(
                name, value, rule="be in (0, 1)", hint="Shares are fractions, not percentages."
            )
    middle = float(logit(np.clip(threshold, _EDGE, 1.0 - _EDGE)))
    distance = np.abs(logit(early.astype(np.float64)) - middle)
    changes = (early > threshold) != (score > threshold)
    losses = KeptLosses(loss=changes.astype(np.float64), weight=weight, groups=groups)
    wrong = np.flatnonzero(changes)
    wrong = wrong[np.argsort(-distance[wrong], kind="stable")]
    allowed = losses_allowed(losses, wrong, alpha=budget, delta=1.0 - confidence)
    if allowed < 0:
        # n requests without a change happen with probability (1 - budget)^n at the budget
        alone = np.log(1.0 - confidence) / np.log(1.0 - budget)
        least, grouped = int(np.ceil(alone * losses.requests_a_group)), losses.test == "gamma"
        raise NotAttainableError(
            f"early exit that changes at most {budget:g} of the decisions with confidence"
            f" {confidence:g} needs {'about' if grouped else 'at least'}"
            f" {quantity_text(least, 'request')}"
            f"{' in groups and of weights like these' if grouped else ''} to choose on: got"
            f" {len(early):,}. Add traffic, or allow more with export.early_budget."
        )
    # As many of the farthest changes as are allowed lie outside; the next one must stay inside.
    width = float(distance[wrong[allowed]]) * _ROUNDING if len(wrong) > allowed else 0.0
    low, high = (float(expit(middle + side * width)) for side in (-1, 1))
    # a threshold on the edge was moved for its logit, and must not end up outside
    low, high = min(low, threshold), max(high, threshold)
    figures = figures_of_exit(early, score, threshold=threshold, low=low, high=high)
    if figures["asked"].value == 1.0:
        raise NotAttainableError(
            f"early exit that changes at most {budget:g} of the decisions would let none of"
            f" {quantity_text(len(early), 'request leaves', 'requests leave')} early: the early"
            " score says too little of the score."
            " Ship without it, or allow more with export.early_budget."
        )
    return Width(low, high, figures)


def figures_of_exit(
    early: FloatArray, score: FloatArray, *, threshold: float, low: float, high: float
) -> dict[str, Estimate]:
    """Return the share ``asked`` of requests that the scorer is asked about and the share
    ``changed`` of decisions, exact intervals.
    """
    n = len(early)
    leaves = (early < low) | (early > high)
    changed = leaves & ((early > threshold) != (score > threshold))
    if not n:
        return {
            name: Estimate(value=None, n=0, note="no request needs a score")
            for name in ("asked", "changed")
        }
    return {
        name: _share(int(count), n)
        for name, count in (("asked", n - leaves.sum()), ("changed", changed.sum()))
    }


def exit_sentences(figures: Mapping[str, Mapping[str, Estimate]], *, judged: str) -> list[str]:
    """Return a sentence for each kind of request."""
    return [
        f"of {part['asked'].n:,} {judged} requests {KINDS[kind]} the scorer is asked about"
        f" {_percent(part['asked'])}, and early exit changes {_percent(part['changed'])} of the"
        " decisions"
        for kind, part in figures.items()
    ]


def _percent(share: Estimate) -> str:
    if share.value is None or share.low is None or share.high is None:
        return "an unknown share"
    return f"{share.value:.2%} ({share.low:.2%} to {share.high:.2%})"


def _share(count: int, n: int) -> Estimate:
    low, high = exact_interval(count, n)
    return Estimate(value=count / n, low=low, high=high, n=n)
