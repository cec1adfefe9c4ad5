"""Decision logs of a simulated service: traffic with seasons, conversations and tasks, a policy
that explores, two models, validators, and the truth of both models' answers kept beside it.

Everything is drawn as columns, named as in the table of :mod:`difficulty.decisions`, so that a
change of the world is a change of arrays; :func:`write_log` writes columns as the gateway's log
does, some 100,000 events a second.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Service", "feedback_rows", "log_lines", "write_log"]

Columns = dict[str, NDArray[Any]]
_FILE_EVENTS = 100_000
_US_PER_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service whose requests a router decides on.

    Attributes
    ----------
    tasks : mapping of str to tuple of float
        Task to its share of the requests and its mean difficulty in (0, 1).
    threshold, epsilon, shadow : float
        The policy: its threshold, how often it takes the other route, and how often the other model
        is asked unseen.
    cheap_model, frontier_model : str
        As the calls name them.
    cheap_skill, frontier_skill : float
        Added to the logit of each model's passing; 0 for the cheap one is what the probabilities of
        the log are calibrated for.
    catch_rate, false_alarms : float
        Share of the cheap model's wrong answers that the validator refuses, and of its right ones.
    group_size : float
        Requests of a conversation, on average; all of a conversation share a part of their
        difficulty.
    clients : int
        Processes that write the log.
    weekend : float
        Traffic of a Saturday or Sunday over that of a working day.
    """

    tasks: Mapping[str, tuple[float, float]]
    threshold: float = 0.65
    epsilon: float = 0.05
    shadow: float = 0.02
    cheap_model: str = "hermes-8b-2026-09-01"
    frontier_model: str = "frontier-1-2026-08-15"
    cheap_skill: float = 0.0
    frontier_skill: float = 0.0
    catch_rate: float = 0.4
    false_alarms: float = 0.01
    group_size: float = 3.0
    clients: int = 4
    weekend: float = 0.5
    bundle_version: str = "simulated-1"

    @classmethod
    def usual(cls, **changes: Any) -> Service:
        """Return a service of four tasks."""
        tasks = {
            "classify": (0.4, 0.15),
            "extract": (0.3, 0.3),
            "summarize": (0.2, 0.45),
            "planning": (0.1, 0.7),
        }
        return cls(tasks=tasks, **changes)

    def draw(
        self, n: int, rng: np.random.Generator, *, start: str = "2026-07-06", days: float = 28.0
    ) -> Columns:
        """Return the columns of n requests within some days from ``start`` on, ordered by time.

        Beside the columns of the log, ``cheap_truth`` and ``frontier_truth`` hold what both
        answers were worth, 0 or 1.
        """
        time = self._times(n, rng, start, days)
        group = rng.integers(0, max(1, int(n / self.group_size)), n)
        columns = self._requests(n, rng, group)
        columns |= self._decisions(columns, rng)
        columns |= self._calls(columns, rng)
        writer = rng.integers(0, self.clients, n)
        seq = np.empty(n, dtype=np.int64)
        for client in range(self.clients):
            own = writer == client
            seq[own] = np.arange(np.count_nonzero(own))
        return columns | {
            "id": np.char.add(f"r{int(rng.integers(2**31)):08x}-", np.arange(n).astype(str)),
            "time": time,
            "group": group,
            "writer": writer,
            "seq": seq,
        }

    def _times(
        self, n: int, rng: np.random.Generator, start: str, days: float
    ) -> NDArray[np.datetime64]:
        whole = np.arange(int(np.ceil(days)))
        weekday = (np.datetime64(start, "D") + whole).astype("datetime64[D]").view("i8")
        # 1970-01-01 was a Thursday, so 2 and 3 days later a week-end began.
        volume = np.where((weekday + 3) % 7 >= 5, self.weekend, 1.0)
        day = rng.choice(whole, n, p=volume / volume.sum())
        # Most come in the middle of the day.
        hour = np.clip(rng.normal(0.55, 0.17, n), 0.0, 0.999)
        offset = np.sort((np.minimum(day + hour, days) * _US_PER_DAY).astype(np.int64) // 1000)
        return np.datetime64(start, "ms") + offset.astype("timedelta64[ms]")

    def _requests(self, n: int, rng: np.random.Generator, group: NDArray[np.int64]) -> Columns:
        names = np.array(list(self.tasks), dtype=object)
        shares = np.array([share for share, _ in self.tasks.values()])
        means = np.array([mean for _, mean in self.tasks.values()])
        task = rng.choice(len(names), n, p=shares / shares.sum())
        shared = rng.normal(0.0, 0.6, int(group.max()) + 1)[group]
        logit = np.log(means / (1 - means))[task] + shared + rng.normal(0.0, 0.8, n)
        fails = _sigmoid(logit)
        best_fails = _sigmoid(logit - 1.8)
        return {
            "task": names[task],
            "tokens": rng.lognormal(5.0, 0.8, n).astype(np.int64) + 1,
            "familiarity": np.round(rng.beta(8, 2, n), 6),
            "p_cheap_fails": np.round(fails, 6),
            "p_frontier_fails": np.round(best_fails, 6),
            "difficulty_score": np.round((1 + fails - best_fails) / 2, 6),
            "cheap_truth": (rng.random(n) >= _sigmoid(logit - self.cheap_skill)).astype(float),
            "frontier_truth": (rng.random(n) >= _sigmoid(logit - 1.8 - self.frontier_skill)).astype(
                float
            ),
        }

    def _decisions(self, columns: Columns, rng: np.random.Generator) -> Columns:
        n = len(columns["task"])
        above = columns["difficulty_score"] > self.threshold
        explored = rng.random(n) < self.epsilon
        sent = above ^ explored
        return {
            "policy_route": np.where(above, "frontier", "cheap"),
            "route": np.where(sent, "frontier", "cheap"),
            "reason": np.where(above, "above_threshold", "within_threshold"),
            "threshold": np.full(n, self.threshold),
            "propensity": np.where(explored, self.epsilon, 1.0 - self.epsilon),
            "bundle_version": np.full(n, self.bundle_version),
            "decision_ms": np.round(rng.lognormal(-2.5, 0.3, n), 4),
        }

    def _calls(self, columns: Columns, rng: np.random.Generator) -> Columns:
        n = len(columns["task"])
        cheap_route = columns["route"] == "cheap"
        shadow = rng.random(n) < self.shadow
        wrong = columns["cheap_truth"] < 0.5
        refused = rng.random(n) < np.where(wrong, self.catch_rate, self.false_alarms)
        fallback = cheap_route & refused
        roles: Columns = {
            "cheap_role": np.where(cheap_route, "answer", np.where(shadow, "shadow", "")),
            "frontier_role": np.where(
                ~cheap_route,
                "answer",
                np.where(fallback, "fallback", np.where(shadow, "shadow", "")),
            ),
            "cheap_passed": (~refused).astype(float),
            "fallback": np.where(fallback, "validation", ""),
        }
        prices = {"cheap": (0.1, 0.3, 6.0), "frontier": (2.5, 10.0, 7.0)}
        for side, (reading, writing, pace) in prices.items():
            answer = rng.lognormal(4.5, 0.6, n).astype(np.int64) + 1
            roles[f"{side}_prompt_tokens"] = columns["tokens"] + 8
            roles[f"{side}_completion_tokens"] = answer
            usd = (roles[f"{side}_prompt_tokens"] * reading + answer * writing) / 1e6
            roles[f"{side}_cost_usd"] = np.round(usd, 9)
            roles[f"{side}_latency_ms"] = np.round(pace * answer + rng.lognormal(5, 0.5, n), 2)
            roles[f"{side}_model"] = np.full(n, getattr(self, f"{side}_model"))
        roles["latency_ms"] = np.round(
            np.where(cheap_route, roles["cheap_latency_ms"], 0.0)
            + np.where(~cheap_route | fallback, roles["frontier_latency_ms"], 0.0),
            2,
        )
        return roles


def _sigmoid(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1.0 / (1.0 + np.exp(-logit))


def log_lines(columns: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    """Yield the events as the gateway's log writes them, each with its line feed."""
    names = [*_PLAIN, *(f"{side}_{part}" for side in ("cheap", "frontier") for part in _OF_A_CALL)]
    values = [columns[name].tolist() for name in names]
    stamps = np.datetime_as_string(columns["time"].astype("datetime64[ms]"), unit="ms")
    for stamp, row in zip(stamps.tolist(), zip(*values, strict=True), strict=True):
        yield _line(stamp, *row)


_PLAIN = (
    *("id", "bundle_version", "route", "policy_route", "reason", "difficulty_score"),
    *("p_cheap_fails", "p_frontier_fails", "familiarity", "threshold", "propensity", "task"),
    *("tokens", "fallback", "latency_ms", "decision_ms", "group", "writer", "seq"),
    "cheap_passed",
)
_OF_A_CALL = (*("role", "model", "prompt_tokens", "completion_tokens", "cost_usd", "latency_ms"),)


def _line(
    stamp: str,
    name: str,
    version: str,
    route: str,
    policy_route: str,
    reason: str,
    score: float,
    p_cheap: float,
    p_frontier: float,
    familiarity: float,
    threshold: float,
    propensity: float,
    task: str,
    tokens: int,
    fallback: str,
    latency: float,
    decision: float,
    group: int,
    writer: int,
    seq: int,
    passed: float,
    *calls: Any,
) -> str:
    cheap = _call("cheap", *calls[:6], "false" if passed < 0.5 else "true") if calls[0] else ""
    best = _call("frontier", *calls[6:], "true") if calls[6] else ""
    # The route's own call comes first.
    both = (cheap, best) if route == "cheap" else (best, cheap)
    return (
        f'{{"format":1,"id":"{name}","time":"{stamp}+00:00","bundle_version":"{version}",'
        f'"route":"{route}","policy_route":"{policy_route}","reason":"{reason}",'
        f'"difficulty_score":{score},"p_cheap_fails":{p_cheap},"p_frontier_fails":{p_frontier},'
        f'"familiarity":{familiarity},"threshold":{threshold},"propensity":{propensity},'
        f'"task":"{task}","tokens":{tokens},"tokens_source":"scorer","truncated":false,'
        f'"masked_share":0.0,"scored_by":"scorer","held_on":null,"switch_cost_usd":null,'
        f'"decision_error":null,"calls":[{",".join(filter(None, both))}],'
        f'"fallback":{json.dumps(fallback or None)},"escalation":null,"outcome":"answered",'
        f'"streamed":false,"latency_ms":{latency},"decision_ms":{decision},'
        f'"group":"{group:012x}","messages":null,"notes":[],"seq":{seq},"writer":"writer-{writer}"}}\n'
    )


def _call(
    side: str,
    role: str,
    model: str,
    prompt: int,
    completion: int,
    cost: float,
    latency: float,
    passed: str,
) -> str:
    return (
        f'{{"role":"{role}","side":"{side}","model":"{model}","prompt_tokens":{prompt},'
        f'"completion_tokens":{completion},"cached_tokens":null,"cache_hit":false,'
        f'"cost_usd":{cost},"latency_ms":{latency},"checks":[{{"name":"non_empty",'
        f'"passed":{passed},"detail":""}}],"error":null}}'
    )


def write_log(columns: Mapping[str, NDArray[Any]], folder: Path, *, first: int = 1) -> int:
    """Write events to files of a folder, 100,000 each, numbered from ``first``; return the bytes
    written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    n, written = len(columns["id"]), 0
    for number, begin in enumerate(range(0, n, _FILE_EVENTS), start=first):
        part = {name: column[begin : begin + _FILE_EVENTS] for name, column in columns.items()}
        path = folder / f"simulated-{number:06d}.jsonl"
        path.write_text("".join(log_lines(part)), encoding="ascii")
        written += path.stat().st_size
    return written


def feedback_rows(
    columns: Mapping[str, NDArray[Any]], share: float, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Return late outcomes of a random share of the requests: of the answer that the user saw,
    a day later, as ``difficulty outcomes`` reads them.
    """
    rows = np.flatnonzero(rng.random(len(columns["id"])) < share)
    rows = rows[np.argsort(rng.random(len(rows)))]
    feedback = []
    for row in rows.tolist():
        side = "frontier" if columns["frontier_role"][row] in ("answer", "fallback") else "cheap"
        when = columns["time"][row].astype("datetime64[ms]").astype(datetime).replace(tzinfo=UTC)
        feedback.append(
            {
                "id": str(columns["id"][row]),
                "side": side,
                "quality": float(columns[f"{side}_truth"][row]),
                "measured_by": "simulated",
                "timestamp": when.isoformat(timespec="milliseconds"),
            }
        )
    return feedback
