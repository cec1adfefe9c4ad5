"""Score and route requests with a bundle: ``difficulty score``, ``difficulty route``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from difficulty.cli.console import JsonFlag, counting, err, out, print_json


def score(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    text: Annotated[str | None, typer.Argument(help="A request.")] = None,
    task: Annotated[
        str | None,
        typer.Option(help="Task of the text, where it is known. Files name it in each row."),
    ] = None,
    input_path: Annotated[
        Path | None,
        typer.Option("--input", help="JSON lines with messages or prompt; - for standard input."),
    ] = None,
    out_path: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Where to write JSON lines; default: standard output."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Score a text, or every request of a JSON-lines file; order and number of rows stay as they
    came.

    Example: difficulty score bundles/support-1 "Plan a three-day trip with two children"
    """
    from difficulty.bundle import read_bundle
    from difficulty.request import Request, RequestRow, read_requests
    from difficulty.runtime.scorer import Scorer
    from difficulty.stages.route import score_rows, write_rows

    check_one_input(text, input_path)
    checked = read_bundle(bundle)
    scorer = Scorer.from_bundle(checked)
    version = f"{checked.manifest.name}-{checked.manifest.version}"
    rows = (
        [RequestRow("1", Request(text, task))]
        if text is not None
        else read_requests(input_path or Path("-"))
    )
    scored = score_rows(scorer, rows, version=version)
    if out_path is None:
        for row in scored:
            if json or text is None:
                print_json(row)
            elif "error" not in row:
                cut = "  (only head and tail were read)" if row.get("truncated") else ""
                out.print(
                    "  ".join(
                        f"{name} {value:.4f}"
                        for name, value in row.items()
                        if isinstance(value, float)
                    )
                    + cut
                )
            if text is not None and "error" in row:
                err.print(f"error: {row['error']}", markup=False)
                raise typer.Exit(2)
        return
    with counting("scored") as count:
        counts = write_rows(scored, out_path, progress=count)
    if json:
        print_json(
            {
                "out": str(out_path),
                **{name: counts[name] for name in ("rows", "errors", "truncated")},
            }
        )
        return
    cut = f", {counts['truncated']:,} cut to head and tail" if counts["truncated"] else ""
    out.print(
        f"{counts['rows']:,} requests, {counts['errors']:,} could not be scored{cut}; wrote"
        f" {out_path}",
        markup=False,
    )


def check_one_input(text: str | None, input_path: Path | None) -> None:
    """Refuse none or both of a text and a file."""
    if (text is None) == (input_path is None):
        raise typer.BadParameter("pass either a text or --input FILE")


def route(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    text: Annotated[str | None, typer.Argument(help="A request.")] = None,
    task: Annotated[
        str | None,
        typer.Option(help="Task of the text, for example classify. Files name it in each row."),
    ] = None,
    input_path: Annotated[
        Path | None,
        typer.Option("--input", help="JSON lines with messages or prompt; - for standard input."),
    ] = None,
    out_path: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Where to write JSON lines; default: standard output."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Decide cheap or frontier for a text, or for every request of a JSON-lines file, with the
    reason.

    Example: difficulty route bundles/support-1 "Which label fits: invoice or complaint?" --task
    classify
    """
    from difficulty.request import Request, RequestRow, read_requests
    from difficulty.runtime import Router
    from difficulty.runtime.service import route_rows
    from difficulty.stages.route import write_rows

    check_one_input(text, input_path)
    router = Router.load(bundle)
    rows = (
        [RequestRow("1", Request(text, task))]
        if text is not None
        else read_requests(input_path or Path("-"))
    )
    decided = route_rows(router, rows)
    if out_path is None:
        for row in decided:
            print_json(row) if json or text is None else print_decision(row)
        return
    with counting("routed") as count:
        counts = write_rows(decided, out_path, progress=count)
    if json:
        print_json({"out": str(out_path), **counts})
        return
    out.print(
        f"{counts['rows']:,} requests: {counts['cheap']:,} cheap, {counts['frontier']:,} frontier"
    )
    if counts["early"]:
        out.print(f"  of {counts['early']:,} the scorer was not asked: decided early")
    for reason in (
        "easy_task",
        "hard_task",
        "above_threshold",
        "within_threshold",
        "unfamiliar",
        "scorer_error",
    ):
        if counts[reason]:
            out.print(f"  {reason} {counts[reason]:,}")
    if counts["truncated"]:
        out.print(f"  of {counts['truncated']:,} only head and tail were read")
    out.print(f"wrote {out_path}", markup=False)


def print_decision(row: dict[str, Any]) -> None:
    """Print one decision for people."""
    score = row["difficulty_score"]
    name = "early_score" if row["scored_by"] == "early" else "difficulty_score"
    why = (
        f"{name} {score:.4f}, threshold {row['threshold']:.4f}"
        if score is not None
        else row.get("error", "no score needed")
    )
    fallback = f"; falls back to {row['fallback']} when validation fails" if row["fallback"] else ""
    cut = "; only head and tail were read" if row["truncated"] else ""
    out.print(
        f"{row['route']} -> {row['model']}  ({row['reason']}: {why}){fallback}{cut}", markup=False
    )
