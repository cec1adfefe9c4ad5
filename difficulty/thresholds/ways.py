"""Choosing between the ways to use a check of the cheap model's answer: the request's score alone,
the check alone, or both; and the thresholds of the one that is taken.

Ways are compared by what they cost at the quality that the objective asks for, on samples whose
scores and answers were judged by models that did not see them, at the user's own prices. A check
has to save something, and two thresholds clearly more than one: what a simpler policy does as well,
it does with fewer assumptions. A promise is tested for two ways at once, the request's score alone
and the check alone, each with half of its ``delta``; so the way may be chosen by cost on the same
samples, and the promise holds where the check has to be left out too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

import numpy as np

from difficulty.errors import InvalidValueError, NotAttainableError, UndefinedMetricError
from difficulty.evaluation.frontiers import (
    AT_ONCE,
    CHEAP_CALL,
    LEAST_ANSWERS,
    CheckKind,
    Frontiers,
    at_once_cuts,
)
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.records import AnswerPoint
from difficulty.text import quantity_text
from difficulty.thresholds import OBJECTIVES
from difficulty.thresholds.policy_curve import Choice, Objective, PolicyCurve

AnswerOption = Literal["auto", "off", "check", "both"]
CLEAR: Final = 0.05
"""Share of the cost that two thresholds have to save against one."""
WORTH: Final = 0.02
"""Share of the cost that a check has to save: the wait for two answers stands in no bill."""
_PROMISED_AT_ONCE = AT_ONCE[1]
"""Share sent at once where a promise is asked of both: none may be sought on the samples."""
TAKEN: Final[Mapping[CheckKind, str]] = {
    "request": "answers are not checked",
    "check": "every answer of the cheap model is checked",
    "both": "what scores highest is sent at once, the answers to the rest are checked",
}
"""How the sentence begins that says which way was taken."""


class WayWanted(NamedTuple):
    """What the user says of the check of answers."""

    way: AnswerOption = "auto"
    """``auto`` chooses by cost; the others say which way is taken."""
    wait_usd: float = 0.0
    """What a user's wait for a second answer costs beside its call, in USD; counts where ways are
    compared in money.
    """


BY_COST: Final = WayWanted()


class Way(NamedTuple):
    """The way that is taken, with its thresholds."""

    kind: CheckKind
    choice: Choice
    """Of the threshold that was sought last: that of the request's score for ``request``, else that
    of the answers.
    """
    threshold: float
    """Of the request's score."""
    answer: AnswerPoint | None
    said: str
    """Which way was taken, and why."""


def choose_way(traffic: ScoredTraffic, objective: Objective, wanted: WayWanted = BY_COST) -> Way:
    """Return the way and the thresholds that meet an objective.

    Parameters
    ----------
    traffic : ScoredTraffic
        With scores of answers.
    objective : Objective
    wanted : WayWanted

    Raises
    ------
    InvalidValueError
        If a check is asked for, and too few answers were checked to choose its threshold.
    NotAttainableError
        If no threshold of a way that may be taken meets the objective.
    """
    option, plain, answered = wanted.way, traffic.unchecked, _answered(traffic)
    frontiers = None
    if option != "off" and answered is not None:
        frontiers = Frontiers.of(answered, wait_usd=wanted.wait_usd)
    if answered is None or frontiers is None:
        if option in ("check", "both"):
            raise _refusal(traffic, option)
        choice = objective.find(PolicyCurve.of(plain))
        return Way("request", choice, choice.threshold, None, _why_uncompared(traffic, option))
    search = _Search(plain, answered, frontiers, objective, option)
    return search.promised() if objective.promises else search.cheapest()


