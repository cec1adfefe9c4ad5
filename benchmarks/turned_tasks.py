"""At which size the test of tasks finds turned labels, on real outcomes.

    python -m benchmarks.turned_tasks --routellm RouteLLM -o
    benchmarks/results/2026-11-28-turned-tasks

RouteLLM's MMLU without high_school_mathematics, whose frontier labels are broken upstream: 56
tasks, none of which is named. Of each task in turn a share of one model's labels is turned round,
picked by chance, and all tasks are judged as ``difficulty train`` judges them. *Named*: that task
is. *Others*: sets in which another one is.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lib.protocol import BROKEN, read_traffic
from benchmarks.lib.results import write_results
from benchmarks.lib.shares import Share
from difficulty.diagnostics.broken_tasks import outlying_tasks
from difficulty.diagnostics.suspicion import Model
from difficulty.traffic.table import Traffic

SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
MODELS: tuple[Model, ...] = ("frontier", "cheap")
SIZES = {"under 150 samples": (0, 150), "150 to 349": (150, 350), "350 and more": (350, np.inf)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """In how many tasks a share of turned labels was found."""

    model: Model
    share: float
    by_size: dict[str, Share | None]
    """``None`` where no task has this size."""
    others: Share


def measure(traffic: Traffic, model: Model, share: float, *, seed: int = 0) -> Named:
    """Turn a share of each task's labels in turn and count the tasks that are named."""
    rng, tasks = np.random.default_rng(seed), np.array(traffic.tasks)
    outcomes, column = traffic.outcomes, f"{model}_quality"
    named: dict[str, bool] = {}
    others = 0
    for task in np.unique(tasks):
        rows = np.flatnonzero(tasks == task)
        quality = getattr(outcomes, column).copy()
        picked = rng.choice(rows, size=round(share * len(rows)), replace=False)
        quality[picked] = 1.0 - quality[picked]
        names = {
            group.name for group in outlying_tasks(tasks, replace(outcomes, **{column: quality}))
        }
        named[task] = task in names
        others += bool(names - {task})
    sizes = {task: int((tasks == task).sum()) for task in named}
    by_size = {
        size: _share([named[task] for task in named if low <= sizes[task] < high])
        for size, (low, high) in SIZES.items()
    }
    return Named(model=model, share=share, by_size=by_size, others=Share.of(others, len(named)))


def main() -> None:
    """Measure and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--routellm", type=Path, required=True, help="checkout of RouteLLM")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    traffic = read_traffic(arguments.routellm / "routellm" / "evals" / "mmlu")
    traffic = traffic.select(np.array([task != BROKEN for task in traffic.tasks]))
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python -m benchmarks.turned_tasks --routellm RouteLLM -o {arguments.out}",
        "named": [asdict(measure(traffic, model, share)) for model in MODELS for share in SHARES],
    }
    write_results(arguments.out, results, as_markdown(results))


def as_markdown(results: dict[str, Any]) -> str:
    """Return the page."""
    lines = [
        f"# Turned labels that the test of tasks finds, {results['date']}",
        "",
        "RouteLLM's MMLU, each of 56 tasks in turn; in brackets exact 95 % intervals.",
        "",
        f"| labels turned round in one task | {' | '.join(SIZES)} | another task named |",
        f"| --- |{' --- |' * (len(SIZES) + 1)}",
        *(
            f"| {row['share']:.0%} of the {row['model']} labels | "
            + " | ".join(_count(share) for share in (*row["by_size"].values(), row["others"]))
            + " |"
            for row in results["named"]
        ),
        "",
        "Made by",
        "",
        f"    {results['command']}",
        "",
    ]
    return "\n".join(lines)


def _share(named: list[bool]) -> Share | None:
    return Share.of(sum(named), len(named)) if named else None


def _count(share: dict[str, Any] | None) -> str:
    return "" if share is None else f"{share['count']} of {share['n']}: {Share(**share)}"


if __name__ == "__main__":
    main()
