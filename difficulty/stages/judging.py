"""Judging a scorer on traffic, the same for every step: the samples that it has not seen are taken
and weighted, scored on the path that requests take in serving, and laid out in the one table.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.answers.answer import Answer
from difficulty.bundle import Bundle, Manifest, Policy
from difficulty.bundle.policy import Fallback
from difficulty.economics import request_costs
from difficulty.errors import BundleError, ScoringError, TooFewSamplesError
from difficulty.evaluation import Evaluation, Target
from difficulty.evaluation.frontiers import MovedFacts
from difficulty.evaluation.scored import INELIGIBLE, ScoredTraffic, Thresholds
from difficulty.evaluation.slices import traffic_labels
from difficulty.form import read_json
from difficulty.metrics.arrays import FloatArray
from difficulty.model.combination import Scores
from difficulty.needs import Eligibility
from difficulty.needs.takers import Taking
from difficulty.recipe import LabelSettings
from difficulty.records import Prices
from difficulty.runtime.answer_checker import AnswerChecker
from difficulty.runtime.rule import TaskRules, before_scoring
from difficulty.runtime.scorer import EarlyScorer, Encoded, Scorer, exit_early, exits
from difficulty.stages.deploying.ineligible_rows import find_ineligible, name_rules
from difficulty.stages.overlap import BundleOverlap, overlap_of
from difficulty.traffic.logged import LoggedReport, weigh_logged
from difficulty.traffic.outcomes import measures_form, ungraded_notes
from difficulty.traffic.table import Tokenized, Traffic
from difficulty.training.reading import ReadCounts, Reading, reading_of
from difficulty.training.run import RunRecord, library_versions, notes_of

_CHUNK_ROWS = 8192
_MOST_WAITING = 3
_MOST_NAMED = 5


class EarlyScores(NamedTuple):
    """What the graph of early exit gives for n samples, arrays of shape (n,)."""

    with_task: NDArray[np.float64]
    without_task: NDArray[np.float64]
    """As if no task were known."""


class TrafficScores(NamedTuple):
    """What a bundle's scorer gives for n samples; arrays of shape (n,)."""

    outputs: dict[str, NDArray[np.floating]]
    totals: NDArray[np.int64]
    """Tokens of each request."""
    reading: Reading
    """What the scorer could not read of them."""
    readable: NDArray[np.bool_]
    """Whether there is text to score."""
    knows_task: NDArray[np.bool_]
    """Whether the scorer knows the task."""
    without_task: NDArray[np.float64] | None
    """``difficulty_score`` as if no task were known; ``None`` where not asked for or no task is
    known.
    """
    early: EarlyScores | None = None
    """``None`` where not asked for."""

    def instead(self, scores: Scores | None) -> TrafficScores:
        """Return the same with other scores of the samples, if there are any; familiarity stays."""
        return self if scores is None else self._replace(outputs=self.outputs | scores.by_name())

    def beside(self, answers: Mapping[str, NDArray[np.floating]] | None) -> TrafficScores:
        """Return the same with what a check says of the answers, if there are any."""
        if answers is None or np.isnan(answers["answer_score"]).all():
            return self
        return self._replace(outputs=self.outputs | dict(answers))


class _Part(NamedTuple):
    outputs: dict[str, NDArray[np.floating]]
    totals: NDArray[np.int64]
    counts: ReadCounts
    readable: NDArray[np.bool_]
    knows_task: NDArray[np.bool_]
    without_task: NDArray[np.float64] | None
    early: EarlyScores | None


def score_traffic(
    scorer: Scorer,
    traffic: Traffic,
    *,
    without_task: bool = False,
    early: EarlyScorer | None = None,
    progress: Callable[[int], None] | None = None,
) -> TrafficScores:
    """Score all samples; memory holds the text and the tokens of some thousand of them at a time.

    Parameters
    ----------
    scorer : Scorer
    traffic : Traffic
        n samples, at least one.
    without_task : bool
        Score them again as if no task were known.
    early : EarlyScorer, optional
        The graph of early exit, to be asked about every sample too.
    progress : callable, optional
        Called with the number of samples scored so far.
    """
    requests = zip(traffic.each_messages(), traffic.tasks, traffic.each_tools(), strict=True)
    parts: list[_Part] = []
    waiting: deque[Future[_Part]] = deque()
    # One thread scores, in order, while this one tokenizes.
    with ThreadPoolExecutor(max_workers=1) as pool:
        for encoded in _chunks(_encoded(scorer, *request) for request in requests):
            waiting.append(
                pool.submit(
                    _scored,
                    scorer,
                    encoded,
                    early,
                    without_task=without_task and bool(scorer.task_ids),
                )
            )
            # Tokenizing runs ahead of scoring by a few parts only, so that memory stays bounded.
            if len(waiting) > _MOST_WAITING:
                parts.append(waiting.popleft().result())
                if progress:
                    progress(len(parts) * _CHUNK_ROWS)
        parts += [part.result() for part in waiting]
    totals, readable, knows_task = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("totals", "readable", "knows_task")
    )
    without = [part.without_task for part in parts if part.without_task is not None]
    of_early = [part.early for part in parts if part.early]
    return TrafficScores(
        outputs={
            name: np.concatenate([part.outputs[name] for part in parts]) for name in scorer.outputs
        },
        totals=totals,
        reading=reading_of(ReadCounts.joined([part.counts for part in parts]), scorer.tokenizer),
        readable=readable,
        knows_task=knows_task,
        without_task=np.concatenate(without) if without else None,
        early=EarlyScores(*map(np.concatenate, zip(*of_early, strict=True))) if early else None,
    )


