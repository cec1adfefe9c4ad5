"""How close to the optimum heads on n-grams end, and in how many passes, by solver.

    python -m benchmarks.heads --rows 5000 20000 -o benchmarks/results/2026-11-29-heads

Rows are those of the project's own generator; the head is that of P(the cheap model fails) on the
n-grams of the fit samples, as recipe ``fast`` has it. A pass is one evaluation of the loss and its
gradient. Differences are of probabilities of the fit samples, from those of an optimum whose
gradient is a hundredth of the smallest here. ``processor`` is the processor's time of the median of
three fits on one core.

The solvers: this package's at four ends (the largest entry of the gradient), SciPy's L-BFGS-B on
the same loss, and scikit-learn's ``LogisticRegression(solver="lbfgs")`` as it comes.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from benchmarks.lib.results import write_results
from difficulty.channels import descent
from difficulty.channels.descent import fit_logistic
from difficulty.channels.heads import hard_labels
from difficulty.channels.ngrams import NgramChannel
from difficulty.engine.threads import one_core_each
from difficulty.stages.ingest import ingest
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer
from difficulty.traffic.stored.tokenized import tokenize
from difficulty.traffic.table import Traffic
from difficulty.training.shipped import find_encoder, find_recipe
from tools.sample_traffic.generator import generate

_ENDS = (1e-2, 3e-3, 1e-3, 1e-4)
_TIMES = 3
Fit = Callable[[], tuple[np.ndarray, int]]


class _Counted:
    """Rows that count how often they are multiplied."""

    def __init__(self, rows: Any) -> None:
        self.rows, self.shape, self.passes = rows, rows.shape, 0

    def __matmul__(self, coefficients: np.ndarray) -> np.ndarray:
        self.passes += 1
        return np.asarray(self.rows @ coefficients)

    def pulled(self, residual: np.ndarray) -> np.ndarray:
        return np.asarray(self.rows.T @ residual)

    def pulled_squares(self, weight: np.ndarray) -> np.ndarray:
        return np.asarray(self.rows.power(2).T @ weight)


def _ours(rows: Any, outcome: np.ndarray, strength: float, end: float) -> Fit:
    def fit() -> tuple[np.ndarray, int]:
        counted = _Counted(rows)
        before = descent._GRADIENT, descent._GRADIENT_OF_FEW
        descent._GRADIENT = descent._GRADIENT_OF_FEW = end
        try:
            found = fit_logistic(counted, outcome, np.ones(len(outcome)), strength=strength)
        finally:
            descent._GRADIENT, descent._GRADIENT_OF_FEW = before
        return found, counted.passes

    return fit


def _scipys(rows: Any, outcome: np.ndarray, strength: float) -> Fit:
    rate = outcome.mean()
    bend = strength * rate * (1.0 - rate)
    curvature = rows.power(2).T @ np.full(len(outcome), bend)
    scale = np.sqrt(np.append(1.0 + curvature, bend * len(outcome)))

    def loss(scaled: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = scaled / scale
        z = rows @ parameters[:-1] + parameters[-1]
        residual = strength * (expit(z) - outcome)
        gradient = np.append(rows.T @ residual + parameters[:-1], residual.sum()) / scale
        misfit = strength * (np.logaddexp(0.0, z) - outcome * z).sum()
        return float(misfit + 0.5 * parameters[:-1] @ parameters[:-1]), gradient

    def fit() -> tuple[np.ndarray, int]:
        options = {"maxiter": 2_000, "gtol": 1e-3, "ftol": 0.0}
        start = np.zeros(len(scale))
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
        return found.x / scale, int(found.nfev)

    return fit


def _scikit_learns(rows: Any, outcome: np.ndarray, strength: float) -> Fit:
    chosen, labels, weight = hard_labels(outcome, np.ones(len(outcome)))

    def fit() -> tuple[np.ndarray, int]:
        model = LogisticRegression(C=strength, max_iter=2_000)
        model.fit(rows[chosen], labels, sample_weight=weight)
        return np.append(model.coef_[0], model.intercept_), int(model.n_iter_[0])

    return fit


def measure(n: int) -> dict[str, Any]:
    """Return the figures of every solver on the fit samples of n generated requests."""
    recipe = find_recipe("fast")
    encoder = find_encoder(recipe.features)
    with tempfile.TemporaryDirectory() as scratch:
        lines, path = Path(scratch) / "rows.jsonl", Path(scratch) / "traffic.parquet"
        made = generate(n, rng=np.random.default_rng(2026))
        lines.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
        ingest([lines], path)
        traffic = Traffic.read(path)
        failed = traffic.outcomes.cheap_failure
        chosen = np.flatnonzero((traffic.splits() == "fit") & ~np.isnan(failed))
        tokenizer = RequestTokenizer.from_file(encoder.tokenizer_path)
        ids = tokenize(traffic.select(chosen), view=TextView(1), tokenizer=tokenizer).ids
    assert recipe.features.ngrams
    settings = recipe.features.ngrams.as_dict()
    channel = NgramChannel(encoder.vocabulary_size, **settings)
    counts = channel.prepare([*ids])
    rows, outcome = channel.transform(counts, channel.fit(counts)), failed[chosen]
    strength = channel.strength
    fits = {f"ours, gradient {end:g}": _ours(rows, outcome, strength, end) for end in _ENDS}
    fits["SciPy, gradient 0.001"] = _scipys(rows, outcome, strength)
    fits["scikit-learn"] = _scikit_learns(rows, outcome, strength)
    best = _said(rows, _ours(rows, outcome, strength, min(_ENDS) / 100.0)()[0])
    figures = {}
    for name, fit in fits.items():
        times = []
        for _ in range(_TIMES):
            started = time.process_time()
            found, passes = fit()
            times.append(time.process_time() - started)
        off = np.abs(_said(rows, found) - best)
        figures[name] = {
            "passes": passes,
            "processor": round(median(times), 3),
            "largest": float(off.max()),
            "mean": float(off.mean()),
        }
    return {"rows": len(chosen), "solvers": figures}


def _said(rows: Any, parameters: np.ndarray) -> np.ndarray:
    return np.asarray(expit(rows @ parameters[:-1] + parameters[-1]))


def as_markdown(results: dict[str, Any]) -> str:
    """Return the page."""
    lines = [
        "# Solvers of heads",
        "",
        f"{results['date']}; {results['machine']}. Differences are of probabilities, from those of"
        " the optimum.",
        "",
        "| fit rows | solver | passes | processor, s | largest difference | mean |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for each in results["traffic"]:
        for place, (name, one) in enumerate(each["solvers"].items()):
            first = f"{each['rows']:,}" if place == 0 else ""
            lines.append(
                f"| {first} | {name} | {one['passes']} | {one['processor']:.2f} |"
                f" {one['largest']:.1e} | {one['mean']:.1e} |"
            )
    return "\n".join([*lines, "", "Made by", "", f"    {results['command']}", ""])


def main() -> None:
    """Measure and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[5_000, 20_000])
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args()
    with one_core_each():
        figures = [measure(n) for n in arguments.rows]
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": shlex.join(["python", "-m", "benchmarks.heads", *sys.argv[1:]]),
        "machine": f"{platform.machine()}, one core, Python {platform.python_version()}",
        "traffic": figures,
    }
    write_results(arguments.out, results, as_markdown(results))


if __name__ == "__main__":
    main()
