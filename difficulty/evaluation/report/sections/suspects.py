"""Labels that training found suspicious, as counts by task; which ones they are stands in the
run.
"""

from __future__ import annotations

from difficulty.evaluation.report.blocks import Notice, Paragraph, Row, Section, Table
from difficulty.evaluation.report.extras import Extras, Suspects
from difficulty.evaluation.result import Evaluation

_SCOPES = {"task": "with its task", "region": "with a region", "row": "by itself"}
_MOST = 15


def suspects_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return the counts, or why there are none."""
    title, suspects = "Labels to look at", extras.suspects
    if suspects is None:
        text = (
            "Suspicious labels are unknown: a bundle does not carry them. Evaluate the run to see"
            " them."
        )
        return Section("suspects", title, (Paragraph(text),))
    if not suspects.by_task:
        return Section(
            "suspects",
            title,
            (
                Paragraph(
                    f"Training looked at {suspects.checked:,} samples and found no suspicious"
                    " label."
                ),
            ),
        )
    text = (
        f"Training looked at {suspects.checked:,} samples. A suspicion is not a proof, and most"
        " labels that are suspicious by themselves are surprises, not mistakes. The samples stand"
        " in suspicious.jsonl in the run, the strongest suspicion first."
    )
    reasons = [Notice("warning", "Suspicious", reason) for reason in suspects.reasons]
    return Section("suspects", title, (Paragraph(text), *reasons, _table(suspects)))


def _table(suspects: Suspects) -> Table:
    rows = [
        Row(task, tuple(f"{counts.get(scope, 0):,}" for scope in _SCOPES))
        for task, counts in suspects.by_task.items()
    ][:_MOST]
    left = len(suspects.by_task) - len(rows)
    caption = "Suspicious labels by task" + (
        f"; {left:,} more tasks in run.json" if left > 0 else ""
    )
    return Table.of(caption, ["task", *_SCOPES.values()], rows)
