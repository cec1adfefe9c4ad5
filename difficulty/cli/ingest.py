"""``difficulty ingest``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from difficulty.cli.console import JsonFlag, OutPath, counting, err, out, print_json, shown

if TYPE_CHECKING:
    from difficulty.traffic.summary import Summary


_MOST_TASKS = 8
_OUTCOMES = {
    "cheap": "cheap_quality",
    "frontier": "frontier_quality",
    "both": "both",
    "passed or failed": "cheap_passed",
    "preferences": "preference",
}


def ingest(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help=(
                "Files or folders: JSON lines, CSV, Parquet, a saved datasets folder, a decision"
                " log, RouteLLM's layout."
            )
        ),
    ],
    out_path: OutPath,
    format: Annotated[
        str, typer.Option("--format", help="auto, native, log (a decision log) or routellm.")
    ] = "auto",
    labels: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "Label source of raw columns, repeat to chain: validation, gap:margin=0.1,"
                " preference, judge:scale=1,10, annotators."
            )
        ),
    ] = None,
    near_duplicates: Annotated[
        bool,
        typer.Option(help="Keep nearly equal texts on one side of the split, not only equal ones."),
    ] = True,
    json: JsonFlag = False,
) -> None:
    """Read labelled traffic in any supported format, check it, and write it where training reads
    it.

    Example: difficulty ingest logs/*.jsonl.gz -o traffic.parquet
    """
    from difficulty.stages.ingest import ingest
    from difficulty.traffic.writer import rejects_path

    with counting("rows read") as count:
        summary = ingest(
            sources,
            out_path,
            format=format,
            labels=labels or (),
            near_duplicates=near_duplicates,
            progress=count,
        )
    if json:
        print_json(summary.as_dict())
        return
    print_summary(summary)
    out.print(f"wrote {out_path}", markup=False)
    if rejects_path(out_path).exists():
        out.print(f"rejected rows, with reasons: {rejects_path(out_path)}", markup=False)


def print_summary(summary: Summary) -> None:
    """Print what was read, kept and found."""
    known = summary.known_outcomes
    joined = (
        f"; {summary.joined:,} more were joined with a row of the same request"
        if summary.joined
        else ""
    )
    out.print(f"{summary.kept:,} of {summary.rows:,} rows kept{joined}")
    for found in summary.labels:
        _print_labels(found)
    counts = {name: known.get(key, 0) for name, key in _OUTCOMES.items()}
    out.print("  outcomes   " + ", ".join(f"{name} {n:,}" for name, n in counts.items() if n))
    shares = {
        "frontier better": summary.frontier_better,
        "cheap better": summary.cheap_better,
        "tied": summary.tied,
    }
    out.print(
        f"  quality    cheap {shown(summary.cheap_quality)}, frontier"
        f" {shown(summary.frontier_quality)}"
    )
    out.print(
        "  of those   " + ", ".join(f"{name} {shown(share)}" for name, share in shares.items())
    )
    groups = f"{summary.groups:,} groups, the largest of {summary.largest_group:,}"
    contradicting = (
        f" ({summary.contradictions:,} with another outcome)" if summary.contradictions else ""
    )
    out.print(
        f"  duplicates {summary.exact_duplicates:,} exact{contradicting},"
        f" {summary.near_duplicates:,} near; {groups}"
    )
    tasks = ", ".join(
        f"{name or 'none'} {n:,}" for name, n in list(summary.tasks.items())[:_MOST_TASKS]
    )
    more = (
        f" and {len(summary.tasks) - _MOST_TASKS} more" if len(summary.tasks) > _MOST_TASKS else ""
    )
    out.print(f"  tasks      {tasks}{more}", markup=False)
    for pair, n in list(summary.model_pairs.items())[:3]:
        out.print(f"  models     {pair} ({n:,})", markup=False)
    if summary.cut:
        out.print(f"  longer than 8,192 characters, read by head and tail: {summary.cut:,}")
    if summary.contaminated:
        out.print(f"  marked contaminated: {summary.contaminated:,}")
    for reason, n in summary.rejected.items():
        out.print(f"  rejected {n:,}: {reason}", markup=False)
    for warning in summary.warnings:
        err.print(f"warning: {warning}", markup=False)


def _print_labels(found: Mapping[str, Any]) -> None:
    """Print what a label source found: its plain figures on one line, those of each judge or
    outcome on one line each.
    """
    plain = {
        name: value
        for name, value in found.items()
        if name != "source" and not isinstance(value, Mapping)
    }
    out.print(f"  labels     {found['source']}: {_figures(plain)}", markup=False)
    for parts in (value for value in found.values() if isinstance(value, Mapping)):
        for name, figures in list(parts.items())[:_MOST_TASKS]:
            out.print(f"    {name}: {_figures(figures)}", markup=False)


def _figures(found: Mapping[str, Any]) -> str:
    texts = {
        name: shown(value) if value is None or isinstance(value, float) else f"{value:,}"
        for name, value in found.items()
    }
    return ", ".join(f"{name.replace('_', ' ')} {text}" for name, text in texts.items())
