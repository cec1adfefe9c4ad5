"""What an explanation costs, and whether hashed words tell kinds of traffic apart.

    python -m benchmarks.explaining BUNDLE
    python -m benchmarks.explaining BUNDLE --traffic mmlu.parquet tools.parquet

*Cost*: ``Router.explain`` of made-up sentences of four lengths, without and with a task, beside
``consider`` of the same; medians, with the number of variants that are scored. *Kinds*: the
requests of each file, at most 4,000, in 24 clusters by the vectors of ``kinds.json`` and by the
encoder's embeddings. Adjusted mutual information with the tasks says how well these are told apart;
the correlation of a kind's mean outcome in every other request with the outcomes of the rest, how
much a kind says of what becomes of its requests. One seed, no intervals.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import adjusted_mutual_info_score

from difficulty.bundle.traffic_kinds import standard, word_vectors
from difficulty.channels.neighbours import unit_centres
from difficulty.encoders.base import load_encoder
from difficulty.request import Request
from difficulty.runtime import Router
from difficulty.stages.deploying.traffic_clusters import MOST_CLUSTERS, scale_of
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer
from difficulty.traffic.stored.tokenized import tokenize
from difficulty.traffic.table import Traffic

FloatArray = NDArray[np.float64]
LENGTHS = (32, 64, 256, 512)
REPEATS = 9
MOST_REQUESTS = 4_000
_WORDS = (
    "The quick committee reviewed a quarterly report, then asked whether the plan could be finished"
    " before winter; nobody knew. Each member wrote a short note about costs, risks and people."
).split()


def text_of(router: Router, tokens: int, rng: random.Random) -> str:
    """Return made-up sentences of about so many tokens."""
    text = rng.choice(_WORDS)
    while router.scorer.encode(text).tokens < tokens - 1:
        text = f"{text} {rng.choice(_WORDS)}"
    return text


def cost_of(router: Router, text: str) -> tuple[float, float, float]:
    """Return the median milliseconds of an explanation and of a decision, and the variants that an
    explanation scores.
    """
    tasks = [None, next(iter(router.scorer.task_ids), None)]
    explained, decided, variants = [], [], 0
    rescore = router.rescore

    def counted(request: Request, rows: Sequence[Sequence[int]]) -> object:
        nonlocal variants
        variants += len(rows)
        return rescore(request, rows)

    router.rescore = counted  # type: ignore[method-assign,assignment]
    for task in tasks * REPEATS:
        start = time.perf_counter()
        router.explain(text, task)
        explained.append(time.perf_counter() - start)
        start = time.perf_counter()
        router.consider(Request(text, task))
        decided.append(time.perf_counter() - start)
    router.rescore = rescore  # type: ignore[method-assign]
    return 1e3 * median(explained), 1e3 * median(decided), variants / len(explained)


def told_by(
    vectors: FloatArray, tasks: Sequence[str | None], outcomes: Sequence[FloatArray]
) -> str:
    """Return what clusters of some vectors tell of tasks and outcomes."""
    centres = unit_centres(vectors, most=MOST_CLUSTERS, seed=0)
    nearest = np.argmax(vectors @ centres.T, axis=1)
    known = [row for row, task in enumerate(tasks) if task is not None]
    named = adjusted_mutual_info_score([tasks[row] for row in known], nearest[known])
    half = np.arange(len(vectors)) % 2 == 0
    found = [f"{len(centres)} kinds, tasks {named:.3f}"]
    for name, outcome in zip(("gain", "cheap quality"), outcomes, strict=True):
        learned, judged = (side & np.isfinite(outcome) for side in (half, ~half))
        sums = np.bincount(nearest[learned], outcome[learned], len(centres))
        counts = np.bincount(nearest[learned], minlength=len(centres))
        means = np.where(counts > 0, sums / np.maximum(counts, 1), outcome[learned].mean())
        r = np.corrcoef(means[nearest[judged]], outcome[judged])[0, 1]
        found.append(f"{name} {r:.3f}")
    return ", ".join(found)


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--traffic", type=Path, nargs="*", default=[], help="ingested traffic")
    parser.add_argument("--encoder", type=Path, default=Path("models/static-minilm-256"))
    options = parser.parse_args()
    router, rng = Router.load(options.bundle), random.Random(0)
    for tokens in LENGTHS:
        text = text_of(router, tokens, rng)
        explained, decided, variants = cost_of(router, text)
        print(
            f"{router.scorer.encode(text).tokens} tokens: explained in {explained:.1f} ms"
            f" ({variants:.0f} variants), decided in {decided:.2f} ms"
        )
    encoder = load_encoder(options.encoder) if options.traffic else None
    for path in options.traffic:
        traffic = Traffic.read(path)
        rows = np.arange(0, len(traffic), max(1, len(traffic) // MOST_REQUESTS))
        traffic = traffic.select(rows)
        tokenizer = RequestTokenizer.from_file(encoder.tokenizer_path)
        ids = tokenize(traffic, view=TextView(), tokenizer=tokenizer).ids
        raw = word_vectors(ids)
        outcomes = (traffic.outcomes.gain, traffic.outcomes.cheap_quality)
        for name, vectors in (
            ("hashed words", standard(raw, *scale_of(raw))),
            ("embeddings", np.asarray(encoder.encode(ids), dtype=np.float64)),
        ):
            print(f"{path.name}, {name}: {told_by(vectors, traffic.tasks, outcomes)}")


if __name__ == "__main__":
    main()
