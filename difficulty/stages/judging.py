"""Judging a scorer on traffic, the same for every step: the samples that it has not seen are taken
and weighted, scored on the path that requests take in serving, and laid out in the one table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.bundle import Bundle, Manifest, Policy
from difficulty.bundle.policy import Fallback
from difficulty.economics import request_costs
from difficulty.errors import TooFewSamplesError
from difficulty.evaluation import Target
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.evaluation.slices import traffic_labels
from difficulty.metrics.arrays import FloatArray
from difficulty.recipe import LabelSettings
from difficulty.records import Prices
from difficulty.runtime.rule import TaskRules, before_scoring
from difficulty.runtime.scorer import EarlyScorer, Scorer, exit_early, exits
from difficulty.stages.scores import TrafficScores, score_traffic
from difficulty.traffic.logged import LoggedReport, weigh_logged
from difficulty.traffic.table import Traffic
from difficulty.training.run import RunRecord, library_versions, notes_of

_FRONTIER = {"cheap": 0.0, "frontier": 1.0}


class Picked(NamedTuple):
    """The samples of a traffic file that a bundle is judged by."""

    traffic: Traffic
    """Logged outcomes weighted."""
    splits: NDArray[np.str_] | None
    """Split of each sample of the file in training; ``None`` where the bundle was trained on other
    traffic.
    """
    logged: LoggedReport | None

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of the weights."""
        return notes_of(self.logged)


def pick_unseen(bundle: Bundle, traffic: Traffic, *, needs: str) -> Picked:
    """Return what training did not see: of the traffic of its training the test split, of other
    traffic all, as a bundle remembers no samples.

    Raises
    ------
    TooFewSamplesError
        If nothing is left; ``needs`` begins the sentence: "evaluation needs samples".
    """
    splits = training_splits(bundle, traffic)
    rows = np.arange(len(traffic)) if splits is None else np.flatnonzero(splits == "test")
    refuse_none(len(rows), len(traffic), needs=needs)
    picked, logged = weighed(traffic.select(rows), label_settings(bundle))
    return Picked(picked, splits, logged)


def refuse_none(n: int, n_all: int, *, needs: str) -> None:
    """Refuse to judge by no samples."""
    if not n:
        raise TooFewSamplesError(
            f"{needs} that training did not see: all {n_all:,} were seen. Pass other traffic."
        )


def training_splits(bundle: Bundle, traffic: Traffic) -> NDArray[np.str_] | None:
    """Return the split of each sample in training; ``None`` where the bundle was trained on other
    traffic.
    """
    manifest = bundle.manifest
    if traffic.data_hash != manifest.training_data:
        return None
    return traffic.splits(manifest.split.fractions, manifest.split.seed)


def label_settings(bundle: Bundle) -> LabelSettings:
    """Return the label settings of the recipe that a bundle was trained by; bundles from before
    there were any have the defaults.
    """
    return LabelSettings.parse(bundle.manifest.recipe.get("labels", {}))


def weighed(traffic: Traffic, settings: LabelSettings) -> tuple[Traffic, LoggedReport | None]:
    """Return logged traffic weighted, with what the weights rest on; what an unknown policy
    selected is judged as it is, and the report says so.
    """
    return weigh_logged(traffic, replace(settings, accept_selection_bias=True))


