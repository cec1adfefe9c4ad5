"""Sessions in labelled traffic, step by step, and the margins that they choose."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from difficulty.bundle import Bundle, Policy, read_bundle
from difficulty.metrics.arrays import FloatArray
from difficulty.records import Estimate, Prices
from difficulty.request import continues_loop
from difficulty.routes import Stick
from difficulty.runtime.rule import threshold_of
from difficulty.runtime.scorer import Scorer
from difficulty.stages.judging import Served, label_settings, serve, weighed
from difficulty.stages.thresholds import usable_samples
from difficulty.text import quantity_text
from difficulty.thresholds.sticking_margins import (
    LEAST_SESSIONS,
    LONGEST,
    MarginChoice,
    SessionSteps,
    bill_sessions,
    choose_margins,
    judge_stick,
    session_routes,
)
from difficulty.traffic.table import Traffic


def margins_from(
    bundle_path: Path, traffic_path: Path, prices: Prices, *, like: Stick
) -> MarginChoice:
    """Return the margins that sessions of labelled traffic choose for a bundle's threshold: of the
    traffic of its training the calibration split, of other traffic what training has not seen.
    Groups are sessions, whole ones, in the order of their timestamps.

    Raises
    ------
    SeenTrafficError
        If the scorer learned from all of the traffic.
    NotAttainableError
        If there are too few sessions, too little is known of them, or no margin saves.
    """
    bundle = read_bundle(bundle_path)
    unseen, _, _ = usable_samples(Traffic.read(traffic_path), bundle)
    return choose_margins(steps_of(bundle, unseen), prices, like=like)


def tell_switches(served: Served, policy: Policy, prices: Prices | None) -> tuple[str, ...]:
    """Return what switches inside sessions cost, in words; nothing where the traffic has none."""
    if prices is None:
        return ()
    steps = steps_served(served, policy)
    further = len(steps) - steps.n_sessions
    if further <= 0:
        return ()
    sticks = [] if policy.stick is None else [policy.stick]
    minutes = Stick().cold_after_minutes if policy.stick is None else sticks[0].cold_after_minutes
    routes = np.concatenate([steps.sent_alone[None], session_routes(steps, sticks)])
    bill = bill_sessions(steps, routes, prices, cache_minutes=minutes)
    switched = bill.switched.sum(axis=1) / further
    parts = [f"{switched[0]:.1%} of them switch the model where each is decided alone"]
    if policy.stick is not None:
        parts.append(f"{switched[1]:.1%} where sessions keep it ('stick')")
    text = (
        f"Sessions: {quantity_text(further, 'request goes', 'requests go')} on with one;"
        f" {', '.join(parts)}."
    )
    if None in (prices.cheap_cached_input, prices.frontier_cached_input):
        return (
            f"{text} What that costs in cold caches is not known without cached_input in [cheap]"
            " and [frontier].".replace("%", " %"),
        )
    cost, cold = bill.cost.mean(axis=1) * 1000.0, bill.cold.mean(axis=1) * 1000.0
    text += (
        f" Cold caches make USD {cold[0]:.3g} of the USD {cost[0]:.3g} that 1,000 requests cost"
        " decided alone"
    )
    if policy.stick is not None:
        text += f", USD {cold[1]:.3g} of {cost[1]:.3g} as they are decided"
    else:
        text += ": 'difficulty policy --stick-from' chooses margins for sessions"
    assumed = (
        " (caches reckoned from the prompts' growth, whatever the file says of cached tokens)."
    )
    return ((text + assumed).replace("%", " %"),)


class SessionsJudged(NamedTuple):
    """What a policy's ``stick`` does, and what is to be said of it."""

    figures: dict[str, Estimate]
    """Of :func:`~difficulty.thresholds.sticking_margins.judge_stick`; empty where nothing was
    judged.
    """
    notes: tuple[str, ...]


