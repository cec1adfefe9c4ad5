"""The report of an evaluation: what stands beside the figures is gathered here, and the two files
are written.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from difficulty.bundle import Policy
from difficulty.diagnostics.suspicion import LabelSummary
from difficulty.economics.account import FORMAT
from difficulty.errors import RunError
from difficulty.evaluation import Evaluation
from difficulty.evaluation.scored import Judged
from difficulty.evaluation.slices import Mistake, Mistakes, worst_mistakes
from difficulty.records import Estimate
from difficulty.report.blocks import Chosen, Extras, Suspects
from difficulty.report.page import report_html, report_markdown
from difficulty.storage import whole_file
from difficulty.traffic.table import Traffic


def write_report(evaluation: Evaluation, extras: Extras, out: Path) -> None:
    """Write ``report.html`` and ``report.md`` into a folder; what the lineage says of scorer and
    models is taken from it.
    """
    told = evaluation.lineage
    extras = replace(
        extras,
        scorer=told.get("name", ""),
        kind=told.get("scorer", extras.kind),
        cheap_model=told.get("cheap_model"),
        frontier_model=told.get("frontier_model"),
        made_on=told.get("judged_on", ""),
    )
    for name, text in (
        ("report.html", report_html(evaluation, extras)),
        ("report.md", report_markdown(evaluation, extras)),
    ):
        with whole_file(out / name, errors="replace") as file:
            file.write(text)


def choice_of(policy: Policy) -> Chosen:
    """Return how a policy's threshold was chosen, and its rules in words."""
    chosen = policy.chosen
    return Chosen(
        objective=chosen.objective,
        expected={name: Estimate(**form) for name, form in chosen.expected.items()},
        n=chosen.n,
        review_date=policy.review_date.isoformat(),
        guarantee=chosen.guarantee,
        rules=tuple(_rules(policy)),
    )


def read_economics(path: Path) -> dict[str, Any]:
    """Return what ``economics.json`` holds.

    Raises
    ------
    RunError
        If it cannot be read, or is of another format.
    """
    try:
        form: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = form["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"economics file {str(path)!r} cannot be used: {error}. Run difficulty economics -o"
            " again."
        ) from error
    if found != FORMAT:
        raise RunError(
            f"economics format must be {FORMAT}: got {found!r}. Run difficulty economics -o again."
        )
    return form


def suspects_of(labels: LabelSummary | None) -> Suspects | None:
    """Return what a run says of suspicious labels; None for a run from before they were looked
    for.
    """
    if labels is None:
        return None
    return Suspects(by_task=labels.by_task, reasons=labels.why, checked=labels.checked)


def mistakes_of(judged: Judged, traffic: Traffic, *, show_texts: bool) -> Mistakes | None:
    """Return the worst mistakes; without ``show_texts`` no text is read."""
    mistakes = worst_mistakes(judged, traffic.ids)
    if mistakes is None or not show_texts:
        return mistakes
    return replace(
        mistakes, kept=_with_texts(mistakes.kept, traffic), sent=_with_texts(mistakes.sent, traffic)
    )


def _with_texts(mistakes: tuple[Mistake, ...], traffic: Traffic) -> tuple[Mistake, ...]:
    rows = {name: row for row, name in enumerate(traffic.ids)}
    messages = traffic.messages([rows[mistake.id] for mistake in mistakes])
    texts = (" / ".join(message["content"] for message in each) for each in messages)
    return tuple(replace(mistake, text=text) for mistake, text in zip(mistakes, texts, strict=True))


def _rules(policy: Policy) -> list[str]:
    rules = []
    if policy.easy_tasks and policy.max_cheap_tokens:
        rules.append(
            f"{', '.join(policy.easy_tasks)} below {policy.max_cheap_tokens:,} tokens stay on the"
            " cheap model"
        )
    if policy.hard_tasks:
        rules.append(f"{', '.join(policy.hard_tasks)} go to the frontier model")
    if policy.min_familiarity:
        rules.append(
            f"requests less familiar than {policy.min_familiarity:g} go to the frontier model"
        )
    if policy.task_thresholds:
        rules.append(f"{', '.join(policy.task_thresholds)} have thresholds of their own")
    return rules
