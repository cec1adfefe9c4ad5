"""Warm start: what few labels of a new model pair give with and without an earlier run to start
from.

    python -m benchmarks.warm_start --routellm RouteLLM --normalised normalised -o
    benchmarks/results/2026-11-27-warm-start-fast

For each seed the groups of the tool calls are dealt to two halves. The start is trained on one half
with the outcomes of the first pair; of the other half n requests are labelled with the outcomes of
the second pair (three in four groups fit, one calibrates) and the rest is judged, so no request and
no group is on both sides. From MMLU to GSM8K the start is trained on all of MMLU. ``cold`` is the
recipe on the n labels alone, ``warm`` the same labels from the start, ``as it is`` the start
without any of them. Figures are means over seeds; the interval of the difference is Student's over
seeds, so it holds which requests were dealt and labelled, and no more.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from benchmarks.lib.protocol import BenchmarkSet, FloatArray, apgr, read_traffic
from benchmarks.lib.recipes import Trainer
from difficulty.model.continuing import continued
from difficulty.model.difficulty import DifficultyModel
from difficulty.traffic.stored.tokenized import Tokenized
from difficulty.traffic.table import Traffic
from difficulty.training.assemble import build_model, known_tasks, labelled
from difficulty.training.shipped import find_recipe

PRO, THETA, LLAMA = (
    "bfcl__hermes-2-pro-llama-3-8b__gpt-4-0125-preview",
    "bfcl__hermes-2-theta-llama-3-8b__claude-3-5-sonnet-20240620",
    "bfcl__meta-llama-3-8b-instruct__gpt-4-turbo-2024-04-09",
)
WAYS = (
    (PRO, THETA, (100, 200)),
    (PRO, LLAMA, (100, 200)),
    (THETA, LLAMA, (100, 200)),
    ("mmlu", "gsm8k", (200, 500)),
)
METHODS = ("cold", "warm", "as it is")
KNOWN = ("text only", "task told")


@dataclass(frozen=True, eq=False)
class Pair:
    """What one pair of models did."""

    traffic: Traffic
    tokens: Tokenized
    data: BenchmarkSet


def main() -> None:
    """Run the benchmark and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--routellm", type=Path, required=True)
    parser.add_argument("--normalised", type=Path, required=True)
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    trainer = Trainer.of(find_recipe(arguments.recipe))
    sources = {name: arguments.normalised / f"{name}.jsonl.gz" for name in (PRO, THETA, LLAMA)}
    sources |= {
        name: arguments.routellm / "routellm" / "evals" / name for name in ("mmlu", "gsm8k")
    }
    pairs = {name: read_pair(source, trainer) for name, source in sources.items()}
    results = {"recipe": trainer.recipe.as_dict(), "seeds": arguments.seeds, "ways": []}
    for start, new, sizes in WAYS:
        print(f"{start} -> {new} ...", flush=True)
        drawn = drawn_by_seed(pairs[start], pairs[new], sizes, trainer, seeds=arguments.seeds)
        for place, size in enumerate(sizes):
            figures = {known: summary([one[place][known] for one in drawn]) for known in KNOWN}
            results["ways"].append({"start": start, "new": new, "labels": size, **figures})
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(
        json.dumps(results, indent=1) + "\n", encoding="utf-8"
    )
    text = as_markdown(results)
    arguments.out.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


def read_pair(source: Path, trainer: Trainer) -> Pair:
    """Read and tokenize the outcomes of one pair."""
    traffic = read_traffic(source)
    return Pair(traffic, trainer.tokenize(traffic), BenchmarkSet.of(traffic).in_one_fold())


def drawn_by_seed(
    start: Pair, new: Pair, sizes: tuple[int, ...], trainer: Trainer, *, seeds: int
) -> list[list[dict[str, dict[str, float]]]]:
    """Return, for each seed and size, the APGR of every method without and with the task told."""
    apart = start.data.ids != new.data.ids
    fitted = (
        trainer.fit(start.traffic, start.tokens, np.full(len(start.data), True)) if apart else None
    )
    drawn = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        pool = np.arange(len(new.data))
        if not apart:
            first, pool = halves(start.data.groups, rng)
            fitted = trainer.fit(start.traffic, start.tokens, first)
        pool = pool[np.argsort(dealt(new.data.groups[pool], rng), kind="stable")]
        drawn.append([judged(fitted, new, pool, size, trainer) for size in sizes])
    return drawn