def judge_sessions(served: Served, policy: Policy, prices: Prices | None) -> SessionsJudged:
    """Return what a policy that keeps sessions on their model does to those of traffic that is
    scored, or why that cannot be said; nothing of a policy that does not.
    """
    stick = policy.stick
    if stick is None:
        return SessionsJudged({}, ())
    why = ""
    if prices is None:
        why = "no prices are given (--prices)"
    elif None in (prices.cheap_cached_input, prices.frontier_cached_input):
        why, prices = "prices of cached tokens are not (cached_input in [cheap], [frontier])", None
    steps = steps_served(served, policy)
    if steps.n_sessions < LEAST_SESSIONS or len(steps) < 2 * steps.n_sessions:
        priced, steps = steps, steps_served(served, policy, counted=False)
        if len(steps) > len(priced):
            why, prices = why or "token counts of their steps are not", None
    further = len(steps) - steps.n_sessions
    begin = "Sessions: the policy keeps them on their model ('stick')"
    alone = "all other figures are of requests decided alone"
    if steps.n_sessions < LEAST_SESSIONS or further < steps.n_sessions:
        return SessionsJudged(
            {},
            (
                f"{begin}, which cannot be judged here: that needs {LEAST_SESSIONS} sessions of two"
                f" and more steps (group and timestamp), and there are {steps.n_sessions:,} with"
                f" {quantity_text(len(steps), 'step')}; {alone}.",
            ),
        )
    figures = judge_stick(steps, stick, prices)
    share = figures["frontier_share"]
    parts = [
        f"{begin}; {alone}. On {quantity_text(steps.n_sessions, 'session')} with {further:,}"
        " further steps the"
        f" frontier share is {_percent(share)}, alone {figures['frontier_share_alone'].value:.1%};"
        f" of the further steps {_percent(figures['switched_share'])} switch, alone"
        f" {figures['switched_share_alone'].value:.1%}"
    ]
    change, cost = figures["quality_change"], figures.get("cost_ratio")
    if change.value is None:
        parts.append("what that does to quality is not known without outcomes of both models")
    else:
        ends = f"{change.low:+.4f} to {change.high:+.4f}"
        parts.append(f"their quality changes by {change.value:+.4f} ({ends})")
    if cost is None or cost.value is None:
        parts.append(f"what it saves is not known, as {why}")
    else:
        parts.append(
            f"their cost is {cost.value:.3f} ({cost.low:.3f} to {cost.high:.3f}) of deciding each"
            " step alone, cold caches counted"
        )
    return SessionsJudged(figures, (f"{'; '.join(parts)}.".replace("%", " %"),))


def _percent(figure: Estimate) -> str:
    if figure.low is None or figure.high is None:
        return f"{figure.value:.1%}"
    return f"{figure.value:.1%} ({100 * figure.low:.1f} to {100 * figure.high:.1f})"


def steps_of(bundle: Bundle, traffic: Traffic) -> SessionSteps:
    """Return the sessions of traffic as a bundle's policy would decide each step alone."""
    picked, _ = weighed(traffic, label_settings(bundle))
    served = serve(Scorer.from_bundle(bundle), picked, target=bundle.manifest.target)
    return steps_served(served, bundle.policy)


def steps_served(served: Served, policy: Policy, *, counted: bool = True) -> SessionSteps:
    """Return the sessions of traffic that is scored: rows with a group, a time and, where they
    are ``counted``, all token counts.

    A session with a row of which a count is not known is then left out whole: what the next step
    would find in a cache hangs on it.
    """
    traffic, n = served.traffic, len(served.traffic)
    groups, times = traffic.column("group"), _seconds(traffic)
    tokens = traffic.tokens
    counts = np.stack([served.rule_tokens(), tokens.cheap, tokens.frontier])
    placed = np.array([group is not None for group in groups]) & ~np.isnan(times)
    names, of_group = np.unique(
        np.array([group or "" for group in groups], dtype=object).astype(str), return_inverse=True
    )
    broken = np.zeros(len(names), dtype=bool)
    broken[of_group[~placed | (counted & np.isnan(counts).any(axis=0))]] = True
    keep = np.flatnonzero(placed & ~broken[of_group])
    order = keep[np.lexsort((keep, times[keep], of_group[keep]))]
    scored = served.scored
    outcomes = scored.outcomes
    looping = np.fromiter(map(continues_loop, traffic.each_messages()), dtype=bool, count=n)
    thresholds = np.array([threshold_of(policy, task) for task in traffic.tasks], dtype=np.float64)
    fixed = served.fixed(policy, served.scores.outputs.get("familiarity"))
    # What cannot be read is not scored, and goes where errors go.
    fixed = np.where(np.isnan(fixed) & ~served.scores.readable, 1.0, fixed)
    return SessionSteps(
        session=_number(of_group[order]),
        score=scored.difficulty_score[order],
        threshold=thresholds[order],
        fixed=fixed[order],
        at_s=times[order],
        in_loop=looping[order],
        prompt=counts[0][order],
        cheap_tokens=counts[1][order],
        frontier_tokens=counts[2][order],
        cheap_quality=outcomes.cheap_quality[order],
        frontier_quality=outcomes.frontier_quality[order],
    )


def _number(groups: np.ndarray) -> np.ndarray:
    """Return sessions numbered from 0; what goes on for too long begins another one."""
    if not len(groups):
        return np.zeros(0, dtype=np.int64)
    begins = np.r_[True, groups[1:] != groups[:-1]]
    place = np.arange(len(groups)) - np.maximum.accumulate(
        np.where(begins, np.arange(len(groups)), 0)
    )
    return np.cumsum(begins | (place % LONGEST == 0)) - 1


def _seconds(traffic: Traffic) -> FloatArray:
    """Return the times of requests in seconds, NaN where unknown."""
    return np.array(
        [np.nan if time is None else time.timestamp() for time in traffic.column("timestamp")],
        dtype=np.float64,
    )
