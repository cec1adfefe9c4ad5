"""Keeping a bundle right while it serves: ``split``, ``recalibrate``, ``retrain``."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from difficulty.cli.console import (
    ANSWER_HELP,
    ANSWER_METAVAR,
    CATCH_RATE_HELP,
    OBJECTIVE_HELP,
    OBJECTIVE_METAVAR,
    WAIT_USD_HELP,
    CachePath,
    JsonFlag,
    KeyPath,
    OutPath,
    PricesPath,
    TrafficPath,
    command_text,
    next_bundle,
    print_json,
    read_answer,
    say,
    say_next,
    show_table,
    steps,
    warn,
)
from difficulty.cli.ship import print_promise
from difficulty.cli.signing import open_key
from difficulty.errors import InvalidValueError
from difficulty.storage import DEFAULT_CACHE
from difficulty.text import one_line, quantity_text

if TYPE_CHECKING:
    from difficulty.stages.watching.evidence import Recalibrated
    from difficulty.stages.watching.retraining import Retrained
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
            help="Newer traffic, as 'difficulty ingest' writes it, or a decision log: where that"
            " keeps no texts, the logged scores are used."
        ),
    ],
    bundle: _BUNDLE,
    out_path: OutPath,
    objective: Annotated[
        str | None,
        typer.Option(
            metavar=OBJECTIVE_METAVAR, help=f"{OBJECTIVE_HELP} Default: the bundle's own."
        ),
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
    from difficulty.stages.watching.fresh_traffic import read_fresh
    from difficulty.stages.watching.recalibrating import recalibrate

    price_list = load_prices(prices) if prices else None
    # A key that cannot be used is refused before the work.
    key = open_key(sign_key)
    with steps() as show:
        show("reading the traffic")
        fresh = read_fresh(source, bundle, outcomes or ())
        result = recalibrate(
            bundle,
            fresh.traffic,
            out_path,
            objective=objective,
            per_task=per_task,
            choose_share=choose_share,
            catch_rate=catch_rate,
            answer=read_answer(answer, wait_usd),
            prices=price_list,
            sign_with=key,
            logged=fresh.logged,
            notes=fresh.notes,
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
        show_table(table)
        print_promise(result.new)
    for sentence in result.notes:
        say(one_line(sentence))
    for sentence in result.retraining:
        warn(f"retraining is due: {one_line(sentence)}. See 'difficulty retrain'.")
    for sentence in result.warnings:
        warn(sentence)
    if result.moved:
        say(f"wrote {folder}; for the review: {folder / 'changes.md'}")


def retrain(
    old: Annotated[Path, typer.Argument(help="Traffic that was learned from before, ingested.")],
    new: Annotated[Path, typer.Argument(help="Newer traffic, ingested, with times.")],
    bundle: _BUNDLE,
    out_path: OutPath,
    recipe: Annotated[
        str | None,
        typer.Option(help="A shipped recipe's name, or a TOML file; default: the bundle's."),
    ] = None,
    start_from: Annotated[
        Path | None, typer.Option(help="Run to start from as well, one of the ways that are tried.")
    ] = None,
    half_lives: Annotated[
        str,
        typer.Option(
            metavar="DAYS,...",
            help="Ages at which an old request counts half, to choose from forward in time; 'none':"
            " all count the same. Of a single one nothing is chosen.",
        ),
    ] = "none,180,60,20",
    newest: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the new requests, the newest, that judge.")
    ] = 0.25,
    more_labels: Annotated[
        bool, typer.Option(help="Measure what more labels would bring.")
    ] = False,
    unseen_tasks: Annotated[
        bool, typer.Option(help="Leave tasks out in turn, for a --min-familiarity of 'ship'.")
    ] = False,
    cache: CachePath = DEFAULT_CACHE,
    json: JsonFlag = False,
) -> None:
    """Train on old and new traffic, the old weighing what forward validation says it is worth, and
    judge by the newest requests, which share no group with what was learned.

    Exit code 1: the run is there, and worse on the newest requests than the bundle's scorer. It
    gets into service only by 'ship', 'publish' and the gate of 'promote', with newest.parquet.

    Example: difficulty retrain spring.parquet summer.parquet --bundle bundles/support-1 -o
    runs/summer
    """
    from difficulty.bundle import read_bundle
    from difficulty.recipe import parse_recipe
    from difficulty.stages.watching.retraining import retrain
    from difficulty.training.run import Run
    from difficulty.training.shipped import find_encoder, find_recipe

    start = Run.read(start_from) if start_from else None
    if recipe:
        chosen = find_recipe(recipe)
    elif start:
        chosen = start.recipe
    else:
        chosen = parse_recipe(dict(read_bundle(bundle).manifest.recipe), name="the bundle's recipe")
    with steps() as show:
        show("finding the encoder")
        find = partial(find_encoder, cache=cache)
        result = retrain(
            old,
            new,
            bundle,
            out_path,
            recipe=chosen,
            encoder=start.encoder if start and not recipe else find(chosen.features),
            start=start,
            half_lives=_read_half_lives(half_lives),
            newest=newest,
            find=find,
            cache=cache,
            more_labels=more_labels,
            unseen_tasks=unseen_tasks,
            progress=show,
        )
    print_json(result.as_dict()) if json else _print_retrained(result, bundle)
    if result.is_worse:
        raise typer.Exit(1)


def _read_half_lives(text: str) -> list[float | None]:
    try:
        return [None if part.strip().lower() == "none" else float(part) for part in text.split(",")]
    except ValueError:
        raise InvalidValueError(
            "half_lives", text, rule="be numbers of days, or 'none', separated by commas"
        ) from None


def _print_retrained(result: Retrained, bundle: Path) -> None:
    from difficulty.report.wording import as_text

    counts = result.counts
    say(
        f"{counts['old']:,} old and {quantity_text(counts['new'], 'new request')}:"
        f" {counts['learned']:,} learned"
        f" from, {counts['newest']:,} newest to judge by"
    )
    for way in result.tried:
        name = "all alike" if way.half_life is None else f"half-life {way.half_life:g} days"
        name = "from the run" if way.warm else name
        loss = "not tried" if way.loss is None else f"loss {way.loss:.4f}"
        behind = as_text(way.behind_first, signed=True)
        mark = "->" if way.chosen else "  "
        say(f"{mark} {name:<22} {loss}, {behind} of the first; worth {way.effective:,.0f}")
        if way.problem:
            say(f"   {one_line(way.problem)}")
    for figure in result.figures:
        say(
            f"{figure.figure.replace('_', ' '):<20} old {as_text(figure.old)}   new"
            f" {as_text(figure.new)}"
        )
    say(f"loss of new minus old {as_text(result.loss, signed=True)} (below 0 is better)")
    for note in result.notes:
        say(note)
    if result.is_worse:
        warn("the new scorer is worse on the newest requests: keep the bundle")
    folder = result.run.folder
    say(f"wrote {folder} and {result.material}")
    newest = one_line(str(result.material / "newest.parquet"))
    ship = command_text("ship", folder, "-o", next_bundle(bundle))
    say_next(ship, f"when it is shipped, publish it and promote it with {newest}")
