"""Try what might tell requests of one task apart better than logistic heads on a frozen encoder do.

    python -m benchmarks.inside_tasks --routellm RouteLLM --normalised normalised -o
    benchmarks/results/2026-11-28-inside-tasks

The embeddings are those of recipe ``accurate``, the sets all that is public but MMLU: six of 721 to
1,319 requests. Each variant is one head alone, fitted by the folds of ``benchmarks/lib/protocol``;
it is compared with the plain form of its kind, on the same draws of whole groups. Writes
``<out>.json`` and ``<out>.md``. Takes a minute where the embeddings are in the cache.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression, Ridge

from benchmarks.lib.protocol import BenchmarkSet, apgr, draw, inside_task_auroc, read_traffic
from benchmarks.lib.recipes import Trainer
from difficulty.channels.neighbours import unit_centres
from difficulty.metrics import percentile_interval
from difficulty.training.shipped import find_recipe

FloatArray = NDArray[np.float64]
Rows = NDArray[np.intp]
N_PAIRS, N_DRAWS = 4_000, 300
LOGISTIC, RIDGE = "logistic difference, C .003", "ridge on the gain"
CENTRES, NEIGHBOURS = "256 centres", "100 nearest neighbours"


@dataclass(frozen=True, eq=False)
class Known:
    """One set: embeddings, outcomes, and the gains of other pairs on the same requests."""

    vectors: FloatArray
    data: BenchmarkSet
    siblings: list[FloatArray]


Scorer = Callable[[Known, Rows, Rows], FloatArray]
"""From a set, the rows to learn from and those to score, to scores."""


def main() -> None:
    """Run every variant on every set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--routellm", type=Path, required=True)
    parser.add_argument("--normalised", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args()
    sets = read_sets(arguments.routellm, arguments.normalised)
    figures = {
        name: {
            key: judged(known, scorer)
            for key, known in sets.items()
            if "one task" not in name or len(np.unique(known.data.tasks)) > 1
        }
        for name, (scorer, _) in VARIANTS.items()
    }
    rows = [row_of(name, against, figures) for name, (_, against) in VARIANTS.items()]
    arguments.out.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
    arguments.out.with_suffix(".md").write_text(as_page(rows, list(sets)))


def read_sets(routellm: Path, normalised: Path) -> dict[str, Known]:
    """Return the sets by a short name; those with the same requests are siblings."""
    paths = [*sorted(normalised.glob("bfcl__*")), *sorted(normalised.glob("zeroeval*"))]
    trainer = Trainer.of(find_recipe("accurate"))
    read: dict[str, tuple[FloatArray, BenchmarkSet]] = {}
    for path in (*paths, routellm / "routellm" / "evals" / "gsm8k"):
        traffic = read_traffic(path)
        vectors = trainer.encoder.encode(trainer.tokenize(traffic).ids)
        read[path.name.removesuffix(".jsonl.gz")] = vectors, BenchmarkSet.of(traffic)
    return {
        name: Known(
            vectors,
            data,
            [
                other.gain
                for key, (theirs, other) in read.items()
                if key != name and np.array_equal(theirs, vectors)
            ],
        )
        for name, (vectors, data) in read.items()
    }


def judged(known: Known, scorer: Scorer) -> tuple[float, FloatArray, float]:
    """Return APGR, its draws, and the AUROC inside a task among pairs of one fold."""
    data, score = known.data, np.zeros(len(known.data))
    for number in np.unique(data.fold):
        asked = np.flatnonzero(data.fold == number)
        score[asked] = scorer(known, np.flatnonzero(data.fold != number), asked)
    every, ones = np.arange(len(data)), np.ones(len(data))
    statistic = apgr(score, data, every)
    inside = inside_task_auroc(score, data, every, pairs_across_folds=False)
    draws = draw({"apgr": statistic}, data.groups, n_draws=N_DRAWS)["apgr"]
    return float(statistic(ones)), draws, float(inside(ones))


def standardised(known: Known, seen: Rows) -> FloatArray:
    """Return the vectors on the scale of those that are learned from."""
    mean, deviation = known.vectors[seen].mean(axis=0), known.vectors[seen].std(axis=0)
    return (known.vectors - mean) / (deviation + 1e-9)


def classes(label: Callable[[BenchmarkSet], FloatArray], worth: FloatArray, c: float) -> Scorer:
    """Score by what each class of outcome is worth, times how likely it is."""

    def scorer(known: Known, seen: Rows, asked: Rows) -> FloatArray:
        scaled, labels = standardised(known, seen), label(known.data).astype(np.int64)
        model = LogisticRegression(C=c, max_iter=500).fit(scaled[seen], labels[seen])
        return np.asarray(model.predict_proba(scaled[asked]) @ worth[model.classes_])

    return scorer


def difference(c: float) -> Scorer:
    """Score by P(cheap fails) - P(frontier fails), a head for each."""
    heads = [
        classes(lambda data: data.cheap < 0.5, np.array([0.0, 1.0]), c),
        classes(lambda data: data.frontier < 0.5, np.array([0.0, -1.0]), c),
    ]
    return lambda known, seen, asked: sum(head(known, seen, asked) for head in heads)


def four_outcomes(c: float) -> Scorer:
    """Score by one multinomial head over which of both models fail."""
    return classes(
        lambda data: 2 * (data.cheap < 0.5) + (data.frontier < 0.5),
        np.array([0.0, -1.0, 1.0, 0.0]),
        c,
    )


def sign_of_gain(c: float) -> Scorer:
    """Score by one multinomial head over worse, equal and better."""
    return classes(lambda data: np.sign(data.gain) + 1, np.array([-1.0, 0.0, 1.0]), c)


def pairs(c: float, *, of_one_task: bool = False) -> Scorer:
    """Score by a ranking loss: of two requests with other gains, which has the larger one."""

    def scorer(known: Known, seen: Rows, asked: Rows) -> FloatArray:
        scaled, rng, gain = standardised(known, seen), np.random.default_rng(0), known.data.gain
        left, right = rng.choice(seen, (2, 3 * N_PAIRS))
        useful = gain[left] != gain[right]
        if of_one_task:
            useful &= known.data.tasks[left] == known.data.tasks[right]
        left, right = left[useful][:N_PAIRS], right[useful][:N_PAIRS]
        model = LogisticRegression(
            C=c * len(seen) / len(left), max_iter=500, fit_intercept=False
        ).fit(scaled[left] - scaled[right], gain[left] > gain[right])
        return np.asarray(scaled[asked] @ model.coef_[0])

    return scorer


def ridge(known: Known, seen: Rows, asked: Rows, gain: FloatArray | None = None) -> FloatArray:
    """Score by ridge regression of the gain."""
    gain = known.data.gain if gain is None else gain
    model = Ridge(alpha=20.0).fit(known.vectors[seen], gain[seen])
    return np.asarray(model.predict(known.vectors[asked]))


def with_siblings(known: Known, seen: Rows, asked: Rows) -> FloatArray:
    """Add half of what the gains of other pairs on the same requests say."""
    others = (0.5 * ridge(known, seen, asked, gain) for gain in known.siblings)
    return ridge(known, seen, asked) + sum(others)


def centres(known: Known, seen: Rows, asked: Rows) -> FloatArray:
    """Score by the shares of centres, as the channel does, with a ridge on the gain."""
    own = unit_centres(known.vectors[seen], most=256, seed=0)
    shares, gain = softmax(10.0 * known.vectors @ own.T, axis=1), known.data.gain
    model = Ridge(alpha=0.05).fit(shares[seen], gain[seen])
    return np.asarray(model.predict(shares[asked]))


def neighbours(known: Known, seen: Rows, asked: Rows) -> FloatArray:
    """Score by the mean gain of the 100 nearest."""
    nearest = np.argsort(-known.vectors[asked] @ known.vectors[seen].T, axis=1)[:, :100]
    return np.asarray(known.data.gain[seen][nearest].mean(axis=1))


def in_learned_metric(scorer: Scorer, shrinkage: float) -> Scorer:
    """Score with the directions added that tell better, equal and worse apart (a discriminant
    analysis with a covariance that is pulled towards a ball).
    """

    def learned(known: Known, seen: Rows, asked: Rows) -> FloatArray:
        centred = known.vectors - known.vectors[seen].mean(axis=0)
        label, covariance = np.sign(known.data.gain[seen]), np.cov(centred[seen].T)
        ball = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        means = [centred[seen][label == value].mean(axis=0) for value in np.unique(label)]
        axes = np.linalg.solve((1 - shrinkage) * covariance + shrinkage * ball, np.array(means).T)
        told = centred @ axes
        wide = np.hstack([known.vectors, 0.3 * told / (told[seen].std(axis=0) + 1e-12)])
        unit = wide / np.linalg.norm(wide, axis=1, keepdims=True)
        return scorer(Known(unit, known.data, known.siblings), seen, asked)

    return learned


VARIANTS: dict[str, tuple[Scorer, str]] = {
    LOGISTIC: (difference(0.003), LOGISTIC),
    **{f"logistic difference, C {c}": (difference(c), LOGISTIC) for c in (0.001, 0.01)},
    **{
        f"{name}, C {c}": (made(c), LOGISTIC)
        for name, made in (
            ("four outcomes", four_outcomes),
            ("sign of the gain", sign_of_gain),
            ("pairs", pairs),
            ("pairs of one task", lambda c: pairs(c, of_one_task=True)),
        )
        for c in (0.001, 0.003, 0.01)
    },
    RIDGE: (ridge, RIDGE),
    "ridge, half of sibling pairs beside it": (with_siblings, RIDGE),
    CENTRES: (centres, CENTRES),
    NEIGHBOURS: (neighbours, NEIGHBOURS),
    **{
        f"{name}, learned metric, shrinkage {shrinkage}": (
            in_learned_metric(scorer, shrinkage),
            name,
        )
        for name, scorer in ((CENTRES, centres), (NEIGHBOURS, neighbours))
        for shrinkage in (0.5, 0.9)
    },
}
"""Each with the plain form that it is compared with."""


def row_of(name: str, against: str, figures: dict[str, dict[str, tuple[float, FloatArray, float]]]):  # noqa: ANN201
    """Return the figures of a variant, means over the sets that it has."""
    own, plain = figures[name], figures[against]
    draws = np.mean([own[key][1] - plain[key][1] for key in own], axis=0)
    low, high = percentile_interval(draws)
    return {
        "name": name,
        "against": against,
        "apgr": {key: own[key][0] for key in own},
        "mean": float(np.mean([own[key][0] for key in own])),
        "difference": float(np.mean([own[key][0] - plain[key][0] for key in own])),
        "low": low,
        "high": high,
        "better_on": sum(own[key][0] > plain[key][0] for key in own),
        "inside": float(np.mean([own[key][2] for key in own])),
    }


def as_page(rows: list[dict], sets: list[str]) -> str:
    """Return the page."""
    tried = sum(row["name"] != row["against"] for row in rows)
    lines = [
        "# What was tried to tell requests of one task apart",
        "",
        f"{tried} variants of one head on the frozen embeddings of recipe `accurate`, each beside"
        f" the plain form of its kind, on {len(sets)} public sets ({', '.join(sets)}); five folds,"
        f" {N_DRAWS} draws of groups. Made by `python -m benchmarks.inside_tasks --routellm"
        " RouteLLM --normalised normalised -o benchmarks/results/2026-11-28-inside-tasks`.",
        "",
        "| head | mean APGR | minus the plain form [95 %] | better on | AUROC inside a task |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        plain = row["name"] == row["against"]
        interval = f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
        better = f"{row['better_on']} of {len(row['apgr'])}"
        lines.append(
            f"| {row['name']} | {row['mean']:.4f} | {'plain form' if plain else interval} |"
            f" {'' if plain else better} | {row['inside']:.3f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
