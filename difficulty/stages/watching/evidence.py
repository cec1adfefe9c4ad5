"""What new traffic says of a bundle before anything is moved: whether its calibrators and its
threshold still hold, whether retraining is due, and what cannot be known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from difficulty.bundle import Bundle, Policy
from difficulty.early_exit import unfit
from difficulty.errors import InvalidValueError, TooFewSamplesError
from difficulty.evaluation.measure import figures_of
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.form import Record
from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.metrics.bootstrap import Resampling
from difficulty.records import Estimate, OperatingPoint, Prices
from difficulty.runtime.answer_checker import AnswerChecker
from difficulty.runtime.scorer import EarlyScorer, Scorer
from difficulty.stages.choosing import beside_early_exit
from difficulty.stages.deploying.traffic_scores import TrafficScores
from difficulty.stages.judging import Served, is_by_forms, serve, shipped_figures
from difficulty.stages.thresholds import (
    UNLABELLED,
    early_budget,
    predicted_outcome,
    refuse_unlabelled,
    score_signal,
)
from difficulty.text import quantity_text
from difficulty.thresholds.point import operating_point
from difficulty.thresholds.policy_curve import Objective
from difficulty.thresholds.promises import refuse_blind
from difficulty.thresholds.ways import WayWanted
from difficulty.traffic.stored.tokenized import Tokenized
from difficulty.traffic.table import Traffic
from difficulty.training.reading import ReadCounts, reading_of
from difficulty.upkeep.disjoint import split_by_hash
from difficulty.upkeep.logit_map import LogitMap
from difficulty.upkeep.moving import (
    CalibratorTest,
    FigureTest,
    blind_part,
    check_calibrators,
    check_figures,
    known_target,
    ranking_lost,
    unfamiliar,
)

PER_TASK = " per task"
"""How the objective of thresholds of single tasks ends in a policy."""
_LEAST_HALF = 30
"""Requests of either half."""
_LEAST_FOR_SIGNAL = 200
"""Outcomes above which a score that chance equals is taken for one without a signal."""
_PROBABILITIES = ("difficulty_score", "p_cheap_fails", "p_frontier_fails", "p_answer_fails")
"""The last is of the check of answers, where the bundle has one and answers are known."""
_OF_ANSWERS = ("answer_score", "p_answer_fails")
_DECISIVE = {
    "share": ("frontier_share",),
    "cost": ("cost",),
    "quality": ("gap_recovered",),
    "mean_quality": ("quality",),
    "utility": ("quality", "cost"),
    "risk": ("risk",),
    "missed": ("gap_recovered", "risk"),
}
"""Figures that an objective is about; of others, all decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleCounts(Record):
    """What of the traffic was used for what, in requests."""

    given: int
    seen: int
    """Left out: the bundle was made from them."""
    first_half: int
    """Tested and fitted."""
    second_half: int
    labelled: int
    """Of both halves, with a known outcome of the cheap model or a known gain."""
    groups: int
    measured_by: dict[str, int]
    first: str | None
    last: str | None
    """Times of the oldest and the newest request, ISO 8601; ``None`` where none has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalibrated:
    """What new traffic says of a bundle, and the new version where something moved."""

    bundle: Bundle | None
    """``None``: nothing was written."""
    parent: Bundle
    objective: str
    reasons: tuple[str, ...]
    """Why something moves; where nothing was written, why not."""
    retraining: tuple[str, ...]
    """Why retraining is due; empty where it is not."""
    calibrators: tuple[CalibratorTest, ...]
    figures: tuple[FigureTest, ...]
    samples: SampleCounts
    old: OperatingPoint
    new: OperatingPoint | None = None
    changes: Mapping[str, Estimate] = field(default_factory=dict)
    """Each figure of the new point minus that of the old one, on the same requests."""
    brier: Mapping[str, Estimate] = field(default_factory=dict)
    """What the maps change of the Brier score, on requests that they were not fitted on."""
    notes: tuple[str, ...] = ()
    """What cannot be known, and what else a reviewer has to know."""
    warnings: tuple[str, ...] = ()

    @property
    def moved(self) -> bool:
        """Whether a new version was written."""
        return self.bundle is not None

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form, which is ``changes.json`` too."""
        return {
            "parent": {
                "bundle": self.parent.label,
                "digest": self.parent.digest,
                "manifest": self.parent.manifest.sha256,
            },
            "objective": self.objective,
            "reasons": list(self.reasons),
            "retraining": list(self.retraining),
            "calibrators": [test.as_dict() for test in self.calibrators],
            "figures": [test.as_dict() for test in self.figures],
            "samples": self.samples.as_dict(),
            "old": self.old.as_dict(),
            "new": None if self.new is None else self.new.as_dict(),
            "change": {name: each.as_dict() for name, each in self.changes.items()},
            "brier": {name: each.as_dict() for name, each in self.brier.items()},
            "notes": list(self.notes),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, kw_only=True)