@dataclass(frozen=True, eq=False)
class _Search:
    """An objective, and the samples that it is sought on."""

    plain: ScoredTraffic
    """All samples, no answer checked."""
    answered: ScoredTraffic
    """Those whose answers were checked."""
    frontiers: Frontiers
    objective: Objective
    option: AnswerOption

    def cheapest(self) -> Way:
        """Return the way that costs least at the quality that the objective asks for."""
        request = _tried(self.objective, PolicyCurve.of(self.plain))
        level = self._level(request)
        saved = {kind: self._saved(kind, level) for kind in ("check", "both")}
        best = self._kind(level, saved["check"])
        # What one way cannot reach, such as a cost below that of two calls, another may.
        kinds = dict.fromkeys((best, *(("request", "check") if self.option == "auto" else ())))
        tried = {kind: request if kind == "request" else self._found(kind, level) for kind in kinds}
        for kind, found in tried.items():
            if isinstance(found, Choice):
                said = f"{_taken(kind, self.option)}. {self._compared(level, saved)}"
                return self._way(kind, found, request, level, said)
        raise next(error for error in tried.values() if isinstance(error, Exception))

    def promised(self) -> Way:
        """Return the way whose promised point costs least; each is tested with half of delta."""
        # An objective of another package names its own confidence, so it is asked for one way.
        tried = self.option != "auto" or self.objective.name in OBJECTIVES
        beside = 2 if tried else 1
        curve = replace(PolicyCurve.of(self.plain), beside=beside)
        request = _tried(self.objective, curve)
        kind: CheckKind = "both" if self.option == "both" else "check"
        found = self._found(kind, 0.0, beside=beside) if tried else request
        if self.option != "auto":
            if isinstance(found, Exception):
                raise found
            return self._way(kind, found, request, 0.0, _taken(kind, self.option))
        costs = self._cost_of("request", request), self._cost_of("check", found)
        cheaper = tried and costs[1] < (1.0 - WORTH) * costs[0]
        kind, chosen = ("check", found) if cheaper else ("request", request)
        if isinstance(chosen, Exception):
            if isinstance(found, NotAttainableError) and tried:
                raise NotAttainableError(f"{chosen} By the check of answers alone: {found}")
            raise chosen
        saved = 1.0 - costs[1] / costs[0] if np.isfinite(costs).all() else np.inf
        said = f"{_taken(kind, self.option)}. {_promised_words(saved, found, tried=tried)}"
        return self._way(kind, chosen, request, 0.0, said)

    def _kind(self, level: float, saved: float) -> CheckKind:
        if self.option in ("check", "both"):
            return self.option
        simple: CheckKind = "check" if saved > WORTH else "request"
        more = (
            self._saved("both", level, against=simple),
            self.frontiers.clearly_both(level, against=simple),
        )
        # NaN: cannot be told, so it is not clear.
        return "both" if min(more) > CLEAR else simple

    def _saved(self, kind: CheckKind, level: float, *, against: CheckKind = "request") -> float:
        """Return the share of the cost that a way saves against another."""
        if self.objective.name != "utility":
            return self.frontiers.saved(kind, level, against=against)
        (own, _), (other, spent) = (
            self.frontiers.best_utility(name, self.objective.value) for name in (kind, against)
        )
        return (own - other) / spent if spent > 0.0 else float("nan")

    def _found(self, kind: CheckKind, level: float, *, beside: int = 1) -> Choice | Exception:
        """Return what the objective finds on the answers' score, or why it finds nothing."""
        # Early exit has no part where answers are checked.
        answered = replace(self.answered, early_budget=0.0)
        curve = PolicyCurve.over_answers(answered, at_once=self._at_once(kind, level))
        return _tried(self.objective, replace(curve, beside=beside))

    def _at_once(self, kind: CheckKind, level: float) -> float:
        """Return the threshold of the request's score above which nothing waits for an answer."""
        if kind == "check":
            return 1.0
        if not self.objective.promises:
            return self.frontiers.best_cut(level)
        # By the scores alone, so that no outcome has a part in it.
        cuts = at_once_cuts(self.answered)
        return cuts[AT_ONCE.index(_PROMISED_AT_ONCE)] if len(cuts) == len(AT_ONCE) else 1.0

    def _way(
        self, kind: CheckKind, found: Choice, request: Choice | Exception, level: float, said: str
    ) -> Way:
        if kind == "request":
            return Way(kind, found, found.threshold, None, said)
        # Where not even the request's score alone would do: all is sent, or for a cost nothing.
        last = 1.0 if self.objective.name == "cost" else 0.0
        alone = request.threshold if isinstance(request, Choice) else last
        point = AnswerPoint(threshold=found.threshold, kind=kind, request_threshold=alone)
        unchecked = len(self.plain) - len(self.answered)
        if unchecked:
            text = (
                f"the check's threshold was chosen on the {len(self.answered):,} samples whose"
                f" answers were checked; the answers to the other {unchecked:,} are like these"
            )
            found = found._replace(assumed=(*found.assumed, text))
        return Way(kind, found, self._at_once(kind, level), point, said)

    def _level(self, request: Choice | Exception) -> float:
        """Return the share of the quality gap at which ways are compared."""
        if self.objective.name == "quality":
            return self.objective.value
        if isinstance(request, Exception):
            return _USUAL
        sweep = self.frontiers.sweeps["request"][0]
        at = max(0, int((sweep.thresholds >= request.threshold).sum()) - 1)
        return float(sweep.figure("gap_recovered")[at])

    def _cost_of(self, kind: CheckKind, found: Choice | Exception) -> float:
        """Return what a promised point costs; infinite where there is none, or where sending
        everything at once costs no more.
        """
        if isinstance(found, Exception):
            return float("inf")
        sweep = self.frontiers.sweeps[kind][0]
        at = max(0, int((sweep.thresholds >= found.threshold).sum()) - 1)
        cost = float(sweep.figure("cost")[at])
        everything = float(self.frontiers.sweeps["request"][0].figure("cost")[-1])
        return float("inf") if kind == "check" and cost >= everything else cost

    def _compared(self, level: float, saved: Mapping[str, float]) -> str:
        wait = self.frontiers.wait_usd
        unit = (
            "at these prices" + (f", {wait:g} USD for the wait" if wait else "")
            if self.frontiers.in_usd
            else f"a call of the cheap model counted as {CHEAP_CALL:g} of a frontier call, as"
            " prices or token counts are missing"
        )
        assumed = (
            ", the frontier model taken to be right throughout"
            if self.frontiers.frontier_assumed
            else ""
        )
        if self.objective.name == "utility":
            check, both = _gain(saved["check"]), _gain(saved["both"], "gain", "lose")
            return (
                f"Against the request's score alone the check alone {check}, and score and check"
                f" together {both} ({unit}{assumed})"
            )
        alone = "the request's score alone"
        return (
            f"For {100.0 * level:.0f} % of the quality gap the check alone"
            f" {_difference(saved['check'], alone)}, and score and check"
            f" together {_difference(saved['both'], verb='cost')} ({unit}{assumed})"
        )


