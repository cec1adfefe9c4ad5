"""Late outcomes: feedback that came after the calls, joined with traffic by request id."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from difficulty.errors import InvalidValueError, TrafficError, UnknownNameError
from difficulty.form import Record
from difficulty.labelling.hand_off import find_keys, is_key, unblinded
from difficulty.records import OUTCOMES
from difficulty.routes import Route
from difficulty.storage import move_into_place, on_urls, refuse_existing, scratch_beside
from difficulty.text import quantity_text
from difficulty.traffic.feedback import (
    FEEDBACK_COLUMNS,
    KEPT_IN,
    ConflictRule,
    Feedback,
    LateOutcomes,
    event_of,
    read_feedback,
)
from difficulty.traffic.formats.json_records import read_records
from difficulty.traffic.readers import RawRow, readable_files
from difficulty.traffic.reading.column_names import nearest_columns
from difficulty.traffic.reading.dialect import AS_FOUND, ReadOptions
from difficulty.traffic.rows import Scale, broken_rule
from difficulty.traffic.table import Traffic
from difficulty.traffic.writer import rejects_path, summary_path

_MOST_REJECTED = 0.2
_SHOWN = 2_000  # characters of a rejected row
_UNKNOWN_ID = "id must be that of a request of the traffic"
_PROGRESS_ROWS = 1_000
_SETTLED = (*OUTCOMES, "measured_by")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackReport(Record):
    """What became of feedback; ``rows`` = joined + repeated + left_out + rejected."""

    rows: int
    joined: int
    """Rows that said something new."""
    repeated: int
    """Rows that were known already."""
    left_out: int
    """Rows with nothing but a check of the form of a frontier answer, which is no outcome; pairs
    that a person skipped.
    """
    rejected: dict[str, int]
    """Rule to rows that broke it; those of unknown requests among them."""
    unknown_ids: int
    """Rows of requests that the traffic does not have."""
    requests: int
    """Requests of the traffic with feedback, that of earlier runs included."""
    contradictions: int
    """Outcomes of requests of which different things were said."""
    labelled_before: int
    """Requests of which any outcome was known."""
    labelled: int
    """The same with the feedback."""
    known_outcomes: dict[str, int]
    measured_by: dict[str, int] = field(default_factory=dict)
    """What outcomes are measured by, with the requests."""
    on_conflict: str = "last"


@on_urls
def join_outcomes(
    traffic_path: Path,
    sources: Sequence[Path],
    out: Path,
    *,
    on_conflict: str = "last",
    scale: Scale | None = None,
    columns: Mapping[str, str] | None = None,
    measured_by: str | None = None,
    options: ReadOptions = AS_FOUND,
    allow_rejects: bool = False,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> FeedbackReport:
    """Write traffic with the outcomes that feedback says.

    Requests, their order and their keys of the split stay as they are. Feedback of requests that
    the traffic does not have goes to ``<out>.rejects.jsonl``, counts to ``<out>.summary.json``. The
    same feedback again changes nothing, nor does the time at which the files come.

    Parameters
    ----------
    traffic_path : Path
        Ingested traffic.
    sources : sequence of Path
        Feedback in any file type that ingest reads; columns are ``FEEDBACK_COLUMNS``. Pairs that
        people judged blind are read by the key beside them or beside the traffic.
    out : Path
        A ``.parquet`` file.
    on_conflict : {"last", "mean", "first"}
        What counts where different things were said of one outcome: the last by its time, the
        mean, or the first, which is what the traffic had.
    scale : Scale, optional
        Scale of the qualities where that is not [0, 1].
    columns : mapping of str to str, optional
        Column of feedback to the name that it has in the files.
    measured_by : str, optional
        What outcomes were measured by where the feedback does not say it.
    options : ReadOptions
        How files are written, and which model names are the cheap one's and the frontier one's.
    allow_rejects : bool
        Whether more than a fifth of the rows may be none that can be understood.
    overwrite : bool
        Whether what is at ``out`` may be replaced.
    progress : callable, optional
        Called with the number of rows read so far.

    Raises
    ------
    TrafficError
        If the traffic was not ingested, or no feedback is of its requests.
    UnknownNameError
        If there is no such rule.
    """
    if on_conflict not in get_args(ConflictRule):
        raise UnknownNameError("rule of conflicts", on_conflict, get_args(ConflictRule))
    outputs = (out, rejects_path(out), summary_path(out))
    refuse_existing(*outputs, overwrite=overwrite)
    if out.suffix.lower() != ".parquet" or out.is_dir():
        raise TrafficError(
            f"traffic must go to a .parquet file: got {str(out)!r}. Pass for example"
            " labelled.parquet."
        )
    found = dict.fromkeys(file for source in sources for file in readable_files(source))
    files = [file for file in found if not is_key(file)]
    read = {path.resolve() for path in (traffic_path, *files)}
    if taken := [path for path in outputs if path.resolve() in read]:
        raise TrafficError(
            f"the output must not be what is read: got {str(taken[0])!r}. Choose another name."
        )
    join = _Join(Traffic.read(traffic_path), options)
    key = find_keys(*files, traffic_path)
    raw = (row for file in files for row in read_records(file, options))
    rows = (each for row in raw for each in unblinded(row, key))
    for number, row in enumerate(rows, start=1):
        join.see(row, columns or {}, scale=scale, measured_by=measured_by)
        if progress and number % _PROGRESS_ROWS == 0:
            progress(number)
    join.refuse(allow_rejects=allow_rejects)
    settled, report = join.settle(on_conflict)  # type: ignore[arg-type]
    with scratch_beside(out) as scratch:
        new = {path: scratch / path.name for path in outputs}
        settled.write(new[out])
        new[summary_path(out)].write_text(json.dumps(report.as_dict(), indent=2) + "\n", "utf-8")
        lines = "".join(json.dumps(reject, default=str) + "\n" for reject in join.rejects)
        new[rejects_path(out)].write_text(lines, "utf-8")
        if not join.rejects:
            rejects_path(out).unlink(missing_ok=True)  # of an earlier run
        # The traffic last: where it stands, its notes do too.
        for path in (*([rejects_path(out)] if join.rejects else []), summary_path(out), out):
            move_into_place(new[path], path)
    return report


class _Join:
    """Traffic, and the feedback on it so far."""

    def __init__(self, traffic: Traffic, options: ReadOptions) -> None:
        self._traffic, self._pair = traffic, options.pair
        self._places = {id: row for row, id in enumerate(traffic.ids)}
        names = (*_SETTLED, "cheap_model", "frontier_model", "route", "extra")
        self._columns = {name: traffic.column(name) for name in names}
        self._answered = {
            route: [answer is not None for answer in traffic.column(f"{route}_answer")]
            for route in get_args(Route)
        }
        self._late = {
            row: LateOutcomes.parse(extra[KEPT_IN])
            for row, extra in enumerate(self._columns["extra"])
            if KEPT_IN in extra
        }
        self._counts: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._seen: dict[str, None] = {}
        self._unknown = ""
        self.rejects: list[dict[str, Any]] = []

    def see(
        self,
        row: RawRow,
        columns: Mapping[str, str],
        *,
        scale: Scale | None,
        measured_by: str | None,
    ) -> None:
        """Take one row of feedback."""
        self._counts["rows"] += 1
        if row.left_out:
            self._counts["left_out"] += 1
            return
        try:
            if row.fields is None or row.problem:
                raise TrafficError(row.problem)
            if len(self._seen) < _SHOWN:
                self._seen.update(dict.fromkeys(map(str, row.fields)))
            named = {name: row.fields.get(columns.get(name, name)) for name in FEEDBACK_COLUMNS}
            feedback = read_feedback(named, scale=scale, measured_by=measured_by)
            self._counts[self._add(feedback)] += 1
        except (InvalidValueError, TrafficError) as error:
            self._rejected[broken_rule(str(error))] += 1
            fields = row.fields or {}
            shown = json.dumps(fields, default=str) if fields else row.raw
            self.rejects.append(
                {
                    "source": row.source,
                    "line": row.line,
                    "id": fields.get(columns.get("id", "id")),
                    "reason": str(error)[:_SHOWN],
                    "row": shown[:_SHOWN],
                }
            )

    def _add(self, feedback: Feedback) -> str:
        """Take an event and return what became of it."""
        row = self._places.get(feedback.id)
        if row is None:
            self._unknown = self._unknown or feedback.id
            raise InvalidValueError("id", feedback.id, rule=_UNKNOWN_ID.removeprefix("id must "))
        said = [
            (outcome, value)
            for name, value in feedback.said.items()
            if (outcome := self._outcome(name, feedback, row))
        ]
        if not said:
            return "left_out"
        if row not in self._late:
            self._late[row] = LateOutcomes({name: self._columns[name][row] for name in _SETTLED})
        new = [
            self._late[row].add(outcome, event_of(feedback, outcome, value))
            for outcome, value in said
        ]
        return "joined" if any(new) else "repeated"

    def _outcome(self, name: str, feedback: Feedback, row: int) -> str | None:
        """Return which column something is said of; ``None`` where it is no outcome."""
        if name in OUTCOMES:
            return name
        side = self._side(feedback, row)
        if name == "quality":
            return f"{side}_quality"
        # An answer of the right form is not therefore good: see docs/labels.md.
        return "cheap_passed" if side == "cheap" else None

    def _side(self, feedback: Feedback, row: int) -> Route:
        """Return which model of the pair feedback is of."""
        if feedback.side:
            return feedback.side
        if feedback.model:
            return self._side_of_model(feedback.model, row)
        # After a fallback the user saw another answer than that of the route.
        told = self._columns["extra"][row].get("answered_by") or self._columns["route"][row]
        if told in get_args(Route):
            return told  # type: ignore[no-any-return]
        for known in (
            self._answered,
            {route: self._columns[f"{route}_model"] for route in get_args(Route)},
        ):
            sides = [route for route in get_args(Route) if known[route][row]]
            if len(sides) == 1:
                return sides[0]  # type: ignore[no-any-return]
        raise InvalidValueError(
            "feedback",
            None,
            rule="say which model answered, where the request does not tell it",
            hint="Add a column side (cheap or frontier) or model.",
        )

    def _side_of_model(self, model: str, row: int) -> Route:
        pair = {route: self._columns[f"{route}_model"][row] for route in get_args(Route)}
        sides = [route for route, name in pair.items() if name == model]
        side = sides[0] if len(sides) == 1 else self._pair.side(model)
        if side is None:
            raise InvalidValueError(
                "model",
                model,
                rule="be one of the two of the request",
                hint=f"It names {_listed(pair)}; name others by --cheap and --frontier.",
            )
        return side

    def refuse(self, *, allow_rejects: bool) -> None:
        """Refuse feedback that is not of this traffic, or that is hardly understood."""
        rows, unknown = self._counts["rows"], self._rejected[_UNKNOWN_ID]
        wrong = self._rejected.total() - unknown
        told = "; ".join(f"{n:,} because {rule}" for rule, n in self._rejected.most_common(4))
        if rows == self._rejected.total():
            near = nearest_columns("id", list(self._seen))
            hint = (
                f" The first is {self._unknown!r:.80}; the traffic has"
                f" {next(iter(self._places), '')!r:.80}."
                if unknown
                else f" Columns: {', '.join(list(self._seen)[:20])}."
            )
            column = near[0] if near and "id" not in self._seen else "COLUMN"
            raise TrafficError(
                "feedback must be of requests of the traffic: none of"
                f" {quantity_text(rows, 'row')} is, {told}."
                f'{hint} Name the column of the request\'s id: --map id="{column:.80}".'
            )
        if wrong > _MOST_REJECTED * rows and not allow_rejects:
            raise TrafficError(
                f"at most 20 % of the feedback may be left out, unknown requests aside: got"
                f" {wrong:,} of {rows:,}, {told}. Nothing was written. Mend it, or pass"
                " --allow-rejects."
            )

    def settle(self, rule: ConflictRule) -> tuple[Traffic, FeedbackReport]:
        """Return the traffic with the outcomes that feedback says."""
        before = sum(map(self._is_labelled, range(len(self._traffic))))
        for row, late in self._late.items():
            for name, value in late.settled(rule).items():
                self._columns[name][row] = value
            self._columns["extra"][row] = {**self._columns["extra"][row], KEPT_IN: late.as_dict()}
        labelled = [row for row in range(len(self._traffic)) if self._is_labelled(row)]
        measures = Counter(self._columns["measured_by"][row] for row in labelled)
        measures.pop(None, None)
        report = FeedbackReport(
            rows=self._counts["rows"],
            joined=self._counts["joined"],
            repeated=self._counts["repeated"],
            left_out=self._counts["left_out"],
            rejected=dict(self._rejected.most_common()),
            unknown_ids=self._rejected[_UNKNOWN_ID],
            requests=len(self._late),
            contradictions=sum(late.contradictions for late in self._late.values()),
            labelled_before=before,
            labelled=len(labelled),
            known_outcomes={
                name: sum(value is not None for value in self._columns[name]) for name in OUTCOMES
            },
            measured_by=dict(measures.most_common(200)),
            on_conflict=rule,
        )
        changed = {name: self._columns[name] for name in (*_SETTLED, "extra")}
        return self._traffic.with_columns(changed), report

    def _is_labelled(self, row: int) -> bool:
        return any(self._columns[name][row] is not None for name in OUTCOMES)


def _listed(pair: Mapping[Route, str | None]) -> str:
    return " and ".join(f"{name!r:.80}" for name in pair.values() if name) or "none"
