"""Time one decision against the tokenizer alone, on one thread.

    python benchmarks/latency.py bundles/support-1 -o benchmarks/results/2026-11-23-latency

Both are timed in turns on the same texts, so their ratio holds on a busy machine. Texts are cut from the sample traffic to 16, 64, 256
and 512 tokens; what is timed is ``Router.decide`` (text view, tokenizer, ONNX session, rule). Also: requests per second in batches.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from difficulty.cli.shipped import shipped_file
from difficulty.runtime import Request, Router

LENGTHS = (16, 64, 256, 512)
ROUNDS = 400


def main() -> None:
    """Run the benchmark and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True, help="path of the results without suffix")
    arguments = parser.parse_args()
    router = Router.load(arguments.bundle)
    long_text = " ".join(sample_texts(200))
    single = [time_length(router, long_text, tokens) for tokens in LENGTHS]
    bulk = time_bulk(router, sample_texts(4_000))
    results = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "single": single,
        "bulk": bulk,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    text = as_markdown(results)
    arguments.out.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


def sample_texts(n: int) -> list[str]:
    """Return the first message of some sample requests."""
    with gzip.open(shipped_file("data/sample.jsonl.gz"), "rt", encoding="utf-8") as file:
        return [json.loads(line)["messages"][0]["content"] for line, _ in zip(file, range(n), strict=False)]


def time_length(router: Router, long_text: str, tokens: int) -> dict[str, Any]:
    """Time one text of about ``tokens`` tokens, the tokenizer alone and the whole decision in turns."""
    tokenizer = router.scorer.tokenizer.tokenizer
    end = tokenizer.encode(long_text).offsets[tokens - 1][1]
    text = long_text[:end]
    messages = [{"role": "user", "content": text}]
    alone, decide = in_turns(lambda: tokenizer.encode(text), lambda: router.decide(messages))
    return {
        "tokens": tokens,
        "tokenizer_ms": {"p50": quantile(alone, 0.5), "p99": quantile(alone, 0.99)},
        "decide_ms": {"p50": quantile(decide, 0.5), "p99": quantile(decide, 0.99)},
        "ratio_p50": round(float(np.median(decide) / np.median(alone)), 2),
    }


def in_turns(first: Callable[[], object], second: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Return milliseconds of many runs of both, a b a b ..., after a warm-up."""
    times: tuple[list[float], list[float]] = ([], [])
    for round_number in range(ROUNDS + 20):
        for kept, call in zip(times, (first, second), strict=True):
            start = time.perf_counter_ns()
            call()
            elapsed = (time.perf_counter_ns() - start) / 1e6
            if round_number >= 20:
                kept.append(elapsed)
    return times


def time_bulk(router: Router, texts: list[str]) -> dict[str, float]:
    """Return requests per second of ``decide_many``: the median of five runs."""
    requests = [Request(text) for text in texts]
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        router.decide_many(requests)
        seconds.append(time.perf_counter() - start)
    return {"requests": len(texts), "per_second": round(len(texts) / float(np.median(seconds)))}


def quantile(times: list[float], share: float) -> float:
    """Return a quantile, rounded to microseconds."""
    return round(float(np.quantile(times, share)), 3)


def as_markdown(results: dict[str, Any]) -> str:
    """Return the results as a table."""
    lines = [f"# Latency of one decision, one thread ({results['machine']}, Python {results['python']})", ""]
    lines += ["Made by `benchmarks/latency.py`. Milliseconds; read the ratio first, the machine was shared.", ""]
    lines += ["| tokens | tokenizer alone p50 | p99 | decide p50 | p99 | ratio of p50 |", "| --- " * 6 + "|"]
    for row in results["single"]:
        alone, decide = row["tokenizer_ms"], row["decide_ms"]
        lines.append(f"| {row['tokens']} | {alone['p50']} | {alone['p99']} | {decide['p50']} | {decide['p99']} | {row['ratio_p50']} |")
    bulk = results["bulk"]
    lines += ["", f"In bulk (`decide_many`, {bulk['requests']:,} sample requests): {bulk['per_second']:,} requests a second."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
