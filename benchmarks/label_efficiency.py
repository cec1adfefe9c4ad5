"""What labels are worth that are chosen, beside labels drawn at random.

    nice python -m benchmarks.label_efficiency --routellm RouteLLM --normalised normalised
    --cache CACHE -o benchmarks/results/2026-11-28-label-efficiency

All labels of a set are hidden and shown when they are asked for. Requests of one of five folds are
judged; labels come from the other four. Each seed judges another fold. At every number of labels a
score is fitted and the next labels are chosen by it; the first ones by the texts alone. Three
parts:

*fast*: recipe ``fast``, as trained by ``difficulty train``; labels by ``choose_requests`` as
``difficulty label`` calls it (half of the chance at random, weights in fitting) against a random
draw, and against a random draw of 1.3 times as many labels.

*light*: logistic heads on static embeddings, and what the literature goes by. Those under "known
probabilities" are telling parts of the same draw, with half of the chance at random; they are
fitted with weights and without. Those under "none" take what they like best: the most uncertain
requests, a greedy k-center cover, and BADGE (k-means++ seeding on the heads' gradients).

*replays*: 150 requests chosen by their texts and 150 more by a score that the first were fitted on,
of 1,000 requests drawn from MMLU each time. The truth is the value over all requests that the
replays draw from; counted is how often the 95 % interval of a figure holds it.

Finished parts are kept in ``--cache``, and a run that was cut off goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from benchmarks.coverage import judged
from benchmarks.learning_curves import Labelled
from benchmarks.lib.label_page import as_markdown
from benchmarks.lib.label_rivals import TAKING, TELLING, Heads, LightSet, Rows, Situation
from benchmarks.lib.protocol import FOLDS, BenchmarkSet, FloatArray, apgr, read_traffic
from benchmarks.lib.recipes import Trainer
from benchmarks.lib.results import write_results
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.labelling.inclusion import (
    draw,
    mixed_sizes,
    proportional,
    share_of_round,
    weights_over_rounds,
)
from difficulty.labelling.selection import RANDOM_SHARE, choose_requests
from difficulty.labelling.telling import Sides, clusters_of, embed
from difficulty.traffic.chosen import weigh_chosen
from difficulty.traffic.table import Traffic
from difficulty.training.shipped import find_encoder, find_recipe

LARGE, SMALL = (300, 1000, 3000), (150, 300)
"""Numbers of labels, of MMLU and of sets of about a thousand requests."""
MORE = 1.3
SHARE = 0.3


def main() -> None:
    """Run the benchmark and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--routellm", type=Path, required=True)
    parser.add_argument("--normalised", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5, help="of the part 'fast'")
    parser.add_argument("--light-seeds", type=int, default=10)
    parser.add_argument("--replays", type=int, default=300)
    parser.add_argument("--sets", nargs="+", help="of 'fast' and 'light'; default: all")
    parser.add_argument("--parts", nargs="+", default=["fast", "replays", "light"])
    parser.add_argument("-o", "--out", type=Path, required=True, help="path without suffix")
    options = parser.parse_args()
    evaluations = options.routellm / "routellm" / "evals"
    tools = sorted(options.normalised.glob("bfcl__*.jsonl.gz"))
    of_fast = {"mmlu": evaluations / "mmlu"} | {_name(path): path for path in tools}
    others = sorted(options.normalised.glob("zeroeval_*.jsonl.gz"))
    of_light = of_fast | {"gsm8k": evaluations / "gsm8k"} | {_name(path): path for path in others}
    results: dict[str, Any] = {"seeds": options.seeds, "light_seeds": options.light_seeds}
    if "fast" in options.parts:
        results["fast"] = {
            name: fast_set(name, source, options.seeds, options.cache)
            for name, source in of_fast.items()
            if not options.sets or name in options.sets
        }
    if "replays" in options.parts:
        results["replays"] = replays(of_fast["mmlu"], options.replays, options.cache)
    if "light" in options.parts:
        results["light"] = {
            name: light_set(name, source, options.light_seeds, options.cache)
            for name, source in of_light.items()
            if not options.sets or name in options.sets
        }
    write_results(options.out, results, as_markdown(results))


