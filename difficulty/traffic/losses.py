"""What an ingest would lose in silence: a column whose name is misspelt, qualities on another
scale, the second half of a request that stands on two rows.

:class:`Losses` looks at every row as it comes and refuses the whole before anything is written.
Each refusal names the option that reads the traffic as it was meant, and the one that goes on.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from difficulty.errors import TrafficError
from difficulty.text import quantity_text
from difficulty.traffic.outcomes import GAIN_OF_VOTE
from difficulty.traffic.reading.column_names import REFERENCES, plain_name
from difficulty.traffic.rows import FIELDS, as_float, says_something

LABEL_COLUMNS = {
    "annotators": ("annotator",),
    "judge": ("judge", "cheap_score", "frontier_score"),
    "preference": ("winner", "model_a", "model_b"),
    "validation": ("validation",),
}
"""Raw columns of each label source; they are never taken for other columns misspelt."""
_QUALITIES = ("cheap_quality", "frontier_quality")
_REQUEST = {"messages", "prompt"}  # either will do
_OWN = frozenset(
    {"extra", "contaminated", "frontier_passed", "bundle_version", "n_judges", "n_annotators"}
    | {"split_group", "near_groups", "answered_by", "late_outcomes"}
    | {name for names in LABEL_COLUMNS.values() for name in names}
)
_MOST_COLUMNS = 5_000  # names that are compared
_MOST_NAMED = 5
_NEAR = 0.84
_OUTSIDE = 0.2  # share of the values from which on they are no slips of the pen
_FEW_OUTSIDE, _FEW_SHARE = 3, 0.05  # the same for whole numbers, which 1 to 5 and 0 or 1 both are
_ZONE = re.compile(r"(?<=\d)(?:[Zz]|[-+]\d\d:?\d\d)$")
_ENOUGH = 20  # values that say which scale a column is on
_ENDS = ((1.0, 5.0), (0.0, 5.0), (1.0, 10.0), (0.0, 10.0), (0.0, 100.0))
"""Scales that people use, the narrowest first."""


@dataclass(slots=True)
class _Values:
    """The numbers of one column."""

    n: int = 0
    outside: int = 0
    fractions: int = 0
    low: float = math.inf
    high: float = -math.inf
    some: set[float] = field(default_factory=set)
    """Up to three different ones outside of [0, 1]."""

    def add(self, value: float) -> None:
        self.n += 1
        self.low, self.high = min(self.low, value), max(self.high, value)
        if not 0.0 <= value <= 1.0:
            self.outside += 1
            if len(self.some) < 3:
                self.some.add(value)
        elif 0.0 < value < 1.0:
            self.fractions += 1

    @property
    def misfit(self) -> bool:
        """Whether these are no qualities in [0, 1] with some slips."""
        many = self.outside > _OUTSIDE * self.n and (self.outside > 1 or self.n == 1)
        # The worst of 1 to 5 stars would be kept as the best quality there is.
        stars = (
            not self.fractions
            and len(self.some) > 1
            and self.outside >= max(_FEW_OUTSIDE, _FEW_SHARE * self.n)
        )
        return many or stars


class Losses:
    """Look for what would be lost, row by row.

    Parameters
    ----------
    labels : sequence of str
        Names of the label sources in use, whose columns may be misspelt too.
    """

    def __init__(self, labels: Iterable[str] = ()) -> None:
        self._columns: dict[str, None] = {}
        self._values = {name: _Values() for name in _QUALITIES}
        self._halves: tuple[set[Any], set[Any]] = (set(), set())
        self._split, self._split_id = 0, ""
        self._references: set[str] = set()
        self._zones: Counter[str] = Counter()
        read = {name for label in labels for name in LABEL_COLUMNS.get(label, ())}
        self._read = (FIELDS | {"prompt"} | read) - {"id"}

    def see_raw(self, fields: Mapping[str, Any], *, with_values: bool = True) -> None:
        """Look at the columns of a row as it came, and perhaps at its qualities."""
        if len(self._columns) < _MOST_COLUMNS:
            self._columns.update(dict.fromkeys(map(str, fields)))
        # A right answer, unless it only ever says who is better: that is a preference misspelt.
        self._references |= {
            name
            for name in REFERENCES
            if says_something(answer := fields.get(name)) and str(answer) not in GAIN_OF_VOTE
        }
        if with_values and says_something(time := fields.get("timestamp")):
            self._zones[_zone(time)] += 1
        for name, values in self._values.items() if with_values else ():
            raw = fields.get(name)
            value = None if raw is None or isinstance(raw, bool) else as_float(raw)
            if value is not None and math.isfinite(value):
                values.add(value)

    def see_labelled(self, fields: Mapping[str, Any]) -> None:
        """Look at a row that label sources have read: it should be all there is of its request."""
        name = fields.get("id")
        if not says_something(name) or isinstance(name, list | dict):
            return
        cheap = any(says_something(fields.get(key)) for key in ("cheap_quality", "cheap_passed"))
        if cheap == says_something(fields.get("frontier_quality")):
            return
        mine, other = self._halves if cheap else self._halves[::-1]
        if str(name) in other:
            self._split += 1
            self._split_id = self._split_id or str(name)
        mine.add(str(name))

    @property
    def notes(self) -> list[str]:
        """What is read otherwise than it may have been meant, one sentence each."""
        without, zones = self._zones[""], sorted(zone for zone in self._zones if zone)
        if not (without and zones):
            return []
        named = f"{self._zones.total() - without:,} name one ({', '.join(zones[:4])})"
        return [
            f"{without:,} times name no zone and are taken as UTC, {named}: where the clocks"
            " differ, requests stand in the wrong order"
        ]

    def refuse(
        self,
        scale: tuple[float, float] | None,
        *,
        keep_unknown_columns: bool = False,
        allow_halves: bool = False,
    ) -> None:
        """Refuse what would be lost; ``scale`` is the one that the user named."""
        if not keep_unknown_columns:
            self.refuse_misspelt()
        if scale is None:
            self.refuse_scale()
        else:
            self.refuse_scale_of_one(scale)
        if not allow_halves:
            self.refuse_halves()

    def refuse_misspelt(self) -> None:
        """Refuse a column that is nearly one that is read, where that one is not there."""
        meant = _meant(self._columns.keys() - self._references, self._read)
        if not meant:
            return
        pairs = [f"{name!r:.80} (perhaps {known!r})" for name, known in meant.items()]
        more = f" and {len(pairs) - _MOST_NAMED:,} more" if len(pairs) > _MOST_NAMED else ""
        raise TrafficError(
            "a column must have the name by which it is read: got"
            f" {', '.join(pairs[:_MOST_NAMED])}{more}. Pass --map"
            f' {next(iter(meant.values()))}="{next(iter(meant)):.80}" to read it, or'
            " --keep-unknown-columns to keep it as an extra that is not read."
        )

    def refuse_scale(self) -> None:
        """Refuse qualities on another scale than [0, 1]."""
        wrong = {name: values for name, values in self._values.items() if values.misfit}
        if not wrong:
            return
        found = ", ".join(
            f"{name} from {values.low:g} to {values.high:g} ({values.outside:,} of {values.n:,}"
            " outside)"
            for name, values in wrong.items()
        )
        ends = _scale_around(wrong.values())
        within = [name for name, values in self._values.items() if values.n and name not in wrong]
        usual = (
            f"from {ends[0]:g} (worst) to {ends[1]:g} (best), pass --scale {ends[0]:g},{ends[1]:g}"
            if ends
            else ""
        )
        advice = (
            f"Bring both columns to [0, 1]: {within[0]} is on it already, and --scale is for both."
            if within
            else f"If that is the scale {usual}."
            if ends
            else "Pass its worst and its best score as --scale WORST,BEST."
        )
        raise TrafficError(
            f"qualities must be on the scale from 0 to 1: got {found}. {advice} Where the others"
            " are slips, pass --scale 0,1."
        )

    def refuse_scale_of_one(self, ends: tuple[float, float]) -> None:
        """Refuse a scale beyond [0, 1] that a column was not on: 1.0 would become the worst."""
        if min(ends) >= 0.0 and max(ends) <= 1.0:
            return
        within = [
            name
            for name, values in self._values.items()
            if values.n >= _ENOUGH and not values.outside
        ]
        if within:
            raise TrafficError(
                f"a scale must be that of both qualities: got {ends[0]:g},{ends[1]:g}, and"
                f" {' and '.join(within)} within [0, 1] on every row. Bring both to one scale."
            )

    def refuse_halves(self) -> None:
        """Refuse requests of which one row has the cheap outcome and another the frontier's."""
        if self._split:
            raise TrafficError(
                "a request must stand on one row with all of its outcomes: got"
                f" {quantity_text(self._split, 'row')} with the other half of an earlier row,"
                " the first of id"
                f" {self._split_id!r:.80}: one knows how the cheap model did, the other how the"
                " frontier model did, and only the first would be kept. Join them by id: --labels"
                " halves."
            )


