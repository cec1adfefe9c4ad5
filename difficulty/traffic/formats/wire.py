"""The format of logs that keep the bodies of requests and responses, wherever and under whatever
name: gateways, proxies, diagnostics of a cloud, exports of a table. Anthropic's, Azure's and other
APIs' bodies are known by their form (:mod:`difficulty.traffic.formats.bodies`); what a log wrote
beside them, by the usual names.

Bodies that are JSON text are read too. Formats that know their tool's log come first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from difficulty.errors import InvalidValueError, TrafficError
from difficulty.traffic.formats.bodies import answered, asked, is_request, is_response, offered
from difficulty.traffic.formats.json_records import files_like, mapping, parsed, read_table
from difficulty.traffic.formats.logged_call import (
    FEEDBACK,
    LoggedCall,
    TokenUsage,
    known_cost,
    read_call,
    read_feedback,
    read_task,
    sided,
)
from difficulty.traffic.readers import RawRow
from difficulty.traffic.reading.column_names import plain_name
from difficulty.traffic.reading.dialect import AS_FOUND, ReadOptions
from difficulty.traffic.rows import as_float, moment

_DEPTH = 4
_MOST_LOOKED_AT = 400  # objects of a record
_IDS = ("requestid", "callid", "traceid", "correlationid", "id", "uuid")
_TIMES = ("timestamp", "requestcreatedat", "createdat", "starttime", "time", "date", "created")
_COSTS = ("costusd", "cost", "totalcost", "responsecost", "spend")
_STATUSES = ("status", "statuscode", "responsestatus", "httpstatus", "resultsignature")
_SESSIONS = ("sessionid", "conversationid", "threadid", "user", "userid")
_MODELS = ("model", "modelname", "requestmodel", "responsemodel", "modeldeploymentname")


_OUTCOMES = {"cheap_quality", "frontier_quality", "cheap_passed", "preference"}


class WireFormat:
    """Bodies of requests and responses anywhere in a record."""

    def __init__(self, options: ReadOptions = AS_FOUND) -> None:
        self._options = options

    def files(self, path: Path) -> list[Path]:
        """Return the files, where the first record of all below ``path`` holds both bodies."""
        return files_like(path, _has_both, self._options, listed=True)

    def rows(self, file: Path) -> Iterator[RawRow]:
        """Yield one row a call; failed calls are left out."""
        rows = read_table(file, self._options)
        logged = (call for row in rows for call in read_call(row, _call))
        return sided(logged, self._options.pair, source=file)


class _Record:
    """The objects of a record, the outermost first, each with the number of the one that holds it;
    JSON text is opened.
    """

    def __init__(self, row: Mapping[str, Any]) -> None:
        self.objects: list[tuple[Mapping[str, Any], int]] = [(row, -1)]
        first = 0
        for _ in range(_DEPTH):
            level = self.objects[first:]
            for number, (value, _) in enumerate(level, start=first):
                for item in value.values():
                    opened = parsed(item)
                    if isinstance(opened, Mapping) and len(self.objects) < _MOST_LOOKED_AT:
                        self.objects.append((opened, number))
            first += len(level)

    def find(self, fits: Callable[[Mapping[str, Any]], bool]) -> int | None:
        """Return the number of the outermost object that fits."""
        numbers = (number for number, (value, _) in enumerate(self.objects) if fits(value))
        return next(numbers, None)

    def of(self, number: int | None) -> Mapping[str, Any]:
        """Return an object; an empty one for none."""
        return {} if number is None else self.objects[number][0]

    def without(self, bodies: set[int]) -> list[Mapping[str, Any]]:
        """Return the objects that are neither bodies nor parts of them; the record itself is always
        one.
        """
        inside = bodies - {0}
        for number, (_, holder) in enumerate(self.objects):
            if holder in inside:
                inside.add(number)
        return [value for number, (value, _) in enumerate(self.objects) if number not in inside]


def _has_both(row: Mapping[str, Any]) -> bool:
    if _OUTCOMES & row.keys():
        return False  # traffic already, whatever is kept beside it
    record = _Record(row)
    return record.find(is_request) is not None and record.find(is_response) is not None


def _call(row: Mapping[str, Any]) -> LoggedCall | str:
    record = _Record(row)
    places = record.find(is_request), record.find(is_response)
    request, response = map(record.of, places)
    beside = record.without({place for place in places if place is not None})
    status = as_float(_named(beside, _STATUSES))
    if status is not None and status >= 400:
        return f"its status is {status:.0f}: the model gave no answer"
    if not request:
        raise TrafficError(
            "a call must hold the body of its request: got none with messages. Let the log keep"
            " bodies."
        )
    metadata, said = mapping(row.get("metadata")), mapping(request.get("metadata"))
    usage = TokenUsage.of(response.get("usage"))
    if usage.prompt is None and usage.completion is None:
        usage = _usage_beside(response, beside)
    return LoggedCall(
        id=_text(_named(beside, _IDS)) or _text(response.get("id")),
        model=_text(request.get("model") or response.get("model") or _named(beside, _MODELS)),
        messages=asked(request),
        tools=offered(request),
        answer=answered(response) if response else None,
        usage=usage,
        cost_usd=known_cost(_named(beside, _COSTS)),
        timestamp=_time(_named(beside, _TIMES)) or _time(response.get("created")),
        task=read_task(metadata, said, row),
        groups={"session": _text(_named(beside, _SESSIONS))},
        # Not from anywhere: a score of a filter is no outcome.
        quality=read_feedback(row, metadata, row.get("properties")),
        measured_by=FEEDBACK,
    )


def _named(places: list[Mapping[str, Any]], names: tuple[str, ...]) -> Any:
    """Return the first value with one of some names, the name before the place."""
    for name in names:
        for place in places:
            for key, value in place.items():
                if plain_name(str(key)) == name and isinstance(value, str | int | float):
                    if value != "" and not isinstance(value, bool):
                        return value
    return None


def _usage_beside(response: Mapping[str, Any], beside: list[Mapping[str, Any]]) -> TokenUsage:
    counted = mapping(response.get("usageMetadata"))  # Google's
    if counted:
        return TokenUsage(
            counted.get("promptTokenCount"),
            counted.get("candidatesTokenCount"),
            counted.get("cachedContentTokenCount"),
        )
    usages = (TokenUsage.of(place) for place in beside)
    return next((usage for usage in usages if usage.completion is not None), TokenUsage())


def _time(value: Any) -> Any:
    """Return a time; ``None`` for what has the name of one and is none, such as a duration."""
    try:
        return moment(value, "timestamp")
    except InvalidValueError:
        return None


def _text(value: Any) -> str | None:
    return str(value) if value not in (None, "") else None
