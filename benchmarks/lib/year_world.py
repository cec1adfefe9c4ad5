"""A year of traffic in which things change, drawn from real outcomes of both models.

Requests come from RouteLLM's MMLU and GSM8K, tool calls and questions on primes; which of them come
on a day, and what either model does on them, changes by the calendar below. Every figure of a
policy is its expectation under the day's law, so that only what a policy *learns from* is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.lib.protocol import FloatArray, fold_number, read_traffic
from difficulty.traffic.table import Traffic, pa
from difficulty.upkeep.disjoint import families_of

DAYS, QUARTER = 365, (0, 91, 182, 273, 365)
HARDER, NEW_TASK, BETTER = (15, 45), 35, 50
"""Subjects shift to hard ones; GSM8K appears; the cheap model is replaced by a better one."""
FLOOD, NO_LABELS = (140, 147), (150, 171)
VALIDATOR, WORSE = (200, 212), 195
"""The validator refuses everything; the cheap model is replaced by a worse one."""
EPSILON = 0.05
VOLUME = 1000.0
LABELLED, DELAY = 0.6, 9.0
"""Share of the answers that are judged, and the mean days until the verdict arrives."""
CAUGHT, WRONGLY = 0.3, 0.01
"""Of the cheap model's wrong and right answers, how many the validator refuses."""
SHARES = {"mmlu": 0.75, "tools": 0.15, "primes": 0.10, "gsm8k": 0.0}
_GSM8K_SHARE = 0.2
_TILT = 4.0
"""How much more often hard subjects come after the shift: log odds by share of failures."""
FLOOD_TASK, _FLOOD_VOLUME = "moral_scenarios", 2.0
_IMPROVED = 0.4
"""Of MMLU and GSM8K, which tell of one pair alone: share of the requests on which the better model
is as right as the frontier model. The worse one is the first again.
"""
_TRAINED = 2
"""Folds of five (by group or text) that the bundle is trained on."""
_TOOLS = (
    "bfcl__hermes-2-pro-llama-3-8b__gpt-4-0125-preview",
    "bfcl__hermes-2-theta-llama-3-8b__claude-3-5-sonnet-20240620",
    "bfcl__meta-llama-3-8b-instruct__gpt-4-turbo-2024-04-09",
)
_PRIMES = ("llmdrift_prime_full__march", "llmdrift_prime_full__june")
_MMLU = "routellm_mmlu__mixtral-8x7b__gpt-4-1106"
_MISJUDGED = "high_school_mathematics"
"""The frontier model is marked right on 3 % of it, far below chance: the marks are wrong."""
# USD per token, as in the shipped list of example prices.
_CHEAP_PRICE, _FRONTIER_PRICE = (0.1e-6, 0.3e-6), (3e-6, 12e-6)
_ANSWER_TOKENS = 60.0
"""Where a set does not tell how long answers are."""


@dataclass(frozen=True, eq=False)
class Pool:
    """All requests that may come; arrays of shape (n,), outcomes of shape (3, n): the cheap model
    at the start, the better and the worse one that follows it.
    """

    traffic: Traffic
    kind: NDArray[np.object_]
    task: NDArray[np.object_]
    cheap: FloatArray
    frontier: FloatArray
    cheap_cost: FloatArray
    frontier_cost: FloatArray

    def __len__(self) -> int:
        return len(self.kind)

    def at(self, rows: NDArray[np.bool_]) -> Pool:
        """Return some of the requests."""
        return Pool(
            self.traffic.select(rows),
            self.kind[rows],
            self.task[rows],
            self.cheap[:, rows],
            self.frontier[:, rows],
            self.cheap_cost[rows],
            self.frontier_cost[rows],
        )


def read_pools(routellm: Path, normalised: Path, drift: Path) -> tuple[Pool, Pool]:
    """Return what the bundle is trained on, and what the year is drawn from: no group in both."""
    parts = {
        "mmlu": read_traffic(normalised / f"{_MMLU}.jsonl.gz"),
        "tools": read_traffic(normalised / f"{_TOOLS[0]}.jsonl.gz"),
        "primes": read_traffic(drift / f"{_PRIMES[0]}.jsonl.gz"),
        "gsm8k": read_traffic(routellm / "routellm" / "evals" / "gsm8k"),
    }
    later = {
        "tools": [_outcomes_by_id(normalised / f"{name}.jsonl.gz") for name in _TOOLS],
        "primes": [_outcomes_by_id(drift / f"{name}.jsonl.gz") for name in _PRIMES],
    }
    pools = [_pool(kind, traffic, later.get(kind)) for kind, traffic in parts.items()]
    whole = Pool(
        _joined([pool.traffic for pool in pools]),
        *(np.concatenate([getattr(p, name) for p in pools]) for name in ("kind", "task")),
        *(np.concatenate([getattr(p, name) for p in pools], axis=1) for name in _SIDES),
        *(np.concatenate([getattr(p, f"{name}_cost") for p in pools]) for name in _SIDES),
    )
    families = families_of(whole.traffic)
    names = np.array(whole.traffic.ids, dtype=object)[np.unique(families, return_index=True)[1]]
    folds = np.array([fold_number(name) for name in names])[families]
    usable = whole.task != _MISJUDGED
    trained = (folds < _TRAINED) & (whole.kind != "gsm8k") & (whole.task != FLOOD_TASK)
    return whole.at(trained & usable), whole.at((folds >= _TRAINED) & usable)


_SIDES = ("cheap", "frontier")


