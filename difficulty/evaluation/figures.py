"""The figures of a routing, each a named formula: a ratio that is linear in who is sent.

A figure is a function of :class:`~difficulty.evaluation.scored.ScoredTraffic` that returns its
:class:`Columns`, and a line in ``FIGURES``; another package adds one through the entry point group
``difficulty.figures``. Objectives, operating points, evaluation, promotion and economics read this
one table, so a figure that is added is there for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from difficulty.evaluation.scored import INELIGIBLE, ScoredTraffic
from difficulty.metrics.arrays import FloatArray, IntArray, Ratio
from difficulty.plugins import known_names, resolve

Pair = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """One figure: what each request adds to its numerator and denominator, 0 where it takes no
    part.

    Attributes
    ----------
    kept, sent : pair of ndarray of shape (n,)
        Numerator and denominator when the request is kept, and when it is sent.
    counted : ndarray of shape (n,) or None
        Requests that stand behind the figure whatever their route; None: those whose denominator is
        not 0.
    """

    kept: Pair
    sent: Pair
    counted: FloatArray | None = None

    @classmethod
    def of(
        cls,
        *,
        known: FloatArray,
        kept: tuple[FloatArray | float, FloatArray | float],
        sent: tuple[FloatArray | float, FloatArray | float],
        counted: bool = False,
    ) -> Columns:
        """Build from columns that may be NaN; a request takes part where ``known`` is not NaN."""
        takes_part = ~np.isnan(known)
        above, below, above_sent, below_sent = (
            np.where(takes_part, values, 0.0) for values in (*kept, *sent)
        )
        behind = takes_part.astype(np.float64) if counted else None
        return cls((above, below), (above_sent, below_sent), behind)

    def at(self, sent: FloatArray, rows: IntArray) -> Ratio:
        """Return the figure over ``rows`` for ``sent`` of shape (n_rows,): the probability of the
        frontier route, NaN to leave out.
        """
        part = np.nan_to_num(sent)
        numerator, denominator = (
            np.where(np.isnan(sent), 0.0, (1.0 - part) * kept[rows] + part * moved[rows])
            for kept, moved in zip(self.kept, self.sent, strict=True)
        )
        behind = denominator if self.counted is None else self.counted[rows] * ~np.isnan(sent)
        return Ratio(numerator, denominator, int(np.count_nonzero(behind)))


def routing_precision(scored: ScoredTraffic) -> Columns:
    """Share of the sent requests that needed the frontier model; those that the check sends on are
    sent too.
    """
    needed, on = scored.needed, scored.kept.escalated
    return Columns.of(known=needed, kept=(on * needed, on), sent=(needed, 1.0))


def routing_recall(scored: ScoredTraffic) -> Columns:
    """Share of the requests that needed the frontier model which are sent to it."""
    needed = scored.needed
    kept = scored.kept.escalated * needed
    return Columns.of(known=needed, kept=(kept, needed), sent=(needed, needed))


def cheap_route_precision(scored: ScoredTraffic) -> Columns:
    """Share of the kept requests that did not need the frontier model."""
    needed, stays = scored.needed, 1.0 - scored.kept.escalated
    return Columns.of(known=needed, kept=(stays * (1.0 - needed), stays), sent=(0.0, 0.0))


def cheap_route_recall(scored: ScoredTraffic) -> Columns:
    """Share of the requests that did not need the frontier model which are kept."""
    easy, stays = 1.0 - scored.needed, 1.0 - scored.kept.escalated
    return Columns.of(known=easy, kept=(stays * easy, easy), sent=(0.0, easy))


def risk(scored: ScoredTraffic) -> Columns:
    """Share of the requests kept in the end that the cheap model fails without being caught.

    It differs from 1 - :func:`cheap_route_precision` by the requests that both models fail: those
    are at risk wherever they go.
    """
    failure, stays = scored.kept.failure, 1.0 - scored.kept.escalated
    return Columns.of(known=failure, kept=(stays * failure, stays), sent=(0.0, 0.0))


def ineligible_share(scored: ScoredTraffic) -> Columns:
    """Share of the requests that not both models can take, so that no score decides them."""
    requests = scored.outcomes.per_request
    rules = scored.labels.get(INELIGIBLE) or [None] * len(scored)
    taken = requests * np.array([rule is not None for rule in rules], dtype=np.float64)
    return Columns.of(known=requests, kept=(taken, requests), sent=(taken, requests))


def frontier_share(scored: ScoredTraffic) -> Columns:
    """Share of the requests that are sent, at once or after the check of their answer; fallbacks
    are no part of it.
    """
    # Logged outcomes are weighted by inverse propensities; how many requests there are is not.
    requests = scored.outcomes.per_request
    kept = scored.kept.escalated * requests
    return Columns.of(known=requests, kept=(kept, requests), sent=(requests, requests))


def escalated_share(scored: ScoredTraffic) -> Columns:
    """Share of the requests that are kept at first and sent on by the check of their answer: the
    part of :func:`frontier_share` that pays for both models.
    """
    requests = scored.outcomes.per_request
    known = requests if scored.escalated is not None else np.full(len(scored), np.nan)
    kept = scored.kept.escalated * requests
    return Columns.of(known=known, kept=(kept, requests), sent=(0.0, requests))


def fallback_share(scored: ScoredTraffic) -> Columns:
    """Share of the requests that are kept, caught failing, and answered by the frontier model."""
    caught, requests = scored.kept.caught, scored.outcomes.per_request
    return Columns.of(known=caught, kept=(caught * requests, requests), sent=(0.0, requests))


def quality(scored: ScoredTraffic) -> Columns:
    """Mean quality of the answers, in the label source's unit."""
    kept, frontier = scored.kept.quality, scored.outcomes.frontier_quality
    return Columns.of(known=kept + frontier, kept=(kept, 1.0), sent=(frontier, 1.0))


