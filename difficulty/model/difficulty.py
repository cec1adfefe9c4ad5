"""The difficulty model: channels, one head an outcome on each, their combination, and calibration.

Fitting goes in this order, and nothing later changes what came before:

1. heads on every channel, on the fit rows; out-of-fold predictions of the same rows, folds by
   group;
2. combination weights, on the out-of-fold predictions;
3. calibrators, on the calibration rows, which share no group with the fit rows.

With ``calibration="cross"`` the calibration rows stand beside the fit rows in 1 and 2, and the
calibrators read the out-of-fold predictions of both: heads learn from all rows, and the level of a
probability from all of them too. Nothing that was learned then knows less of a calibration row than
of a fit row; :attr:`DifficultyModel.out_of_fold_` has scores of both that do.

Where the router knows the task of a request, a second combination speaks: ``with_task_`` stands
between ``beside_task_``, which reads heads that were fitted beside a column for each task, and
``without_task_``, which never saw one. The mean of both is better than ``beside_task_``, which
leaves to the task what the text says of it. APGR by five folds, recipe ``fast``, ``beside_task_``
and then both: RouteLLM MMLU 0.701 and 0.705; three sets of tool calls 0.693 and 0.707, 0.737 and
0.739, 0.556 and 0.560. Without a known task ``without_task_`` speaks alone: the score neither needs
a task nor suffers from having been trained with one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from difficulty.channels import Channel, Tasks
from difficulty.channels.heads import Matrix
from difficulty.channels.shards import is_many
from difficulty.channels.task_columns import BesideMeanChannel, TaskChannel, TaskColumns
from difficulty.encoders.base import StaticEncoder
from difficulty.engine.threads import in_blocks, in_threads
from difficulty.metrics.coded_names import pick_names
from difficulty.model.combination import (
    Calibration,
    Combination,
    GainWeights,
    OutOfFold,
    Scores,
    Shares,
    Target,
    fit_combination,
    fold_numbers,
    folds_of,
    mean_of,
)
from difficulty.model.familiarity import Familiarity, Known, fit_familiarity
from difficulty.model.fitted_channel import FittedChannel, fit_heads
from difficulty.model.labelled import LabelledTokens
from difficulty.model.logits import Logits

FloatArray = NDArray[np.float64]
AnyChannel = TypeVar("AnyChannel", bound=Channel)
Part = TypeVar("Part")
_BLOCK = 8_192
"""Requests that are asked about at a time."""
_ROWS = 65_536
"""Of which scores are made at a time of logits that are there."""
_TOLD_BY_MEANS = 0.75
"""What a known task counts where its mean gain is known, else half."""
LEAST_WITH_TASK = 50
"""Requests with a known task and outcome that a combination for known tasks needs."""


class DifficultyModel:
    """Predict how much a request needs the frontier model.

    Parameters
    ----------
    channels : sequence of Channel
        Kinds of vectors, the simplest first.
    task_channels : sequence of TaskChannel, optional
        Take the place of the other channels, but for those with ``read_with_task``, where a
        request's task is known; all have the same tasks.
    target : {"benefit", "failure"}, default "benefit"
        What ``difficulty_score`` means: ``(1 + expected gain) / 2``, or P(cheap model fails).
    folds : int, default 5
        Folds of the out-of-fold predictions that combine the channels.
    rng : numpy.random.Generator, optional
        Deals groups to folds.
    start : DifficultyModel, optional
        A fitted model with the same channels, of another model pair. What its channels learned of
        the texts is kept, and heads and weights shrink towards its own; see
        :func:`~difficulty.model.continuing.continued`.
    calibration : {"split", "cross"}, default "split"
        Whether heads keep off the calibration samples, or learn from them as from the fit samples.

    Attributes
    ----------
    fitted_ : dict of str to FittedChannel
    without_task_, with_task_ : Combination
        For requests without and with a known task; the second is ``None`` without task channels.
    beside_task_ : Combination
        What ``with_task_`` has beside ``without_task_``, not calibrated; ``None`` where that is.
    familiarity_ : Familiarity or None
        ``None`` where no channel has embeddings or n-grams.
    out_of_fold_ : OutOfFold
        Scores of the fit samples, and with ``calibration="cross"`` of the calibration samples after
        them; there after ``fit`` only, it is not saved.
    """

    fitted_: dict[str, FittedChannel]
    without_task_: Combination
    with_task_: Combination | None
    beside_task_: Combination | None

    def __init__(
        self,
        channels: Sequence[Channel],
        *,
        task_channels: Sequence[TaskChannel] = (),
        target: Target = "benefit",
        folds: int = 5,
        rng: np.random.Generator | None = None,
        start: DifficultyModel | None = None,
        calibration: Calibration = "split",
    ) -> None:
        self.channels = list(channels)
        self.task_channels = list(task_channels)
        self.target = target
        self.folds = folds
        self.rng = rng
        self.start = start
        self.calibration = calibration

    @property
    def all_channels(self) -> list[Channel]:
        """Every channel, those with task columns last."""
        return [*self.channels, *self.task_channels]

    @property
    def reads_numbers(self) -> bool:
        """Whether any channel reads the numbers beside the ids."""
        return any(channel.reads_numbers for channel in self.channels)

    @property
    def tasks(self) -> TaskColumns | None:
        """The tasks that have columns; ``None`` without task channels."""
        return self.task_channels[0].columns if self.task_channels else None

    def fit(
        self,
        fit: LabelledTokens,
        calibration: LabelledTokens,
        *,
        weighted: LabelledTokens | None = None,
    ) -> DifficultyModel:
        """Fit heads, combinations and calibrators.

        Parameters
        ----------
        fit, calibration : LabelledTokens
            They share no group.
        weighted : LabelledTokens, optional
            The samples that heads and combinations learn from, in the same order, with other
            weights: ``fit``, and with ``calibration="cross"`` those of ``calibration`` after them.
        """
        self.fitted_ = {}  # what is learned once is looked for here, and not to be an earlier fit's
        cross = self.calibration == "cross"
        known = fit.joined(calibration) if cross else fit
        learned = weighted or known
        fold = self._folds(learned)
        places = np.arange(len(learned))
        if is_many(len(learned)) and not cross:
            # Those of a fold stand together, so that the others share their shards.
            order = np.argsort(fold, kind="stable")
            learned, fold = learned[order], fold[order]
            places[order] = np.arange(len(order))
            del order
        prepared = self._prepare(learned.ids, learned.tasks)
        self.fitted_ = self._fit_channels(prepared, learned, np.arange(len(learned)))
        logits = self._out_of_fold(prepared, learned, fold)
        asked = self._prepare(calibration.ids, calibration.tasks)
        # what the calibrators read: logits by heads that did not see the sample
        unseen = logits.level(fold) if cross else self._logits(asked)
        judged = known if cross else calibration
        start, columns = self.start, self._without_task
        combining = np.flatnonzero(self._unseen(learned.groups))
        without_task = self._combine(
            logits, fold, combining, columns, learned, start.without_task_ if start else None
        )
        self.without_task_ = without_task.calibrated(
            unseen[slice(None), columns], judged.outcomes, spread=cross
        )
        self.beside_task_ = self._fit_beside_task(logits, fold, learned) if self.tasks else None
        self.with_task_ = self._fit_with_task(unseen, judged) if self.beside_task_ else None
        self.familiarity_ = self._fit_familiarity(
            [matrix[: len(fit)] for matrix in prepared] if cross else prepared, asked
        )
        scores = self._scores_of_unseen(unseen if cross else logits, fold, learned)
        self.out_of_fold_ = OutOfFold(scores.at(places), fold[places])
        return self

    def take_up(self, fitted: DifficultyModel) -> None:
        """Be the model that was fitted and saved; its out-of-fold scores are not saved with it."""
        self.fitted_, self.familiarity_ = fitted.fitted_, fitted.familiarity_
        self.without_task_, self.with_task_ = fitted.without_task_, fitted.with_task_
        self.beside_task_ = fitted.beside_task_

    def predict(self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None) -> Scores:
        """Return the scores of tokenized requests; ``tasks`` holds a name for each request, or
        ``None`` where it is not known.
        """
        return self.predict_both(ids, tasks)[0]

    def predict_both(
        self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None
    ) -> tuple[Scores, Scores]:
        """Return the scores as :meth:`predict` does, and those without any task."""
        if len(ids) > _BLOCK:  # what channels make of many at once is many times as much
            both = self._in_blocks(
                lambda rows: self.predict_both(ids[rows], tasks and tasks[rows]), len(ids)
            )
            told, untold = map(Scores.joined, zip(*(each for _, each in both), strict=True))
            return told, untold
        prepared = self._prepare(ids, tasks)
        logits = self._logits(prepared)
        familiarity = self.familiarity_(*self._known_by(prepared)) if self.familiarity_ else None
        told, untold = (self._combined(logits, known, len(ids)) for known in (tasks, None))
        return replace(told, familiarity=familiarity), replace(untold, familiarity=familiarity)

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
        prepared, asked = self._prepare(fit.ids, fit.tasks), self._prepare(ids, tasks)

        def scores(rows: NDArray[np.intp]) -> FloatArray:
            logits = self._logits(asked, self._fit_channels(prepared, fit, rows))
            return self._combined(logits, tasks, len(ids)).difficulty_score

        yield from in_threads(scores, parts)

    def scores_of_unseen(
        self,
        left_out: Iterable[tuple[NDArray[np.intp], NDArray[np.intp]]],
        fit: LabelledTokens,
        calibration: LabelledTokens,
    ) -> Iterator[Scores]:
        """Yield scores and familiarity of some fit samples as if they had not been there, all
        without a task.

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
        without_task = copy(self)
        without_task.task_channels = []
        prepared, held_out = (
            [
                channel.prepare(data.ids, None if channel.reads_task_beside else data.tasks)
                for channel in self.channels
            ]
            for data in (fit, calibration)
        )

        def scores(part: tuple[NDArray[np.intp], NDArray[np.intp]]) -> Scores:
            rows, still_known = part
            inside = np.setdiff1d(np.arange(len(fit)), rows)
            asked = [matrix[rows] for matrix in prepared]
            logits = without_task._logits(asked, without_task._fit_channels(prepared, fit, inside))
            familiarity = fit_familiarity(
                self._known_by([matrix[inside] for matrix in prepared]),
                self._known_by([matrix[still_known] for matrix in held_out]),
                seed=0,
            )
            said = self.without_task_.scores(logits[slice(None), self._without_task])
            return replace(
                said, familiarity=familiarity(*self._known_by(asked)) if familiarity else None
            )

        yield from in_threads(scores, left_out)

    def _prepare(self, ids: Sequence[Sequence[int]], tasks: Tasks | None) -> list[Matrix]:
        prepared = {channel.name: channel.prepare(ids, tasks) for channel in self.channels}
        besides = [each.marked(prepared[each.beside.name], tasks) for each in self.task_channels]
        return [*prepared.values(), *besides]

    def _combined(self, logits: Logits, tasks: Tasks | None, n: int) -> Scores:
        """Return the scores of the ``n`` requests whose logits these are, without familiarity."""
        without_task = self.without_task_.scores(logits[slice(None), self._without_task])
        if self.tasks is None or self.with_task_ is None or tasks is None:
            return without_task
        return self.with_task_.scores(logits).where(self.tasks.known(tasks, n), without_task)

    def _fit_familiarity(
        self, prepared: list[Matrix], held_out: list[Matrix]
    ) -> Familiarity | None:
        learned = ((channel, self.fitted_[channel.name].state) for channel in self.channels)
        # those of few rows are the rows themselves, so they must not be of calibration rows as well
        centres = (
            None if self.calibration == "cross" else channel.topic_centres(state)
            for channel, state in learned
        )
        return fit_familiarity(
            self._known_by(prepared),
            self._known_by(held_out),
            centres=next((each for each in centres if each is not None), None),
            seed=0,
        )

    def _known_by(self, prepared: list[Matrix]) -> Known:
        """Return what familiarity reads of the prepared rows, as far as a channel has it."""
        embeddings = pairs = lengths = None
        # task channels, which come after these, know no more of a request
        for channel, matrix in zip(self.channels, prepared, strict=False):
            embeddings = channel.embeddings(matrix) if embeddings is None else embeddings
            pairs = channel.pair_counts(matrix) if pairs is None else pairs
            lengths = channel.token_counts(matrix) if lengths is None else lengths
        return Known(embeddings, pairs, lengths)

    def _fit_beside_task(
        self, logits: Logits, fold: NDArray[np.int64], fit: LabelledTokens
    ) -> Combination | None:
        """Return what heads with a task say; ``None`` where too few requests with a known one have
        the outcomes that the others have.
        """
        assert self.tasks is not None
        rows = np.flatnonzero(self.tasks.known(fit.tasks, len(fit)))
        rows = rows[self._unseen(fit.groups)[rows]]
        outcomes = fit.outcomes[rows]
        needed = [
            outcomes.cheap_failure,
            *([outcomes.frontier_failure] if self.without_task_.frontier else []),
        ]
        if min(int((~np.isnan(outcome)).sum()) for outcome in needed) < LEAST_WITH_TASK:
            return None
        start = self.start.beside_task_ if self.start else None
        return self._combine(logits, fold, rows, self._beside_task, fit, start)

    def _fit_with_task(self, unseen: Logits, judged: LabelledTokens) -> Combination:
        """Return the combination for known tasks, calibrated on the requests that have one."""
        assert self.tasks is not None
        assert self.beside_task_ is not None
        rows = np.flatnonzero(self.tasks.known(judged.tasks, len(judged)))
        n = len(self.all_channels)
        both = mean_of(
            self.without_task_.among(self._without_task, n),
            self.beside_task_.among(self._beside_task, n),
            share=self.told_share,
        )
        return both.calibrated(
            unseen[rows, list(range(n))], judged.outcomes[rows], spread=self.calibration == "cross"
        )

    @property
    def told_share(self) -> float:
        """How much ``beside_task_`` counts beside ``without_task_`` where the task is known."""
        by_means = any(isinstance(channel, BesideMeanChannel) for channel in self.task_channels)
        return _TOLD_BY_MEANS if by_means else 0.5

    @property
    def channels_beside_task(self) -> list[Channel]:
        """The channels that ``beside_task_`` reads, in the order of its weights."""
        return [self.all_channels[column] for column in self._beside_task]

    def task_channel_of(self, channel: Channel) -> TaskChannel | None:
        """Return the first task channel that stands beside a channel and reads its vectors."""
        return next(iter(self.task_channels_of(channel)), None)

    def task_channels_of(self, channel: Channel) -> list[TaskChannel]:
        """Return all task channels that read a channel's vectors."""
        return [beside for beside in self.task_channels if beside.beside.name == channel.name]

    @property
    def _without_task(self) -> list[int]:
        """Columns of the logits that need no task."""
        return list(range(len(self.channels)))

    @property
    def _beside_task(self) -> list[int]:
        """Columns of the logits that are combined where the task is known.

        Those of the channels with task columns, for fitted beside them others add only noise, and
        of those which say what no task does.
        """
        others = [column for column in self._without_task if self.channels[column].read_with_task]
        return [*range(len(self.channels), len(self.all_channels)), *others]

    def shares(self, columns: list[int]) -> Shares:
        """Return how much some columns of the logits count until labels say more: beside the task
        they are averaged as gains, else as the orders that they make.
        """
        channels = [self.all_channels[column] for column in columns]
        shares = np.array([channel.share * channel.stands_alone for channel in channels])
        return Shares(
            shares if shares.any() else np.ones(len(shares)),
            by_deviation=columns == self._without_task,
            earned=np.array([channel.earns_share for channel in channels]),
        )

    @property
    def shares_beside_task(self) -> Shares:
        """Return the shares of :attr:`channels_beside_task`."""
        return self.shares(self._beside_task)

    @property
    def _learned_apart(self) -> list[int]:
        """Columns of channels whose vectors the outcomes shaped, as a tuned encoder's."""
        return [column for column in self._without_task if self.channels[column].knows_outcomes]

    def _unseen(self, groups: Sequence[str]) -> NDArray[np.bool_]:
        """Return, for each fit sample, whether its out-of-fold logits are honest: a tuned encoder
        saw all but those held out.
        """
        seen_by_none = np.all([channel.unseen(groups) for channel in self.channels], axis=0)
        return np.asarray(seen_by_none, dtype=np.bool_)

    def _combine(
        self,
        logits: Logits,
        fold: NDArray[np.int64],
        rows: NDArray[np.intp],
        columns: list[int],
        data: LabelledTokens,
        start: Combination | None,
    ) -> Combination:
        """Fit a combination that shrinks to an earlier one, to all channels alike beside a tuned
        encoder, or to the channels' shares.

        A tuned encoder is combined on few samples, and is no worse than the n-grams beside it; the
        length alone knows little.
        """
        everywhere = len(rows) == len(data)
        read = logits[slice(None) if everywhere else rows, columns]
        outcomes, target = data.outcomes if everywhere else data.outcomes[rows], self.target
        if not self._learned_apart:
            groups = data.groups if everywhere else pick_names(data.groups, rows)
            return fit_combination(
                read,
                outcomes,
                target=target,
                start=start.gain if start else None,
                shares=self.shares(columns).as_shown(read, outcomes, fold[rows], groups),
            )
        alike = np.array([float(self.all_channels[column].stands_alone) for column in columns])
        alike /= alike.sum()
        return fit_combination(
            read, outcomes, target=target, start=GainWeights(alike, 0.0), prior=alike
        )

    def _scores_of_unseen(
        self, logits: Logits, fold: NDArray[np.int64], fit: LabelledTokens
    ) -> Scores:
        """Return scores of the fit samples, each by heads that did not see it: without the tuned
        encoder where that saw the sample.
        """
        tasks = fit.tasks
        whole = Scores.joined(
            [
                self._combined(
                    logits[rows, list(range(len(self.all_channels)))],
                    tasks and tasks[rows],
                    len(range(len(fit))[rows]),
                )
                for rows in (slice(at, at + _ROWS) for at in range(0, len(fit), _ROWS))
            ]
        )
        if not self._learned_apart:
            return whole
        others = [column for column in self._without_task if column not in self._learned_apart]
        read = logits[slice(None), others]
        shares = self.shares(others).as_shown(read, fit.outcomes, fold, fit.groups)
        plain = fit_combination(read, fit.outcomes, target=self.target, shares=shares).scores(read)
        return whole.where(self._unseen(fit.groups), plain)

    def _folds(self, data: LabelledTokens) -> NDArray[np.int64]:
        rng = self.rng or np.random.default_rng(0)
        folds = folds_of(len(data), self.folds)
        return fold_numbers(data.groups, folds=folds, rng=rng)

    def _out_of_fold(
        self, prepared: list[Matrix], data: LabelledTokens, fold: NDArray[np.int64]
    ) -> Logits:
        """Return logits of all channels, each request predicted without its own fold."""
        # Of many they are a large part of the memory, and no weight rests on their last digits.
        kind = np.float32 if is_many(len(data)) else np.float64
        logits = Logits.empty(len(data), len(prepared), kind)

        def predict(number: int) -> tuple[NDArray[np.intp], Logits]:
            inside, outside = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
            fitted = self._fit_channels(prepared, data, outside)
            return inside, self._logits([matrix[inside] for matrix in prepared], fitted)

        for inside, part in in_threads(predict, np.unique(fold).tolist()):
            logits.put(inside, part)
        for column, channel in enumerate(self.channels):
            apart = channel.logits_unseen(data.ids, data.groups)
            if apart is not None:
                logits.cheap[:, column], logits.frontier[:, column] = apart
        return logits

    def _fit_channels(
        self, prepared: list[Matrix], data: LabelledTokens, rows: NDArray[np.intp]
    ) -> dict[str, FittedChannel]:
        """Return what every channel learns from some rows."""
        # A channel and those that stand beside it, one after the other.
        columns = [[channel, *self.task_channels_of(channel)] for channel in self.channels]
        matrices = {
            channel.name: matrix
            for channel, matrix in zip(self.all_channels, prepared, strict=True)
        }
        parts = in_threads(lambda chain: self._fit_chain(chain, matrices, data, rows), columns)
        fitted = {name: each for part in parts for name, each in part.items()}
        return {channel.name: fitted[channel.name] for channel in self.all_channels}

    def _fit_chain(
        self,
        chain: Sequence[Channel],
        matrices: Mapping[str, Matrix],
        data: LabelledTokens,
        rows: NDArray[np.intp],
    ) -> dict[str, FittedChannel]:
        """Return what a channel, and after it those that stand beside it, learn from some rows."""
        started = self.start.fitted_ if self.start else {}
        fitted: dict[str, FittedChannel] = {}
        for channel in chain:
            if channel.heads:
                fitted[channel.name] = FittedChannel(None, *channel.heads)
                continue
            matrix, start = matrices[channel.name], started.get(channel.name)
            # what holds nothing of the outcomes is learned on the whole fit, for its folds as well
            whole = self.fitted_.get(channel.name) if channel.fits_once else None
            earlier = start or whole
            state = earlier.state if earlier else None
            beside = fitted.get(channel.beside.name) if isinstance(channel, TaskChannel) else None
            if beside:
                state = beside.state  # the vectors are those of the channel it stands beside
            state = channel.fit(matrix[rows]) if state is None else state
            earlier_state = whole.state if whole else None
            fitted[channel.name] = fit_heads(
                channel, matrix, data, rows, state, start, earlier_state, beside
            )
        return fitted

    def _logits(
        self, prepared: list[Matrix], fitted: dict[str, FittedChannel] | None = None
    ) -> Logits:
        n = prepared[0].shape[0]
        if n > _BLOCK:
            whole = Logits.empty(n, len(self.all_channels), np.float64)
            for rows, part in self._in_blocks(
                lambda rows: self._logits([matrix[rows] for matrix in prepared], fitted), n
            ):
                whole.put(rows, part)
            return whole
        cheap = np.zeros((n, len(self.all_channels)))
        frontier, gain = np.zeros_like(cheap), np.full(cheap.shape, np.nan)
        vectors: dict[str, Matrix] = {}
        for column, (channel, matrix) in enumerate(zip(self.all_channels, prepared, strict=True)):
            learned = (fitted or self.fitted_)[channel.name]
            vectors[channel.name] = (
                channel.beside_vectors(vectors[channel.beside.name], matrix)
                if isinstance(channel, TaskChannel)
                else channel.transform(matrix, learned.state)
            )
            said = learned.logits_of(vectors[channel.name])
            cheap[:, column], frontier[:, column], gain[:, column] = said
        return Logits(cheap, frontier, gain)

    def _in_blocks(self, work: Callable[[slice], Part], n: int) -> list[tuple[slice, Part]]:
        encoders = [getattr(channel, "encoder", None) for channel in self.channels]
        # Others have threads, or an engine, of their own.
        quick = all(isinstance(each, StaticEncoder | None) for each in encoders)
        return in_blocks(work, n, size=_BLOCK, threads=quick)
