"""Tasks whose failures the other tasks make implausible.

A model trained on a task with broken labels learns them, so no sample of it looks odd beside that
model's predictions. Other tasks tell: where the cheap model fails often the frontier model does so
more often too, and tasks scatter around that line. Each task is compared with the line through all
others, on the logit scale:

    logit(rate of one model) = a + b * logit(rate of the other) + scatter between tasks + binomial
    noise

The scatter is estimated from the other tasks (Paule-Mandel). The task's failures are judged as
binomial around a rate that lies as far from the line as Student's t has it, with as many degrees of
freedom as the other tasks leave; two-sided, corrected for all tasks and both models (Bonferroni).
The farthest task is set aside and the rest are judged again, so that one broken task does not hide
another.

Where only the cheap model's outcomes are known, its rate is compared with the mean of the other
tasks.

References
----------
Paule and Mandel (1982), "Consensus values and weighting factors"; Rosner (1983), "Percentage points
for a generalized ESD many-outlier procedure".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, bdtrc, expit, logit
from scipy.stats import t as student

from difficulty.diagnostics.suspicion import Model, SuspiciousGroup
from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.metrics.coded_names import count_names, look_up
from difficulty.traffic.outcomes import Outcomes

LEAST_SAMPLES = 20
"""Samples with known outcomes that a task needs to be judged."""
LEAST_TASKS = 6
"""Tasks that are needed to tell what is plausible."""
MOST_TASKS = 500
"""Tasks that are judged, the largest first."""
MOST_FLAGGED = 0.25
"""Share of the tasks that may be set aside: beyond it there is no rule left to deviate from."""
_LEAST_SCATTER = 1e-3
_ROUNDS = 50
# Where Student's t is summed, in standard deviations.
_GRID: FloatArray = np.linspace(-25.0, 25.0, 801)
EVEN = 0.5
"""``difficulty_score`` of an expected gain of 0."""
LEAST_LOSING = 20
_REGION = "samples on which the frontier model is expected to lose"
# Out-of-fold predictions count each pair of samples twice, once in either direction: the variance
# of their sum is up to double.
_TWICE = 2.0


@dataclass(frozen=True, slots=True)
class _Rates:
    """Failure rates of tasks on the logit scale, with their binomial variance; half a failure and
    half a success are added.
    """

    logit: FloatArray
    variance: FloatArray

    @classmethod
    def of(cls, failures: FloatArray, n: FloatArray) -> _Rates:
        # So that a task without failures, or with nothing else, has a finite logit.
        rate = (failures + 0.5) / (n + 1.0)
        return cls(logit(rate), 1.0 / ((n + 1.0) * rate * (1.0 - rate)))


@dataclass(frozen=True, slots=True)
class _Line:
    """What some tasks make plausible of another."""

    coefficients: FloatArray
    covariance: FloatArray
    scatter: float
    df: int

    def judge(
        self, row: FloatArray, failures: float, n: int, *, noise: float
    ) -> tuple[float, float, float]:
        """Return the expected logit, its standard deviation without binomial noise, and the
        two-sided p-value of some failures.

        Failures are binomial around a rate whose logit lies as far from the expected one as
        Student's t has it.
        """
        expected = float(row @ self.coefficients)
        # Scatter between tasks, noise of the other model's rate, and what is not known of the line.
        deviation = float(np.sqrt(self.scatter + noise + row @ self.covariance @ row))
        weight = student.pdf(_GRID, self.df)
        weight, rate = weight / weight.sum(), expit(expected + deviation * _GRID)
        # Failures may be soft (1 - quality): the tails are those of the whole numbers around them.
        at_least = (
            bdtrc(np.floor(failures) - 1.0, n, rate) if failures >= 1.0 else np.ones(len(rate))
        )
        at_most = bdtr(np.ceil(failures), n, rate)
        p_value = min(1.0, 2.0 * min(float(weight @ at_least), float(weight @ at_most)))
        return expected, deviation, p_value


def outlying_tasks(
    tasks: Sequence[str | None], outcomes: Outcomes, *, level: float = 0.005
) -> list[SuspiciousGroup]:
    """Return the tasks with implausible failure rates, the least plausible first.

    Parameters
    ----------
    tasks : sequence of n str or None
        Task of each sample; samples without one are left out.
    outcomes : Outcomes
        Where both models' outcomes are known of too few tasks, the cheap model's alone are judged.
    level : float, default 0.005
        Nominal chance of any finding when no task is an outlier. The scatter is only estimated, so
        it is somewhat larger where tasks scatter far or with heavy tails: 0.5 to 2 % of 200
        simulated sets of 12 tasks (``benchmarks/task_test.py``).

    Returns
    -------
    list of SuspiciousGroup
        Empty where fewer than six tasks have 20 samples each.
    """
    cheap, frontier = outcomes.cheap_failure, outcomes.frontier_failure
    table = _Table.of(
        tasks, ~np.isnan(cheap) & ~np.isnan(frontier), {"frontier": frontier, "cheap": cheap}
    )
    # Traffic of one pair may know the frontier model on few tasks only.
    if len(table.names) < LEAST_TASKS:
        table = _Table.of(tasks, ~np.isnan(cheap), {"cheap": cheap})
    return table.outliers(level) if len(table.names) >= LEAST_TASKS else []


@dataclass(frozen=True, slots=True)
class _Table:
    """Failures of one or two models in each task."""

    names: list[str]
    n: FloatArray
    failures: dict[Model, FloatArray]

    @classmethod
    def of(
        cls, tasks: Sequence[str | None], known: NDArray[np.bool_], failure: dict[Model, FloatArray]
    ) -> _Table:
        counts = count_names(tasks, known)
        counts = Counter({task: n for task, n in counts.items() if task})
        names = [task for task, n in counts.most_common(MOST_TASKS) if task and n >= LEAST_SAMPLES]
        place = {name: index for index, name in enumerate(names)}
        codes = look_up(tasks, lambda task: place.get(task or "", -1), np.int64)
        rows = np.flatnonzero(known & (codes >= 0))

        def total(values: FloatArray) -> FloatArray:
            sums = np.bincount(codes[rows], weights=values[rows], minlength=len(names))
            return np.asarray(sums, dtype=np.float64)

        failures = {model: total(values) for model, values in failure.items()}
        return cls(names, total(np.ones(len(tasks))), failures)

    def outliers(self, level: float) -> list[SuspiciousGroup]:
        """Set the farthest task aside for as long as it is implausible beside the rest."""
        live = list(range(len(self.names)))
        outliers: list[SuspiciousGroup] = []
        while len(live) >= LEAST_TASKS and len(outliers) < MOST_FLAGGED * len(self.names):
            judged = [self._judge(model, task, live) for model in self.failures for task in live]
            worst = min(judged, key=lambda group: group.p_value)
            if worst.p_value > level:
                break
            outliers.append(worst)
            live.remove(self.names.index(worst.name))
        return outliers

    def _judge(self, model: Model, task: int, live: list[int]) -> SuspiciousGroup:
        """Compare one model's rate in a task with what the other live tasks make plausible."""
        rest = np.array([number for number in live if number != task])
        own, other = _Rates.of(self.failures[model], self.n), self._other(model)
        line = _fit_line(own, other, rest)
        failures, n = float(self.failures[model][task]), int(self.n[task])
        noise = float(_noise(other, line.coefficients, task))
        expected, deviation, p_value = line.judge(_design(other, task), failures, n, noise=noise)
        # Without binomial noise: what is plausible of the task's rate, not of this many samples.
        reach = deviation * float(student.isf(0.025, line.df))
        return SuspiciousGroup(
            scope="task",
            name=self.names[task],
            model=model,
            n=n,
            rate=failures / n,
            expected=float(expit(expected)),
            low=float(expit(expected - reach)),
            high=float(expit(expected + reach)),
            # Bonferroni: every live task is judged, for each model.
            p_value=min(1.0, p_value * len(live) * len(self.failures)),
        )

    def _other(self, model: Model) -> _Rates | None:
        """Return the rates of the other model."""
        for name, failures in self.failures.items():
            if name != model:
                return _Rates.of(failures, self.n)
        return None


