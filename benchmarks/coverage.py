"""How often 95 % intervals hold the truth, in simulations in which it is known.

    python -m benchmarks.coverage -o benchmarks/results/2026-11-25-coverage

Requests come in groups of one to three that share difficulty and, half the time, luck, as those of
a conversation do. Score, probability, costs and the outcomes of both models follow from the
difficulty; scores are rounded, so that some are tied. The truth of a figure is its value on a
sample of two million groups. Each simulation draws its own requests and computes figures and
intervals with the code of ``difficulty evaluate``: whole groups are resampled, the score and the
threshold stay as they are.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from difficulty.evaluation.figures import columns_of, ratios_at
from difficulty.evaluation.parts import Part, Ratios, calibration, ranked_figures, values_of
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.metrics import percentile_interval
from difficulty.metrics.arrays import ratio
from difficulty.metrics.bootstrap import Resampling
from difficulty.traffic.outcomes import Outcomes

__all__ = ["Coverage", "coverage", "main", "simulated"]

THRESHOLD = 0.6
CATCH_RATE = 0.6
GOAL = (0.93, 0.97)
REQUIRED = ("apgr", "frontier_share", "quality", "cost")
_BIASED = ("ece",)
"""Figures whose interval is not the plain one; see docs/metrics.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How often the interval of one figure held its truth.

    Attributes
    ----------
    figure : str
    n_groups : int
        Groups in each simulation; about twice as many requests.
    truth : float
        Value on a very large sample.
    covered : float
        Share of the simulations whose interval held it.
    below, above : float
        Share of the simulations whose interval lay wholly below, or above, the truth.
    """

    figure: str
    n_groups: int
    truth: float
    covered: float
    below: float
    above: float


def simulated(n_groups: int, rng: np.random.Generator) -> ScoredTraffic:
    """Return judged requests of some groups."""
    groups = np.repeat(np.arange(n_groups), rng.integers(1, 4, n_groups))
    n = len(groups)
    difficulty = rng.normal(size=n_groups)[groups] + rng.normal(0, 0.5, n)
    luck = np.where(rng.random(n) < 0.5, rng.random(n_groups)[groups], rng.random(n))
    p_cheap, p_frontier = (
        1 / (1 + np.exp(difficulty - 0.8)),
        1 / (1 + np.exp(0.5 * difficulty - 1.8)),
    )
    unknown = np.full(n, np.nan)
    outcomes = Outcomes(
        cheap_quality=(luck < p_cheap).astype(np.float64),
        frontier_quality=(rng.random(n) < p_frontier).astype(np.float64),
        preferred_gain=unknown,
        weight=np.ones(n),
    )
    cost = 1e-3 * np.exp(0.3 * difficulty)
    return ScoredTraffic(
        difficulty_score=np.round(1 / (1 + np.exp(rng.normal(0, 1, n) - difficulty)), 2),
        p_cheap_fails=1.0 - p_cheap,
        p_frontier_fails=None,
        outcomes=outcomes,
        groups=groups,
        tasks=[None] * n,
        n_tokens=np.zeros(n, dtype=np.intp),
        cheap_cost=0.05 * cost,
        frontier_cost=cost,
        target="benefit",
        threshold=THRESHOLD,
        catch_rate=CATCH_RATE,
    )


def coverage(*, n_groups: int, n_simulations: int, n_draws: int, n_truth: int) -> list[Coverage]:
    """Return how often the interval of each figure holds the truth.

    Parameters
    ----------
    n_groups, n_truth : int
        Groups of a simulation, and of the sample that the truth is taken from.
    n_simulations, n_draws : int
        Simulations, and bootstrap draws in each.
    """
    large = simulated(n_truth, np.random.default_rng(10**6))
    truth = {
        name: float(value[0])
        for part in _parts(large)
        for name, value in part.values(large.outcomes.weight[part.rows][None]).items()
    }
    sides = {name: np.zeros(3) for name in truth if name not in _BIASED}
    for seed in range(n_simulations):
        rng = np.random.default_rng(seed)
        judged = simulated(n_groups, rng)
        draws = Resampling(n_draws).of(judged.groups, rng=rng)
        _, resampled = values_of(_parts(judged), draws, judged.outcomes.weight)
        for name, counts in sides.items():
            low, high = percentile_interval(resampled[name])
            counts += (low <= truth[name] <= high, high < truth[name], low > truth[name])
    shares = {name: (counts / n_simulations).tolist() for name, counts in sides.items()}
    return [
        Coverage(
            figure=name,
            n_groups=n_groups,
            truth=truth[name],
            covered=covered,
            below=below,
            above=above,
        )
        for name, (covered, below, above) in shares.items()
    ]


def _parts(judged: ScoredTraffic) -> list[Part]:
    """Return the parts that ``difficulty evaluate`` takes the figures from."""
    rows = np.arange(len(judged))
    sent = judged.sent
    assert sent is not None
    ratios = {"gap": ratio(judged.outcomes.gain)} | ratios_at(columns_of(judged), sent, rows)
    ranked = ranked_figures(
        judged.difficulty_score, rows, gain=judged.outcomes.gain, label=judged.needed
    )
    return [*ranked, *calibration(judged, rows), Ratios.of(rows, ratios)]


def main() -> None:
    """Run the simulations and write JSON and Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="path without suffix")
    parser.add_argument("--groups", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--truth", type=int, default=2_000_000)
    options = parser.parse_args()
    sizes = {
        "n_simulations": options.simulations,
        "n_draws": options.draws,
        "n_truth": options.truth,
    }
    start = time.process_time()
    found = [one for n_groups in options.groups for one in coverage(n_groups=n_groups, **sizes)]
    form = {
        **sizes,
        "processor_seconds": round(time.process_time() - start),
        "coverage": [asdict(one) for one in found],
    }
    options.out.with_suffix(".json").write_text(json.dumps(form, indent=2) + "\n", encoding="utf-8")
    options.out.with_suffix(".md").write_text(_page(found, options), encoding="utf-8")


def _page(found: list[Coverage], options: argparse.Namespace) -> str:
    """Return the table, one row a figure, and whether the goal is met."""
    sizes = options.groups
    error = 1.96 * np.sqrt(0.95 * 0.05 / options.simulations)
    by_figure = {(one.figure, one.n_groups): one for one in found}
    rows = [
        f"| `{name}` | {by_figure[name, sizes[0]].truth:.4f} | "
        + " | ".join(_cell(by_figure[name, size]) for size in sizes)
        + " |"
        for name in dict.fromkeys(one.figure for one in found)
    ]
    missed = [one.figure for one in found if not GOAL[0] <= one.covered <= GOAL[1]]
    verdict = (
        "All figures are within 93 to 97 %."
        if not missed
        else f"Outside 93 to 97 %: {', '.join(dict.fromkeys(missed))}."
    )
    named = (
        ""
        if set(missed) & set(REQUIRED)
        else " Among those within are `apgr`, `frontier_share`, `quality` and `cost`."
    )
    return "\n".join(
        [
            "# How often 95 % intervals hold the truth",
            "",
            (
                f"{options.simulations:,} simulations of each size, {options.draws:,} bootstrap"
                f" draws each; chance alone moves a share by {error:.3f} to either side."
                f" {verdict}{named} In brackets: intervals wholly below, and wholly above, the"
                " truth."
            ),
            "",
            "| figure | truth | " + " | ".join(f"{size:,} groups" for size in sizes) + " |",
            "| --- " * (2 + len(sizes)) + "|",
            *rows,
            "",
            (
                "Threshold, score and calibration are held fixed in a simulation, as in `difficulty"
                " evaluate`. Made by"
            ),
            "",
            f"    python -m benchmarks.coverage -o {options.out}",
            "",
        ]
    )


def _cell(one: Coverage) -> str:
    return f"{one.covered:.3f} ({one.below:.3f}, {one.above:.3f})"


if __name__ == "__main__":
    main()
