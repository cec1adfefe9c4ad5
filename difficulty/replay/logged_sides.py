"""What a decision log says of both sides of each request, and how probable it was to be said.

A side's outcome is what the user gets if the request takes that route. Of the frontier route that
is the frontier model's answer. Of the cheap route it is the cheap answer, or the frontier model's
where validation refused the cheap one or the learned check sent it on: so a fallback's answer tells
of the cheap route, and nothing of what the frontier model does on other requests.

An outcome comes to be known in one of two ways.

- The request took the route, and what was done about the cheap answer is what the other rule would
  have done: probability of the route times that of the escalation, times the share of such
  requests whose outcome was told at all.
- It took the other route, and a shadow call showed this one: with both answers known any rule can
  be replayed. Shadow calls are drawn by chance, so their probability is counted: the share of the
  requests of the other route that had one.

Labels that are missing are taken to be missing by chance given route, fallback and score: their
share is counted in five bins of the score. Whether that holds, no log can tell.

References
----------
Robins, Rotnitzky and Zhao (1994), "Estimation of regression coefficients when some regressors are
not always observed" (chances of being seen that multiply); Little and Rubin (2019), "Statistical
analysis with missing data" (missing at random).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.metrics.arrays import FloatArray, IntArray

BoolArray = NDArray[np.bool_]
COLUMNS = (
    "id",
    "route",
    "policy_route",
    "reason",
    "difficulty_score",
    "propensity",
    "fallback",
    "group",
    "task",
    "tokens",
    "threshold",
    "p_cheap_fails",
    "p_frontier_fails",
    "cost_usd",
    "cheap_cost_usd",
    "frontier_cost_usd",
    "cheap_role",
    "frontier_role",
    "cheap_passed",
    "answer_score",
    "policy_escalates",
    "escalated",
    "escalation_propensity",
    "cheap_quality",
    "frontier_quality",
    "bundle_version",
    "held_on",
    "day",
)
"""Columns of a decision log that replay reads."""
BINS = 5
_LEAST_IN_BIN = 50
"""Requests of a bin below which the share of all bins is taken, of the same kind of answer."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LoggedRequests:
    """Requests whose route and its propensity are known, arrays of shape (n,).

    Attributes
    ----------
    sent : ndarray of bool
        Whether the frontier route was taken.
    p_sent : ndarray of float
        Probability with which it was.
    rule_sent : ndarray of bool
        Whether the logged rule named it.
    refused : ndarray of bool
        Whether the cheap answer was replaced whatever a check said: validation, a call that failed.
    checked : ndarray of bool
        Whether the learned check had a say on the cheap answer.
    answer_score : ndarray of float
        What it said; NaN where nothing.
    rule_escalates, escalated : ndarray of bool
        What the check's rule named, and what was done.
    p_escalation : ndarray of float
        Probability of what was done; 1 where there was no check.
    cheap_shadow, frontier_shadow : ndarray of bool
        Whether the side was called unseen.
    cheap_quality, frontier_quality : ndarray of float
        Of the models' answers, NaN where not known.
    cost, cheap_cost, frontier_cost : ndarray of float
        USD of all calls but shadow ones, and of each side's call; NaN where not known.
    score, tokens : ndarray of float
    groups : ndarray of shape (n,)
        Of codes from 0.
    """

    sent: BoolArray
    p_sent: FloatArray
    rule_sent: BoolArray
    refused: BoolArray
    checked: BoolArray
    answer_score: FloatArray
    rule_escalates: BoolArray
    escalated: BoolArray
    p_escalation: FloatArray
    cheap_shadow: BoolArray
    frontier_shadow: BoolArray
    cheap_quality: FloatArray
    frontier_quality: FloatArray
    cost: FloatArray
    cheap_cost: FloatArray
    frontier_cost: FloatArray
    score: FloatArray
    tokens: FloatArray
    groups: IntArray

    def __len__(self) -> int:
        return len(self.sent)

    @classmethod
    def of(cls, columns: Mapping[str, NDArray[Any]], *, falls_back: bool = True) -> LoggedRequests:
        """Read the columns of a decision log, every propensity known.

        Parameters
        ----------
        columns : mapping of str to ndarray of shape (n,)
            Those of ``COLUMNS``.
        falls_back : bool
            Whether an answer that validation refuses is replaced: of shadow answers, on which
            nothing was done, that says what would have been.
        """
        sent = columns["route"] == "frontier"
        propensity = columns["propensity"]
        cheap_shadow = columns["cheap_role"] == "shadow"
        checked = ~np.isnan(columns["policy_escalates"])
        escalated = checked & (columns["escalated"] == 1.0)
        was_replaced = np.array([cause is not None for cause in columns["fallback"]], dtype=bool)
        would_be = cheap_shadow & (columns["cheap_passed"] == 0.0) & falls_back
        doubt = columns["escalation_propensity"]
        return cls(
            sent=sent,
            p_sent=np.where(sent, propensity, 1.0 - propensity),
            rule_sent=columns["policy_route"] == "frontier",
            # An escalation is a fallback by name too, but the check's and not the validators'.
            refused=np.where(sent, would_be, was_replaced & ~escalated),
            checked=checked,
            answer_score=columns["answer_score"],
            rule_escalates=checked & (columns["policy_escalates"] == 1.0),
            escalated=escalated,
            p_escalation=np.where(checked & ~np.isnan(doubt), doubt, 1.0),
            cheap_shadow=cheap_shadow,
            frontier_shadow=columns["frontier_role"] == "shadow",
            cheap_quality=columns["cheap_quality"],
            frontier_quality=columns["frontier_quality"],
            cost=columns["cost_usd"],
            cheap_cost=columns["cheap_cost_usd"],
            frontier_cost=columns["frontier_cost_usd"],
            score=columns["difficulty_score"],
            tokens=columns["tokens"],
            groups=group_numbers(columns["group"]),
        )

    def at(self, rows: NDArray[np.intp] | BoolArray) -> LoggedRequests:
        """Return some requests."""
        return LoggedRequests(
            **{each.name: getattr(self, each.name)[rows] for each in fields(self)}
        )

    def rechecked(self, answer_score: FloatArray) -> LoggedRequests:
        """Return the same with what another check says of the cheap answers, NaN where there was
        none to check; what was done about them stays.
        """
        return replace(
            self, answer_score=answer_score, checked=self.checked | ~np.isnan(answer_score)
        )

    def escalations(self, answer_threshold: float | None) -> BoolArray:
        """Return where a check with another threshold sends the answer on; ``None``: with the
        logged one.
        """
        if answer_threshold is None:
            return self.rule_escalates
        # What could not be checked goes on as the logged rule said.
        above = self.answer_score > answer_threshold
        return np.where(self.checked & ~np.isnan(self.answer_score), above, self.rule_escalates)