def tokens_of(encoded: Sequence[Encoded]) -> Tokenized:
    """Return encoded requests without the id that tells the task."""
    return Tokenized(
        [row.without_task for row in encoded],
        np.array([row.tokens for row in encoded], dtype=np.int64),
        [None] * len(encoded),
        np.array([row.estimated for row in encoded], dtype=bool),
        np.array([row.masked_share > 0 and not row.truncated for row in encoded], dtype=bool),
    )


def _scored(
    scorer: Scorer, encoded: Sequence[Encoded], early: EarlyScorer | None, *, without_task: bool
) -> _Part:
    outputs: dict[str, Any] = dict(scorer.score_many([row.ids for row in encoded]))
    tokens = tokens_of(encoded)
    knows_task = np.array([row.with_task for row in encoded], dtype=np.bool_)
    without = scorer.score_many(tokens.ids)["difficulty_score"] if without_task else None
    return _Part(
        outputs=outputs,
        totals=tokens.totals,
        counts=ReadCounts.of(tokens, scorer.tokenizer),
        readable=np.array([bool(row) for row in tokens.ids], dtype=np.bool_),
        knows_task=knows_task,
        without_task=None if without is None else without.astype(np.float64),
        early=_early(early, encoded, knows_task) if early else None,
    )


def _early(
    early: EarlyScorer, encoded: Sequence[Encoded], knows_task: NDArray[np.bool_]
) -> EarlyScores:
    # The first id is the task's where the scorer knows it; without it the task is not known.
    with_task = early.score_many([row.ids for row in encoded]).astype(np.float64)
    without_task, rows = with_task.copy(), np.flatnonzero(knows_task).tolist()
    without_task[rows] = early.score_many([encoded[row].ids[1:] for row in rows])
    return EarlyScores(with_task, without_task)


def _chunks(rows: Iterator[Encoded]) -> Iterator[list[Encoded]]:
    while chunk := list(islice(rows, _CHUNK_ROWS)):
        yield chunk


def _encoded(
    scorer: Scorer, messages: list[dict[str, str]], task: str | None, tools: list[Any] | None
) -> Encoded:
    """Return the token ids; none for text of which the tokenizer keeps nothing."""
    try:
        return scorer.encode(messages, task, tools)
    except ScoringError:
        # Such as a lone zero-width space.
        return Encoded([], 0)


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
            costs=request_costs(traffic.tokens, prices, traffic.bill, counted=scores.totals),
            target=target,
            labels=traffic_labels(traffic) if sliced else None,
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
                self.traffic, self.scores.totals, eligibility
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
        scorer, traffic, without_task=without_task, early=early, progress=progress
    )
    if checker:
        scores = scores.beside(check_answers(checker, traffic))
    return Served.of(traffic, scores, target=target, prices=prices, sliced=sliced)


def check_answers(checker: AnswerChecker, traffic: Traffic) -> dict[str, NDArray[np.floating]]:
    """Return what a check says of the cheap model's answers, arrays of shape (n,); NaN where there
    is none.
    """
    return dict(checker.score_many(*_answered(traffic), traffic.tasks))


def moved_facts(checker: AnswerChecker, served: Served, policy: Policy) -> MovedFacts | None:
    """Return how far the facts about the cheap model's answers are from those of the check's
    training, by the answers that a router checks under a policy; ``None`` where there are too few,
    or no limit.
    """
    facts = checker.graph.facts
    limit = checker.rule.stale_shift if checker.rule else facts.stale_shift
    table = served.under_policy(policy)
    asked, answers = _answered(served.traffic)
    if table.sent is not None:  # what is sent at once has no answer to check
        answers = [
            None if sent else answer for sent, answer in zip(table.sent, answers, strict=True)
        ]
    shift = checker.find_shift(asked, answers, served.traffic.tasks, table.p_cheap_fails)
    if shift is None or limit is None:
        return None
    return MovedFacts(
        share=shift.share,
        limit=limit,
        n_facts=shift.n_facts,
        n_answers=shift.n_answers,
        names=tuple(facts.facts[number].name for number in shift.moved[:_MOST_NAMED]),
    )


def _answered(traffic: Traffic) -> tuple[list[dict[str, Any]], list[Answer | None]]:
    """Return requests as bodies, and the cheap model's answers."""
    columns = (traffic.each_messages(), traffic.column("tools"))
    bodies = [
        {"messages": messages, "tools": tools} for messages, tools in zip(*columns, strict=True)
    ]
    answers = [
        None if text is None else Answer.parse(text) for text in traffic.column("cheap_answer")
    ]
    return bodies, answers


def fixed_routes(
    rules: TaskRules,
    tasks: Sequence[str | None],
    tokens: FloatArray,
    familiarity: NDArray[np.floating] | None = None,
) -> FloatArray:
    """Return the routes that the score does not change, as :meth:`Served.fixed` has them."""
    verdicts = (
        before_scoring(rules, task=task, tokens=int(count))
        for task, count in zip(tasks, tokens, strict=True)
    )
    fixed = np.array(
        [_FRONTIER[verdict.route] if verdict else np.nan for verdict in verdicts], dtype=np.float64
    )
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
