"""A simulated year: what a threshold that is left alone, one that is recalibrated each quarter, a
scorer that is retrained each month and an oracle cost, and which promises they break.

    python -m benchmarks.year --routellm RouteLLM --normalised normalised --drift drift
    --cache CACHE -o benchmarks/results/2026-11-28-year

Requests and outcomes are real (RouteLLM's MMLU and GSM8K, tool calls, the same questions on primes
in March and in June), the calendar is made up: see ``benchmarks/lib/year_world.py``. ``fast`` is
trained for the target ``failure`` on two fifths of MMLU, tool calls and primes, and shipped with
``risk=0.33``; the year is drawn from the rest, without a nearly equal text in both.

- *fixed*: the bundle as it was shipped.
- *recalibrated*: on the first day of each quarter ``recalibrate`` gets what the log of the last 45
  days says. Where it refuses, or finds that nothing should move, the old bundle stays.
- *recalibrated, whole quarter*: the same on all 91 days.
- *retrained* (``--retrained N`` seeds): every month ``retrain`` on the training
  traffic and on 2,000 labelled requests of each month since; where the run is not worse on the
  newest requests, it is shipped with a threshold that they choose.
- *oracle*: each day, with all outcomes of both models on that day's law known, the threshold on the
  bundle's score that keeps the promise at the least cost.

A router knows the cheap model's outcome only where the cheap model was called: by its threshold, or
by exploration with probability 0.05. Of the answers 60 % are judged, nine days later on average,
and none for three weeks in June. Validators refuse 30 % of the wrong cheap answers.

All figures of a policy are expectations under each day's law over all requests of the sets, so that
chance is only in what a policy learned from. *Broken*: the risk of a quarter is above 0.33.
*At equal quality*: beside the cost of the one fixed threshold, or of the thresholds chosen each day
with hindsight for one price of quality, that has the same quality over the year. *Regret*: USD per
1,000 requests above the latter. Each seed's figures lie in the cache, so that a run that was cut
short goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.lib.protocol import FloatArray
from benchmarks.lib.repetitions import surroundings, write
from benchmarks.lib.stored import digest_of, stored
from benchmarks.lib.year_page import as_lines
from benchmarks.lib.year_plot import plot_year
from benchmarks.lib.year_world import (
    CAUGHT,
    DAYS,
    DELAY,
    EPSILON,
    FLOOD,
    FLOOD_TASK,
    LABELLED,
    NO_LABELS,
    QUARTER,
    VALIDATOR,
    WRONGLY,
    Calendar,
    Pool,
    phase_of,
    read_pools,
)
from difficulty.bundle import Bundle, read_bundle
from difficulty.errors import DifficultyError
from difficulty.metrics.bootstrap import Resampling
from difficulty.recipe import PolicySettings, parse_recipe
from difficulty.runtime.scorer import Scorer
from difficulty.stages.deploying.traffic_scores import score_traffic
from difficulty.stages.ship import ship
from difficulty.stages.thresholds import rechoose
from difficulty.stages.train import train
from difficulty.stages.watching.recalibrating import recalibrate
from difficulty.stages.watching.retraining import MATERIAL, retrain
from difficulty.traffic.table import Traffic
from difficulty.training.shipped import find_encoder, find_recipe
from difficulty.upkeep.composed_graph import maps_of

_COMMAND = (
    "python -m benchmarks.year --routellm RouteLLM --normalised normalised --drift drift"
    " --cache CACHE -o OUT"
)
RISK = 0.33
START = date(2026, 1, 1)
WINDOW, WHOLE = 45, 91
MONTH = 30
_DRAWS = Resampling(200)
_GRID = 200
_LABELS_A_MONTH = 2000


@dataclass(frozen=True, eq=False)
class World:
    """The requests of the year, their law, and what the bundle at the start gives for them."""

    pool: Pool
    calendar: Calendar
    bundle: Bundle
    path: Path
    training: Path
    """The traffic that the bundle was trained on."""
    outputs: Mapping[str, FloatArray]
    cache: Path

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Self:
        """Train the bundle, or take it from the cache, and score the pool."""
        trained, pool = read_pools(arguments.routellm, arguments.normalised, arguments.drift)
        cache: Path = arguments.cache
        training, path = cache / "training.parquet", cache / "year-1"
        if not path.exists():
            cache.mkdir(parents=True, exist_ok=True)
            trained.traffic.write(training)
            make_bundle(training, cache / "run", path)
        bundle = read_bundle(path)
        outputs = pool_scores(bundle, pool, cache)
        return cls(pool, Calendar.of(pool), bundle, path, training, outputs, cache)


def make_bundle(training: Path, run: Path, out: Path) -> None:
    """Train ``fast`` for the target ``failure`` and ship it with the promise."""
    recipe = _recipe()
    if not run.exists():
        train(
            training,
            run,
            recipe=recipe,
            encoder=find_encoder(recipe.features),
            more_labels=False,
            unseen_tasks=False,
            draws=20,
        )
    ship(run, out, objective=f"risk={RISK}", policy=_RULES, today=START, draws=200)


_RULES = PolicySettings(epsilon=EPSILON, objective=f"risk={RISK}")


def _recipe() -> Any:
    form = find_recipe("fast").as_dict()
    return parse_recipe({**form, "target": "failure"}, name="fast")


def pool_scores(bundle: Bundle, pool: Pool, cache: Path) -> Mapping[str, FloatArray]:
    """Return what the scorer gives for all requests, once per graph."""
    scorer = Scorer.from_bundle(bundle)

    def make(path: Path) -> None:
        outputs = score_traffic(scorer, pool.traffic).outputs
        np.savez(path, **{name: values.astype(np.float64) for name, values in outputs.items()})

    key = digest_of(pool.traffic.ids, bundle.files["scorer.onnx"])
    return stored(cache / "scores" / f"{key[:16]}.npz", key, make)


@dataclass(frozen=True, eq=False)
class Served:
    """What a policy has in service from a day on."""

    day: int
    bundle: Bundle
    path: Path
    outputs: Mapping[str, FloatArray]
    """Of all requests of the pool."""

    @property
    def sends(self) -> NDArray[np.bool_]:
        """Which requests go to the frontier model, exploration aside."""
        policy = self.bundle.policy
        return np.asarray(self.outputs["difficulty_score"] > policy.threshold)


def refusals(pool: Pool, day: int) -> FloatArray:
    """Return how likely the validator refuses the cheap answer to each request."""
    if VALIDATOR[0] <= day < VALIDATOR[1]:
        return np.ones(len(pool))
    return np.where(pool.cheap[phase_of(day)] < 0.5, CAUGHT, WRONGLY)


class DayParts:
    """What each request costs and brings on either route on a day, times its probability."""

    def __init__(self, world: World, day: int) -> None:
        pool, phase = world.pool, phase_of(day)
        weight = world.calendar.weight[day]
        cheap, frontier = pool.cheap[phase], pool.frontier[phase]
        refused = refusals(pool, day)
        self.volume = world.calendar.volume[day]
        self.kept = weight
        self.fails = weight * (1.0 - cheap)
        self.quality = weight * np.array([(1 - refused) * cheap + refused * frontier, frontier])
        self.cost = weight * np.array(
            [pool.cheap_cost + refused * pool.frontier_cost, pool.frontier_cost]
        )

    def figures(self, sends: NDArray[np.bool_]) -> FloatArray:
        """Return quality, USD, kept share, failing kept share and frontier share of the day."""
        sent = np.where(sends, 1.0 - EPSILON, EPSILON)
        quality, cost = (
            float((1.0 - sent) @ part[0] + sent @ part[1]) for part in (self.quality, self.cost)
        )
        kept, fails = float((1.0 - sent) @ self.kept), float((1.0 - sent) @ self.fails)
        return np.array([quality, cost, kept, fails, 1.0 - kept])

    def along(self, order: NDArray[np.intp], cuts: NDArray[np.intp]) -> FloatArray:
        """Return the same for all cuts: of the requests in ascending order of the score, those
        before a cut are kept; shape (n_cuts, 5).
        """

        def summed(kept: FloatArray, sent: FloatArray) -> FloatArray:
            low = (1 - EPSILON) * kept + EPSILON * sent
            high = EPSILON * kept + (1 - EPSILON) * sent
            below = np.concatenate([[0.0], np.cumsum(low[order])])
            above = np.concatenate([[0.0], np.cumsum(high[order])])
            return np.asarray((below + above[-1] - above)[cuts])

        nothing = np.zeros(len(order))
        kept = summed(self.kept, nothing)
        return np.column_stack(
            [
                summed(*self.quality),
                summed(*self.cost),
                kept,
                summed(self.fails, nothing),
                1.0 - kept,
            ]
        )


def draw_log(world: World, seed: int) -> dict[str, NDArray[Any]]:
    """Draw the requests of a year, with the chance that routes, validators and judges have."""
    rng = np.random.default_rng(seed)
    days, rows = [], []
    for day in range(DAYS):
        n = int(rng.poisson(world.calendar.volume[day] * rng.gamma(50.0, 1 / 50.0)))
        rows.append(rng.choice(len(world.pool), n, p=world.calendar.weight[day]))
        days.append(np.full(n, day))
    day, row = np.concatenate(days), np.concatenate(rows)
    n = len(day)
    arrives = day + rng.gamma(2.0, DELAY / 2.0, n)
    silent = (day >= NO_LABELS[0]) & (day < NO_LABELS[1])
    return {
        "day": day,
        "row": row,
        "explores": rng.random(n) < EPSILON,
        "refusal": rng.random(n),
        "arrives": np.where((rng.random(n) < LABELLED) & ~silent, arrives, np.inf),
    }


def log_of(
    world: World, log: Mapping[str, NDArray[Any]], served: Sequence[Served], today: int, since: int
) -> tuple[Traffic, NDArray[np.intp]]:
    """Return what the decision log of some days says on a day, and the row of each request."""
    parts = np.flatnonzero((log["day"] >= since) & (log["day"] < today))
    day, row = log["day"][parts], log["row"][parts]
    begins = np.array([one.day for one in served])
    in_service = np.searchsorted(begins, day, side="right") - 1
    named = np.array([one.sends for one in served])[in_service, row]
    explores = log["explores"][parts]
    sent = named ^ explores
    phases = np.array([phase_of(one) for one in range(DAYS)])[day]
    cheap, frontier = world.pool.cheap[phases, row], world.pool.frontier[phases, row]
    broken = (day >= VALIDATOR[0]) & (day < VALIDATOR[1])
    refuses = np.where(broken, 1.0, np.where(cheap < 0.5, CAUGHT, WRONGLY))
    refused = ~sent & (log["refusal"][parts] < refuses)
    told = log["arrives"][parts] <= today
    when = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=int(one)) for one in day]
    # Draws are independent, also of one request; those of the client that floods are not.
    flooding = (day >= FLOOD[0]) & (day < FLOOD[1]) & (world.pool.task[row] == FLOOD_TASK)
    names = [
        "flooding client" if floods else f"request-{number}"
        for number, floods in zip(parts.tolist(), flooding, strict=True)
    ]
    traffic = world.pool.traffic.select(row).with_columns(
        {
            "id": [f"request-{number}" for number in parts.tolist()],
            "group": names,
            "split_group": names,
            "near_groups": [[] for _ in names],
            "timestamp": when,
            "route": np.where(sent, "frontier", "cheap").tolist(),
            "propensity": np.where(explores, EPSILON, 1.0 - EPSILON).tolist(),
            "cheap_quality": _known(cheap, ~sent & told),
            "frontier_quality": _known(frontier, (sent | refused) & told),
            "cheap_passed": [None if s else not r for s, r in zip(sent, refused, strict=True)],
            "measured_by": np.where(
                told, "exact", np.where(sent, None, "validators:logged")
            ).tolist(),
        }
    )
    return traffic, row


def _known(values: FloatArray, mask: NDArray[np.bool_]) -> list[float | None]:
    return [float(one) if known else None for one, known in zip(values, mask, strict=True)]


def fixed(world: World, log: Mapping[str, NDArray[Any]], folder: Path) -> list[Served]:
    """Leave the bundle alone."""
    return [Served(0, world.bundle, world.path, world.outputs)]


def recalibrated(
    world: World, log: Mapping[str, NDArray[Any]], folder: Path, *, window: int
) -> list[Served]:
    """Recalibrate on the first day of each quarter."""
    served, said = fixed(world, log, folder), []
    for number, today in enumerate(QUARTER[1:-1]):
        now = served[-1]
        traffic, row = log_of(world, log, served, today, max(0, today - window))
        # The log has texts; scores were computed once for all requests.
        logged = {name: values[row] for name, values in now.outputs.items()}
        try:
            result = recalibrate(
                now.path,
                traffic,
                folder / f"year-{number + 2}",
                today=START + timedelta(days=today),
                resampling=_DRAWS,
                logged=logged,
            )
        except DifficultyError as error:
            said.append(f"{type(error).__name__}: {error}")
            continue
        said.append("; ".join((*result.reasons, *result.retraining)))
        if result.bundle:
            maps = maps_of(result.bundle.files["scorer.onnx"])
            outputs = {
                name: maps[name](values).astype(np.float32).astype(np.float64)
                if name in maps
                else values
                for name, values in world.outputs.items()
            }
            served.append(Served(today, result.bundle, result.bundle.path, outputs))
    (folder / "said.json").write_text(json.dumps(said, indent=1))
    return served


def retrained(world: World, log: Mapping[str, NDArray[Any]], folder: Path) -> list[Served]:
    """Retrain every month on what was labelled since the start, and take what the gate lets in."""
    served, said = fixed(world, log, folder), []
    recipe, rng = _recipe(), np.random.default_rng(0)
    encoder = find_encoder(recipe.features)
    for month, today in enumerate(range(MONTH, DAYS - MONTH // 2, MONTH)):
        traffic, _ = log_of(world, log, served, today, 0)
        new = folder / f"new-{month}.parquet"
        graded = np.flatnonzero([name == "exact" for name in traffic.column("measured_by")])
        picked = rng.permutation(graded)[: _LABELS_A_MONTH * (month + 1)]
        traffic.select(np.sort(picked)).write(new)
        run, name = folder / f"run-{month}", f"year-{month + 2}"
        try:
            result = retrain(
                world.training,
                new,
                served[-1].path,
                run,
                encoder=encoder,
                recipe=recipe,
                half_lives=(None,),
                resampling=Resampling(20),
            )
            shipped = ship(
                run,
                folder / "shipped" / name,
                objective="share=0.5",
                policy=_RULES,
                allow_no_signal=True,
                draws=20,
            )
            chosen = rechoose(
                shipped.bundle.path,
                run.with_name(f"{run.name}{MATERIAL}") / "newest.parquet",
                folder / name,
                objective=f"risk={RISK}",
                resampling=_DRAWS,
            )
        except DifficultyError as error:
            said.append(f"{type(error).__name__}: {error}")
            continue
        said.append("worse on the newest" if result.is_worse else "taken")
        if not result.is_worse:
            outputs = pool_scores(chosen.bundle, world.pool, world.cache)
            served.append(Served(today, chosen.bundle, chosen.bundle.path, outputs))
    (folder / "said.json").write_text(json.dumps(said, indent=1))
    return served


POLICIES: dict[str, Callable[..., list[Served]]] = {
    "fixed": fixed,
    "recalibrated": partial(recalibrated, window=WINDOW),
    "recalibrated, whole quarter": partial(recalibrated, window=WHOLE),
    "retrained": retrained,
}


def days_of(world: World, served: Sequence[Served]) -> FloatArray:
    """Return the figures of each day; shape (days, 5)."""
    begins = [one.day for one in served]
    sends = [one.sends for one in served]
    place = np.searchsorted(begins, np.arange(DAYS), side="right") - 1
    return np.array([DayParts(world, day).figures(sends[place[day]]) for day in range(DAYS)])


@dataclass(frozen=True, eq=False)
class Hindsight:
    """What thresholds on the bundle's score would have had on each day; shape (days, cuts, 5)."""

    volume: FloatArray
    figures: FloatArray

    @classmethod
    def of(cls, world: World) -> Self:
        """Reckon it for thresholds that keep about 0, 1/200, ... of the requests."""
        order = np.argsort(world.outputs["difficulty_score"], kind="stable")
        cuts = np.linspace(0, len(order), _GRID + 1).astype(np.intp)
        figures = [DayParts(world, day).along(order, cuts) for day in range(DAYS)]
        return cls(world.calendar.volume, np.array(figures))

    def keeping(self, risk: float) -> FloatArray:
        """Return each day's figures of the cheapest threshold that keeps the promise, or, where
        none does, of the one with the least risk.
        """
        risks = self.figures[:, :, 3] / self.figures[:, :, 2]
        cost = np.where(risks <= risk, self.figures[:, :, 1], np.inf)
        best = np.where(np.isfinite(cost).any(axis=1), cost.argmin(axis=1), risks.argmin(axis=1))
        return self.figures[np.arange(DAYS), best]

    def fixed_curve(self) -> FloatArray:
        """Return quality and USD per 1,000 requests of each threshold over the year."""
        return self._year(self.figures)

    def safe(self, risk: float) -> FloatArray:
        """Return the figures of each day of the cheapest threshold that, left alone, keeps the
        promise in every quarter.
        """
        spans = [slice(*span) for span in zip(QUARTER, QUARTER[1:], strict=False)]
        summed_up = [
            np.tensordot(self.volume[part], self.figures[part, :, 2:4], axes=1) for part in spans
        ]
        keeps = np.all([part[:, 1] <= risk * part[:, 0] for part in summed_up], axis=0)
        cost = np.where(keeps, self.fixed_curve()[:, 1], np.inf)
        return self.figures[:, int(cost.argmin())]

    def daily_curve(self) -> FloatArray:
        """Return the same of thresholds chosen each day for one price of quality, for all
        prices.
        """
        prices = np.concatenate([[0.0], np.logspace(-5, 1, 400)])
        days = np.arange(DAYS)
        chosen = [
            (price * self.figures[:, :, 0] - self.figures[:, :, 1]).argmax(axis=1)
            for price in prices
        ]
        return np.array([self._year(self.figures[days, cut][:, None])[0] for cut in chosen])

    def _year(self, figures: FloatArray) -> FloatArray:
        share = self.volume / self.volume.sum()
        return np.tensordot(share, figures[:, :, :2], axes=1) * np.array([1.0, 1000.0])


