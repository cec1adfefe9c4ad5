"""Words that several sections share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from difficulty.evaluation.result import Estimates
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


ROUTES: Final = {
    "score": "the score alone, no rules",
    "random": "at random",
    "length": "longest requests first",
    "task_mean": "by the mean gain of the task",
    "without_task": "this score, task not told",
    "always_cheap": "everything to the cheap model",
    "always_frontier": "everything to the frontier model",
    "oracle": "oracle: knows every outcome",
}
_STYLES: Final = ("score", "random", "length", "task_mean", "without_task", "oracle")


def route_name(baseline: str) -> str:
    """Return how a baseline routes, in words."""
    return ROUTES.get(baseline, baseline.replace("_", " "))


def line_style(baseline: str) -> str:
    """Return the CSS class of a baseline's line."""
    return f"line {baseline}" if baseline in _STYLES else "line other"


def threshold_text(threshold: float) -> str:
    """Return a threshold with the digits that the command line shows."""
    return f"{threshold:.6g}"


def cells_of(estimates: Estimates, names: Sequence[str]) -> tuple[str, ...]:
    """Return a cell for each figure; a dash where it does not apply."""
    return tuple(as_text(estimates[name]) if name in estimates else "\u2013" for name in names)


def estimate_text(estimate: Estimate | None, *, ends: bool = True) -> str:
    """Return an estimate as ``1,234 [1,100, 1,400]``; ``unknown`` without a value, ``never`` where
    none is reached.
    """
    if estimate is None:
        return ""
    if estimate.value is None:
        return "unknown" if estimate.note.startswith("unknown") else "never"
    low, high = estimate.low, estimate.high
    if not ends or low == high:
        return _number(estimate.value)
    return f"{_number(estimate.value)} [{_end(low)}, {_end(high)}]"


def _end(value: float | None) -> str:
    return "none" if value is None else _number(value)


def _number(value: float) -> str:
    size = abs(value)
    if size >= 1000.0 or value == 0.0:
        return f"{value:,.0f}"
    if size >= 1.0:
        return f"{value:.1f}" if size >= 100.0 else f"{value:.2f}"
    return f"{value:.4f}" if size >= 0.001 else f"{value:.1g}"
