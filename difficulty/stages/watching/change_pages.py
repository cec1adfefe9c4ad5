"""What a recalibration changed, in Markdown for a reviewer: what, why, the expected effect, and the
samples that say so.
"""

from __future__ import annotations

from collections.abc import Iterator

from difficulty.bundle import Policy
from difficulty.report.page import code, escape_but_code
from difficulty.report.wording import as_text, difference_text, figure_text, label_of
from difficulty.stages.thresholds import points_table
from difficulty.stages.watching.evidence import Recalibrated
from difficulty.text import quantity_text


def changes_page(result: Recalibrated, *, label: str) -> str:
    """Return ``changes.md``."""
    parent = result.parent
    return "".join(
        [
            f"# {escape_but_code(parent.label)} to {escape_but_code(label)}\n\n",
            f"Recalibrated for {escape_but_code(code(result.objective))}; the parent's manifest has"
            f" the hash `{parent.manifest.sha256[:16]}`.\n\n",
            *_body(result),
        ]
    )


def card_of(result: Recalibrated, *, label: str, policy: Policy) -> bytes:
    """Return the old card under a heading that says what is new."""
    parent = escape_but_code(result.parent.label)
    news = "".join(
        [
            f"# {escape_but_code(label)}\n\nThe scorer of {parent}, recalibrated: frontier when"
            f" `difficulty_score > {policy.threshold:.6g}`, chosen by"
            f" {escape_but_code(code(policy.chosen.objective))}; review it by"
            f" {policy.review_date.isoformat()}.\n\n",
            *_body(result),
            f"What follows is the card of {parent}; its threshold, its calibration, and its figures"
            " at that threshold, no longer hold.\n\n---\n\n",
        ]
    )
    return news.encode() + result.parent.files["card.md"]


def _body(result: Recalibrated) -> Iterator[str]:
    yield "## Why\n\n"
    for sentence in result.reasons:
        yield f"- {escape_but_code(sentence)}\n"
    for sentence in result.retraining:
        yield f"- Retraining is due all the same: {escape_but_code(sentence)}\n"
    yield "\n## What\n\n"
    yield from _calibrators(result)
    yield "\n" + _thresholds(result)
    yield "\n## Expected effect\n\n"
    if result.new is not None:
        yield "What requests that did not choose the threshold say of both (95 % intervals):\n\n"
        yield points_table(result.old, result.new, result.changes) + "\n\n"
        if result.new.guarantee:
            yield f"Guaranteed: {escape_but_code(result.new.guarantee)}.\n\n"
    for name, change in result.brier.items():
        yield (
            f"- Brier score of `{name}` on requests that the map was not fitted on:"
            f" {as_text(change, signed=True)} (below 0 is better)\n"
        )
    yield "\n## What was expected, and what was found\n\n"
    yield "| figure | expected | found | difference | decides |\n| --- | --- | --- | --- | --- |\n"
    for figure in result.figures:
        yield (
            f"| {label_of(figure.figure)} | {figure_text(figure.figure, figure.expected)} |"
            f" {figure_text(figure.figure, figure.found)} |"
            f" {difference_text(figure.figure, figure.difference)} |"
            f" {'yes' if figure.decides else ''} |\n"
        )
    yield from _samples(result)


def _calibrators(result: Recalibrated) -> Iterator[str]:
    yield "| output | outcomes | slope | intercept | p | map |\n"
    yield "| --- | --- | --- | --- | --- | --- |\n"
    for test in result.calibrators:
        p_value = "not tested" if test.p_value is None else f"{test.p_value:.2g}"
        moved = (
            f"slope {test.map.slope:.3f}, shift {test.map.shift:+.3f}" if test.moves else "stays"
        )
        yield (
            f"| `{test.output}` | {test.n:,} | {as_text(test.slope)} | {as_text(test.intercept)} |"
            f" {p_value} | {moved} |\n"
        )


def _thresholds(result: Recalibrated) -> str:
    if result.new is None:
        return "The threshold stays.\n"
    shipped = result.parent.policy.threshold
    return (
        f"The threshold goes from {shipped:.6g} to {result.new.threshold:.6g}"
        f" (on the new scale the old one stands at {result.old.threshold:.6g}).\n"
    )


def _samples(result: Recalibrated) -> Iterator[str]:
    samples = result.samples
    yield "\n## Samples\n\n"
    yield (
        f"{quantity_text(samples.given, 'request was', 'requests were')} given,"
        f" {samples.seen:,} of them had made the bundle"
        f" and {'was' if samples.seen == 1 else 'were'} left out."
        f" {samples.first_half:,} tested and fitted;"
        f" {quantity_text(samples.second_half, 'other')},"
        f" which share no group with them, judged or tested the promise. {samples.labelled:,} have"
        f" a known outcome, and there are {quantity_text(samples.groups, 'group')}."
    )
    if samples.first:
        yield f" They are from {samples.first} to {samples.last}."
    if samples.measured_by:
        names = ", ".join(f"{name} {n:,}" for name, n in samples.measured_by.items())
        yield f" Measured by: {escape_but_code(names)}."
    yield "\n\n"
    for sentence in (*result.notes, *result.warnings):
        yield f"- {escape_but_code(sentence)}\n"
    yield "\n"
