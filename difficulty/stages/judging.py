"""Judging a scorer on traffic, the same for every step: the samples that it has not seen are taken
and weighted, scored on the path that requests take in serving, and laid out in the one table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.bundle import Bundle, Manifest, Policy
from difficulty.bundle.policy import Fallback
from difficulty.economics import request_costs
from difficulty.errors import BundleError, DifficultyError, TooFewSamplesError
from difficulty.evaluation import Evaluation, Target, TaskMeans
from difficulty.evaluation.frontiers import MovedFacts
from difficulty.evaluation.scored import INELIGIBLE, ScoredTraffic, Thresholds
from difficulty.form import read_json
from difficulty.metrics.arrays import FloatArray
from difficulty.needs import Eligibility
from difficulty.needs.takers import Taking
from difficulty.recipe import LabelSettings
from difficulty.records import Prices
from difficulty.runtime.answer_checker import AnswerChecker, looked_at
from difficulty.runtime.rule import TaskRules, before_scoring
from difficulty.runtime.scorer import EarlyScorer, Scorer, exit_early, exits
from difficulty.stages.deploying.ineligible_rows import find_ineligible, name_rules
from difficulty.stages.deploying.traffic_scores import TrafficScores, answered_rows, score_traffic
from difficulty.stages.overlap import BundleOverlap, overlap_of
from difficulty.traffic.logged import LoggedReport, weigh_logged
from difficulty.traffic.outcomes import measures_form, ungraded_notes
from difficulty.traffic.table import Traffic
from difficulty.training.run import RunRecord, library_versions, notes_of

TASK_GAINS = "task_gains"
"""Entry of a shipped bundle's lineage: the mean gain of each task of the fit samples."""
_MOST_NAMED = 5
_FRONTIER = {"cheap": 0.0, "frontier": 1.0}


class Picked(NamedTuple):
    """The samples of a traffic file that a bundle is judged by."""

    traffic: Traffic
    """Logged outcomes weighted."""
    overlap: BundleOverlap
    """Which samples of the file the bundle has seen."""
    logged: LoggedReport | None
    ungraded: tuple[str, ...] = ()
    """What is to be said of answers of which checks of the form are all that is known."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of the outcomes and their weights."""
        return (*self.ungraded, *notes_of(self.logged))


def pick_unseen(bundle: Bundle, traffic: Traffic, *, needs: str) -> Picked:
    """Return what the bundle has not seen: of the traffic of its training the test split, of other
    traffic all that its ``seen.bin`` does not name.

    Raises
    ------
    TooFewSamplesError
        If nothing is left; ``needs`` begins the sentence: "evaluation needs samples".
    """
    overlap = overlap_of(bundle, traffic)
    refuse_none(len(traffic) - overlap.left_out, len(traffic), needs=needs)
    unseen, ungraded = without_forms(traffic.select(~overlap.seen), bundle)
    picked, logged = weighed(unseen, label_settings(bundle))
    return Picked(picked, overlap, logged, ungraded)


def without_forms(traffic: Traffic, bundle: Bundle) -> tuple[Traffic, tuple[str, ...]]:
    """Return traffic in which checks of the form alone say nothing, where some answers were graded
    and the bundle's probabilities are of grades, and what is to be said of it.
    """
    if is_by_forms(bundle):
        return traffic, ()
    usable, n = traffic.without_forms()
    return usable, ungraded_notes(n)


def is_by_forms(bundle: Bundle) -> bool:
    """Return whether the bundle's probabilities are of checks of the form, alone or beside a few
    grades: then such outcomes test them, and else they do not. Training leaves them out where
    there are grades enough, so what it was measured by says which it was.
    """
    return any(map(measures_form, shipped_figures(bundle).measured_by))


def refuse_none(n: int, n_all: int, *, needs: str) -> None:
    """Refuse to judge by no samples."""
    if not n:
        raise TooFewSamplesError(
            f"{needs} that training did not see: all {n_all:,} were seen. Pass other traffic."
        )


def label_settings(bundle: Bundle) -> LabelSettings:
    """Return the label settings of the recipe that a bundle was trained by; bundles from before
    there were any have the defaults.
    """
    return LabelSettings.parse(bundle.manifest.recipe.get("labels", {}))