def gap_recovered(scored: ScoredTraffic) -> Columns:
    """Share of the gap between cheap and frontier quality that routing recovers (PGR)."""
    gain, kept = scored.outcomes.gain, scored.kept
    # A gain may be known by a vote, without qualities: then nothing says what would be caught.
    caught = 0.0 if scored.catch_rate is None else kept.caught
    regained = gain * np.where(kept.escalated > 0.0, 1.0, caught)
    return Columns.of(known=regained, kept=(regained, gain), sent=(gain, gain), counted=True)


def cost(scored: ScoredTraffic) -> Columns:
    """USD per 1,000 requests."""
    kept, frontier = 1000.0 * scored.kept.cost, 1000.0 * scored.frontier_cost
    return Columns.of(known=kept + frontier, kept=(kept, 1.0), sent=(frontier, 1.0))


def saving(scored: ScoredTraffic) -> Columns:
    """Share of the cost of sending every request that routing saves."""
    kept, frontier = scored.kept.cost, scored.frontier_cost
    return Columns.of(known=kept + frontier, kept=(frontier - kept, frontier), sent=(0.0, frontier))


def saved_cost(scored: ScoredTraffic) -> Columns:
    """USD saved on 1,000 requests, against sending every one."""
    kept, frontier = 1000.0 * scored.kept.cost, 1000.0 * scored.frontier_cost
    return Columns.of(known=kept + frontier, kept=(frontier - kept, 1.0), sent=(0.0, 1.0))


def answers_worse(scored: ScoredTraffic) -> Columns:
    """Share of the requests whose user gets a worse answer than the frontier model's."""
    gain, kept = scored.outcomes.gain, scored.kept
    # By the gain, whatever the target: that the cheap model failed does not say who did better.
    worse = np.where(np.isnan(gain), np.nan, (gain > 0.0).astype(np.float64))
    caught = 0.0 if scored.catch_rate is None else kept.caught
    reaches = worse * (1.0 - kept.escalated) * (1.0 - caught)
    return Columns.of(known=reaches, kept=(reaches, 1.0), sent=(0.0, 1.0))


def calls_avoided(scored: ScoredTraffic) -> Columns:
    """Share of the requests for which the frontier model is never called: neither at once, nor
    after a check, nor as a fallback.
    """
    requests, kept = scored.outcomes.per_request, scored.kept
    caught = 0.0 if scored.catch_rate is None else kept.caught
    avoided = requests * (1.0 - kept.escalated) * (1.0 - caught)
    return Columns.of(known=avoided, kept=(avoided, requests), sent=(0.0, requests))


FIGURES: Final = {
    name: f"{__name__}:{name}"
    for name in (
        "routing_precision",
        "routing_recall",
        "cheap_route_precision",
        "cheap_route_recall",
        "risk",
        "frontier_share",
        "fallback_share",
        "quality",
        "gap_recovered",
        "cost",
        "saving",
        "saved_cost",
        "answers_worse",
        "calls_avoided",
    )
}
OF_CHECKS: Final = {"escalated_share": f"{__name__}:escalated_share"}
"""Figures of a policy that checks answers: without one, files have no name for them."""
OF_LIMITS: Final = {"ineligible_share": f"{__name__}:ineligible_share"}
"""Figures of requests that not both models can take: without any, files have no name for them."""


