"""Do replayed figures hold the truth? Logs simulated on real outcomes of both models.

    python -m benchmarks.replay --normalised normalised --scores CACHE -o OUT

Each log is drawn from a public set of which both models' outcomes are known: MMLU and three sets of
tool calls, with out-of-fold scores and probabilities of the recipe ``fast``. Requests are dealt
into sessions of one task (three on average), and a log of 1,500 to 8,000 requests draws whole
sessions with replacement; a session is a group. A policy routes them and its propensities are
logged; only the outcome of the route taken is known.

- *random*: a share of the requests, whatever they are.
- *hunch*: guesses how the cheap model will do, is right in three of four cases, and goes against
  its guess with probability epsilon; nothing in the score tells when.
- *threshold*: a cut of the score, the other route with probability epsilon.

Epsilon is 0.01, 0.02, 0.05, 0.1 or 0.2. What is asked is the quality, and the risk, that a
threshold with a frontier share 0.05 to 0.2 above or below would have had; the truth is that of the
whole set. All of it goes through the code behind ``difficulty replay``.

Two further kinds are judged apart: *late*, where labels are missing more often on one route and at
high scores, and *shadow*, a route without any chance, with shadow calls on 5 to 20 % of the
requests. The *naive* mean is that of the requests whose route happened to be the new rule's.

How much an interval draws on the propensities was chosen on a simulated population
(``--synthetic``), and the sets here judge it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.lib.out_of_fold import ScoredSet, score_set
from benchmarks.lib.protocol import FloatArray
from benchmarks.lib.results import write_results
from benchmarks.lib.shares import Share
from difficulty.records import Estimate
from difficulty.replay.logged_sides import LoggedRequests
from difficulty.replay.outcome_model import FOLDS
from difficulty.replay.replayed_figures import ESTIMATORS, OtherRule, replay

SETS = (
    "routellm_mmlu__mixtral-8x7b__gpt-4-1106",
    "bfcl__hermes-2-pro-llama-3-8b__gpt-4-0125-preview",
    "bfcl__hermes-2-theta-llama-3-8b__claude-3-5-sonnet-20240620",
    "bfcl__meta-llama-3-8b-instruct__gpt-4-turbo-2024-04-09",
)
POLICIES = ("random", "hunch", "threshold")
FURTHER = ("late", "shadow")
EPSILONS = (0.01, 0.02, 0.05, 0.1, 0.2)
SIZES = (1_500, 8_000)
SESSION = 3.0
JUDGED = ("quality", "risk")
_HUNCH_RIGHT = 0.75
_TITLES = {
    "doubly_robust": "doubly robust",
    "inverse_propensity": "inverse propensity",
    "self_normalised": "self-normalised",
    "switch": "switch",
    "shrinkage": "shrinkage",
    "model_alone": "model alone",
    "naive": "naive mean",
}


@dataclass(frozen=True, eq=False)
class Population:
    """A set whose requests are dealt into sessions."""

    data: ScoredSet
    order: NDArray[np.intp]
    """Requests, session by session."""
    begins: NDArray[np.intp]
    """Where each session begins in ``order``, and where the last one ends."""

    @classmethod
    def of(cls, data: ScoredSet, rng: np.random.Generator) -> Population:
        """Deal requests of one task into sessions of random length."""
        sessions: list[NDArray[np.intp]] = []
        for task in np.unique(data.tasks):
            rows = rng.permutation(np.flatnonzero(data.tasks == task))
            lengths = rng.geometric(1.0 / SESSION, size=len(rows))
            ends = np.cumsum(lengths)
            sessions += np.split(rows, ends[ends < len(rows)])
        lengths = np.array([len(rows) for rows in sessions])
        return cls(data, np.concatenate(sessions), np.concatenate([[0], np.cumsum(lengths)]))

    def draw(self, n: int, rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return about n requests of sessions drawn with replacement, and the session of each."""
        drawn = rng.integers(0, len(self.begins) - 1, size=n)
        lengths = self.begins[drawn + 1] - self.begins[drawn]
        drawn = drawn[: int(np.searchsorted(np.cumsum(lengths), n)) + 1]
        lengths = lengths[: len(drawn)]
        rows = [self.order[self.begins[one] : self.begins[one + 1]] for one in drawn]
        return np.concatenate(rows), np.repeat(np.arange(len(drawn)), lengths)


