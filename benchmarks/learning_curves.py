"""Learning curves of a recipe beside length, the task mean and TF-IDF, by number of labelled
requests.

    python -m benchmarks.learning_curves --routellm RouteLLM --normalised normalised -o
    benchmarks/results/2026-11-23-learning-curves-fast

Folds and statistics are those of ``protocol.py``. Of a fold's training part only the first n
requests count as labelled, in an order of whole groups that a seed gives, so that smaller sets lie
in larger ones; 80 % of them fit the heads and 20 % calibrate, by group. The fold itself is judged
whole. Every seed gives a curve; a figure is the mean over seeds, and its interval comes from
bootstrap draws of groups and of seeds, so it holds both the chance of the test requests and that of
which requests were labelled. From 5,000 labels on there are two seeds, with all labels one.

``task mean`` is the mean gain of the task among the n requests, ``tf-idf`` the difference of two
logistic models on words and pairs of words (C 0.3) of all n, ``length`` the number of tokens.
Nothing is chosen by looking at the results: the recipe is the shipped one.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from benchmarks.lib.protocol import (
    FOLDS,
    BenchmarkSet,
    Estimate,
    FloatArray,
    apgr,
    read_traffic,
    user_texts,
)
from benchmarks.lib.recipes import Trainer
from difficulty.evaluation import TaskMeans
from difficulty.metrics import percentile_interval
from difficulty.metrics.bootstrap import Resampling
from difficulty.traffic.stored.tokenized import Tokenized
from difficulty.traffic.table import Traffic
from difficulty.training.shipped import find_recipe

SIZES = (200, 500, 1500, 5000)
OURS = ("text only", "task told")
REFERENCES = ("length", "task mean", "tf-idf")
COMPARISONS = (
    ("text only", "length"),
    ("text only", "tf-idf"),
    ("task told", "length"),
    ("task told", "task mean"),
    ("task told", "tf-idf"),
)
MANY = 5000
N_DRAWS = 400


@dataclass(frozen=True, eq=False)
class Labelled:
    """A set with all that the methods read."""

    traffic: Traffic
    tokens: Tokenized
    texts: list[str]
    data: BenchmarkSet

    @classmethod
    def of(cls, source: Path, trainer: Trainer) -> Labelled:
        """Read and tokenize a set."""
        traffic = read_traffic(source)
        return cls(
            traffic, trainer.tokenize(traffic), user_texts(traffic), BenchmarkSet.of(traffic)
        )


def main() -> None:
    """Run the benchmark and write ``<out>.json``, ``<out>.md`` and ``<out>.svg``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--routellm", type=Path, required=True)
    parser.add_argument("--normalised", type=Path)
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sets", nargs="+", help="names of the sets to run; default: all")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    sources = {"mmlu": arguments.routellm / "routellm" / "evals" / "mmlu"}
    if arguments.normalised:
        sources |= {
            path.name.removesuffix(".jsonl.gz"): path
            for path in sorted(arguments.normalised.glob("bfcl__*.jsonl.gz"))
        }
    recipe = find_recipe(arguments.recipe)
    trainer = Trainer.of(recipe)
    results = {"recipe": recipe.as_dict(), "sets": {}}
    for name in arguments.sets or sources:
        results["sets"][name] = curves_of(
            name, sources[name], trainer, sizes=arguments.sizes, seeds=arguments.seeds
        )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(
        json.dumps(results, indent=1) + "\n", encoding="utf-8"
    )
    text = as_markdown(results, arguments.out.name)
    arguments.out.with_suffix(".md").write_text(text, encoding="utf-8")
    draw_plot(results, arguments.out.with_suffix(".svg"))
    print(text)


def curves_of(
    name: str, source: Path, trainer: Trainer, *, sizes: list[int], seeds: int
) -> list[dict[str, object]]:
    """Return the figures of one set, one entry a size."""
    labelled_set = Labelled.of(source, trainer)
    least_training = min(int((labelled_set.data.fold != fold).sum()) for fold in range(FOLDS))
    wanted = [size for size in sizes if size < least_training]
    found = []
    for size in [*wanted, None]:
        start = time.perf_counter()
        scores = [
            scores_at(labelled_set, size, seed, trainer) for seed in range(seeds_at(size, seeds))
        ]
        figures = figures_of(scores, labelled_set.data)
        found.append({"labels": size or least_training, "seeds": len(scores), **figures})
        print(f"{name}, {size or 'all'} labels: {time.perf_counter() - start:.0f} s", flush=True)
    return found


def seeds_at(size: int | None, seeds: int) -> int:
    """Return how many seeds a size gets: large ones differ less and cost more."""
    if size is None:
        return 1
    return seeds if size < MANY else min(seeds, 2)


def scores_at(
    labelled_set: Labelled, size: int | None, seed: int, trainer: Trainer
) -> dict[str, FloatArray]:
    """Return every method's out-of-fold scores when ``size`` requests are labelled (``None``:
    all).
    """
    data = labelled_set.data
    scores = {method: np.zeros(len(data)) for method in (*OURS, *REFERENCES)}
    for fold in range(FOLDS):
        rows, asked = training_rows(data, fold, size, seed), np.flatnonzero(data.fold == fold)
        may_learn = np.zeros(len(data), dtype=bool)
        may_learn[rows] = True
        model = trainer.fit(labelled_set.traffic, labelled_set.tokens, may_learn)
        picked = labelled_set.tokens.at(asked)
        scores["text only"][asked] = model.predict(picked.ids).difficulty_score
        scores["task told"][asked] = model.predict(picked.ids, picked.tasks).difficulty_score
        scores["length"][asked] = labelled_set.tokens.totals[asked]
        scores["task mean"][asked] = TaskMeans.fit(list(data.tasks[rows]), data.gain[rows]).of(
            list(data.tasks[asked])
        )
        scores["tf-idf"][asked] = tfidf(labelled_set, rows, asked)
    return scores


