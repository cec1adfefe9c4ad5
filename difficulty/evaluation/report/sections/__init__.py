"""The sections of the report in their order, one file each.

A section is a function of the evaluation and the extras that returns a
:class:`~difficulty.evaluation.report.blocks.Section`, or None where it does not apply. What is
unknown is said, with the reason. To add one, write its file and add its line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from difficulty.evaluation.report.blocks import Section
from difficulty.evaluation.report.extras import Extras
from difficulty.evaluation.report.sections.calibration import calibration_section
from difficulty.evaluation.report.sections.definitions import definitions_section
from difficulty.evaluation.report.sections.economics import economics_section
from difficulty.evaluation.report.sections.findings import findings_section
from difficulty.evaluation.report.sections.lineage import lineage_section
from difficulty.evaluation.report.sections.mistakes import mistakes_section
from difficulty.evaluation.report.sections.scores import scores_section
from difficulty.evaluation.report.sections.slices import slices_section
from difficulty.evaluation.report.sections.summary import summary_section
from difficulty.evaluation.report.sections.suspects import suspects_section
from difficulty.evaluation.report.sections.thresholds import thresholds_section
from difficulty.evaluation.report.sections.tradeoff import tradeoff_section
from difficulty.evaluation.result import Evaluation

__all__ = ["SECTIONS", "sections_of"]

SECTIONS: Final[tuple[Callable[[Evaluation, Extras], Section | None], ...]] = (
    summary_section,
    findings_section,
    tradeoff_section,
    thresholds_section,
    economics_section,
    calibration_section,
    scores_section,
    slices_section,
    mistakes_section,
    suspects_section,
    lineage_section,
    definitions_section,
)


def sections_of(evaluation: Evaluation, extras: Extras) -> list[Section]:
    """Return the sections that apply."""
    made = (section(evaluation, extras) for section in SECTIONS)
    return [section for section in made if section is not None]