def figure_names() -> tuple[str, ...]:
    """Return the names of all figures, those that other packages add last."""
    return (*FIGURES, *(name for name in known_names({}, kind="figure") if name not in FIGURES))


def columns_of(scored: ScoredTraffic, names: Iterable[str] | None = None) -> Mapping[str, Columns]:
    """Return the columns of some figures, or of all, by name; a figure of which nothing is known
    has zeros throughout.
    """
    if names is None:
        names = (
            *figure_names(),
            *(() if scored.escalated is None else OF_CHECKS),
            *(OF_LIMITS if INELIGIBLE in scored.labels else ()),
        )
    every = {**FIGURES, **OF_CHECKS, **OF_LIMITS}
    return {name: resolve(name, every, kind="figure")(scored) for name in names}


def ratios_at(columns: Mapping[str, Columns], sent: FloatArray, rows: IntArray) -> dict[str, Ratio]:
    """Return figures of a routing over ``rows``.

    Parameters
    ----------
    columns : mapping of str to Columns
    sent : ndarray of shape (n,)
        Probability in [0, 1] that each request goes to the frontier model; NaN leaves the request
        out.
    rows : ndarray of int
        The requests to look at.
    """
    return {name: figure.at(sent[rows], rows) for name, figure in columns.items()}


CALIBRATION_FIGURES: Final = (
    "brier_skill",
    "calibration_error",
    "calibration_slope",
    "calibration_intercept",
    "calibration_p",
)
"""What is said of a probability beside its Brier score and ECE; ``_frontier`` is appended for
``p_frontier_fails``.
"""
_OF_PROBABILITIES = ("brier", "ece", *CALIBRATION_FIGURES)

WITHOUT_THRESHOLD = {
    *("apgr", "apgr_difference", "cpt_50", "cpt_80", "auroc", "gap"),
    *_OF_PROBABILITIES,
    *(f"{name}_frontier" for name in _OF_PROBABILITIES),
}
"""What an evaluation says of a score without routing by it."""

_BOTH = "no request has the known quality of both models"
_GAIN = f"{_BOTH}, or a preference"
_SENT = "no request whose outcome is known is sent to the frontier model"
_KEPT = "no request whose outcome is known is kept on the cheap model"
_PRICES = "no request has prices and token counts for both models"
_NOT_BETTER = "the frontier model is not better than the cheap one on these requests"

_NOTHING_KNOWN = {
    "apgr": _GAIN,
    "cpt_50": _GAIN,
    "cpt_80": _GAIN,
    "gap_recovered": _GAIN,
    "auroc": "of no request is it known whether it needed the frontier model",
    **dict.fromkeys(_OF_PROBABILITIES, "no request has a known outcome of the cheap model"),
    **dict.fromkeys(
        (f"{name}_frontier" for name in _OF_PROBABILITIES),
        "no request has a known outcome of the frontier model",
    ),
    "routing_precision": _SENT,
    "routing_recall": "no request is known to have needed the frontier model",
    "cheap_route_precision": _KEPT,
    "cheap_route_recall": "no request is known not to have needed the frontier model",
    "risk": _KEPT,
    "fallback_share": (
        "the share of failing answers that validation catches is not known (catch_rate of the"
        " policy's fallback)"
    ),
    "escalated_share": "answers are not checked",
    "ineligible_share": "there is no request",
    "gap": _GAIN,
    "quality": _BOTH,
    "cost": _PRICES,
    "saving": _PRICES,
    "saved_cost": _PRICES,
    "answers_worse": _GAIN,
    "calls_avoided": "of no request is it known what validation catches",
    "frontier_share": "there is no request",
    "apgr_difference": "one of the two APGR is unknown",
    "quality_difference": "one of the two qualities is unknown",
}

_UNDEFINED = {
    "saving": "the frontier model costs nothing",
    "apgr": _NOT_BETTER,
    "cpt_50": _NOT_BETTER,
    "cpt_80": _NOT_BETTER,
    "gap_recovered": _NOT_BETTER,
    "auroc": "the requests with a known outcome all needed the frontier model, or none did",
    "brier_skill": "all outcomes are alike",
    "brier_skill_frontier": "all outcomes are alike",
}


def why_undefined(figure: str, *, n: int, routed: bool) -> str:
    """Return why ``figure`` has no value, given the number of requests behind it and whether there
    was a routing to judge.
    """
    if not routed and figure not in WITHOUT_THRESHOLD:
        return "no threshold was given"
    nothing = _NOTHING_KNOWN.get(figure, "it is known of no request")
    return _UNDEFINED.get(figure, nothing) if n else nothing