def shipped_figures(bundle: Bundle) -> Evaluation:
    """Return the figures that a bundle was shipped with.

    Raises
    ------
    BundleError
        If its ``metrics.json`` holds something else.
    """
    try:
        return Evaluation.from_dict(read_json(bundle.files["metrics.json"]))
    # Whatever may be wrong with a file that anyone may have written.
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise BundleError(
            f"metrics.json of bundle {bundle.label} holds no figures ({error!r:.120}). Ship the"
            " bundle again."
        ) from error


def shipped_means(bundle: Bundle) -> TaskMeans | None:
    """Return the means of the fit samples by task, a plain way to route; bundles of before have
    none.
    """
    written = shipped_figures(bundle).lineage.get(TASK_GAINS)
    try:
        return TaskMeans.parse(written) if isinstance(written, dict) else None
    except (DifficultyError, ValueError):  # a plain way less to stand beside
        return None


def weighed(traffic: Traffic, settings: LabelSettings) -> tuple[Traffic, LoggedReport | None]:
    """Return logged traffic weighted, with what the weights rest on; what an unknown policy
    selected is judged as it is, and the report says so.
    """
    return weigh_logged(traffic, replace(settings, accept_selection_bias=True))


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
    _ineligible: dict[Eligibility | None, dict[int, Taking]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @classmethod
    def of(
        cls, traffic: Traffic, scores: TrafficScores, *, target: Target, prices: Prices | None
    ) -> Served:
        """Lay scores out beside outcomes and costs."""
        scored = ScoredTraffic.of(
            traffic,
            scores.outputs,
            scores.totals,
            costs=request_costs(traffic.tokens, prices, traffic.bill, counted=scores.totals),
            target=target,
            labels=scores.labels,
        )
        return cls(traffic=traffic, scores=scores, scored=scored)

    @property
    def others(self) -> dict[str, FloatArray]:
        """Further scores to stand among the baselines, by name."""
        without_task = self.scores.without_task
        return {} if without_task is None else {"without_task": without_task}

    def under(
        self,
        rules: TaskRules,
        *,
        catch_rate: float | None,
        epsilon: float = 0.0,
        early_budget: float = 0.0,
    ) -> ScoredTraffic:
        """Return the table with the routes that rules give without the score; ``epsilon`` is the
        share that exploration sends the other way, ``early_budget`` what early exit may change.
        """
        fixed = self.fixed(rules, self.scores.outputs.get("familiarity"))
        # What a task's rule decides is never explored; an unfamiliar request is.
        open_ = np.isnan(self.fixed(rules))
        return replace(
            self.scored,
            fixed=fixed,
            catch_rate=catch_rate,
            exchanged=np.where(open_, epsilon, 0.0) if epsilon else None,
            early_budget=early_budget,
        )

    def under_policy(self, policy: Policy, *, is_stale: bool = False) -> ScoredTraffic:
        """Return the table as a policy routes it: its rules first, then its thresholds. Without a
        single answer to check, or where the check is stale, as a router does whose check cannot
        count.
        """
        table = self.under(policy, catch_rate=catch_rate(policy.fallback))
        table = table.unchecked if is_stale else table.under(policy)
        cuts = self.thresholds_of(policy, is_stale=is_stale)
        table = replace(table, threshold=cuts.threshold, task_thresholds=cuts.task_thresholds)
        ineligible = self.find_ineligible(policy.eligibility)
        if not ineligible:
            return table
        rules = name_rules(ineligible, len(table))
        return replace(table, labels={**table.labels, INELIGIBLE: rules})

    def thresholds_of(self, policy: Policy, *, is_stale: bool = False) -> Thresholds:
        """Return the thresholds by which a policy routes this table: without a single answer to
        check, or where the check is stale, those of a router whose check cannot count.
        """
        check, threshold = policy.answer, policy.threshold
        if check and (is_stale or self.scored.answer_score is None):
            alone, check = check.request_threshold, None
            threshold = threshold if alone is None else alone
        return Thresholds(threshold, policy.task_thresholds, check)

    def fixed(
        self, rules: TaskRules, familiarity: NDArray[np.floating] | None = None
    ) -> FloatArray:
        """Return the route that the score does not change: 0 cheap, 1 frontier, NaN where the score
        decides; shape (n,). Without ``familiarity``, that rule decides nothing.
        """
        fixed = fixed_routes(rules, self.traffic.tasks, self.rule_tokens(), familiarity)
        # What one model cannot take goes to the other before any rule by task.
        for row, taking in self.find_ineligible(getattr(rules, "eligibility", None)).items():
            fixed[row] = _FRONTIER[taking.route or "frontier"]
        return fixed

    def find_ineligible(self, eligibility: Eligibility | None) -> dict[int, Taking]:
        """Return the rows that not both models can take, and why."""
        if eligibility not in self._ineligible:
            self._ineligible[eligibility] = find_ineligible(
                self.traffic, self.scores.totals, eligibility, self.scores.chars
            )
        return self._ineligible[eligibility]

    def decisions(self, policy: Policy) -> FloatArray:
        """Return 1 where a router with this policy sends the request to the frontier model, else 0:
        as :meth:`ScoredTraffic.routes`, with early exit, and requests that cannot be scored.
        """
        table, scores = self.under_policy(policy), self.scores
        sent, open_ = table.sent, np.isnan(table.by_rule)
        assert sent is not None
        if (early := exits(policy)) and scores.early:
            for row in np.flatnonzero(open_ & scores.readable):
                verdict = exit_early(
                    early, scores.early.with_task[row], with_task=bool(scores.knows_task[row])
                )
                # A score that is no number leaves the request to the scorer (docs/bundle.md).
                if verdict and np.isfinite(scores.early.with_task[row]):
                    sent[row] = _FRONTIER[verdict.route]
        # Without text, rules are asked only where the request brings its own token count.
        uncounted = np.isnan(self.traffic.tokens.prompt)
        failed = ~scores.readable & (open_ | uncounted)
        failed[list(self.find_ineligible(policy.eligibility))] = False
        return np.where(failed, _FRONTIER[policy.on_error], sent)

    def rule_tokens(self) -> FloatArray:
        """Return the counts that the rule uses: the request's own, else the tokenizer's."""
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
    checker: AnswerChecker | None = None,
    progress: Callable[[int], None] | None = None,
) -> Served:
    """Score samples, and answers where there are some and something that checks them; the other
    parameters are those of :func:`score_traffic` and :meth:`Served.of`.
    """
    scores = score_traffic(
        scorer,
        traffic,
        without_task=without_task,
        early=early,
        checker=checker,
        sliced=sliced,
        progress=progress,
    )
    return Served.of(traffic, scores, target=target, prices=prices)