@dataclass(frozen=True, eq=False)
class Simulated:
    """A log, the rule that is asked about, and what it would truly have had."""

    kind: str
    name: str
    epsilon: float
    log: LoggedRequests
    rule: OtherRule
    p_fails: tuple[FloatArray, FloatArray]
    truth: dict[str, float]


def simulate(population: Population, kind: str, rng: np.random.Generator) -> Simulated:
    """Return one log of a policy."""
    data, epsilon = population.data, float(rng.choice(EPSILONS))
    rows, sessions = population.draw(int(np.exp(rng.uniform(*np.log(SIZES)))), rng)
    share = float(rng.uniform(0.2, 0.5))
    asked = float(np.clip(share + rng.choice([-1, 1]) * rng.uniform(0.05, 0.2), 0.05, 0.9))
    cut, new_cut = (float(np.quantile(data.score, 1.0 - part)) for part in (share, asked))
    score, cheap, frontier = (part[rows] for part in (data.score, data.cheap, data.frontier))
    named = score > cut
    p_sent = np.where(named, 1.0 - epsilon, epsilon)
    if kind == "random":
        p_sent = np.full(len(rows), share)
    elif kind == "hunch":
        seems_easy = (cheap >= 0.5) == (rng.random(len(rows)) < _HUNCH_RIGHT)
        p_sent = np.where(seems_easy, epsilon, 1.0 - epsilon)
    elif kind == "shadow":
        p_sent = named.astype(np.float64)
    sent = rng.random(len(rows)) < p_sent
    shadow = np.zeros(len(rows), dtype=bool)
    if kind == "shadow":
        shadow = rng.random(len(rows)) < rng.uniform(0.05, 0.2)
    told = np.ones(len(rows), dtype=bool)
    if kind == "late":
        told = rng.random(len(rows)) < np.clip(0.8 - 0.3 * sent - 0.4 * (named - 0.5), 0.1, 1.0)
    log = LoggedRequests.of(
        {
            "route": np.where(sent, "frontier", "cheap").astype(object),
            "policy_route": np.where(named, "frontier", "cheap").astype(object),
            "propensity": np.where(sent, p_sent, 1.0 - p_sent),
            "fallback": np.full(len(rows), None),
            "group": sessions.astype(str).astype(object),
            "difficulty_score": score,
            "tokens": np.full(len(rows), np.nan),
            "cheap_role": np.where(~sent, "answer", np.where(shadow, "shadow", None)),
            "frontier_role": np.where(sent, "answer", np.where(shadow, "shadow", None)),
            "cheap_quality": np.where((~sent | shadow) & told, cheap, np.nan),
            "frontier_quality": np.where((sent | shadow) & told, frontier, np.nan),
        }
        | {
            name: np.full(len(rows), np.nan)
            for name in (
                "cheap_passed",
                "answer_score",
                "policy_escalates",
                "escalated",
                "escalation_propensity",
                "cost_usd",
                "cheap_cost_usd",
                "frontier_cost_usd",
            )
        }
    )
    truth, before = (true_figures(data, at) for at in (new_cut, cut))
    truth |= {f"{name}_difference": truth[name] - before[name] for name in JUDGED}
    rule = OtherRule(sent=(score > new_cut).astype(np.float64))
    p_fails = (data.p_cheap_fails[rows], data.p_frontier_fails[rows])
    return Simulated(kind, data.name, epsilon, log, rule, p_fails, truth)


def true_figures(data: ScoredSet, cut: float) -> dict[str, float]:
    """Return the figures of a threshold on the whole set."""
    sends = data.score > cut
    return {
        "quality": float(np.where(sends, data.frontier, data.cheap).mean()),
        "risk": float((1.0 - data.cheap)[~sends].mean()),
    }


