"""Late outcomes beside a log: feedback, or labelled traffic, joined with its events by id.

They are read as ``difficulty outcomes`` reads them (docs/labels.md): without a side or model
feedback is of the answer that the user saw, and where different things were said of one answer the
last by its time counts.

Each outcome counts alike here. Where requests were chosen for labelling with chances that differ
(``inclusion``), that would bend every figure. So each of them stays with the probability of the
smallest chance over its own, by a hash of its id, the same on every look: what is left was chosen
alike, and every figure, interval and alarm holds as it is. Weights would keep somewhat more of what
the labels tell; of the usual draw of ``label`` about half of them stay.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from difficulty.decisions.log_sources import quoted
from difficulty.errors import InvalidValueError, TrafficError
from difficulty.kinds import PathKind, kind_of
from difficulty.text import quantity_text
from difficulty.traffic.feedback import FEEDBACK_COLUMNS, UNSAID, read_feedback
from difficulty.traffic.outcomes import VOTES
from difficulty.traffic.readers import RawRow, read_rows, readable_files
from difficulty.traffic.rows import as_float

_COLUMNS = {
    **dict.fromkeys(("id", "side", "model", "measured_by", "timestamp"), "VARCHAR"),
    **dict.fromkeys(("quality", "passed", "cheap_quality", "frontier_quality"), "DOUBLE"),
    **dict.fromkeys(("cheap_passed", "preference", "inclusion", "place"), "DOUBLE"),
}
"""Of one row of feedback as it is written for DuckDB; a preference is -1, 0 or 1."""
_ALIKE = 1.1
"""Ratio of the largest to the smallest chance up to which requests count as chosen alike: weights
that differ by no more move a mean of values in [0, 1] by at most 0.024.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCounts:
    """What became of late outcomes; see :class:`~difficulty.decisions.log_reading.LogReading`."""

    outcomes: int
    thinned_outcomes: int
    joined: int
    unknown_outcomes: int
    ambiguous_outcomes: int
    rejected_outcomes: int
    disagreeing: int
    contradicted: int


def join_labels(
    connection: Any,
    sources: Sequence[Path],
    work_dir: Path,
    *,
    fetch: Callable[[], None] | None = None,
) -> LabelCounts:
    """Fill the table ``labels``, one row an event with late outcomes.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        With the table ``events`` and the ids that several share in ``shared_ids``.
    sources : sequence of Path
        Files and folders of feedback, or ingested traffic.
    work_dir : Path
        For what is read.
    fetch : callable, optional
        Makes the table ``events`` of those that the table ``feedback`` has the ids of, where events
        are elsewhere.

    Raises
    ------
    TrafficError
        If a source cannot be read, none of its rows is understood, or requests that were chosen for
        labelling with chances that differ stand beside others of which nobody says it.
    """
    files = list(dict.fromkeys(file for source in sources for file in readable_files(source)))
    ingested = [file for file in files if kind_of(file) is PathKind.TRAFFIC]
    feedback = _Written(work_dir / "feedback.jsonl")
    feedback.write(row for file in files if file not in ingested for row in read_rows(file))
    queries = [_ingested_query(file, number + 1) for number, file in enumerate(ingested)]
    if feedback.rows:
        queries.append(feedback.query)
    if not queries:
        first = feedback.problem.rstrip(".") or "there is none"
        raise TrafficError(
            "late outcomes must say something of a request: none of"
            f" {quantity_text(feedback.rejected, 'row')}"
            f" does. The first: {first}. See docs/labels.md."
        )
    connection.execute(f"CREATE TABLE feedback AS {' UNION ALL BY NAME '.join(queries)}")
    if fetch is not None:
        fetch()
    _find_events(connection)
    thinned = _thin_chosen(connection)
    _settle(connection)
    counts = _counts(connection) | {"thinned_outcomes": thinned}
    connection.execute("DROP TABLE feedback; DROP TABLE said")
    return LabelCounts(rejected_outcomes=feedback.rejected, **counts)


