"""What a bound on familiarity costs among known tasks, and what is recommended when tasks are left
out of training.

    python -m benchmarks.familiarity RouteLLM/routellm/evals/mmlu -o
    benchmarks/results/2026-11-27-familiarity

Traffic is split by group as ``difficulty train`` splits it; the recipe is fitted and calibrated on
its parts, and everything about known tasks is measured on the test requests. ``recommended`` runs
the code of ``difficulty train`` once for each seed, which decides into which four groups the tasks
are dealt. A bound sends the less familiar requests to the frontier model and fills the rest of the
frontier share by score; its cost is the recovered share of the gap against that without a bound, on
the same bootstrap draws of groups.
"""

from __future__ import annotations

import argparse
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lib.protocol import (
    BenchmarkSet,
    FloatArray,
    Statistic,
    difference,
    draw,
    estimate,
    read_traffic,
    recovered_curve,
)
from benchmarks.lib.recipes import Trainer
from benchmarks.lib.results import write_results
from difficulty.diagnostics.unfamiliar import BOUNDS, FamiliarityAdvice
from difficulty.model.difficulty import DifficultyModel
from difficulty.traffic.table import Traffic
from difficulty.training.assemble import build_model, known_tasks, labelled
from difficulty.training.diagnosis import advise_familiarity
from difficulty.training.shipped import find_recipe

__all__ = ["as_markdown", "costs", "main", "measured", "recovered_at"]

SHARE = 0.3


