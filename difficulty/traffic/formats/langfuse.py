"""The format of Langfuse: observations with their scores, from the blob storage export
(``observations/`` or ``observations_v2/`` beside ``scores/``), the export of the user interface, or
the API (observations, or whole traces).

Names are read in both spellings, ``trace_id`` and ``traceId``. Observations that call a model
(``GENERATION``) are rows, others are left out. Scores that name an observation belong to it; those
of a trace belong to the trace's only generation, and where it has several they are kept beside each
(``trace_scores``) and judge none.

References
----------
Langfuse, Blob storage export field reference,
https://langfuse.com/docs/api-and-data-platform/features/blob-storage-export-fields.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from difficulty.errors import TrafficError
from difficulty.traffic.formats.bodies import asked as messages_in
from difficulty.traffic.formats.bodies import offered
from difficulty.traffic.formats.json_records import (
    files_like,
    first_record,
    mapping,
    parsed,
    read_records,
)
from difficulty.traffic.formats.logged_call import (
    FEEDBACK,
    LoggedCall,
    NamedScore,
    TokenUsage,
    answer_of,
    expanded,
    known_cost,
    read_call,
    read_task,
    scored,
    sided,
    split_answer,
)
from difficulty.traffic.readers import RawRow
from difficulty.traffic.reading.dialect import AS_FOUND, ReadOptions
from difficulty.traffic.rows import as_float

_TYPES = (
    *("GENERATION", "SPAN", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR"),
    *("EMBEDDING", "GUARDRAIL"),
)
_OTHERS = {"bookmarked", "public"}
"""Columns of traces."""


class LangfuseFormat:
    """Exports of Langfuse, a file or the folder of an export."""

    def __init__(self, options: ReadOptions = AS_FOUND) -> None:
        self._options = options
        self._scores: _ScoreIndex | None = None

    def files(self, path: Path) -> list[Path]:
        """Return the files, where all below ``path`` are of an export; scores are read with the
        observations.
        """
        files = files_like(path, lambda record: _kind(record) is not None, self._options)
        kinds = {file: _kind(first_record(file, self._options)) for file in files}
        rows = [file for file, kind in kinds.items() if kind in ("observation", "trace")]
        if not any(kind == "observation" for kind in kinds.values()):
            nested = [file for file in rows if "observations" in first_record(file, self._options)]
            if not nested:
                return []
        rows = [
            file
            for file in rows
            if kinds[file] == "observation" or "observations" in first_record(file, self._options)
        ]
        self._scores = _ScoreIndex()
        for file, kind in kinds.items():
            if kind == "score":
                self._scores.read(file, self._options)
        for file in rows:
            self._scores.count(_observations(file, self._options))
        return rows

    def rows(self, file: Path) -> Iterator[RawRow]:
        """Yield one row a generation, on the side of its model."""
        if self._scores is None:
            self.files(file)
        assert self._scores is not None
        scores = self._scores
        logged = (
            call
            for row in _observations(file, self._options)
            for call in read_call(row, lambda fields: _call(fields, scores))
        )
        return sided(logged, self._options.pair, source=file)


def _kind(record: Mapping[str, Any]) -> str | None:
    """Return what a record of an export is; ``None`` where it is not Langfuse's."""
    if _get(record, "traceId") is not None and "type" in record and "name" in record:
        if _get(record, "startTime") is not None:
            return "observation"
    if "value" in record and "name" in record and _has(record, "dataType", "stringValue"):
        return "score" if _has(record, "traceId", "observationId") else None
    if record.keys() >= {"id", "timestamp", "name"} and (
        _has(record, "sessionId") or record.keys() & _OTHERS
    ):
        return "trace" if "input" in record else None
    return None


def _observations(file: Path, options: ReadOptions) -> Iterator[RawRow]:
    """Yield the observations of a file, also those inside of traces."""
    for row in read_records(file, options):
        yield from expanded(row, _unpacked)


def _unpacked(row: RawRow) -> Iterator[RawRow]:
    fields = row.fields or {}
    inner = parsed(fields.get("observations"))
    if not isinstance(inner, list) or _kind(fields) == "observation":
        yield row
        return
    names = ("sessionId", "userId", "session_id", "user_id")
    trace = {name: fields[name] for name in names if fields.get(name) is not None}
    scores = [score for score in parsed(fields.get("scores")) or () if isinstance(score, Mapping)]
    for observation in inner:
        own = {**trace, "traceId": fields.get("id"), **mapping(observation)}
        yield row._replace(fields={**own, "_trace_scores": scores})
    if not inner:
        yield row._replace(fields=None, left_out="a trace without an observation")


def _call(row: Mapping[str, Any], scores: _ScoreIndex) -> LoggedCall | str:
    kind = str(row.get("type") or "").upper()
    if kind not in _TYPES:
        raise TrafficError(
            f"an observation must be of a known type, {', '.join(sorted(_TYPES))}: got"
            f" {kind[:40]!r}. Upgrade difficulty, or leave them out of the export."
        )
    model = _get(row, "providedModelName") or _get(row, "model") or _get(row, "modelName")
    if kind != "GENERATION" or not model:
        return f"an observation of type {kind}, no call of a model"
    if str(row.get("level") or "").upper() == "ERROR":
        return "an observation of level ERROR: the model gave no answer"
    asked = parsed(row.get("input"))
    tools = offered(asked) if isinstance(asked, Mapping) else None
    asked = _messages(asked) if isinstance(asked, Mapping) else asked
    if not asked:
        raise TrafficError(
            "input must be there to learn from: got a generation without it. Export the field"
            " group io."
        )
    messages = asked if isinstance(asked, str | list) else [{"role": "user", "content": str(asked)}]
    answer = _answer(parsed(row.get("output")))
    if answer is None:
        messages, answer = split_answer(messages)
    metadata = mapping(row.get("metadata"))
    own, of_trace = scores.of(row)
    judged = scored(own)
    return LoggedCall(
        id=row.get("id"),
        model=str(model),
        messages=messages,
        tools=tools,
        answer=answer,
        usage=_usage(row),
        cost_usd=known_cost(_cost(row)),
        timestamp=_get(row, "startTime"),
        task=read_task(metadata, row) or _get(row, "traceName") or row.get("name"),
        groups={name: _get(row, name) for name in ("sessionId", "traceId", "userId")},
        **judged
        | {
            "extra": {
                **judged["extra"],
                "trace_scores": {score.name: score.value for score in of_trace},
                "trace_id": _get(row, "traceId"),
            }
        },
    )