class UpkeepCase:
    """A bundle and new traffic, before anything is decided.

    Attributes
    ----------
    old : Bundle
    scorer : Scorer
    early : EarlyScorer or None
    served : Served
        The traffic, with what the bundle gives for it.
    first, second : ndarray of int
        Rows that test and fit, and rows that judge or test the promise; they share no group.
    objective : Objective
    per_task : bool
    catch_rate : float or None
    answer : WayWanted
    prices : Prices or None
    resampling : Resampling
    seed : int
    logged : mapping of str to ndarray of shape (n,), or None
        What the bundle gave when it decided, where no texts were kept.
    """

    old: Bundle
    scorer: Scorer
    early: EarlyScorer | None
    served: Served
    first: IntArray
    second: IntArray
    objective: Objective
    per_task: bool
    catch_rate: float | None
    answer: WayWanted
    prices: Prices | None
    resampling: Resampling
    seed: int
    logged: Mapping[str, FloatArray] | None = None

    @classmethod
    def of(cls, old: Bundle, traffic: Traffic, *, choose_share: float, **choices: Any) -> Self:
        """Score traffic and halve it; the other parameters are attributes.

        Raises
        ------
        InvalidValueError
            If the share is none.
        TooFewSamplesError
            If a half has too few requests.
        """
        if not 0.0 < choose_share < 1.0:
            raise InvalidValueError("choose_share", choose_share, rule="be a share in (0, 1)")
        first, second = _halves(traffic, choose_share, choices["seed"])
        scorer, early = Scorer.from_bundle(old), EarlyScorer.from_bundle(old)
        prices, logged = choices["prices"], choices.get("logged")
        served = (
            _serve(old, scorer, traffic, early=early, prices=prices)
            if logged is None
            else _serve_logged(old, scorer, traffic, logged, prices=prices)
        )
        return cls(
            old=old,
            scorer=scorer,
            early=early,
            served=served,
            first=first,
            second=second,
            **choices,
        )

    def serve(self, bundle: Bundle, scorer: Scorer, maps: Mapping[str, LogitMap]) -> Served:
        """Return the same traffic with what a bundle with mapped outputs gives for it."""
        if self.logged is not None:
            # As a graph gives them, in float32.
            mapped = {
                name: maps[name](values).astype(np.float32).astype(np.float64)
                if name in maps
                else values
                for name, values in self.logged.items()
            }
            traffic = self.served.traffic
            return _serve_logged(bundle, scorer, traffic, mapped, prices=self.prices)
        return _serve(bundle, scorer, self.served.traffic, early=self.early, prices=self.prices)

    def table(self, served: Served, rows: IntArray | None = None) -> ScoredTraffic:
        """Return the requests under the rules, which a threshold is chosen or judged on."""
        policy = self.old.policy
        leaves = self.early is not None and not unfit(
            per_task=self.per_task, min_familiarity=policy.min_familiarity
        )
        data = served.under(
            policy,
            catch_rate=self.catch_rate,
            epsilon=policy.exploration.epsilon,
            early_budget=early_budget(self.old) if leaves else 0.0,
        )
        return data if rows is None else data.at(rows)

    @property
    def way(self) -> WayWanted:
        """What is wanted of the check of answers."""
        return beside_early_exit(self.answer, leaves=self.early is not None)

    @property
    def asked(self) -> str:
        """The objective as policies name it."""
        return f"{self.objective}{PER_TASK if self.per_task else ''}"


def _halves(traffic: Traffic, share: float, seed: int) -> tuple[IntArray, IntArray]:
    """Return the rows that test and fit, and those that judge or test the promise."""
    placed = split_by_hash(traffic, [share, 1.0 - share], seed=seed)
    first, second = (np.flatnonzero(placed.part == part) for part in (0, 1))
    if min(len(first), len(second)) < _LEAST_HALF:
        raise TooFewSamplesError(
            f"recalibrating needs at least {_LEAST_HALF} requests to test by and as many to judge"
            f" by, that share no group: got {len(first):,} and {len(second):,}. Pass more traffic."
        )
    return first, second


