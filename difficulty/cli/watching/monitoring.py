"""Watching a router by its log: ``monitor``."""

from __future__ import annotations

import signal
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from difficulty.cli.console import (
    EngineName,
    EngineWorkers,
    JsonFlag,
    OverwriteFlag,
    PricesPath,
    RayAddress,
    chosen_engine,
    print_json,
    refuse_report,
    say,
    say_next,
    steps,
    warn,
)
from difficulty.cli.signing import TrustPath, build_trust
from difficulty.errors import OutputExistsError
from difficulty.text import one_line

if TYPE_CHECKING:
    from difficulty.engine import Engine
    from difficulty.stages.watching.monitoring import Monitored, MonitorOptions


def monitor(
    logs: Annotated[
        list[Path],
        typer.Argument(
            metavar="LOG...",
            help="Folders and files of decision logs: JSON lines, also gzipped, or Parquet.",
        ),
    ],
    bundle: Annotated[Path, typer.Option("--bundle", "-b", help="The bundle that decided.")],
    out_path: Annotated[
        Path, typer.Option("--out", "-o", help="Folder to write into.", show_default=False)
    ],
    outcomes: Annotated[
        list[Path] | None,
        typer.Option(
            help="Late outcomes, joined by request id: feedback as 'difficulty outcomes' reads it,"
            " or labelled traffic; repeated."
        ),
    ] = None,
    prices: PricesPath = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="First day or moment (ISO 8601, UTC).")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="First day or moment no more.")
    ] = None,
    any_bundle: Annotated[
        bool,
        typer.Option("--any-bundle", help="Count the events of all bundles, not only this one's."),
    ] = False,
    memory_gb: Annotated[
        float, typer.Option(help="Most memory for the log's table; the rest waits on the disk.")
    ] = 1.0,
    work_dir: Annotated[
        Path | None,
        typer.Option(help="Where that table is kept meanwhile; default: the system's place."),
    ] = None,
    prometheus: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write figures, alarms and counts there too, as Prometheus reads them: for the"
            " textfile collector. An older file is replaced.",
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Keep watching: look again when the log has grown, write all files anew, and print"
            " a line when an alarm rises or falls. Ends with Ctrl-C or SIGTERM.",
        ),
    ] = False,
    every: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="With --follow: between two looks.")
    ] = 60.0,
    trust: TrustPath = None,
    engine: EngineName = None,
    address: RayAddress = None,
    workers: EngineWorkers = None,
    overwrite: OverwriteFlag = False,
    json: JsonFlag = False,
) -> None:
    """Say what a router did, by its decision log: volume, shares, quality, cost, catch rate and
    latency, over all, by route, task, model and week, beside what the bundle promised.

    Exit code 1 where an alarm stands.

    Example: difficulty monitor decisions --bundle bundles/support-1 --outcomes thumbs.jsonl -o seen
    """
    from difficulty.economics import load_prices
    from difficulty.stages.watching.monitoring import MONITOR_FILES, MonitorOptions, write_monitored
    from difficulty.stages.watching.monitoring import monitor as look

    refuse_report(out_path, *MONITOR_FILES, overwrite=overwrite)
    if any(log.is_dir() and out_path.resolve() == log.resolve() for log in logs):
        # Files of a report would be read as events the next time.
        raise OutputExistsError(
            f"the report must not lie among the events: {str(out_path)!r} is a log that is read."
            " Choose another folder."
        )
    options = MonitorOptions(
        outcomes=tuple(outcomes or ()),
        prices=load_prices(prices) if prices else None,
        since=_moment(since, "--since"),
        until=_moment(until, "--until"),
        any_bundle=any_bundle,
        trust=build_trust(trust),
        work_dir=work_dir,
        memory_gb=memory_gb,
        counted=prometheus is not None,
    )
    if follow:
        if json:
            raise typer.BadParameter("--follow prints lines: leave one of the two out")
        with chosen_engine(engine, address, workers) as spread:
            _follow(logs, bundle, options, out_path, prometheus, every, spread)
        return
    with chosen_engine(engine, address, workers) as spread, steps() as show:
        monitored = look(logs, bundle, options, engine=spread, progress=show)
    written = write_monitored(monitored, out_path, prometheus=prometheus)
    if json:
        print_json(monitored.as_dict() | {"out": str(out_path)})
    else:
        _print_monitored(monitored, written)
    if not monitored.is_quiet:
        raise typer.Exit(1)


def _follow(
    logs: list[Path],
    bundle: Path,
    options: MonitorOptions,
    out_path: Path,
    prometheus: Path | None,
    every: float,
    engine: Engine | None,
) -> None:
    from difficulty.stages.watching.following import follow
    from difficulty.stages.watching.monitoring import monitor, write_monitored
    from difficulty.stages.watching.standing_alarms import alarm_text

    stop = threading.Event()
    ends = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop.set()) for number in ends]
    last: Monitored | None = None
    try:
        paths = [*logs, *options.outcomes, bundle]
        for glance in follow(
            lambda: monitor(logs, bundle, options, engine=engine), paths, every_s=every, stop=stop
        ):
            now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
            if glance.monitored is None:
                warn(f"{now} {glance.problem}")
                continue
            written = write_monitored(glance.monitored, out_path, prometheus=prometheus)
            if last is None:
                _print_monitored(glance.monitored, written)
            for alarm in glance.risen:
                say(one_line(f"{now} alarm rises: {alarm.subject}: {alarm_text(alarm)}"))
            for alarm in glance.fallen:
                say(one_line(f"{now} alarm falls: {alarm.subject}"))
            last = glance.monitored
    finally:
        for number, handler in zip(ends, before, strict=True):
            signal.signal(number, handler)
    say("ended")
    if last is not None and not last.is_quiet:
        raise typer.Exit(1)


def _moment(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"write a day or a moment such as 2026-07-01 or 2026-07-01T12:00:00Z: got {text!r}",
            param_hint=f"'{option}'",
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _print_monitored(monitored: Monitored, written: tuple[Path, ...]) -> None:
    from difficulty.stages.watching.standing_alarms import alarm_text

    for sentence in monitored.watch.sentences:
        warn(sentence)
    for note in monitored.watch.notes[1:]:
        say(f"  {note}")
    for alarm in monitored.alarms.standing:
        warn(f"alarm: {alarm.subject}: {alarm_text(alarm)}")
    say(monitored.sentence)
    say(f"wrote {', '.join(map(str, written))}")
    say_next(monitored.next_step)
