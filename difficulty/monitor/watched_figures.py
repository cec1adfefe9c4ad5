"""The figures of a log, each a ratio of two sums over requests, as SQL on the table ``watched``.

Plain names say what happened. ``rule_`` says what the rule alone would have done, without what was
explored beside it: requests whose route is the rule's stand for 1 / propensity requests each. That
is what a bundle promises, so it is what its expectations stand beside. A request of which a figure
is not known takes no part in it; it is never counted as 0.
"""

from __future__ import annotations

from dataclasses import dataclass

LARGEST_WEIGHT = 50.0
"""Where 1 / propensity is cut; the same as in training (docs/labels.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedFigure:
    """sum(above) / sum(below), over the requests where both are known.

    Attributes
    ----------
    name : str
        As monitor.json has it.
    label, meaning : str
        For people: few words, and a sentence.
    above, below : str
        SQL on the columns of ``watched``; null where the request takes no part.
    unit : float or None
        The largest value where it is a share of something; None: it is no share.
    whole : bool
        Whether a request is all or nothing.
    scale : float
        What the ratio is multiplied by.
    unknown : str
        Why it has no value where no request takes part.
    signed : bool
        Whether it can be below 0.
    imputed : str
        Side whose cost it takes from requests that were called, for those that were not; the mean
        that is taken is as unsure as those calls are few. Empty: of none.
    """

    name: str
    label: str
    meaning: str
    above: str
    below: str = "1"
    unit: float | None = 1.0
    whole: bool = True
    scale: float = 1.0
    unknown: str
    signed: bool = False
    imputed: str = ""


_NO_OUTCOME = "no late outcome of such a request is known: pass --outcomes"
_NO_COST = "the log has no costs of such calls"
_NO_PROPENSITY = "no event has a propensity"
_RULE = "CASE WHEN {above} IS NOT NULL AND own_way IS NOT NULL THEN own_way * {above} END"
_RULE_BELOW = "CASE WHEN {above} IS NOT NULL THEN own_way END"


def _plain(name: str, label: str, meaning: str, above: str, unknown: str) -> WatchedFigure:
    return WatchedFigure(name=name, label=label, meaning=meaning, above=above, unknown=unknown)


def _as_ruled(figure: WatchedFigure, meaning: str) -> WatchedFigure:
    """Return a figure as the rule alone would have had it."""
    above = f"({figure.above})"
    return WatchedFigure(
        name=f"rule_{figure.name}",
        label=f"{figure.label}, by the rule",
        meaning=meaning,
        above=_RULE.format(above=above),
        below=_RULE_BELOW.format(above=above),
        unit=figure.unit,
        # Weighted requests are not all or nothing.
        whole=False,
        scale=figure.scale,
        unknown=f"{figure.unknown}, or {_NO_PROPENSITY}",
    )


SENT = _plain(
    "frontier_share",
    "sent to the frontier model",
    "Share of the requests that were sent at once, what was explored among them.",
    "CAST(route = 'frontier' AS DOUBLE)",
    "there is no request",
)
RULE_SENT = WatchedFigure(
    name="rule_frontier_share",
    label="sent by the rule",
    meaning=(
        "Share of the requests that the rule sends, at once or after the check of their answer:"
        " what a threshold is chosen for, and what a replay compares."
    ),
    above=(
        "CASE WHEN policy_route = 'frontier' THEN 1.0 WHEN policy_route = 'cheap' AND route ="
        " 'cheap' THEN own_way * coalesce(policy_escalates, 0.0) END"
    ),
    below=(
        "CASE WHEN policy_route = 'frontier' THEN 1.0 WHEN policy_route = 'cheap' AND route ="
        " 'cheap' THEN own_way END"
    ),
    whole=False,
    unknown=_NO_PROPENSITY,
)
EXPLORED = _plain(
    "explored_share",
    "explored",
    "Share of the requests that took another route than the rule's.",
    "CAST(route <> policy_route AS DOUBLE)",
    "no event says what the rule named",
)
INELIGIBLE = _plain(
    "ineligible_share",
    "ineligible for a model",
    "Share of the requests that one of the models cannot take; by which rule, the slices say.",
    "CAST(ineligible AS DOUBLE)",
    "there is no request",
)
UNTAKEN = _plain(
    "untaken_share",
    "taken by neither model",
    "Share of the requests that neither model is stated to take; they are sent all the same.",
    "CAST(untaken AS DOUBLE)",
    "there is no request",
)
SWITCHED = _plain(
    "switched_share",
    "sessions that switched",
    "Of the requests that went on with a session whose cache was warm, the share that left its"
    " model, what was explored among them.",
    "CASE WHEN held_on IS NOT NULL THEN CAST(route <> held_on AS DOUBLE) END",
    "no request went on with a session, or the policy does not keep them on their model",
)
SWITCH_COST = WatchedFigure(
    name="switch_cost",
    label="cold caches, USD per 1,000",
    meaning=(
        "What 1,000 such requests cost more as their sessions left a cached prompt; it is in their"
        " cost already."
    ),
    above=(
        "CASE WHEN held_on IS NOT NULL AND route <> held_on THEN switch_cost_usd WHEN"
        " held_on IS NOT NULL AND switch_cost_usd IS NOT NULL THEN 0.0 END"
    ),
    below="CASE WHEN held_on IS NOT NULL AND switch_cost_usd IS NOT NULL THEN 1.0 END",
    unit=None,
    whole=False,
    scale=1000.0,
    unknown="prices of cached tokens, or how many are cached, are not known",
)
FALLBACK_RATE = _plain(
    "fallback_rate",
    "fell back",
    "Of the requests on the cheap route, the share for which the frontier model was asked too.",
    "CASE WHEN route = 'cheap' THEN CAST(fell AS DOUBLE) END",
    "no request took the cheap route",
)
FALLBACK_SHARE = _plain(
    "fallback_share",
    "kept, then caught by validators",
    "Share of all requests whose cheap answer validators refused.",
    "CAST(caught AND NOT by_check AS DOUBLE)",
    "there is no request",
)
ESCALATED_SHARE = _plain(
    "escalated_share",
    "kept, then sent on by the check",
    "Share of all requests whose cheap answer the learned check sent on.",
    "CASE WHEN checked THEN CAST(by_check AS DOUBLE) END",
    "answers are not checked",
)
PASS_RATE = _plain(
    "pass_rate",
    "passed validation",
    "Share of the cheap model's answers on its own route that passed every validator.",
    "CASE WHEN cheap_role = 'answer' THEN cheap_passed END",
    "no validator looked at a cheap answer",
)
QUALITY = WatchedFigure(
    name="quality",
    label="quality",
    meaning="Mean quality of the answers that users got, of those with a late outcome.",
    above="seen_quality",
    whole=False,
    unknown=_NO_OUTCOME,
)
RISK = _plain(
    "risk",
    "risk",
    "Of the requests that kept their cheap answer, the share that it failed (quality below 1/2).",
    "CASE WHEN route = 'cheap' AND NOT fell THEN CAST(cheap_quality < 0.5 AS DOUBLE) END",
    _NO_OUTCOME,
)
COST = WatchedFigure(
    name="cost",
    label="cost, USD per 1,000",
    meaning="What 1,000 requests cost, failed cheap answers included, shadow calls not.",
    above="cost_usd",
    unit=None,
    whole=False,
    scale=1000.0,
    unknown=_NO_COST,
)
SIDE_QUALITY = tuple(
    WatchedFigure(
        name=f"{side}_quality",
        label=f"quality of the {side} model",
        meaning=(
            f"Mean quality of the {side} model's answers over all requests: each stands for 1 /"
            " propensity."
        ),
        above=f"{side}_weight * {side}_quality",
        below=f"{side}_weight",
        whole=False,
        unknown=_NO_OUTCOME,
    )
    for side in ("cheap", "frontier")
)
_SENT_BY_RULE = "policy_route = 'frontier' OR by_check"
ROUTING_PRECISION = WatchedFigure(
    name="routing_precision",
    label="routing precision",
    meaning="Of the requests that the rule sends, the share that needed the frontier model.",
    above=f"CASE WHEN {_SENT_BY_RULE} THEN need_weight * needed END",
    below=f"CASE WHEN {_SENT_BY_RULE} AND needed IS NOT NULL THEN need_weight END",
    whole=False,
    unknown=(
        "of no request that the rule sends is it known how the cheap model would have done: explore"
        " or shadow some, and judge both answers"
    ),
)
SENT_CHEAP_FAILS = WatchedFigure(
    name="sent_cheap_fails",
    label="sent, and the cheap model fails",
    meaning="Of the requests that the rule sends, the share that the cheap model fails.",
    above=(
        f"CASE WHEN {_SENT_BY_RULE} THEN cheap_weight * CAST(cheap_quality < 0.5 AS DOUBLE) END"
    ),
    below=f"CASE WHEN {_SENT_BY_RULE} AND cheap_quality IS NOT NULL THEN cheap_weight END",
    whole=False,
    unknown=ROUTING_PRECISION.unknown,
)
SENT_CHEAP_REFUSED = WatchedFigure(
    name="sent_cheap_refused",
    label="sent, and validators refuse the cheap answer",
    meaning=(
        "Of the requests that the rule sends, the share whose cheap answer, explored or shadow,"
        " validators refuse: the least that needed the frontier model."
    ),
    above="CASE WHEN policy_route = 'frontier' THEN look_weight * (1.0 - cheap_passed) END",
    below="CASE WHEN policy_route = 'frontier' AND cheap_passed IS NOT NULL THEN look_weight END",
    whole=False,
    unknown="no cheap answer to a request that the rule sends was looked at: explore or shadow",
)
ALWAYS = tuple(
    WatchedFigure(
        name=f"cost_always_{side}",
        label=f"cost if all went to the {side} model",
        meaning=(
            f"What 1,000 requests would cost on the {side} model alone: as billed where it was"
            " called, else what it costs on requests of the task."
        ),
        above=f"always_{side}",
        unit=None,
        whole=False,
        scale=1000.0,
        unknown=_NO_COST,
        imputed=side,
    )
    for side in ("frontier", "cheap")
)
SAVING = WatchedFigure(
    name="saving",
    label="saving against always frontier",
    meaning="Share of the cost of the frontier model alone that routing saves.",
    above="CASE WHEN cost_usd IS NOT NULL THEN always_frontier - cost_usd END",
    below="CASE WHEN cost_usd IS NOT NULL THEN always_frontier END",
    unit=None,
    whole=False,
    signed=True,
    unknown=_NO_COST,
    imputed="frontier",
)
LABELLED = _plain(
    "labelled_share",
    "with a late outcome",
    "Share of the requests of whose answer a late outcome is known.",
    "CAST(seen_quality IS NOT NULL AS DOUBLE)",
    "there is no request",
)
PRICED = _plain(
    "priced_share",
    "with a known cost",
    "Share of the requests whose cost is known.",
    "CAST(cost_usd IS NOT NULL AS DOUBLE)",
    "there is no request",
)
FAILED = _plain(
    "failed_share",
    "failed or abandoned",
    "Share of the requests that ended without an answer.",
    "CAST(outcome IN ('failed', 'abandoned') AS DOUBLE)",
    "no event says how it ended",
)
_NO_SCORE = "no request was scored"
MEANS = (
    WatchedFigure(
        name="mean_score",
        label="mean difficulty_score",
        meaning="Of the requests that were scored.",
        above="difficulty_score",
        whole=False,
        unknown=_NO_SCORE,
    ),
    WatchedFigure(
        name="mean_p_cheap_fails",
        label="mean p_cheap_fails",
        meaning="What the calibrated probabilities say of the cheap model on all requests.",
        above="p_cheap_fails",
        whole=False,
        unknown=_NO_SCORE,
    ),
    WatchedFigure(
        name="mean_familiarity",
        label="mean familiarity",
        meaning="How much requests look like the training traffic.",
        above="familiarity",
        whole=False,
        unknown="the scorer has no familiarity",
    ),
    WatchedFigure(
        name="mean_tokens",
        label="mean tokens",
        meaning="Of the requests, as the rule counted them.",
        above="tokens",
        unit=None,
        whole=False,
        unknown="no request was counted",
    ),
)
_RULED = (
    _as_ruled(FALLBACK_SHARE, "The same, had nothing been explored."),
    _as_ruled(QUALITY, "Mean quality of the answers, had nothing been explored."),
    _as_ruled(COST, "What 1,000 requests would have cost, had nothing been explored."),
    WatchedFigure(
        name="rule_risk",
        label="risk, by the rule",
        meaning=(
            "Of the requests that the rule keeps, the share whose failure reaches the user; a"
            " refused answer reaches nobody."
        ),
        above="own_way * kept_weight * kept_failure",
        below="CASE WHEN kept_failure IS NOT NULL THEN own_way * kept_weight END",
        whole=False,
        unknown=f"{_NO_OUTCOME}, or {_NO_PROPENSITY}",
    ),
)
RATIOS: tuple[WatchedFigure, ...] = (
    SENT,
    EXPLORED,
    INELIGIBLE,
    UNTAKEN,
    SWITCHED,
    SWITCH_COST,
    FALLBACK_RATE,
    FALLBACK_SHARE,
    ESCALATED_SHARE,
    PASS_RATE,
    QUALITY,
    RISK,
    *SIDE_QUALITY,
    ROUTING_PRECISION,
    SENT_CHEAP_FAILS,
    SENT_CHEAP_REFUSED,
    COST,
    *ALWAYS,
    SAVING,
    FAILED,
    LABELLED,
    PRICED,
    *MEANS,
    RULE_SENT,
    *_RULED,
)
"""Every ratio, in the order in which it is shown."""

CATCH_RATE = "catch_rate"
"""Of the cheap model's failures the share that is caught; made of four shares, see
:func:`~difficulty.monitor.bucket_sums.catch_rates`.
"""
LATENCIES = {
    "latency_p50": ("latency_ms", 0.5),
    "latency_p95": ("latency_ms", 0.95),
    "decision_p50": ("decision_ms", 0.5),
    "decision_p95": ("decision_ms", 0.95),
}
"""Figure to the column and the quantile; milliseconds."""
LABELS: dict[str, str] = {
    "requests": "requests",
    "traffic_share": "share of the traffic",
    **{figure.name: figure.label for figure in RATIOS},
    CATCH_RATE: "catch rate",
    "latency_p50": "latency, median, ms",
    "latency_p95": "latency, 95 %, ms",
    "decision_p50": "deciding, median, ms",
    "decision_p95": "deciding, 95 %, ms",
}
"""Names of all figures for people."""
MEANINGS: dict[str, str] = {
    "requests": "Requests, with what chance leaves of their number: groups come at random.",
    "traffic_share": "Share of all requests, or of those of the week.",
    **{figure.name: figure.meaning for figure in RATIOS},
    CATCH_RATE: (
        "Of the cheap model's failures on its own route, the share that validation or the check"
        " caught."
    ),
    "latency_p50": "Half of the requests were answered faster.",
    "latency_p95": "19 of 20 requests were answered faster.",
    "decision_p50": "Half of the decisions took less.",
    "decision_p95": "19 of 20 decisions took less.",
}
