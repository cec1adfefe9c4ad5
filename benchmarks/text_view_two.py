"""Compare text view 2 with view 1 on plain requests: how many texts change, and what that costs.

    python -m benchmarks.text_view_two --routellm RouteLLM --normalised normalised -o
    benchmarks/results/2026-11-28-text-view-2

First whether the token ids of a set's requests differ at all, then, where some do, recipe ``fast``
on five folds by both views. What view 2 learns, it learns of the samples to fit. Robustness against
what is put around requests is ``benchmarks/robustness.py``'s. Nearly all of the time is MMLU's
(``--sets`` takes some sets, ``--ids`` only counts).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from benchmarks.lib.experiments import TITLES, Experiment, experiments
from benchmarks.lib.methods import Bench, Scored
from benchmarks.lib.protocol import apgr, difference, draw, estimate
from benchmarks.lib.recipes import Trainer
from difficulty.recipe import Recipe, parse_recipe
from difficulty.training.shipped import find_recipe

N_DRAWS = 1000
VIEWS = (1, 2)


def main() -> None:
    """Run the comparison and write its page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--routellm", type=Path, required=True, help="checkout of RouteLLM")
    parser.add_argument("--normalised", type=Path, help="folder of traffic files of other sets")
    parser.add_argument("--sets", nargs="*", choices=[*TITLES], help="default: all that are there")
    parser.add_argument("--ids", action="store_true", help="count changed requests, train nothing")
    parser.add_argument("--work", type=Path, default=Path(".benchmark"))
    parser.add_argument("-o", "--out", type=Path, required=True, help="page, without suffix")
    arguments = parser.parse_args()
    names = arguments.sets or [*TITLES]
    rows = []
    for experiment in experiments(arguments.routellm, arguments.normalised, names):
        n, others = len(experiment.judged), changed(experiment)
        figures = _apgr(experiment, arguments, others)
        rows.append(f"| {experiment.title} | {n:,} | {others:,} | {figures} |")
        print(rows[-1], file=sys.stderr, flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    page = _PAGE.format(rows="\n".join(rows))
    arguments.out.with_suffix(".md").write_text(page, encoding="utf-8")


def _apgr(experiment: Experiment, arguments: argparse.Namespace, others: int) -> str:
    """Return APGR of both views and what view 2 has more, by whether the task is told."""
    if not others:
        return "same ids, same scores"
    if arguments.ids:
        return "not trained here"
    several = len(np.unique(experiment.outcomes.tasks)) > 1
    told = {"no task": False, "told": True} if several else {"no task": False}
    return "; ".join(
        f"{name}: {_compared(experiment, arguments.work, told=each)}" for name, each in told.items()
    )


def recipe_of(version: int) -> Recipe:
    """Return recipe ``fast`` with a text view."""
    form = find_recipe("fast").as_dict()
    form["text"]["view"] = version
    return parse_recipe(form | {"name": f"fast-view-{version}"}, name=f"fast-view-{version}")


def changed(experiment: Experiment) -> int:
    """Return how many requests have other token ids by view 2, which learned from the first fold's
    samples to fit.
    """
    traffic, learning = experiment.judged, experiment.outcomes.fold != 0
    first, second = (
        Trainer.of(recipe_of(version)).reading(traffic, learning).tokenize(traffic).ids
        for version in VIEWS
    )
    return sum(list(one) != list(two) for one, two in zip(first, second, strict=True))


def _compared(experiment: Experiment, work: Path, *, told: bool) -> str:
    data = experiment.outcomes
    first, second = (
        _score(Bench(experiment, work).recipe(recipe_of(version)), told=told) for version in VIEWS
    )
    statistics = {
        "first": apgr(first, data, data.rows()),
        "second": apgr(second, data, data.rows()),
    }
    statistics["more"] = difference(statistics["second"], statistics["first"])
    draws, n = draw(statistics, data.groups, n_draws=N_DRAWS), len(data)
    first_value, second_value, more = (
        estimate(statistic, draws[name], n=n, n_rows=n) for name, statistic in statistics.items()
    )
    return (
        f"{first_value.value:.3f} and {second_value.value:.3f},"
        f" {more.value:+.4f} ({more.low:+.4f} to {more.high:+.4f})"
    )


def _score(methods: list[Scored], *, told: bool) -> np.ndarray:
    wanted = [method for method in methods if method.name.endswith("_task") == told]
    assert wanted[0].score is not None
    return wanted[0].score


_PAGE = """# Text view 2 on plain requests

Public sets hold plain requests, of which text view 2 should change next to nothing. Requests whose
token ids differ from those of view 1, view 2 having learned from the samples to fit; then, for sets
with such requests, APGR of recipe `fast` on five folds by view 1 and by view 2, and what view 2 has
more, with the 95 % interval of 1,000 paired bootstrap draws. Where all ids are the same, models and
scores are the same to the bit.

| set | requests | other ids | APGR by view 1 and 2, difference |
| --- | --- | --- | --- |
{rows}

Made by `python -m benchmarks.text_view_two`.
"""

if __name__ == "__main__":
    main()
