"""The table of scored requests: what a score said, what is known of both models, and where a policy
sends each request.

Everything that judges a score or chooses a threshold reads this one table: objectives, operating
points, evaluation, promotion and economics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import InvalidValueError, TooFewSamplesError
from difficulty.metrics.arrays import FloatArray, IntArray, column, probabilities
from difficulty.metrics.coded_names import codes_of, look_up
from difficulty.metrics.routing import Kept, kept_with_fallback
from difficulty.traffic.outcomes import Outcomes
from difficulty.traffic.table import Traffic

Target = Literal["benefit", "failure"]
OnUnknown = Literal["pass", "escalate"]
_FAMILIARITY_EDGES = (0.05, 0.2, 0.5)


class Thresholded(Protocol):
    """A policy, an operating point, or whatever else says above which score requests are sent."""

    @property
    def threshold(self) -> float:
        """Requests with a score above it go to the frontier model."""

    @property
    def task_thresholds(self) -> Mapping[str, float]:
        """Thresholds of single tasks, in place of ``threshold``."""

    @property
    def answer(self) -> Escalates | None:
        """What is sent on after the cheap model answered; None: answers are not checked."""


class Escalates(Protocol):
    """Where a check sends answers on."""

    @property
    def threshold(self) -> float:
        """Answers with a score above it are sent on."""

    @property
    def kind(self) -> Literal["check", "both"]:
        """Whether the request's score sends something at once too."""

    @property
    def request_threshold(self) -> float | None:
        """Threshold of the request's score where no check can count."""

    @property
    def on_unknown(self) -> OnUnknown:
        """What becomes of an answer that was not checked."""


class Thresholds(NamedTuple):
    """The least that routes requests."""

    threshold: float
    task_thresholds: Mapping[str, float] = {}
    answer: Escalates | None = None


