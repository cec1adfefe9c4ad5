"""What the honesty checks found, and the notes on all figures."""

from __future__ import annotations

from typing import Final

from difficulty.evaluation.report.blocks import Block, Notice, Paragraph, Section, Tone
from difficulty.evaluation.report.extras import Extras
from difficulty.evaluation.result import Evaluation

_TONES: Final[dict[str, tuple[Tone, str]]] = {
    "error": ("error", "Error"),
    "warning": ("warning", "Warning"),
    "info": ("info", "Note"),
}


def findings_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return a notice for each finding, the gravest first."""
    blocks: list[Block] = [
        Notice(
            *_TONES[finding.severity], text=f"{finding.name.replace('_', ' ')}: {finding.message}"
        )
        for finding in evaluation.findings
    ]
    if not any(finding.severity != "info" for finding in evaluation.findings):
        blocks.insert(
            0,
            Notice(
                "good",
                "Nothing grave",
                "The honesty checks that could be made found no error and nothing to warn of.",
            ),
        )
    return Section(
        "findings",
        "Findings",
        (*blocks, *(Paragraph(note) for note in (extras.note, *evaluation.notes) if note)),
    )
