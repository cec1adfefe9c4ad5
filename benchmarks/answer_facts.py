"""What the facts about an answer tell of whether it is wrong: each kind by itself, and the rules
that no label went into.

    python -m benchmarks.answer_facts --normalised normalised --answers answers --drift drift
    --routellm RouteLLM -o benchmarks/results/2026-11-28-answer-facts

*AUROC*: of a wrong and a right answer of the cheap model, the chance that the wrong one scores
higher. *Learned*: logistic regression (C = 0.02) on one kind of fact alone, standardised and
clipped at 4, unknown as the mean; out of fold, ranked inside the five folds of
``benchmarks/lib/protocol.py``. *Rules*: the validators ``tool_facts`` and ``arithmetic``, which say
nothing of an answer that has no score. Their rules were made on the cheap models' answers of these
sets; the frontier models' answers to the same requests were not looked at until the end.
Intervals are of 95 %, over groups.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.lib.experiments import TITLES
from benchmarks.lib.protocol import (
    BenchmarkSet,
    FloatArray,
    Statistic,
    apgr,
    draw,
    estimate,
    read_traffic,
)
from benchmarks.lib.repetitions import surroundings, table, write
from benchmarks.lib.shares import Share
from difficulty.answers.answer import Answer, Asked
from difficulty.answers.facts import FACTS, read_facts
from difficulty.metrics import rank_within
from difficulty.metrics.ranking import Ranking, auroc_of
from difficulty.traffic.table import Traffic

__all__ = ["as_page", "judge", "main", "merge_answers"]

KINDS = tuple(dict.fromkeys(name.split(".")[0] for name in FACTS))
RULES = {"tool_facts": "tools.hand_score", "arithmetic": "arithmetic.hand_score"}
THRESHOLDS = (0.5, 0.9)
_MOST_UNKNOWN = 0.5
_TITLES = TITLES | {
    "zeroeval_math-l5__meta-llama-3-8b-instruct__claude-3-5-sonnet-20241022": (
        "Maths: Llama-3-8B / Claude 3.5"
    ),
    "zeroeval_math-l5__meta-llama-3.1-8b-instruct__o1-mini-2024-09-12": (
        "Maths: Llama-3.1-8B / o1-mini"
    ),
    "prime_full__march": "Primes: GPT-3.5 / GPT-4, March",
    "prime_full__june": "Primes: GPT-3.5 / GPT-4, June",
}


def main() -> None:
    """Run the benchmark and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--normalised", type=Path, required=True, help="traffic, *.jsonl.gz")
    parser.add_argument("--answers", type=Path, required=True, help="answers by id, same names")
    parser.add_argument("--drift", type=Path, help="traffic and answers_* in one folder")
    parser.add_argument("--routellm", type=Path, help="a checkout of lm-sys/RouteLLM, for GSM8K")
    parser.add_argument("-o", "--out", type=Path, required=True, help="path without suffix")
    arguments = parser.parse_args()
    sources = {
        path.name.removesuffix(".jsonl.gz"): (arguments.normalised / path.name, path)
        for path in sorted(arguments.answers.glob("*.jsonl.gz"))
    }
    for path in sorted(arguments.drift.glob("answers_*.jsonl.gz")) if arguments.drift else ():
        name = path.name.removeprefix("answers_").removesuffix(".jsonl.gz")
        sources[name] = (arguments.drift / f"llmdrift_{path.name.removeprefix('answers_')}", path)
    results = surroundings() | {"sets": {}}
    if arguments.routellm:
        traffic = read_traffic(arguments.routellm / "routellm" / "evals" / "gsm8k")
        results["sets"]["gsm8k"] = judge(traffic)
    for name, paths in sources.items():
        results["sets"][name] = judge(merge_answers(*paths))
    command = f"python -m benchmarks.answer_facts {shlex.join(sys.argv[1:])}"
    write(arguments.out, results, as_page(results), command)


def merge_answers(traffic: Path, answers: Path) -> Traffic:
    """Return traffic with the answers of a file of the same ids."""
    by_id = {row["id"]: row for row in _rows(answers)}
    rows = [row | by_id[row["id"]] for row in _rows(traffic) if row["id"] in by_id]
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "traffic.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        return read_traffic(path)


def _rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        return [json.loads(line) for line in lines]


def judge(traffic: Traffic) -> dict[str, Any]:
    """Return all figures of one set."""
    asked = [
        Asked.of({"messages": messages, "tools": tools})
        for messages, tools in zip(traffic.messages(), traffic.column("tools"), strict=True)
    ]
    started = time.process_time()
    cheap = _facts(asked, traffic.column("cheap_answer"))
    ms = 1000 * (time.process_time() - started) / len(asked)
    data = BenchmarkSet.of(traffic)
    wrong = (data.cheap < 0.5).astype(float)
    scores: dict[str, FloatArray] = {}
    for kind in (*KINDS, "all"):
        facts = cheap[:, [kind in ("all", name.split(".")[0]) for name in FACTS]]
        if np.isnan(facts).all(axis=1).mean() <= _MOST_UNKNOWN:
            learned = _learn(facts, wrong, data)
            if np.ptp(learned):
                scores[kind] = learned
    rules = {}
    for name, fact in RULES.items():
        score = cheap[:, FACTS.index(fact)]
        if np.isnan(score).mean() <= _MOST_UNKNOWN:
            scores[fact] = score
            rules[name] = _flags(score, wrong) | {
                "frontier": _auroc_of_others(
                    _facts(asked, traffic.column("frontier_answer"))[:, FACTS.index(fact)], data
                )
            }
    return {
        "n": len(data),
        "wrong": float(wrong.mean()),
        "ms": ms,
        "auroc": _estimates(scores, data, lambda score, rows: _auroc(score, wrong, rows)),
        "apgr": _estimates(scores, data, lambda score, rows: apgr(score, data, rows)),
        "rules": rules,
    }


