"""Where the scorer and the figures come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from difficulty.evaluation.numbers import as_text, label_of
from difficulty.evaluation.report.blocks import Block, Facts, Row, Section, Table
from difficulty.evaluation.report.extras import Chosen, Extras
from difficulty.evaluation.result import Evaluation


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
