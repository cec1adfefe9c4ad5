"""The page of :mod:`benchmarks.label_efficiency`."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.coverage import GOAL


def as_markdown(results: dict[str, Any]) -> str:
    """Return the page."""
    lines = [
        "# What labels are worth that are chosen",
        "",
        "`benchmarks/label_efficiency.py` says what was done. Brackets are 95 % intervals of the"
        " mean over seeds, each of which judges another fold.",
    ]
    if left_out := [part for part in ("fast", "light", "replays") if part not in results]:
        lines += ["", f"Parts that this run left out: {', '.join(left_out)}."]
    if "fast" in results:
        lines += ["", *_fast_tables(results["fast"], results["seeds"])]
    if "light" in results:
        lines += ["", *_light_tables(results["light"], results["light_seeds"])]
    if "replays" in results:
        lines += ["", *_replay_table(results["replays"])]
    return "\n".join(lines) + "\n"


def _fast_tables(sets: dict[str, Any], seeds: int) -> list[str]:
    lines = [f"## Recipe `fast`, {seeds} seeds: APGR"]
    for kind in ("text only", "task told"):
        columns = list(next(iter(sets.values()))[0][kind])
        lines += ["", f"{kind.capitalize()}:", "", _header("set", "labels", *columns)]
        lines += [
            f"| {name} | {row['labels']:,} | " + " | ".join(map(_cell, row[kind].values())) + " |"
            for name, of_set in sets.items()
            for row in of_set
        ]
    return lines


def _light_tables(sets: dict[str, Any], seeds: int) -> list[str]:
    lines = [f"## Light heads, {seeds} seeds: APGR, and the difference from a random draw"]
    methods = list(next(iter(next(iter(sets.values())).values())))
    for large, title in ((True, "MMLU"), (False, "Sets of about a thousand requests")):
        named = {
            f"{name[:34]}, {n}": by
            for name, of_set in sets.items()
            if (name == "mmlu") is large
            for n, by in of_set.items()
        }
        if not named:
            continue
        lines += ["", f"{title}:", "", _header("method", *named, "mean difference")]
        for method in methods:
            cells = [
                f"{by[method][0]:.3f}" if method == "random" else _cell(by[method][1:])
                for by in named.values()
            ]
            mean = np.mean([by[method][1] for by in named.values()])
            lines.append(f"| {method} | " + " | ".join([*cells, f"{mean:+.4f}"]) + " |")
    return lines


def _replay_table(figures: dict[str, Any]) -> list[str]:
    shares = [each["held"] for each in figures.values()]
    n = max(each["replays"] for each in figures.values())
    inside = sum(GOAL[0] <= share <= GOAL[1] for share in shares)
    low = sum(share < GOAL[0] for share in shares)
    return [
        f"## Figures of 300 labels that were chosen, {n} replays",
        "",
        f"In {inside} of {len(shares)} figures the interval holds the truth in 93 to 97 % of the"
        f" replays, in {len(shares) - inside - low} more often, in {low} less often, the least"
        f" {min(shares):.3f}. Chance alone moves a share by {1.96 * (0.0475 / n) ** 0.5:.3f}.",
        "",
        _header("figure", "truth", "mean of the replays", "held"),
        *(
            f"| `{name}` | {each['truth']:.4f} | {each['mean']:.4f} | {each['held']:.3f} |"
            for name, each in figures.items()
        ),
    ]


def _header(*columns: str) -> str:
    return "| " + " | ".join(columns) + " |\n" + "| --- " * len(columns) + "|"


def _cell(value: float | list[float]) -> str:
    if isinstance(value, list):
        return "{:+.3f} [{:+.3f}, {:+.3f}]".format(*value)
    return f"{value:.3f}"