@dataclass(frozen=True, kw_only=True, eq=False)
class SeenOutcomes:
    """What is known of one outcome of the two sides: arrays of shape (n, 2), cheap and frontier."""

    value: FloatArray
    """NaN where not known."""
    chance: FloatArray
    """Probability that it came to be known."""


def routes(log: LoggedRequests, answer_threshold: float | None = None) -> SeenOutcomes:
    """Return how probable it was that a side was seen at all, whatever is told of its outcome; the
    value is 0 where it was.
    """
    none = np.zeros(len(log))
    second = log.refused | log.escalations(answer_threshold)
    both = log.sent | log.frontier_shadow | log.refused | log.escalated
    return _seen(log, np.where(second & ~both, np.nan, 0.0), none, answer_threshold)


def qualities(log: LoggedRequests, answer_threshold: float | None = None) -> SeenOutcomes:
    """Return the quality of what the user gets on either route."""
    second = log.refused | log.escalations(answer_threshold)
    cheap = np.where(second, log.frontier_quality, log.cheap_quality)
    return _seen(log, cheap, log.frontier_quality, answer_threshold)


def failures(log: LoggedRequests, answer_threshold: float | None = None) -> SeenOutcomes:
    """Return whether a failure of the cheap model reaches the user on the cheap route; of the
    frontier route nothing is asked.
    """
    second = log.refused | log.escalations(answer_threshold)
    cheap = np.where(second, 0.0, 1.0 - log.cheap_quality)
    if np.isnan(cheap[~second]).all():
        # Answers that were caught fail nobody: alone they would say that nothing does.
        cheap = np.full(len(log), np.nan)
    cheap = np.where(log.sent & ~log.cheap_shadow, np.nan, cheap)
    if np.isnan(cheap[~second]).all():
        # Replaced answers harm nobody; where nothing is told of the others, nothing is known.
        cheap = np.full(len(log), np.nan)
    return _seen(log, cheap, np.full(len(log), np.nan), answer_threshold)


