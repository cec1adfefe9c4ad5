"""Are promises kept? Risk objectives where the truth is known, simulated and on public outcomes.

    python -m benchmarks.guarantees -o benchmarks/results/2026-11-28-guarantees \
      --routellm RouteLLM --normalised normalised
    python -m benchmarks.guarantees -o benchmarks/results/2026-11-28-guarantees-checked --checked
    python -m benchmarks.guarantees -o benchmarks/results/2026-11-28-guarantees-logged \
      --only logged "logged by luck"

A thousand times a calibration set is drawn from a population; the objective chooses a threshold on
it through the same code as ``difficulty ship``. A promise is broken when the loss of what that
threshold keeps, counted by request and weight, is above the level in the population. It may be
broken in a share ``delta`` of the draws. *Given* is the share of draws with any promise; *kept* the
median share of requests that stay cheap where one is given.

Simulated populations (``benchmarks/lib/populations.py``) are judged in three ways. *Flat*: the
score says nothing and the loss is a hair above the level wherever a threshold stands, so that every
promise is a broken one: the hardest there is. *Edge*: the level is what the easiest 60 % of the
requests lose. *Room*: keeping everything loses 20 % less than the level, so that a promise should
be had. With thresholds per task each task's promise is counted by itself, and the worst is shown.

*With a check*: each request also has a score of the cheap model's answer, and the objective chooses
between the request's score alone and the check alone by cost, on the same samples; the loss is that
of what stays cheap in the end. Where scores say nothing, that of answers is another, independent
one, the same for a whole group: two chances to break a promise, of which the cheaper one is taken.

Public sets have out-of-fold scores of the recipe ``fast``, told the task where there is one, and
their real groups: equal texts, near-duplicates, conversations. Whole groups are drawn with
replacement, so the truth at every threshold is that of the whole set. *Asked again*: a request that
the cheap model fails comes again with probability 0.25, at most twice, in the group of the first.
In each set of tool calls one group of 70 holds 8 % of the requests and fails more than the others;
a draw of whole groups lacks it in 37 %, and then no test can know of it. The rows *without its
largest group* are of the same set without that group. Level 0.25 on MMLU was given beforehand; the
other levels are what the 70 % of the requests with the lowest scores lose, rounded up to 0.01. How
large a group the test adds was chosen on simulated populations like these, not on the sets.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, logit

from benchmarks.lib.experiments import Experiment, experiments
from benchmarks.lib.populations import TASKS, Simulated, populations, with_answers
from benchmarks.lib.protocol import FloatArray
from benchmarks.lib.recipes import Trainer, score_fold
from benchmarks.lib.results import write_results
from benchmarks.lib.shares import Share
from difficulty.early_exit import choose_cut_offs
from difficulty.errors import NotAttainableError
from difficulty.evaluation.scored import ScoredTraffic, Thresholds
from difficulty.metrics import Resampling
from difficulty.metrics.bootstrap import group_codes
from difficulty.stages.choosing import exit_confidence
from difficulty.thresholds.point import choose_per_task
from difficulty.thresholds.policy_curve import Objective
from difficulty.thresholds.ways import choose_way
from difficulty.traffic.outcomes import Outcomes
from difficulty.training.shipped import find_recipe

DELTA = 0.1
GIVEN_LEVEL = 0.25
USUAL_SHARE = 0.7
EARLY_BUDGET = 0.01
WAYS = ("flat", "edge", "room")
CHECKED_WAYS = ("flat", "edge")
SIZES = (600, 2000)
TRUTH = 100_000
"""Requests of the draw that the truth of a simulated population is taken from."""
REAL_SIZES = {"mmlu": (500, 2800)}
"""Calibration samples: a fifth of the set is what ``train`` sets aside."""
OTHER_SIZES = (200, 900)
ASKED_AGAIN = 0.25
LARGE = 0.02
"""Share of a set that one group holds, from which the set is judged without it as well."""


class Cuts(NamedTuple):
    """Scores of the light model between which the scorer is asked; none: it is always asked."""

    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True, eq=False)
class Truth:
    """The population itself: one very large draw, or the whole set."""

    traffic: ScoredTraffic
    objective: str
    early: FloatArray | None = None

    @property
    def loss(self) -> FloatArray:
        """What the objective bounds, for each request."""
        if self.objective == "missed":
            return (self.traffic.outcomes.gain > 0).astype(np.float64)
        return self.traffic.kept.failure

    def lost(self, thresholds: Thresholds, cuts: Cuts, task: str | None = None) -> float:
        """Return the mean loss of what stays cheap; 0 where nothing does."""
        traffic = self.traffic.under(thresholds)
        sent = traffic.routes(thresholds)
        sent = sent + (1.0 - sent) * traffic.kept.escalated
        if self.early is not None:
            free = np.isnan(traffic.by_rule)
            sent = np.where(free & (self.early < cuts.low), 0.0, sent)
            sent = np.where(free & (self.early > cuts.high), 1.0, sent)
        if traffic.exchanged is not None:
            sent = sent + traffic.exchanged * (1.0 - 2.0 * sent)
        weight = traffic.outcomes.weight * (1.0 - sent)
        if task is not None:
            weight = weight * (np.array(traffic.tasks) == task)
        return float((weight * self.loss).sum() / weight.sum()) if weight.sum() else 0.0

    def along(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return scores in ascending order, and of all requests up to each the mean loss and their
        share of the weight.
        """
        order = np.argsort(self.traffic.difficulty_score, kind="stable")
        weight = self.traffic.outcomes.weight[order]
        upto = np.cumsum(weight)
        mean = np.cumsum(weight * self.loss[order]) / upto
        return self.traffic.difficulty_score[order], mean, upto / upto[-1]

    def lost_by(self, share: float) -> float:
        """Return what the easiest ``share`` of the requests lose."""
        _, mean, upto = self.along()
        return float(mean[min(np.searchsorted(upto, share), len(mean) - 1)])

    def best(self, level: float) -> float:
        """Return the largest share that is kept within a level."""
        _, mean, upto = self.along()
        within = np.flatnonzero(mean <= level)
        return float(upto[within.max()]) if len(within) else 0.0


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--routellm", type=Path, help="checkout of github.com/lm-sys/RouteLLM")
    parser.add_argument("--normalised", type=Path, help="folder of tool-calling outcomes")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--checked", action="store_true", help="judge promises with a check alone")
    parser.add_argument("--only", nargs="+", help="simulated populations, by name")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    asked = (
        (False, () if arguments.checked else WAYS),
        (True, CHECKED_WAYS if arguments.checked else ()),
    )
    simulated, checked = (
        [
            told(row)
            for row in simulations(
                ways=ways,
                sizes=SIZES,
                n_draws=arguments.draws,
                only=arguments.only,
                with_check=with_check,
            )
        ]
        for with_check, ways in asked
    )
    real = [
        told(row)
        for experiment in (
            experiments(arguments.routellm, arguments.normalised) if arguments.routellm else ()
        )
        if experiment.name == "mmlu" or experiment.name.startswith("bfcl")
        for row in on_real(experiment, n_draws=arguments.draws)
    ]
    results = {
        "recipe": "fast",
        "delta": DELTA,
        "draws": arguments.draws,
        "simulated": simulated,
        "checked": checked,
        "real": real,
    }
    write_results(arguments.out, results, as_markdown(results))