class _Written:
    """Feedback that was understood, as JSON lines that DuckDB reads."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows, self.rejected, self.problem = path, 0, 0, ""

    def write(self, rows: Iterator[RawRow]) -> None:
        with self.path.open("w", encoding="ascii") as file:
            for row in rows:
                try:
                    if row.fields is None or row.problem:
                        raise TrafficError(row.problem)
                    named = {name: row.fields.get(name) for name in FEEDBACK_COLUMNS}
                    event = read_feedback(named)
                except (InvalidValueError, TrafficError) as error:
                    self.rejected += 1
                    self.problem = self.problem or str(error)
                    continue
                unsaid = VOTES if "preference" in event.said else UNSAID
                chance = as_float(row.fields.get("inclusion"))
                form = {
                    "id": event.id,
                    "inclusion": chance if chance and 0.0 < chance <= 1.0 else None,
                    "side": event.side,
                    "model": event.model,
                    "measured_by": event.measured_by or unsaid,
                    "timestamp": event.timestamp,
                    "place": self.rows,
                    **event.said,
                }
                file.write(json.dumps(form) + "\n")
                self.rows += 1

    @property
    def query(self) -> str:
        columns = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in _COLUMNS.items()) + "}"
        return (
            f"SELECT * REPLACE (try_cast(timestamp AS TIMESTAMPTZ) AS timestamp) FROM read_json("
            f"{quoted(self.path)}, format = 'newline_delimited', columns = {columns})"
        )


def _ingested_query(file: Path, number: int) -> str:
    """Return the outcomes of ingested traffic, which were checked when it was ingested."""
    # Behind all feedback, and no two rows in one place.
    place = f"{number * 1e11} + row_number() OVER ()"
    gain = "CASE preference WHEN 'cheap' THEN -1.0 WHEN 'tie' THEN 0.0 WHEN 'frontier' THEN 1.0 END"
    return (
        "SELECT id, CAST(NULL AS VARCHAR) AS side, CAST(NULL AS VARCHAR) AS model, measured_by,"
        " CAST(NULL AS TIMESTAMPTZ) AS timestamp, CAST(NULL AS DOUBLE) AS quality,"
        " CAST(NULL AS DOUBLE) AS passed, cheap_quality, frontier_quality,"
        " CAST(cheap_passed AS DOUBLE) AS cheap_passed,"
        f" {gain} AS preference, inclusion, {place} AS place"
        # Files of an earlier version have no such column.
        " FROM (SELECT CAST(NULL AS DOUBLE) AS inclusion WHERE FALSE UNION ALL BY NAME"
        f" SELECT * FROM read_parquet({quoted(file)}))"
        " WHERE cheap_quality IS NOT NULL OR frontier_quality IS NOT NULL"
        " OR preference IS NOT NULL OR cheap_passed IS NOT NULL"
    )


def _find_events(connection: Any) -> None:
    """Say of each row which event and which of its answers it is of."""
    named = (
        "CASE WHEN f.model = e.cheap_model AND f.model IS DISTINCT FROM e.frontier_model"
        " THEN 'cheap' WHEN f.model = e.frontier_model AND f.model IS DISTINCT FROM e.cheap_model"
        " THEN 'frontier' END"
    )
    # After a fallback the user saw another answer than that of the route.
    seen = (
        "CASE WHEN e.frontier_role = 'fallback' AND e.frontier_error IS NULL THEN 'frontier'"
        " ELSE e.route END"
    )
    connection.execute(
        "CREATE TABLE said AS SELECT f.* EXCLUDE (side), e.event, e.cheap_passed AS verdict,"
        " e.id IS NOT NULL AS known, s.id IS NOT NULL AS shared,"
        f" coalesce(f.side, CASE WHEN f.model IS NULL THEN {seen} ELSE {named} END) AS side"
        " FROM feedback f LEFT JOIN events e ON f.id = e.id LEFT JOIN shared_ids s ON f.id = s.id"
    )


def _settle(connection: Any) -> None:
    """Make one row an event of what is said of it."""
    of_side = "CASE WHEN side = '{side}' THEN quality END"
    qualities = {
        "cheap_quality": f"coalesce(cheap_quality, {of_side.format(side='cheap')})",
        "frontier_quality": f"coalesce(frontier_quality, {of_side.format(side='frontier')})",
        "preference": "preference",
        "late_passed": "coalesce(cheap_passed, CASE WHEN side = 'cheap' THEN passed END)",
    }
    order = "ORDER BY timestamp NULLS FIRST, place"
    settled = ", ".join(
        f"last({of} {order}) FILTER ({of} IS NOT NULL) AS {name}" for name, of in qualities.items()
    )
    differs = " OR ".join(f"count(DISTINCT {of}) > 1" for of in qualities.values())
    connection.execute(
        f"CREATE TABLE labels AS SELECT event, {settled}, last(measured_by {order}) AS measured_by,"
        f" any_value(verdict) AS verdict, ({differs}) AS disagrees FROM said"
        f" WHERE known AND NOT shared AND ({_says_something(qualities)}) GROUP BY event"
    )


def _thin_chosen(connection: Any) -> int:
    """Set outcomes of requests aside that were chosen with larger chances than others; return how
    many rows.
    """
    rows, chosen, low, high = connection.execute(
        "SELECT count(*), count(inclusion), min(inclusion), max(inclusion)"
        " FROM said WHERE known AND NOT shared"
    ).fetchone()
    if not chosen:
        return 0
    if chosen < rows:
        high = 1.0  # one without a chance was labelled whatever was chosen
    if high <= _ALIKE * low:
        return 0
    if chosen < rows:
        raise TrafficError(
            "late outcomes beside a log must be of requests that were chosen alike, as each counts"
            f" the same: got {chosen:,} chosen for labelling with a known chance (inclusion, from"
            f" {low:.3g} on) beside {rows - chosen:,} that came by themselves. Pass either alone;"
            " or judge the bundle by the labelled file, which is weighed by it, with 'difficulty"
            " evaluate BUNDLE FILE' or 'difficulty recalibrate FILE --bundle BUNDLE -o NEW'."
        )
    chance = f"{low!r} / max(inclusion) OVER (PARTITION BY event)"
    luck = "(md5_number_lower('thin' || id) % 1000003) / 1000003.0"
    before = connection.execute("SELECT count(*) FROM said").fetchone()[0]
    connection.execute(
        "CREATE OR REPLACE TABLE said AS SELECT * FROM said WHERE NOT known OR shared"
        f" UNION ALL SELECT * FROM said WHERE known AND NOT shared QUALIFY {luck} < {chance}"
    )
    return int(before - connection.execute("SELECT count(*) FROM said").fetchone()[0])


def _says_something(qualities: dict[str, str]) -> str:
    return " OR ".join(f"{of} IS NOT NULL" for of in qualities.values())


def _counts(connection: Any) -> dict[str, int]:
    rows, unknown, ambiguous = connection.execute(
        "SELECT count(DISTINCT place), count(DISTINCT place) FILTER (NOT known),"
        " count(DISTINCT place) FILTER (known AND (shared OR (model IS NOT NULL AND side IS NULL)))"
        " FROM said"
    ).fetchone()
    good = "coalesce(late_passed >= 0.5, cheap_quality >= 0.5)"
    joined, disagreeing, contradicted = connection.execute(
        f"SELECT count(*), count(*) FILTER (disagrees), count(*) FILTER (verdict <> {good})"
        " FROM labels"
    ).fetchone()
    return {
        "outcomes": rows,
        "joined": joined,
        "unknown_outcomes": unknown,
        "ambiguous_outcomes": ambiguous,
        "disagreeing": disagreeing,
        "contradicted": contradicted,
    }
