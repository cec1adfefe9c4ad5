"""From one row a call to one row a request: what each row says of its call becomes the columns of
the cheap or the frontier model.

Rows of one request may stand anywhere in any file, so they are laid by, in memory as long as they
are few and in nameless files beside the output when they are many, parted by a hash of the request.
A part at a time is joined, and requests come out in the order of their first rows.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean
from tempfile import SpooledTemporaryFile
from typing import IO, Any, NamedTuple, cast
from zlib import crc32

from difficulty.errors import DifficultyError, InvalidValueError, TrafficError
from difficulty.text import quantity_text
from difficulty.traffic.labels import SourceReport
from difficulty.traffic.readers import RawRow
from difficulty.traffic.reading.mapping import CALL, PivotSection
from difficulty.traffic.reading.named_pair import ModelPair, told_models
from difficulty.traffic.rows import as_float, says_something, text

THIRD_MODEL = "a row of a pivot must be of the cheap or the frontier model"
_N_PARTS = 64
_PART_IN_MEMORY = 2**20  # bytes; a larger part goes to the disk
_EARLY = 1_000  # rows after which a pivot without models is refused
_MOST_MODELS = 10_000  # names that are counted
_SIDES = {"quality": "quality", "answer": "answer", "tokens": "tokens", "cost": "cost_usd"}
_REQUEST = ("prompt", "messages")


class _Call(NamedTuple):
    """A row that is laid by."""

    number: int
    side: str
    model: str
    source: str
    line: int
    call: dict[str, Any]
    request: dict[str, Any]


class Pivot:
    """Join the rows of each request.

    Parameters
    ----------
    section : PivotSection
        What counts of several calls of one model on one request.
    pair : ModelPair
        The two models; rows of others are left out.
    folder : Path
        Where rows are laid by when they are many.
    """

    def __init__(self, section: PivotSection, pair: ModelPair, *, folder: Path) -> None:
        self._section, self._pair, self._folder = section, pair, folder
        self._models: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._counts: Counter[str] = Counter(
            calls=0, requests=0, both_models=0, cheap_alone=0, frontier_alone=0, duplicates=0
        )
        self._differing: Counter[str] = Counter()

    def rows(self, rows: Iterable[RawRow], *, passes: Callable[[RawRow], bool]) -> Iterator[RawRow]:
        """Yield the rows that cannot be used as they come, then one row a request.

        Raises
        ------
        TrafficError
            If the pair is not named, or no row is of a model that is.
        """
        with ExitStack() as stack:
            parts = [self._part(stack) for _ in range(_N_PARTS)]
            for row in rows:
                if row.fields is None or row.problem or passes(row):
                    yield row
                    continue
                seen = self._models.total()
                if seen == _EARLY:
                    self._refuse_unnamed()
                try:
                    placed = self._placed(row, row.fields)
                except DifficultyError as error:
                    yield row._replace(problem=str(error))
                    continue
                if isinstance(placed, RawRow):
                    yield placed
                    continue
                key, call = placed
                line = json.dumps([key, *call], default=str).encode("ascii")
                parts[crc32(key.encode("utf-8", "replace")) % _N_PARTS].write(line + b"\n")
            if self._models:
                self._refuse_unnamed()
                self._pair.refuse_absent(name for name, _ in self._models.most_common())
            joined = [self._joined(part, stack) for part in parts]
            # Where no request has both models this is a log of calls: which one was called was
            # somebody's choice. Of a table that lacks some halves it was not.
            routed = not self._counts["both_models"] and len(self._models) > 1
            # Of each part in order of the first rows, so that all of them are.
            for _, fields, called in heapq.merge(*map(_read, joined), key=lambda row: row[0]):
                row = RawRow(**fields)
                if routed and called and row.fields and not says_something(row.fields.get("route")):
                    row = row._replace(fields={**row.fields, "route": called})
                yield row

    def report(self) -> SourceReport:
        """Return how many calls became how many requests."""
        warnings = []
        requests, both = self._counts["requests"], self._counts["both_models"]
        if self._section.request is not None and requests and not both:
            warnings.append(
                "no request has a row of both models: check that request="
                f"{self._section.request} names what their rows share"
            )
        if self._left_out:
            told = ", ".join(f"{name!r:.80} ({n:,})" for name, n in self._left_out.most_common(5))
            warnings.append(
                f"left out: {quantity_text(self._left_out.total(), 'row')} of other models"
                f" ({told});"
                " of a model"
                " that was renamed give all names, by repeating --cheap or --frontier"
            )
        if self._counts["duplicates"]:
            warnings.append(
                "further calls of a model on the same request:"
                f" {quantity_text(self._counts['duplicates'], 'row')}; of several the"
                f" {_RULES[self._section.duplicates]}"
            )
        if self._differing:
            names = ", ".join(f"{name} ({n:,})" for name, n in self._differing.most_common(5))
            warnings.append(
                f"of columns that differ between the rows of a request the first counts: {names}"
            )
        counts = {**self._counts, "other_models": self._left_out.total()}
        return SourceReport(source="pivot", counts=counts, warnings=tuple(warnings))

    def _part(self, stack: ExitStack) -> IO[bytes]:
        file = SpooledTemporaryFile(max_size=_PART_IN_MEMORY, dir=str(self._folder))
        return cast(IO[bytes], stack.enter_context(file))

    def _placed(self, row: RawRow, fields: Mapping[str, Any]) -> RawRow | tuple[str, _Call]:
        """Return a row with the key of its request, or as it goes on when it is left out."""
        request = dict(fields)
        call = request.pop(CALL)
        model = text(call.pop("model", None), f"model (column {self._section.model!r:.80})")
        if model is None:
            rule = "be named in the column of the models"
            raise InvalidValueError("the model of a call", None, rule=rule)
        if len(self._models) < _MOST_MODELS or model in self._models:
            self._models[model] += 1
        side = self._pair.side(model)
        if side is None and self._pair.named:
            self._left_out[model] += 1
            return row._replace(fields=None, left_out=THIRD_MODEL)
        number = self._counts["calls"]
        key = _key(call.pop("request", None)) if self._section.request else f"row {number}"
        if key is None:
            rule = f"be named in column {self._section.request!r:.80}"
            raise InvalidValueError("the request of a call", None, rule=rule)
        if self._section.request and not says_something(request.get("id")):
            request["id"] = key
        self._counts["calls"] += 1
        return key, _Call(number, side or "", model, row.source, row.line, call, request)

    def _refuse_unnamed(self) -> None:
        if not self._pair.named:
            names = [name for name, _ in self._models.most_common()]
            example = (
                f"--cheap {names[0]!r:.80} --frontier {names[1]!r:.80}"
                " (a guess, by their calls alone)"
                if len(names) > 1
                else f"--cheap {names[0]!r:.80}"
            )
            raise TrafficError(
                "a pivot must be told which model is the cheap one and which the frontier one:"
                f" got neither. {told_models(names)} Pass for example {example}, exactly or as"
                " patterns such as 'gpt-4*'."
            )

    def _joined(self, part: IO[bytes], stack: ExitStack) -> IO[bytes]:
        """Return a part with one line a request, and free what it was made of."""
        requests: dict[str, list[_Call]] = {}
        part.seek(0)
        for line in part:
            key, *call = json.loads(line)
            requests.setdefault(key, []).append(_Call(*call))
        part.close()
        joined = self._part(stack)
        for calls in requests.values():
            for row, called in self._join(calls):
                line = json.dumps([calls[0].number, row._asdict(), called]).encode("ascii")
                joined.write(line + b"\n")
        joined.seek(0)
        return joined

    def _join(self, calls: Sequence[_Call]) -> Iterator[tuple[RawRow, str]]:
        """Yield the row of a request with the side of its one call, if it has one, and before it
        the calls that cannot be of it.
        """
        first, same = calls[0], []
        said = _said(first.request)
        for call in calls:
            if (other := _said(call.request)) and said and other != said:
                problem = (
                    "a row of a request must hold the text of the request's first row: got another"
                    f" than line {first.line} of {first.source}. Check what request= names."
                )
                yield RawRow(call.source, call.line, call.request, problem), ""
            else:
                said = said or other
                same.append(call)
        # Of a request with one call the pair is known all the same.
        names = {f"{side}_model": name for side, name in self._pair.exact.items()}
        fields = {**names, **self._request(same)}
        sides = {side: [call for call in same if call.side == side] for side in _ROUTES}
        for side, of_side in sides.items():
            if of_side:
                self._counts["duplicates"] += len(of_side) - 1
                fields |= _side_fields(side, of_side, self._section.duplicates)
        self._counts["requests"] += 1
        both = all(sides.values())
        alone = "cheap" if sides["cheap"] else "frontier"
        self._counts["both_models" if both else f"{alone}_alone"] += 1
        yield RawRow(first.source, first.line, fields), "" if both else alone

    def _request(self, calls: Sequence[_Call]) -> dict[str, Any]:
        """Return what the rows say of the request itself: the first that says it."""
        fields: dict[str, Any] = {}
        by_side: set[str] = set()
        for call in calls:
            for name, value in call.request.items():
                if not says_something(fields.get(name)):
                    fields[name] = value
                elif says_something(value) and value != fields[name] and name not in _REQUEST:
                    by_side.add(name)
        for name in by_side:
            if name not in _COMMON:
                # What differs is of the calls: each model's own is kept.
                del fields[name]
                for call in calls:
                    if says_something(call.request.get(name)):
                        fields[f"{name} ({call.side})"] = call.request[name]
            elif name != "timestamp":
                self._differing[name] += 1
        return fields


_ROUTES = ("cheap", "frontier")
_RULES = {
    "last": "last with an outcome counts",
    "first": "first with an outcome counts",
    "mean": "mean quality counts, and the last with an outcome for the rest",
}
# Of the request whatever the model.
_COMMON = frozenset(
    {"id", "task", "group", "timestamp", "weight", "route", "propensity", "measured_by", "tools"}
    | {"prompt_tokens", "inclusion", "contaminated"}
)


def _side_fields(side: str, calls: Sequence[_Call], rule: str) -> dict[str, Any]:
    """Return the columns of one model."""
    known = [
        call
        for call in calls
        if says_something(call.call.get("quality")) or says_something(call.call.get("passed"))
    ] or calls
    call = known[0] if rule == "first" else known[-1]
    values = dict(call.call)
    if rule == "mean" and len(known) > 1:
        scores = [_score(other.call.get("quality")) for other in known]
        if (numbers := [score for score in scores if score is not None]) and len(numbers) > 1:
            values["quality"] = fmean(numbers)
    fields = {
        f"{side}_{name}": values[field]
        for field, name in _SIDES.items()
        if says_something(values.get(field)) or (field == "answer" and field in values)
    }
    if says_something(values.get("passed")):
        fields[f"{side}_passed"] = values["passed"]
    return {f"{side}_model": call.model, **fields}


def _score(value: Any) -> float | None:
    flag = {"true": 1.0, "false": 0.0}.get(str(value).strip().lower())
    return as_float(value) if flag is None else flag


def _key(value: Any) -> str | None:
    if isinstance(value, list | dict):
        return json.dumps(value, default=str)
    return str(value) if says_something(value) else None


def _said(request: Mapping[str, Any]) -> str:
    """Return the text of a request without instructions, which may be each model's own."""
    messages = request.get("messages")
    if not says_something(messages):
        return " ".join(str(request.get("prompt") or "").split())
    if isinstance(messages, list):
        messages = [
            part
            for part in messages
            if not isinstance(part, dict) or part.get("role") not in ("system", "developer")
        ]
    return " ".join(json.dumps(messages).split())


def _read(part: IO[bytes]) -> Iterator[tuple[int, dict[str, Any], str]]:
    for line in part:
        number, fields, called = json.loads(line)
        yield number, fields, called