def told(row: dict[str, Any]) -> dict[str, Any]:
    """Print a row, and return it."""
    print({name: value for name, value in row.items() if name != "says"}, flush=True)
    return row


def simulations(
    *,
    ways: Iterable[str],
    sizes: Iterable[int],
    n_draws: int,
    only: Iterable[str] | None = None,
    with_check: bool = False,
) -> Iterator[dict[str, Any]]:
    """Yield a row for each population, way of judging and size; ``only`` picks populations by name,
    ``with_check`` gives each request a score of its answer.
    """
    for way in ways:
        for population in populations(informative=way != "flat"):
            # A check has one threshold for all tasks, and no early exit.
            if with_check and (population.per_task or population.early_noise or population.whole):
                continue
            if only is None or population.name in only:
                for n in sizes:
                    yield simulated_row(population, way, n, n_draws=n_draws, with_check=with_check)


def simulated_row(
    population: Simulated, way: str, n: int, *, n_draws: int, with_check: bool = False
) -> dict[str, Any]:
    """Return how often the promises of one population are broken."""

    def draw(n: int, rng: np.random.Generator) -> ScoredTraffic:
        traffic = population.draw(n, rng)
        return with_answers(traffic, rng, informative=way != "flat") if with_check else traffic

    rng = np.random.default_rng(10**6)
    truth = Truth((population.whole or draw)(TRUTH, rng), "risk")
    truth = replace(truth, early=_early(population, truth.traffic, rng))
    level = {
        "flat": truth.lost_by(1.0) * (1.0 - 1e-3),
        "edge": truth.lost_by(0.6),
        "room": truth.lost_by(1.0) / 0.8,
    }[way]
    return {
        "population": population.name,
        "says": population.says,
        "way": way,
        "n": n,
        "level": level,
    } | counted(
        lambda rng: draw(n, rng),
        truth,
        level,
        n_draws=n_draws,
        per_task=population.per_task,
        flat=way == "flat",
        early=lambda traffic, rng: _early(population, traffic, rng),
    )


