"""How often alarms rise on quiet traffic, and how soon after a change.

    nice python -m benchmarks.alarms --drift drift --repeats 20 --jobs 2 -o OUT

**Quiet.** Simulated logs of a reference of four weeks and a quarter, looked at daily; a quarter
counts where any alarm rises, whichever. Traffic of five kinds: requests that stand alone;
conversations of 4 requests on average, of one day and one task; users of very different activity
with tasks and difficulties of their own, some of whom are replaced every week; conversations on
weekdays and other ones, in mix and volume, at weekends; and the same with days that swing. 5 % of
the requests have an outcome, probabilities are right, and the bundle's promise is just kept: its
bound is the true risk.

**Changed.** The same traffic, with a change after the reference and some quiet days. Delay is
counted in requests, from the change to the end of the day on which the first alarm rises. Where
none rises in the days that are drawn, the delay is beyond them.

**From March to June.** `drift` holds answers of two models to 1,000 questions, and of their
successors. `fast` is trained on half of the questions in March. Traffic are the other 500, drawn
with replacement, with what the models of March did, and from one day on those of June; half of the
requests go to each model. The models' names do not change, unless said.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.lib.alarm_traffic import START, Stream
from benchmarks.lib.protocol import read_traffic
from benchmarks.lib.results import write_results
from benchmarks.lib.shares import Share
from difficulty.alarms import Promises, Watched, summarise, watch
from difficulty.alarms.watching import QUARTER, RATE, REFERENCE_WEEKS
from difficulty.stages.train import train
from difficulty.traffic.stored.tokenized import tokenize
from difficulty.training.shipped import find_encoder, find_recipe

REFERENCE = 7 * REFERENCE_WEEKS
KINDS: dict[str, dict[str, Any]] = {
    "alone": {"groups": "none"},
    "conversations": {},
    "users": {"groups": "users"},
    "weekends": {"season": 0.5},
    "swings": {"season": 0.3, "swing": 0.15},
}
QUIET = {50: 150, 200: 50, 20_000: 1}
"""Requests a day, and quarters of each kind at the usual size of the run."""
CHANGES: dict[str, dict[str, Any]] = {
    "hard tasks become many more": {"mix": 1.5},
    "hard tasks become more": {"mix": 0.5},
    "a new task, harder than the score says": {"task": 0.2, "unseen": 1.8},
    "a validator refuses all": {"refuse": "all"},
    "a validator passes all": {"refuse": "none"},
    "a validator refuses three in ten": {"refuse": 0.3},
    "the cheap model's answers are half as long again": {"answers": 1.5},
    "the cheap model's price is a half more": {"price": 1.5},
}
CHANGE_AT, AFTER = 31, {50: 60, 200: 28}
"""Day of the change, and days that are drawn from then on, by requests a day."""
JUNE_AT, JUNE_DAYS, JUNE_VOLUME = 35, 42, 50

Draw = Callable[[np.random.Generator], dict[str, NDArray[Any]]]


def quiet_quarters(kind: str, volume: int, n: int) -> dict[str, Any]:
    """Return in how many quiet quarters an alarm rose, and which."""
    stream = Stream(volume=float(volume), **KINDS[kind])
    promises, raised, names = stream.promises(), 0, dict[str, int]()
    for seed in range(n):
        log = stream.draw(REFERENCE + QUARTER, np.random.default_rng([1, volume, seed]))
        alarms = watch(summarise(log), promises).standing
        raised += bool(alarms)
        for alarm in alarms:
            names[alarm.name] = names.get(alarm.name, 0) + 1
    return {"kind": kind, "volume": volume, "raised": asdict(Share.of(raised, n)), "names": names}


def delays(
    draw: Draw, promises: Promises, *, at: int, n: int, only: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return how many requests after the change on day ``at`` the first alarm rose.

    Parameters
    ----------
    only : sequence of str, optional
        Alarms that count; by default all.
    """
    after, which, early, told = [], dict[str, int](), 0, []
    for seed in range(n):
        log = draw(np.random.default_rng([2, seed]))
        day = (log["day"] - START).astype(int)
        watched = watch(summarise(log), promises)
        risen = _risen(watched, only)
        early += any(crossed < at for crossed in risen.values())
        later = {name: crossed for name, crossed in risen.items() if crossed >= at}
        first = min(later.values(), default=None)
        after.append(np.inf if first is None else float(((day >= at) & (day <= first)).sum()))
        for name, crossed in later.items():
            which[name] = which.get(name, 0) + (crossed == first)
        told += [
            abs((alarm.since - START.astype(object)).days - at)
            for alarm in watched.standing
            if alarm.since and later.get(alarm.name) == first
        ]
    return {
        "median": _finite(np.quantile(after, 0.5, method="higher")),
        "ninety": _finite(np.quantile(after, 0.9, method="higher")),
        "seen": asdict(Share.of(int(np.isfinite(after).sum()), n)),
        "early": early,
        "which": dict(sorted(which.items(), key=lambda item: -item[1])),
        "since_off": float(np.median(told)) if told else None,
    }


