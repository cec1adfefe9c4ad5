"""What the rule "no signal, no bundle" does: how often labels that say nothing pass it, and how
often real ones do.

    python -m benchmarks.no_signal --routellm RouteLLM --normalised normalised -o
    benchmarks/results/2026-11-27-no-signal

Each repeat trains recipe ``fast`` with the code of ``difficulty train`` on another random subset
(the whole set where it is small) with another split and other folds, and reads the verdict that
stands in ``run.json``. *Shuffled*: the pairs of outcomes are dealt to the requests at random, so
that nothing is to be learned and every pass is an error. *Shipped* is a verdict other than
``none``; a share of shuffled sets around 10 % is what the level says, and around 2.5 % that is
*clear*. Repeats of real traffic share requests, and all of them where the whole set is taken, so
their intervals are about the split alone. Traffic that training refuses counts as not shipped.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lib.experiments import TITLES
from benchmarks.lib.protocol import read_traffic
from benchmarks.lib.shares import Share
from benchmarks.lib.trained import Training, changed
from difficulty.diagnostics.signal import Signal
from difficulty.errors import TooFewSamplesError, TrafficError
from difficulty.traffic.table import Traffic
from difficulty.training.shipped import find_recipe

HERMES_PRO = "bfcl__hermes-2-pro-llama-3-8b__gpt-4-0125-preview"
HERMES_THETA = "bfcl__hermes-2-theta-llama-3-8b__claude-3-5-sonnet-20240620"
LLAMA = "bfcl__meta-llama-3-8b-instruct__gpt-4-turbo-2024-04-09"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Traffic to train on, again and again.

    Attributes
    ----------
    source : str
        Name of the set.
    size : int or None
        Samples of a subset; ``None``: all.
    shuffled : bool
        Whether outcomes are dealt at random.
    with_task : bool
        Whether the traffic names the tasks.
    repeats : int
        In each round.
    """

    source: str
    size: int | None
    shuffled: bool
    with_task: bool
    repeats: int

    def traffic(self, whole: Traffic, rng: np.random.Generator) -> Traffic:
        """Return the traffic of one repeat."""
        picked = (
            whole
            if self.size is None
            else whole.select(np.sort(rng.choice(len(whole), self.size, replace=False)))
        )
        columns: dict[str, Any] = {} if self.with_task else {"task": [None] * len(picked)}
        if self.shuffled:
            dealt, outcomes = rng.permutation(len(picked)), picked.outcomes
            columns |= {
                "cheap_quality": outcomes.cheap_quality[dealt],
                "frontier_quality": outcomes.frontier_quality[dealt],
            }
            columns |= dict.fromkeys(
                ("cheap_passed", "preference"), [None] * len(picked)
            )  # the qualities hold them already
        return changed(picked, **columns) if columns else picked


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What the rule said of the repeats of one case.

    Attributes
    ----------
    case : Case
    n : int
        Samples of each repeat.
    shipped, clear : Share
    refused : int
        Repeats that training refused before there was a verdict.
    p_values : list of float
        Of the others, in order.
    """

    case: Case
    n: int
    shipped: Share
    clear: Share
    refused: int
    p_values: list[float]


CASES = [
    Case(source="mmlu", size=200, shuffled=True, with_task=True, repeats=12),
    Case(source="mmlu", size=500, shuffled=True, with_task=True, repeats=6),
    Case(source="mmlu", size=1500, shuffled=True, with_task=True, repeats=2),
    *(
        Case(source=LLAMA, size=None, shuffled=True, with_task=with_task, repeats=2)
        for with_task in (True, False)
    ),
    Case(source="mmlu", size=200, shuffled=False, with_task=True, repeats=4),
    Case(source="mmlu", size=500, shuffled=False, with_task=True, repeats=3),
    Case(source="mmlu", size=1500, shuffled=False, with_task=True, repeats=1),
    *(
        Case(source=name, size=None, shuffled=False, with_task=with_task, repeats=1)
        for with_task in (False, True)
        for name in (LLAMA, HERMES_THETA, HERMES_PRO)
    ),
    Case(source="gsm8k", size=None, shuffled=False, with_task=True, repeats=1),
]


def main() -> None:
    """Run the benchmark and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--routellm", type=Path, required=True, help="checkout of github.com/lm-sys/RouteLLM"
    )
    parser.add_argument(
        "--normalised", type=Path, required=True, help="folder of tool-calling outcomes"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=8,
        help="of some repeats of each case; results are written as they come",
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    sources = {name: arguments.routellm / "routellm" / "evals" / name for name in ("mmlu", "gsm8k")}
    sources |= {
        name: arguments.normalised / f"{name}.jsonl.gz"
        for name in (HERMES_PRO, HERMES_THETA, LLAMA)
    }
    training = Training.of(find_recipe("fast"))
    whole = {name: read_traffic(path) for name, path in sources.items()}
    said: dict[Case, list[Signal | None]] = {case: [] for case in CASES}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    for number in range(1, arguments.rounds + 1):
        for case in CASES:
            said[case] += one_round(case, whole[case.source], training, first_seed=len(said[case]))
            _write(said, whole, arguments.out, rounds=number)
        print(
            f"{number} of {arguments.rounds} rounds, {time.process_time():.0f} s of processor time",
            flush=True,
        )


def one_round(
    case: Case, whole: Traffic, training: Training, *, first_seed: int
) -> list[Signal | None]:
    """Return what the rule says of some repeats of one case, ``None`` where training refuses the
    traffic.
    """
    return [
        _signal(case.traffic(whole, np.random.default_rng(seed)), training, seed)
        for seed in range(first_seed, first_seed + case.repeats)
    ]


def _signal(traffic: Traffic, training: Training, seed: int) -> Signal | None:
    try:
        return training.run(traffic, seed=seed).signal
    except (TooFewSamplesError, TrafficError):
        return None


def verdicts(case: Case, n: int, said: list[Signal | None]) -> Verdicts:
    """Count what the rule said of the repeats of one case, each of ``n`` samples."""
    words = [signal.verdict if signal else "refused" for signal in said]
    return Verdicts(
        case=case,
        n=n,
        shipped=Share.of(words.count("clear") + words.count("weak"), len(words)),
        clear=Share.of(words.count("clear"), len(words)),
        refused=words.count("refused"),
        p_values=[signal.p_value for signal in said if signal],
    )


def _write(
    said: dict[Case, list[Signal | None]], whole: dict[str, Traffic], out: Path, *, rounds: int
) -> None:
    """Write what is known so far."""
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": (
            "python -m benchmarks.no_signal --routellm RouteLLM --normalised normalised --rounds"
            f" {rounds} -o {out}"
        ),
        "recipe": "fast",
        "cases": [
            asdict(verdicts(case, case.size or len(whole[case.source]), signals))
            for case, signals in said.items()
            if signals
        ],
    }
    out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    out.with_suffix(".md").write_text(as_markdown(results), encoding="utf-8")