def _zone(time: Any) -> str:
    """Return the zone that a time names; none of one without, ``UTC`` of what counts seconds."""
    if isinstance(time, str) and as_float(time) is None:
        named = _ZONE.search(time.strip())
        return "" if named is None else "UTC" if named[0] in "Zz" else named[0]
    return "" if getattr(time, "tzinfo", "UTC") is None else "UTC"


def _meant(columns: Iterable[str], read: Iterable[str]) -> dict[str, str]:
    """Return the unknown columns that are nearly a known one that is absent."""
    known, present = {*read}, {*columns}
    absent = known - present
    if present & _REQUEST:
        absent -= _REQUEST
    names = {plain_name(name): name for name in absent}
    by_letters = {"".join(sorted(plain)): name for plain, name in names.items()}
    meant = {}
    for name in present - known - _OWN - {"id"}:
        plain = plain_name(name)
        near = get_close_matches(plain, names, n=1, cutoff=_NEAR)
        # Letters that changed places, as in a short name where that is much of it.
        found = names[near[0]] if near else by_letters.get("".join(sorted(plain)))
        if found and len(plain) > 2:
            meant[name] = found
    return dict(sorted(meant.items()))


def _scale_around(columns: Iterable[_Values]) -> tuple[float, float] | None:
    """Return the narrowest usual scale that holds all values; ``None`` where none does."""
    used = [values for values in columns if values.n]
    low, high = min(values.low for values in used), max(values.high for values in used)
    return next((ends for ends in _ENDS if ends[0] <= low and high <= ends[1]), None)