_USUAL = 0.8
"""Share of the gap at which ways are compared where the request's score cannot meet an objective.
"""


def _answered(traffic: ScoredTraffic) -> ScoredTraffic | None:
    if traffic.answer_score is None:
        return None
    known = ~np.isnan(traffic.answer_score)
    if not known.any():
        return None
    plain = traffic.unchecked
    return plain if known.all() else plain.at(known)


def _tried(objective: Objective, curve: PolicyCurve) -> Choice | Exception:
    """Return what an objective finds, or the reason why it finds nothing."""
    try:
        return objective.find(curve)
    except (NotAttainableError, UndefinedMetricError) as error:
        return error


def _taken(kind: CheckKind, option: AnswerOption) -> str:
    return f"{TAKEN[kind]}, as asked" if option != "auto" else TAKEN[kind]


def _difference(saved: float, other: str = "", *, verb: str = "costs") -> str:
    """Return what a way costs, against ``other`` where that is not said yet."""
    if np.isnan(saved):
        return f"cannot be compared{f' with {other}' if other else ''}"
    text = f"{verb} {100.0 * abs(saved):.0f} % {'less' if saved >= 0.0 else 'more'}"
    return f"{text} than {other}" if other else text


def _gain(share: float, gains: str = "gains", loses: str = "loses") -> str:
    if np.isnan(share):
        return "cannot be compared"
    return f"{gains if share >= 0.0 else loses} {100.0 * abs(share):.0f} % of its cost"


def _promised_words(saved: float, found: Choice | Exception, *, tried: bool) -> str:
    if not tried:
        return "A promise of this objective is tested for one way alone"
    if isinstance(found, Exception):
        return "The promise cannot be shown of the check alone"
    if not np.isfinite(saved):
        return "The promise cannot be shown of the request's score alone"
    compared = _difference(saved, "the request's score alone")
    return f"With the promise kept, the check alone {compared}"


def _refusal(traffic: ScoredTraffic, option: AnswerOption) -> InvalidValueError:
    """Return why a check that was asked for cannot be chosen, and what to add."""
    checked, known = _counts(traffic)
    if known >= LEAST_ANSWERS:
        hint = "It gains nothing on these, or too few have costs: pass --answer off."
    elif checked >= LEAST_ANSWERS:
        hint = "Add outcomes of both models to the traffic, or pass --answer off."
    elif checked:
        hint = (
            "Add traffic with cheap_answer (after train only the calibration split chooses), or"
            " pass --answer off."
        )
    else:
        hint = "Add cheap_answer to the traffic, or pass --answer off."
    return InvalidValueError(
        "answer",
        option,
        rule=f"have {LEAST_ANSWERS} samples to choose on whose answers were checked and whose"
        " outcomes are known, on which the frontier model gains something; of"
        f" {quantity_text(len(traffic), 'sample')} {checked:,} have a checked answer, {known:,}"
        " of them with known"
        " outcomes",
        hint=hint,
    )


def _counts(traffic: ScoredTraffic) -> tuple[int, int]:
    """Return how many samples have a checked answer, and how many of them known outcomes."""
    if traffic.answer_score is None:
        return 0, 0
    checked = ~np.isnan(traffic.answer_score)
    gain = traffic.outcomes.gain
    # As ``Frontiers.of``: without a single frontier outcome that model is taken to be right.
    known = ~np.isnan(traffic.outcomes.cheap_quality if np.isnan(gain).all() else gain)
    return int(checked.sum()), int((checked & known).sum())


def _why_uncompared(traffic: ScoredTraffic, option: AnswerOption) -> str:
    if option == "off" or traffic.answer_score is None:
        return ""
    checked, known = _counts(traffic)
    return (
        f"answers are not checked. {quantity_text(checked, 'sample has', 'samples have')} a"
        f" checked answer, {known:,} of them"
        f" known outcomes; {LEAST_ANSWERS} with both, on which the frontier model gains something,"
        " are needed to compare"
    )