def _risen(watched: Watched, only: Sequence[str] | None) -> dict[str, int]:
    """Return the day of the log on which each alarm rose."""
    return {
        alarm.name: (alarm.crossed - START.astype(object)).days
        for alarm in watched.standing
        if alarm.crossed and (only is None or alarm.name in only)
    }


def _finite(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None


def changed(name: str, groups: str, volume: int, n: int) -> dict[str, Any]:
    """Return the delays after a change of simulated traffic, and how far it moves quality."""
    stream = Stream(volume=float(volume), groups=groups)
    change = CHANGES[name]
    row = {"change": name, "groups": groups, "volume": volume}
    row |= {"quality": _quality_moves(stream, change)}
    return row | delays(_drawer(stream, change), stream.promises(), at=CHANGE_AT, n=n)


def _drawer(stream: Stream, change: Mapping[str, Any]) -> Draw:
    days = CHANGE_AT + AFTER[int(stream.volume)]
    return lambda rng: stream.draw(days, rng, change, at=CHANGE_AT)


def _quality_moves(stream: Stream, change: Mapping[str, Any]) -> tuple[float, ...]:
    """Return by how many points a change moves the quality that users get, and the one that the
    score expects of the cheap model on all requests.
    """
    days = int(120_000 / stream.volume)
    sides = []
    for what in ({}, change):
        log = stream.draw(days, np.random.default_rng(3), what)
        sides.append((1.0 - log["fails"].mean(), 1.0 - log["p_cheap_fails"].mean()))
    return tuple(float(100.0 * (after - before)) for before, after in zip(*sides, strict=True))


class March:
    """A router that was trained on half of the questions, and what became of the other half."""

    def __init__(self, folder: Path) -> None:
        sets = {
            month: {row["id"]: row for row in _rows(folder, month)} for month in ("march", "june")
        }
        names = sorted(sets["march"])
        trained = [name for name in names if hashlib.sha256(name.encode()).digest()[0] % 2 == 0]
        judged = [name for name in names if name not in set(trained)]
        self.scores = _scores(
            [sets["march"][name] for name in trained], [sets["march"][name] for name in judged]
        )
        self.months = [
            {
                column: np.array([sets[month][name][column] for name in judged], dtype=np.float64)
                for column in (
                    "cheap_quality",
                    "frontier_quality",
                    "cheap_tokens",
                    "frontier_tokens",
                )
            }
            for month in ("march", "june")
        ]
        self.threshold = float(np.median(self.scores["difficulty_score"]))
        self.n_trained = len(trained)

    def draw(
        self, rng: np.random.Generator, *, labelled: bool, both: bool = False, named: bool = False
    ) -> dict[str, NDArray[Any]]:
        """Return a log that goes from March to June on day ``JUNE_AT``."""
        counts = rng.poisson(JUNE_VOLUME, JUNE_DAYS + JUNE_AT)
        day = np.repeat(np.arange(len(counts)), counts)
        rows = rng.integers(0, len(self.scores["difficulty_score"]), len(day))
        june = day >= JUNE_AT
        took = {
            name: np.where(june, self.months[1][name][rows], self.months[0][name][rows])
            for name in self.months[0]
        }
        score = self.scores["difficulty_score"][rows]
        # Half and half, ties by chance: many questions have nearly the same score.
        frontier = score + rng.normal(0.0, 1e-9, len(score)) > self.threshold
        log: dict[str, NDArray[Any]] = {
            "day": START + day,
            "route": np.where(frontier, "frontier", "cheap").astype(object),
            **{name: values[rows] for name, values in self.scores.items()},
        }
        for side, called, price in (("cheap", ~frontier, 1e-6), ("frontier", frontier, 3e-5)):
            tokens = np.where(called, took[f"{side}_tokens"], np.nan)
            log[f"{side}_completion_tokens"] = tokens
            log[f"{side}_cost_usd"] = price * tokens
            name = np.where(june & named, f"{side}-0613", f"{side}-0301")
            log[f"{side}_model"] = np.where(called, name, None)
            known = labelled & (called | both)
            log[f"{side}_quality"] = np.where(known, took[f"{side}_quality"], np.nan)
        log["cost_usd"] = np.where(frontier, log["frontier_cost_usd"], log["cheap_cost_usd"])
        return log


def from_march_to_june(folder: Path, n: int) -> dict[str, Any]:
    """Return delays with outcomes and without."""
    march = March(folder)
    calibration = ("calibration",)
    rows = []
    for name, options, only in (
        ("outcomes of the model that answered", {"labelled": True}, calibration),
        ("outcomes of both models", {"labelled": True, "both": True}, calibration),
        ("no outcomes, names as before", {"labelled": False}, None),
        ("no outcomes, names of the successors", {"labelled": False, "named": True}, None),
    ):
        draw = partial(march.draw, **options)
        rows.append({"known": name} | delays(draw, Promises(), at=JUNE_AT, n=n, only=only))
    return {"rows": rows, "trained": march.n_trained, "questions": len(march.scores["tokens"])}


def _rows(folder: Path, month: str) -> Iterator[dict[str, Any]]:
    path = folder / f"llmdrift_prime_full__{month}.jsonl.gz"
    for line in gzip.decompress(path.read_bytes()).decode("utf-8").split("\n"):
        if line:
            yield json.loads(line)


def _scores(
    trained: Sequence[Mapping[str, Any]], judged: Sequence[Mapping[str, Any]]
) -> dict[str, NDArray[np.float64]]:
    """Return what a router says of questions that it did not learn from."""
    recipe = find_recipe("fast")
    with TemporaryDirectory() as scratch:
        traffic = []
        for name, rows in (("trained", trained), ("judged", judged)):
            path = Path(scratch) / f"{name}.jsonl"
            path.write_text("".join(json.dumps(dict(row)) + "\n" for row in rows), "utf-8")
            traffic.append(read_traffic(path))
        traffic[0].write(Path(scratch) / "trained.parquet")
        run, _ = train(
            Path(scratch) / "trained.parquet",
            Path(scratch) / "run",
            recipe=recipe,
            encoder=find_encoder(recipe.features),
            more_labels=False,
            unseen_tasks=False,
            draws=20,
        )
        tokens = tokenize(traffic[1], view=run.view, tokenizer=run.tokenizer)
        scores = run.model.predict(tokens.ids, tokens.tasks)
    assert scores.p_frontier_fails is not None
    return {
        "difficulty_score": np.asarray(scores.difficulty_score, dtype=np.float64),
        "p_cheap_fails": np.asarray(scores.p_cheap_fails, dtype=np.float64),
        "p_frontier_fails": np.asarray(scores.p_frontier_fails, dtype=np.float64),
        "tokens": np.array([float(len(ids)) for ids in tokens.ids]),
    }


def main() -> None:
    """Run the simulations and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--drift", type=Path, help="folder of the drift set; left out without")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of simulations")
    parser.add_argument("--volumes", type=int, nargs="+", default=[*QUIET], help="requests a day")
    parser.add_argument("--repeats", type=int, default=30, help="logs of each change")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    volumes, n = sorted(arguments.volumes), arguments.repeats
    results: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": " ".join(["python -m benchmarks.alarms", *sys.argv[1:]]),
        "rate": RATE,
        "repeats": n,
        "quiet": [],
        "changed": [],
        "june": from_march_to_june(arguments.drift, n) if arguments.drift and n else None,
    }
    with ProcessPoolExecutor(arguments.jobs) as pool:
        asked = {
            pool.submit(changed, name, groups, volume, n): "changed"
            for volume in AFTER
            for groups in ("none", "conversations")
            for name in CHANGES
            if n and volume in volumes
        } | {
            pool.submit(
                quiet_quarters, kind, volume, max(1, round(QUIET[volume] * arguments.scale))
            ): "quiet"
            for volume in volumes
            for kind in KINDS
        }
        for row in as_completed(asked):
            results[asked[row]].append(row.result())
            # After each, so that a run that is stopped leaves what it has.
            write_results(arguments.out, results, as_markdown(results))


def as_markdown(results: Mapping[str, Any]) -> str:
    """Return the page."""
    lines = ["# Alarms", "", *__doc__.strip().splitlines()[4:], ""]
    n_quarters = sum(row["raised"]["n"] for row in results["quiet"])
    total = Share.of(sum(row["raised"]["count"] for row in results["quiet"]), max(1, n_quarters))
    lines += [
        "## Quiet quarters",
        "",
        (
            f"In {total.count} of {total.n:,} quiet quarters any alarm rose: {total}. The stated"
            f" rate is {results['rate']:.0%}, over all alarms; brackets hold exact 95 % intervals."
        ),
        "",
        "| traffic | requests a day | quarters | with an alarm | which |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row['kind']} | {row['volume']:,} | {row['raised']['n']:,} |"
        f" {Share(**row['raised'])} | {_counted(row['names'])} |"
        for row in sorted(results["quiet"], key=lambda row: row["volume"])
    ]
    if results["changed"]:
        lines += [
            "",
            "## Changes",
            "",
            (
                f"{results['repeats']} logs a row, {CHANGE_AT} days before the change. *Quality*:"
                " points by which the change moves what users get; in brackets what the score"
                " expects of the cheap model on all requests. *Since*: median of how many days the"
                " stated beginning is off."
            ),
            "",
            (
                "| change | groups | requests a day | quality | seen | requests until the alarm,"
                " median | 90 % | by | since |"
            ),
            "| --- " * 9 + "|",
        ]
        lines += [
            f"| {row['change']} | {row['groups']} | {row['volume']} |"
            f" {row['quality'][0]:+.1f} ({row['quality'][1]:+.1f}) |"
            f" {_delay_cells(row)} |"
            for row in sorted(
                results["changed"],
                key=lambda row: (
                    row["groups"] != "none",
                    row["volume"],
                    list(CHANGES).index(row["change"]),
                ),
            )
        ]
    if results["june"]:
        june = results["june"]
        lines += [
            "",
            "## From March to June",
            "",
            (
                f"Trained on {june['trained']} questions, {june['questions']} others are the"
                f" traffic, {JUNE_VOLUME} requests a day. With outcomes only the alarm of"
                " calibration counts, without them all others."
            ),
            "",
            "| known | seen | requests until the alarm, median | 90 % | by | since |",
            "| --- " * 6 + "|",
        ]
        lines += [f"| {row['known']} | {_delay_cells(row)} |" for row in june["rows"]]
    lines += ["", "Made by", "", f"    {results['command']}"]
    return "\n".join(lines) + "\n"


def _delay_cells(row: Mapping[str, Any]) -> str:
    median, ninety = (
        "beyond" if row[name] is None else f"{row[name]:,.0f}" for name in ("median", "ninety")
    )
    off = "" if row["since_off"] is None else f"{row['since_off']:.0f}"
    return f"{Share(**row['seen'])} | {median} | {ninety} | {_counted(row['which'])} | {off}"


def _counted(names: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in names.items() if count)


if __name__ == "__main__":
    main()