def _design(other: _Rates | None, task: int | IntArray) -> FloatArray:
    """Return a task's row of the design matrix, or the rows of several."""
    if other is None:
        return np.ones((*np.shape(task), 1))
    return np.stack([np.ones(np.shape(task)), other.logit[task]], axis=-1)


def _noise(other: _Rates | None, coefficients: FloatArray, task: int | IntArray) -> FloatArray:
    """Return the variance that the other model's noisy rate brings in."""
    if other is None:
        return np.zeros(np.shape(task))
    return np.asarray(coefficients[1] ** 2 * other.variance[task])


def _fit_line(own: _Rates, other: _Rates | None, tasks: IntArray) -> _Line:
    """Fit the line and the scatter around it, each given the other, until they settle."""
    design, y = _design(other, tasks), own.logit[tasks]
    n_coefficients = design.shape[1]
    df = len(y) - n_coefficients
    scatter, coefficients, normal = (
        float(np.var(y)),
        np.zeros(n_coefficients),
        np.eye(n_coefficients),
    )
    for _ in range(_ROUNDS):
        weight = 1.0 / (scatter + own.variance[tasks] + _noise(other, coefficients, tasks))
        normal = design.T @ (weight[:, None] * design)
        coefficients = np.asarray(
            np.linalg.solve(normal, design.T @ (weight * y)), dtype=np.float64
        )
        # Paule and Mandel's step: right when the weighted squares are as many as degrees of
        # freedom.
        before, excess = scatter, float(weight @ (y - design @ coefficients) ** 2) / df
        scatter = max(_LEAST_SCATTER, scatter * excess)
        if abs(scatter - before) < 1e-4 * before:
            break
    return _Line(coefficients, np.asarray(np.linalg.inv(normal), dtype=np.float64), scatter, df)