def judge(simulated: Simulated) -> dict[str, Any]:
    """Return what each estimator says of one log, beside the truth."""
    log = simulated.log
    replayed = replay(log, simulated.rule, simulated.p_fails, log.groups % FOLDS)
    row: dict[str, Any] = {
        "kind": simulated.kind,
        "set": simulated.name,
        "epsilon": simulated.epsilon,
        "n": len(log),
    }
    for figure in JUDGED:
        says: dict[str, Estimate] = dict(replayed.estimators[figure])
        says["naive"] = replayed.naive[figure]
        row[figure] = {"truth": simulated.truth[figure]} | {
            name: [each.value, each.low, each.high] for name, each in says.items()
        }
        name, each = f"{figure}_difference", replayed.figures[figure].difference
        row[name] = {
            "truth": simulated.truth[name],
            "doubly_robust": [each.value, each.low, each.high],
        }
    return row


def synthetic(n: int = 14_000, seed: int = 5) -> ScoredSet:
    """Return a set whose models fail by a score and by tasks that the probabilities do not
    know.
    """
    rng = np.random.default_rng(seed)
    tasks, x = rng.integers(0, 50, n), rng.normal(size=n)
    offset = rng.normal(0.0, 0.7, 50)[tasks]

    def share(logit: FloatArray) -> FloatArray:
        return 1.0 / (1.0 + np.exp(-logit))

    told = share(x - 0.8), share(0.5 * x - 1.6)
    fails = [
        (rng.random(n) < share(logit + offset)).astype(np.float64)
        for logit in (x - 0.8, 0.5 * x - 1.6)
    ]
    return ScoredSet(
        name="synthetic",
        cheap=1.0 - fails[0],
        frontier=1.0 - fails[1],
        score=(1.0 + told[0] - told[1]) / 2.0,
        p_cheap_fails=told[0],
        p_frontier_fails=told[1],
        tasks=tasks.astype(str),
        groups=np.arange(n).astype(str),
    )


def summarise(rows: Sequence[dict[str, Any]], figure: str, name: str) -> dict[str, Any]:
    """Return how often an estimator's interval holds the truth, its bias, error and width, and
    its width beside inverse propensity's.
    """
    truth = np.array([row[figure]["truth"] for row in rows])
    value, low, high = (
        np.array([row[figure][name][place] for row in rows], dtype=np.float64) for place in range(3)
    )
    # A difference has one estimator.
    plain = np.array(
        [row[figure].get("inverse_propensity", [np.nan] * 3) for row in rows], dtype=np.float64
    )
    given = ~np.isnan(value)
    covers = Share.of(int(((low <= truth) & (truth <= high))[given].sum()), int(given.sum()))
    ratio = ((high - low) / (plain[:, 2] - plain[:, 1]))[given]
    return {
        "covers": {"value": covers.value, "low": covers.low, "high": covers.high, "n": covers.n},
        "bias": float((value - truth)[given].mean()),
        "error": float(np.sqrt(((value - truth)[given] ** 2).mean())),
        "width": float(np.median((high - low)[given])),
    } | (
        {}
        if np.isnan(plain).all()
        else {"ratio": float(np.median(ratio)), "ratio_within": float((ratio <= 0.7).mean())}
    )