def cost_at(curve: FloatArray, quality: float) -> float:
    """Return the cost at which a curve has a quality; NaN where it nowhere has."""
    order = np.argsort(curve[:, 1])
    best = np.maximum.accumulate(curve[order, 0])
    if not best[0] <= quality <= best[-1]:
        return float("nan")
    return float(np.interp(quality, best, curve[order, 1]))


def summed(world: World, days: FloatArray, hindsight: Hindsight) -> dict[str, Any]:
    """Return the figures of the year and of its quarters."""
    volume = world.calendar.volume

    def over(part: slice) -> dict[str, float]:
        share = volume[part] / volume[part].sum()
        quality, cost, kept, fails, sent = share @ days[part]
        return {"quality": quality, "cost": cost * 1000, "risk": fails / kept, "share": sent}

    year = over(slice(0, DAYS))
    at_equal = {
        name: cost_at(curve, year["quality"])
        for name, curve in (("fixed", hindsight.fixed_curve()), ("daily", hindsight.daily_curve()))
    }
    quarters = [over(slice(*span)) for span in zip(QUARTER, QUARTER[1:], strict=False)]
    return year | {
        "to_fixed": year["cost"] / at_equal["fixed"],
        "to_daily": year["cost"] / at_equal["daily"],
        "regret": year["cost"] - at_equal["daily"],
        "quarters": quarters,
        "broken": [bool(quarter["risk"] > RISK) for quarter in quarters],
        "weeks": [over(slice(day, day + 7)) | {"day": day} for day in range(0, DAYS - 6, 7)],
    }