def fallbacks(log: LoggedRequests, answer_threshold: float | None = None) -> SeenOutcomes:
    """Return whether the frontier model is called after the cheap one: never on its own route."""
    second = (log.refused | log.escalations(answer_threshold)).astype(np.float64)
    # Of a frontier request without a shadow call nobody knows what would have become of the other.
    second = np.where(log.sent & ~log.cheap_shadow, np.nan, second)
    seen = _seen(log, second, np.zeros(len(log)), answer_threshold)
    # On the frontier route it is known of every request.
    none = np.zeros(len(log))
    return SeenOutcomes(
        value=np.stack([seen.value[:, 0], none], axis=1),
        chance=np.stack([seen.chance[:, 0], np.ones(len(log))], axis=1),
    )


def costs(log: LoggedRequests, answer_threshold: float | None = None) -> SeenOutcomes:
    """Return what all calls of either route cost, in USD."""
    second = log.refused | log.escalations(answer_threshold)
    both = log.cheap_cost + log.frontier_cost
    cheap = np.where(second, both, log.cheap_cost)
    # As it was billed, where what was done is what is asked about: a timeout has no cost of its
    # own.
    as_billed = ~log.sent & ~np.isnan(log.cost) & _as_asked(log, answer_threshold)
    cheap = np.where(as_billed, log.cost, cheap)
    frontier = np.where(log.sent & ~np.isnan(log.cost), log.cost, log.frontier_cost)
    return _seen(log, cheap, frontier, answer_threshold)


def _seen(
    log: LoggedRequests, cheap: FloatArray, frontier: FloatArray, answer_threshold: float | None
) -> SeenOutcomes:
    """Return outcomes where they may count, with their chances.

    Parameters
    ----------
    cheap, frontier : ndarray of shape (n,)
        The outcome of a route, were it known; NaN where it is not.
    """
    as_asked = _as_asked(log, answer_threshold)
    doubt = np.where(log.refused | log.sent, 1.0, log.p_escalation)
    bins = _bins(log.score)
    sides = (
        _side(
            cheap,
            own=~log.sent,
            counts=as_asked,
            p_own=1.0 - log.p_sent,
            doubt=doubt,
            shadow=log.cheap_shadow & log.sent,
            strata=(bins, log.refused | log.escalated),
        ),
        _side(
            frontier,
            own=log.sent,
            counts=np.ones(len(log), dtype=bool),
            p_own=log.p_sent,
            doubt=np.ones(len(log)),
            shadow=log.frontier_shadow & ~log.sent,
            strata=(bins, np.zeros(len(log), dtype=bool)),
        ),
    )
    return SeenOutcomes(
        value=np.stack([value for value, _ in sides], axis=1),
        chance=np.stack([chance for _, chance in sides], axis=1),
    )


def _as_asked(log: LoggedRequests, answer_threshold: float | None) -> BoolArray:
    """Return whether what was done about a cheap answer is what the other rule does."""
    return np.asarray(log.refused | (log.escalated == log.escalations(answer_threshold)))