def _early(
    population: Simulated, traffic: ScoredTraffic, rng: np.random.Generator
) -> FloatArray | None:
    """Return the score of a light model, for a population with early exit."""
    if not population.early_noise:
        return None
    score = np.clip(traffic.difficulty_score, 1e-6, 1.0 - 1e-6)
    return np.asarray(expit(logit(score) + rng.normal(0.0, population.early_noise, len(score))))


def counted(
    draw: Callable[[np.random.Generator], ScoredTraffic],
    truth: Truth,
    level: float,
    *,
    n_draws: int,
    per_task: bool = False,
    flat: bool = False,
    early: Callable[[ScoredTraffic, np.random.Generator], FloatArray | None] = lambda *_: None,
) -> dict[str, Any]:
    """Return how often a promise was given and broken, and how much was kept; where the loss is
    ``flat``, above the level throughout, whatever is kept breaks it.
    """
    rng, objective = np.random.default_rng(0), Objective(truth.objective, level, {"delta": DELTA})
    names: tuple[str | None, ...] = TASKS if per_task else (None,)
    broken = dict.fromkeys(names, 0)
    kept, n_checked = [], 0
    for _ in range(n_draws):
        traffic = draw(rng)
        light = early(traffic, rng)
        if light is not None:
            traffic = replace(traffic, early_budget=EARLY_BUDGET)
        try:
            thresholds = _chosen(traffic, objective, per_task=per_task)
        except NotAttainableError:
            continue
        cuts = Cuts() if light is None else _cuts(traffic, light, objective, thresholds.threshold)
        kept.append(_share_kept(truth.traffic, thresholds))
        n_checked += thresholds.answer is not None
        for name in names:
            broken[name] += truth.lost(thresholds, cuts, name) > (0.0 if flat else level)
    worst = Share.of(max(broken.values()), n_draws)
    given = Share.of(len(kept), n_draws)
    median = float(np.median(kept)) if kept else 0.0
    # What the request's score alone could keep says nothing of a check.
    alone = not per_task and truth.traffic.answer_score is None
    best = truth.best(level) if alone else None
    return {
        "broken": worst.value,
        "broken_low": worst.low,
        "broken_high": worst.high,
        "given": given.value,
        "given_low": given.low,
        "given_high": given.high,
        "kept_median": median,
        "checked": n_checked / max(1, len(kept)),
        "best": best,
    }


def _chosen(traffic: ScoredTraffic, objective: Objective, *, per_task: bool) -> Thresholds:
    if not per_task:
        way = choose_way(traffic, objective)
        return Thresholds(way.threshold, answer=way.answer)
    point = choose_per_task(traffic, objective, Resampling(1))
    return Thresholds(point.threshold, point.task_thresholds)


def _cuts(
    traffic: ScoredTraffic, early: FloatArray, objective: Objective, threshold: float
) -> Cuts:
    try:
        width = choose_cut_offs(
            early,
            traffic.difficulty_score,
            threshold=threshold,
            groups=traffic.groups,
            weight=traffic.outcomes.weight,
            budget=EARLY_BUDGET,
            confidence=exit_confidence(str(objective)),
        )
    except NotAttainableError:
        return Cuts()
    return Cuts(width.low, width.high)


def _share_kept(traffic: ScoredTraffic, thresholds: Thresholds) -> float:
    traffic = traffic.under(thresholds)
    stays = (1.0 - traffic.routes(thresholds)) * (1.0 - traffic.kept.escalated)
    return float(np.average(stays, weights=traffic.outcomes.weight))


@dataclass(frozen=True, eq=False)
class PublicSet:
    """A set with one score; its real groups are drawn whole."""

    objective: str
    score_name: str
    traffic: ScoredTraffic

    def drawn(self, n: int, rng: np.random.Generator) -> ScoredTraffic:
        """Return about n requests, in independent groups."""
        codes = group_codes(self.traffic.groups)
        order, sizes = np.argsort(codes, kind="stable"), np.bincount(codes)
        starts = np.append(0, np.cumsum(sizes))
        picked = rng.integers(0, len(sizes), max(2, round(n * len(sizes) / len(codes))))
        rows = np.concatenate([order[starts[code] : starts[code + 1]] for code in picked])
        # A group that is drawn twice is two groups.
        groups = np.repeat(np.arange(len(picked)), sizes[picked])
        return replace(self.traffic.at(rows), groups=groups)

    @property
    def largest_share(self) -> float:
        """Share of the requests that the largest group holds."""
        sizes = np.bincount(group_codes(self.traffic.groups))
        return float(sizes.max() / sizes.sum())

    def without_largest(self) -> PublicSet:
        """Return the set without its largest group."""
        codes = group_codes(self.traffic.groups)
        return replace(self, traffic=self.traffic.at(codes != np.bincount(codes).argmax()))

    def asked_again(self) -> PublicSet:
        """Return the set with what the cheap model fails in it again, by chance."""
        rng, failed = np.random.default_rng(1), self.traffic.outcomes.cheap_quality < 0.5
        first = np.flatnonzero(failed & (rng.random(len(failed)) < ASKED_AGAIN))
        second = first[rng.random(len(first)) < ASKED_AGAIN]
        rows = np.concatenate([np.arange(len(failed)), first, second])
        return replace(self, traffic=self.traffic.at(rows))


