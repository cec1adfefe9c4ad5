"""Where to cut 1 / propensity: error of the weighted failure rate of logs, whose truth is known.

    python -m benchmarks.clipping -o benchmarks/results/2026-11-27-clipping

Each log draws its own requests, of which the cheap model fails 30 %, independently. A policy
guesses which, right three times in four, and takes the cheap route with probability 0.9 where it
expects a good answer and with its smallest propensity where it does not. The log is weighted by the
code of ``difficulty train`` with each cut; the error is the weighted failure rate of the cheap
outcomes in the log minus the failure rate of all its requests. Figures are root mean squares over
the logs, with bootstrap intervals; all cuts see the same logs.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.lib.repetitions import Repeated, root_mean_squares, surroundings, table, write
from benchmarks.lib.simulated_logs import Policy, with_columns
from difficulty.metrics.arrays import ratio
from difficulty.recipe import LabelSettings
from difficulty.stages.ingest import ingest
from difficulty.traffic.logged import weigh_logged
from difficulty.traffic.table import pa, pq

FAILS = 0.3
SMALLEST = (0.1, 0.05, 0.02, 0.005)
SIZES = (1_000, 10_000)
SHIPPED = LabelSettings().largest_weight
CUTS = (5.0, 10.0, 20.0, 50.0, 100.0, 1e9)
"""The last one cuts nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Errors of one policy on logs of one size, a figure for each cut."""

    smallest: float
    requests: int
    error: list[Repeated]
    more: list[Repeated]
    """How much larger the error is than with the cut that is shipped."""


def clipped(requests: pa.Table, smallest: float, *, logs: int) -> Found:
    """Return the errors of a policy."""
    errors = np.array(
        [errors_of(requests, smallest, np.random.default_rng(seed)) for seed in range(logs)]
    )
    error, more = root_mean_squares(errors, beside=CUTS.index(SHIPPED))
    return Found(smallest=smallest, requests=len(requests), error=error, more=more)


def errors_of(requests: pa.Table, smallest: float, rng: np.random.Generator) -> list[float]:
    """Return the error of the weighted failure rate with each cut, on one log."""
    failed = rng.random(len(requests)) < FAILS
    log = Policy(hard=smallest).log(
        with_columns(requests, cheap_quality=np.where(failed, 0.0, 1.0)), rng
    )
    found = []
    for cut in CUTS:
        outcomes = weigh_logged(log, LabelSettings(largest_weight=cut))[0].outcomes
        found.append(float(ratio(outcomes.cheap_failure).value(outcomes.weight) - failed.mean()))
    return found


def ingested(n: int) -> pa.Table:
    """Return n different requests; their outcomes are drawn later."""
    rows = (
        {"id": str(i), "prompt": f"request {i}", "cheap_quality": 1, "frontier_quality": 1}
        for i in range(n)
    )
    with TemporaryDirectory() as scratch:
        source, out = Path(scratch) / "rows.jsonl", Path(scratch) / "rows.parquet"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        ingest([source], out, near_duplicates=False)
        return pq.read_table(out)


def main() -> None:
    """Run the simulations and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--logs", type=int, default=300)
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    found = []
    for size in SIZES:
        requests = ingested(size)
        for smallest in SMALLEST:
            found.append(clipped(requests, smallest, logs=arguments.logs))
            print(size, smallest, *found[-1].error, flush=True)
    results = surroundings() | {
        "logs": arguments.logs,
        "cuts": CUTS,
        "policies": [asdict(one) for one in found],
    }
    write(
        arguments.out,
        results,
        page(found, arguments.logs),
        f"python -m benchmarks.clipping -o {arguments.out}",
    )


def page(found: list[Found], logs: int) -> list[str]:
    """Return the lines of the page."""
    header = ["smallest propensity", *(f"cut at {cut:g}" for cut in CUTS[:-1]), "not cut"]
    lines = [
        "# Where to cut 1 / propensity",
        "",
        *__doc__.strip().splitlines()[4:],
        "",
        f"{logs:,} logs of each kind.",
    ]
    for size in SIZES:
        ours = [one for one in found if one.requests == size]
        lines += ["", f"## {size:,} requests", "", "Error of the failure rate:", ""]
        lines += table(header, [[f"{one.smallest:g}", *one.error] for one in ours])
        lines += [
            "",
            (
                f"How much larger it is than with the cut that is shipped, {SHIPPED:g}; below 0 the"
                " other one is better:"
            ),
            "",
        ]
        lines += table(
            header,
            [[f"{one.smallest:g}", *(_difference(more) for more in one.more)] for one in ours],
        )
    return lines


def _difference(more: Repeated) -> str:
    return more.signed if more.low < more.high else "the same"


if __name__ == "__main__":
    main()
