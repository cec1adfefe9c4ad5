"""What a log says, for Prometheus: the figures with their ends, what was expected, alarms, and
counts of the log's events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from difficulty.alarms import Watched
from difficulty.decisions import DecisionTable, exact_sum, plain_sum
from difficulty.monitor.monitor_view import judge_promise
from difficulty.monitor.watch import Watch
from difficulty.records import Estimate
from difficulty.telemetry.decision_counts import SECONDS
from difficulty.telemetry.meter import Family, Meter

_OF_FIGURE = ("figure", "bundle_version")
FIGURE: Final = Family("difficulty_watched", "gauge", "A figure of monitor.json.", _OF_FIGURE)
LOW: Final = Family(
    "difficulty_watched_low", "gauge", "Lower end of its 95 % interval.", _OF_FIGURE
)
HIGH: Final = Family(
    "difficulty_watched_high", "gauge", "Upper end of its 95 % interval.", _OF_FIGURE
)
EXPECTED: Final = Family(
    "difficulty_expected", "gauge", "What the bundle was expected to do.", _OF_FIGURE
)
SLICE: Final = Family(
    "difficulty_watched_slice",
    "gauge",
    "A figure of a slice: of a route, task, bundle or version of a model.",
    ("kind", "slice", *_OF_FIGURE),
)
PROMISE: Final = Family(
    "difficulty_promise",
    "gauge",
    "Whether the router does what was promised: 1 for the one answer that holds.",
    ("answer", "bundle_version"),
)
ALARM: Final = Family(
    "difficulty_alarm_standing", "gauge", "1 where the alarm stands.", ("alarm", "bundle_version")
)
EVIDENCE: Final = Family(
    "difficulty_alarm_evidence",
    "gauge",
    "Evidence for a change, as a share of that at which the alarm rises.",
    ("alarm", "bundle_version"),
)
SINCE: Final = Family(
    "difficulty_alarm_since_timestamp_seconds",
    "gauge",
    "About when what a standing alarm tells of began.",
    ("alarm", "bundle_version"),
)
LAST: Final = Family(
    "difficulty_log_last_day_timestamp_seconds",
    "gauge",
    "Begin of the day of the last request that was read.",
)
DECISIONS: Final = Family(
    "difficulty_log_decisions_total",
    "counter",
    "Decisions in the log, by route, reason and bundle.",
    ("route", "reason", "bundle_version"),
)
FALLBACKS: Final = Family(
    "difficulty_log_fallbacks_total",
    "counter",
    "Fallbacks in the log, by cause.",
    ("cause", "bundle_version"),
)
REFUSALS: Final = Family(
    "difficulty_log_refusals_total",
    "counter",
    "Answers in the log that were refused, by the first validator that did.",
    ("validator", "bundle_version"),
)
CHECKED: Final = Family(
    "difficulty_log_checked_answers_total",
    "counter",
    "Cheap answers in the log that validators looked at.",
    ("bundle_version",),
)
COST: Final = Family(
    "difficulty_log_cost_usd_total",
    "counter",
    "US dollars of calls in the log whose cost is known, shadow calls among them.",
    ("side", "bundle_version"),
)
LATENCY: Final = Family(
    "difficulty_log_request_seconds",
    "histogram",
    "Requests in the log, from their begin to the end of the answer.",
    ("route", "bundle_version"),
    SECONDS,
)
FAMILIES: Final = (
    FIGURE,
    LOW,
    HIGH,
    EXPECTED,
    SLICE,
    PROMISE,
    ALARM,
    EVIDENCE,
    SINCE,
    LAST,
    DECISIONS,
    FALLBACKS,
    REFUSALS,
    CHECKED,
    COST,
    LATENCY,
)
"""All that is written."""
_SLICED = ("requests", "traffic_share", "frontier_share", "fallback_rate", "quality", "cost")


def put_figures(meter: Meter, watch: Watch, alarms: Watched) -> None:
    """Put figures and alarms into a meter; what is unknown has no series.

    Parameters
    ----------
    meter : Meter
    watch : Watch
    alarms : Watched
    """
    version = watch.bundle_version or ""
    for name, estimate in watch.overall.items():
        meter.put(FIGURE, estimate.value, name, version)
        meter.put(LOW, estimate.low, name, version)
        meter.put(HIGH, estimate.high, name, version)
    for name, estimate in watch.expected.items():
        meter.put(EXPECTED, estimate.value, name, version)
    for kind, parts in watch.slices.items():
        for part, figures in parts.items():
            _put_slice(meter, figures, kind, part, version)
    answer = judge_promise(watch, alarms).word.lower()
    for word in ("yes", "alarm", "cannot tell"):
        meter.put(PROMISE, float(word == answer), word, version)
    for alarm in alarms.alarms:
        meter.put(ALARM, float(alarm.standing), alarm.name, version)
        meter.put(EVIDENCE, alarm.evidence / alarm.threshold, alarm.name, version)
        if alarm.standing and alarm.since is not None:
            meter.put(SINCE, _stamp(alarm.since), alarm.name, version)
    meter.put(LAST, _stamp(date.fromisoformat(watch.last)))


def _put_slice(
    meter: Meter, figures: Mapping[str, Estimate], kind: str, part: str, version: str
) -> None:
    # What a bundle did is a figure of that bundle, whichever is watched.
    owner = part if kind == "bundle_version" else version
    for name in _SLICED:
        if (estimate := figures.get(name)) is not None:
            meter.put(SLICE, estimate.value, kind, part, name, owner)


def _stamp(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def count_log(
    meter: Meter,
    table: DecisionTable,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> None:
    """Count the events of a log, of all bundles.

    Parameters
    ----------
    meter : Meter
    table : DecisionTable
    since, until : datetime, optional
        First moment, and first moment no more.
    """
    bounds = [
        f"time {sign} TIMESTAMP '{_utc(moment)}'"
        for sign, moment in ((">=", since), ("<", until))
        if moment is not None
    ]
    where = " AND ".join(bounds) or "TRUE"

    def count(keys: str, condition: str, sums: Sequence[str] = ("count(*)",)) -> list[Any]:
        """Return keys and sums; those of numbers are exact ones."""
        parts = ", ".join(f"{sql} AS sum_{place}" for place, sql in enumerate(sums))
        table.gather(
            "series",
            f"SELECT {keys}, {parts} FROM decisions WHERE {where} AND {condition} GROUP BY ALL",
        )
        totals = ", ".join(
            plain_sum(f"sum(sum_{place})")
            if sql.startswith("sum(")
            else f"CAST(sum(sum_{place}) AS BIGINT)"
            for place, sql in enumerate(sums)
        )
        rows: list[Any] = table.connection.execute(
            f"SELECT {keys}, {totals} FROM series GROUP BY {keys} ORDER BY {keys}"
        ).fetchall()
        return rows

    for route, reason, version, n in count("route, reason, bundle_version", "TRUE"):
        meter.add(DECISIONS, str(route), str(reason), str(version), amount=n)
    for cause, version, n in count("fallback, bundle_version", "fallback IS NOT NULL"):
        meter.add(FALLBACKS, str(cause), str(version), amount=n)
    refused = "failed_validator IS NOT NULL"
    for validator, version, n in count("failed_validator, bundle_version", refused):
        meter.add(REFUSALS, str(validator), str(version), amount=n)
    looked = "cheap_role = 'answer' AND cheap_passed IS NOT NULL"
    for version, n in count("bundle_version", looked):
        meter.add(CHECKED, str(version), amount=n)
    for side in ("cheap", "frontier"):
        cost = f"{side}_cost_usd"
        for version, usd in count("bundle_version", f"{cost} IS NOT NULL", [exact_sum(cost)]):
            meter.add(COST, side, str(version), amount=usd)
    ends = [
        f"count(*) FILTER (latency_ms > {1000 * low} AND latency_ms <= {1000 * high})"
        for low, high in zip((-1.0, *SECONDS), SECONDS, strict=False)
    ]
    ends.append(f"count(*) FILTER (latency_ms > {1000 * SECONDS[-1]})")
    known = "latency_ms IS NOT NULL"
    for row in count("route, bundle_version", known, [exact_sum("latency_ms"), *ends]):
        route, version, total, *counts = row
        meter.fill(LATENCY, counts, total / 1000.0, str(route), str(version))


def _utc(moment: datetime) -> str:
    plain = moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    return plain.isoformat(sep=" ")
