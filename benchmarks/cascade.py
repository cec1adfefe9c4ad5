"""Time decisions with and without early exit, beside the bare encoder, and count the decisions that
it changes, in one run.

    difficulty ingest routellm/evals/mmlu -o mmlu.parquet
    difficulty train mmlu.parquet -o runs/accurate --recipe accurate --cache CACHE
    python -m benchmarks.cascade runs/accurate --cache CACHE -o
    benchmarks/results/2026-11-27-cascade

Thresholds are chosen by share on the calibration samples, cut-offs as ``difficulty ship --early``
chooses them. Asked and changed shares are those of all test samples, by the Python model's scores,
which the parity gate holds the graph to. Timed are decisions of routers, graphs in ONNX Runtime
with one thread, on test requests drawn at random: each request by every contender in turn, in an
order that rotates, so that a busy machine is busy for all. Times are processor time; ratios are of
means, with a bootstrap interval over requests.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.lib.results import write_results
from difficulty.bundle import Chosen, Policy
from difficulty.early_exit import build_early_graph
from difficulty.encoders.transformer import TransformerEncoder
from difficulty.export.graph import build_graph, task_ids
from difficulty.request import Request
from difficulty.runtime import Router
from difficulty.runtime.scorer import EarlyScorer, Scorer
from difficulty.runtime.session import load_session
from difficulty.stages.choosing import BothScores, choose_exits, judge_exits
from difficulty.traffic.stored.tokenized import Tokenized, tokenize
from difficulty.traffic.table import Traffic
from difficulty.training.run import Run

KINDS = ("with_task", "without_task")
DRAWS = 2_000


def main() -> None:
    """Run the benchmark and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run of recipe accurate or finetuned")
    parser.add_argument("--cache", type=Path, help="where its embeddings are kept")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.3, 0.5])
    parser.add_argument("--budget", type=float, default=0.005)
    parser.add_argument("--requests", type=int, default=300, help="test requests that are timed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    run = Run.read(arguments.run, cache=arguments.cache)
    scorer, early = scorers_of(run)
    policies, choices = choose(run, scorer, early, arguments.shares, arguments.budget)
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": (
            f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} when"
            " begun"
        ),
        "recipe": run.recipe.name,
        "budget": arguments.budget,
        "choices": choices,
        "timed": time_all(
            run, scorer, early, policies, arguments.requests, np.random.default_rng(arguments.seed)
        ),
    }
    write_results(arguments.out, results, as_markdown(results))


def scorers_of(run: Run) -> tuple[Scorer, EarlyScorer]:
    """Return what a bundle of the run would hold."""
    if run.early is None:
        raise SystemExit(f"{run.folder} has no student for early exit: train it again.")
    scorer = Scorer(
        load_session(build_graph(run.model).SerializeToString()),
        run.tokenizer,
        run.view,
        task_ids=task_ids(run.model),
    )
    small = build_early_graph(run.model, run.early).SerializeToString()
    return scorer, EarlyScorer(
        load_session(small, name="early.onnx"), most_tokens=run.tokenizer.max_tokens + 1
    )


def choose(
    run: Run, scorer: Scorer, early: EarlyScorer, shares: Sequence[float], budget: float
) -> tuple[dict[float, Policy], list[dict[str, Any]]]:
    """Return a policy for each share, and what its early exit does to the test samples."""
    calibration, test = (
        both(run, scorer, early, traffic) for traffic in (run.calibration, run.test)
    )
    policies, choices = {}, []
    for share in shares:
        threshold = float(np.quantile(calibration[_first(calibration)].score, 1.0 - share))
        policy = _policy(threshold)
        cut_offs, notes = choose_exits(policy, calibration, budget=budget)
        policies[share] = replace(policy, early=cut_offs)
        figures = judge_exits(cut_offs, test) if cut_offs else {}
        shown = {
            kind: {name: estimate.as_dict() for name, estimate in part.items()}
            for kind, part in figures.items()
        }
        choices.append(
            {"share": share, "threshold": threshold, "test": shown, "notes": list(notes)}
        )
    return policies, choices


def _first(scores: dict[str, BothScores]) -> str:
    return next(kind for kind in KINDS if kind in scores)


def both(run: Run, scorer: Scorer, early: EarlyScorer, traffic: Traffic) -> dict[str, BothScores]:
    """Return early scores and the Python model's scores, by kind of request."""
    tokens, groups = (
        tokenize(traffic, view=run.view, tokenizer=run.tokenizer),
        np.asarray(traffic.split_groups),
    )
    known = np.array([task in scorer.task_ids for task in tokens.tasks])
    found = {}
    for kind, with_task, rows in (
        ("with_task", True, np.flatnonzero(known)),
        ("without_task", False, np.arange(len(traffic))),
    ):
        if len(rows):
            picked = tokens.at(rows)
            guessed = early.score_many(_read(scorer, picked, with_task)).astype(np.float64)
            score = run.model.predict(
                picked.ids, picked.tasks if with_task else None
            ).difficulty_score
            found[kind] = BothScores(guessed, score, groups[rows], np.ones(len(score)))
    return found


def _read(scorer: Scorer, tokens: Tokenized, with_task: bool) -> list[list[int]]:
    if not with_task:
        return list(tokens.ids)
    return [
        [scorer.task_ids[task or ""], *ids]
        for ids, task in zip(tokens.ids, tokens.tasks, strict=True)
    ]


