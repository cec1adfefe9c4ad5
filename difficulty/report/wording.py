"""Words and numbers as people read them: names of figures, estimates as text, definitions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from difficulty.evaluation.result import Estimates, Evaluation
from difficulty.evaluation.words import UNKNOWN
from difficulty.records import Estimate
from difficulty.report.blocks import Extras, Facts, Section

SHOWN_AS: Final[Mapping[str, str]] = {
    "apgr": "APGR",
    "cpt_50": "CPT(50 %)",
    "cpt_80": "CPT(80 %)",
    "auroc": "AUROC",
    "brier": "Brier, p_cheap_fails",
    "ece": "ECE, p_cheap_fails",
    "brier_frontier": "Brier, p_frontier_fails",
    "ece_frontier": "ECE, p_frontier_fails",
    "brier_skill": "Brier skill, p_cheap_fails",
    "calibration_error": "calibration error, p_cheap_fails",
    "calibration_slope": "calibration slope, p_cheap_fails",
    "calibration_intercept": "calibration intercept, p_cheap_fails",
    "calibration_p": "chance of as much error, p_cheap_fails",
    "brier_skill_frontier": "Brier skill, p_frontier_fails",
    "calibration_error_frontier": "calibration error, p_frontier_fails",
    "calibration_slope_frontier": "calibration slope, p_frontier_fails",
    "calibration_intercept_frontier": "calibration intercept, p_frontier_fails",
    "calibration_p_frontier": "chance of as much error, p_frontier_fails",
    "frontier_share": "frontier share",
    "escalated_share": "sent on after the check",
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
"""Figures in the order in which they are shown, each with its name for people."""

_ROUTES: Final = {
    "score": "the score alone, no rules",
    "random": "at random",
    "length": "longest requests first",
    "task_mean": "by the mean gain of the task",
    "without_task": "this score, task not told",
    "answer_check": "check of the answer",
    "always_cheap": "everything to the cheap model",
    "always_frontier": "everything to the frontier model",
    "oracle": "oracle: knows every outcome",
}
# Baselines for whose lines the page has a style.
_DRAWN: Final = {"score", "random", "length", "task_mean", "without_task", "oracle"}

_DEFINITIONS: Final = (
    (
        "0.697 [0.678, 0.716]",
        "A figure with its 95 % interval: on requests like these it would rarely lie outside the"
        " brackets.",
    ),
    ("unknown", "What the figure needs is not there. It is never counted as zero."),
    (
        "difficulty_score",
        "How much a request is worth the frontier model, from 0 to 1; for target benefit 0.5 means"
        " no difference.",
    ),
    (
        "threshold",
        "Requests with a score above it go to the frontier model; ties stay on the cheap one. A"
        " check of answers has a threshold of its own.",
    ),
    ("frontier share", "Share of the requests that go to the frontier model."),
    (
        "sent on after the check",
        "Share of the requests that the cheap model answered and that go on to the frontier model,"
        " because the score of that answer is above the check's threshold. Both calls are paid.",
    ),
    (
        "quality",
        "Mean quality of the answers that users get, in the unit of the labels, from 0 to 1.",
    ),
    (
        "gap recovered",
        "Share of the quality between all cheap (0) and all frontier (1) that routing keeps.",
    ),
    ("cost", "USD per 1,000 requests, from prices and token counts."),
    (
        "fallback share",
        "Share of the requests that the cheap model answers first and the frontier model again,"
        " after failed validation.",
    ),
    ("routing precision", "Of the requests sent to the frontier model, the share that needed it."),
    ("routing recall", "Of the requests that needed the frontier model, the share that is sent."),
    (
        "cheap route precision",
        "Of the requests kept on the cheap model, the share that did not need the frontier model.",
    ),
    (
        "risk",
        "Of the requests kept on the cheap model, the share that it fails; the frontier model may"
        " fail some of them too.",
    ),
    ("APGR", "Share of the gap recovered, averaged over all frontier shares: 0.5 is chance."),
    ("CPT(80 %)", "Smallest frontier share that recovers 80 % of the gap."),
    (
        "AUROC",
        "Of two requests of which one needed the frontier model, how often its score is the higher"
        " one: 0.5 is chance.",
    ),
    ("Brier, ECE", "How far predicted probabilities are from what happens; 0 is perfect."),
    ("oracle", "Routing that knows every outcome beforehand: no score can do better."),
)


def definitions_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return what the words and figures of the page mean."""
    return Section.of("definitions", "How to read this", Facts(_DEFINITIONS))


def shown_order(figures: Iterable[str]) -> list[str]:
    """Return figures in the order in which they are shown, those of other packages last."""
    names = list(figures)
    return [*(name for name in SHOWN_AS if name in names), *(n for n in names if n not in SHOWN_AS)]


def label_of(figure: str) -> str:
    """Return the name of a figure for people."""
    return SHOWN_AS.get(figure, figure.replace("_", " "))


def route_name(baseline: str) -> str:
    """Return how a baseline routes, in words."""
    return _ROUTES.get(baseline, baseline.replace("_", " "))


def line_style(baseline: str) -> str:
    """Return the CSS class of a baseline's line."""
    return f"line {baseline if baseline in _DRAWN else 'other'}"


def as_text(estimate: Estimate | None, *, signed: bool = False) -> str:
    """Return ``0.697 [0.678, 0.716]``, ``signed`` with a plus; ``unknown`` without a value."""
    if estimate is None or estimate.value is None:
        return UNKNOWN
    digits = "+.3f" if signed else ".3f"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:{digits}}"
    return f"{estimate.value:{digits}} [{estimate.low:{digits}}, {estimate.high:{digits}}]"


def threshold_text(threshold: float) -> str:
    """Return a threshold with the digits that the command line shows."""
    return f"{threshold:.6g}"


def columns_with_values(names: Iterable[str], rows: Iterable[Estimates]) -> list[str]:
    """Return the figures of which any row has a value."""
    rows = list(rows)
    return [
        name for name in names if any(name in row and row[name].value is not None for row in rows)
    ]


def cells_of(estimates: Estimates, names: Sequence[str]) -> tuple[str, ...]:
    """Return a cell for each figure; a dash where it does not apply."""
    return tuple(as_text(estimates[name]) if name in estimates else "\u2013" for name in names)


def amount_text(estimate: Estimate | None, *, ends: bool = True) -> str:
    """Return ``1,234 [1,100, 1,400]``; ``unknown``, or ``never`` where none is reached."""
    if estimate is None:
        return ""
    if estimate.value is None:
        # economics.basis gives an infinite figure no value, and a note of its own.
        return UNKNOWN if estimate.note.startswith(UNKNOWN) else "never"
    low, high = estimate.low, estimate.high
    if not ends or low == high:
        return _amount(estimate.value)
    return f"{_amount(estimate.value)} [{_amount(low)}, {_amount(high)}]"


def _amount(value: float | None) -> str:
    """Return a number with about three digits, whatever its size."""
    if value is None:
        return "none"
    size = abs(value)
    if size >= 1000.0 or value == 0.0:
        return f"{value:,.0f}"
    if size >= 1.0:
        return f"{value:.1f}" if size >= 100.0 else f"{value:.2f}"
    return f"{value:.4f}" if size >= 0.001 else f"{value:.1g}"
