"""How often 95 % intervals hold the truth, in simulations in which it is known.

    nice python -m benchmarks.coverage -o benchmarks/results/2026-11-28-coverage

Score, probabilities, costs and the outcomes of both models follow from a difficulty that requests
of one group share in part; half of the requests share their luck too. Scores are rounded, so that
some are tied. The populations differ in how requests are grouped, in weights and in how many fail:
easy ones and hard ones. The truth of a figure is its value on a very large sample. Each simulation
draws its own requests and computes every figure that has an interval, and the change of every
figure of an operating point to another one, with the code of ``difficulty evaluate`` and
``difficulty thresholds``; the score, the probabilities and the threshold stay as they are.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from difficulty.evaluation.measure import figures_of
from difficulty.evaluation.scored import ScoredTraffic, Thresholds
from difficulty.metrics.arrays import IntArray
from difficulty.metrics.bootstrap import GroupDraws, Resampling
from difficulty.records import Estimate
from difficulty.thresholds.point import EXPECTED, changes, operating_point
from difficulty.traffic.outcomes import Outcomes

__all__ = ["POPULATIONS", "Coverage", "Population", "coverage", "main", "simulated"]

THRESHOLD, OTHER_THRESHOLD = 0.6, 0.5
CATCH_RATE = 0.6
GOAL = (0.93, 0.97)
SIZES = (100, 300, 1000)
LEAST = 300
"""Requests from which on the goal is meant."""
OFTEN = 0.5
"""Share of the simulations in which a figure has to have an interval to be listed."""
_TOP = 200
_NO_INTERVAL = ("ece", "calibration_error", "calibration_p")


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Requests as traffic may have them.

    Attributes
    ----------
    says : str
        In words.
    groups : {"own", "small", "heavy"}
        Each request its own group; one to three in a group; a Pareto(1.1) number up to 200.
    weighted : bool
        Whether weights are log-normal, as inverse propensities may be; else all are equal.
    rare : bool
        Whether the cheap model fails only 3 % of the requests.
    """

    says: str
    groups: str = "own"
    weighted: bool = False
    rare: bool = False


