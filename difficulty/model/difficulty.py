"""The difficulty model: channels, one head an outcome on each, their combination, and calibration.

Fitting goes in this order, and nothing later changes what came before:

1. heads on every channel, on the fit rows; out-of-fold predictions of the same rows, folds by
   group;
2. combination weights, on the out-of-fold predictions;
3. calibrators, on the calibration rows, which share no group with the fit rows.

Where the router knows the task of a request, a second combination speaks: ``informed_`` is half way
between ``told_``, which reads heads that were fitted beside a column for each task, and ``blind_``,
which never saw one. The mean of both is better than ``told_``, which leaves to the task what the
text says of it. APGR by five folds, recipe ``fast``, ``told_`` and then both: RouteLLM MMLU 0.701
and 0.705; three sets of tool calls 0.693 and 0.707, 0.737 and 0.739, 0.556 and 0.560. Without a
known task ``blind_`` speaks alone: the score neither needs a task nor suffers from having been
trained with one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from difficulty.model.channels import (
    Channel,
    LengthChannel,
    NeighbourChannel,
    NgramChannel,
    TaskChannel,
    TaskColumns,
    TunedChannel,
    embeddings_of,
)
from difficulty.model.combination import (
    Combination,
    Logits,
    Scores,
    Target,
    fit_combination,
    mean_of,
)
from difficulty.model.familiarity import Familiarity, fit_familiarity
from difficulty.model.heads import LinearHead, Matrix, fit_head
from difficulty.model.labelled import LabelledTokens, Tasks
from difficulty.model.stacking import GainWeights, fold_numbers
from difficulty.traffic.outcomes import Outcomes

FloatArray = NDArray[np.float64]
LEAST_INFORMED = 50
"""Requests with a known task and outcome that a combination for known tasks needs."""


@dataclass(frozen=True, slots=True)
class FittedChannel:
    """What one channel learned: its state and a head for each outcome that is known."""

    state: Any
    cheap: LinearHead
    frontier: LinearHead | None


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """Scores of the fit samples, each by heads that did not see its fold, and the fold of each, of
    shape (n,).

    Combination weights and calibrators are those of the whole model. Scores of different folds come
    from different heads: rank them inside each fold.
    """

    scores: Scores
    fold: NDArray[np.int64]

    def first(self, n: int) -> OutOfFold:
        """Return those of the first ``n`` samples."""
        return OutOfFold(self.scores.first(n), self.fold[:n])


class DifficultyModel:
    """Predict how much a request needs the frontier model.

    Parameters
    ----------
    channels : sequence of Channel
        Kinds of vectors, the simplest first.
    task_channels : sequence of TaskChannel, optional
        Take the place of the other channels, neighbours excepted, where a request's task is known;
        all have the same tasks.
    target : {"benefit", "failure"}, default "benefit"
        What ``difficulty_score`` means: ``(1 + expected gain) / 2``, or P(cheap model fails).
    folds : int, default 5
        Folds of the out-of-fold predictions that combine the channels.
    rng : numpy.random.Generator, optional
        Deals groups to folds.
    start : DifficultyModel, optional
        A fitted model with the same channels, of another model pair. What its channels learned of
        the texts is kept, and heads and weights shrink towards its own; see
        :func:`~difficulty.model.warm_start.continued`.

    Attributes
    ----------
    fitted_ : dict of str to FittedChannel
    blind_, informed_ : Combination
        For requests without and with a known task; ``informed_`` is ``None`` without task channels.
    told_ : Combination
        What ``informed_`` has beside ``blind_``, not calibrated; ``None`` where that is.
    familiarity_ : Familiarity or None
        ``None`` where no channel has embeddings or n-grams.
    out_of_fold_ : OutOfFold
        Scores of the fit samples; there after ``fit`` only, it is not saved.
    """

    fitted_: dict[str, FittedChannel]
    blind_: Combination
    informed_: Combination | None
    told_: Combination | None

    def __init__(
        self,
        channels: Sequence[Channel],
        *,
        task_channels: Sequence[TaskChannel] = (),
        target: Target = "benefit",
        folds: int = 5,
        rng: np.random.Generator | None = None,
        start: DifficultyModel | None = None,
    ) -> None:
        self.channels = list(channels)
        self.task_channels = list(task_channels)
        self.target = target
        self.folds = folds
        self.rng = rng
        self.start = start

    @property
    def all_channels(self) -> list[Channel]:
        """Every channel, those with task columns last."""
        return [*self.channels, *self.task_channels]

    @property
    def tasks(self) -> TaskColumns | None:
        """The tasks that have columns; ``None`` without task channels."""
        return self.task_channels[0].columns if self.task_channels else None

    def fit(self, fit: LabelledTokens, calibration: LabelledTokens) -> DifficultyModel:
        """Fit heads and combinations on ``fit``, calibrators on ``calibration``; the two share no
        group.
        """
        self.fitted_ = {}
        prepared = [channel.prepare(fit.ids, fit.tasks) for channel in self.all_channels]
        self.fitted_ = self._fit_channels(prepared, fit, np.arange(len(fit)))
        logits, fold = self._out_of_fold(prepared, fit)
        held_out = self._logits(
            [channel.prepare(calibration.ids, calibration.tasks) for channel in self.all_channels]
        )
        everything, combining = slice(None), np.flatnonzero(self._unseen(fit.groups))
        blind = self._combine(
            logits, combining, self._blind, fit.outcomes, self.start.blind_ if self.start else None
        )
        self.blind_ = blind.calibrated(held_out[everything, self._blind], calibration.outcomes)
        self.told_ = self._fit_told(logits, fit) if self.tasks else None
        self.informed_ = self._inform(self.told_, held_out, calibration) if self.told_ else None
        self.familiarity_ = self._fit_familiarity(prepared, calibration)
        self.out_of_fold_ = OutOfFold(self._scores_of_unseen(logits, fit), fold)
        return self

    def predict(self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None) -> Scores:
        """Return the scores of tokenized requests; ``tasks`` holds a name for each request, or
        ``None`` where it is not known.
        """
        prepared = [channel.prepare(ids, tasks) for channel in self.all_channels]
        logits = self._logits(prepared)
        familiarity = self.familiarity_(*self._known_by(prepared)) if self.familiarity_ else None
        return replace(self._combined(logits, tasks, len(ids)), familiarity=familiarity)

    def scores_of_parts(
        self,
        parts: Iterable[NDArray[np.intp]],
        fit: LabelledTokens,
        ids: Sequence[Sequence[int]],
        tasks: Tasks | None = None,
    ) -> Iterator[FloatArray]:
        """Yield the difficulty scores of requests by heads that saw one part of the fit samples.

        The combination stays the fitted one: it has a handful of numbers, and fitting it again
        would cost several times as much.

        Parameters
        ----------
        parts : iterable of arrays of int
            Rows of ``fit``, one array a part.
        fit : LabelledTokens
        ids, tasks
            The n requests to score, as in :meth:`predict`.

        Yields
        ------
        ndarray of shape (n,)
        """
        prepared = [channel.prepare(fit.ids, fit.tasks) for channel in self.all_channels]
        asked = [channel.prepare(ids, tasks) for channel in self.all_channels]
        for rows in parts:
            logits = self._logits(asked, self._fit_channels(prepared, fit, rows))
            yield self._combined(logits, tasks, len(ids)).difficulty_score

    def scores_of_unseen(
        self,
        left_out: Iterable[tuple[NDArray[np.intp], NDArray[np.intp]]],
        fit: LabelledTokens,
        calibration: LabelledTokens,
    ) -> Iterator[Scores]:
        """Yield scores and familiarity of some fit samples as if they had not been there; none is
        told a task.

        Heads and familiarity are fitted again, the combination and its calibration stay the fitted
        ones.

        Parameters
        ----------
        left_out : iterable of pairs of arrays of int
            Rows of ``fit`` that are left out and scored, and rows of ``calibration`` that are still
            known: the percentiles of familiarity are taken from those.
        fit, calibration : LabelledTokens
            As in :meth:`fit`.
        """
        blind = copy(self)
        blind.task_channels = []
        prepared, held_out = (
            [channel.prepare(data.ids, data.tasks) for channel in self.channels]
            for data in (fit, calibration)
        )
        for rows, kept in left_out:
            inside, asked = (
                np.setdiff1d(np.arange(len(fit)), rows),
                [matrix[rows] for matrix in prepared],
            )
            logits = blind._logits(asked, blind._fit_channels(prepared, fit, inside))
            known = [
                self._known_by([matrix[some] for matrix in matrices])
                for matrices, some in ((prepared, inside), (held_out, kept))
            ]
            familiarity = fit_familiarity(*known, pairs=self._pairs, seed=0)
            scores = self.blind_.scores(logits[slice(None), self._blind])
            yield replace(
                scores, familiarity=familiarity(*self._known_by(asked)) if familiarity else None
            )

    def _combined(self, logits: Logits, tasks: Tasks | None, n: int) -> Scores:
        """Return the scores of the ``n`` requests whose logits these are, without familiarity."""
        blind = self.blind_.scores(logits[slice(None), self._blind])
        if self.tasks is None or self.informed_ is None or tasks is None:
            return blind
        known = self.tasks.known(tasks, n)
        informed = self.informed_.scores(logits)
        return Scores(
            difficulty_score=np.where(known, informed.difficulty_score, blind.difficulty_score),
            p_cheap_fails=np.where(known, informed.p_cheap_fails, blind.p_cheap_fails),
            p_frontier_fails=_either(known, informed.p_frontier_fails, blind.p_frontier_fails),
        )

    def _fit_familiarity(
        self, prepared: list[Matrix], calibration: LabelledTokens
    ) -> Familiarity | None:
        held_out = [channel.prepare(calibration.ids) for channel in self.channels]
        return fit_familiarity(
            self._known_by(prepared),
            self._known_by(held_out),
            pairs=self._pairs,
            centres=self._centres,
            seed=0,
        )

    @property
    def _pairs(self) -> int:
        """Columns of n-gram counts that hold token pairs."""
        return next(
            (
                channel.features.buckets
                for channel in self.channels
                if isinstance(channel, NgramChannel)
            ),
            0,
        )

    def _known_by(self, prepared: list[Matrix]) -> tuple[FloatArray | None, sp.csr_array | None]:
        """Return what familiarity reads of the prepared rows: embeddings and n-gram counts,
        ``None`` where no channel has them.
        """
        embeddings = counts = None
        for channel, matrix in zip(
            self.channels, prepared, strict=False
        ):  # the task channel comes after these
            embeddings = embeddings_of(channel, matrix) if embeddings is None else embeddings
            counts = matrix if isinstance(channel, NgramChannel) else counts
        return embeddings, counts

    def _fit_told(self, logits: Logits, fit: LabelledTokens) -> Combination | None:
        """Return what heads with a task say; ``None`` where too few requests with a known one have
        the outcomes that the others have.
        """
        assert self.tasks is not None
        rows = np.flatnonzero(self.tasks.known(fit.tasks, len(fit)))
        rows = rows[self._unseen(fit.groups)[rows]]
        outcomes = fit.outcomes[rows]
        needed = [
            outcomes.cheap_failure,
            *([outcomes.frontier_failure] if self.blind_.frontier else []),
        ]
        if min(int((~np.isnan(outcome)).sum()) for outcome in needed) < LEAST_INFORMED:
            return None
        return self._combine(
            logits, rows, self._told, fit.outcomes, self.start.told_ if self.start else None
        )

    def _inform(
        self, told: Combination, held_out: Logits, calibration: LabelledTokens
    ) -> Combination:
        """Return the combination for known tasks, calibrated on the requests that have one."""
        assert self.tasks is not None
        rows, n = (
            np.flatnonzero(self.tasks.known(calibration.tasks, len(calibration))),
            len(self.all_channels),
        )
        both = mean_of(self.blind_.among(self._blind, n), told.among(self._told, n))
        return both.calibrated(held_out[rows, list(range(n))], calibration.outcomes[rows])

    @property
    def told_channels(self) -> list[Channel]:
        """The channels that ``told_`` reads, in the order of its weights."""
        return [self.all_channels[column] for column in self._told]

    def task_channel_of(self, channel: Channel) -> TaskChannel | None:
        """Return the task channel that stands beside a channel: the one that reads the same
        vectors.
        """
        return next(
            (beside for beside in self.task_channels if beside.name == f"{channel.name}+task"), None
        )

    @property
    def _blind(self) -> list[int]:
        """Columns of the logits that need no task."""
        return list(range(len(self.channels)))

    @property
    def _told(self) -> list[int]:
        """Columns of the logits that are combined where the task is told.

        Those of the channels with task columns, for fitted beside them others add only noise, and
        of the neighbours and the tuned encoder, which say what no task does.
        """
        neighbours = [
            column
            for column, channel in enumerate(self.channels)
            if isinstance(channel, NeighbourChannel | TunedChannel)
        ]
        return [*range(len(self.channels), len(self.all_channels)), *neighbours]

    @property
    def _centres(self) -> Any:
        """The centres that the whole fit found: they hold nothing of the outcomes, so its folds and
        parts read the same.
        """
        fitted = self.fitted_.get(NeighbourChannel.name)
        return fitted.state if fitted else None

    @property
    def _tuned(self) -> tuple[int, TunedChannel] | None:
        """The column and the channel of a tuned encoder."""
        return next(
            (
                (column, channel)
                for column, channel in enumerate(self.channels)
                if isinstance(channel, TunedChannel)
            ),
            None,
        )

    def _unseen(self, groups: Sequence[str]) -> NDArray[np.bool_]:
        """Return, for each fit sample, whether its out-of-fold logits are honest: a tuned encoder
        saw all but those held out.
        """
        return (
            self._tuned[1].unseen(groups) if self._tuned else np.ones(len(groups), dtype=np.bool_)
        )

    def _combine(
        self,
        logits: Logits,
        rows: NDArray[np.intp],
        columns: list[int],
        outcomes: Outcomes,
        start: Combination | None,
    ) -> Combination:
        """Fit a combination that shrinks to an earlier one, to all channels alike beside a tuned
        encoder, or to the first.

        A tuned encoder is combined on few samples, and is no worse than the n-grams beside it; the
        length alone knows little.
        """
        read, known = logits[rows, columns], outcomes[rows]
        if not self._tuned:
            return fit_combination(
                read, known, target=self.target, start=start.gain if start else None
            )
        alike = np.array(
            [not isinstance(self.all_channels[column], LengthChannel) for column in columns],
            dtype=np.float64,
        )
        alike /= alike.sum()
        return fit_combination(
            read, known, target=self.target, start=GainWeights(alike, 0.0), prior=alike
        )

    def _scores_of_unseen(self, logits: Logits, fit: LabelledTokens) -> Scores:
        """Return scores of the fit samples, each by heads that did not see it: without the tuned
        encoder where that saw the sample.
        """
        whole = self._combined(logits, fit.tasks, len(fit))
        if not self._tuned:
            return whole
        others, unseen = (
            [column for column in self._blind if column != self._tuned[0]],
            self._unseen(fit.groups),
        )
        plain = fit_combination(
            logits[slice(None), others], fit.outcomes, target=self.target
        ).scores(logits[slice(None), others])
        return Scores(
            difficulty_score=np.where(unseen, whole.difficulty_score, plain.difficulty_score),
            p_cheap_fails=np.where(unseen, whole.p_cheap_fails, plain.p_cheap_fails),
            p_frontier_fails=_either(unseen, whole.p_frontier_fails, plain.p_frontier_fails),
        )

    def _out_of_fold(
        self, prepared: list[Matrix], data: LabelledTokens
    ) -> tuple[Logits, NDArray[np.int64]]:
        """Return logits of all channels, each request predicted without its own fold, and the
        folds.
        """
        rng = self.rng or np.random.default_rng(0)
        fold = fold_numbers(list(data.groups), folds=self.folds, rng=rng)
        cheap = np.zeros((len(data), len(prepared)))
        frontier = np.zeros_like(cheap)
        for number in np.unique(fold):
            inside, outside = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
            part = self._logits(
                [matrix[inside] for matrix in prepared], self._fit_channels(prepared, data, outside)
            )
            cheap[inside], frontier[inside] = part.cheap, part.frontier
        return Logits(cheap, frontier), fold

    def _fit_channels(
        self, prepared: list[Matrix], data: LabelledTokens, rows: NDArray[np.intp]
    ) -> dict[str, FittedChannel]:
        """Return what every channel learns from some rows."""
        started = self.start.fitted_ if self.start else {}
        fitted = {}
        for channel, matrix in zip(self.all_channels, prepared, strict=True):
            if isinstance(channel, TunedChannel) and channel.heads:
                fitted[channel.name] = FittedChannel(None, *channel.heads)
                continue
            start = started.get(channel.name)
            state = (
                start.state
                if start
                else self._centres
                if isinstance(channel, NeighbourChannel)
                else None
            )
            state = channel.fit(matrix[rows]) if state is None else state
            fitted[channel.name] = _fit_heads(channel, matrix, data, rows, state, start)
        return fitted

    def _logits(
        self, prepared: list[Matrix], fitted: dict[str, FittedChannel] | None = None
    ) -> Logits:
        cheap = np.zeros((prepared[0].shape[0], len(self.all_channels)))
        frontier = np.zeros_like(cheap)
        for column, (channel, matrix) in enumerate(zip(self.all_channels, prepared, strict=True)):
            one = (fitted or self.fitted_)[channel.name]
            cheap[:, column], frontier[:, column] = _channel_logits(channel, matrix, one)
        return Logits(cheap, frontier)


def _fit_heads(
    channel: Channel,
    prepared: Matrix,
    data: LabelledTokens,
    rows: NDArray[np.intp],
    state: Any,
    start: FittedChannel | None,
) -> FittedChannel:
    """Fit a channel's heads on some rows; from a start they begin with its heads."""
    vectors = channel.transform(prepared[rows], state)
    outcomes = data.outcomes[rows]

    def fitted(failure: FloatArray, earlier: LinearHead | None) -> LinearHead:
        return fit_head(vectors, failure, outcomes.weight, strength=channel.strength, start=earlier)

    cheap = fitted(outcomes.cheap_failure, start.cheap if start else None)
    if np.isnan(outcomes.frontier_failure).all():
        return FittedChannel(state, cheap, None)
    return FittedChannel(
        state, cheap, fitted(outcomes.frontier_failure, start.frontier if start else None)
    )


def _channel_logits(
    channel: Channel, prepared: Matrix, fitted: FittedChannel
) -> tuple[FloatArray, FloatArray | float]:
    """Return logits of both outcomes; 0 for an outcome without a head."""
    vectors = channel.transform(prepared, fitted.state)
    return fitted.cheap.logits(vectors), fitted.frontier.logits(vectors) if fitted.frontier else 0.0


def _either(
    known: NDArray[np.bool_], informed: FloatArray | None, blind: FloatArray | None
) -> FloatArray | None:
    if blind is None:
        return None
    return blind if informed is None else np.where(known, informed, blind)
