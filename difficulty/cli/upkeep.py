"""Keeping a bundle right while it serves: ``split``, ``recalibrate``, ``retrain``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from difficulty.cli.console import (
    ANSWER_HELP,
    ANSWER_METAVAR,
    CATCH_RATE_HELP,
    OBJECTIVE_HELP,
    TABLE_WIDTH,
    WAIT_USD_HELP,
    JsonFlag,
    KeyPath,
    OutPath,
    PricesPath,
    TrafficPath,
    out,
    print_json,
    read_answer,
    say,
    steps,
    warn,
)
from difficulty.cli.ship import print_promise
from difficulty.cli.signing import open_key
from difficulty.errors import InvalidValueError
from difficulty.text import one_line

if TYPE_CHECKING:
    from difficulty.stages.watching.evidence import Recalibrated
    from difficulty.stages.watching.splitting import SplitReport

_BUNDLE = Annotated[Path, typer.Option("--bundle", help="Bundle folder.", show_default=False)]


def split(
    traffic: TrafficPath,
    out_path: OutPath,
    by: Annotated[
        str, typer.Option(metavar="hash|time", help="What decides: a hash of the group, or time.")
    ] = "hash",
    parts: Annotated[
        str, typer.Option(metavar="NAME=SHARE,...", help="The parts in order; shares sum to 1.")
    ] = "train=0.6,choose=0.2,judge=0.2",
    cut: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TIME",
            help="With --by time: where the next part begins (ISO 8601), in place of the shares;"
            " once for two parts, twice for three.",
        ),
    ] = None,
    straddling: Annotated[
        str,
        typer.Option(
            metavar="earlier|later|aside",
            help="With --by time: where tied requests go that stand on both sides of a cut.",
        ),
    ] = "earlier",
    seed: Annotated[int, typer.Option(help="Of the hash.")] = 0,
    json: JsonFlag = False,
) -> None:
    """Split traffic into disjoint parts, one file each: no group and no two nearly equal texts come
    into two of them.

    Example: difficulty split traffic.parquet --by time --parts train=0.6,choose=0.2,judge=0.2 -o
    parts
    """
    from difficulty.stages.watching.splitting import split

    report = split(
        traffic,
        out_path,
        by=by,
        parts=_read_parts(parts),
        straddling=straddling,
        cuts=[_read_time(text) for text in cut or ()],
        seed=seed,
    )
    print_json(report.as_dict()) if json else _print_split(report, out_path)


def _read_parts(text: str) -> dict[str, float]:
    parts: dict[str, float] = {}
    for part in text.split(","):
        name, equals, share = part.partition("=")
        try:
            if not equals or name.strip() in parts:
                raise ValueError
            parts[name.strip()] = float(share)
        except ValueError:
            raise InvalidValueError(
                "parts", text, rule="be NAME=SHARE, each name once, separated by commas"
            ) from None
    return parts


def _read_time(text: str) -> datetime:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidValueError("cut", text, rule="be a time as ISO 8601 writes it") from None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def _print_split(report: SplitReport, folder: Path) -> None:
    for name, part in report.parts.items():
        times = f", {part.first} to {part.last}" if part.first else ""
        say(f"{name:<12} {part.rows:>9,} rows, {part.labelled:,} with outcomes{times}")
    for note in report.notes:
        say(note)
    say(f"wrote {folder}")


def recalibrate(
    source: Annotated[
        Path,
        typer.Argument(
            help="Newer traffic, as 'difficulty ingest' writes it, or a decision log with texts."
        ),
    ],
    bundle: _BUNDLE,
    out_path: OutPath,
    objective: Annotated[
        str | None, typer.Option(help=f"{OBJECTIVE_HELP} Default: the bundle's own.")
    ] = None,
    per_task: Annotated[
        bool | None,
        typer.Option("--per-task/--whole", help="Meet it in each task; default: as in the bundle."),
    ] = None,
    outcomes: Annotated[
        list[Path] | None,
        typer.Option(help="Feedback by request id, as 'difficulty outcomes' reads it; repeated."),
    ] = None,
    choose_share: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Share of the groups that test and fit; the others judge, or test the promise.",
        ),
    ] = 0.5,
    catch_rate: Annotated[
        float | None, typer.Option(min=0, max=1, help=f"{CATCH_RATE_HELP} Default: the bundle's.")
    ] = None,
    answer: Annotated[str, typer.Option(metavar=ANSWER_METAVAR, help=ANSWER_HELP)] = "auto",
    wait_usd: Annotated[float, typer.Option(min=0, help=WAIT_USD_HELP)] = 0.0,
    prices: PricesPath = None,
    sign_key: KeyPath = None,
    json: JsonFlag = False,
) -> None:
    """Test on newer traffic whether a bundle's probabilities and threshold still hold, and write
    the next version where they do not, without training.

    Exit code 1: nothing is written, because nothing should move, or because only training again
    would help. The new bundle says in changes.md what moved, why, and what to expect.

    Example: difficulty recalibrate traffic.parquet --bundle bundles/support-1 -o bundles/support-2
    """
    from difficulty.economics import load_prices
    from difficulty.stages.watching.fresh_traffic import read_material
    from difficulty.stages.watching.recalibrating import recalibrate

    price_list = load_prices(prices) if prices else None
    # A key that cannot be used is refused before the work.
    key = open_key(sign_key)
    with steps() as show:
        show("reading the traffic")
        traffic, notes = read_material(source, outcomes or ())
        result = recalibrate(
            bundle,
            traffic,
            out_path,
            objective=objective,
            per_task=per_task,
            choose_share=choose_share,
            catch_rate=catch_rate,
            answer=read_answer(answer, wait_usd),
            prices=price_list,
            sign_with=key,
            notes=notes,
            progress=show,
        )
    if json:
        print_json({"bundle": str(out_path) if result.moved else None, **result.as_dict()})
    else:
        _print_recalibrated(result, out_path)
    if not result.moved:
        raise typer.Exit(1)


def _print_recalibrated(result: Recalibrated, folder: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    from difficulty.report.wording import as_text

    for sentence in result.reasons:
        say(one_line(sentence))
    if result.new is not None:
        table = Table(box=None, pad_edge=False)
        for heading in ("", "old", "new", "change"):
            table.add_column(Text(heading))
        cuts = (result.old.threshold, result.new.threshold)
        table.add_row("threshold", *(f"{cut:.6g}" for cut in cuts), f"{cuts[1] - cuts[0]:+.6g}")
        for name, change in result.changes.items():
            points = (as_text(getattr(point, name)) for point in (result.old, result.new))
            table.add_row(name.replace("_", " "), *points, as_text(change, signed=True))
        out.print(table, width=TABLE_WIDTH, crop=False)
        print_promise(result.new)
    for sentence in result.notes:
        say(one_line(sentence))
    for sentence in result.retraining:
        warn(f"retraining is due: {one_line(sentence)}. See 'difficulty retrain'.")
    for sentence in result.warnings:
        warn(sentence)
    if result.moved:
        say(f"wrote {folder}; for the review: {folder / 'changes.md'}")
