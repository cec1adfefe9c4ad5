"""How often the test of tasks cries wolf, and how often it finds a broken task, in simulations.

    python -m benchmarks.task_test -o benchmarks/results/2026-11-27-task-test

Each task has 60 samples. The logit of the cheap model's failure rate is drawn from a normal
distribution (mean -0.7, deviation 1.2), that of the frontier model's lies on the line ``-0.9 + 0.9
* logit`` with a scatter of its own, and outcomes are drawn from both rates. Heavy tails are
Student's t with three degrees of freedom, scaled to the same deviation. The broken task is the
first one, so a random one: the frontier model fails there with probability 0.95, whatever the line
says. *False alarm*: any other task is named. *Found*: that one is.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from benchmarks.lib.results import write_results
from benchmarks.lib.shares import Share
from difficulty.diagnostics.broken_tasks import outlying_tasks
from difficulty.traffic.outcomes import Outcomes

N_SAMPLES = 60
BROKEN_RATE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """How tasks are drawn.

    Attributes
    ----------
    n_tasks : int
    scatter : float
        Standard deviation of the tasks around the line, on the logit scale.
    heavy : bool
        Whether the scatter has heavy tails.
    broken : bool
        Whether the frontier labels of one task are broken.
    """

    n_tasks: int
    scatter: float
    heavy: bool
    broken: bool

    def drawn(self, rng: np.random.Generator) -> tuple[list[str], Outcomes]:
        """Return the tasks and outcomes of one set."""
        base = rng.normal(-0.7, 1.2, self.n_tasks)
        away = (
            rng.standard_t(3, self.n_tasks) / np.sqrt(3.0)
            if self.heavy
            else rng.normal(size=self.n_tasks)
        )
        rates = expit(np.stack([base, -0.9 + 0.9 * base + self.scatter * away]))
        if self.broken:
            rates[1, 0] = BROKEN_RATE
        codes = np.repeat(np.arange(self.n_tasks), N_SAMPLES)
        cheap, frontier = (rng.random((2, len(codes))) >= rates[:, codes]).astype(np.float64)
        unknown, weight = np.full(len(codes), np.nan), np.ones(len(codes))
        outcomes = Outcomes(
            cheap_quality=cheap, frontier_quality=frontier, preferred_gain=unknown, weight=weight
        )
        return [f"task {code}" for code in codes], outcomes


SCENARIOS = [
    Scenario(n_tasks=n_tasks, scatter=scatter, heavy=heavy, broken=broken)
    for n_tasks, scatter, heavy in (
        (12, 0.4, False),
        (12, 0.4, True),
        (12, 0.8, False),
        (6, 0.4, False),
    )
    for broken in (False, True)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the test made of the sets of one scenario."""

    scenario: Scenario
    false_alarm: Share
    found: Share


def simulated(scenario: Scenario, *, n_sets: int) -> Found:
    """Return in how many sets a sound task was named, and in how many the broken one."""
    false_alarms = found = 0
    for seed in range(n_sets):
        tasks, outcomes = scenario.drawn(np.random.default_rng(seed))
        names = {group.name for group in outlying_tasks(tasks, outcomes)}
        broken = {"task 0"} if scenario.broken else set()
        false_alarms += bool(names - broken)
        found += bool(names & broken)
    return Found(
        scenario=scenario, false_alarm=Share.of(false_alarms, n_sets), found=Share.of(found, n_sets)
    )


def main() -> None:
    """Run the simulations and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=200, help="simulated sets of each kind")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    found = [simulated(scenario, n_sets=arguments.sets) for scenario in SCENARIOS]
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python -m benchmarks.task_test -o {arguments.out}",
        "n_samples": N_SAMPLES,
        "broken_rate": BROKEN_RATE,
        "found": [asdict(one) for one in found],
    }
    write_results(arguments.out, results, as_markdown(results))


def as_markdown(results: dict[str, Any]) -> str:
    """Return the page."""
    rows = results["found"]
    lines = [
        f"# The test of tasks in simulations, {results['date']}",
        "",
        (
            f"{rows[0]['found']['n']:,} sets of each kind, {results['n_samples']} samples a task;"
            " in brackets exact 95 % intervals. `benchmarks/task_test.py` says how tasks are"
            " drawn. The nominal level is 0.5 %."
        ),
        "",
        (
            "| tasks | scatter | tails | false alarm, no task broken | false alarm beside a broken"
            " task | broken task found |"
        ),
        "| --- | --- | --- | --- | --- | --- |",
        *(_line(sound, broken) for sound, broken in zip(rows[::2], rows[1::2], strict=True)),
        "",
        "Made by",
        "",
        f"    {results['command']}",
        "",
    ]
    return "\n".join(lines)


def _line(sound: dict[str, Any], broken: dict[str, Any]) -> str:
    kind = sound["scenario"]
    shares = [
        Share(**one) for one in (sound["false_alarm"], broken["false_alarm"], broken["found"])
    ]
    return (
        "| "
        + " | ".join(
            map(
                str,
                [kind["n_tasks"], kind["scatter"], "heavy" if kind["heavy"] else "normal", *shares],
            )
        )
        + " |"
    )


if __name__ == "__main__":
    main()