def moved_facts(checker: AnswerChecker, served: Served, policy: Policy) -> MovedFacts | None:
    """Return how far the facts about the cheap model's answers are from those of the check's
    training, by the answers that a router checks under a policy; ``None`` where there are too few,
    or no limit.
    """
    facts = checker.graph.facts
    limit = checker.rule.stale_shift if checker.rule else facts.stale_shift
    table = served.under_policy(policy)
    known = served.traffic.known("cheap_answer")
    if table.sent is not None:  # what is sent at once has no answer to check
        known &= table.sent == 0.0
    rows = looked_at(np.flatnonzero(known))
    picked = served.traffic.select(rows)
    said = None if table.p_cheap_fails is None else table.p_cheap_fails[rows]
    shift = checker.find_shift(*answered_rows(picked), picked.tasks, said)
    if shift is None or limit is None:
        return None
    return MovedFacts(
        share=shift.share,
        limit=limit,
        n_facts=shift.n_facts,
        n_answers=shift.n_answers,
        names=tuple(facts.facts[number].name for number in shift.moved[:_MOST_NAMED]),
    )


def fixed_routes(
    rules: TaskRules,
    tasks: Sequence[str | None],
    tokens: FloatArray,
    familiarity: NDArray[np.floating] | None = None,
) -> FloatArray:
    """Return the routes that the score does not change, as :meth:`Served.fixed` has them."""
    named = {*rules.easy_tasks, *rules.hard_tasks}
    fixed = np.full(len(tasks), np.nan)
    for row in np.flatnonzero([task in named for task in tasks]).tolist():
        if verdict := before_scoring(rules, task=tasks[row], tokens=int(tokens[row])):
            fixed[row] = _FRONTIER[verdict.route]
    if familiarity is None:
        return fixed
    # Familiarity comes after the rules by task (docs/bundle.md, The rule).
    return np.where(np.isnan(fixed) & (familiarity < (rules.min_familiarity or 0.0)), 1.0, fixed)


def catch_rate(fallback: Fallback) -> float | None:
    """Return the share of failing answers that is caught; none where there is no fallback."""
    # Without a fallback it is known that nothing is caught: 0, not None.
    return fallback.catch_rate if fallback.on_validation_failure else 0.0


def lineage_of(
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
    # The JSON forms, as a manifest's recipe may be that of another version.
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