def _name(path: Path) -> str:
    return path.name.removesuffix(".jsonl.gz")


def kept(cache: Path, name: str, make: Callable[[], Any]) -> Any:
    """Return what ``make`` gives, from the cache where it was made before."""
    path = cache / f"{name}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(make()))
        part.replace(path)
        print(name, flush=True)
    return json.loads(path.read_text())


def sizes_of(n_pool: int) -> tuple[int, ...]:
    """Return the numbers of labels for a set of which so many may be labelled."""
    return LARGE if n_pool > MORE * LARGE[-1] else SMALL


# The recipe that is shipped.


def fast_set(name: str, source: Path, seeds: int, cache: Path) -> list[dict[str, Any]]:
    """Return the figures of one set, one entry a number of labels."""
    whole: list[Labelled] = []
    trainer = Trainer.of(find_recipe("fast"))

    def read() -> Labelled:
        if not whole:
            whole.append(Labelled.of(source, trainer))
        return whole[0]

    curves = [
        {
            method: kept(
                cache,
                f"fast-{name}-{method}-{seed}",
                lambda m=method, s=seed: fast_curve(read(), trainer, m, s),
            )
            for method in ("random", "label")
        }
        for seed in range(seeds)
    ]
    numbers = sorted(map(int, curves[0]["label"]))
    return [
        {"labels": n}
        | {
            kind: {
                "random": mean_of([by["random"][str(n)][kind] for by in curves]),
                "label": mean_of([by["label"][str(n)][kind] for by in curves]),
                "label - random": paired(
                    [by["label"][str(n)][kind] - by["random"][str(n)][kind] for by in curves]
                ),
                f"label - random x {MORE}": paired(
                    [
                        by["label"][str(n)][kind] - by["random"][str(round(MORE * n))][kind]
                        for by in curves
                    ]
                ),
                f"random x {MORE} - random": paired(
                    [
                        by["random"][str(round(MORE * n))][kind] - by["random"][str(n)][kind]
                        for by in curves
                    ]
                ),
            }
            for kind in ("text only", "task told")
        }
        for n in numbers
    ]


def fast_curve(
    labelled: Labelled, trainer: Trainer, method: str, seed: int
) -> dict[int, dict[str, float]]:
    """Return APGR on the judged fold by number of labels."""
    fold = seed % FOLDS
    pool = np.flatnonzero(labelled.data.fold != fold)
    traffic, tokens = labelled.traffic.select(pool), labelled.tokens.at(pool)
    curve: dict[int, dict[str, float]] = {}
    if method == "random":
        order = np.random.default_rng([seed, 1]).permutation(len(pool))
        for n in sorted({*(sizes := sizes_of(len(pool))), *(round(MORE * n) for n in sizes)}):
            may_learn = np.isin(np.arange(len(pool)), order[:n])
            model = trainer.fit(traffic, tokens, may_learn)
            curve[n] = fast_apgr(labelled, model, fold)
        return curve
    column, scores, threshold = np.full(len(pool), np.nan), None, None
    for n in sizes_of(len(pool)):
        hidden = traffic.without_outcomes(np.isnan(column)).with_columns(
            {"inclusion": [None if np.isnan(value) else float(value) for value in column]}
        )
        more = n - int((~np.isnan(column)).sum())
        choice = choose_requests(hidden, more, scores=scores, threshold=threshold, seed=seed)
        column = choice.settled()
        chosen = ~np.isnan(column)
        weighed = weighted(traffic, column)
        model = trainer.fit(weighed, tokens, chosen)
        curve[n] = fast_apgr(labelled, model, fold)
        scores = model.predict(tokens.ids, tokens.tasks).by_name()
        threshold = float(np.quantile(scores["difficulty_score"], 1.0 - SHARE))
    return curve


