"""``difficulty thresholds``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from difficulty.cli.console import (
    ANSWER_HELP,
    ANSWER_METAVAR,
    CATCH_RATE_HELP,
    OBJECTIVE_HELP,
    OBJECTIVE_METAVAR,
    PER_TASK_HELP,
    WAIT_USD_HELP,
    BundlePath,
    JsonFlag,
    KeyPath,
    OutPath,
    PricesPath,
    print_json,
    read_answer,
    say,
    say_sentence,
    show_table,
    steps,
    warn,
)
from difficulty.cli.ship import print_promise, say_published
from difficulty.cli.signing import open_key

if TYPE_CHECKING:
    from difficulty.stages.thresholds import Rechosen


def thresholds(
    bundle: BundlePath,
    traffic: Annotated[
        Path,
        typer.Argument(
            help="File written by 'difficulty ingest'; not the traffic the bundle is later judged"
            " by."
        ),
    ],
    out_path: OutPath,
    objective: Annotated[str, typer.Option(metavar=OBJECTIVE_METAVAR, help=OBJECTIVE_HELP)],
    per_task: Annotated[bool, typer.Option("--per-task", help=PER_TASK_HELP)] = False,
    catch_rate: Annotated[
        float | None, typer.Option(min=0, max=1, help=f"{CATCH_RATE_HELP} Default: the bundle's.")
    ] = None,
    answer: Annotated[str, typer.Option(metavar=ANSWER_METAVAR, help=ANSWER_HELP)] = "auto",
    wait_usd: Annotated[float, typer.Option(min=0, help=WAIT_USD_HELP)] = 0.0,
    prices: PricesPath = None,
    allow_no_signal: Annotated[
        bool,
        typer.Option(
            "--allow-no-signal",
            help="Choose even where the score routes no better than chance might on this traffic.",
        ),
    ] = False,
    sign_key: KeyPath = None,
    json: JsonFlag = False,
) -> None:
    """Choose a bundle's threshold again on new labelled traffic, without training, and write the
    next version.

    Example: difficulty thresholds bundles/support-1 traffic.parquet --objective share=0.2 -o
    bundles/support-2
    """
    from difficulty.economics import load_prices
    from difficulty.report.figures_table import decision_text
    from difficulty.stages.thresholds import rechoose

    price_list = load_prices(prices) if prices else None
    # A key that cannot be used is refused before the work.
    key = open_key(sign_key)
    with steps() as show:
        show("choosing the threshold")
        result = rechoose(
            bundle,
            traffic,
            out_path,
            objective=objective,
            per_task=per_task,
            catch_rate=catch_rate,
            answer=read_answer(answer, wait_usd),
            prices=price_list,
            allow_no_signal=allow_no_signal,
            sign_with=key,
        )
    if json:
        print_json(
            {
                "bundle": str(out_path),
                "old": result.old.as_dict(),
                "new": result.new.as_dict(),
                "change": {name: change.as_dict() for name, change in result.changes.items()},
                "notes": list(result.notes),
                "warnings": list(result.warnings),
                "verdict": result.verdict.as_dict() if result.verdict else None,
            }
        )
        return
    if result.verdict:
        say_sentence(decision_text(result.verdict))
    _print_changes(result)
    print_promise(result.new)
    told = result.verdict.told if result.verdict else ""
    for sentence in (*result.notes, f"wrote {out_path}"):
        # A losing rule is the reason of the decision, by other draws of the same samples.
        if sentence.partition(".")[0] not in told:
            say(sentence)
    for sentence in result.warnings:
        warn(sentence)
    say_published(out_path, verdict=result.verdict)


def _print_changes(result: Rechosen) -> None:
    from rich.table import Table
    from rich.text import Text

    from difficulty.report.wording import difference_text, figure_text, label_of

    old, new = result.old, result.new
    headings = ("", f"old ({old.objective})", f"new ({new.objective})", "change")
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(Text(heading))
    thresholds = {"threshold": (old.threshold, new.threshold)}
    for task in sorted({*old.task_thresholds, *new.task_thresholds}):
        before, after = (point.task_thresholds.get(task, point.threshold) for point in (old, new))
        thresholds[f"  {task}"] = (before, after)
    for name, (before, after) in thresholds.items():
        # As Text: names of tasks may hold what rich takes for markup.
        table.add_row(Text(name), f"{before:.6g}", f"{after:.6g}", f"{after - before:+.6g}")
    if old.answer or new.answer:
        cuts = ("" if one is None else f"{one.threshold:.6g}" for one in (old.answer, new.answer))
        table.add_row("threshold of answers", *cuts, "")
    for name, change in result.changes.items():
        points = (figure_text(name, getattr(point, name)) for point in (old, new))
        table.add_row(label_of(name), *points, difference_text(name, change))
    show_table(table)
