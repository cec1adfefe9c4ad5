"""What a prior from other traffic is worth before there are labels, and beside few of them.

    python -m benchmarks.cold_start --routellm RouteLLM --normalised normalised -o
    benchmarks/results/2026-11-28-cold-start

The prior is the channel of the recipe ``fast`` that knows no word of the traffic: trees on what
tokens are like (their length, digits, signs, question words, ...), grown on the gain of all other
public sets, each set's mean gain taken off, sources of equal weight. Left out is the whole source:
sets of the same requests, though of other models, do not count as other traffic. Nothing was chosen
by these figures: one prior, one way to blend.

*No labels*: APGR of the prior, of the request's length, and of a random order (0.5), and the first
minus the second, with 95 % intervals by draws of groups; a source counts once in the mean, however
many sets it has. *n labels*: ``fast`` learns from n requests of the set, whole groups drawn at
random, and the rest are judged, at most 3,000. The blend is ``n / (n + 200)`` of its scores and the
rest of the prior's, both as standard scores: the prior shrinks away. Differences are means over
draws of the labels, plus or minus one standard error.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from benchmarks.lib.experiments import TRANSFER, experiments
from benchmarks.lib.protocol import (
    N_DRAWS,
    BenchmarkSet,
    FloatArray,
    apgr,
    difference,
    draw,
    estimate,
)
from benchmarks.lib.recipes import Trainer
from benchmarks.lib.results import write_results
from difficulty.channels.gains import GainTarget
from difficulty.channels.trees import TreeChannel
from difficulty.metrics import percentile_interval
from difficulty.traffic.stored.tokenized import Tokenized
from difficulty.traffic.table import Traffic
from difficulty.training.shipped import find_recipe

SIZES = (50, 200, 1000)
WORTH = 200
"""Labels that the prior counts as."""
MOST_JUDGED = 3_000
LEAST_JUDGED = 250


@dataclass(frozen=True, eq=False)
class Cold:
    """One set, tokenized."""

    name: str
    title: str
    traffic: Traffic
    tokens: Tokenized
    data: BenchmarkSet

    @property
    def source(self) -> str:
        """Where its requests come from."""
        return source_of(self.name)


def source_of(name: str) -> str:
    """Return where the requests of a set come from."""
    return name.partition("__")[0].partition("_")[0]


def main() -> None:
    """Run the benchmark and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--routellm", type=Path, required=True)
    parser.add_argument("--normalised", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--labels-drawn", type=int, default=4, help="draws of the labels")
    parser.add_argument("--draws", type=int, default=N_DRAWS, help="bootstrap draws")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    trainer = Trainer.of(find_recipe("fast"))
    sets = [
        Cold(
            one.name,
            one.title,
            one.judged,
            trainer.tokenize(one.judged),
            BenchmarkSet.of(one.judged).in_one_fold(),
        )
        for one in experiments(arguments.routellm, arguments.normalised)
        if one.name != TRANSFER
    ]
    priors = priors_of(sets, trainer)
    rows = []
    for one in sets:
        for size in arguments.sizes:
            rows += list(few(one, size, priors[one.name], trainer, arguments.labels_drawn))
        print(f"{one.name}: labels", flush=True)
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "draws": arguments.draws,
        "labels_drawn": arguments.labels_drawn,
        "none": without_labels(sets, priors, n_draws=arguments.draws),
        "few": rows,
    }
    write_results(arguments.out, results, as_markdown(results))


def priors_of(sets: Sequence[Cold], trainer: Trainer) -> dict[str, FloatArray]:
    """Return what trees of all other sources say of each set's requests."""
    channel = TreeChannel(trainer.encoder, components=0)
    prepared = {one.name: sp.csr_array(channel.prepare(one.tokens.ids)) for one in sets}
    said = {}
    for source in dict.fromkeys(one.source for one in sets):
        others = [one for one in sets if one.source != source]
        sources = [one.source for one in others]
        sizes = {
            name: sum(len(one.data) for one in others if one.source == name) for name in sources
        }
        groups = [f"{one.source} {group}" for one in others for group in one.data.groups]
        target = GainTarget(
            np.concatenate([one.data.gain - one.data.gain.mean() for one in others]),
            np.concatenate([np.full(len(one.data), 1000.0 / sizes[one.source]) for one in others]),
            np.unique(groups, return_inverse=True)[1],
        )
        known = sp.csr_array(sp.vstack([prepared[one.name] for one in others], format="csr"))
        state, head = channel.fit_gain(known, channel.fit(known), target)
        for one in sets:
            if one.source == source:
                said[one.name] = head.logits(channel.transform(prepared[one.name], state))
    return said


def without_labels(
    sets: Sequence[Cold], priors: Mapping[str, FloatArray], *, n_draws: int
) -> dict[str, Any]:
    """Return APGR of prior and length on each set, and the mean over sources."""
    found: list[dict[str, Any]] = []
    values: dict[str, dict[str, list[FloatArray]]] = {}
    for one in sets:
        rows, n = one.data.rows(), len(one.data)
        prior = apgr(priors[one.name], one.data, rows)
        length = apgr(one.tokens.totals.astype(np.float64), one.data, rows)
        statistics = {"prior": prior, "length": length, "minus": difference(prior, length)}
        drawn = draw(statistics, one.data.groups, n_draws=n_draws)
        figures = {
            name: estimate(statistic, drawn[name], n=n, n_rows=n)
            for name, statistic in statistics.items()
        }
        found.append(
            {"set": one.name, "title": one.title, "requests": n}
            | {name: [figure.value, figure.low, figure.high] for name, figure in figures.items()}
        )
        for name, figure in figures.items():
            of_source = values.setdefault(one.source, {})
            of_source.setdefault(name, []).append(np.r_[figure.value, drawn[name]])
    means = {}
    for name in ("prior", "length", "minus"):
        mean = np.mean([np.mean(one[name], axis=0) for one in values.values()], axis=0)
        means[name] = [float(mean[0]), *map(float, percentile_interval(mean[1:]))]
    return {"sets": found, "mean": means, "sources": len(values)}


