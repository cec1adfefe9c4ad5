"""The page of a simulated year, made from its figures alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.lib.repetitions import mean_of, table
from difficulty.metrics.intervals import exact_interval

JUDGED = (1, 3)
"""Quarters, from 0, that follow one in which something drifted, and in which nothing does."""
_HEADER = (
    "policy",
    "seeds",
    "quality",
    "USD per 1,000",
    "sent",
    "quarters broken",
    "of those after a drift",
    "cost to a fixed threshold's of equal quality",
    "to the oracle's",
    "regret, USD",
)
Years = Sequence[Mapping[str, Any]]


def as_lines(results: Mapping[str, Any], picture: str) -> list[str]:
    """Return the lines of the page."""
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for seed in results["seed_figures"]:
        for name, year in seed.items():
            runs.setdefault(name, []).append(year)
    whole = {"oracle": [results["oracle"]], "fixed with hindsight": [results["safe"]]}
    oracle = results["oracle"]
    return [
        f"# A simulated year, {results['date']}",
        "",
        "Made by `benchmarks/year.py`, which says how. Promise: of the requests that are kept, the"
        f" cheap model fails at most {results['risk']:.0%} (`risk={results['risk']}`, with"
        f" confidence 0.9). {results['seeds']} seeds; {results['retrained']} of them retrained."
        " Seeds differ in what was drawn and labelled: the bundle, the calendar and the requests"
        " that may come are the same.",
        "",
        *_verdicts(runs, oracle),
        "",
        f"![risk, share, cost and quality by week]({picture}.svg)",
        "",
        "Lines are means over seeds, bands reach from the least to the most.",
        "",
        "## The year",
        "",
        *table(_HEADER, [_row(name, years, oracle) for name, years in (runs | whole).items()]),
        "",
        "*Fixed with hindsight*: the cheapest threshold that, left alone, keeps the promise in"
        " every quarter. *To the oracle's*: cost beside that of the oracle, which keeps the"
        " promise every day: below 1 where a promise is broken. *Regret*: above what thresholds"
        " chosen each day for one price of"
        " quality, with all outcomes known and no promise to keep, cost at the same quality.",
        "",
        "## Quarters",
        "",
        *table(
            ("policy", "quarter", "risk", "broken", "sent", "USD per 1,000", "quality"),
            [
                _quarter(name, years, number)
                for name, years in (runs | whole).items()
                for number in range(4)
            ],
        ),
        "",
        "## What it did",
        "",
        *_sayings(runs),
        "",
        "## What to know",
        "",
        "- The level of the promise and the volume were chosen after looking at one seed. With"
        " `risk=0.28` and `risk=0.3`, 40 % of the answers judged and 150 to 1,000 requests a day,"
        " `recalibrate` found after the swap to the worse model that no threshold could be shown to"
        " keep the promise, said that retraining was due and left the old bundle, which broke it;"
        " the oracle kept it.",
        "- That is mostly the price of exploration: an explored answer weighs 20 times as much as"
        " another, and the test reckons with one more group as heavy as the heaviest.",
        "- A quarter in which the cheap model is swapped for a worse one is broken until its end:"
        " nothing but an alarm looks earlier. Alarms are not simulated here.",
        "- One bundle serves all seeds: intervals say nothing of other bundles or calendars.",
    ]


def _mean(values: Sequence[float], form: str = ".3f") -> str:
    if len(values) < 2:
        return f"{values[0]:{form}}"
    mean = mean_of(values)
    if mean.high - mean.low < 1e-9:
        return f"{mean.value:{form}}"
    return f"{mean.value:{form}} ({mean.low:{form}} to {mean.high:{form}})"


def _count(broken: Sequence[bool]) -> str:
    return f"{sum(broken)} of {len(broken)}"


def _row(name: str, years: Years, oracle: Mapping[str, Any]) -> list[str]:
    each = [flag for year in years for flag in year["broken"]]
    after = [year["broken"][number] for year in years for number in JUDGED]
    return [
        name,
        str(len(years)) if name not in ("oracle", "fixed with hindsight") else "",
        *(_mean([year[key] for year in years]) for key in ("quality", "cost", "share")),
        _count(each),
        _count(after),
        _mean([year["to_fixed"] for year in years]),
        _mean([year["cost"] / oracle["cost"] for year in years]),
        _mean([year["regret"] for year in years]),
    ]


def _quarter(name: str, years: Years, number: int) -> list[str]:
    parts = [year["quarters"][number] for year in years]
    return [
        name,
        str(number + 1),
        _mean([part["risk"] for part in parts]),
        _count([year["broken"][number] for year in years]),
        *(_mean([part[key] for part in parts]) for key in ("share", "cost", "quality")),
    ]


def _verdicts(runs: Mapping[str, Years], oracle: Mapping[str, Any]) -> list[str]:
    """Return what was wanted of recalibration, and what came of it."""
    years = runs["recalibrated"]
    broken = [year["broken"][number] for year in years for number in JUDGED]
    low, high = exact_interval(sum(broken), len(broken))
    to_fixed = [year["to_fixed"] for year in years]
    to_daily = [year["to_daily"] for year in years]
    last = [year["quarters"][3]["cost"] / oracle["quarters"][3]["cost"] for year in years]
    rows = [
        (
            "quarters after a drift in which `recalibrate` breaks the promise",
            "none",
            f"{_count(broken)} ({low:.1%} to {high:.1%})",
            not any(broken),
        ),
        (
            "its cost to that of a fixed threshold of equal quality",
            "at most 0.9",
            _mean(to_fixed),
            sum(to_fixed) / len(to_fixed) <= 0.9,
        ),
        (
            "its cost to that of thresholds chosen each day with hindsight, of equal quality",
            "at most 1.15",
            _mean(to_daily),
            sum(to_daily) / len(to_daily) <= 1.15,
        ),
        (
            "its cost in the last quarter to that of the oracle, as both keep the promise",
            "at most 1.15",
            _mean(last),
            sum(last) / len(last) <= 1.15,
        ),
    ]
    return table(
        ("figure", "wanted", "found", "reached"),
        [(*row[:3], "yes" if row[3] else "no") for row in rows],
    )


def _sayings(runs: Mapping[str, Years]) -> list[str]:
    """Return how often a new version went into service at each occasion."""
    lines = []
    for name, years in runs.items():
        begins = sorted({day for year in years for day in year["versions"] if day})
        if begins:
            told = ", ".join(
                f"day {day} in {_count([day in year['versions'] for year in years])}"
                for day in begins
            )
            lines.append(f"- {name}: a new version on {told}.")
    return lines
