"""Results as a line of text and as a small table for a notebook: escaped, and without a script."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from difficulty.errors import in_python
from difficulty.evaluation.words import as_percent
from difficulty.records import Estimate
from difficulty.text import quantity_text

if TYPE_CHECKING:
    from difficulty.evaluation.result import Evaluation

MOST_CHARACTERS = 200
"""Of a ``repr``: it stands in a cell, in a log and in a traceback."""
_MOST_NOTES = 3
_SHARES = {
    "frontier_share": "sent to the frontier model",
    "gap_recovered": "quality gain kept",
    "saving": "saved against all frontier",
    "risk": "failures among those kept cheap",
    "routing_precision": "of those sent, needed it",
    "routing_recall": "of those that needed it, sent",
}
_PLAIN = {
    "quality": "mean quality",
    "cost": "USD per 1,000 requests",
    "apgr": "APGR (0.5 is chance)",
    "auroc": "AUROC (0.5 is chance)",
    "brier": "Brier score of p_cheap_fails",
}
_ORDER = (
    *("frontier_share", "quality", "gap_recovered", "cost", "saving", "risk"),
    *("routing_precision", "routing_recall", "apgr", "auroc", "brier"),
)


def shortened(text: str) -> str:
    """Return a line of at most ``MOST_CHARACTERS`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 4]}...)"


def table_html(title: str, rows: Iterable[tuple[str, str]], notes: Iterable[str] = ()) -> str:
    """Return a titled table of two columns, with sentences below it."""
    lines = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(value)}</td></tr>'
        for name, value in rows
    )
    below = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return f"<div><p><strong>{escape(title)}</strong></p><table>{lines}</table>{below}</div>"


def describe_evaluation(evaluation: Evaluation) -> str:
    """Return an evaluation as one line."""
    said = [
        f"{quantity_text(evaluation.counts.get('requests', 0), 'request')}",
        f"target {evaluation.target}",
    ]
    for name in ("frontier_share", "quality", "gap_recovered", "apgr"):
        estimate = evaluation.overall.get(name)
        if estimate is not None and estimate.value is not None:
            said.append(f"{name} {estimate.value:.3f}")
    if evaluation.verdict:
        said.append(evaluation.verdict.word.lower())
    return shortened(f"Evaluation({', '.join(said)})")


def evaluation_html(evaluation: Evaluation) -> str:
    """Return the verdict, the figures that are known with their ranges, and the first notes."""
    verdict = evaluation.verdict
    title = f"{verdict.word}: {in_python(verdict.told)}" if verdict else describe_target(evaluation)
    rows = [
        (name, value)
        for name, value in ((_name(key), _shown(evaluation, key)) for key in _ORDER)
        if value
    ]
    rows.insert(0, ("requests", f"{evaluation.counts.get('requests', 0):,}"))
    findings = [finding.message for finding in evaluation.findings]
    told = [in_python(sentence) for sentence in (*findings, *evaluation.notes)]
    more = len(told) - _MOST_NOTES
    notes = [*told[:_MOST_NOTES], *([f"{more} more in .findings and .notes"] if more > 0 else [])]
    return table_html(title, rows, ["Ranges are 95 % confidence intervals.", *notes])


def describe_target(evaluation: Evaluation) -> str:
    """Return what was judged, where there is no verdict."""
    at = "no threshold chosen yet"
    if evaluation.threshold is not None:
        at = f"threshold {evaluation.threshold:.3g}"
    return f"difficulty_score for target {evaluation.target}, {at}"


def _name(key: str) -> str:
    return _SHARES.get(key) or _PLAIN[key]


def _shown(evaluation: Evaluation, key: str) -> str:
    estimate = evaluation.overall.get(key)
    if estimate is None or estimate.value is None:
        return ""
    return as_percent(estimate) if key in _SHARES else number_text(estimate)


def number_text(estimate: Estimate) -> str:
    """Return ``0.612 (0.590 to 0.634)``; money with two digits."""
    if estimate.value is None:
        return "unknown"
    digits = ".2f" if abs(estimate.value) >= 10 else ".3f"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:{digits}}"
    return f"{estimate.value:{digits}} ({estimate.low:{digits}} to {estimate.high:{digits}})"