def _outcomes_by_id(path: Path) -> Mapping[str, tuple[float, float]]:
    traffic = read_traffic(path)
    outcomes = traffic.outcomes
    pairs = zip(outcomes.cheap_quality, outcomes.frontier_quality, strict=True)
    return dict(zip(traffic.ids, pairs, strict=True))


def _pool(
    kind: str, traffic: Traffic, later: list[Mapping[str, tuple[float, float]]] | None
) -> Pool:
    """Return one set with the outcomes of all three phases."""
    n, ids = len(traffic), traffic.ids
    outcomes, tokens = traffic.outcomes, traffic.tokens
    cheap, frontier = (
        np.tile(outcomes.cheap_quality, (3, 1)),
        np.tile(outcomes.frontier_quality, (3, 1)),
    )
    if kind == "tools" and later:
        cheap = np.array([[phase.get(i, (np.nan,))[0] for i in ids] for phase in later])
        cheap = np.where(np.isnan(cheap), outcomes.cheap_quality, cheap)
    elif kind == "primes" and later:
        march, june = (np.array([phase[i][0] for i in ids]) for phase in later)
        cheap = np.array([march, june, march])
    else:
        luck = np.array([fold_uniform(i) for i in ids])
        better = np.where(luck < _IMPROVED, np.maximum(cheap[0], frontier[0]), cheap[0])
        cheap = np.array([cheap[0], better, cheap[0]])
    asked = np.array([sum(len(m["content"]) for m in each) / 4.0 for each in traffic.messages()])
    costs = [
        asked * read + np.where(np.isnan(said), _ANSWER_TOKENS, said) * written
        for (read, written), said in (
            (_CHEAP_PRICE, tokens.cheap),
            (_FRONTIER_PRICE, tokens.frontier),
        )
    ]
    tasks = np.array(traffic.tasks, dtype=object)
    if kind == "gsm8k":
        tasks[:] = "gsm8k"
        traffic = traffic.with_columns({"task": tasks.tolist()})
    # The file has the subject as the group: requests of one subject are no conversation.
    if kind != "tools":
        traffic = traffic.with_columns({"group": [None] * n, "split_group": ids})
    return Pool(traffic, np.full(n, kind, dtype=object), tasks, cheap, frontier, *costs)


def fold_uniform(key: str) -> float:
    """Return a number in [0, 1) that belongs to a request for good."""
    return int(sha256(f"luck:{key}".encode()).hexdigest()[:12], 16) / 16.0**12


def _joined(parts: list[Traffic]) -> Traffic:
    return Traffic(pa.concat_tables([part._table for part in parts]))


def phase_of(day: int) -> int:
    """Return which cheap model serves on a day."""
    return 0 if day < BETTER else 1 if day < WORSE else 2


@dataclass(frozen=True, eq=False)
class Calendar:
    """Which requests come on which day: the law of a year.

    Attributes
    ----------
    volume : ndarray of shape (days,)
    weight : ndarray of shape (days, n)
        Probability of each request; rows sum to 1.
    flooded : ndarray of shape (days,)
        Share of the day's requests that are the flood's.
    """

    volume: FloatArray
    weight: FloatArray
    flooded: FloatArray

    @classmethod
    def of(cls, pool: Pool) -> Calendar:
        """Lay the calendar over a pool."""
        hardness = _hardness(pool)
        flood_rows = pool.task == FLOOD_TASK
        volume, flooded = np.zeros(DAYS), np.zeros(DAYS)
        weight = np.zeros((DAYS, len(pool)))
        for day in range(DAYS):
            weekend = day % 7 >= 5
            season = 0.7 if 180 <= day < 240 else 1.2 if day >= 300 else 1.0
            base = VOLUME * season * (0.5 if weekend else 1.0)
            moved = float(np.clip((day - HARDER[0]) / (HARDER[1] - HARDER[0]), 0.0, 1.0))
            # Hard subjects come in exam seasons and less at weekends.
            tilt = _TILT * moved - (1.0 if weekend else 0.0) + np.sin(2 * np.pi * day / 182.0)
            law = _day_law(pool, hardness * tilt, day, ~flood_rows)
            extra = base * _FLOOD_VOLUME if FLOOD[0] <= day < FLOOD[1] else 0.0
            volume[day], flooded[day] = base + extra, extra / (base + extra)
            weight[day] = law * (1 - flooded[day]) + flood_rows / flood_rows.sum() * flooded[day]
        return cls(volume, weight, flooded)


def _hardness(pool: Pool) -> FloatArray:
    """Return by how much the cheap model fails more in the subject of each request than on the
    whole; 0 outside MMLU.
    """
    hardness, mmlu = np.zeros(len(pool)), pool.kind == "mmlu"
    mean = pool.cheap[0][mmlu].mean()
    for task in np.unique(pool.task[mmlu]):
        rows = mmlu & (pool.task == task)
        hardness[rows] = mean - pool.cheap[0][rows].mean()
    return hardness


def _day_law(pool: Pool, tilt: FloatArray, day: int, usual: NDArray[np.bool_]) -> FloatArray:
    shares = dict(SHARES)
    if day >= NEW_TASK:
        shares = {kind: share * (1.0 - _GSM8K_SHARE) for kind, share in shares.items()}
        shares["gsm8k"] = _GSM8K_SHARE
    law = np.zeros(len(pool))
    for kind, share in shares.items():
        rows = (pool.kind == kind) & usual
        part = np.exp(tilt[rows])
        law[rows] = share * part / part.sum()
    return law
