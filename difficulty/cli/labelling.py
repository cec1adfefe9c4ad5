"""Outcomes for traffic that has few or none: ``start``, ``outcomes``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from difficulty.cli.console import (
    JsonFlag,
    OutPath,
    OverwriteFlag,
    PricesPath,
    TrafficPath,
    counting,
    print_json,
    say,
    say_names,
)
from difficulty.text import one_line, quantity_text

if TYPE_CHECKING:
    from difficulty.stages.labelling.first_look import FirstLook
    from difficulty.stages.labelling.late_outcomes import FeedbackReport


def start(
    log: Annotated[Path, typer.Argument(help="A log of requests, as 'difficulty ingest' reads.")],
    cheap: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="The cheap model as the log names it, or a pattern."),
    ] = None,
    frontier: Annotated[
        list[str] | None, typer.Option(metavar="MODEL", help="The frontier model, the same way.")
    ] = None,
    prices: PricesPath = None,
    json: JsonFlag = False,
) -> None:
    """Look at a log for the first time: what is in it, what is missing, what 300 labels would cost,
    and which commands come next. Nothing is written.

    Example: difficulty start calls.jsonl --prices prices.toml
    """
    from difficulty.economics import load_prices
    from difficulty.stages.labelling.first_look import look_at
    from difficulty.traffic.reading.dialect import ReadOptions
    from difficulty.traffic.reading.named_pair import ModelPair

    price_list = load_prices(prices) if prices else None
    pair = ModelPair(cheap=tuple(cheap or ()), frontier=tuple(frontier or ()))
    with counting("rows read") as count:
        look = look_at(log, ReadOptions(pair=pair), price_list, count, prices_path=prices)
    print_json(look.as_dict()) if json else _print_look(look)
    if look.problem is not None:
        raise typer.Exit(2)


def _print_look(look: FirstLook) -> None:
    if look.problem is not None:
        say(f"format {look.format}; it cannot be read as it is:\n  {one_line(look.problem)}")
    else:
        way = ", with the mapping that 'ingest --suggest' proposes: check it" if look.mapped else ""
        say(f"in the file (format {look.format}{way})")
        rejected = f", {sum(look.rejected.values()):,} rejected" if look.rejected else ""
        say(f"  rows       {look.rows:,}, {quantity_text(look.kept, 'request')}{rejected}")
        for reason, n in list(look.rejected.items())[:3]:
            say(f"    rejected {n:,}: {one_line(reason)}")
        for reason, n in list(look.left_out.items())[:3]:
            say(f"    left out {n:,}: {one_line(reason)}")
        say(f"  models     {_counts(look.models)}")
        say(f"  outcomes   {quantity_text(look.labelled, 'request')}, of both models {look.both:,}")
        say(f"  answers    {_counts(look.answers)}")
        means = ", ".join(
            f"{name} {'unknown' if mean is None else f'{mean:,.0f}'}"
            for name, mean in look.tokens.items()
        )
        say(
            f"  tokens     {means} (means); {quantity_text(look.characters, 'character')} a request"
        )
        if any(look.billed_usd.values()):
            bills = (f"{one_line(name)} {usd:,.4g} USD" for name, usd in look.billed_usd.items())
            say(f"  billed     {', '.join(bills)}")
        say(f"  scripts    {_counts(look.scripts)}")
    if look.missing:
        say("missing")
        for sentence in look.missing:
            say(f"  {one_line(sentence)}")
    if look.cost is not None:
        usd = "unknown" if look.cost.usd is None else f"about {look.cost.usd:,.2f} USD"
        say(
            f"{quantity_text(look.cost.requests, 'request')} answered by both models: {usd}"
            f" ({look.cost.basis})"
        )
        say("  a judge's calls or a person's time come on top")
    say("next")
    for command in look.next_steps:
        say(f"  {command}")
    for way, command in look.instead.items():
        say(f"or, in place of the last, {way}")
        say(f"  {command}")
    say_names(*look.next_steps, *look.instead.values())


def _counts(counts: dict[str, int]) -> str:
    named = [f"{one_line(name)} {n:,}" for name, n in list(counts.items())[:6]]
    more = f", {len(counts) - len(named)} more" if len(counts) > len(named) else ""
    return ", ".join(named) + more if named else "none"


def outcomes(
    traffic: TrafficPath,
    feedback: Annotated[
        list[Path],
        typer.Argument(
            help="Files or folders of feedback (JSON lines, CSV, Parquet): id, side or model,"
            " quality, passed or preference, measured_by, timestamp; or pairs that people judged"
            " (CSV, export of Label Studio) with their key beside them."
        ),
    ],
    out_path: OutPath,
    on_conflict: Annotated[
        str,
        typer.Option(
            metavar="last|mean|first",
            help="What counts where different things were said of one answer: the last by its"
            " time, the mean, or the first, which is what the traffic had.",
        ),
    ] = "last",
    scale: Annotated[
        str | None,
        typer.Option(metavar="WORST,BEST", help="Scale of quality where that is not 0,1: 1,5."),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN",
            help='Which column is which, repeated: id=trace_id, quality="User rating".',
        ),
    ] = None,
    measured_by: Annotated[
        str | None,
        typer.Option(
            help="What the feedback was measured by, where its rows do not say it: thumbs,"
            " judge:NAME, tests."
        ),
    ] = None,
    cheap: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL", help="The cheap model as the feedback names it, or a pattern."
        ),
    ] = None,
    frontier: Annotated[
        list[str] | None, typer.Option(metavar="MODEL", help="The frontier model, the same way.")
    ] = None,
    csv_delimiter: Annotated[
        str | None, typer.Option(metavar="MARK", help="What stands between cells; default: found.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of text files; default: found.")
    ] = None,
    allow_rejects: Annotated[
        bool,
        typer.Option(
            "--allow-rejects",
            help="Go on where more than a fifth of the feedback is not understood.",
        ),
    ] = False,
    overwrite: OverwriteFlag = False,
    json: JsonFlag = False,
) -> None:
    """Join outcomes that came late (thumbs, tickets, scores of judges, tests, annotators) with
    traffic, by request id.

    The same feedback again changes nothing. Feedback of unknown requests goes to the rejects file
    beside -o.

    Example: difficulty outcomes traffic.parquet thumbs.jsonl -o labelled.parquet
    """
    from difficulty.stages.labelling.late_outcomes import join_outcomes
    from difficulty.traffic.feedback import FEEDBACK_COLUMNS
    from difficulty.traffic.reading.dialect import ReadOptions
    from difficulty.traffic.reading.named_pair import ModelPair
    from difficulty.traffic.rows import Scale

    with counting("rows read") as count:
        report = join_outcomes(
            traffic,
            feedback,
            out_path,
            on_conflict=on_conflict,
            scale=Scale.parse(scale, example="--scale 1,5") if scale is not None else None,
            columns=_read_columns(columns or (), FEEDBACK_COLUMNS),
            measured_by=measured_by,
            options=ReadOptions(
                delimiter=csv_delimiter,
                encoding=encoding,
                pair=ModelPair(cheap=tuple(cheap or ()), frontier=tuple(frontier or ())),
            ),
            allow_rejects=allow_rejects,
            overwrite=overwrite,
            progress=count,
        )
    if json:
        print_json({"out": str(out_path), **report.as_dict()})
        return
    _print_report(report)
    say(f"wrote {out_path}")


def _read_columns(written: list[str] | tuple[str, ...], known: tuple[str, ...]) -> dict[str, str]:
    from difficulty.errors import UnknownNameError

    columns = {}
    for text in written:
        name, equals, column = text.partition("=")
        if not equals or not column:
            raise typer.BadParameter(
                f"write it as field=column: got {text!r}", param_hint="'--map'"
            )
        if name not in known:
            raise UnknownNameError("field of --map", name, known)
        columns[name] = column
    return columns


def _print_report(report: FeedbackReport) -> None:
    """Print what became of the feedback."""
    say(
        f"{quantity_text(report.rows, 'row')} of feedback: {report.joined:,} joined,"
        f" {report.repeated:,} known"
        f" already, {sum(report.rejected.values()):,} rejected"
        f" ({report.unknown_ids:,} of unknown requests)"
    )
    say(
        f"  requests with an outcome: {report.labelled_before:,} before, {report.labelled:,} now;"
        f" {report.requests:,} have feedback"
    )
    counts = (f"{name} {n:,}" for name, n in report.known_outcomes.items() if n)
    say("  outcomes   " + ", ".join(counts))
    if report.contradictions:
        say(
            f"  contradictions {report.contradictions:,}, settled by --on-conflict"
            f" {report.on_conflict}"
        )
    for name, n in list(report.measured_by.items())[:8]:
        say(f"  measured by {one_line(name)}: {n:,}")
    if report.left_out:
        say(
            f"  left out {report.left_out:,}: checks of the form of frontier answers, pairs that"
            " nobody could tell"
        )
    for reason, n in report.rejected.items():
        say(f"  rejected {n:,}: {one_line(reason)}")
