"""Out-of-fold scores with everything inside the fold: heads, and the weights that combine them.

The model's own out-of-fold scores are by heads that did not see a request, but by weights that did.
To compare models, no fold may have a say in its own score: here the weights for fold k are fitted
on logits of the other folds, each by heads that saw neither its own fold nor k. Heads without the
folds j and k serve both ways round, so K folds take K (K + 1) / 2 fits a channel.

Logits depend on one channel alone. Models that share a channel share its logits, which is most of
the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from difficulty.channels import Channel
from difficulty.model.combination import Shares, Target, fit_combination
from difficulty.model.difficulty import LEAST_WITH_TASK, DifficultyModel
from difficulty.model.fitted_channel import fit_heads
from difficulty.model.labelled import LabelledTokens
from difficulty.model.logits import Logits
from difficulty.traffic.outcomes import Outcomes

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NestedLogits:
    """A channel's logits of both outcomes, of shape (n_folds, n): row k is by heads that saw
    neither fold k nor the request's own.
    """

    cheap: NDArray[np.float32]
    frontier: NDArray[np.float32]
    """0 where no frontier outcome is known."""
    gain: NDArray[np.float32]
    """NaN where the channel says the gain by its logits."""


@dataclass(frozen=True, slots=True)
class NestedScores:
    """Scores of n fit samples that order them, each by a model that did not see its fold: rank them
    inside each fold.

    Attributes
    ----------
    without_task : ndarray of shape (n,)
        As if no task were known.
    with_task : ndarray of shape (n,) or None
        The task is read where it is known; ``None`` where the model knows no tasks.
    """

    without_task: FloatArray
    with_task: FloatArray | None


def nested_logits(channel: Channel, data: LabelledTokens, fold: NDArray[np.int64]) -> NestedLogits:
    """Fit a channel's heads without every fold and every pair of folds.

    Parameters
    ----------
    channel : Channel
    data : LabelledTokens
        The n fit samples.
    fold : ndarray of shape (n,)
        Fold of each, from 0; requests of one group share it.
    """
    prepared = channel.prepare(data.ids, data.tasks)
    state = channel.fit(prepared) if channel.fits_once else None
    n_folds = int(fold.max()) + 1
    cheap = np.zeros((n_folds, len(data)), dtype=np.float32)
    frontier, gain = np.zeros_like(cheap), np.full_like(cheap, np.nan)
    for left, right in combinations_with_replacement(range(n_folds), 2):
        # heads that saw neither fold serve both ways round, which halves the fits
        seen = np.flatnonzero((fold != left) & (fold != right))
        own = channel.fit(prepared[seen]) if state is None else state
        fitted = fit_heads(channel, prepared, data, seen, own, None)
        for row, asked in {(left, right), (right, left)}:
            rows = np.flatnonzero(fold == asked)
            cheap[row, rows], frontier[row, rows], gain[row, rows] = fitted.logits(
                channel, prepared[rows]
            )
    return NestedLogits(cheap, frontier, gain)


def nested_scores(
    model: DifficultyModel,
    logits: Mapping[str, NestedLogits],
    data: LabelledTokens,
    fold: NDArray[np.int64],
) -> NestedScores:
    """Combine the logits of an unfitted model's channels, by name, fold by fold.

    Parameters
    ----------
    model : DifficultyModel
        Says which channels there are and which of them are read where the task is known.
    logits : mapping of str to NestedLogits
    data : LabelledTokens
        The n fit samples.
    fold : ndarray of shape (n,)
        As in :func:`nested_logits`.
    """
    everything = np.ones(len(data), dtype=np.bool_)
    without_task = np.zeros(len(data))
    channels = [logits[channel.name] for channel in model.channels]
    columns = list(range(len(channels)))
    _score_into(without_task, channels, data, fold, everything, model.shares(columns), model.target)
    if model.tasks is None:
        return NestedScores(without_task, None)
    beside, with_task = without_task.copy(), model.tasks.known(data.tasks, len(data))
    channels = [logits[channel.name] for channel in model.channels_beside_task]
    _score_into(beside, channels, data, fold, with_task, model.shares_beside_task, model.target)
    told = model.told_share
    return NestedScores(without_task, (1.0 - told) * without_task + told * beside)


def _score_into(
    scores: FloatArray,
    channels: Sequence[NestedLogits],
    data: LabelledTokens,
    fold: NDArray[np.int64],
    among: NDArray[np.bool_],
    shares: Shares,
    target: Target,
) -> None:
    """Score some requests fold by fold, in place; a fold stays as it is where the others know too
    few outcomes, as in the model.
    """
    outcomes = data.outcomes
    outcome = outcomes.gain if target == "benefit" else outcomes.cheap_failure
    for number in range(int(fold.max()) + 1):
        seen, asked = (
            np.flatnonzero(among & chosen) for chosen in (fold != number, fold == number)
        )
        if not among.all() and int((~np.isnan(outcome[seen])).sum()) < LEAST_WITH_TASK:
            continue
        columns = (
            [channel.cheap[number] for channel in channels],
            [channel.frontier[number] for channel in channels],
            [channel.gain[number] for channel in channels],
        )
        logits = Logits(*(np.column_stack(column).astype(np.float64) for column in columns))
        every = list(range(len(channels)))
        groups = [data.groups[row] for row in seen.tolist()]
        shown = shares.as_shown(logits[seen, every], outcomes[seen], fold[seen], groups)
        scores[asked] = _combined(logits, outcomes, seen, asked, shown, target)


def _combined(
    logits: Logits,
    outcomes: Outcomes,
    seen: NDArray[np.intp],
    asked: NDArray[np.intp],
    shares: Shares,
    target: Target,
) -> FloatArray:
    """Return what orders the asked requests: the expected gain, or the logit of the cheap model's
    failure.
    """
    every = list(range(logits.cheap.shape[1]))
    fitted = fit_combination(logits[seen, every], outcomes[seen], target=target, shares=shares)
    if fitted.gain:
        return fitted.gain(logits.differences[asked])
    return fitted.cheap.stack.logits(logits.cheap[asked])