def run_seed(world: World, hindsight: Hindsight, seed: int, names: Sequence[str]) -> dict[str, Any]:
    """Return the figures of each policy, from the cache where they lie there."""
    log, results = None, {}
    for name in names:
        folder = world.cache / f"seed-{seed}" / name.replace(", ", "-").replace(" ", "-")
        kept = folder / "figures.json"
        if not kept.exists():
            log = draw_log(world, seed) if log is None else log
            rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            served = POLICIES[name](world, log, folder)
            figures = summed(world, days_of(world, served), hindsight)
            figures["versions"] = [one.day for one in served]
            figures["said"] = _said(folder)
            kept.write_text(json.dumps(figures))
            print(seed, name, f"{datetime.now():%H:%M:%S}", flush=True)
        results[name] = json.loads(kept.read_text())
    return results


def _said(folder: Path) -> list[str]:
    path = folder / "said.json"
    return json.loads(path.read_text()) if path.exists() else []


def main() -> None:
    """Run the benchmark and write ``<out>.json``, ``<out>.md`` and ``<out>.svg``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("routellm", "normalised", "drift", "cache"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--retrained", type=int, default=0, help="seeds that are retrained too")
    parser.add_argument("--whole-quarters", type=int, default=20, help="seeds of that policy")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    world = World.of(arguments)
    hindsight = Hindsight.of(world)
    most = {
        "retrained": arguments.retrained,
        "recalibrated, whole quarter": arguments.whole_quarters,
    }
    seeds = [
        run_seed(
            world,
            hindsight,
            seed,
            [name for name in POLICIES if seed < most.get(name, arguments.seeds)],
        )
        for seed in range(arguments.seeds)
    ]
    oracle = summed(world, hindsight.keeping(RISK), hindsight)
    results = surroundings() | {
        "risk": RISK,
        "seeds": arguments.seeds,
        "retrained": arguments.retrained,
        "oracle": oracle,
        "safe": summed(world, hindsight.safe(RISK), hindsight),
        "seed_figures": seeds,
    }
    plot_year(results, arguments.out.with_suffix(".svg"))
    write(arguments.out, results, as_lines(results, arguments.out.name), _COMMAND)


if __name__ == "__main__":
    main()