def _messages(body: Mapping[str, Any]) -> Any:
    """Return the messages of an input; one that is no body is the message itself."""
    return messages_in(body) if body.get("messages") or body.get("input") else body


def _answer(output: Any) -> Any:
    if isinstance(output, list):
        output = output[0] if output else None
    if isinstance(output, Mapping) and isinstance(output.get("choices"), list):
        output = mapping(output["choices"][0]).get("message") if output["choices"] else None
    if isinstance(output, Mapping) and "content" not in output and "tool_calls" not in output:
        texts = [output[name] for name in ("completion", "text", "output") if name in output]
        return str(texts[0]) if texts else None
    return answer_of(output)


def _usage(row: Mapping[str, Any]) -> TokenUsage:
    """Return the counts. Of ``usage_details`` each name counts what no other does: what the cache
    read stands beside ``input``.
    """
    details = mapping(_get(row, "usageDetails"))
    if not details:
        usage = mapping(row.get("usage"))
        return (
            TokenUsage.of(usage)
            if usage
            else TokenUsage(_get(row, "promptTokens"), _get(row, "completionTokens"))
        )
    counts = {name.lower(): as_float(count) or 0.0 for name, count in details.items()}
    read = [name for name in counts if "input" in name or name.startswith("prompt")]
    written = [name for name in counts if "output" in name or name.startswith("completion")]
    cached = [name for name in read if "cache" in name and "creation" not in name]
    return TokenUsage(
        sum(counts[name] for name in read) if read else None,
        sum(counts[name] for name in written) if written else None,
        sum(counts[name] for name in cached) if cached else None,
    )


def _cost(row: Mapping[str, Any]) -> Any:
    total = mapping(_get(row, "costDetails")).get("total")
    names = ("totalCost", "calculatedTotalCost")
    others = [_get(row, name) for name in names]
    return next((cost for cost in (total, *others) if cost not in (None, "")), None)


class _ScoreIndex:
    """The scores of an export, by what they are of, and how many generations a trace has."""

    def __init__(self) -> None:
        self._of: defaultdict[tuple[str, str], list[NamedScore]] = defaultdict(list)
        self._generations: Counter[str] = Counter()

    def read(self, file: Path, options: ReadOptions) -> None:
        """Read a file of scores."""
        for row in read_records(file, options):
            if row.fields:
                self._add(row.fields)

    def count(self, rows: Iterator[RawRow]) -> None:
        """Count the generations of each trace."""
        for row in rows:
            fields = row.fields or {}
            if str(fields.get("type")).upper() == "GENERATION":
                self._generations[str(_get(fields, "traceId"))] += 1

    def of(self, row: Mapping[str, Any]) -> tuple[list[NamedScore], list[NamedScore]]:
        """Return the scores of an observation, and those of its trace that are not its own."""
        own = list(self._of["observation", str(row.get("id"))])
        trace = list(self._of["trace", str(_get(row, "traceId"))])
        for score in row.get("_trace_scores") or ():
            if (name := _get(score, "observationId")) is None:
                trace.append(_score(score))
            elif name == row.get("id"):
                own.append(_score(score))
        beside = parsed(row.get("scores"))
        if isinstance(beside, Mapping):  # as the user interface exports them: {name: [values]}
            for name, values in beside.items():
                last = values[-1] if isinstance(values, list) and values else values
                own.append(NamedScore(str(name), last if last != [] else None))
        elif isinstance(beside, list):
            own += [_score(score) for score in beside if isinstance(score, Mapping)]
        if self._generations[str(_get(row, "traceId"))] == 1:
            return own + trace, []
        return own, trace

    def _add(self, row: Mapping[str, Any]) -> None:
        observation, trace = _get(row, "observationId"), _get(row, "traceId")
        key = ("observation", str(observation)) if observation else ("trace", str(trace))
        self._of[key].append(_score(row))


def _score(row: Mapping[str, Any]) -> NamedScore:
    name, kind = str(row.get("name")), str(_get(row, "dataType") or "").upper()
    value = row.get("value")
    if kind == "BOOLEAN":
        number = as_float(value)
        value = value if number is None else bool(number)
    elif kind == "CATEGORICAL":
        value = _get(row, "stringValue") or value
    by = str(row.get("source") or "").upper()
    return NamedScore(name, value, f"judge:{name}" if by == "EVAL" else FEEDBACK)


def _get(row: Mapping[str, Any], name: str) -> Any:
    """Return a value by its name in camel case, or in snake case."""
    value = row.get(name)
    return value if value not in (None, "") else row.get(_snake(name)) or None


def _has(row: Mapping[str, Any], *names: str) -> bool:
    return any(name in row or _snake(name) in row for name in names)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
