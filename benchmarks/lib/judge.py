"""Figures of every method on one experiment, with paired intervals, as plain values that a JSON
file can hold.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from benchmarks.lib.methods import Scored
from benchmarks.lib.protocol import (
    BROKEN,
    BenchmarkSet,
    Estimate,
    FloatArray,
    Statistic,
    apgr,
    calibration_error,
    calls_for_gap,
    draw,
    estimate,
    inside_task_auroc,
    recovered_curve,
)
from benchmarks.lib.stored import Arrays
from difficulty.metrics import brier, percentile_interval

_FIGURES = "figures"
POINTS = 101
"""Points of a cost-quality curve that are kept."""


class Judged(NamedTuple):
    """What is said of every method on one set."""

    figures: dict[str, Any]
    """As a JSON file holds them."""
    apgr: dict[str, dict[str, FloatArray]]
    """By method and figure, those of APGR alone: the value in each bootstrap draw."""

    def as_arrays(self) -> Arrays:
        """Return it as arrays of one file."""
        drawn = {
            f"{name}|{figure}": values
            for name, by_figure in self.apgr.items()
            for figure, values in by_figure.items()
        }
        return {_FIGURES: np.array(json.dumps(self.figures)), **drawn}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Judged:
        """Return what :meth:`as_arrays` gave."""
        apgr: dict[str, dict[str, FloatArray]] = {}
        for key in arrays.keys() - {_FIGURES}:
            name, figure = key.split("|")
            apgr.setdefault(name, {})[figure] = arrays[key]
        return cls(json.loads(str(arrays[_FIGURES])), apgr)


def judge(data: BenchmarkSet, methods: Sequence[Scored], *, n_draws: int) -> Judged:
    """Return the figures of every method, and the paired differences of ours from each other
    one.
    """
    rows = {"": data.rows()}
    if (data.tasks == BROKEN).any():
        rows[f"_without_{BROKEN}"] = data.rows(without=BROKEN)
    run = [method for method in methods if method.score is not None]
    draws = {
        method.name: draw(statistics_of(method.score, data, rows), data.groups, n_draws=n_draws)
        for method in run
    }
    base = data.cheap < 0.5
    figures = {
        "rows": len(data),
        "cheap_quality": float(data.cheap.mean()),
        "frontier_quality": float(data.frontier.mean()),
        "frontier_better": float((data.gain > 0).mean()),
        "base_rate_brier": float(base.mean() * (1 - base.mean())),
        "methods": {
            method.name: figures_of(method, data, rows, draws.get(method.name, {}))
            for method in methods
        },
        "differences": {
            suffix or "all": differences(run, data, where, suffix, draws)
            for suffix, where in rows.items()
        },
    }
    of_apgr = {
        name: {figure: values for figure, values in drawn.items() if figure.startswith("apgr")}
        for name, drawn in draws.items()
    }
    return Judged(figures, of_apgr)


def statistics_of(
    score: FloatArray, data: BenchmarkSet, rows: Mapping[str, np.ndarray]
) -> dict[str, Statistic]:
    """Return every figure of a ranking that has an interval."""
    found = {f"apgr{suffix}": apgr(score, data, where) for suffix, where in rows.items()}
    found |= {
        f"cpt_{target}": calls_for_gap(score, data, rows[""], target=target / 100)
        for target in (50, 80)
    }
    if len(np.unique(data.tasks)) > 1:
        for suffix, where in rows.items():
            found[f"auroc_inside_task{suffix}"] = inside_task_auroc(
                score, data, where, pairs_across_folds=False
            )
            found[f"auroc_inside_task_across_folds{suffix}"] = inside_task_auroc(
                score, data, where, pairs_across_folds=True
            )
    return found


def figures_of(
    method: Scored,
    data: BenchmarkSet,
    rows: Mapping[str, np.ndarray],
    draws: Mapping[str, FloatArray],
) -> dict[str, Any]:
    """Return the figures of one method; the reason where it could not be run."""
    head: dict[str, Any] = {"title": method.title, "kind": method.kind}
    if method.score is None:
        return head | {"reason": method.reason}
    statistics = statistics_of(method.score, data, rows)
    n_rows = {
        name: len(rows[f"_without_{BROKEN}"] if name.endswith(BROKEN) else data)
        for name in statistics
    }
    found = {
        name: asdict(estimate(one, draws[name], n=len(data), n_rows=n_rows[name]))
        for name, one in statistics.items()
    }
    found |= {
        "train_s": method.train_s,
        "score_ms": method.score_ms,
        "curve": curve_of(method.score, data),
    }
    if method.p_cheap_fails is not None:
        failure = 1.0 - data.cheap
        found["ece"] = asdict(calibration_error(method.p_cheap_fails, failure, data.groups))
        found["brier"] = brier(method.p_cheap_fails, failure)
    if method.familiarity is not None and not np.isnan(method.familiarity).any():
        found["share_below_familiarity_0.05"] = float((method.familiarity < 0.05).mean())
    if method.parity is not None:
        found["parity"] = dict(
            zip(("n", "max_difference", "flips"), method.parity.tolist(), strict=True)
        )
    return head | found


def differences(
    methods: Sequence[Scored],
    data: BenchmarkSet,
    rows: np.ndarray,
    suffix: str,
    draws: Mapping[str, Mapping[str, FloatArray]],
) -> dict[str, dict[str, Any]]:
    """Return APGR of each of ours minus that of every other method, on the same draws."""
    name = f"apgr{suffix}"
    value = {
        method.name: float(apgr(method.score, data, rows)(np.ones(len(data)))) for method in methods
    }

    def minus(ours: str, other: str) -> dict[str, Any]:
        ends = percentile_interval(draws[ours][name] - draws[other][name])
        return asdict(Estimate(value[ours] - value[other], *ends, n=len(rows)))

    ours = [method.name for method in methods if method.kind == "ours"]
    return {
        one: {method.name: minus(one, method.name) for method in methods if method.name != one}
        for one in ours
    }


def curve_of(score: FloatArray, data: BenchmarkSet) -> list[float]:
    """Return the mean quality at frontier shares from 0 to 1, in steps of one hundredth."""
    share, recovered = recovered_curve(score, data, data.rows())(np.ones(len(data)))
    at = np.interp(np.linspace(0.0, 1.0, POINTS), share, recovered)
    return [round(float(value), 5) for value in data.cheap.mean() + at * data.gain.mean()]
