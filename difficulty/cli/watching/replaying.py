"""What another rule would have done: ``replay``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from difficulty.cli.console import (
    JsonFlag,
    OverwriteFlag,
    print_json,
    refuse_report,
    say,
    say_next,
    steps,
    warn,
)
from difficulty.cli.signing import TrustPath, build_trust
from difficulty.text import quantity_text

if TYPE_CHECKING:
    from difficulty.replay.replay_result import ReplayResult
    from difficulty.stages.watching.replaying import OtherCuts


def replay(
    logs: Annotated[
        list[Path], typer.Argument(metavar="LOG...", help="Files or folders of decision logs.")
    ],
    out_path: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for replay.json and replay.md.")
    ],
    bundle: Annotated[
        Path | None, typer.Option(help="Bundle that would have decided instead.")
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="T|TASK=T",
            help="Threshold instead of the logged one; TASK=T for one task, repeated.",
        ),
    ] = None,
    answer_threshold: Annotated[
        float | None, typer.Option(metavar="T", help="Threshold of the check of answers instead.")
    ] = None,
    outcomes: Annotated[
        list[Path] | None,
        typer.Option(
            help="Late outcomes by request id: feedback as 'difficulty outcomes' reads it, or"
            " labelled traffic; repeated."
        ),
    ] = None,
    traffic: Annotated[
        Path | None,
        typer.Option(
            help="File written by 'difficulty ingest' with the texts of the log's requests, where"
            " the log keeps none."
        ),
    ] = None,
    logged_bundle: Annotated[
        Path | None,
        typer.Option(
            help="The bundle that decided: only its requests are replayed. A bundle with the same"
            " scorer needs no texts then."
        ),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="First day (UTC) to replay, such as that of the first exploration.",
        ),
    ] = None,
    plan: Annotated[
        float | None,
        typer.Option(
            metavar="WIDTH",
            help="Also say how much exploration for how long would make the difference of quality"
            " known to this width, and what it costs.",
        ),
    ] = None,
    trust: TrustPath = None,
    overwrite: OverwriteFlag = False,
    json: JsonFlag = False,
) -> None:
    """Say what quality, cost, share and risk another bundle or threshold would have had on logged
    traffic, from what the log tells of both routes.

    Exit code 1 where the route that is asked about had no chance to be seen: bounds are given then,
    and no value.

    Example: difficulty replay decisions --threshold 0.4 --outcomes thumbs.jsonl -o replay
    """
    from difficulty.replay.replay_page import write_page
    from difficulty.replay.replay_result import REPLAY_FILE, write_replay
    from difficulty.stages.watching.replaying import replay_log

    refuse_report(out_path, REPLAY_FILE, "replay.md", overwrite=overwrite)
    with steps() as show:
        result = replay_log(
            logs,
            bundle_path=bundle,
            cuts=_read_cuts(threshold or [], answer_threshold),
            outcomes=outcomes or (),
            traffic_path=traffic,
            logged_bundle_path=logged_bundle,
            since=since.date() if since else None,
            plan_width=plan,
            trust=build_trust(trust),
            out=out_path,
            progress=show,
        )
    write_replay(result, out_path, write_page(result))
    if json:
        print_json(result.as_dict() | {"out": str(out_path)})
    else:
        _print_replay(result, out_path)
    if not result.is_supported:
        raise typer.Exit(1)


def _read_cuts(written: list[str], answer_threshold: float | None) -> OtherCuts:
    from difficulty.stages.watching.replaying import OtherCuts

    common: float | None = None
    tasks: dict[str, float] = {}
    for text in written:
        task, equals, number = text.rpartition("=")
        try:
            cut = float(number)
        except ValueError:
            raise typer.BadParameter(
                f"write it as a number or TASK=NUMBER: got {text!r}", param_hint="'--threshold'"
            ) from None
        if equals:
            tasks[task] = cut
        else:
            common = cut
    return OtherCuts(threshold=common, task_thresholds=tasks, answer_threshold=answer_threshold)


def _print_replay(result: ReplayResult, out_path: Path) -> None:
    for finding in result.findings:
        warn(finding)
    say(result.sentence)
    if result.plan is not None:
        for way in result.plan.ways:
            days = "" if way.days is None else f", {way.days:,.1f} days at the log's pace"
            usd = "" if way.usd is None else f", {way.usd:+,.2f} USD"
            name = "epsilon" if way.way == "explore" else "shadow"
            lost = f", {way.quality_lost:.4f} of quality lost meanwhile" if way.quality_lost else ""
            say(
                f"  {name}={way.share:g}: {quantity_text(way.requests, 'request')}{days}{lost}{usd}"
            )
    say(f"wrote {out_path}/replay.json and replay.md")
    say_next(result.next_step)