def run(
    populations: Sequence[Population], n_logs: int, kinds: Sequence[str], seed: int
) -> Iterable[dict[str, Any]]:
    """Yield what is said of each log, kinds and sets in turn."""
    rng = np.random.default_rng(seed)
    for number in range(n_logs):
        population = populations[(number // len(kinds)) % len(populations)]
        yield judge(simulate(population, kinds[number % len(kinds)], rng))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--normalised", type=Path, help="folder of public outcomes")
    parser.add_argument("--scores", type=Path, help="folder that keeps out-of-fold scores")
    parser.add_argument("--synthetic", action="store_true", help="a simulated population instead")
    parser.add_argument("--logs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    sets = (
        [synthetic()]
        if arguments.synthetic
        else [
            score_set(arguments.normalised / f"{name}.jsonl.gz", arguments.scores) for name in SETS
        ]
    )
    populations = [Population.of(data, rng) for data in sets]
    rows = list(run(populations, arguments.logs, POLICIES, arguments.seed))
    further = list(run(populations, arguments.logs * 2 // 5, FURTHER, arguments.seed + 1))
    results = {"logs": arguments.logs, "seed": arguments.seed, "sets": [d.name for d in sets]} | {
        "policies": tables(rows),
        "further": tables(further),
    }
    write_results(arguments.out, results, as_markdown(results))


def tables(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the summaries of all logs, and of doubly robust figures by kind, epsilon and set."""
    whole = {
        figure: {name: summarise(rows, figure, name) for name in (*ESTIMATORS, "naive")}
        for figure in JUDGED
    }
    differences = {
        f"{figure}_difference": summarise(rows, f"{figure}_difference", "doubly_robust")
        for figure in JUDGED
    }
    parts = {
        key: {
            str(value): {figure: summarise(picked, figure, "doubly_robust") for figure in JUDGED}
            | {"naive": {figure: summarise(picked, figure, "naive") for figure in JUDGED}}
            for value in sorted({row[key] for row in rows})
            if (picked := [row for row in rows if row[key] == value])
        }
        for key in ("kind", "epsilon", "set")
    }
    return {"n": len(rows), "overall": whole, "differences": differences, "by": parts}


def as_markdown(results: dict[str, Any]) -> str:
    """Return the page."""
    policies, further = results["policies"], results["further"]
    best = policies["overall"]["quality"]["doubly_robust"]
    naive = policies["overall"]["quality"]["naive"]
    lines = [
        "# Replay: do its intervals hold the truth?",
        "",
        *__doc__.strip().splitlines()[4:],
        "",
        f"{policies['n']:,} logs of {', '.join(POLICIES)} policies. The 95 % interval of the doubly"
        f" robust quality holds the truth in {_share(best['covers'])} of them and is"
        f" {best['ratio']:.2f} times as wide as inverse propensity's (median; at most 0.7 times in"
        f" {best['ratio_within']:.1%} of the logs). The naive mean's holds it in"
        f" {_share(naive['covers'])}.",
        "",
    ]
    for title, part in (("All policies", policies), ("Late labels, shadow calls", further)):
        for figure in JUDGED:
            lines += [
                f"## {title}: {figure} ({part['n']:,} logs)",
                "",
                "| estimator | interval holds the truth | bias | root mean square error |"
                " width (median) | width / inverse propensity's |",
                "| --- | --- | --- | --- | --- | --- |",
                *(
                    f"| {_TITLES[name]} | {_share(row['covers'])} | {row['bias']:+.4f} |"
                    f" {row['error']:.4f} | {row['width']:.4f} | {row['ratio']:.2f} |"
                    for name, row in part["overall"][figure].items()
                ),
                "",
            ]
    lines += [
        "## The difference to the logged rule",
        "",
        "| logs | difference of | interval holds the truth | bias | root mean square error |"
        " width (median) |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| {title} | {name.partition('_')[0]} | {_share(row['covers'])} | {row['bias']:+.4f} |"
            f" {row['error']:.4f} | {row['width']:.4f} |"
            for title, part in (("all policies", policies), ("late labels, shadow calls", further))
            for name, row in part["differences"].items()
        ),
        "",
    ]
    lines += ["## Doubly robust, by part", ""]
    lines += [
        "| part | logs | quality: holds | width / inverse propensity's | naive: holds, bias |"
        " risk: holds | naive: holds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for part in (policies, further):
        for key, values in part["by"].items():
            # Of a few hundred logs of two kinds, the kinds are what can be told apart.
            for value, row in values.items() if part is policies or key == "kind" else ():
                quality, risk, naive = row["quality"], row["risk"], row["naive"]
                lines.append(
                    f"| {key} {value} | {quality['covers']['n']} | {_share(quality['covers'])} |"
                    f" {quality['ratio']:.2f} | {naive['quality']['covers']['value']:.1%},"
                    f" {naive['quality']['bias']:+.4f} | {_share(risk['covers'])} |"
                    f" {naive['risk']['covers']['value']:.1%} |"
                )
    lines += [
        "",
        "Made by `python -m benchmarks.replay --normalised normalised --scores CACHE -o OUT`.",
        "",
    ]
    return "\n".join(lines)


def _share(share: dict[str, float]) -> str:
    return f"{share['value']:.1%} [{share['low']:.1%}, {share['high']:.1%}]"


if __name__ == "__main__":
    main()
