"""What agents' sessions cost by each way to route them, at equal quality, on prompt caches with
prices.

    python -m benchmarks.agent_sessions --normalised normalised --scores CACHE -o OUT

A session has 20 steps. Outcomes are real: each step is a request of a public set of tool calls,
with both models' outcomes and an out-of-fold score of ``fast`` (task told). Everything else is made
up. How hard a step is is correlated within its session (0, 0.3, 0.6 or 0.9 between two steps far
apart, more between neighbours): a step is the request at that rank of the score. One step in ten
comes after a tool's error and is harder. The prompt begins at 6,000 tokens (median) and grows by
the answer (150) and the tool's result (600, heavy tail); a step comes 8 s after the last, one in
twenty after a pause of ten minutes.

A model's provider finds cached what that model was last asked in this session, for five minutes.
Prices are USD 3 in, 15 out for the frontier model and 0.25, 1.25 for the cheap one, per million; a
cached token costs a tenth of it, a quarter or a half.

- *each step alone*: the rule without sessions, at the threshold that sends 30 % of the requests.
- *margin 0.05*: sessions keep their model within the margin that ``stick`` has by default.
- *margins chosen*: those that ``difficulty policy --stick-from`` chooses on other sessions, of
  requests of which none is in those that judge; none where it finds none.
- *whole session*: where the first step goes, all go.
- *always one*: sessions drawn by lot for the frontier model, the others for the cheap one.

*At equal quality*: the cost of the threshold (or the share of sessions drawn) at which the way has
the mean quality of each step alone, over the cost of that. *As shipped*: the chosen
margins at the same threshold, with the change of quality.

Each seed draws the groups of the set anew, with replacement, so that the interval over seeds (mean,
1.96 standard deviations) holds the chance in the requests and that in the sessions. That a step's
outcome does not hang on who answered the steps before is assumed.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from benchmarks.lib.out_of_fold import ScoredSet, score_set
from benchmarks.lib.protocol import FloatArray
from benchmarks.lib.results import write_results
from difficulty.errors import NotAttainableError
from difficulty.records import Prices
from difficulty.routes import Stick
from difficulty.thresholds.sticking_margins import (
    BoolArray,
    SessionSteps,
    bill_sessions,
    choose_margins,
    session_routes,
)

SETS = (
    "bfcl__hermes-2-pro-llama-3-8b__gpt-4-0125-preview",
    "bfcl__hermes-2-theta-llama-3-8b__claude-3-5-sonnet-20240620",
    "bfcl__meta-llama-3-8b-instruct__gpt-4-turbo-2024-04-09",
)
STEPS, SESSIONS = 20, 300
SHARE = 0.3
CORRELATIONS = (0.0, 0.3, 0.6, 0.9)
CACHED = {"a tenth": 0.1, "a quarter": 0.25, "a half": 0.5}
"""What a cached token costs, as a part of the full price."""
USUAL = (0.6, "a tenth")
DEFAULT, CHOSEN = "margin 0.05", "margins chosen"
WAYS = (DEFAULT, CHOSEN, "whole session", "always one")
_NEXT = 0.5
"""Correlation of what is a step's own with that of the next one."""
_HARDER, _ERRORS = 0.8, 0.1
_THRESHOLDS = 41


class Measured(NamedTuple):
    """What one seed gave: cost at equal quality over that of each step alone, by way; and stick as
    it was shipped.
    """

    at_equal_quality: Mapping[str, float]
    shipped_cost: float
    shipped_quality: float
    switches: tuple[float, float]
    cold: tuple[float, float]


def prices_of(cached: float) -> Prices:
    """Return the price list whose cached tokens cost a part of the full price."""
    return Prices(
        date="2026-11-28",
        cheap_input=0.25,
        cheap_output=1.25,
        frontier_input=3.0,
        frontier_output=15.0,
        cheap_cached_input=0.25 * cached,
        frontier_cached_input=3.0 * cached,
    )


def simulate(
    data: ScoredSet, rows: FloatArray, correlation: float, rng: np.random.Generator
) -> SessionSteps:
    """Return sessions whose steps are some requests of a set."""
    shape, order = (SESSIONS, STEPS), rows[np.argsort(data.score[rows], kind="stable")]
    own = np.empty(shape)
    own[:, 0] = rng.standard_normal(SESSIONS)
    for step in range(1, STEPS):
        fresh = rng.standard_normal(SESSIONS)
        own[:, step] = _NEXT * own[:, step - 1] + np.sqrt(1 - _NEXT**2) * fresh
    shared = rng.standard_normal((SESSIONS, 1))
    level = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    level += _HARDER * ((rng.random(shape) < _ERRORS) & (np.arange(STEPS) > 0))
    rank = np.minimum((norm.cdf(level) * len(order)).astype(np.intp), len(order) - 1)
    picked = order[rank].ravel()

    def lognormal(median: float, sd: float, size: tuple[int, int] = shape) -> FloatArray:
        return median * np.exp(sd * rng.standard_normal(size))

    answers = lognormal(150, 0.6)
    added = answers + lognormal(600, 1.0)
    begins = lognormal(6_000, 0.5, (SESSIONS, 1))
    prompt = begins + np.cumsum(added, axis=1) - added
    waits = np.where(rng.random(shape) < 0.05, lognormal(600, 0.5), lognormal(8, 0.5))
    return SessionSteps(
        session=np.repeat(np.arange(SESSIONS), STEPS),
        score=data.score[picked],
        threshold=np.zeros(len(picked)),
        fixed=np.full(len(picked), np.nan),
        at_s=np.cumsum(waits, axis=1).ravel(),
        in_loop=np.ones(len(picked), dtype=bool),
        prompt=prompt.round().ravel(),
        cheap_tokens=answers.round().ravel(),
        frontier_tokens=answers.round().ravel(),
        cheap_quality=data.cheap[picked],
        frontier_quality=data.frontier[picked],
    )