def losing_region(
    score: FloatArray,
    outcomes: Outcomes,
    groups: NDArray[np.str_] | IntArray,
    *,
    level: float = 0.01,
) -> SuspiciousGroup | None:
    """Return the samples with an expected loss as a suspicious group, or ``None`` where they do not
    really lose.

    Parameters
    ----------
    score : ndarray of shape (n,)
        ``difficulty_score`` for target ``benefit``, predicted without the sample itself.
    groups : ndarray of shape (n,)
        Samples of one group are not independent.
    level : float, default 0.01
        Chance of a finding when the frontier model draws level there.
    """
    comparable = ~np.isnan(outcomes.frontier_quality - outcomes.cheap_quality)
    rows = np.flatnonzero((score < EVEN) & comparable)
    if len(rows) < LEAST_LOSING:
        return None
    picked = outcomes[rows]
    failed, plausible = (
        float(np.average(rate, weights=picked.weight))
        for rate in (picked.frontier_failure, picked.cheap_failure)
    )
    # Gains are summed by group, because samples of one are not independent.
    _, codes = np.unique(groups[rows], return_inverse=True)
    sums = np.bincount(codes, weights=picked.weight * picked.gain)
    deviation, df = float(np.sqrt(_TWICE * np.sum(sums**2))), len(sums) - 1
    p_value = float(student.cdf(sums.sum() / deviation, df)) if deviation and df else 1.0
    if p_value > level:
        return None
    reach = float(student.isf(0.025, df)) * deviation / float(picked.weight.sum())
    return SuspiciousGroup(
        scope="region",
        name=_REGION,
        model="frontier",
        n=len(rows),
        rate=failed,
        expected=plausible,
        low=max(0.0, plausible - reach),
        high=min(1.0, plausible + reach),
        p_value=p_value,
    )