def _facts(asked: Sequence[Asked], answers: Sequence[str | None]) -> FloatArray:
    pairs = zip(asked, answers, strict=True)
    return np.array([read_facts(one, Answer.parse(text or "")) for one, text in pairs], dtype=float)


def _learn(facts: FloatArray, wrong: FloatArray, data: BenchmarkSet) -> FloatArray:
    """Return scores of models that did not learn from the request, ranked inside folds."""
    score = np.zeros(len(data))
    for fold in np.unique(data.fold):
        fit, held = data.fold != fold, data.fold == fold
        known = ~np.isnan(facts[fit]).all(axis=0)
        mean = np.nanmean(facts[fit][:, known], axis=0)
        spread = np.nanstd(facts[fit][:, known], axis=0)
        scaled = (facts[:, known] - mean) / np.where(spread > 0, spread, 1)
        scaled = np.clip(np.nan_to_num(scaled), -4, 4)
        head = LogisticRegression(C=0.02, max_iter=2000).fit(scaled[fit], wrong[fit])
        score[held] = head.decision_function(scaled[held])
    return rank_within(score, data.fold)


def _auroc(score: FloatArray, label: FloatArray, rows: np.ndarray) -> Statistic:
    ranking = Ranking.of(score[rows]).at(rows)
    return lambda weight: auroc_of(ranking, label[ranking.order], weight)


def _estimates(
    scores: dict[str, FloatArray],
    data: BenchmarkSet,
    figure: Callable[[FloatArray, np.ndarray], Statistic],
) -> dict[str, dict[str, float]]:
    """Return a figure of each score, on the answers that have one, with its interval."""
    rows = {name: np.flatnonzero(~np.isnan(score)) for name, score in scores.items()}
    statistics = {name: figure(score, rows[name]) for name, score in scores.items()}
    draws = draw(statistics, data.groups)
    found = {
        name: estimate(statistic, draws[name], n=len(data), n_rows=len(rows[name]))
        for name, statistic in statistics.items()
    }
    return {
        name: {"value": one.value, "low": one.low, "high": one.high, "n": one.n}
        for name, one in found.items()
    }


def _flags(score: FloatArray, wrong: FloatArray) -> dict[str, Any]:
    flags = {}
    for threshold in THRESHOLDS:
        flagged = score > threshold  # false where there is no score
        n, hits = int(flagged.sum()), int(wrong[flagged].sum())
        flags[f"{threshold:g}"] = {
            "flagged": n / len(score),
            "wrong": Share.of(hits, n).value if n else None,
            "reached": hits / max(1.0, float(wrong.sum())),
        }
    return {"flags": flags}


def _auroc_of_others(score: FloatArray, data: BenchmarkSet) -> dict[str, float] | None:
    """Return how well a score tells wrong answers of the frontier model, if it has both kinds."""
    wrong = (data.frontier < 0.5).astype(float)
    if len(np.unique(wrong[~np.isnan(score)])) < 2:
        return None
    found = _estimates({"x": score}, data, lambda one, rows: _auroc(one, wrong, rows))
    return found["x"]


def as_page(results: dict[str, Any]) -> list[str]:
    """Return the page's lines."""
    sets = results["sets"]
    kinds = [kind for kind in (*KINDS, "all") if any(kind in one["auroc"] for one in sets.values())]
    lines = ["# What facts about an answer tell", "", *__doc__.strip().split("\n\n")[2].split("\n")]
    lines += ["", "## One kind alone, learned: AUROC", ""]
    lines += table(
        ["set", "answers", "wrong", *kinds],
        (
            [
                _TITLES.get(name, name),
                f"{one['n']:,}",
                f"{one['wrong']:.1%}",
                *(_cell(one["auroc"], k) for k in kinds),
            ]
            for name, one in sets.items()
        ),
    )
    lines += ["", "## Rules without a label", ""]
    lines += table(
        [
            *("set", "validator", "has a score", "AUROC", "APGR", "flagged at 0.5"),
            *("of these wrong", "of the wrong ones", "flagged at 0.9", "of these wrong"),
            "AUROC on the frontier model's answers",
        ],
        (
            [
                _TITLES.get(name, name),
                rule,
                f"{one['auroc'][RULES[rule]]['n']:,}",
                *_rule_cells(one, rule),
            ]
            for name, one in sets.items()
            for rule in one["rules"]
        ),
    )
    ms = ", ".join(f"{name} {one['ms']:.2f}" for name, one in sets.items())
    return [*lines, "", f"Processor time of all facts, ms an answer: {ms}."]


def _rule_cells(one: dict[str, Any], rule: str) -> list[str]:
    flags, frontier = one["rules"][rule]["flags"], one["rules"][rule]["frontier"]
    half, most = flags["0.5"], flags["0.9"]
    return [
        *(_cell(one[figure], RULES[rule]) for figure in ("auroc", "apgr")),
        *(_percent(half[key]) for key in ("flagged", "wrong", "reached")),
        *(_percent(most[key]) for key in ("flagged", "wrong")),
        _cell({rule: frontier} if frontier else {}, rule),
    ]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _cell(estimates: dict[str, dict[str, float]], name: str) -> str:
    if name not in estimates or np.isnan(estimates[name]["value"]):
        return ""
    found = estimates[name]
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


if __name__ == "__main__":
    main()