def weighted(traffic: Traffic, column: FloatArray) -> Traffic:
    """Return traffic with the outcomes of what was chosen, weighted as in training."""
    shown = traffic.without_outcomes(np.isnan(column)).with_columns(
        {"inclusion": [None if np.isnan(value) else float(value) for value in column]}
    )
    return weigh_chosen(shown)[0]


def fast_apgr(labelled: Labelled, model: Any, fold: int) -> dict[str, float]:
    """Return APGR of the judged fold, with and without the task."""
    data = labelled.data
    asked = np.flatnonzero(data.fold == fold)
    picked, figures = labelled.tokens.at(asked), {}
    for kind, tasks in (("text only", None), ("task told", picked.tasks)):
        whole = np.zeros(len(data))
        whole[asked] = model.predict(picked.ids, tasks).difficulty_score
        figures[kind] = float(apgr(whole, data, asked)(np.ones(len(data))))
    return figures


def mean_of(values: list[float]) -> float:
    """Return a mean over seeds."""
    return float(np.mean(values))


def paired(differences: list[float]) -> list[float]:
    """Return the mean of differences and its 95 % interval by Student's t, over seeds."""
    values = np.array(differences)
    error = values.std(ddof=1) / np.sqrt(len(values)) * student.ppf(0.975, len(values) - 1)
    return [float(values.mean()), float(values.mean() - error), float(values.mean() + error)]


# Light heads, for what the literature goes by.


def light_set(name: str, source: Path, seeds: int, cache: Path) -> dict[str, Any]:
    """Return the differences from a random draw, by number of labels and method."""
    whole: list[LightSet] = []

    def read() -> LightSet:
        if not whole:
            whole.append(LightSet.of(source))
        return whole[0]

    curves = [
        kept(cache, f"light-{name}-{seed}", lambda s=seed: light_curves(read(), s))
        for seed in range(seeds)
    ]
    return {
        n: {
            method: [mean_of([by[n][method] for by in curves])]
            + paired([by[n][method] - by[n]["random"] for by in curves])
            for method in curves[0][n]
        }
        for n in curves[0]
    }


def light_curves(light: LightSet, seed: int) -> dict[int, dict[str, float]]:
    """Return APGR by number of labels and method."""
    fold, rng = seed % FOLDS, np.random.default_rng([seed, 1])
    pool, asked = (np.flatnonzero(light.data.fold != fold), np.flatnonzero(light.data.fold == fold))
    order, sizes = rng.permutation(pool), sizes_of(len(pool))
    curves: dict[int, dict[str, float]] = {n: {} for n in sizes}
    for n in sizes:
        for name, many in (("random", n), (f"random x {MORE}", round(MORE * n))):
            curves[n][name] = light.apgr(light.fit(order[:many]), asked)
    for name in (*TELLING, *TAKING):
        rows, weights, heads = np.zeros(0, dtype=np.intp), np.zeros(0), None
        for n in sizes:
            free = np.setdiff1d(pool, rows)
            clusters = clusters_of(light.vectors[free], n - len(rows), seed=seed)
            now = Situation(light.vectors[free], light, rows, heads, clusters, rng)
            if name in TELLING:
                picked, weights = told_draw(now, TELLING[name](now), n - len(rows), weights)
            elif heads is None and name != "k-center":
                picked = np.flatnonzero(np.isin(free, order[:n]))
            else:
                picked = TAKING[name](now, n - len(rows))
            rows = np.concatenate([rows, free[picked]])
            heads = light.fit(rows)
            curves[n][f"{name}, not weighted" if name in TELLING else name] = light.apgr(
                heads, asked
            )
            if name in TELLING:
                weighed = light.fit(rows, weights / weights.mean())
                curves[n][name] = light.apgr(weighed, asked)
    return curves


