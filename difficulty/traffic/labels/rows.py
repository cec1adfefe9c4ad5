"""What label sources do with raw rows: change them one by one, or join those of one request."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, TypeAlias

from difficulty.errors import InvalidValueError
from difficulty.traffic.readers.raw import RawRow
from difficulty.traffic.values import text

Fields: TypeAlias = Mapping[str, Any]
_REQUEST = ("messages", "prompt")
_PAIR = ("cheap_model", "frontier_model")


def given(value: Any) -> bool:
    """Return whether a raw value says anything: neither null nor empty."""
    return value is not None and value != ""


def without(fields: Fields, *names: str) -> dict[str, Any]:
    """Return the columns but those named: a raw column that became an outcome is not kept beside
    it.
    """
    return {name: value for name, value in fields.items() if name not in names}


def refuse_beside(fields: Fields, raw: str, outcome: str) -> None:
    """Refuse a row that has a raw column and the outcome it would become: they may not agree."""
    if given(fields.get(outcome)):
        raise InvalidValueError(
            raw,
            fields[raw],
            rule=f"not stand beside {outcome}",
            hint="Leave one of the two columns out.",
        )


def changed(rows: Iterable[RawRow], change: Callable[[Fields], Fields]) -> Iterator[RawRow]:
    """Change the columns of each row; a row that ``change`` refuses goes on with the reason."""
    for row in rows:
        if row.fields is None or row.problem:
            yield row
            continue
        try:
            yield row._replace(fields=change(row.fields))
        except InvalidValueError as error:
            yield row._replace(problem=str(error))


@dataclass(slots=True)
class Request:
    """The rows of one request: the first as it came, of the others only what their source reads."""

    row: RawRow
    labels: list[Fields] = field(default_factory=list)
    lines: list[tuple[str, int]] = field(default_factory=list)
    digest: bytes = b""


def join(
    rows: Iterable[RawRow], read: Callable[[Fields], Fields], refused: list[RawRow]
) -> list[Request]:
    """Read all rows and return the requests in the order of their first rows; rows that are refused
    go to ``refused``.

    Rows of one ``id`` are one request. A later one may leave the request out; what it says of it
    must be the same. A row without an id is a request of its own.

    Parameters
    ----------
    rows : iterable of RawRow
    read : callable
        From the columns of a row to its labels; raises ``InvalidValueError`` for what cannot be.
    refused : list
        Takes the rows that cannot be read or break a rule, each with its problem.
    """
    found: dict[Any, Request] = {}
    for row in rows:
        if row.fields is None or row.problem:
            refused.append(row)
            continue
        try:
            _add(found, row, row.fields, read)
        except InvalidValueError as error:
            refused.append(row._replace(problem=str(error)))
    return list(found.values())


def _add(
    found: dict[Any, Request], row: RawRow, fields: Fields, read: Callable[[Fields], Fields]
) -> None:
    labels = read(fields)
    own_id = text(fields.get("id"), "id")
    request = found.setdefault(
        (row.source, row.line) if own_id is None else own_id, Request(row, digest=_digest(fields))
    )
    if request.labels:
        _check_same(request, fields)
    request.labels.append(labels)
    request.lines.append((row.source, row.line))


def _check_same(request: Request, fields: Fields) -> None:
    """Refuse a row that has the id of another request, or of another pair of models."""
    first = request.row.fields or {}
    place = f"Line {request.row.line} of {request.row.source} has the id first."
    if any(given(fields.get(name)) for name in _REQUEST) and _digest(fields) != request.digest:
        raise InvalidValueError(
            "id", fields["id"], rule="name one request: this row has other messages", hint=place
        )
    for name in _PAIR:
        if given(fields.get(name)) and fields[name] != first.get(name):
            raise InvalidValueError(
                name,
                fields[name],
                rule=f"be that of the first row of id {fields['id']!r}",
                hint=place,
            )


def _digest(fields: Fields) -> bytes:
    form = json.dumps([fields.get(name) or None for name in _REQUEST], sort_keys=True, default=str)
    return blake2b(form.encode(), digest_size=16).digest()
