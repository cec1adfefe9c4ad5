"""How figures are named and written for people: the console, the report and the summary for pull
requests say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from difficulty.records import Estimate

UNKNOWN: Final = "unknown"

LABELS: Final[Mapping[str, str]] = {
    "apgr": "APGR",
    "cpt_50": "CPT(50 %)",
    "cpt_80": "CPT(80 %)",
    "auroc": "AUROC",
    "brier": "Brier, p_cheap_fails",
    "ece": "ECE, p_cheap_fails",
    "brier_frontier": "Brier, p_frontier_fails",
    "ece_frontier": "ECE, p_frontier_fails",
    "frontier_share": "frontier share",
    "routing_precision": "routing precision",
    "routing_recall": "routing recall",
    "cheap_route_precision": "cheap route precision",
    "cheap_route_recall": "cheap route recall",
    "risk": "risk",
    "fallback_share": "fallback share",
    "quality": "quality",
    "gap": "quality gap of the models",
    "gap_recovered": "gap recovered",
    "cost": "cost, USD per 1,000",
    "saving": "saving",
}
"""Figures in the order in which they are shown."""


def label_of(figure: str) -> str:
    """Return the name of a figure for people."""
    return LABELS.get(figure, figure.replace("_", " "))


def as_text(estimate: Estimate | None, *, signed: bool = False) -> str:
    """Return an estimate as ``0.697 [0.678, 0.716]``, ``signed`` with a plus; ``unknown`` without a
    value.
    """
    if estimate is None or estimate.value is None:
        return UNKNOWN
    form = "+.3f" if signed else ".3f"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:{form}}"
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"


def as_percent(estimate: Estimate | None) -> str:
    """Return a share as ``69.7 % (67.8 to 71.6)``: the digits of :func:`as_text`."""
    if estimate is None or estimate.value is None:
        return UNKNOWN
    if estimate.low is None or estimate.high is None:
        return f"{_percent(estimate.value)} %"
    return f"{_percent(estimate.value)} % ({_percent(estimate.low)} to {_percent(estimate.high)})"


def complement(estimate: Estimate) -> Estimate:
    """Return one minus an estimate, its interval turned round."""
    value, low, high = (
        None if part is None else 1.0 - part
        for part in (estimate.value, estimate.high, estimate.low)
    )
    return Estimate(value=value, low=low, high=high, n=estimate.n, note=estimate.note)


def _percent(share: float) -> str:
    return f"{100.0 * round(share, 3):.1f}"