INELIGIBLE = "ineligible"
"""Kind of slice: the rule by which one of the models cannot take a request."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredTraffic:
    """Scores of n requests with their outcomes.

    Attributes
    ----------
    difficulty_score : ndarray of shape (n,)
        Higher = more worth the frontier model.
    outcomes : Outcomes
        What is known of both models, with the weights; NaN where unknown.
    groups : ndarray of shape (n,)
        Requests of one group are resampled together.
    tasks : sequence of n str or None
    cheap_cost, frontier_cost : ndarray of shape (n,)
        What one answer of each model costs, in USD; NaN where unknown.
    fixed : ndarray of shape (n,) or None
        Route that the policy gives without a score: 0 cheap, 1 frontier, NaN where the score
        decides. None: the score decides all.
    catch_rate : float or None
        Share of the cheap model's failures that validation catches, after which the frontier model
        answers; None: not known, and figures are those without a fallback.
    exchanged : ndarray of shape (n,) or None
        Probability that exploration takes the other route than the one that the policy names; None:
        there is no exploration.
    early_budget : float
        Largest share of the decisions by score that early exit may change; 0: there is none.
    target : {"benefit", "failure"}
        What the score predicts; decides what "needed the frontier model" means.
    threshold : float or None
        What the score is compared with where the traffic is judged; None: not chosen yet.
    task_thresholds : mapping of str to float
        Thresholds of single tasks, in place of ``threshold``.
    p_cheap_fails, p_frontier_fails : ndarray of shape (n,) or None
        Calibrated probability that a model fails, where the scorer gives it.
    answer_score, p_answer_fails : ndarray of shape (n,) or None
        What the check says of the cheap model's answer: how much it is worth sending on, and how
        probable it is that it fails; NaN where there is no answer. None: there is no check.
    answer_threshold : float or None
        Kept requests whose answer has a higher score are sent on; None: answers are not checked.
    on_unknown : {"pass", "escalate"}
        What becomes of a kept request whose answer was not checked.
    n_tokens : ndarray of shape (n,) or None
        Length of each request.
    labels : mapping of str to sequence of n str or None
        Further kinds of slices (script, source, model pair, ...): a name for each request.
    """

    difficulty_score: FloatArray
    outcomes: Outcomes
    groups: NDArray[np.str_] | IntArray
    tasks: Sequence[str | None]
    cheap_cost: FloatArray
    frontier_cost: FloatArray
    fixed: FloatArray | None = None
    catch_rate: float | None = None
    exchanged: FloatArray | None = None
    early_budget: float = 0.0
    target: Target = "benefit"
    threshold: float | None = None
    task_thresholds: Mapping[str, float] = field(default_factory=dict)
    p_cheap_fails: FloatArray | None = None
    p_frontier_fails: FloatArray | None = None
    answer_score: FloatArray | None = None
    p_answer_fails: FloatArray | None = None
    answer_threshold: float | None = None
    on_unknown: OnUnknown = "pass"
    n_tokens: IntArray | None = None
    labels: Mapping[str, Sequence[str | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.outcomes)
        if not n:
            raise TooFewSamplesError(
                "choosing a threshold needs scored samples: got none. Add calibration samples."
            )
        column("difficulty_score", self.difficulty_score, n=n)
        for name in ("p_cheap_fails", "p_frontier_fails"):
            if (values := getattr(self, name)) is not None:
                probabilities(name, values, n=n)
        self._check_answers()
        columns = {
            name: getattr(self, name)
            for name in (
                "groups",
                "tasks",
                "n_tokens",
                "cheap_cost",
                "frontier_cost",
                "fixed",
                "exchanged",
                "answer_score",
                "p_answer_fails",
            )
        } | {f"labels[{name!r}]": values for name, values in self.labels.items()}
        for name, values in columns.items():
            if values is not None and len(values) != n:
                raise InvalidValueError(
                    name, f"{len(values):,}", rule=f"have one entry for each of the {n:,} requests"
                )
        if self.target not in get_args(Target):
            raise InvalidValueError("target", self.target, rule="be 'benefit' or 'failure'")
        cuts = {f"task_thresholds[{name!r}]": cut for name, cut in self.task_thresholds.items()}
        own = {"threshold": self.threshold, "answer_threshold": self.answer_threshold}
        for name, cut in {**own, **cuts}.items():
            if cut is not None and not 0.0 <= cut <= 1.0:
                raise InvalidValueError(name, cut, rule="be a probability in [0, 1]")

    def _check_answers(self) -> None:
        """Refuse scores of answers that are none, and a threshold without any."""
        for name in ("answer_score", "p_answer_fails"):
            values = getattr(self, name)
            if values is not None and (known := values[~np.isnan(values)]).size:
                probabilities(name, known)
        if self.answer_threshold is not None and self.answer_score is None:
            raise InvalidValueError(
                "answer_threshold",
                self.answer_threshold,
                rule="stand beside scores of the answers",
                hint="Pass answer_score.",
            )

    @classmethod
    def of(
        cls,
        traffic: Traffic,
        outputs: Mapping[str, NDArray[np.floating]],
        n_tokens: NDArray[np.int64],
        *,
        costs: tuple[FloatArray, FloatArray],
        target: Target,
        labels: Mapping[str, Sequence[str | None]] | None = None,
    ) -> ScoredTraffic:
        """Return labelled traffic with what a scorer gave for it, before any policy.

        Parameters
        ----------
        traffic : Traffic
            n requests.
        outputs : mapping of str to ndarray of shape (n,)
            By the names that models and scorers use.
        n_tokens : ndarray of shape (n,)
        costs : pair of ndarray of shape (n,)
            Of the cheap and the frontier model, NaN where unknown.
        target : {"benefit", "failure"}
        labels : mapping of str to sequence of n str or None, optional
            Kinds of slices; bands of familiarity are added where the scorer gives that.
        """
        # Graphs give float32; sums over thousands of weighted draws want more digits.
        wide = {name: values.astype(np.float64) for name, values in outputs.items()}
        familiarity = outputs.get("familiarity")
        bands = {} if familiarity is None else {"familiarity": _bands(familiarity)}
        return cls(
            difficulty_score=wide["difficulty_score"],
            p_cheap_fails=wide["p_cheap_fails"],
            p_frontier_fails=wide.get("p_frontier_fails"),
            answer_score=wide.get("answer_score"),
            p_answer_fails=wide.get("p_answer_fails"),
            outcomes=traffic.outcomes.without_votes(),
            groups=codes_of(traffic.split_groups),
            tasks=traffic.tasks,
            n_tokens=n_tokens,
            cheap_cost=costs[0],
            frontier_cost=costs[1],
            target=target,
            labels={**(labels or {}), **bands},
        )

    def __len__(self) -> int:
        return len(self.outcomes)

    @cached_property
    def needed(self) -> FloatArray:
        """1 where the request needed the frontier model, else 0; NaN where that is unknown.

        For the target ``benefit``: the frontier model did better. For ``failure``: the cheap model
        failed (quality below 1/2).
        """
        if self.target == "benefit":
            return _above(self.outcomes.gain, 0.0)
        return _above(self.outcomes.cheap_failure, 0.5)

    @cached_property
    def kept(self) -> Kept:
        """What to expect of each request if it is kept on the cheap model at first, the check of
        its answer and the fallback included.
        """
        outcomes = self.outcomes
        return kept_with_fallback(
            outcomes.cheap_quality,
            outcomes.frontier_quality,
            self.cheap_cost,
            self.frontier_cost,
            catch_rate=self.catch_rate,
            escalated=self.escalated,
        )

    @cached_property
    def escalated(self) -> FloatArray | None:
        """1 for each request that the check sends on if it is kept at first, else 0; ties stay
        cheap. None where answers are not checked.
        """
        if self.answer_threshold is None or self.answer_score is None:
            return None
        unknown = 1.0 if self.on_unknown == "escalate" else 0.0
        above = (self.answer_score > self.answer_threshold).astype(np.float64)
        return np.where(np.isnan(self.answer_score), unknown, above)

    @property
    def unchecked(self) -> ScoredTraffic:
        """The same requests with no answer checked."""
        return self if self.answer_threshold is None else replace(self, answer_threshold=None)

    def under(self, policy: Thresholded) -> ScoredTraffic:
        """Return the same requests with their answers checked as a policy says; not at all where
        nothing is known of answers.
        """
        if policy.answer is None or self.answer_score is None:
            return self.unchecked
        return replace(
            self, answer_threshold=policy.answer.threshold, on_unknown=policy.answer.on_unknown
        )

    @property
    def all_escalated(self) -> ScoredTraffic:
        """The same requests with every kept one sent on."""
        return replace(self, answer_score=np.ones(len(self)), answer_threshold=0.0)

    @property
    def failures(self) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Probability and outcome of each model's failure, by the name of the probability."""
        outcomes = self.outcomes
        pairs = {
            "p_cheap_fails": (self.p_cheap_fails, outcomes.cheap_failure),
            "p_frontier_fails": (self.p_frontier_fails, outcomes.frontier_failure),
        }
        return {name: (p, failure) for name, (p, failure) in pairs.items() if p is not None}

    @cached_property
    def by_rule(self) -> FloatArray:
        """``fixed``, NaN throughout where there is none."""
        return np.full(len(self), np.nan) if self.fixed is None else self.fixed

    @property
    def settled(self) -> FloatArray:
        """Route that does not move with ``threshold``: that of a rule, else by the task's own
        threshold; NaN elsewhere.
        """
        # A task's own threshold stays where it is while the common one moves.
        own = self.cuts(Thresholds(np.nan, self.task_thresholds))
        by_own = np.where(np.isnan(own), np.nan, (self.difficulty_score > own).astype(np.float64))
        return np.where(np.isnan(self.by_rule), by_own, self.by_rule)

    @property
    def sent(self) -> FloatArray | None:
        """Routes at the own threshold; None where it is not chosen yet."""
        if self.threshold is None:
            return None
        return self.routes(Thresholds(self.threshold, self.task_thresholds))

    @property
    def ends_frontier(self) -> FloatArray | None:
        """1 where the frontier model's answer is what the user gets by both thresholds, else 0;
        None where no threshold is chosen yet.
        """
        sent = self.sent
        return sent if sent is None else sent + (1.0 - sent) * self.kept.escalated

    def routes(self, policy: Thresholded) -> FloatArray:
        """Return 1 for each request that goes to the frontier model at once, else 0; ties stay
        cheap.
        """
        above = (self.difficulty_score > self.cuts(policy)).astype(np.float64)
        return np.where(np.isnan(self.by_rule), above, self.by_rule)

    def cuts(self, policy: Thresholded) -> FloatArray:
        """Return the threshold of each request: its task's, where that has its own."""
        if not policy.task_thresholds:
            return np.full(len(self), policy.threshold)
        cuts = policy.task_thresholds
        return look_up(self.tasks, lambda task: cuts.get(task or "", policy.threshold), np.float64)

    def at(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> ScoredTraffic:
        """Return some requests."""
        picked: dict[str, Any] = {
            each.name: values[rows]
            for each in fields(self)
            # By type, so that a column that is added is picked as well.
            if isinstance(values := getattr(self, each.name), np.ndarray | Outcomes)
        }
        labels = {
            kind: np.array(names, dtype=object)[rows].tolist()
            for kind, names in {**self.labels, "": self.tasks}.items()
        }
        return replace(self, tasks=labels.pop(""), labels=labels, **picked)

    def weighted(self, factor: FloatArray) -> ScoredTraffic:
        """Return the requests with weights times ``factor``, of shape (n,) and above 0."""
        outcomes = self.outcomes
        # Shares count requests by a weight of their own: both weights take the factor.
        requests = None if outcomes.request_weight is None else outcomes.request_weight * factor
        return replace(
            self,
            outcomes=replace(outcomes, weight=outcomes.weight * factor, request_weight=requests),
        )


def _above(values: FloatArray, bound: float) -> FloatArray:
    """Return 1 above the bound and 0 elsewhere, NaN staying NaN."""
    return np.where(np.isnan(values), np.nan, (values > bound).astype(np.float64))


def _bands(familiarity: NDArray[np.floating]) -> list[str | None]:
    """Return the band of each request, the least familiar first by name."""
    edges = (0.0, *_FAMILIARITY_EDGES, 1.0)
    names = [f"{low:.2f}-{high:.2f}" for low, high in zip(edges, edges[1:], strict=False)]
    return [names[place] for place in np.searchsorted(_FAMILIARITY_EDGES, familiarity, "right")]
