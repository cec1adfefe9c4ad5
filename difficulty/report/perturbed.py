"""The section on perturbed requests: how far decisions hold when the same ask comes in other
clothes.
"""

from __future__ import annotations

from difficulty.evaluation.result import Evaluation
from difficulty.evaluation.words import UNKNOWN, as_percent
from difficulty.records import Estimate
from difficulty.report.blocks import Extras, Row, Section, Table

_COLUMNS = {
    "unchanged": "same decision",
    "told_apart": "told apart",
    "apgr_change": "APGR, change",
    "unfamiliar": "unfamiliar",
    "unchanged_or_unfamiliar": "safe",
}
_HOW = (
    "The same requests in other clothes: what is asked stays the same, so decisions should. Same"
    " decision: share of the requests that the score sends where it sent them. Told apart: of a"
    " request that was sent and one that was kept, how often the score still puts the first higher;"
    " 50 % says nothing any more. Unfamiliar: less familiar than the bound. Safe: same decision, or"
    " unfamiliar. docs/robustness.md says what to do about a low figure."
)


def perturbed_section(evaluation: Evaluation, extras: Extras) -> Section | None:
    """Return a row for each perturbation; nothing where none was tried."""
    if not evaluation.robustness:
        return None
    rows = [
        Row(
            name.replace("_", " "),
            (f"{part['unchanged'].n:,}", *(_shown(key, part.get(key)) for key in _COLUMNS)),
        )
        for name, part in evaluation.robustness.items()
    ]
    table = Table.of("", ["perturbation", "requests", *_COLUMNS.values()], rows)
    return Section.of("robustness", "In other clothes", _HOW, table, short="Robustness")


def _shown(key: str, figure: Estimate | None) -> str:
    if figure is None or figure.value is None:
        return UNKNOWN
    if key != "apgr_change":
        return as_percent(figure)
    ends = "" if figure.low is None else f" ({figure.low:+.3f} to {figure.high:+.3f})"
    return f"{figure.value:+.3f}{ends}"
