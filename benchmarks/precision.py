"""What int8 weights of a frozen encoder change: the same heads on its float32 vectors, and how many
decisions differ.

    python -m benchmarks.precision runs/accurate --cache CACHE -o
    benchmarks/results/2026-11-27-precision

Needs the extra ``encoders``, to convert the encoder again with float32 weights. The heads of the
run were fitted, and its score calibrated, on int8 vectors, so the float32 vectors are those that
the scorer never saw: the figures say how much the weights' precision can matter, they are no errors
of the scorer.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.lib.results import write_results
from difficulty.encoders.base import Encoder, load_encoder
from difficulty.encoders.sentence import prepare
from difficulty.encoders.transformer import kept_on_disk
from difficulty.metrics.intervals import exact_interval
from difficulty.model.difficulty import DifficultyModel
from difficulty.traffic.stored.tokenized import Tokenized, tokenize
from difficulty.training.run import Run

SHARES = (0.1, 0.3, 0.5)


def main() -> None:
    """Run the benchmark and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run of recipe accurate")
    parser.add_argument(
        "--cache", type=Path, required=True, help="where encoders and embeddings are kept"
    )
    parser.add_argument(
        "--requests", type=int, default=1_500, help="test requests that are compared"
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    run = Run.read(arguments.run, cache=arguments.cache)
    features = run.recipe.features
    folder = prepare(
        features.encoder,
        arguments.cache,
        max_tokens=features.transformer.max_tokens,
        precision="float32",
    )
    exact = kept_on_disk(load_encoder(folder), arguments.cache)
    rng = np.random.default_rng(0)
    rows = np.sort(
        rng.choice(len(run.test), size=min(arguments.requests, len(run.test)), replace=False)
    )
    tokens = tokenize(run.test.select(rows), view=run.view, tokenizer=run.tokenizer)
    cosine = (run.encoder.encode(tokens.ids) * exact.encode(tokens.ids)).sum(axis=1)
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "recipe": run.recipe.name,
        "n": len(rows),
        "cosine": {"mean": float(cosine.mean()), "least": float(cosine.min())},
        "decisions": list(_compare(run.model, exact, tokens)),
    }
    write_results(arguments.out, results, as_markdown(results))


def _compare(model: DifficultyModel, exact: Encoder, tokens: Tokenized) -> Iterator[dict[str, Any]]:
    before = _scores(model, tokens)
    for channel in model.all_channels:
        for holder in (channel, getattr(channel, "embedding", None)):
            if hasattr(holder, "encoder"):
                holder.encoder = exact  # type: ignore[union-attr]
    for with_task, (one, other) in zip(
        (True, False), zip(before, _scores(model, tokens), strict=True), strict=True
    ):
        difference = np.abs(one - other)
        for share in SHARES:
            threshold = np.quantile(one, 1.0 - share)
            changed = int(((one > threshold) != (other > threshold)).sum())
            low, high = exact_interval(changed, len(one))
            yield {
                "task": "told" if with_task else "not told",
                "share": share,
                "mean_difference": float(difference.mean()),
                "max_difference": float(difference.max()),
                "changed": {"value": changed / len(one), "low": low, "high": high},
            }


def _scores(model: DifficultyModel, tokens: Tokenized) -> list[NDArray[np.float64]]:
    """Return the scores with the tasks told and not told."""
    return [model.predict(tokens.ids, tasks).difficulty_score for tasks in (tokens.tasks, None)]


def as_markdown(results: dict[str, Any]) -> str:
    """Return the page."""
    cosine = results["cosine"]
    lines = [
        f"# int8 beside float32, {results['date']}",
        "",
        (
            f"`python -m benchmarks.precision`, recipe `{results['recipe']}`, {results['n']:,} test"
            f" requests. Cosine of the vectors: mean {cosine['mean']:.4f}, least"
            f" {cosine['least']:.4f}. The heads were fitted on int8 vectors and read both."
        ),
        "",
        (
            "| task | threshold by share | mean difference of the score | largest | changed"
            " decisions | 95 % interval |"
        ),
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in results["decisions"]:
        changed = row["changed"]
        lines.append(
            f"| {row['task']} | {row['share']:g} | {row['mean_difference']:.2g} |"
            f" {row['max_difference']:.2g} | {changed['value']:.2%} | {changed['low']:.2%} to"
            f" {changed['high']:.2%} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