def few(
    one: Cold, size: int, prior: FloatArray, trainer: Trainer, n_draws: int
) -> Iterator[dict[str, Any]]:
    """Yield the figures of some labels; nothing where too few requests would be left to judge."""
    if len(one.data) - size < LEAST_JUDGED:
        return
    drawn = np.array([_drawn(one, size, prior, trainer, seed) for seed in range(n_draws)])
    mean, error = drawn.mean(axis=0), drawn.std(axis=0, ddof=1) / np.sqrt(n_draws)
    names = ("fast", "blend", "length")
    figures = {name: [float(mean[place]), float(error[place])] for place, name in enumerate(names)}
    minus = drawn[:, 1] - drawn[:, 0]
    figures["minus"] = [float(minus.mean()), float(minus.std(ddof=1) / np.sqrt(n_draws))]
    yield {"set": one.name, "title": one.title, "labels": size} | figures


def _drawn(
    one: Cold, size: int, prior: FloatArray, trainer: Trainer, seed: int
) -> tuple[float, float, float]:
    """Return APGR of the recipe, of the blend and of the length on what is not labelled."""
    may_learn = labels_of(one.data.groups, size, seed)
    model = trainer.fit(one.traffic, one.tokens, may_learn)
    rest = np.flatnonzero(~may_learn)
    rest = np.sort(np.random.default_rng(seed).permutation(rest)[:MOST_JUDGED])
    own = model.predict(one.tokens.at(rest).ids).difficulty_score
    share = size / (size + WORTH)
    blend = share * _standard(own) + (1.0 - share) * _standard(prior[rest])
    scores = np.zeros((3, len(one.data)))
    scores[:, rest] = own, blend, one.tokens.totals[rest]
    ones = np.ones(len(one.data))
    of_recipe, of_blend, of_length = (float(apgr(score, one.data, rest)(ones)) for score in scores)
    return of_recipe, of_blend, of_length


def labels_of(groups: NDArray[np.str_], size: int, seed: int) -> NDArray[np.bool_]:
    """Return which requests are labelled: whole groups, drawn until there are as many."""
    names, index = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))[index]
    # the groups in order until enough requests are reached
    counts = np.bincount(order)
    enough = int(np.searchsorted(np.cumsum(counts), size)) + 1
    return np.asarray(order < enough, dtype=np.bool_)


def _standard(values: FloatArray) -> FloatArray:
    return np.asarray((values - values.mean()) / max(float(values.std()), 1e-12))


def as_markdown(results: Mapping[str, Any]) -> str:
    """Return the page."""
    none = results["none"]
    lines = [
        f"# A prior from other traffic, {results['date']}",
        "",
        "`benchmarks/cold_start.py` says what was done. APGR; a random order has 0.5.",
        "",
        "## No labels",
        "",
        "| set | requests | prior of the other sources | length | prior minus length |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in none["sets"]:
        lines.append(
            f"| {row['title']} | {row['requests']:,} | {_of(row['prior'])} | {_of(row['length'])} |"
            f" {_of(row['minus'], sign='+')} |"
        )
    mean = none["mean"]
    lines += [
        f"| **mean of {none['sources']} sources** | | {_of(mean['prior'])} |"
        f" {_of(mean['length'])} | {_of(mean['minus'], sign='+')} |",
        "",
        "## Few labels",
        "",
        f"Text only; means over {results['labels_drawn']} draws of the labels, ± one standard"
        " error.",
        "",
        "| set | labels | `fast` | with the prior | length | with the prior minus `fast` |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in results["few"]:
        cells = [f"{row[name][0]:.3f} ± {row[name][1]:.3f}" for name in ("fast", "blend", "length")]
        minus = f"{row['minus'][0]:+.3f} ± {row['minus'][1]:.3f}"
        lines.append(f"| {row['title']} | {row['labels']:,} | {' | '.join(cells)} | {minus} |")
    for size, value, error, n in means_of(results["few"]):
        lines.append(f"| **mean of {n} sources** | {size:,} | | | | {value:+.3f} ± {error:.3f} |")
    return "\n".join([*lines, ""])


def means_of(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, float, float, int]]:
    """Yield, for each number of labels, the mean over sources of what the prior adds, its standard
    error, and how many sources there are.
    """
    for size in dict.fromkeys(row["labels"] for row in rows):
        found: dict[str, list[FloatArray]] = {}
        for row in rows:
            if row["labels"] == size:
                found.setdefault(source_of(row["set"]), []).append(np.array(row["minus"]))
        means = np.array([np.mean([one[0] for one in of_source]) for of_source in found.values()])
        # sets of one source share their requests: their errors do not average out
        errors = np.array([np.mean([one[1] for one in of_source]) for of_source in found.values()])
        yield size, float(means.mean()), float(np.sqrt((errors**2).sum()) / len(found)), len(found)


def _of(figure: Sequence[float], *, sign: str = "") -> str:
    value, low, high = (f"{one:{sign}.3f}" for one in figure)
    return f"{value} [{low}, {high}]"


if __name__ == "__main__":
    main()
