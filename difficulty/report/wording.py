"""Words and numbers as people read them: names of figures, estimates as text, definitions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from difficulty.evaluation.result import Estimates, Evaluation
from difficulty.evaluation.words import UNKNOWN, as_percent, usd_number, why_no_range
from difficulty.records import Estimate
from difficulty.report.blocks import Definitions, Extras, Section

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
    "frontier_share": "sent to the frontier",
    "escalated_share": "sent on after the check",
    "calls_avoided": "frontier calls avoided",
    "quality": "quality",
    "gap_recovered": "quality gain kept",
    "answers_worse": "answers worse",
    "cost": "USD per 1,000",
    "saved_cost": "USD saved per 1,000",
    "saving": "of the bill saved",
    "routing_precision": "of those sent, needed it",
    "routing_recall": "of those that needed it, sent",
    "cheap_route_precision": "of those kept, rightly",
    "cheap_route_recall": "of those easy, kept",
    "risk": "risk",
    "fallback_share": "answered twice",
    "gap": "quality gap of the models",
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
    "oracle": "best possible",
}
# Baselines for whose lines the page has a style.
_DRAWN: Final = {"score", "random", "length", "task_mean", "without_task", "oracle"}

_PERCENT: Final = {
    *("frontier_share", "escalated_share", "fallback_share", "ineligible_share", "calls_avoided"),
    *("routing_precision", "routing_recall", "cheap_route_precision", "cheap_route_recall"),
    *("quality", "gap", "gap_recovered", "risk", "saving", "answers_worse", "cpt_50", "cpt_80"),
}
"""Figures that people read in percent."""
_USD: Final = {"cost", "saved_cost"}
_WITHOUT_RANGE: Final = {"ece", "calibration_error", "calibration_p"}
"""Near 0 no range of an error would hold the truth; the last is itself a chance."""

DEFINITIONS: Final = (
    (
        "range",
        "28.7 % (25.8 to 31.4)",
        "A figure with its 95 % range: on requests like these it would rarely lie outside.",
    ),
    ("unknown", "unknown", "What the figure needs is not there. It is never counted as zero."),
    (
        "score",
        "difficulty_score",
        "How much a request is worth the frontier model, from 0 to 1; 0.5 means no difference.",
    ),
    (
        "threshold",
        "threshold",
        "Requests with a higher score go to the frontier model; ties stay on the cheap one.",
    ),
    ("sent", "sent to the frontier", "Share of the requests that the frontier model answers."),
    (
        "escalated",
        "sent on after the check",
        "Share of the requests that go on after the cheap answer was checked: both calls are paid.",
    ),
    ("quality", "quality", "Mean quality of the answers that users get, in the labels' unit."),
    (
        "kept",
        "quality gain kept",
        "Of what the frontier model adds if it answers everything, the share that routing keeps.",
    ),
    (
        "worse",
        "answers worse",
        "Share of all requests whose user gets a worse answer than the frontier model's.",
    ),
    (
        "avoided",
        "frontier calls avoided",
        "Share of all requests for which the frontier model is never called.",
    ),
    ("cost", "USD per 1,000", "Cost of 1,000 requests, from prices and token counts."),
    (
        "fallback",
        "answered twice",
        "Share of the requests that the frontier model answers again after failed validation.",
    ),
    ("needed", "of those sent, needed it", "Share of the sent requests that needed to be sent."),
    (
        "found",
        "of those that needed it, sent",
        "Share of the requests that needed the frontier model which are sent.",
    ),
    (
        "rightly",
        "of those kept, rightly",
        "Share of the kept requests that did not need the frontier model.",
    ),
    (
        "risk",
        "risk",
        "Share of the kept requests that the cheap model fails; some the frontier fails too.",
    ),
    ("apgr", "APGR", "Quality gain kept, averaged over all shares sent: 0.5 is chance."),
    ("cpt", "CPT(80 %)", "Smallest share sent that keeps 80 % of the quality gain."),
    (
        "auroc",
        "AUROC",
        "How often a request that needed the frontier model has a higher score than one that did"
        " not: 0.5 is chance.",
    ),
    ("brier", "Brier, ECE", "How far predicted probabilities are from what happens; 0 is best."),
    ("oracle", "best possible", "Routing that knows every outcome beforehand."),
)
"""(anchor, word, meaning) of the terms, each in a line."""
TERMS: Final[Mapping[str, str]] = {
    **{word: anchor for anchor, word, _ in DEFINITIONS},
    "mean quality": "quality",
    "CPT(50 %)": "cpt",
    "lead in APGR": "apgr",
    "lead in quality": "quality",
}
"""Words of the page and the anchors of their definitions."""


def definitions_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return what the words and figures of the page mean."""
    return Section.of("terms", "Terms", Definitions(DEFINITIONS))


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
    """Return ``0.697 (0.678 to 0.716)``, ``signed`` with a plus; ``unknown`` without a value."""
    if estimate is None or estimate.value is None:
        return UNKNOWN
    digits = "+.3f" if signed else ".3f"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:{digits}}"
    return f"{estimate.value:{digits}} ({estimate.low:{digits}} to {estimate.high:{digits}})"


