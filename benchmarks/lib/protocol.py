"""The protocol that every benchmark of the score shares: sets, folds, statistics and paired
intervals.

A request's fold is ``int(sha256(key)) % 5``, with its group as key where the traffic has groups,
else the text of all messages but system ones, so equal texts share a fold. Scores are ranked inside
each fold before they are pooled, because the models of two folds differ by an offset that says
nothing about the requests. Intervals come from bootstrap draws of whole groups; all methods see the
same draws, so the difference of two is paired.

A statistic here is a function of weights of shape (..., n), one row a draw, that returns an array
of shape (...).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from difficulty.metrics import (
    debiased_interval,
    expected_calibration_error,
    percentile_interval,
    rank_within,
)
from difficulty.metrics.bootstrap import Resampling
from difficulty.metrics.ranking import Ranking, area, auroc_of, first_crossing, gap_curve
from difficulty.stages.ingest import ingest
from difficulty.traffic.table import Traffic

FOLDS = 5
BROKEN = "high_school_mathematics"
"""MMLU subject in which the frontier model is marked right on 3 % of 270 questions, far below
chance: a labelling fault upstream.
"""
N_DRAWS = 1000

FloatArray = NDArray[np.float64]
Statistic = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, eq=False)
class BenchmarkSet:
    """What two models did on n requests, and which of those belong together."""

    ids: list[str]
    cheap: FloatArray
    """Quality of the cheap model's answer, in [0, 1]."""
    frontier: FloatArray
    fold: NDArray[np.int64]
    groups: NDArray[np.str_]
    """Drawn as a whole by the bootstrap."""
    tasks: NDArray[np.str_]
    """Empty where the task is not known."""

    @classmethod
    def of(cls, traffic: Traffic) -> BenchmarkSet:
        """Return the outcomes of traffic whose every request has both."""
        outcomes, tasks = traffic.outcomes, np.array([task or "" for task in traffic.tasks])
        groups = np.asarray(traffic.split_groups)
        return cls(
            traffic.ids,
            outcomes.cheap_quality,
            outcomes.frontier_quality,
            fold_of(traffic),
            groups,
            tasks,
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def gain(self) -> FloatArray:
        """Frontier minus cheap quality, shape (n,)."""
        return self.frontier - self.cheap

    def in_one_fold(self) -> BenchmarkSet:
        """Return the same set where one model scored all of it."""
        return replace(self, fold=np.zeros(len(self), dtype=np.int64))

    def rows(self, *, without: str | None = None) -> NDArray[np.intp]:
        """Return the places of all requests, or of those of other tasks than ``without``."""
        return np.flatnonzero(self.tasks != without) if without else np.arange(len(self))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with the 95 % interval of its bootstrap draws."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def read_traffic(source: Path) -> Traffic:
    """Return the traffic of a folder or file in any format that ``difficulty ingest`` reads."""
    with tempfile.TemporaryDirectory() as scratch:
        ingest([source], Path(scratch) / "traffic.parquet")
        return Traffic.read(Path(scratch) / "traffic.parquet")


def user_texts(traffic: Traffic) -> list[str]:
    """Return the text of all messages but system ones, for each request."""
    return [
        "\n".join(m["content"] for m in messages if m["role"] != "system")
        for messages in traffic.messages()
    ]


def fold_of(traffic: Traffic) -> NDArray[np.int64]:
    """Return the fold of each request: by group where the traffic has groups, else by text."""
    keys = [
        group or text
        for group, text in zip(traffic.column("group"), user_texts(traffic), strict=True)
    ]
    return np.array([fold_number(key) for key in keys], dtype=np.int64)


def fold_number(key: str) -> int:
    """Return the fold of a key."""
    return int(sha256(key.encode()).hexdigest(), 16) % FOLDS


def recovered_curve(
    score: FloatArray, data: BenchmarkSet, rows: NDArray[np.intp]
) -> Callable[[FloatArray], tuple[FloatArray, FloatArray]]:
    """Return the curve of frontier share and recovered share of the gap on some rows, as a function
    of the weights of all.
    """
    ranking = Ranking.of(rank_within(score[rows], data.fold[rows])).at(rows)
    gain = data.gain[ranking.order]
    return lambda weight: gap_curve(ranking, gain, weight)


def apgr(score: FloatArray, data: BenchmarkSet, rows: NDArray[np.intp]) -> Statistic:
    """Return APGR on some rows."""
    curve = recovered_curve(score, data, rows)
    return lambda weight: area(*curve(weight))


def calls_for_gap(
    score: FloatArray, data: BenchmarkSet, rows: NDArray[np.intp], *, target: float
) -> Statistic:
    """Return CPT(target) on some rows."""
    curve = recovered_curve(score, data, rows)
    return lambda weight: first_crossing(*curve(weight), target)


def inside_task_auroc(
    score: FloatArray, data: BenchmarkSet, rows: NDArray[np.intp], *, pairs_across_folds: bool
) -> Statistic:
    """Return the mean over tasks of the AUROC of "the frontier model is strictly better" among the
    requests of one task.

    Parameters
    ----------
    score : ndarray of shape (n,)
    data : BenchmarkSet
    rows : ndarray of int
        The requests to judge; tasks with one kind of outcome among them are left out.
    pairs_across_folds : bool
        Whether two requests of different folds are compared, by their ranks inside their folds.
        Across folds even a score that knows the task alone falls below 0.5: a fold in which a task
        happens to go well is scored by a model for which it went badly, having seen the other folds
        alone. Among pairs inside one fold such a score has 0.5.
    """
    better = (data.gain > 0).astype(np.float64)
    ranked = np.zeros(len(data))
    ranked[rows] = rank_within(score[rows], data.fold[rows])
    cells = [
        [
            _cell(ranked, better, members)
            for members in _by_fold(of_task, data.fold, pairs_across_folds)
        ]
        for of_task in (rows[data.tasks[rows] == task] for task in np.unique(data.tasks[rows]))
    ]
    cells = [[cell for cell in task if cell is not None] for task in cells]
    return lambda weight: _mean([_pooled(task, weight) for task in cells if task])


def difference(first: Statistic, second: Statistic) -> Statistic:
    """Return the first statistic minus the second, on the same weights."""
    return lambda weight: first(weight) - second(weight)


def draw(
    statistics: Mapping[str, Statistic], groups: NDArray[np.str_], *, n_draws: int = N_DRAWS
) -> dict[str, FloatArray]:
    """Return the value of every statistic in each bootstrap draw of whole groups, shape (n_draws,);
    all see the same draws, and so do other sets of the same requests.
    """
    # one chain: the groups say where in it a set stands
    seed = int.from_bytes(sha256("\n".join(map(str, groups)).encode()).digest()[:4], "big")
    draws, ones = Resampling(n_draws, seed).of(groups), np.ones(len(groups))
    return {name: draws.values(statistic, ones) for name, statistic in statistics.items()}


def estimate(statistic: Statistic, draws: FloatArray, *, n: int, n_rows: int) -> Estimate:
    """Return a statistic on the data itself, of ``n`` requests, with the interval of its draws."""
    return Estimate(float(statistic(np.ones(n))), *percentile_interval(draws), n=n_rows)


def calibration_error(
    probability: FloatArray, failure: FloatArray, groups: NDArray[np.str_], *, n_draws: int = 200
) -> Estimate:
    """Return the ECE of a probability of failure; its interval is rid of the bias that noise
    adds.
    """

    def statistic(weight: FloatArray) -> FloatArray:
        return np.array(
            [expected_calibration_error(probability, failure, weight=row) for row in weight]
        )

    value = expected_calibration_error(probability, failure)
    draws = draw({"ece": statistic}, groups, n_draws=n_draws)["ece"]
    return Estimate(value, *debiased_interval(value, draws), n=len(failure))


Cell = tuple[Ranking, FloatArray]


def _by_fold(
    members: NDArray[np.intp], fold: NDArray[np.int64], together: bool
) -> list[NDArray[np.intp]]:
    return (
        [members]
        if together
        else [members[fold[members] == number] for number in np.unique(fold[members])]
    )


def _cell(score: FloatArray, label: FloatArray, members: NDArray[np.intp]) -> Cell | None:
    """Return the ranking and ranked labels of some requests; ``None`` where they have one label."""
    if len(np.unique(label[members])) < 2:
        return None
    ranking = Ranking.of(score[members]).at(members)
    return ranking, label[ranking.order]


def _pooled(cells: Sequence[Cell], weight: FloatArray) -> FloatArray:
    """Return the share of pairs in order over the cells of one task; NaN where no pair has
    weight.
    """
    ordered, pairs = np.zeros(weight.shape[:-1]), np.zeros(weight.shape[:-1])
    for ranking, label in cells:
        ranked = np.take(weight, ranking.order, axis=-1)
        n_pairs = (ranked * label).sum(axis=-1) * (ranked * (1.0 - label)).sum(axis=-1)
        ordered += np.where(n_pairs > 0, auroc_of(ranking, label, weight), 0.0) * n_pairs
        pairs += n_pairs
    return np.divide(ordered, pairs, out=np.full_like(pairs, np.nan), where=pairs > 0)


def _mean(values: Sequence[FloatArray]) -> FloatArray:
    """Return the mean over tasks, without those that a draw left undefined."""
    stacked = np.stack(values)
    defined = ~np.isnan(stacked)
    return np.where(defined, stacked, 0.0).sum(axis=0) / np.maximum(defined.sum(axis=0), 1)