POPULATIONS = {
    "plain": Population(says="each request its own group"),
    "groups": Population(says="groups of one to three", groups="small"),
    "heavy groups": Population(says="groups of Pareto(1.1) size up to 200", groups="heavy"),
    "weights": Population(says="log-normal weights", weighted=True),
    "rare": Population(
        says="3 % of the requests fail, groups of one to three", groups="small", rare=True
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How often the interval of one figure held its truth.

    Attributes
    ----------
    population, figure : str
    n : int
        Requests in each simulation, about.
    truth : float
        Value on a very large sample.
    simulations : int
        Those in which the figure had an interval.
    covered, below, above : int
        Those whose interval held the truth, lay wholly below it, and wholly above.
    """

    population: str
    figure: str
    n: int
    truth: float
    simulations: int
    covered: int
    below: int
    above: int

    @property
    def share(self) -> float:
        """Share of the intervals that held the truth."""
        return self.covered / max(self.simulations, 1)


def simulated(population: Population, n: int, rng: np.random.Generator) -> ScoredTraffic:
    """Return about n judged requests of a population."""
    groups = _grouped(population.groups, n, rng)
    n, n_groups = len(groups), int(groups[-1]) + 1
    difficulty = rng.normal(size=n_groups)[groups] + rng.normal(0, 0.5, n)
    luck = np.where(rng.random(n) < 0.5, rng.random(n_groups)[groups], rng.random(n))
    # Of a difficulty of variance 1.25, an offset of 4 leaves 3 % failures.
    p_cheap = expit((4.0 if population.rare else 0.8) - difficulty)
    p_frontier = expit((6.0 if population.rare else 1.8) - 0.5 * difficulty)
    outcomes = Outcomes(
        cheap_quality=(luck < p_cheap).astype(np.float64),
        frontier_quality=(rng.random(n) < p_frontier).astype(np.float64),
        preferred_gain=np.full(n, np.nan),
        weight=rng.lognormal(0.0, 1.0, n) if population.weighted else np.ones(n),
    )
    cost = 1e-3 * np.exp(0.3 * difficulty)
    return ScoredTraffic(
        difficulty_score=np.round(expit(difficulty - rng.normal(0, 1, n)), 2),
        p_cheap_fails=1.0 - p_cheap,
        # One of the two is off, so that slopes other than 1 are judged too.
        p_frontier_fails=expit(0.6 * logit(1.0 - p_frontier) - 0.2),
        outcomes=outcomes,
        groups=groups.astype(str),
        tasks=[None] * n,
        n_tokens=np.zeros(n, dtype=np.intp),
        cheap_cost=0.05 * cost,
        frontier_cost=cost,
        target="benefit",
        threshold=THRESHOLD,
        catch_rate=CATCH_RATE,
    )


def _grouped(kind: str, n: int, rng: np.random.Generator) -> IntArray:
    """Return the group of each of about n requests."""
    if kind == "own":
        return np.arange(n)
    if kind == "small":
        sizes = rng.integers(1, 4, n // 2)
    else:
        # Their mean is 4.6; what a group holds does not depend on how large it is.
        sizes = np.minimum(1.0 + rng.pareto(1.1, round(n / 4.6)), _TOP).astype(np.intp)
    return np.repeat(np.arange(len(sizes)), sizes)


class _OneDraw(Resampling):
    """Draws that are made once for all that is judged: in the package each asks by itself, and gets
    the same from the same seed.
    """

    __slots__ = ("draws_made",)

    def of(self, groups: ArrayLike, *, rng: np.random.Generator | None = None) -> GroupDraws:
        if not hasattr(self, "draws_made"):
            object.__setattr__(self, "draws_made", super().of(groups, rng=rng))
        return cast(GroupDraws, self.draws_made)

    def affordable(self, n_requests: int) -> Resampling:
        return self


def judged(scored: ScoredTraffic, n_draws: int, *, seed: int = 0) -> dict[str, Estimate]:
    """Return all figures that have an interval, the operating point's as ``point: ...`` and its
    changes as ``change: ...``.
    """
    resampling = _OneDraw(n_draws, seed)
    figures = dict(figures_of(scored, resampling.of(scored.groups)))
    old, new = (
        operating_point(scored, Thresholds(cut), resampling, objective="none")
        for cut in (OTHER_THRESHOLD, THRESHOLD)
    )
    figures |= {f"point: {name}": getattr(new, name) for name in EXPECTED}
    moved = changes(scored, old, new, resampling)
    figures |= {f"change: {name}": estimate for name, estimate in moved.items()}
    return {
        name: figure
        for name, figure in figures.items()
        if name.removesuffix("_frontier") not in _NO_INTERVAL
    }


def coverage(
    population: str, *, n: int, n_simulations: int, n_draws: int, n_truth: int, seed: int = 0
) -> list[Coverage]:
    """Return how often the interval of each figure holds the truth.

    Parameters
    ----------
    population : str
        One of ``POPULATIONS``.
    n, n_truth : int
        Requests of a simulation, about, and of the sample that the truth is taken from.
    n_simulations, n_draws : int
        Simulations, and bootstrap draws in each.
    seed : int
        Of the simulations; each has its own stream.
    """
    kind = POPULATIONS[population]
    truth = truths(rare=kind.rare, n_truth=n_truth)
    counts = {name: np.zeros(4, dtype=np.intp) for name in truth}
    for number in range(n_simulations):
        rng = np.random.default_rng((seed, number))
        figures = judged(simulated(kind, n, rng), n_draws, seed=number)
        for name, figure in figures.items():
            if figure.low is not None and figure.high is not None:
                counts[name] += (
                    1,
                    figure.low <= truth[name] <= figure.high,
                    figure.high < truth[name],
                    figure.low > truth[name],
                )
    return [
        Coverage(
            population=population,
            figure=name,
            n=n,
            truth=truth[name],
            **dict(zip(("simulations", "covered", "below", "above"), seen.tolist(), strict=True)),
        )
        for name, seen in counts.items()
    ]


_TRUTHS: dict[tuple[bool, int], dict[str, float]] = {}


def truths(*, rare: bool, n_truth: int) -> Mapping[str, float]:
    """Return each figure's value on one very large sample.

    How requests are grouped and weighted does not move it: groups and weights do not depend on the
    requests.
    """
    if (rare, n_truth) not in _TRUTHS:
        large = simulated(
            Population(says="truth", rare=rare), n_truth, np.random.default_rng(10**6)
        )
        _TRUTHS[rare, n_truth] = {
            name: float("nan") if figure.value is None else figure.value
            for name, figure in judged(large, 1).items()
        }
    return _TRUTHS[rare, n_truth]


def main() -> None:
    """Run the simulations and write JSON and Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="path without suffix")
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--truth", type=int, default=2_000_000)
    options = parser.parse_args()
    sizes = {
        "n_simulations": options.simulations,
        "n_draws": options.draws,
        "n_truth": options.truth,
    }
    start = time.process_time()
    found = [one for name in POPULATIONS for n in SIZES for one in coverage(name, n=n, **sizes)]
    form = {
        **sizes,
        "processor_seconds": round(time.process_time() - start),
        "populations": {name: asdict(one) for name, one in POPULATIONS.items()},
        "coverage": [asdict(one) for one in found],
    }
    options.out.with_suffix(".json").write_text(json.dumps(form, indent=2) + "\n", encoding="utf-8")
    options.out.with_suffix(".md").write_text(_page(found, options), encoding="utf-8")


def too_low(found: Iterable[Coverage], *, least: float = GOAL[0]) -> list[Coverage]:
    """Return the figures whose intervals hold the truth less often than they should, beyond what
    chance does to a share of so many simulations.
    """
    return [
        one
        for one in found
        if one.simulations and one.share < least - 1.96 * np.sqrt(0.05 * 0.95 / one.simulations)
    ]


def _page(found: list[Coverage], options: argparse.Namespace) -> str:
    """Return one table a population, a row each figure."""
    error = 1.96 * np.sqrt(0.95 * 0.05 / options.simulations)
    large = [
        one for one in found if one.n >= LEAST and one.simulations >= OFTEN * options.simulations
    ]
    low = [one for one in large if one.share < GOAL[0]]
    high = [one for one in large if one.share > GOAL[1]]
    within = len(large) - len(low) - len(high)
    lines = [
        "# How often 95 % intervals hold the truth",
        "",
        f"{options.simulations:,} simulations of each size and population, {options.draws:,}"
        f" bootstrap draws each; chance alone moves a share by {error:.3f} to either side. Every"
        " figure that has an interval is here. Slices under 100 requests have none: `difficulty"
        ' evaluate` says "too few to judge" instead.',
        "",
        f"From {LEAST} requests on there are {len(large)} cells. In {within} the interval holds"
        f" the truth in 93 to 97 %, in {len(high)} more often, in {len(low)} less"
        f" often{_worst(low)}. {_beyond_chance(too_low(large))}",
        "",
        "In brackets: intervals wholly below, and wholly above, the truth. A dash: in more than"
        " half of the simulations there was no interval, because too little was seen.",
    ]
    for population in dict.fromkeys(one.population for one in found):
        rows = [one for one in found if one.population == population]
        lines += ["", *_table(population, rows, options)]
    lines += [
        "",
        "Made by",
        "",
        f"    nice python -m benchmarks.coverage -o {options.out}"
        f" --simulations {options.simulations} --draws {options.draws}",
        "",
    ]
    return "\n".join(lines)


def _worst(low: list[Coverage]) -> str:
    if not low:
        return ""
    least = min(low, key=lambda one: one.share)
    where = f"`{least.figure}`, {least.population}, {least.n:,} requests"
    return f", the least {least.share:.3f} ({where})"


def _beyond_chance(low: list[Coverage]) -> str:
    if not low:
        return "None of the latter is below 93 % by more than chance."
    names = ", ".join(f"`{one.figure}` ({one.population}, {one.n:,} requests)" for one in low)
    return f"Below 93 % by more than chance: {names}."


def _table(population: str, found: list[Coverage], options: argparse.Namespace) -> list[str]:
    by_place = {(one.figure, one.n): one for one in found}
    return [
        f"## {population[:1].upper()}{population[1:]}: {POPULATIONS[population].says}",
        "",
        "| figure | truth | " + " | ".join(f"{n:,} requests" for n in SIZES) + " |",
        "| --- " * (2 + len(SIZES)) + "|",
        *(
            f"| `{name}` | {by_place[name, SIZES[0]].truth:.4f} | "
            + " | ".join(_cell(by_place[name, n], options.simulations) for n in SIZES)
            + " |"
            for name in dict.fromkeys(one.figure for one in found)
        ),
    ]


def _cell(one: Coverage, n_simulations: int) -> str:
    if one.simulations < OFTEN * n_simulations:
        return "–"
    below, above = (side / one.simulations for side in (one.below, one.above))
    return f"{one.share:.3f} ({below:.3f}, {above:.3f})"


if __name__ == "__main__":
    main()