def figure_text(name: str, estimate: Estimate | None) -> str:
    """Return a figure as people read it: shares in percent, money in USD, others with three
    digits.
    """
    if name in _PERCENT:
        return as_percent(estimate)
    if name in _USD:
        return usd_number(estimate)
    return as_text(estimate, signed=name.endswith("_difference"))


def difference_text(name: str, difference: Estimate | None) -> str:
    """Return a difference of two figures with its sign: ``+1.2 % (-0.4 to +2.8)``."""
    if difference is None or difference.value is None:
        return UNKNOWN
    if name not in _PERCENT and name not in _USD:
        return as_text(difference, signed=True)
    unit, digits, sign = (100.0, 1, " %") if name in _PERCENT else (1.0, 2, "")
    value, low, high = (
        None if part is None else f"{round(unit * part, digits) + 0.0:+,.{digits}f}"
        for part in (difference.value, difference.low, difference.high)
    )
    return f"{value}{sign}" if low is None or high is None else f"{value}{sign} ({low} to {high})"


def no_range_lines(named: Mapping[str, Estimate]) -> Iterator[str]:
    """Yield why figures that have a value have no range, those of one reason together; ``named``
    by their names for people.
    """
    reasons: dict[str, list[str]] = {}
    for name, estimate in named.items():
        if estimate.value is not None and (estimate.low is None or estimate.high is None):
            reasons.setdefault(why_no_range(estimate), []).append(name)
    for reason, names in reasons.items():
        yield f"No range of {', '.join(names)}: {reason}."


def with_ranges(overall: Estimates) -> dict[str, Estimate]:
    """Return the figures that have a range by nature, by their names for people."""
    return {
        label_of(name): estimate
        for name, estimate in overall.items()
        if name.removesuffix("_frontier") not in _WITHOUT_RANGE
    }


def bare_percent(estimate: Estimate | None) -> str:
    """Return a share without its range."""
    return as_percent(estimate).partition(" (")[0]


def threshold_text(threshold: float) -> str:
    """Return a threshold with the digits that the command line shows."""
    return f"{threshold:.6g}"


def threshold_short(threshold: float) -> str:
    """Return a threshold for a page: three digits say where it lies, six promise too much."""
    return f"{threshold:.3f}"


def columns_with_values(names: Iterable[str], rows: Iterable[Estimates]) -> list[str]:
    """Return the figures of which any row has a value."""
    rows = list(rows)
    return [
        name for name in names if any(name in row and row[name].value is not None for row in rows)
    ]


def cells_of(estimates: Estimates, names: Sequence[str]) -> tuple[str, ...]:
    """Return a cell for each figure; a dash where it does not apply."""
    return tuple(
        figure_text(name, estimates[name]) if name in estimates else "\u2013" for name in names
    )


def amount_text(estimate: Estimate | None, *, ends: bool = True) -> str:
    """Return ``1,234 (1,100 to 1,400)``; ``unknown``, or ``never`` where none is reached."""
    if estimate is None:
        return ""
    if estimate.value is None:
        # economics.basis gives an infinite figure no value, and a note of its own.
        return UNKNOWN if estimate.note.startswith(UNKNOWN) else "never"
    return usd_number(estimate if ends else Estimate(value=estimate.value))
