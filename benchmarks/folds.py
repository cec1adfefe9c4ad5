"""Judge a recipe by five folds on public routing outcomes, beside other routers' scores on the same folds.

    python benchmarks/folds.py --routellm RouteLLM --normalised normalised --peers peers -o benchmarks/results/2026-11-23-fast

``RouteLLM`` is a checkout of github.com/lm-sys/RouteLLM. ``normalised`` holds tool-calling outcomes as traffic files (``bfcl__*.jsonl.gz``)
and ``peers`` out-of-fold scores of other routers (``*.npz`` with ``id`` and ``score__<name>``); both may be left out.

Protocol: a request's fold is ``int(sha256(key)) % 5``, with the text of all messages but system ones as key (tool calls: the group), so
equal texts share a fold. A model is trained on four folds (80 % to fit, 20 % to calibrate, by group) and scores the fifth. Scores
are ranked inside each fold before they are pooled; intervals come from 1,000 bootstrap draws of whole groups, differences are paired.
Nothing is chosen by looking at the results: the recipe is the shipped one.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.cli.shipped import find_encoder, find_recipe
from difficulty.export.graph import build_graph, task_ids
from difficulty.features.static import StaticEncoder
from difficulty.metrics import brier, debiased_interval, expected_calibration_error, percentile_interval, rank_within, resample
from difficulty.metrics.steps import Ranking, area, gap_curve
from difficulty.recipe import Recipe
from difficulty.runtime.scorer import Scorer, load_session
from difficulty.stages.assemble import build_model, known_tasks, labelled
from difficulty.stages.ingest import ingest
from difficulty.stages.scoring import Tokenized, tokenize
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer
from difficulty.traffic.table import Traffic

BROKEN = "high_school_mathematics"
"""MMLU subject in which the frontier model is marked right on 3 % of 270 questions, far below chance: a labelling fault upstream."""
PEERS = {
    "mmlu": "mmlu",
    "bfcl__hermes-2-pro-llama-3-8b__gpt-4-0125-preview": "bfcl_hermes2pro",
    "bfcl__hermes-2-theta-llama-3-8b__claude-3-5-sonnet-20240620": "bfcl_hermes2theta",
    "bfcl__meta-llama-3-8b-instruct__gpt-4-turbo-2024-04-09": "bfcl_llama3",
}
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class OutOfFold:
    """Scores of every request by a model that did not see its fold."""

    score: FloatArray
    """Text only."""
    with_task: FloatArray
    """The task told as well."""
    p_cheap_fails: FloatArray
    p_frontier_fails: FloatArray
    fold: NDArray[np.int64]
    groups: NDArray[np.str_]


def main() -> None:
    """Run the benchmark and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--routellm", type=Path, required=True)
    parser.add_argument("--normalised", type=Path)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("-o", "--out", type=Path, required=True, help="path of the results without suffix")
    arguments = parser.parse_args()
    recipe = find_recipe(arguments.recipe)
    encoder = find_encoder(recipe.features)
    sources = {name: arguments.routellm / "routellm" / "evals" / name for name in ("mmlu", "gsm8k")}
    if arguments.normalised:
        sources |= {path.name.removesuffix(".jsonl.gz"): path for path in sorted(arguments.normalised.glob("bfcl__*.jsonl.gz"))}
    results: dict[str, Any] = {"recipe": recipe.model_dump(mode="json"), "python": platform.python_version(), "sets": {}}
    for name, source in sources.items():
        print(f"{name} ...", flush=True)
        peers = arguments.peers / f"{PEERS[name]}.npz" if arguments.peers and name in PEERS else None
        results["sets"][name] = judge_set(name, source, recipe, encoder, peers)
    results["peak_memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    text = as_markdown(results)
    arguments.out.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


def judge_set(name: str, source: Path, recipe: Recipe, encoder: StaticEncoder, peers: Path | None) -> dict[str, Any]:
    """Return the figures of one set."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        ingest([source], Path(scratch) / "traffic.parquet")
        traffic = Traffic.read(Path(scratch) / "traffic.parquet")
    ingest_s = time.perf_counter() - start
    view = TextView(recipe.text.view, max_chars=recipe.text.max_chars)
    tokenizer = RequestTokenizer.from_file(encoder.tokenizer_path, max_tokens=recipe.text.max_tokens)
    tokens = tokenize(traffic, view=view, tokenizer=tokenizer)
    predictions, parity = out_of_fold(traffic, tokens, recipe, encoder, view, tokenizer)
    figures: dict[str, Any] = {"rows": len(traffic), "ingest_s": round(ingest_s, 1), "seconds": round(time.perf_counter() - start, 1)}
    figures |= calibration_figures(traffic, predictions) | {"parity": parity}
    figures["apgr"] = apgr_figures(traffic, predictions, predictions.score, np.arange(len(traffic)))
    everything = np.arange(len(traffic))
    figures["apgr_with_task"] = apgr_figures(traffic, predictions, predictions.with_task, everything)
    figures["gain_of_task"] = difference(traffic, predictions, predictions.with_task, predictions.score)
    tasks = np.array([task or "" for task in traffic.tasks])
    if BROKEN in tasks:
        figures[f"apgr_without_{BROKEN}"] = apgr_figures(traffic, predictions, predictions.score, np.flatnonzero(tasks != BROKEN))
        rest = np.flatnonzero(tasks != BROKEN)
        figures[f"apgr_with_task_without_{BROKEN}"] = apgr_figures(traffic, predictions, predictions.with_task, rest)
    if peers:
        figures["peers"] = peer_figures(traffic, predictions, peers)
    return figures


def out_of_fold(
    traffic: Traffic, tokens: Tokenized, recipe: Recipe, encoder: StaticEncoder, view: TextView, tokenizer: RequestTokenizer
) -> tuple[OutOfFold, dict[str, Any]]:
    """Return out-of-fold scores, and how far the exported graph of the first fold's model is from it on all texts."""
    fold = fold_of(traffic)
    inner = traffic.splits((0.8, 0.2, 0.0), recipe.seed)
    values = np.zeros((4, len(traffic)))
    parity: dict[str, Any] = {}
    for number in range(5):
        rest = fold != number
        fit = labelled(traffic, tokens, rest & (inner == "fit"))
        model = build_model(recipe, encoder, "benefit", tasks=known_tasks(recipe, fit))
        model.fit(fit, labelled(traffic, tokens, rest & (inner == "calibration")))
        rows = np.flatnonzero(fold == number)
        picked = tokens.at(rows)
        scores, informed = model.predict(picked.ids), model.predict(picked.ids, picked.tasks)
        frontier = scores.p_frontier_fails if scores.p_frontier_fails is not None else np.nan
        values[:, rows] = np.stack([scores.difficulty_score, informed.difficulty_score, scores.p_cheap_fails, frontier])
        if not parity:
            scorer = Scorer(load_session(build_graph(model).SerializeToString()), tokenizer, view, task_ids=task_ids(model))
            python = model.predict(tokens.ids, tokens.tasks).difficulty_score
            pairs = zip(traffic.messages(), tokens.tasks, strict=True)
            shipped = scorer.score_many([scorer.encode(messages, task).ids for messages, task in pairs])["difficulty_score"]
            threshold = float(np.quantile(python, 0.7))
            parity = {
                "n": len(python),
                "max_difference": float(np.abs(python - shipped).max()),
                "flips": int(((python > threshold) != (shipped > threshold)).sum()),
            }
    return OutOfFold(*values, fold=fold, groups=np.asarray(traffic.split_groups)), parity


def fold_of(traffic: Traffic) -> NDArray[np.int64]:
    """Return the fold of each request: by group where the traffic has groups, else by text."""
    groups = traffic.column("group")
    texts = ["\n".join(m["content"] for m in messages if m["role"] != "system") for messages in traffic.messages()]
    return np.array([int(sha256((group or text).encode()).hexdigest(), 16) % 5 for group, text in zip(groups, texts, strict=True)])


def apgr_figures(traffic: Traffic, predictions: OutOfFold, score: FloatArray, rows: NDArray[np.intp]) -> dict[str, float]:
    """Return APGR with its interval on some rows."""
    apgr = apgr_of(traffic, predictions, score, rows)
    draws = resample(apgr, predictions.groups[rows], rng=np.random.default_rng(0))
    return {"value": apgr(np.ones(len(rows))), **interval(percentile_interval(draws)), "n": len(rows)}


def apgr_of(traffic: Traffic, predictions: OutOfFold, score: FloatArray, rows: NDArray[np.intp]) -> Callable[[FloatArray], float]:
    """Return APGR as a function of weights."""
    ranking = Ranking.of(rank_within(score[rows], predictions.fold[rows]))
    gain = traffic.outcomes.gain[rows][ranking.order]
    return lambda weight: float(area(*gap_curve(ranking, gain, weight)))


def peer_figures(traffic: Traffic, predictions: OutOfFold, path: Path) -> dict[str, Any]:
    """Return each peer's APGR and the paired difference, ours minus theirs."""
    rows = np.arange(len(traffic))
    figures = {}
    with np.load(path, allow_pickle=False) as stored:
        if list(stored["id"]) != traffic.ids or (stored["fold"] != predictions.fold).any():
            raise SystemExit(f"{path} was made on other requests or folds")
        for key in sorted(name for name in stored.files if name.startswith("score__")):
            figures[key.removeprefix("score__")] = {
                "apgr": apgr_of(traffic, predictions, stored[key], rows)(np.ones(len(rows))),
                "difference": difference(traffic, predictions, predictions.score, stored[key]),
                "difference_with_task": difference(traffic, predictions, predictions.with_task, stored[key]),
            }
    return dict(sorted(figures.items(), key=lambda item: -item[1]["apgr"]))


def difference(traffic: Traffic, predictions: OutOfFold, ours: FloatArray, theirs: FloatArray) -> dict[str, float]:
    """Return the difference of two scores' APGR, paired."""
    rows = np.arange(len(traffic))
    first, second = (apgr_of(traffic, predictions, score, rows) for score in (ours, theirs))
    draws = resample(lambda weight: first(weight) - second(weight), predictions.groups, n_draws=500, rng=np.random.default_rng(0))
    ones = np.ones(len(rows))
    return {"value": first(ones) - second(ones), **interval(percentile_interval(draws))}


def calibration_figures(traffic: Traffic, predictions: OutOfFold) -> dict[str, Any]:
    """Return ECE and Brier score of both probabilities; the Brier score of the base rate beside it."""
    figures: dict[str, Any] = {}
    outcomes = traffic.outcomes
    for name, p, y in (
        ("cheap", predictions.p_cheap_fails, outcomes.cheap_failure),
        ("frontier", predictions.p_frontier_fails, outcomes.frontier_failure),
    ):
        ece = expected_calibration_error(p, y)
        draws = resample(
            lambda w, p=p, y=y: expected_calibration_error(p, y, weight=w), predictions.groups, n_draws=200, rng=np.random.default_rng(0)
        )
        figures[f"ece_{name}"] = {"value": ece, **interval(debiased_interval(ece, draws))}
        figures[f"brier_{name}"] = {"value": brier(p, y), "base_rate": float(y.mean() * (1 - y.mean()))}
    return figures


def interval(ends: tuple[float, float]) -> dict[str, float]:
    """Return an interval by name."""
    return {"low": ends[0], "high": ends[1]}


def as_markdown(results: dict[str, Any]) -> str:
    """Return the results as tables."""
    lines = [f"# Recipe `{results['recipe']['name']}` by five folds", "", "Made by `benchmarks/folds.py`, which says how.", ""]
    lines += ["| set | rows | APGR, text only | APGR, task told | ECE p_cheap_fails | Brier (base rate) | s |", "| --- " * 7 + "|"]
    for name, figures in results["sets"].items():
        score = figures["brier_cheap"]
        lines.append(
            f"| {name} | {figures['rows']:,} | {cell(figures['apgr'])} | {cell(figures['apgr_with_task'])} | {cell(figures['ece_cheap'])} "
            f"| {score['value']:.3f} ({score['base_rate']:.3f}) | {figures['seconds']:.0f} |"
        )
        if f"apgr_without_{BROKEN}" in figures:
            without, informed = figures[f"apgr_without_{BROKEN}"], figures[f"apgr_with_task_without_{BROKEN}"]
            lines.append(f"| {name} without {BROKEN} | {without['n']:,} | {cell(without)} | {cell(informed)} | | | |")
    lines += [
        "",
        "Exported graph against the Python model on all texts (threshold at the 70 % quantile), and what telling the task adds:",
        "",
    ]
    lines += ["| set | largest difference | decisions flipped | APGR, task told minus text only |", "| --- " * 4 + "|"]
    for name, figures in results["sets"].items():
        parity = figures["parity"]
        flips = f"{parity['flips']} of {parity['n']:,}"
        lines.append(f"| {name} | {parity['max_difference']:.1e} | {flips} | {cell(figures['gain_of_task'])} |")
    lines += ["", f"Peak memory {results['peak_memory_mb']:,} MB."]
    for name, figures in results["sets"].items():
        if "peers" in figures:
            lines += ["", f"## {name}: other routers and references on the same folds", ""]
            lines += ["| method | APGR | ours (text only) minus this | ours (task told) minus this |", "| --- | --- | --- | --- |"]
            for peer, row in figures["peers"].items():
                lines.append(f"| {peer} | {row['apgr']:.3f} | {cell(row['difference'])} | {cell(row['difference_with_task'])} |")
    return "\n".join(lines) + "\n"


def cell(figure: dict[str, float]) -> str:
    """Return a figure with its interval."""
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


if __name__ == "__main__":
    main()
