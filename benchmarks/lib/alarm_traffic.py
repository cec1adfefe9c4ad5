"""Simulated decision logs, quiet and changed, as the table of decisions that alarms read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from difficulty.alarms import Promises

TASKS = ("classify", "extract", "summarise", "code", "plan", "chat")
MIX = np.array([0.3, 0.22, 0.18, 0.14, 0.06, 0.1])
HARDNESS = np.array([-1.4, -1.1, -0.5, 0.1, 1.4, -0.8])
"""Mean logit of the cheap model's failure, by task."""
LENGTHS = np.array([5.0, 6.2, 7.0, 6.0, 5.6, 4.2])
"""Mean logarithm of a request's tokens, by task."""
THRESHOLD = 0.5
START = np.datetime64("2026-01-05")
SCRIPTS = ("Latin", "Cyrillic", "Han")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Traffic that a router decides, day by day.

    Attributes
    ----------
    volume : float
        Requests a day, on average.
    groups : str
        ``none``; ``conversations``: of one day and one task, 1 to 30 requests, 4 on average;
        ``users``: 80 of them, of very different activity, each with tasks and difficulties of its
        own, of whom one in 25 is replaced by another every week.
    season : float
        How much weekends differ: the logit of hard tasks and scripts is higher by this on Saturdays
        and Sundays, and the volume half.
    swing : float
        Standard deviation of the same logit from day to day.
    labelled : float
        Share of the requests whose outcomes are known.
    refused : float
        How many of the wrong cheap answers validators refuse; of the right ones a fiftieth of it.
    """

    volume: float = 200.0
    groups: str = "conversations"
    season: float = 0.0
    swing: float = 0.0
    labelled: float = 0.05
    refused: float = 0.4

    def draw(
        self,
        days: int,
        rng: np.random.Generator,
        changes: Mapping[str, Any] | None = None,
        *,
        at: int = 0,
    ) -> dict[str, NDArray[Any]]:
        """Return the decisions of some days; ``fails`` says of which the user got a wrong answer.

        Parameters
        ----------
        changes : mapping, optional
            What is otherwise from day ``at`` on: ``mix`` (added to the logit of the hard tasks),
            ``task`` (share of a new task), ``unseen`` (added to the logit of failure in it, without
            the score knowing), ``refuse`` (``all``, ``none`` or a share), ``fails``
            (added to the logit of the cheap model's failure, without the score knowing),
            ``answers`` (factor of the cheap answers' length), ``price`` (factor of the cheap
            model's).
        """
        change = dict(changes or {})
        number = np.arange(days)
        weekend = (number % 7 >= 5).astype(np.float64)
        odd = self.season * weekend + rng.normal(0.0, 1.0, days) * self.swing
        changed = number >= at if change else np.zeros(days, dtype=bool)
        volume = self.volume * (1.0 - 0.5 * weekend * (self.season > 0))
        counts = rng.poisson(volume * rng.gamma(25.0, 1 / 25.0, days))
        day, group, task, easy = self._clustered(
            counts, odd + change.get("mix", 0.0) * changed, rng
        )
        n, after = len(day), changed[day]
        new = after & (rng.random(n) < change.get("task", 0.0))
        hard = HARDNESS[task] + easy + rng.normal(0.0, 0.6, n) + 0.9 * new
        score = expit(hard + 0.3)
        stated = expit(hard)
        fails = rng.random(n) < expit(
            hard + change.get("fails", 0.0) * after + change.get("unseen", 0.0) * new
        )
        frontier_fails = rng.random(n) < 0.4 * stated
        cheap = score <= THRESHOLD
        share = np.where(fails, self.refused, self.refused / 50.0)
        if "refuse" in change:
            named = {"all": 1.0, "none": 0.0}
            share = np.where(after, named.get(change["refuse"], change["refuse"]), share)
        refuse = rng.random(n) < share
        labels = rng.random(n) < self.labelled
        tokens = np.round(np.exp(LENGTHS[task] + rng.normal(0.0, 0.7, n)) + 3.0)
        lengths = np.exp(rng.normal(4.5, 0.8, (2, n)) + 0.1 * (task - 2.5))
        lengths[0] *= np.where(after, change.get("answers", 1.0), 1.0)
        prices = np.array([[2e-7], [6e-6]]) * (0.25 * tokens + lengths)
        prices[0] *= np.where(after, change.get("price", 1.0), 1.0)
        names = np.append(np.array(TASKS, dtype=object), "translate")
        script = (rng.random(n) < expit(-2.5 + odd[day])).astype(int) + (rng.random(n) < 0.02)
        none = np.full(n, None, dtype=object)
        side = [np.where(cheap, 1.0, np.nan), np.where(cheap & ~refuse, np.nan, 1.0)]
        return {
            "day": START + day,
            "group": none if group is None else group,
            "route": np.where(cheap, "cheap", "frontier").astype(object),
            "policy_route": np.where(cheap, "cheap", "frontier").astype(object),
            "propensity": np.ones(n),
            "difficulty_score": score,
            "p_cheap_fails": stated,
            "p_frontier_fails": 0.4 * stated,
            "familiarity": np.clip(expit(rng.normal(1.5, 0.8, n) - 2.0 * new), 0.0, 1.0),
            "task": names[np.where(new, len(TASKS), task)],
            "script": np.array(SCRIPTS, dtype=object)[np.minimum(script, 2)],
            "tokens": tokens,
            "cheap_model": np.where(cheap, "small-1", None),
            "frontier_model": np.where(cheap & ~refuse, None, "large-1"),
            "cheap_passed": np.where(cheap, 1.0 - refuse, np.nan),
            "failed_validator": np.where(cheap & refuse, "json", None),
            "fallback": np.where(cheap & refuse, "validation", None),
            "cheap_completion_tokens": lengths[0] * side[0],
            "frontier_completion_tokens": lengths[1] * side[1],
            "cheap_cost_usd": prices[0] * side[0],
            "frontier_cost_usd": prices[1] * side[1],
            "cost_usd": np.nansum(prices * np.array(side), axis=0),
            "answer_score": np.clip(expit(hard + fails + rng.normal(0, 0.7, n)), 0, 1) * side[0],
            "cheap_quality": np.where(labels & cheap, 1.0 - fails, np.nan),
            "frontier_quality": np.where(labels & ~cheap, 1.0 - frontier_fails, np.nan),
            "fails": np.where(cheap & ~refuse, fails, frontier_fails).astype(np.float64),
            "measured_by": np.where(labels, "exact", None),
        }

    def promises(self, *, risk: bool = True) -> Promises:
        """Return what a bundle would promise of this traffic, true to its last digit."""
        drawn = self.draw(2800, np.random.default_rng(12345)) if self.volume <= 500 else None
        if drawn is None:
            drawn = Stream(
                volume=500.0, groups=self.groups, season=self.season, swing=self.swing
            ).draw(700, np.random.default_rng(12345))
        share = float(np.mean(drawn["route"] == "frontier"))
        kept = float(np.mean(drawn["p_cheap_fails"][drawn["route"] == "cheap"]))
        return Promises(frontier_share=(share - 0.01, share + 0.01), risk=kept)

    def _clustered(
        self, counts: NDArray[np.int64], odd: NDArray[np.float64], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[Any] | None, NDArray[np.int64], NDArray[np.float64]]:
        """Return day, group, task and shared difficulty of each request."""
        days = np.repeat(np.arange(len(counts)), counts)
        n = len(days)
        mix = _mixed(odd)
        if self.groups == "none":
            task = _drawn(mix[days], rng)
            return days, None, task, np.zeros(n)
        if self.groups == "conversations":
            # About as many conversations as make up the day, and what is over is cut.
            sizes = np.minimum(rng.geometric(0.25, n), 30)
            group = np.repeat(np.arange(n), sizes)[:n]
            group = group * (len(counts) + 1) + days
            _, first, group = np.unique(group, return_index=True, return_inverse=True)
            task = _drawn(mix[days[first]], rng)[group]
            return days, group, task, rng.normal(0.0, 0.6, len(first))[group]
        weeks = np.arange(len(counts)) // 7
        n_users = 80
        activity = 1.0 / np.arange(1, n_users + 1)
        slot = rng.choice(n_users, n, p=activity / activity.sum())
        # Generation of each slot in each week: who is replaced is another user from then on.
        replaced = rng.random((weeks[-1] + 1, n_users)) < 0.04
        generation = np.cumsum(replaced, axis=0)
        user = generation[weeks[days], slot] * n_users + slot
        n_ever = int(user.max()) + 1 if n else 1
        own = rng.dirichlet(MIX * 20.0, n_ever)
        logit = np.log(own[user]) + odd[days][:, None] * (HARDNESS > 0)
        shares = np.exp(logit)
        task = _drawn(shares / shares.sum(axis=1, keepdims=True), rng)
        return days, user, task, rng.normal(0.0, 0.3, n_ever)[user]


def _mixed(odd: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mix of tasks of each day, of shape (days, tasks)."""
    weights = MIX * np.exp(odd[:, None] * (HARDNESS > 0))
    return weights / weights.sum(axis=1, keepdims=True)


def _drawn(shares: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    return (rng.random(len(shares))[:, None] > np.cumsum(shares, axis=1)[:, :-1]).sum(axis=1)
