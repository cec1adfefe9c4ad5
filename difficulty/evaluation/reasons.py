"""Why a figure is unknown, in words: unknown is not zero, and a reader needs to know what is
missing.
"""

from __future__ import annotations

from difficulty.evaluation.routed import ROUTED

AT_THRESHOLD = ROUTED

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
    "brier": "no request has a known outcome of the cheap model",
    "ece": "no request has a known outcome of the cheap model",
    "brier_frontier": "no request has a known outcome of the frontier model",
    "ece_frontier": "no request has a known outcome of the frontier model",
    "routing_precision": _SENT,
    "routing_recall": "no request is known to have needed the frontier model",
    "cheap_route_precision": _KEPT,
    "cheap_route_recall": "no request is known not to have needed the frontier model",
    "risk": _KEPT,
    "fallback_share": (
        "the share of failing answers that validation catches is not known (catch_rate of the"
        " policy's fallback)"
    ),
    "gap": _GAIN,
    "quality": _BOTH,
    "cost": _PRICES,
    "saving": _PRICES,
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
}


def why_undefined(figure: str, *, n: int, routed: bool) -> str:
    """Return why ``figure`` has no value, given the number of requests behind it and whether there
    was a routing to judge.
    """
    if not routed and figure in (*AT_THRESHOLD, "quality_difference"):
        return "no threshold was given"
    return _UNDEFINED.get(figure, _NOTHING_KNOWN[figure]) if n else _NOTHING_KNOWN[figure]