def _serve(
    bundle: Bundle,
    scorer: Scorer,
    traffic: Traffic,
    *,
    early: EarlyScorer | None,
    prices: Prices | None,
) -> Served:
    """Score traffic, and answers where the bundle checks some."""
    return serve(
        scorer,
        traffic,
        prices,
        target=bundle.manifest.target,
        # Cut-offs without a task are chosen on all requests, their tasks hidden.
        without_task=early is not None,
        early=early,
        checker=AnswerChecker.from_bundle(bundle, scorer),
    )


def _serve_logged(
    bundle: Bundle,
    scorer: Scorer,
    traffic: Traffic,
    outputs: Mapping[str, FloatArray],
    *,
    prices: Prices | None,
) -> Served:
    """Lay out what a log says of each request, as scoring would."""
    tasks, counts = traffic.tasks, traffic.tokens.prompt
    totals = np.where(np.isnan(counts), 0.0, counts).astype(np.int64)
    none = Tokenized([[]] * len(traffic), totals, tasks, np.zeros(len(traffic), dtype=bool))
    scores = TrafficScores(
        outputs=dict(outputs),
        totals=totals,
        reading=reading_of(ReadCounts.of(none, scorer.tokenizer), scorer.tokenizer),
        readable=np.ones(len(traffic), dtype=bool),
        knows_task=np.array([task in scorer.task_ids for task in tasks], dtype=bool),
        without_task=None,
    )
    # What a rule settled has no score, and none is asked for: any number will do.
    filled: dict[str, NDArray[np.floating]] = {
        name: values
        if name in ("answer_score", "p_answer_fails")
        else np.nan_to_num(values, nan=0.5)
        for name, values in outputs.items()
    }
    laid_out = Served.of(
        traffic, scores._replace(outputs=filled), target=bundle.manifest.target, prices=prices
    )
    return replace(laid_out, scores=scores)


def count_samples(given: Traffic, case: UpkeepCase) -> SampleCounts:
    """Return what of the traffic is used for what."""
    traffic, scored = case.served.traffic, case.served.scored
    outcomes = scored.outcomes
    times = [when for when in traffic.column("timestamp") if when is not None]
    known = ~(np.isnan(outcomes.cheap_quality) & np.isnan(outcomes.gain))
    return SampleCounts(
        given=len(given),
        seen=len(given) - len(traffic),
        first_half=len(case.first),
        second_half=len(case.second),
        labelled=int(known.sum()),
        groups=len(np.unique(scored.groups)),
        measured_by={name or "not said": n for name, n in outcomes.measures.items()},
        first=min(times).isoformat() if times else None,
        last=max(times).isoformat() if times else None,
    )


def find_evidence(
    case: UpkeepCase, *, samples: SampleCounts, warnings: tuple[str, ...]
) -> Recalibrated:
    """Test calibrators, figures and ranking; nothing is chosen yet."""
    old, served = case.old, case.served
    scored = served.scored
    unlabelled = bool(np.isnan(predicted_outcome(scored)).all())
    if unlabelled:
        refuse_unlabelled(case.objective)
    elif case.objective.promises:
        refuse_blind(scored.outcomes, case.objective)
    calibrators = _test_calibrators(case)
    before = operating_point(
        case.table(served, case.first),
        served.thresholds_of(old.policy),
        case.resampling,
        objective=old.policy.chosen.objective,
    )
    figures = check_figures(
        _expected(old.policy),
        {
            name: getattr(before, name, None) or Estimate(value=None)
            for name in _expected(old.policy)
        },
        decisive=_DECISIVE.get(case.objective.name, tuple(_expected(old.policy))),
    )
    reasons = [f"{test.output}: {test.reason}" for test in calibrators if test.moves]
    reasons += [_figure_reason(test) for test in figures if test.moves]
    return Recalibrated(
        bundle=None,
        parent=old,
        objective=case.asked,
        reasons=tuple(reasons),
        retraining=_retraining(case),
        calibrators=calibrators,
        figures=figures,
        samples=samples,
        old=before,
        notes=(UNLABELLED,) if unlabelled else (*_blind_notes(scored), *_measure_notes(case)),
        warnings=warnings,
    )


def _measure_notes(case: UpkeepCase) -> tuple[str, ...]:
    """Return what is to be said where outcomes are measured otherwise than the bundle's were."""
    new = {name or "" for name in case.served.scored.outcomes.measures}
    old = {*shipped_figures(case.old).measured_by}
    # Of what nobody named nothing can be said.
    if not new or not old or "" in new | old or new & old:
        return ()
    return (
        f"outcomes are measured by {', '.join(sorted(new))}, and the bundle's were by"
        f" {', '.join(sorted(old))}: what differs may be the measure",
    )