def _policy(threshold: float) -> Policy:
    chosen = Chosen(objective="share", calibration_data="0" * 64, n=0, expected={})
    return Policy(
        cheap_model="cheap",
        frontier_model="frontier",
        threshold=threshold,
        max_cheap_tokens=0,
        review_date=date(2030, 1, 1),
        chosen=chosen,
    )


def time_all(
    run: Run,
    scorer: Scorer,
    early: EarlyScorer,
    policies: dict[float, Policy],
    n: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Return the mean processor time of each contender, in ms, and its ratio to the router without
    early exit.
    """
    picked = np.sort(rng.choice(len(run.test), size=min(n, len(run.test)), replace=False))
    traffic = run.test.select(picked)
    messages, tasks = list(traffic.messages()), list(traffic.tasks)
    lengths = [len(scorer.encode(one).ids) for one in messages]
    plain = Router(scorer, replace(next(iter(policies.values())), early=None), version="plain")
    routers = {
        f"early exit, share {share:g}": Router(scorer, policy, version="early", early=early)
        for share, policy in policies.items()
    }
    results: dict[str, Any] = {
        "requests": len(picked),
        "tokens": {"mean": float(np.mean(lengths)), "median": float(np.median(lengths))},
    }
    for kind in KINDS:
        asked = [
            Request(one, task if kind == "with_task" else None)
            for one, task in zip(messages, tasks, strict=True)
        ]
        contenders: dict[str, Callable[[int], object]] = {
            "the scorer alone": _deciding(plain, asked)
        }
        contenders |= {name: _deciding(router, asked) for name, router in routers.items()}
        contenders["bare encoder session"] = _encoding(run, messages)
        results[kind] = _timed(contenders, len(asked), rng)
    return results


def _deciding(router: Router, requests: list[Request]) -> Callable[[int], object]:
    return lambda row: router.consider(requests[row])


def _encoding(run: Run, messages: list[Any]) -> Callable[[int], object]:
    """Return what runs the encoder's session on ids that are tokenized and framed already."""
    encoder = run.encoder
    assert isinstance(encoder, TransformerEncoder)
    session = load_session(encoder.graph, name="encoder.onnx")
    feeds = []
    for one in messages:
        row = np.array(
            [encoder.frame(run.tokenizer.encode(run.view(one).text).ids)], dtype=np.int64
        )
        feeds.append({"input_ids": row, "attention_mask": np.ones_like(row)})
    return lambda row: session.run(None, feeds[row])


def _timed(
    contenders: dict[str, Callable[[int], object]], n: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Ask every contender about every request, in rotating order."""
    names, spent = list(contenders), np.zeros((len(contenders), n))
    for name in names:
        contenders[name](0)
    for row in range(n):
        for step in range(len(names)):
            place = (row + step) % len(names)
            started = time.process_time_ns()
            contenders[names[place]](row)
            spent[place, row] = (time.process_time_ns() - started) / 1e6
    drawn = rng.integers(0, n, size=(DRAWS, n))
    return {name: _figures(spent[place], spent[0], drawn) for place, name in enumerate(names)}


def _figures(
    own: NDArray[np.float64], base: NDArray[np.float64], drawn: NDArray[np.int64]
) -> dict[str, float]:
    ratios = own[drawn].mean(axis=1) / base[drawn].mean(axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return {
        "mean_ms": float(own.mean()),
        "median_ms": float(np.median(own)),
        "ratio": float(own.mean() / base.mean()),
        "low": float(low),
        "high": float(high),
    }


def as_markdown(results: dict[str, Any]) -> str:
    """Return the page."""
    timed = results["timed"]
    lines = [
        f"# Early exit, {results['date']}",
        "",
        f"`python -m benchmarks.cascade`, recipe `{results['recipe']}`; {results['machine']}.",
        f"Budget: {results['budget']:.2%} of the decisions.",
        "",
        "## What it does to the test samples",
        "",
        (
            "| threshold by share | requests | asked about | 95 % interval | changed decisions | 95"
            " % interval | n |"
        ),
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for choice in results["choices"]:
        for kind, part in choice["test"].items():
            cells = [
                f"{part[name]['value']:.2%} | {part[name]['low']:.2%} to {part[name]['high']:.2%}"
                for name in ("asked", "changed")
            ]
            lines.append(
                f"| {choice['share']:g} | {kind.replace('_', ' ')} | {cells[0]} | {cells[1]} |"
                f" {part['asked']['n']:,} |"
            )
        lines += [f"| {choice['share']:g} | {note} | | | | | |" for note in choice["notes"]]
    lines += [
        "",
        "## Processor time of one decision",
        "",
        (
            f"{timed['requests']:,} test requests, {timed['tokens']['mean']:.0f} tokens on average"
            f" (median {timed['tokens']['median']:.0f}), each by every contender in turn. Ratio:"
            " mean over the mean of the scorer alone."
        ),
        "",
        "| requests | contender | mean ms | median ms | ratio | 95 % interval |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for kind in KINDS:
        lines += [
            f"| {kind.replace('_', ' ')} | {name} | {one['mean_ms']:.2f} | {one['median_ms']:.2f} |"
            f" {one['ratio']:.3f} | {one['low']:.3f} to {one['high']:.3f} |"
            for name, one in timed[kind].items()
        ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
