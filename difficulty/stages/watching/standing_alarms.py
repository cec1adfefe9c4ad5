"""Alarms of a decision log: summed up some whole days at a time, so that a long log never sits in
memory.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from pathlib import Path

from difficulty.alarms import COLUMNS, Alarm, DailySummaries, Promises, Watched, summarise, watch
from difficulty.bundle import Bundle
from difficulty.decisions import DecisionTable
from difficulty.report.blocks import Notice, Paragraph, Points, Section

_MOST_ROWS = 200_000
"""Events of the days that are summed up at once, where a single day does not have more."""
_WHOLE = 2**52
"""Hashes of groups below it are whole numbers as floats, too."""


def find_alarms(
    table: DecisionTable,
    bundle: Bundle,
    path: Path,
    *,
    logs: Sequence[Path] = (),
    outcomes: Sequence[Path] = (),
    any_bundle: bool = False,
    since: datetime | None = None,
    until: datetime | None = None,
    progress: Callable[[str], None] | None = None,
) -> Watched:
    """Return what all watchers say of a log.

    Parameters
    ----------
    table : DecisionTable
    bundle : Bundle
        Whose decisions are watched, and whose promises.
    path : Path
        Where it lies, for the commands that answer alarms.
    logs, outcomes : sequence of Path
        What was read, for the same.
    any_bundle : bool
        Whether the decisions of all bundles count.
    since, until : datetime, optional
        First moment, and first moment no more; days are looked at whole.
    progress : callable, optional
        Told what is being done.
    """
    own = "TRUE" if any_bundle else f"bundle_version = {_text(bundle.label)}"
    bounds = [own]
    bounds += [f"day >= DATE '{since.date()}'"] if since else []
    bounds += [f"day < DATE '{until.date()}'"] if until else []
    where = " AND ".join(bounds)
    names = ["day", *(name for name in COLUMNS if name in table.columns and name != "day")]
    columns = [_column(name) for name in names]
    spans = [*_chunks(table, where)]
    # In one order: evidence is gathered request by request, and must be the same each time.
    summaries = table.map_rows(
        summarise,
        columns,
        [f"{where} AND day BETWEEN DATE '{first}' AND DATE '{last}'" for first, last in spans],
    )
    parts = []
    for (first, last), summary in zip(spans, summaries, strict=True):
        if progress:
            progress(f"looked for alarms: {first} to {last}")
        parts.append(summary)
    chosen = bundle.policy.chosen
    promises = Promises.of(
        objective=chosen.objective,
        # Of requests that are decided alone: sessions that keep their model move the share.
        expected={} if bundle.policy.stick else chosen.expected,
        catch_rate=bundle.policy.fallback.catch_rate,
    )
    return watch(
        DailySummaries.joined(parts),
        promises,
        bundle=shlex.quote(str(path)),
        logs=words_of_log(logs, outcomes),
    )


def words_of_log(logs: Sequence[Path], outcomes: Sequence[Path]) -> str:
    """Return the words of a command that reads the same log with the same late outcomes."""
    words = [str(log) for log in logs] or ["LOG"]
    words += [word for path in outcomes for word in ("--outcomes", str(path))]
    return shlex.join(words)


def _column(name: str) -> str:
    # A number takes a tenth of the memory that a text does, and says as well who is the same.
    return f'hash("group") % {_WHOLE} AS "group"' if name == "group" else f'"{name}"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _chunks(table: DecisionTable, where: str) -> Iterator[tuple[date, date]]:
    """Yield first and last days of spans of about so many events."""
    table.gather("days", f"SELECT day, count(*) AS n FROM decisions WHERE {where} GROUP BY day")
    days = table.connection.execute(
        "SELECT day, CAST(sum(n) AS BIGINT) FROM days GROUP BY day ORDER BY day"
    ).fetchall()
    span: list[date] = []
    rows = 0
    for day, n in days:
        if span and rows + n > _MOST_ROWS:
            yield span[0], span[-1]
            span, rows = [], 0
        span.append(day)
        rows += n
    if span:
        yield span[0], span[-1]


def alarm_section(watched: Watched) -> Section:
    """Return the part of the page that says which alarms stand and what is not watched."""
    notices = [_notice(alarm) for alarm in watched.standing]
    quiet = [alarm.subject for alarm in watched.alarms if not alarm.standing]
    points = [f"Quiet: {', '.join(quiet)}."] if quiet else []
    reasons: dict[str, list[str]] = {}
    for name, reason in watched.idle.items():
        reasons.setdefault(reason, []).append(name)
    points += [f"Not watched: {', '.join(names)} ({why})." for why, names in reasons.items()]
    points += [str(flood) for flood in watched.floods]
    if watched.reference is not None:
        first, last = watched.reference
        points.append(f"Compared with the log from {first} to {last}.")
    points.append(
        f"Of quiet quarters at most {100 * watched.rate:g} % raise any alarm, however often one"
        " looks."
    )
    lead = [] if notices else [Paragraph("No alarm stands.")]
    return Section.of("alarms", "Alarms", *notices, *lead, Points(tuple(points)))


def _notice(alarm: Alarm) -> Notice:
    return Notice("error", f"Alarm: {alarm.subject}", alarm_text(alarm))


def alarm_text(alarm: Alarm) -> str:
    """Return an alarm in sentences: since when, how sure, what it costs, what answers it."""
    since = f"Since about {alarm.since}. " if alarm.since else ""
    cost = f" {alarm.cost.rstrip('.')}." if alarm.cost else ""
    return (
        f"{since}Found {alarm.found}, expected {alarm.expected}. {alarm.odds.capitalize()}."
        f"{cost} Answer: {alarm.answer}"
    )