def on_real(experiment: Experiment, *, n_draws: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each objective, score, form of the set and number of samples."""
    for public in public_sets(experiment):
        forms = {"as it is": public}
        if public.objective == "risk":
            forms["asked again"] = public.asked_again()
        if public.largest_share > LARGE:
            forms["without its largest group"] = public.without_largest()
        for form, judged in forms.items():
            truth = Truth(judged.traffic, judged.objective)
            given_level = experiment.name == "mmlu" and judged.objective == "risk"
            level = (
                GIVEN_LEVEL
                if given_level
                else float(np.ceil(100.0 * truth.lost_by(USUAL_SHARE)) / 100.0)
            )
            for n in REAL_SIZES.get(experiment.name, OTHER_SIZES):
                yield {
                    "set": experiment.title,
                    "form": form,
                    "objective": judged.objective,
                    "score": judged.score_name,
                    "n": n,
                    "level": level,
                } | counted(_drawer(judged, n), truth, level, n_draws=n_draws)


def _drawer(public: PublicSet, n: int) -> Callable[[np.random.Generator], ScoredTraffic]:
    return lambda rng: public.drawn(n, rng)


def public_sets(experiment: Experiment) -> list[PublicSet]:
    """Return the set with each score, from models that did not see the request."""
    outcomes, trainer = experiment.outcomes, Trainer.of(find_recipe("fast"))
    n = len(outcomes)
    benefit, failure = np.zeros(n), np.zeros(n)
    for number in np.unique(outcomes.fold):
        scored = score_fold(experiment, trainer, int(number))
        fold = outcomes.fold == number
        benefit[fold], failure[fold] = scored["score_task"], scored["p_cheap_fails_task"]
    unknown = np.full(n, np.nan)

    def table(score: FloatArray) -> ScoredTraffic:
        return ScoredTraffic(
            difficulty_score=score,
            outcomes=Outcomes(
                cheap_quality=outcomes.cheap,
                frontier_quality=outcomes.frontier,
                preferred_gain=unknown,
                weight=np.ones(n),
            ),
            groups=outcomes.groups,
            tasks=[None] * n,
            cheap_cost=unknown,
            frontier_cost=unknown,
        )

    return [
        PublicSet("risk", "p_cheap_fails", table(failure)),
        PublicSet("risk", "difficulty_score", table(benefit)),
        PublicSet("missed", "difficulty_score", table(benefit)),
    ]


def as_markdown(results: Mapping[str, Any]) -> str:
    """Return the results as a page."""
    lines = ["# Are promises kept?", "", *__doc__.strip().splitlines()[5:], ""]
    lines += [
        (
            f"Confidence {1 - results['delta']:g}, {results['draws']:,} draws a row, recipe"
            f" `{results['recipe']}`; intervals are exact, 95 %."
        ),
        "",
        "## Simulated",
        "",
    ]
    rows = (*results["simulated"], *results["checked"])
    said = {row["population"]: row["says"] for row in rows}
    lines += [f"- **{name}**: {says}" for name, says in said.items()]
    if results["simulated"]:
        lines += ["", *_table(results["simulated"], ("population", "way"))]
    if results["checked"]:
        lines += ["", "## Simulated, with a check", ""]
        lines += _table(results["checked"], ("population", "way"))
    if results["real"]:
        columns = ("set", "form", "objective", "score")
        lines += ["", "## Public sets", "", *_table(results["real"], columns)]
    return "\n".join(lines) + "\n"


def _table(rows: Iterable[Mapping[str, Any]], names: tuple[str, ...]) -> list[str]:
    columns = (*names, "samples", "level", "broken [95 %]", "given [95 %]", "kept, median", "best")
    lines = ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    for row in rows:
        cells = [str(row[name]) for name in names]
        cells += [f"{row['n']:,}", f"{row['level']:.3f}"]
        cells += [
            f"{row[name]:.1%} [{row[f'{name}_low']:.1%}, {row[f'{name}_high']:.1%}]"
            for name in ("broken", "given")
        ]
        cells += [f"{row['kept_median']:.3f}", "" if row["best"] is None else f"{row['best']:.3f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    main()