def hash_of_texts(traffic: Traffic) -> str:
    """Return the hash by which a policy remembers the requests that its threshold was chosen on,
    whatever their order.
    """
    return sha256("".join(sorted(traffic.text_hashes())).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Served:
    """Traffic with what a bundle's scorer gives for it.

    Attributes
    ----------
    traffic : Traffic
        n requests.
    scores : TrafficScores
    scored : ScoredTraffic
        The same before any policy.
    """

    traffic: Traffic
    scores: TrafficScores
    scored: ScoredTraffic

    @classmethod
    def of(
        cls,
        traffic: Traffic,
        scores: TrafficScores,
        *,
        target: Target,
        prices: Prices | None,
        sliced: bool = False,
    ) -> Served:
        """Lay scores out beside outcomes and costs; ``sliced`` looks at the messages for the kinds
        of slices that an evaluation tells apart.
        """
        scored = ScoredTraffic.of(
            traffic,
            scores.outputs,
            scores.totals,
            costs=request_costs(traffic.tokens, prices),
            target=target,
            labels=traffic_labels(traffic) if sliced else None,
        )
        return cls(traffic=traffic, scores=scores, scored=scored)

    @property
    def others(self) -> dict[str, FloatArray]:
        """Further scores to stand among the baselines, by name."""
        without_task = self.scores.without_task
        return {} if without_task is None else {"without_task": without_task}

    def under(self, rules: TaskRules, *, catch_rate: float | None) -> ScoredTraffic:
        """Return the table with the routes that rules give without the score."""
        fixed = self.fixed(rules, self.scores.outputs.get("familiarity"))
        return replace(self.scored, fixed=fixed, catch_rate=catch_rate)

    def under_policy(self, policy: Policy) -> ScoredTraffic:
        """Return the table as a policy routes it: its rules first, then its thresholds."""
        return replace(
            self.under(policy, catch_rate=catch_rate(policy.fallback)),
            threshold=policy.threshold,
            task_thresholds=policy.task_thresholds,
        )

    def fixed(
        self, rules: TaskRules, familiarity: NDArray[np.floating] | None = None
    ) -> FloatArray:
        """Return the route that the score does not change: 0 cheap, 1 frontier, NaN where the score
        decides; shape (n,). Without ``familiarity``, that rule decides nothing.
        """
        return fixed_routes(rules, self.traffic.tasks, self._rule_tokens(), familiarity)

    def decisions(self, policy: Policy) -> FloatArray:
        """Return 1 where a router with this policy sends the request to the frontier model, else 0:
        as :meth:`ScoredTraffic.routes`, with early exit, and requests that cannot be scored.
        """
        table, scores = self.under_policy(policy), self.scores
        sent, open_ = table.routes(policy), np.isnan(table.by_rule)
        if (early := exits(policy)) and scores.early:
            for row in np.flatnonzero(open_ & scores.readable):
                verdict = exit_early(
                    early, scores.early.with_task[row], with_task=bool(scores.knows_task[row])
                )
                if verdict and np.isfinite(scores.early.with_task[row]):
                    sent[row] = _FRONTIER[verdict.route]
        # Without text, rules are asked only where the request brings its own token count.
        uncounted = np.isnan(self.traffic.tokens.prompt)
        failed = ~scores.readable & (open_ | uncounted)
        return np.where(failed, _FRONTIER[policy.on_error], sent)

    def _rule_tokens(self) -> FloatArray:
        """Return the counts that the rule uses: the request's own where the traffic has one, else
        the tokenizer's.
        """
        own = self.traffic.tokens.prompt
        return np.where(np.isnan(own), self.scores.totals, own)


def serve(
    scorer: Scorer,
    traffic: Traffic,
    prices: Prices | None = None,
    *,
    target: Target,
    early: EarlyScorer | None = None,
    without_task: bool = False,
    sliced: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Served:
    """Score samples; parameters are those of :func:`score_traffic` and :meth:`Served.of`."""
    scores = score_traffic(
        scorer, traffic, without_task=without_task, early=early, progress=progress
    )
    return Served.of(traffic, scores, target=target, prices=prices, sliced=sliced)


def fixed_routes(
    rules: TaskRules,
    tasks: Sequence[str | None],
    tokens: FloatArray,
    familiarity: NDArray[np.floating] | None = None,
) -> FloatArray:
    """Return the route that the score does not change: 0 cheap, 1 frontier, NaN where the score
    decides; shape (n,).
    """
    verdicts = (
        before_scoring(rules, task=task, tokens=int(count))
        for task, count in zip(tasks, tokens, strict=True)
    )
    fixed = np.array(
        [_FRONTIER[verdict.route] if verdict else np.nan for verdict in verdicts], dtype=np.float64
    )
    if familiarity is None:
        return fixed
    return np.where(np.isnan(fixed) & (familiarity < rules.min_familiarity), 1.0, fixed)


def catch_rate(fallback: Fallback) -> float | None:
    """Return the share of failing answers that is caught; none where there is no fallback."""
    return fallback.catch_rate if fallback.on_validation_failure else 0.0


def judged_by(
    source: RunRecord | Manifest,
    *,
    scorer: Literal["run", "bundle"],
    name: str,
    policy: Policy | None,
    judged_data: str,
    judged: int,
    left_out: int,
    prices: Prices | None = None,
) -> dict[str, Any]:
    """Return what metrics.json holds as lineage.

    Parameters
    ----------
    source : RunRecord or Manifest
        Of the scorer.
    scorer : {"run", "bundle"}
    name : str
        Name of the run folder, or name and version of the bundle.
    policy : Policy or None
        By which requests were routed; None: no threshold is chosen yet.
    judged_data : str
        Hash of the traffic of which ``judged`` requests were judged and ``left_out`` were not.
    judged, left_out : int
    prices : Prices, optional
        By which cost was computed.
    """
    chosen, written = policy.chosen if policy else None, source.as_dict()
    return {
        "scorer": scorer,
        "name": name,
        "recipe": written["recipe"]["name"],
        "target": written["target"],
        "cheap_model": policy.cheap_model if policy else written["cheap_model"],
        "frontier_model": policy.frontier_model if policy else written["frontier_model"],
        "trained": written["created"],
        "training_data": written["training_data"],
        "libraries": written["libraries"],
        "objective": chosen.objective if chosen else None,
        "threshold_data": chosen.calibration_data if chosen else None,
        "threshold_requests": chosen.n if chosen else None,
        "review_date": policy.review_date.isoformat() if policy else None,
        "judged_data": judged_data,
        "judged": judged,
        "left_out": left_out,
        "judged_on": datetime.now(UTC).date().isoformat(),
        "judged_with": library_versions(),
        "prices_of": prices.date if prices else None,
    }
