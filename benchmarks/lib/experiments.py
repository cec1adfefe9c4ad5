"""What is judged: public sets by five folds, and a set judged by models that were trained on
another.

``routellm`` is a checkout of github.com/lm-sys/RouteLLM; ``normalised`` a folder with tool-calling
outcomes as traffic files (``bfcl__*.jsonl.gz``), which may be left out.
"""

from __future__ import annotations

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
}


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


def experiments(routellm: Path, normalised: Path | None) -> list[Experiment]:
    """Return every experiment, the transfer last."""
    sources = {name: routellm / "routellm" / "evals" / name for name in ("mmlu", "gsm8k")}
    if normalised:
        sources |= {
            path.name.removesuffix(".jsonl.gz"): path
            for path in sorted(normalised.glob("bfcl__*.jsonl.gz"))
        }
    sets = [
        Experiment(name, TITLES.get(name, name), read_traffic(path))
        for name, path in sources.items()
    ]
    mmlu, gsm8k = sets[0].judged, sets[1].judged
    return [*sets, Experiment("mmlu-to-gsm8k", "GSM8K, trained on MMLU", gsm8k, trained_on=mmlu)]
