"""Label source ``gap``: two qualities so close to each other that the difference says nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from difficulty.errors import InvalidValueError
from difficulty.traffic.labels.report import SourceReport
from difficulty.traffic.labels.rows import Fields, changed, given
from difficulty.traffic.readers.raw import RawRow
from difficulty.traffic.values import number, quality

_RULE = "be in (0, 1]"
_ROUNDING = 1e-9  # 0.8 - 0.7 is a little below 0.1


class GapMargin:
    """Mark a request as a tie where the two qualities differ by less than a margin and nobody
    voted.

    The qualities stay as they are, and so does what is learned of either model alone; only the gain
    becomes 0. A difference equal to the margin is no tie.

    Parameters
    ----------
    margin : float
        In quality units, in (0, 1].
    """

    options: ClassVar[Mapping[str, Callable[[str], Any]]] = {
        "margin": lambda text: number(text, "margin", rule=_RULE)
    }

    def __init__(self, *, margin: float | None = None) -> None:
        if margin is None or not 0.0 < margin <= 1.0:
            raise InvalidValueError(
                "margin", margin, rule=_RULE, hint="Write for example: gap:margin=0.1."
            )
        self._margin = margin
        self._both = self._ties = self._close = 0

    def rows(self, rows: Iterable[RawRow]) -> Iterator[RawRow]:
        """Yield the rows, those with a small gap as ties."""
        return changed(rows, self._labelled)

    def report(self) -> SourceReport:
        """Return how many rows have both qualities, how many of those have equal ones, and how many
        more became ties.
        """
        found = {
            "margin": self._margin,
            "both_qualities": self._both,
            "equal": self._ties,
            "within_margin": self._close,
        }
        warnings = () if self._both else ("no row has both qualities: the margin changed nothing",)
        return SourceReport(source="gap", found=found, warnings=warnings)

    def _labelled(self, fields: Fields) -> Fields:
        cheap, frontier = (
            quality(fields.get(name), name) for name in ("cheap_quality", "frontier_quality")
        )
        if cheap is None or frontier is None:
            return fields
        self._both += 1
        if cheap == frontier:
            self._ties += 1
            return fields
        if given(fields.get("preference")) or abs(frontier - cheap) >= self._margin - _ROUNDING:
            return fields
        self._close += 1
        return {**fields, "preference": "tie"}
