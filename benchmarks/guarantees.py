"""Are promises kept? Risk objectives on public outcomes, where the truth is known.

    python -m benchmarks.guarantees --routellm RouteLLM --normalised normalised -o
    benchmarks/results/2026-11-25-guarantees

The population is a public set with out-of-fold scores of the recipe ``fast``, told the task where
there is one. 1,000 times a calibration set is drawn from it with replacement, so that draws are
independent and the truth at every threshold is that of the whole set; the objective chooses a
threshold on the draw through the same code as ``difficulty ship``. A promise is broken when the
loss of what that threshold keeps is above the level in the population. It may be broken in a share
``delta`` of the draws. *Kept* is the share of requests that stay cheap, 0 where nothing could be
promised; *best* the largest share that any threshold keeps within the level, which nobody can know
from samples.

Which score: ``risk`` is judged on ``p_cheap_fails``, the score of the target ``failure``, and on
``difficulty_score`` of the target ``benefit``; ``missed`` on the latter. Level 0.25 on MMLU was
given beforehand; the other levels are attainable ones: what the 70 % of the requests with the
lowest scores lose, rounded up to 0.01. Where testing starts (``STARTS`` in
``difficulty/thresholds/promises.py``) was chosen among four layouts on draws from MMLU; they
differed little, and none can change how often a promise is broken.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import beta

from benchmarks.lib.experiments import Experiment, experiments
from benchmarks.lib.protocol import FloatArray
from benchmarks.lib.recipes import Trainer, score_fold
from benchmarks.lib.results import write_results
from difficulty.errors import NotAttainableError
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.thresholds.policy_curve import Objective, PolicyCurve
from difficulty.traffic.outcomes import Outcomes
from difficulty.training.shipped import find_recipe

DELTA = 0.1
GIVEN_LEVEL = 0.25
USUAL_SHARE = 0.7
SIZES = {"mmlu": (500, 2800)}
"""Calibration samples: a fifth of the set is what ``train`` sets aside."""
OTHER_SIZES = (200, 900)


@dataclass(frozen=True, eq=False)
class Population:
    """A set with one score, and what is lost by keeping each request."""

    objective: str
    score_name: str
    score: FloatArray
    cheap: FloatArray
    frontier: FloatArray

    @property
    def loss(self) -> FloatArray:
        """What the objective bounds, for each request."""
        return (
            1.0 - self.cheap
            if self.objective == "risk"
            else (self.frontier > self.cheap).astype(float)
        )

    @property
    def along(self) -> tuple[FloatArray, FloatArray]:
        """Scores in ascending order, and the mean loss of all requests up to each."""
        order = np.argsort(self.score, kind="stable")
        return self.score[order], np.cumsum(self.loss[order]) / np.arange(1, len(order) + 1)

    def best(self, level: float) -> float:
        """Return the largest share that is kept within a level."""
        within = np.flatnonzero(self.along[1] <= level)
        return (within.max() + 1) / len(self.score) if len(within) else 0.0

    def drawn(self, n: int, rng: np.random.Generator) -> ScoredTraffic:
        """Return n independent requests."""
        rows, unknown = rng.integers(0, len(self.score), n), np.full(n, np.nan)
        cheap, frontier = self.cheap[rows], self.frontier[rows]
        outcomes = Outcomes(
            cheap_quality=cheap,
            frontier_quality=frontier,
            preferred_gain=unknown,
            weight=np.ones(n),
        )
        groups = np.arange(n).astype(str)
        return ScoredTraffic(
            difficulty_score=self.score[rows],
            tasks=[None] * n,
            outcomes=outcomes,
            groups=groups,
            cheap_cost=unknown,
            frontier_cost=unknown,
        )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--routellm", type=Path, required=True, help="checkout of github.com/lm-sys/RouteLLM"
    )
    parser.add_argument("--normalised", type=Path, help="folder of tool-calling outcomes")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    rows = []
    for experiment in experiments(arguments.routellm, arguments.normalised):
        if experiment.trained_on is None and experiment.name != "gsm8k":
            rows += judged(experiment, n_draws=arguments.draws)
    results = {"recipe": "fast", "delta": DELTA, "draws": arguments.draws, "rows": rows}
    write_results(arguments.out, results, as_markdown(results))


def judged(experiment: Experiment, *, n_draws: int) -> list[dict[str, Any]]:
    """Return a row for each objective, score and number of samples."""
    rows = []
    for population in populations(experiment):
        level = (
            GIVEN_LEVEL
            if experiment.name == "mmlu" and population.objective == "risk"
            else usual_level(population)
        )
        for n in SIZES.get(experiment.name, OTHER_SIZES):
            print(experiment.title, population.objective, population.score_name, n, flush=True)
            rows.append(
                {"set": experiment.title, "n": n, "level": level}
                | promises(population, level, n, n_draws=n_draws)
            )
    return rows


def populations(experiment: Experiment) -> list[Population]:
    """Return the set with each score, from models that did not see the request."""
    outcomes, trainer = experiment.outcomes, Trainer.of(find_recipe("fast"))
    benefit, failure = np.zeros(len(outcomes)), np.zeros(len(outcomes))
    for number in np.unique(outcomes.fold):
        scored = score_fold(experiment, trainer, int(number))
        benefit[outcomes.fold == number], failure[outcomes.fold == number] = (
            scored["score_task"],
            scored["p_cheap_fails_task"],
        )
    wanted = (
        ("risk", "p_cheap_fails", failure),
        ("risk", "difficulty_score", benefit),
        ("missed", "difficulty_score", benefit),
    )
    return [
        Population(objective, name, score, outcomes.cheap, outcomes.frontier)
        for objective, name, score in wanted
    ]


def usual_level(population: Population) -> float:
    """Return what is lost by keeping the usual share, rounded up."""
    mean = population.along[1]
    return float(np.ceil(100.0 * mean[round(USUAL_SHARE * len(mean)) - 1]) / 100.0)


def promises(population: Population, level: float, n: int, *, n_draws: int) -> dict[str, Any]:
    """Return how often the promise was broken, and how much was kept."""
    rng, best = np.random.default_rng(0), population.best(level)
    score, mean = population.along
    objective, kept, broken = (
        Objective(population.objective, level, {"delta": DELTA}),
        np.zeros(n_draws),
        np.zeros(n_draws, dtype=bool),
    )
    for draw in range(n_draws):
        try:
            threshold = objective.find(PolicyCurve.of(population.drawn(n, rng))).threshold
        except NotAttainableError:
            continue
        place = int(np.searchsorted(score, threshold, side="right"))
        kept[draw], broken[draw] = place / len(score), place > 0 and mean[place - 1] > level
    times = int(broken.sum())
    low, high = beta.ppf(
        [0.025, 0.975],
        [max(times, 1e-9), times + 1],
        [n_draws - times + 1, max(n_draws - times, 1e-9)],
    )
    return {
        "objective": population.objective,
        "score": population.score_name,
        "best": best,
        "broken": times / n_draws,
        "broken_low": float(low),
        "broken_high": float(high),
        "promised": float((kept > 0).mean()),
        "kept_median": float(np.median(kept)),
        "kept_mean": float(kept.mean()),
        "of_best_median": float(np.median(kept) / best) if best else None,
    }


def as_markdown(results: dict[str, Any]) -> str:
    """Return the results as a table."""
    columns = (
        "set",
        "objective",
        "score",
        "level",
        "samples",
        "broken [95 %]",
        "promised",
        "kept, median",
        "mean",
        "best",
        "median of best",
    )
    lines = ["# Are promises kept?", "", *__doc__.strip().splitlines()[4:], ""]
    lines += [
        (
            f"Recipe `{results['recipe']}`, confidence {1 - results['delta']:g},"
            f" {results['draws']:,} draws a row."
        ),
        "",
    ]
    lines += ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    for row in results["rows"]:
        cells = [
            row["set"],
            f"`{row['objective']}`",
            f"`{row['score']}`",
            f"{row['level']:.2f}",
            f"{row['n']:,}",
        ]
        cells += [
            f"{row['broken']:.3f} [{row['broken_low']:.3f}, {row['broken_high']:.3f}]",
            f"{row['promised']:.1%}",
        ]
        cells += [f"{row[name]:.3f}" for name in ("kept_median", "kept_mean", "best")]
        cells += ["" if row["of_best_median"] is None else f"{row['of_best_median']:.1%}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
