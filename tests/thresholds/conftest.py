"""Scored traffic made by hand."""

import numpy as np

from difficulty.evaluation.scored import ScoredTraffic, Thresholds
from difficulty.traffic.outcomes import Outcomes

NAN = float("nan")


def scored(
    score,
    *,
    gain=None,
    cheap=None,
    fixed=None,
    weight=None,
    groups=None,
    costs=None,
    tasks=None,
    catch_rate=None,
):
    """Return scored traffic; without ``cheap`` only the gain is known, as from votes."""
    n = len(score)
    gain = np.full(n, NAN) if gain is None else np.asarray(gain, dtype=float)
    cheap = np.full(n, NAN) if cheap is None else np.asarray(cheap, dtype=float)
    cheap_cost, frontier_cost = costs or (np.full(n, NAN), np.full(n, NAN))
    return ScoredTraffic(
        difficulty_score=np.asarray(score, dtype=float),
        fixed=None if fixed is None else np.asarray(fixed, dtype=float),
        outcomes=Outcomes(
            cheap_quality=cheap,
            frontier_quality=cheap + gain,
            preferred_gain=gain,
            weight=np.ones(n) if weight is None else np.asarray(weight, dtype=float),
        ),
        groups=np.arange(n).astype(str) if groups is None else np.asarray(groups),
        cheap_cost=np.asarray(cheap_cost, dtype=float),
        frontier_cost=np.asarray(frontier_cost, dtype=float),
        tasks=[None] * n if tasks is None else tasks,
        catch_rate=catch_rate,
    )


def sent_at(traffic, threshold, task_thresholds=None):
    """Return 1 for each request that thresholds send, else 0."""
    return traffic.routes(Thresholds(threshold, task_thresholds or {}))


def reached(traffic, threshold):
    """Return frontier share and share of the gap at a threshold, counted request by request."""
    weight, gain = traffic.outcomes.weight, traffic.outcomes.gain
    sent = [
        fixed == 1.0 if fixed == fixed else score > threshold
        for score, fixed in zip(
            traffic.difficulty_score.tolist(), traffic.by_rule.tolist(), strict=True
        )
    ]
    share = sum(w for w, s in zip(weight.tolist(), sent, strict=True) if s) / weight.sum()
    gained = [w * g if g == g else 0.0 for w, g in zip(weight.tolist(), gain.tolist(), strict=True)]
    gap = sum(gained)
    return share, sum(g for g, s in zip(gained, sent, strict=True) if s) / gap if gap > 0 else NAN