def main() -> None:
    """Run the benchmark and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "traffic", type=Path, help="labelled traffic in any format that ingest reads"
    )
    parser.add_argument("--recipe", default="fast", help="default: fast")
    parser.add_argument("--seeds", type=int, default=5, help="groupings of the tasks; default: 5")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    results = measured(
        read_traffic(arguments.traffic), recipe=arguments.recipe, n_seeds=arguments.seeds
    )
    write_results(arguments.out, results, as_markdown(results))


def measured(traffic: Traffic, *, recipe: str, n_seeds: int) -> dict[str, Any]:
    """Return all figures, as the results file holds them."""
    trainer = Trainer.of(find_recipe(recipe))
    tokens, settings = trainer.tokenize(traffic), trainer.recipe.split
    split = traffic.splits((settings.fit, settings.calibration, settings.test), trainer.recipe.seed)
    fit, calibration = (labelled(traffic, tokens, split == part) for part in ("fit", "calibration"))
    model = build_model(
        trainer.recipe, trainer.encoder, "benefit", tasks=known_tasks(trainer.recipe, fit)
    ).fit(fit, calibration)
    test = np.flatnonzero((split == "test") & ~np.isnan(traffic.outcomes.gain))
    advice = [advise_familiarity(model, fit, calibration, seed=seed) for seed in range(n_seeds)]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "recipe": recipe,
        "n": {"fit": len(fit), "calibration": len(calibration), "test": len(test)},
        "share": SHARE,
        "known": costs(model, traffic.select(test), tokens.at(test).ids),
        "unseen": _lifts(advice),
        "known_lift": advice[0].known_lift,
        "recommended": [one.recommended for one in advice],
        "sentence": advice[0].sentence,
    }


def costs(model: DifficultyModel, traffic: Traffic, ids: Any) -> list[dict[str, Any]]:
    """Return, for each bound, the recovered share of the gap at the frontier share, and its
    difference to no bound.
    """
    data = BenchmarkSet.of(traffic).in_one_fold()
    found = model.predict(ids)
    assert found.familiarity is not None
    bounds = (0.0, *BOUNDS)
    sent = {bound: float(np.mean(found.familiarity < bound)) for bound in bounds}
    bounds = tuple(bound for bound in bounds if sent[bound] < SHARE)
    statistics: dict[str, Statistic] = {
        f"{bound:g}": recovered_at(
            np.where(found.familiarity < bound, 2.0, found.difficulty_score), data
        )
        for bound in bounds
    }
    statistics |= {
        f"{bound:g} - 0": difference(statistics[f"{bound:g}"], statistics["0"])
        for bound in bounds[1:]
    }
    draws = draw(statistics, data.groups)
    estimates = {
        name: estimate(statistic, draws[name], n=len(data), n_rows=len(data))
        for name, statistic in statistics.items()
    }
    return [
        {
            "bound": bound,
            "unfamiliar_share": sent[bound],
            "recovered": _plain(estimates[f"{bound:g}"]),
            "difference": _plain(estimates[f"{bound:g} - 0"]) if bound else None,
        }
        for bound in bounds
    ]


def recovered_at(score: FloatArray, data: BenchmarkSet, *, share: float = SHARE) -> Statistic:
    """Return the recovered share of the gap where the highest scores, a given share of the
    requests, go to the frontier model.
    """
    curve = recovered_curve(score, data, np.arange(len(data)))

    def statistic(weight: FloatArray) -> FloatArray:
        shares, recovered = (np.atleast_2d(part) for part in curve(weight))
        values = np.array([np.interp(share, *row) for row in zip(shares, recovered, strict=True)])
        return values if weight.ndim > 1 else values[0]

    return statistic


def _lifts(advice: list[FamiliarityAdvice]) -> list[dict[str, Any]]:
    """Return the lift on unseen tasks below each bound by the first seed, and its range over all of
    them.
    """
    rows = []
    for number, lift in enumerate(advice[0].lifts):
        values = [one.lifts[number].value for one in advice]
        rows.append(
            {
                "bound": lift.below,
                "n": lift.n,
                "tasks": lift.tasks,
                "value": lift.value,
                "low": lift.low,
                "high": lift.high,
            }
        )
        rows[-1] |= {"least": min(values), "largest": max(values)}
    return rows


def _plain(found: Any) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}


def as_markdown(results: dict[str, Any]) -> str:
    """Return the page."""
    n, share = results["n"], results["share"]
    times = Counter(results["recommended"])
    recommended = ", ".join(
        f"{bound:g} ({count} of {times.total()} groupings)"
        for bound, count in sorted(times.items())
    )
    lines = [
        f"# Bounds on familiarity, {results['date']}",
        "",
        (
            f"Made by `benchmarks/familiarity.py`, which says how; recipe `{results['recipe']}`,"
            f" {n['fit']:,} fit, {n['calibration']:,} calibration and {n['test']:,} test requests."
        ),
        "",
        "## Known tasks",
        "",
        f"Test requests, tasks not told, frontier share {share:g}; 95 % intervals over groups.",
        "",
        (
            "| bound | less familiar requests | recovered share of the gap | minus that without a"
            " bound |"
        ),
        "| --- | --- | --- | --- |",
    ]
    for row in results["known"]:
        moved = _shown(row["difference"]) if row["difference"] else ""
        lines.append(
            f"| {row['bound']:g} | {row['unfamiliar_share']:.1%} | {_shown(row['recovered'])} |"
            f" {moved} |"
        )
    if not results["unseen"]:
        return "\n".join([*lines, "", "## Tasks left out", "", results["sentence"], ""])
    lines += [
        "",
        "## Tasks left out",
        "",
        (
            "Lift on requests of left-out tasks below each bound; on known tasks it is"
            f" {results['known_lift']:.3f}. 95 % intervals over tasks, first grouping."
        ),
        "",
        "| bound | requests | tasks | lift | over all groupings |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in results["unseen"]:
        lines.append(
            f"| {row['bound']:g} | {row['n']:,} | {row['tasks']} | {_shown(row)} |"
            f" {row['least']:.3f} to {row['largest']:.3f} |"
        )
    return "\n".join([*lines, "", f"Recommended: {recommended}.", ""])


def _shown(row: dict[str, float]) -> str:
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


if __name__ == "__main__":
    main()