def as_markdown(results: dict[str, Any]) -> str:
    """Return the page."""
    cases = results["cases"]
    shuffled, real = (
        [one for one in cases if one["case"]["shuffled"] == wanted] for wanted in (True, False)
    )
    lines = [
        f"# What the rule about signals does, {results['date']}",
        "",
        (
            f"Recipe `{results['recipe']}`, each repeat on another subset and split; in brackets"
            " exact 95 % intervals. `benchmarks/no_signal.py` says how."
        ),
        "",
        "## Outcomes shuffled: every pass is an error",
        "",
        *_table(shuffled),
        (
            f"| together | | | {_sum(shuffled, 'shipped').n} | {_sum(shuffled, 'shipped')} |"
            f" {_sum(shuffled, 'clear')} | |"
        ),
        "",
        "## Outcomes as they are",
        "",
        *_table(real),
        "",
        "Made by",
        "",
        f"    {results['command']}",
        "",
    ]
    return "\n".join(lines)


def _table(cases: list[dict[str, Any]]) -> list[str]:
    head = [
        (
            "| traffic | samples | task | repeats | shipped (p at most 0.1) | clear (p at most"
            " 0.025) | refused beforehand |"
        ),
        "| --- " * 7 + "|",
    ]
    return head + [_line(one) for one in cases]


def _line(one: dict[str, Any]) -> str:
    case, shipped, clear = one["case"], Share(**one["shipped"]), Share(**one["clear"])
    task = "told" if case["with_task"] and case["source"] != "gsm8k" else "not told"
    title = TITLES.get(case["source"], case["source"])
    return (
        f"| {title} | {one['n']:,} | {task} | {shipped.n} | {shipped} | {clear} |"
        f" {one['refused']} |"
    )


def _sum(cases: list[dict[str, Any]], what: str) -> Share:
    return Share.of(sum(one[what]["count"] for one in cases), sum(one[what]["n"] for one in cases))


if __name__ == "__main__":
    main()