def training_rows(data: BenchmarkSet, fold: int, size: int | None, seed: int) -> NDArray[np.intp]:
    """Return the labelled requests: the first of a fold's training part, whole groups in an order
    that the seed gives.
    """
    rows = np.flatnonzero(data.fold != fold)
    _, codes = np.unique(data.groups[rows], return_inverse=True)
    place = np.random.default_rng([seed, fold]).permutation(int(codes.max()) + 1)[codes]
    return rows if size is None else rows[np.argsort(place, kind="stable")[:size]]


def tfidf(labelled_set: Labelled, rows: NDArray[np.intp], asked: NDArray[np.intp]) -> FloatArray:
    """Return P(cheap fails) - P(frontier fails) by logistic regression on words and pairs of
    words.
    """
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    known = vectorizer.fit_transform([labelled_set.texts[row] for row in rows])
    wanted = vectorizer.transform([labelled_set.texts[row] for row in asked])

    def p_fails(quality: FloatArray) -> FloatArray:
        failed = quality[rows] < 0.5
        if len(np.unique(failed)) < 2:
            return np.full(len(asked), float(failed[0]))
        return (
            LogisticRegression(C=0.3, max_iter=500).fit(known, failed).predict_proba(wanted)[:, 1]
        )

    return p_fails(labelled_set.data.cheap) - p_fails(labelled_set.data.frontier)


def figures_of(
    scores: list[dict[str, FloatArray]], data: BenchmarkSet
) -> dict[str, dict[str, dict[str, float]]]:
    """Return the mean APGR over seeds of each method, and the paired differences, with intervals
    over groups and seeds.
    """
    rows, rng = data.rows(), np.random.default_rng(0)
    statistics = {method: [apgr(one[method], data, rows) for one in scores] for method in scores[0]}
    blocks = [
        {
            method: np.stack([statistic(block) for statistic in each])
            for method, each in statistics.items()
        }
        for block in Resampling(N_DRAWS).of(data.groups, rng=rng).blocks()
    ]
    drawn = {
        method: np.concatenate([block[method] for block in blocks], axis=1) for method in statistics
    }
    chosen = rng.integers(0, len(scores), size=(len(scores), N_DRAWS))
    over_seeds = {
        method: values[chosen, np.arange(N_DRAWS)].mean(axis=0) for method, values in drawn.items()
    }
    value = {
        method: float(np.mean([statistic(np.ones(len(data))) for statistic in each]))
        for method, each in statistics.items()
    }

    def figure(of: Callable[[dict[str, FloatArray]], FloatArray | float]) -> dict[str, float]:
        return asdict(Estimate(float(of(value)), *percentile_interval(of(over_seeds)), n=len(data)))

    return {
        "apgr": {method: figure(lambda by, m=method: by[m]) for method in statistics},
        "difference": {
            f"{ours} - {other}": figure(lambda by, a=ours, b=other: by[a] - by[b])
            for ours, other in COMPARISONS
        },
    }


def as_markdown(results: dict, name: str) -> str:
    """Return the results as tables."""
    lines = [
        f"# Learning curves of recipe `{results['recipe']['name']}`",
        "",
        "APGR by number of labelled requests, means over seeds.",
    ]
    lines += [
        "Made by `benchmarks/learning_curves.py`, which says how.",
        "",
        f"![learning curves]({name}.svg)",
    ]
    for set_name, sizes in results["sets"].items():
        lines += [
            "",
            f"## {set_name}",
            "",
            *table(sizes, "apgr"),
            "",
            f"## {set_name}: difference",
            "",
            *table(sizes, "difference"),
        ]
    return "\n".join(lines) + "\n"


def table(sizes: list[dict], key: str) -> list[str]:
    """Return the rows of a table with one line a size."""
    columns = list(sizes[0][key])
    lines = [
        "| labels | seeds | " + " | ".join(columns) + " |",
        "| --- " * (len(columns) + 2) + "|",
    ]
    for row in sizes:
        cells = [str(Estimate(**row[key][column])) for column in columns]
        lines.append(f"| {row['labels']:,} | {row['seeds']} | " + " | ".join(cells) + " |")
    return lines


def draw_plot(results: dict, path: Path) -> None:
    """Draw one panel a set, as an SVG that is the same for the same figures."""
    sets = results["sets"]
    figure = Figure(figsize=(4.2 * len(sets), 3.8), layout="constrained")
    for panel, (name, sizes) in zip(
        figure.subplots(1, len(sets), squeeze=False)[0], sets.items(), strict=True
    ):
        labels = [row["labels"] for row in sizes]
        for method in (*OURS, *REFERENCES):
            value, low, high = (
                [row["apgr"][method][end] for row in sizes] for end in ("value", "low", "high")
            )
            (line,) = panel.plot(
                labels,
                value,
                marker="o",
                markersize=3,
                linewidth=2 if method in OURS else 1,
                label=method,
            )
            if method in OURS:
                panel.fill_between(
                    labels, low, high, color=line.get_color(), alpha=0.12, linewidth=0
                )
        panel.set(xscale="log", xlabel="labelled requests", ylabel="APGR")
        panel.set_title(name.replace("__", "\n"), fontsize=8)
        panel.set_xticks(labels, [f"{one:,}" for one in labels])
        panel.minorticks_off()
        panel.grid(alpha=0.25)
    figure.axes[0].legend(frameon=False, fontsize=8)
    with rc_context({"svg.hashsalt": "difficulty"}):
        figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
