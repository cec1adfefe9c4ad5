"""Label source ``halves``: one row says how the cheap model did on a request, another how the
frontier model did; joined by ``id``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from difficulty.errors import InvalidValueError
from difficulty.traffic.labels import SourceReport
from difficulty.traffic.readers import RawRow
from difficulty.traffic.rows import FIELDS, says_something, text

# Each call has its own time; the request is as old as its first row.
_FIRST_COUNTS = ("timestamp",)
_MUST_AGREE = (FIELDS | {"prompt"}) - {*_FIRST_COUNTS}


class Halves:
    """Join the rows of one ``id``: what the first row leaves out is taken from the later ones.

    A later row may leave the request out. One that contradicts an earlier row in a column of the
    contract is refused; of other columns, and of the time, the first row's value counts. All rows
    are kept in memory.
    """

    options: ClassVar[Mapping[str, Callable[[str], Any]]] = {}

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter(requests=0, joined=0, alone=0)
        self._differing: Counter[str] = Counter()

    def rows(self, rows: Iterable[RawRow]) -> Iterator[RawRow]:
        """Yield the rows that cannot be used as they come, then one row a request."""
        requests: dict[Any, RawRow] = {}
        joined: set[Any] = set()
        for row in rows:
            if row.fields is None or row.problem:
                yield row
                continue
            try:
                own_id = text(row.fields.get("id"), "id")
                key = (row.source, row.line) if own_id is None else own_id
                if key in requests:
                    requests[key] = self._filled(requests[key], row)
                    joined.add(key)
                else:
                    requests[key] = row
            except InvalidValueError as error:
                yield row._replace(problem=str(error))
        self._counts.update(
            requests=len(requests), joined=len(joined), alone=len(requests) - len(joined)
        )
        yield from requests.values()

    def report(self) -> SourceReport:
        """Return how many requests were joined of several rows, and how many stand alone."""
        warnings = []
        if not self._counts["joined"]:
            warnings.append("no id is on more than one row: nothing was joined")
        if self._differing:
            names = ", ".join(f"{name} ({n:,})" for name, n in self._differing.most_common(5))
            warnings.append(
                f"of columns that differ between the rows of a request the first counts: {names}"
            )
        return SourceReport(source="halves", counts=dict(self._counts), warnings=tuple(warnings))

    def _filled(self, first: RawRow, row: RawRow) -> RawRow:
        """Return the first row with what the other adds."""
        known, more = dict(first.fields or {}), row.fields or {}
        for name, value in more.items():
            if not says_something(value) or known.get(name) == value:
                continue
            if not says_something(known.get(name)):
                known[name] = value
            elif name in _MUST_AGREE:
                rule = f"be that of the first row of id {more['id']!r:.80}"
                hint = f"Line {first.line} of {first.source} has it."
                # Never the text of a request.
                shown = value if isinstance(value, int | float) else f"another {name}"
                raise InvalidValueError(name, shown, rule=rule, hint=hint)
            else:
                self._differing[name] += 1
        return first._replace(fields=known)
