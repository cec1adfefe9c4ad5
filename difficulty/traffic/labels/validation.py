"""Label source ``validation``: whether the answer passed a check in production."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from difficulty.errors import InvalidValueError
from difficulty.traffic.labels.report import SourceReport
from difficulty.traffic.labels.rows import Fields, changed, given, refuse_beside, without
from difficulty.traffic.readers.raw import RawRow
from difficulty.traffic.values import choice

_PASSED = ("passed", "pass", "ok", "valid", "success", "true", "1", "1.0")
_FAILED = ("failed", "fail", "error", "invalid", "failure", "false", "0", "0.0")


class Validation:
    """Read ``validation``, the verdict on the answer of the model in ``route``; without a route, on
    the cheap model's.

    A verdict on the cheap answer becomes ``cheap_passed``; one on the frontier answer
    ``frontier_quality``, 1 or 0. Of a request whose cheap answer failed and that then went to the
    frontier model, write the route that was chosen first: cheap.
    """

    options: ClassVar[Mapping[str, Callable[[str], Any]]] = {}

    def __init__(self) -> None:
        self._verdicts: Counter[str] = Counter()

    def rows(self, rows: Iterable[RawRow]) -> Iterator[RawRow]:
        """Yield the rows with their verdicts as outcomes."""
        return changed(rows, self._labelled)

    def report(self) -> SourceReport:
        """Return how many verdicts there were of each kind."""
        warnings = () if self._verdicts else ("no row has a column validation with a verdict",)
        return SourceReport(
            source="validation", found=dict(sorted(self._verdicts.items())), warnings=warnings
        )

    def _labelled(self, fields: Fields) -> Fields:
        verdict = fields.get("validation")
        if not given(verdict):
            return without(fields, "validation")
        passed, frontier = _passed(verdict), choice(fields.get("route")) == "frontier"
        outcome = "frontier_quality" if frontier else "cheap_passed"
        refuse_beside(fields, "validation", outcome)
        self._verdicts[
            f"{'frontier' if frontier else 'cheap'} {'passed' if passed else 'failed'}"
        ] += 1
        return without(fields, "validation") | {outcome: float(passed) if frontier else passed}


def _passed(verdict: Any) -> bool:
    word = str(verdict).strip().lower()
    if word in _PASSED or word in _FAILED:
        return word in _PASSED
    raise InvalidValueError(
        "validation", verdict, rule=f"be one of {', '.join((*_PASSED, *_FAILED))}, or null"
    )
