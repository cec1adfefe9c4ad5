"""What a score has to beat: routing at random, by length, by task; one model for everything; and
the oracle.

A baseline with a score is judged along the whole curve, and at the operating point: it sends the
same share of requests to the frontier model as the threshold does, so that quality and cost compare
at equal share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from difficulty.errors import TooFewSamplesError
from difficulty.evaluation.figures import columns_of
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.form import SavedForm
from difficulty.metrics.arrays import FloatArray, ratio
from difficulty.metrics.coded_names import count_names, look_up
from difficulty.metrics.routing import sent_at_share


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """One way to route.

    Attributes
    ----------
    score : ndarray of shape (n,) or None
        Higher = sent first, NaN unknown; None for a baseline that is no ranking.
    sent : ndarray of shape (n,) or None
        Probability that the request goes to the frontier model, NaN unknown; None where no share is
        given.
    """

    score: FloatArray | None
    sent: FloatArray | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskMeans(SavedForm):
    """Mean outcome of each task, learnt on other requests than those judged.

    Attributes
    ----------
    by_task : dict of str to float
        Weighted mean of each task.
    overall : float
        Weighted mean of all, for requests of no task or of one not seen.
    """

    by_task: dict[str, float]
    overall: float

    @classmethod
    def fit(
        cls, tasks: Sequence[str | None], values: FloatArray, *, weight: FloatArray | None = None
    ) -> TaskMeans:
        """Learn the means.

        Parameters
        ----------
        tasks : sequence of n str or None
            Task of each request of the fit split.
        values : ndarray of shape (n,)
            The gain of the frontier model (for the target ``failure``: whether the cheap one
            fails); NaN where unknown.
        weight : ndarray of shape (n,), optional
            Sample weights.

        Raises
        ------
        TooFewSamplesError
            If no value is known.
        """
        has_value = ~np.isnan(values)
        weight = np.ones(len(values)) if weight is None else weight
        if not has_value.any():
            raise TooFewSamplesError(
                "task means need a known outcome: got none. Give traffic with the outcomes of both"
                " models."
            )
        # The empty name stands for no task, and by_task leaves it out.
        distinct = sorted({task or "" for task in count_names(tasks, has_value)})
        place = {task: code for code, task in enumerate(distinct)}
        codes = look_up(tasks, lambda task: place.get(task or "", -1), np.int64)[has_value]
        sums = np.bincount(codes, weights=(weight * np.nan_to_num(values))[has_value])
        means = sums / np.bincount(codes, weights=weight[has_value])
        by_task = {
            str(name): float(mean) for name, mean in zip(distinct, means, strict=True) if name
        }
        return cls(by_task=by_task, overall=float(ratio(values).value(weight)))

    def of(self, tasks: Sequence[str | None]) -> FloatArray:
        """Return each request's mean, as an array of shape (n,)."""
        return np.array(
            [self.by_task.get(task or "", self.overall) for task in tasks], dtype=np.float64
        )


def baselines_of(
    scored: ScoredTraffic,
    *,
    task_means: TaskMeans | None = None,
    others: Mapping[str, FloatArray] | None = None,
) -> dict[str, Baseline]:
    """Return the baselines by name.

    ``random`` is the expected value of routing at random: every request ties. ``oracle`` knows each
    request's gain (for a target ``failure`` without frontier outcomes: whether the cheap model
    fails): no score can do better. ``task_mean`` is there only when task means were learnt,
    ``others`` when they were given.
    """
    n = len(scored)
    # All tie, and ties share what is sent evenly: the expected value of routing at random.
    scores: dict[str, FloatArray] = {"random": np.zeros(n)}
    if scored.n_tokens is not None:
        scores["length"] = np.asarray(scored.n_tokens, dtype=np.float64)
    # A bundle remembers no fit samples, so nothing can be learnt for it.
    if task_means is not None:
        scores["task_mean"] = task_means.of(scored.tasks)
    scores |= others or {}
    gain = scored.outcomes.gain
    # Without frontier outcomes the best there is to know is whether the cheap model fails.
    scores["oracle"] = scored.outcomes.cheap_failure if np.isnan(gain).all() else gain
    share = _share(scored)
    ranked = {
        name: Baseline(score, _sent(score, share, scored.outcomes.weight))
        for name, score in scores.items()
    }
    fixed = {
        "always_cheap": Baseline(None, np.zeros(n)),
        "always_frontier": Baseline(None, np.ones(n)),
    }
    return {
        **{name: ranked[name] for name in scores if name != "oracle"},
        **fixed,
        "oracle": ranked["oracle"],
    }


def _share(scored: ScoredTraffic) -> float | None:
    """Return the share of requests that the threshold sends to the frontier model."""
    sent = scored.sent
    if sent is None:
        return None
    # What the check sends on counts: a baseline may call the frontier model as often.
    columns = columns_of(scored, ["frontier_share"])["frontier_share"]
    return float(columns.at(sent, np.arange(len(scored))).value(scored.outcomes.weight))


def _sent(score: FloatArray, share: float | None, weight: FloatArray) -> FloatArray | None:
    """Send ``share`` of the requests with a known score, highest first; NaN for the others."""
    if share is None:
        return None
    sent, scored_rows = np.full(len(score), np.nan), ~np.isnan(score)
    if scored_rows.any():
        # Weights round: a share of everything may come out a hair above 1.
        sent[scored_rows] = sent_at_share(
            score[scored_rows], min(share, 1.0), weight=weight[scored_rows]
        )
    return sent