def _side(
    outcome: FloatArray,
    *,
    own: BoolArray,
    counts: BoolArray,
    p_own: FloatArray,
    doubt: FloatArray,
    shadow: BoolArray,
    strata: tuple[IntArray, BoolArray],
) -> tuple[FloatArray, FloatArray]:
    """Return the outcomes of one side that count, and the chance of each to be known.

    Parameters
    ----------
    own : ndarray of bool
        Requests that took the side's route.
    counts : ndarray of bool
        Whether what was done about the answer there is what is asked about.
    p_own : ndarray of float
        Probability of the route.
    doubt : ndarray of float
        Probability of what was done about the answer.
    shadow : ndarray of bool
        Requests of the other route that show this side.
    strata : pair of ndarray
        Bin of the score, and whether the answer was replaced, within which labels are missing by
        chance.
    """
    known = ~np.isnan(outcome)
    told = _rates(known, own & counts, strata)
    called = float(shadow[~own].mean()) if (~own).any() else 0.0
    # Shadow answers that are kept have an outcome only where somebody judged them.
    told_shadow = _rates(known, shadow, strata, least=1)
    # A shadow call, or a label of an answer that nobody saw, tells what was not done.
    otherwise = own & ~counts
    told_otherwise = _rates(known, otherwise, strata)
    done = np.where(counts, doubt, 1.0 - doubt)
    # Of requests on the other route nobody knows the answer, nor what it would have led to. Where
    # what is asked about is never seen with some answers, theirs may be such.
    always = own.any() and bool(((done > 0.0) | (told_otherwise > 0.0))[own].all())
    done = np.where(own, done, float(done[own].mean()) if always else 0.0)
    seen_here = done * told + (1.0 - done) * told_otherwise * (own | always)
    chance = p_own * seen_here + (1.0 - p_own) * called * told_shadow
    value = np.where(known & (own | shadow), outcome, np.nan)
    return value, np.clip(chance, 0.0, 1.0)


def _rates(
    known: BoolArray,
    among: BoolArray,
    strata: tuple[IntArray, BoolArray],
    *,
    least: int = _LEAST_IN_BIN,
) -> FloatArray:
    """Return for each request the share of outcomes that are known among requests like it.

    Parameters
    ----------
    least : int
        Answers of a kind from which on "none was told" is taken for what it says: the outcome has
        no support. Of fewer the share of all answers stands in.
    """
    if not among.any():
        return np.zeros(len(known))
    whole = float(known[among].mean())
    if whole in (0.0, 1.0):
        return np.full(len(known), whole)
    bins, replaced = strata
    cell = 2 * bins + replaced
    size = np.bincount(cell[among], minlength=2 * (BINS + 1)).reshape(-1, 2)
    told = np.bincount(cell[among & known], minlength=2 * (BINS + 1)).reshape(-1, 2)
    # Never those of the other kind: that a replaced answer harmed nobody is known of each, that a
    # kept one did only of those with an outcome.
    of_kind, told_of_kind = size.sum(axis=0), told.sum(axis=0)
    sure = (told_of_kind > 0) | (of_kind >= least)
    pooled = np.where(sure, told_of_kind / np.maximum(of_kind, 1), whole)
    rate = np.where(size >= _LEAST_IN_BIN, told / np.maximum(size, 1), pooled).ravel()
    # A bin of which nothing was told at all says nothing of itself: the outcome has no support.
    return np.asarray(rate[cell], dtype=np.float64)


def _bins(score: FloatArray) -> IntArray:
    """Return the fifth of the scores that each request is in; unknown scores have a bin of their
    own.
    """
    known = ~np.isnan(score)
    if not known.any():
        return np.zeros(len(score), dtype=np.intp)
    edges = np.quantile(score[known], np.arange(1, BINS) / BINS)
    return np.where(known, np.searchsorted(edges, np.where(known, score, 0.0)), BINS)


def group_numbers(names: NDArray[Any]) -> IntArray:
    """Return a number from 0 for each group, shape (n,); a request without one is its own."""
    numbers: dict[str, int] = {}
    codes = np.empty(len(names), dtype=np.intp)
    following = 0
    for row, name in enumerate(names.tolist()):
        code = following if name is None else numbers.setdefault(name, following)
        codes[row] = code
        following += code == following
    return codes
