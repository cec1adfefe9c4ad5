"""Split: ingested traffic -> disjoint parts, so that what learns, what chooses and what judges
never share a request, a group or nearly the same text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from difficulty.errors import InvalidValueError, TooFewSamplesError
from difficulty.form import Record
from difficulty.storage import on_urls, refuse_existing, whole_folder
from difficulty.text import quantity_text
from difficulty.traffic.table import Traffic
from difficulty.upkeep.disjoint import ASIDE_PART, UNDATED, Placed, split_by_hash, split_by_time

PARTS: Mapping[str, float] = {"train": 0.6, "choose": 0.2, "judge": 0.2}
"""Parts and their shares, where none are given."""
REPORT_FILE = "split.json"
_TAKEN = {ASIDE_PART: "aside", UNDATED: "undated"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PartReport(Record):
    """A part that was written."""

    rows: int
    labelled: int
    """Rows of which any outcome is known."""
    first: str | None
    last: str | None
    """Times of its oldest and newest row, ISO 8601 in UTC; ``None`` where no row has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitReport(Record):
    """What a split did; the same as ``split.json``."""

    by: str
    data: str
    """Hash of the traffic."""
    seed: int
    rows: int
    groups: int
    """Families of tied samples."""
    largest_group: int
    """Rows of the largest."""
    parts: dict[str, PartReport]
    """``aside`` and ``undated`` among them where there are such rows."""
    cuts: tuple[str, ...]
    """Times at which parts begin, the first one's left out."""
    straddling_rule: str | None
    straddling_groups: int
    """Families with rows on both sides of a cut in time."""
    straddling_rows: int
    notes: tuple[str, ...]


@on_urls
def split(
    traffic_path: Path,
    out: Path,
    *,
    by: str = "hash",
    parts: Mapping[str, float] = PARTS,
    straddling: str = "earlier",
    cuts: Sequence[datetime] = (),
    seed: int = 0,
) -> SplitReport:
    """Write each part of some traffic as ``<name>.parquet`` into a new folder, with ``split.json``.

    Parameters
    ----------
    traffic_path : Path
        Ingested traffic.
    out : Path
        A folder that does not exist yet.
    by : {"hash", "time"}
    parts : mapping of str to float
        Name of each part, in order, with its share.
    straddling : {"earlier", "later", "aside"}
        Where tied samples go that stand on both sides of a cut in time.
    cuts : sequence of datetime, optional
        Cuts in time in place of the shares.
    seed : int
        Of the hash.

    Raises
    ------
    InvalidValueError
        If parts, shares or cuts are none.
    TooFewSamplesError
        If a part would be empty, or no sample has a time.
    OutputExistsError
        If the folder exists.
    """
    refuse_existing(out, what="folder")
    _check_names(parts)
    if by not in ("hash", "time"):
        raise InvalidValueError("by", by, rule="be 'hash' or 'time'")
    traffic = Traffic.read(traffic_path)
    shares = list(parts.values())
    placed = (
        split_by_hash(traffic, shares, seed=seed)
        if by == "hash"
        else split_by_time(traffic, shares, straddling=straddling, cuts=cuts)
    )
    rows = {name: np.flatnonzero(placed.part == place) for place, name in enumerate(parts)}
    if empty := [name for name, chosen in rows.items() if not len(chosen)]:
        raise TooFewSamplesError(
            f"every part needs samples: {empty[0]!r} would have none of {len(traffic):,}, so few"
            " groups are there. Pass more traffic, larger shares, or another --seed or cut."
        )
    for place, name in _TAKEN.items():
        if len(left := np.flatnonzero(placed.part == place)):
            rows[name] = left
    report = _report(traffic, placed, rows, by=by, straddling=straddling, seed=seed, parts=parts)
    with whole_folder(out) as folder:
        for name, chosen in rows.items():
            traffic.select(chosen).write(folder / f"{name}.parquet")
        text = json.dumps(report.as_dict(), indent=2, ensure_ascii=False) + "\n"
        (folder / REPORT_FILE).write_text(text, encoding="utf-8")
    return report


def _check_names(parts: Mapping[str, float]) -> None:
    for name in parts:
        if not name.replace("-", "").replace("_", "").isalnum() or name in _TAKEN.values():
            raise InvalidValueError(
                "parts",
                name,
                rule="have names of letters, digits, - and _, and neither 'aside' nor 'undated'",
            )


def _report(
    traffic: Traffic,
    placed: Placed,
    rows: Mapping[str, np.ndarray],
    *,
    by: str,
    straddling: str,
    seed: int,
    parts: Mapping[str, float],
) -> SplitReport:
    sizes = np.bincount(placed.families)
    broken = np.unique(placed.families[placed.straddling])
    notes = []
    if sizes.max() > 0.1 * len(traffic):
        notes.append(
            f"the largest group of tied samples has {int(sizes.max()):,} of"
            f" {quantity_text(len(traffic), 'row')}:"
            " parts cannot have the shares that were asked for; see whether the column group says"
            " too little"
        )
    if len(broken):
        where = {"earlier": "where they begin", "later": "where they end", "aside": "into none"}
        notes.append(
            f"{quantity_text(len(broken), 'group stands', 'groups stand')} on both sides of a cut"
            f" ({quantity_text(int(placed.straddling.sum()), 'row')}) and went whole"
            f" {where[straddling]}"
        )
    if "undated" in rows:
        notes.append(
            f"{quantity_text(len(rows['undated']), 'row')} without a timestamp, of"
            " groups without one"
        )
    for name, share in parts.items():
        found = len(rows[name]) / len(traffic)
        if not 0.5 * share <= found <= 1.5 * share:
            notes.append(f"part {name!r} has {found:.1%} of the rows, and {share:.1%} was wanted")
    return SplitReport(
        by=by,
        data=traffic.data_hash,
        seed=seed,
        rows=len(traffic),
        groups=len(sizes),
        largest_group=int(sizes.max()),
        parts={name: _part(traffic.select(chosen)) for name, chosen in rows.items()},
        cuts=tuple(cut.isoformat() for cut in placed.cuts),
        straddling_rule=straddling if by == "time" else None,
        straddling_groups=len(broken),
        straddling_rows=int(placed.straddling.sum()),
        notes=tuple(notes),
    )


def _part(traffic: Traffic) -> PartReport:
    times = [when for when in traffic.column("timestamp") if when is not None]
    outcomes = traffic.outcomes
    known = ~(np.isnan(outcomes.cheap_quality) & np.isnan(outcomes.frontier_quality))
    known |= ~np.isnan(outcomes.preferred_gain)
    return PartReport(
        rows=len(traffic),
        labelled=int(known.sum()),
        first=min(times).isoformat() if times else None,
        last=max(times).isoformat() if times else None,
    )
