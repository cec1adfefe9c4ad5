"""What is judged: public sets by five folds, and a set judged by models that were trained on
another.

``routellm`` is a checkout of github.com/lm-sys/RouteLLM; ``normalised`` a folder with outcomes as
traffic files (``NAME.jsonl.gz`` of the names in ``TITLES``: tool calls, competition maths, primes),
which may be left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.lib.embeddings import embed
from benchmarks.lib.protocol import BenchmarkSet, read_traffic, user_texts
from benchmarks.peers.exchange import Problem
from difficulty.traffic.table import Traffic

TITLES = {
    "mmlu": "MMLU: Mixtral-8x7B / GPT-4",
    "gsm8k": "GSM8K: Mixtral-8x7B / GPT-4",
    "bfcl__hermes-2-pro-llama-3-8b__gpt-4-0125-preview": "Tool calls: Hermes-2-Pro-8B / GPT-4",
    "bfcl__hermes-2-theta-llama-3-8b__claude-3-5-sonnet-20240620": (
        "Tool calls: Hermes-2-Theta-8B / Claude 3.5"
    ),
    "bfcl__meta-llama-3-8b-instruct__gpt-4-turbo-2024-04-09": (
        "Tool calls: Llama-3-8B / GPT-4-turbo"
    ),
    "zeroeval_math-l5__meta-llama-3.1-8b-instruct__o1-mini-2024-09-12": (
        "Competition maths: Llama-3.1-8B / o1-mini"
    ),
    "zeroeval_math-l5__meta-llama-3-8b-instruct__claude-3-5-sonnet-20241022": (
        "Competition maths: Llama-3-8B / Claude 3.5"
    ),
    "llmdrift_prime_full__march": "Primes: GPT-3.5 / GPT-4, March 2023",
}
TRANSFER = "mmlu-to-gsm8k"
"""MMLU's models on GSM8K: no mean counts it."""


@dataclass(frozen=True, eq=False)
class Experiment:
    """Requests to judge, and those to learn from where they are others."""

    name: str
    title: str
    judged: Traffic
    trained_on: Traffic | None = None
    """``None``: learned from the other folds of ``judged``."""

    @property
    def outcomes(self) -> BenchmarkSet:
        """The outcomes of the judged requests, all in fold 0 where the models come from
        elsewhere.
        """
        data = BenchmarkSet.of(self.judged)
        return data if self.trained_on is None else data.in_one_fold()

    def problem(self, embeddings: Path) -> Problem:
        """Return what peers and references are given, requests to learn from alone first."""
        parts = (
            [(BenchmarkSet.of(self.trained_on), self.trained_on, True)] if self.trained_on else []
        )
        parts.append((self.outcomes, self.judged, False))
        texts = [text for _, traffic, _ in parts for text in user_texts(traffic)]
        return Problem(
            texts=texts,
            embeddings=embed(texts, embeddings),
            cheap=np.concatenate([data.cheap for data, _, _ in parts]),
            frontier=np.concatenate([data.frontier for data, _, _ in parts]),
            fold=np.concatenate(
                [
                    np.full(len(data), -1) if only_learn else data.fold
                    for data, _, only_learn in parts
                ]
            ),
            tasks=[task for data, _, _ in parts for task in data.tasks],
        )


def experiments(
    routellm: Path, normalised: Path | None, names: Collection[str] = ()
) -> Iterator[Experiment]:
    """Yield every experiment, or those of some names; only what is yielded is
    read.
    """
    sources = {name: routellm / "routellm" / "evals" / name for name in ("mmlu", "gsm8k")}
    if normalised:
        paths = {name: normalised / f"{name}.jsonl.gz" for name in TITLES}
        sources |= {name: path for name, path in paths.items() if path.exists()}
    for name, path in sources.items():
        if not names or name in names:
            yield Experiment(name, TITLES[name], read_traffic(path))
    if not names or TRANSFER in names:
        mmlu, gsm8k = (read_traffic(sources[name]) for name in ("mmlu", "gsm8k"))
        yield Experiment(TRANSFER, "GSM8K, trained on MMLU", gsm8k, trained_on=mmlu)