def _test_calibrators(case: UpkeepCase) -> tuple[CalibratorTest, ...]:
    """Test the outputs on the first half; one that is another's copy has its map."""
    outputs = {
        name: values.astype(np.float64)
        for name in _PROBABILITIES
        if (values := case.served.scores.outputs.get(name)) is not None
    }
    score, cheap = outputs["difficulty_score"], outputs["p_cheap_fails"]
    is_copy = case.old.manifest.target == "failure" and bool(np.array_equal(score, cheap))
    if is_copy:
        del outputs["difficulty_score"]
    tests = check_calibrators(
        {name: values[case.first] for name, values in outputs.items()},
        case.served.scored.at(case.first),
        forms=is_by_forms(case.old),
        seed=case.seed,
    )
    if not is_copy:
        return tests
    own = next(test for test in tests if test.output == "p_cheap_fails")
    return (replace(own, output="difficulty_score"), *tests)


def _expected(policy: Policy) -> dict[str, Estimate]:
    """Return what was expected of the threshold when it was chosen."""
    expected = {}
    for name, form in policy.chosen.expected.items():
        if isinstance(form, Mapping):
            value, low, high = (form.get(key) for key in ("value", "low", "high"))
            n = int(form.get("n") or 0)
            expected[name] = Estimate(value=value, low=low, high=high, n=n)
    return expected


def _figure_reason(test: FigureTest) -> str:
    name = test.figure.replace("_", " ")
    return (
        f"the threshold: {name} is {test.found.value:.4g}, and {test.expected.value:.4g} was"
        f" expected (difference {test.difference.value:+.3g}, {test.difference.low:+.3g} to"
        f" {test.difference.high:+.3g}, p = {test.p_value:.2g})"
    )


def _retraining(case: UpkeepCase) -> tuple[str, ...]:
    """Return why another map or threshold is not enough."""
    outputs = case.served.scores.outputs
    # Of a log without texts, what a rule settled was not scored.
    rows = np.flatnonzero(~np.isnan(outputs["difficulty_score"]))
    scored = case.served.scored.at(rows)
    sentences = []
    familiarity = outputs.get("familiarity")
    if familiarity is not None and (
        told := unfamiliar(familiarity.astype(np.float64), scored.groups)
    ):
        sentences.append(told)
    outcome = predicted_outcome(scored)
    known = int((~np.isnan(outcome)).sum())
    if known < _LEAST_FOR_SIGNAL:
        return tuple(sentences)
    if score_signal(scored).verdict == "none":
        sentences.append(
            f"on {quantity_text(known, 'outcome')} the score does no better than chance might"
        )
    shipped = shipped_figures(case.old).overall
    # Ranking is the same before and after, so that all requests may judge it.
    draws = case.resampling.affordable(len(scored)).of(scored.groups)
    found = figures_of(scored, draws)
    for name in ("auroc", "apgr"):
        if name in shipped and name in found:
            told = ranking_lost(shipped[name], found[name], name=name.upper())
            sentences += [told] if told else []
    return tuple(sentences)


def is_hopeless(case: UpkeepCase) -> bool:
    """Return whether the score has no signal, and the objective neither promises nor goes by
    scores alone.
    """
    outcome = predicted_outcome(case.served.scored)
    by_outcomes = not case.objective.promises and case.objective.name not in ("share", "cost")
    return (
        by_outcomes
        and int((~np.isnan(outcome)).sum()) >= _LEAST_FOR_SIGNAL
        and score_signal(case.served.scored).verdict == "none"
    )


def _blind_notes(scored: ScoredTraffic) -> tuple[str, ...]:
    """Return what no outcome says."""
    notes = []
    for model, output in (("cheap", "p_cheap_fails"), ("frontier", "p_frontier_fails")):
        target = known_target(output, scored)
        if np.isnan(target).all():
            continue
        share, lowest = blind_part(scored.difficulty_score, target, scored.outcomes.weight)
        if share > 0.0:
            notes.append(
                f"of {share:.0%} of the requests (scores from {lowest:.3f} on) hardly any outcome"
                f" of the {model} model is known: what it does there cannot be known from this"
                " traffic, and is extrapolated. Exploration or shadow calls would tell"
            )
    return tuple(notes)