def halves(
    groups: NDArray[np.str_], rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Return which requests are in one half of the groups, and the rows of the other half."""
    first = dealt(groups, rng) % 2 == 0
    return first, np.flatnonzero(~first)


def dealt(groups: NDArray[np.str_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the place of each request's group in a random order."""
    _, codes = np.unique(groups, return_inverse=True)
    return rng.permutation(int(codes.max()) + 1)[codes]


def judged(
    start: DifficultyModel, new: Pair, pool: NDArray[np.intp], size: int, trainer: Trainer
) -> dict[str, dict[str, float]]:
    """Return every method's APGR on the requests of the pool that neither are labelled nor share a
    group with one that is.
    """
    groups = new.data.groups
    rows = pool[:size]
    asked = pool[size:][~np.isin(groups[pool[size:]], groups[rows])]
    order = {group: number for number, group in enumerate(dict.fromkeys(groups[rows]))}
    calibrates = np.array([order[group] % 4 == 3 for group in groups[rows]])
    fit, calibration = (
        labelled(new.traffic, new.tokens, mask_of(part, len(groups)))
        for part in (rows[~calibrates], rows[calibrates])
    )
    tasks = known_tasks(trainer.recipe, fit)
    cold = build_model(trainer.recipe, trainer.encoder, "benefit", tasks=tasks)
    warm = continued(
        start,
        target="benefit",
        tasks=tasks,
        folds=trainer.recipe.folds,
        rng=np.random.default_rng(trainer.recipe.seed),
    )
    models = {
        "cold": cold.fit(fit, calibration),
        "warm": warm.fit(fit, calibration),
        "as it is": start,
    }
    picked = new.tokens.at(asked)
    return {
        known: {
            name: value_of(model.predict(picked.ids, tasks).difficulty_score, new.data, asked)
            for name, model in models.items()
        }
        for known, tasks in zip(KNOWN, (None, picked.tasks), strict=True)
    }


def mask_of(rows: NDArray[np.intp], n: int) -> NDArray[np.bool_]:
    """Return a mask of n requests."""
    mask = np.full(n, False)
    mask[rows] = True
    return mask


def value_of(score: FloatArray, data: BenchmarkSet, rows: NDArray[np.intp]) -> float:
    """Return APGR of the scores of some rows."""
    scores = np.zeros(len(data))
    scores[rows] = score
    return float(apgr(scores, data, rows)(np.ones(len(data))))


def summary(values: list[dict[str, float]]) -> dict[str, float]:
    """Return means over seeds, and the mean of warm minus cold with its interval."""
    by_method = {method: np.array([one[method] for one in values]) for method in METHODS}
    gained = by_method["warm"] - by_method["cold"]
    margin = student.ppf(0.975, len(gained) - 1) * gained.std(ddof=1) / np.sqrt(len(gained))
    means = {method: float(each.mean()) for method, each in by_method.items()}
    return means | {
        "gained": float(gained.mean()),
        "low": float(gained.mean() - margin),
        "high": float(gained.mean() + margin),
    }


def as_markdown(results: dict) -> str:
    """Return the results as a table."""
    lines = [f"# Warm start of recipe `{results['recipe']['name']}`", ""]
    lines += [
        (
            f"APGR, means over {results['seeds']} seeds. Made by `benchmarks/warm_start.py`, which"
            " says how."
        ),
        "",
    ]
    columns = ["start", "new pair", "labels", "", *METHODS, "warm minus cold"]
    lines += ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    for way in results["ways"]:
        for known in KNOWN if way["new"] != "gsm8k" else KNOWN[:1]:
            one = way[known]
            cells = [
                way["start"],
                way["new"],
                str(way["labels"]),
                known,
                *(f"{one[method]:.3f}" for method in METHODS),
            ]
            lines.append(
                "| "
                + " | ".join(cells)
                + f" | {one['gained']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}] |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
