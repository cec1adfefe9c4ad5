"""What was in a log: how much of it could be read, and what was wrong with the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from difficulty.form import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReading(Record):
    """Counts of events, unless said otherwise; everything that was left out or changed is here."""

    files: int = 0
    events: int = 0
    """In the table."""
    first: str | None = None
    last: str | None = None
    """Times of the first and the last event, ISO 8601 in UTC."""
    torn: int = 0
    """Files whose last line is cut off, by a crash or because it is being written."""
    broken_files: int = 0
    """Files of which only a part could be unpacked, or with lines that DuckDB does not take; what
    could be read of them is in the table.
    """
    damaged: int = 0
    """Other lines that are no JSON object."""
    newer: int = 0
    """Of a newer format than this version reads."""
    refused: int = 0
    """Objects without an id, a time, a route or a bundle."""
    without_zone: int = 0
    """Left out because their time has no zone."""
    doubled: int = 0
    """Left out because they are there already."""
    shared_ids: int = 0
    """Whose id another event has too; no late outcome is joined to them."""
    missing: int = 0
    """Numbers that a writer gave and that are not there."""
    out_of_order: int = 0
    """Over a minute older than the one before by its writer's number: a clock went back."""
    other_zones: int = 0
    """Whose time was written in another zone than UTC; it was converted."""
    from_future: int = 0
    """Later than a day after now."""
    without_propensity: int = 0
    bad_propensity: int = 0
    """With a propensity of 0 or less, or above 1: unknown in the table."""
    bad_numbers: int = 0
    """With another number that cannot be, such as a negative cost: unknown in the table."""
    foreign_bundle: int = 0
    """Decided by another bundle than those asked for; they stay in the table."""
    bundle_versions: dict[str, int] = field(default_factory=dict)
    writers: int = 0
    """Processes."""
    with_texts: int = 0
    """That hold their messages, where texts were asked for."""
    outcomes: int = 0
    """Rows of late outcomes that were read."""
    thinned_outcomes: int = 0
    """Rows set aside, as their requests were chosen for labelling with larger chances than others
    (``inclusion``).
    """
    joined: int = 0
    """Events with a late outcome."""
    unknown_outcomes: int = 0
    """Rows of late outcomes of requests that the log does not have."""
    ambiguous_outcomes: int = 0
    """Rows whose id several events share, or whose model is none of the request's."""
    rejected_outcomes: int = 0
    """Rows that nobody understands, or that say nothing."""
    disagreeing: int = 0
    """Events of whose answers late outcomes say different things; the last counts."""
    contradicted: int = 0
    """Events whose cheap answer passed the validators and was bad, or failed them and was good, by
    late outcomes.
    """

    def sentences(self) -> Iterator[str]:
        """Yield what a reader should know of the log, a sentence each."""
        for name, text in _TOLD.items():
            if n := getattr(self, name):
                yield text.format(n=f"{n:,}")


_TOLD = {
    "torn": "Files that end in a line that is cut off, which was passed over: {n}.",
    "broken_files": "Files that could be read in part only: {n}.",
    "damaged": "Lines that are no JSON objects, passed over: {n}.",
    "newer": "Events of a newer format, left out: {n}. Upgrade difficulty to read them.",
    "refused": "Objects that are no decision events (id, time, route or bundle is missing): {n}.",
    "without_zone": "Events whose time has no zone, left out: {n}.",
    "doubled": "Events that are there twice and count once: {n}.",
    "shared_ids": "Events whose id another request has too, so that no late outcome reaches them:"
    " {n}.",
    "missing": "Events that are missing by the numbers of their writers: {n}.",
    "out_of_order": "Times that a writer's clock went back by over a minute: {n}.",
    "other_zones": "Events with times of another zone, converted to UTC: {n}.",
    "from_future": "Events that are dated over a day after now, so that a clock is wrong: {n}.",
    "without_propensity": "Events without a propensity: {n}.",
    "bad_propensity": "Events with a propensity of 0 or above 1, taken as unknown: {n}.",
    "bad_numbers": "Events with numbers that cannot be, such as a negative cost, taken as unknown:"
    " {n}.",
    "foreign_bundle": "Events that another bundle decided: {n}.",
    "thinned_outcomes": "Late outcomes of requests that were chosen with larger chances than others"
    " (inclusion), set aside by chance so that each counts alike: {n}.",
    "unknown_outcomes": "Late outcomes of requests that the log does not have: {n}.",
    "ambiguous_outcomes": "Late outcomes that could not be given to one answer: {n}.",
    "rejected_outcomes": "Rows of late outcomes that say nothing that is understood: {n}.",
    "disagreeing": "Answers of which late outcomes say different things, the last of which counts:"
    " {n}.",
    "contradicted": "Late outcomes that contradict the validators: {n}.",
}