def told_draw(
    now: Situation, telling: FloatArray, n: int, weights: FloatArray
) -> tuple[Rows, FloatArray]:
    """Return what is drawn with half of the chance at random, and the weights of all so far."""
    sizes = mixed_sizes(np.ones(len(telling)), telling, random_share=RANDOM_SHARE)
    before = len(now.rows)
    share = share_of_round(before + len(telling), before, n)
    probability = proportional(sizes, n, largest=share)
    order = np.lexsort((now.rng.random(len(telling)), now.clusters))
    picked = draw(probability, order=order, rng=now.rng)
    return picked, np.concatenate(weights_over_rounds(weights, probability[picked], share=share))


# Figures of what was chosen.


def replays(source: Path, n_replays: int, cache: Path, n_draws: int = 200) -> dict[str, Any]:
    """Return how often the interval of each figure holds the truth."""
    whole: list[Replayed] = []

    def read() -> Replayed:
        if not whole:
            whole.append(Replayed.of(read_traffic(source)))
        return whole[0]

    truth = kept(cache, "replays-truth", lambda: replayed(read(), None, n_draws=1))
    rounds = [
        kept(cache, f"replays/{seed}", lambda s=seed: replayed(read(), s, n_draws=n_draws))
        for seed in range(n_replays)
    ]
    counted = {}
    for name, (value, _, _) in truth.items():
        ends = [by[name] for by in rounds if name in by and by[name][1] is not None]
        if len(ends) >= n_replays / 2:
            counted[name] = {
                "truth": value,
                "mean": float(np.mean([each[0] for each in ends])),
                "held": float(np.mean([low <= value <= high for _, low, high in ends])),
                "replays": len(ends),
            }
    return counted


@dataclass(frozen=True, eq=False)
class Replayed:
    """What replays draw from, and a score that none of them chooses."""

    traffic: Traffic
    light: LightSet
    rest: Rows
    heads: Heads

    @classmethod
    def of(cls, traffic: Traffic) -> Replayed:
        """Fit the score on 2,000 requests; the rest are drawn from."""
        encoder = find_encoder(find_recipe("fast").features)
        light = LightSet(BenchmarkSet.of(traffic), embed(traffic, encoder))
        fixed, rest = np.split(np.random.default_rng(0).permutation(len(traffic)), [2_000])
        return cls(traffic, light, rest, light.fit(fixed))


def replayed(of: Replayed, seed: int | None, *, n_draws: int) -> dict[str, list[float | None]]:
    """Return the figures of one replay, or of all requests."""
    traffic, light, rest = of.traffic, of.light, of.rest
    if seed is None:
        part, rows = traffic.select(rest), rest
    else:
        rng = np.random.default_rng([seed, 2])
        rows = np.sort(rng.choice(rest, 1_000, replace=False))
        column, scores = np.full(len(rows), np.nan), None
        for n in (150, 150):
            hidden = (
                traffic.select(rows)
                .without_outcomes(np.isnan(column))
                .with_columns(
                    {"inclusion": [None if np.isnan(value) else float(value) for value in column]}
                )
            )
            choice = choose_requests(
                hidden, n, scores=scores, threshold=0.55, seed=seed, vectors=light.vectors[rows]
            )
            column = choice.settled()
            cheap, frontier = light.fit(rows[~np.isnan(column)])(light.vectors[rows])
            scores = Sides((1 + cheap - frontier) / 2, cheap, frontier)._asdict()
            scores["difficulty_score"] = scores.pop("score")
        part = weighted(traffic.select(rows), column)
    cheap, frontier = of.heads(light.vectors[rows])
    outputs = {
        "difficulty_score": (1 + cheap - frontier) / 2,
        "p_cheap_fails": cheap,
        "p_frontier_fails": frontier,
    }
    unpriced = np.full(len(rows), np.nan)
    scored = ScoredTraffic.of(
        part, outputs, np.zeros(len(rows), dtype=np.int64), costs=(unpriced,) * 2, target="benefit"
    )
    figures = judged(scored, n_draws, seed=seed or 0)
    return {
        name: [each.value, each.low, each.high]
        for name, each in figures.items()
        if each.value is not None
    }


if __name__ == "__main__":
    main()