def measure(
    data: ScoredSet, correlation: float, prices: Prices, rng: np.random.Generator
) -> Measured:
    """Return what one draw of the groups gives: margins chosen on one half, judged on the other."""
    names, of_group = np.unique(data.groups, return_inverse=True)
    dealt = rng.permutation(len(names))
    halves = []
    for groups in (dealt[: len(names) // 2], dealt[len(names) // 2 :]):
        drawn = rng.choice(groups, size=len(groups))
        halves.append(np.concatenate([np.flatnonzero(of_group == group) for group in drawn]))
    choosing, judging = (simulate(data, rows, correlation, rng) for rows in halves)
    # Chosen where margins are chosen: the judging half has no say in it.
    cut = float(np.quantile(choosing.score, 1 - SHARE))
    choosing = replace(choosing, threshold=np.full(len(choosing), cut))
    judging = replace(judging, threshold=np.full(len(judging), cut))
    try:
        stick = choose_margins(choosing, prices).stick
    except NotAttainableError:
        stick = Stick(margin=0.0)  # as if there were none
    alone = judging.sent_alone
    cost, quality, switches, cold = _judge(judging, alone, prices)
    held = _judge(judging, session_routes(judging, [stick])[0], prices)
    ways = {
        DEFAULT: _curve(judging, prices, lambda steps: session_routes(steps, [Stick()])[0]),
        CHOSEN: _curve(judging, prices, lambda steps: session_routes(steps, [stick])[0]),
        "whole session": _curve(judging, prices, _by_first_step),
        "always one": [
            _judge(judging, np.full(len(judging), sent), prices)[:2] for sent in (False, True)
        ],
    }
    return Measured(
        {way: _cost_at(curve, quality) / cost for way, curve in ways.items()},
        held[0] / cost,
        held[1] - quality,
        (switches, held[2]),
        (cold, held[3]),
    )


def _judge(
    steps: SessionSteps, sent: BoolArray, prices: Prices
) -> tuple[float, float, float, float]:
    """Return cost and quality of a step, the share of further steps that switch, and what that is
    of the cost.
    """
    bill = bill_sessions(steps, sent, prices)
    quality = np.where(sent, steps.frontier_quality, steps.cheap_quality).mean()
    further = len(steps) - steps.n_sessions
    cold = bill.cold.sum() / bill.cost.sum()
    return float(bill.cost.mean()), float(quality), float(bill.switched.sum() / further), cold


def _by_first_step(steps: SessionSteps) -> BoolArray:
    first = np.searchsorted(steps.session, np.arange(steps.n_sessions))
    return steps.sent_alone[first][steps.session]


def _curve(steps: SessionSteps, prices: Prices, route) -> list[tuple[float, float]]:  # noqa: ANN001
    """Return cost and quality at many thresholds, from the fewest on the frontier model."""
    cuts = np.quantile(steps.score, np.linspace(1, 0, _THRESHOLDS))
    points = []
    for cut in (*cuts, -1.0):
        moved = replace(steps, threshold=np.full(len(steps), float(cut)))
        points.append(_judge(moved, route(moved), prices)[:2])
    return points


def _cost_at(curve: Sequence[tuple[float, float]], quality: float) -> float:
    """Return what a way costs at a quality, between two points of its curve by lot."""
    cost, reached = (np.array(column) for column in zip(*curve, strict=True))
    best = np.maximum.accumulate(reached)
    if quality > best[-1]:
        return float("nan")
    place = int(np.argmax(best >= quality))
    if place == 0:
        return float(cost[0])
    part = (quality - best[place - 1]) / (best[place] - best[place - 1])
    return float(cost[place - 1] + part * (cost[place] - cost[place - 1]))


def summarise(measured: Sequence[Measured]) -> dict[str, dict[str, float]]:
    """Return means over seeds, with 1.96 standard deviations of them to either side."""
    columns = {
        **{way: [each.at_equal_quality[way] for each in measured] for way in WAYS},
        "shipped cost": [each.shipped_cost for each in measured],
        "shipped quality": [each.shipped_quality for each in measured],
        "switches alone": [each.switches[0] for each in measured],
        "switches": [each.switches[1] for each in measured],
        "cold alone": [each.cold[0] for each in measured],
        "cold": [each.cold[1] for each in measured],
    }
    told = {}
    for name, values in columns.items():
        known = np.array(values)[~np.isnan(values)]
        half = 1.96 * known.std(ddof=1) if len(known) > 1 else float("nan")
        mean = float(known.mean()) if len(known) else float("nan")
        told[name] = {"value": mean, "low": mean - half, "high": mean + half, "n": len(known)}
    return told


def page_of(results: Mapping[str, Mapping[str, dict[str, dict[str, float]]]], seeds: int) -> str:
    """Return the page."""

    def cell(figure: Mapping[str, float], form: str = ".3f") -> str:
        return f"{figure['value']:{form}} [{figure['low']:{form}}, {figure['high']:{form}}]"

    mean = results["mean"][_name(*USUAL)]
    lines = [
        "# Agents' sessions on priced caches",
        "",
        f"Cost of 20-step sessions at equal quality, over that of deciding each step alone: margin"
        f" 0.05 {cell(mean[DEFAULT])}, margins chosen on other sessions {cell(mean[CHOSEN])}, whole"
        f" session by its first step"
        f" {cell(mean['whole session'])}, always one {cell(mean['always one'])} (mean of"
        f" {len(SETS)} sets of tool calls, correlation {USUAL[0]}, cached tokens at {USUAL[1]} of"
        " their price). Outcomes are real, sessions are made up.",
        "",
        "    python -m benchmarks.agent_sessions --normalised normalised --scores CACHE -o OUT",
        "",
        "What is counted and how: `benchmarks/agent_sessions.py`. Intervals: mean over"
        f" {seeds} seeds, 1.96 standard deviations of a seed; each draws the set's groups anew.",
    ]
    for name, cases in results.items():
        lines += [
            "",
            f"## {name}",
            "",
            "| correlation, cached tokens cost | margin 0.05 | margins chosen | whole session |"
            " always one | chosen as shipped: cost | change of quality | switches, alone and"
            " chosen | cold caches, alone and chosen |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for case, told in cases.items():
            shares = [f"{told[key]['value']:.1%}" for key in ("switches alone", "switches")]
            cold = [f"{told[key]['value']:.1%}" for key in ("cold alone", "cold")]
            lines.append(
                f"| {case} | {' | '.join(cell(told[way]) for way in WAYS)} |"
                f" {cell(told['shipped cost'])} | {cell(told['shipped quality'], '+.4f')} |"
                f" {' / '.join(shares)} | {' / '.join(cold)} |"
            )
    return "\n".join(lines) + "\n"


def _name(correlation: float, cached: str) -> str:
    return f"{correlation}, {cached}"


def run(sets: Mapping[str, ScoredSet], seeds: int) -> dict[str, dict[str, dict[str, dict]]]:
    """Return all figures, by set and case, and those of the sets' mean."""
    cases = [(each, USUAL[1]) for each in CORRELATIONS]
    cases += [(USUAL[0], each) for each in CACHED if each != USUAL[1]]
    found: dict[str, dict[str, list[Measured]]] = {name: {} for name in sets}
    for name, data in sets.items():
        for place, (correlation, cached) in enumerate(cases):
            prices = prices_of(CACHED[cached])
            found[name][_name(correlation, cached)] = [
                measure(data, correlation, prices, np.random.default_rng([seed, place]))
                for seed in range(seeds)
            ]
    results = {
        name: {case: summarise(measured) for case, measured in of.items()}
        for name, of in found.items()
    }
    # The sets have their requests in common, so that their seeds are drawn alike.
    means = {
        case: summarise(
            [_mean([found[name][case][seed] for name in sets]) for seed in range(seeds)]
        )
        for case in map(lambda each: _name(*each), cases)
    }
    return {"mean": means} | results


def _mean(measured: Sequence[Measured]) -> Measured:
    return Measured(
        {way: float(np.mean([each.at_equal_quality[way] for each in measured])) for way in WAYS},
        float(np.mean([each.shipped_cost for each in measured])),
        float(np.mean([each.shipped_quality for each in measured])),
        tuple(np.mean([each.switches for each in measured], axis=0).tolist()),
        tuple(np.mean([each.cold for each in measured], axis=0).tolist()),
    )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--normalised", type=Path, required=True)
    parser.add_argument("--scores", type=Path, required=True, help="folder where scores are kept")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    sets = {name: score_set(given.normalised / f"{name}.jsonl.gz", given.scores) for name in SETS}
    results = run(sets, given.seeds)
    write_results(given.out, {"seeds": given.seeds, "sets": results}, page_of(results, given.seeds))


if __name__ == "__main__":
    main()
