"""What the words and figures mean, one line each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from difficulty.evaluation.result import Evaluation
from difficulty.report.blocks import Block, Facts, Notice, Paragraph, Row, Section, Table, Tone
from difficulty.report.extras import Chosen, Extras
from difficulty.report.wording import as_text, label_of

DEFINITIONS = (
    (
        "0.697 [0.678, 0.716]",
        (
            "A figure with its 95 % interval: on requests like these it would rarely lie outside"
            " the brackets."
        ),
    ),
    ("unknown", "What the figure needs is not there. It is never counted as zero."),
    (
        "difficulty_score",
        (
            "How much a request is worth the frontier model, from 0 to 1; for target benefit 0.5"
            " means no difference."
        ),
    ),
    (
        "threshold",
        "Requests with a score above it go to the frontier model; ties stay on the cheap one.",
    ),
    ("frontier share", "Share of the requests that go to the frontier model."),
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
        (
            "Share of the requests that the cheap model answers first and the frontier model again,"
            " after failed validation."
        ),
    ),
    ("routing precision", "Of the requests sent to the frontier model, the share that needed it."),
    ("routing recall", "Of the requests that needed the frontier model, the share that is sent."),
    (
        "cheap route precision",
        "Of the requests kept on the cheap model, the share that did not need the frontier model.",
    ),
    (
        "risk",
        (
            "Of the requests kept on the cheap model, the share that it fails; the frontier model"
            " may fail some of them too."
        ),
    ),
    ("APGR", "Share of the gap recovered, averaged over all frontier shares: 0.5 is chance."),
    ("CPT(80 %)", "Smallest frontier share that recovers 80 % of the gap."),
    (
        "AUROC",
        (
            "Of two requests of which one needed the frontier model, how often its score is the"
            " higher one: 0.5 is chance."
        ),
    ),
    ("Brier, ECE", "How far predicted probabilities are from what happens; 0 is perfect."),
    ("oracle", "Routing that knows every outcome beforehand: no score can do better."),
)


def definitions_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return the definitions."""
    return Section("definitions", "How to read this", (Facts(DEFINITIONS),))


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


def lineage_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return what was judged by what."""
    made = [
        ("traffic", extras.traffic or "unknown"),
        ("requests", _counted(evaluation.counts)),
        *(
            _flat(evaluation.lineage)
            if evaluation.lineage
            else [("scorer", "unknown: this evaluation does not say")]
        ),
    ]
    blocks: list[Block] = [Facts(tuple(made))]
    if extras.chosen:
        blocks.append(_expected(evaluation, extras.chosen))
    return Section("lineage", "Data and model", tuple(blocks))


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items())


def _expected(evaluation: Evaluation, chosen: Chosen) -> Table:
    """Return what was expected when the threshold was chosen beside what is found here."""
    names = [name for name in chosen.expected if name in evaluation.overall]
    rows = [
        Row(label_of(name), (as_text(chosen.expected[name]), as_text(evaluation.overall[name])))
        for name in names
    ]
    return Table.of(
        "What was expected of the threshold, and what is found here",
        ["figure", "expected (calibration)", "found here"],
        rows,
    )


def _flat(form: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield each entry of nested mappings by its full name."""
    for name, value in form.items():
        full = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{full}, ")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield full, ", ".join(str(part) for part in value) or "none"
        else:
            yield (
                full,
                "unknown"
                if value is None
                else f"{value:,}"
                if isinstance(value, int)
                else str(value),
            )
