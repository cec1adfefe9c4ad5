"""Whether estimates without labels hold: a bundle trained on some subjects of RouteLLM's MMLU looks
at traffic with others mixed in, and with requests of quite another kind.

    python -m benchmarks.unlabelled_risk --routellm RouteLLM --normalised normalised -o
    benchmarks/results/2026-11-28-unlabelled-risk

For each seed 17 of the 57 subjects are held back, and of the others a fifth of the requests;
``fast`` is trained on the rest by ``difficulty train`` and shipped with ``share=0.3``. A draw is a
log of 300 to 3,000 requests: fresh ones of the subjects that were trained on, with a share from 0
to 1 of another kind in their place. Each log is given to the code of ``difficulty monitor`` without
an outcome, and what it says of risk, quality and gap is held against the outcomes. A request is its
own group: the subject is a task.

*Wrong*: the interval does not hold what happened. *Silent*: "cannot tell".
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.lib.protocol import read_traffic
from benchmarks.lib.results import write_results
from benchmarks.lib.trained import changed
from difficulty.bundle import Bundle, read_bundle
from difficulty.metrics.intervals import exact_interval
from difficulty.runtime.scorer import Scorer
from difficulty.stages.judging import serve
from difficulty.stages.ship import ship
from difficulty.stages.train import train
from difficulty.stages.watching.expecting import expect_of_log
from difficulty.traffic.table import Traffic
from difficulty.training.shipped import find_encoder, find_recipe

HELD_BACK = 17
FRESH = 0.2
SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
SIZES = (300, 1000, 3000)
FIGURES = ("risk", "quality", "gap")
OTHERS = {
    "tool calls": "bfcl__hermes-2-pro-llama-3-8b__gpt-4-0125-preview.jsonl.gz",
    "competition maths": "zeroeval_math-l5__meta-llama-3-8b-instruct__claude-3-5-sonnet-20241022"
    ".jsonl.gz",
    "primes": "llmdrift_prime_full__march.jsonl.gz",
}
MMLU = "routellm_mmlu__mixtral-8x7b__gpt-4-1106.jsonl.gz"
Columns = dict[str, np.ndarray]


def main() -> None:
    """Run the benchmark and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--routellm", type=Path, required=True)
    parser.add_argument("--normalised", type=Path, required=True)
    parser.add_argument("--drift", type=Path, help="folder of the set on primes; default: as above")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--draws", type=int, default=100, help="logs a seed; default: 100")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for seed in range(arguments.seeds):
        with TemporaryDirectory() as scratch:
            bundle, kinds = prepared(arguments, seed, Path(scratch))
            rows += drawn(bundle, kinds, seed=seed, n_draws=arguments.draws)
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "seeds": arguments.seeds,
        "draws": arguments.draws,
        "by_kind": summed(rows, ("kind",)),
        "by_share": summed(rows, ("kind", "share")),
        "all": summed(rows, ()),
    }
    write_results(arguments.out, results, as_markdown(results))


def prepared(
    arguments: argparse.Namespace, seed: int, scratch: Path
) -> tuple[Bundle, dict[str, Columns]]:
    """Return a bundle and the scored requests of each kind; ``known`` are fresh ones of the
    subjects that were trained on.
    """
    whole = read_traffic(arguments.normalised / MMLU)
    # The file has the subject as the group: requests of one subject are not one conversation.
    whole = changed(whole, group=[None] * len(whole), split_group=whole.ids)
    rng = np.random.default_rng(seed)
    tasks = np.array(whole.tasks)
    held = np.isin(tasks, rng.permutation(np.unique(tasks))[:HELD_BACK])
    fresh = ~held & (rng.random(len(whole)) < FRESH)
    whole.select(~held & ~fresh).write(scratch / "traffic.parquet")
    recipe = find_recipe("fast")
    train(
        scratch / "traffic.parquet",
        scratch / "run",
        recipe=recipe,
        encoder=find_encoder(recipe.features),
        more_labels=False,
        unseen_tasks=False,
        draws=20,
    )
    ship(
        scratch / "run",
        scratch / "bundle-1",
        objective="share=0.3",
        models=("cheap", "frontier"),
        today=date(2026, 11, 28),
        draws=20,
    )
    bundle = read_bundle(scratch / "bundle-1")
    traffics = {
        "known": whole.select(fresh),
        "held-back subjects": whole.select(held),
        "GSM8K": read_traffic(arguments.routellm / "routellm" / "evals" / "gsm8k"),
    }
    for name, file in OTHERS.items():
        folder = arguments.normalised if (arguments.normalised / file).exists() else arguments.drift
        traffics[name] = read_traffic(folder / file)
    return bundle, {name: columns_of(bundle, traffic) for name, traffic in traffics.items()}


def columns_of(bundle: Bundle, traffic: Traffic) -> Columns:
    """Return the columns of a decision log that a router would have written, and the outcomes."""
    scorer = Scorer.from_bundle(bundle)
    served = serve(scorer, traffic, target=bundle.manifest.target)
    sent = served.decisions(bundle.policy)
    outputs, outcomes = served.scores.outputs, traffic.outcomes
    return {name: np.asarray(values, dtype=np.float64) for name, values in outputs.items()} | {
        "tokens": served.rule_tokens(),
        "route": np.where(sent > 0.0, "frontier", "cheap").astype(object),
        "cheap_fails": 1.0 - outcomes.cheap_quality,
        "frontier_fails": 1.0 - outcomes.frontier_quality,
    }


def drawn(
    bundle: Bundle, kinds: Mapping[str, Columns], *, seed: int, n_draws: int
) -> list[dict[str, Any]]:
    """Return what was said of each log and what happened."""
    rng = np.random.default_rng(1000 + seed)
    others = [name for name in kinds if name != "known"]
    rows = []
    for draw in range(n_draws):
        kind, share = others[draw % len(others)], SHARES[int(rng.integers(len(SHARES)))]
        size = SIZES[int(rng.integers(len(SIZES)))]
        n_other = round(size * share)
        picked = (
            (kinds[kind], rng.choice(len(kinds[kind]["tokens"]), n_other)),
            (kinds["known"], rng.choice(len(kinds["known"]["tokens"]), size - n_other)),
        )
        log = {
            name: np.concatenate([columns[name][chosen] for columns, chosen in picked])
            for name in kinds["known"]
        }
        said, happened = expect_of_log(bundle, log), truth(log)
        for figure in FIGURES:
            estimate = getattr(said, figure)
            told = estimate.value is not None
            rows.append(
                {
                    "kind": kind if share else "nothing new",
                    "share": share,
                    "size": size,
                    "figure": figure,
                    "told": told,
                    "wrong": told and not estimate.low <= happened[figure] <= estimate.high,
                    "half": estimate.high - estimate.value if told else None,
                    "plain": abs(plain(log)[figure] - happened[figure]),
                }
            )
    return rows


def truth(log: Columns) -> dict[str, float]:
    """Return what the outcomes say."""
    kept = log["route"] == "cheap"
    cheap, frontier = log["cheap_fails"], log["frontier_fails"]
    return {
        "risk": float(cheap[kept].mean()) if kept.any() else float("nan"),
        "quality": 1.0 - float(np.where(kept, cheap, frontier).mean()),
        "gap": float((cheap - frontier).mean()),
    }


def plain(log: Columns) -> dict[str, float]:
    """Return what the mean of the probabilities says."""
    named = {"cheap_fails": log["p_cheap_fails"], "frontier_fails": log["p_frontier_fails"]}
    return truth({**log, **named})


def summed(rows: list[dict[str, Any]], keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return counts for each value of some keys."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in keys), []).append(row)
    return [
        dict(zip(keys, values, strict=True)) | _counts(part)
        for values, part in sorted(found.items(), key=lambda item: tuple(map(str, item[0])))
    ]


def _counts(rows: list[dict[str, Any]]) -> dict[str, Any]:
    told, wrong = sum(row["told"] for row in rows), sum(row["wrong"] for row in rows)
    halves = [row["half"] for row in rows if row["told"]]
    return {
        "n": len(rows),
        "told": told / len(rows),
        "wrong": wrong / len(rows),
        "wrong_interval": exact_interval(wrong, len(rows)),
        "half": float(np.median(halves)) if halves else None,
        # No request stays cheap in some logs, which have no risk.
        "plain": float(np.nanmean([row["plain"] for row in rows])),
    }


def as_markdown(results: Mapping[str, Any]) -> str:
    """Return the page."""
    whole = results["all"][0]
    low, high = whole["wrong_interval"]
    lines = [
        f"# Estimates without labels, {results['date']}",
        "",
        "Made by `benchmarks/unlabelled_risk.py`, which says how:"
        f" {results['seeds']} seeds, {results['draws']} logs each, three figures a log.",
        "",
        f"Of {whole['n']:,} figures {whole['wrong']:.1%} ({low:.1%} to {high:.1%}) were told and"
        f' wrong; {whole["told"]:.1%} were told, the others are "cannot tell".',
        "",
        "| mixed in | figures | told | told and wrong | half width, median | mean error of"
        " the plain mean |",
        "| --- | --- | --- | --- | --- | --- |",
        *(_line(row, row["kind"]) for row in results["by_kind"]),
        "",
        "By the share of the log that is of the other kind:",
        "",
        "| mixed in | figures | told | told and wrong | half width, median | mean error of"
        " the plain mean |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            _line(row, f"{row['kind']}, {row['share']:.0%}")
            for row in results["by_share"]
            if row["share"]
        ),
        "",
    ]
    return "\n".join(lines)


def _line(row: Mapping[str, Any], name: str) -> str:
    half, plain = ("" if row[each] is None else f"{row[each]:.3f}" for each in ("half", "plain"))
    return f"| {name} | {row['n']} | {row['told']:.0%} | {row['wrong']:.1%} | {half} | {plain} |"


if __name__ == "__main__":
    main()
