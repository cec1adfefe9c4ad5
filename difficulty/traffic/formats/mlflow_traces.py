"""The format of MLflow: traces with their assessments, from a local store (the SQLite file, or a
folder ``mlruns``), from a server, or as JSON (``Trace.to_json``, one a line).

A server is named by a TOML file ``NAME.mlflow.toml``: ``tracking_uri`` and, to read fewer than all,
``experiments``, a list of names. Stores and servers are read through mlflow's own client (the extra
``track``). A trace's spans of the types ``CHAT_MODEL`` and ``LLM`` are rows; where it has none, and
names its model, the trace itself is one. Feedback on a span belongs to it, that on a trace to its
only call. Read are traces of schema 2 and 3; others are refused by name.
"""

from __future__ import annotations

import base64
import binascii
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from difficulty.errors import InvalidValueError, MissingExtraError, TrafficError
from difficulty.form import read_toml
from difficulty.traffic.formats.bodies import asked as messages_in
from difficulty.traffic.formats.bodies import offered
from difficulty.traffic.formats.json_records import files_like, mapping, parsed, read_records
from difficulty.traffic.formats.logged_call import (
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

_SERVER = ".mlflow.toml"
_STORES = (".db", ".sqlite", ".sqlite3")
_SQLITE = b"SQLite format 3\0"
_CALLS = ("CHAT_MODEL", "LLM")
_SCHEMAS = ("2", "3")
_PAGE = 100
_SCHEMA = "mlflow.trace_schema.version"


class MLflowFormat:
    """Traces of MLflow."""

    def __init__(self, options: ReadOptions = AS_FOUND) -> None:
        self._options = options

    def files(self, path: Path) -> list[Path]:
        """Return a store, the name of a server, or files of traces."""
        return [path] if _is_store(path) else files_like(path, _is_trace, self._options)

    def rows(self, file: Path) -> Iterator[RawRow]:
        """Yield one row a call of a model, on the side of the model."""
        traces = _stored(file) if _is_store(file) else read_records(file, self._options)
        logged = (
            call
            for trace in traces
            for row in expanded(trace, _calls)
            for call in read_call(row, _call)
        )
        return sided(logged, self._options.pair, source=file)


def _is_trace(record: Mapping[str, Any]) -> bool:
    info = mapping(record.get("info"))
    named = {"trace_id", "request_id"} & info.keys()
    return bool(named) and "spans" in mapping(record.get("data"))


def _is_store(path: Path) -> bool:
    name = path.name.lower()
    if path.is_dir():
        return (path / "0" / "meta.yaml").is_file() or any(path.glob("*/traces/*/trace_info.yaml"))
    if name.endswith(_STORES):
        return _has_traces(path)
    return name.endswith(_SERVER)


def _has_traces(path: Path) -> bool:
    """Return whether a file is MLflow's: its client would make any other database one."""
    try:
        with path.open("rb") as file:
            if file.read(len(_SQLITE)) != _SQLITE:
                return False
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as store:
            query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'trace_info'"
            return store.execute(query).fetchone() is not None
    except (OSError, sqlite3.Error):
        return False


def _stored(path: Path) -> Iterator[RawRow]:
    """Yield the traces of a store or a server, page by page."""
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise MissingExtraError(
            "reading traces of MLflow", package="mlflow", extra="track"
        ) from error
    address, wanted = _address(path)
    client = MlflowClient(tracking_uri=address)
    n = 0
    try:
        places = [
            experiment.experiment_id
            for experiment in client.search_experiments()
            if not wanted or experiment.name in wanted
        ]
        token = None
        while places:
            page = client.search_traces(
                locations=places, max_results=_PAGE, page_token=token, order_by=["timestamp ASC"]
            )
            for trace in page:
                n += 1
                yield RawRow(str(path), n, trace.to_dict())
            token = page.token
            if not token:
                break
    except MlflowException as error:
        raise TrafficError(
            f"traces of {address!r} must be readable: {str(error)[:300]}. Check the address and the"
            " version of its store."
        ) from error
    if not n:
        raise TrafficError(
            f"{address!r} must hold at least one trace: got none"
            f"{f' in {sorted(wanted)}' if wanted else ''}. Check the names of the experiments."
        )


def _address(path: Path) -> tuple[str, set[str]]:
    """Return where to read, and the names of the experiments; none: all of them."""
    if path.is_dir():
        return path.resolve().as_uri(), set()
    if not path.name.lower().endswith(_SERVER):
        return f"sqlite:///{path.resolve()}", set()
    said = read_toml(path, "address of an MLflow server")
    if unknown := sorted(said.keys() - {"tracking_uri", "experiments"}):
        raise InvalidValueError(
            "a key", unknown[0], rule="be tracking_uri or experiments", hint=f"It is in {path}."
        )
    address, names = said.get("tracking_uri"), said.get("experiments", [])
    if not isinstance(address, str) or not address:
        raise InvalidValueError(
            "tracking_uri", address, rule="be an address such as 'http://127.0.0.1:5000'"
        )
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidValueError("experiments", type(names).__name__, rule="be a list of names")
    return address, set(names)


def _calls(row: RawRow) -> Iterator[RawRow]:
    """Yield a row for each call of a model in a trace, with the trace beside it."""
    trace = row.fields or {}
    info = mapping(trace.get("info"))
    metadata = mapping(info.get("trace_metadata") or info.get("request_metadata"))
    schema = str(metadata.get(_SCHEMA) or ("3" if "trace_id" in info else "2"))
    if schema not in _SCHEMAS:
        problem = (
            f"a trace of MLflow must be of schema {' or '.join(_SCHEMAS)}: got {schema[:40]!r}."
            " Upgrade difficulty."
        )
        yield row._replace(problem=problem)
        return
    spans = [_span(span) for span in mapping(trace.get("data")).get("spans") or ()]
    calls = [span for span in spans if span["type"] in _CALLS]
    # A whole trace is a call where nothing in it says to be one, yet it names its model.
    calls = calls or [
        {**span, "whole": True} for span in spans if span["parent"] is None and span["model"]
    ]
    if not calls:
        yield row._replace(fields=None, left_out="a trace without a call of a model")
    for span in calls:
        scores = [
            _score(item)
            for item in map(mapping, info.get("assessments") or ())
            if "feedback" in item
            and item.get("valid", True)
            and (
                item.get("span_id") in (span["id"], span["raw_id"])
                if item.get("span_id")
                else len(calls) == 1
            )
        ]
        yield row._replace(
            fields={"span": span, "info": info, "metadata": metadata, "scores": scores}
        )


def _span(span: Any) -> dict[str, Any]:
    """Return what is read of a span; attributes hold JSON texts."""
    found = mapping(span)
    attributes = {
        str(name): _unquoted(value) for name, value in mapping(found.get("attributes")).items()
    }
    raw = str(found.get("span_id") or "")
    return {
        "raw_id": raw,
        "id": _hexadecimal(raw),
        "parent": found.get("parent_span_id") or found.get("parent_id") or None,
        "type": str(attributes.get("mlflow.spanType") or "").upper(),
        "model": attributes.get("mlflow.llm.model")
        or mapping(attributes.get("mlflow.spanInputs")).get("model"),
        "attributes": attributes,
        "status": mapping(found.get("status")).get("code", found.get("status_code")),
        "start": found.get("start_time_unix_nano") or found.get("start_time"),
    }


def _hexadecimal(name: str) -> str:
    """Return the id of a span as assessments name it: bytes stand as base64 in OTLP's JSON."""
    try:
        return base64.b64decode(name, validate=True).hex() if len(name) == 12 else name
    except (binascii.Error, ValueError):
        return name


def _unquoted(value: Any) -> Any:
    """Return a value that MLflow wrote as JSON text, strings too."""
    if isinstance(value, str) and value[:1] in '"{[-0123456789tfn':
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _call(row: Mapping[str, Any]) -> LoggedCall | str:
    span, info, metadata = row["span"], row["info"], row["metadata"]
    attributes = span["attributes"]
    if str(span["status"]) in ("ERROR", "STATUS_CODE_ERROR", "2"):
        return "a span that ended in an error: the model gave no answer"
    asked = parsed(attributes.get("mlflow.spanInputs"))
    inputs = mapping(asked)
    messages = messages_in(inputs)
    if not messages and not inputs:
        messages = asked if isinstance(asked, str | list) else None
    if not messages:
        raise TrafficError(
            "messages must be there to learn from: got a span whose inputs hold no messages, input"
            " or prompt. Trace the call of the model itself."
        )
    answer = _answer(parsed(attributes.get("mlflow.spanOutputs")))
    if answer is None:
        messages, answer = split_answer(messages)
    tags = mapping(info.get("tags"))
    name = info.get("trace_id") or info.get("request_id")
    judged = scored(row["scores"])
    return LoggedCall(
        # The trace's own, by which others name it, where the trace is one call.
        id=str(info.get("client_request_id") or name)
        if span.get("whole") or span["parent"] is None
        else f"{name}/{span['id']}",
        model=span["model"] or attributes.get("mlflow.llm.model_name"),
        messages=messages,
        tools=attributes.get("mlflow.chat.tools") or offered(inputs),
        answer=answer,
        usage=TokenUsage.of(attributes.get("mlflow.chat.tokenUsage") or _reported(attributes)),
        cost_usd=known_cost(mapping(attributes.get("mlflow.llm.cost")).get("total_cost")),
        timestamp=_moment(span["start"]) or info.get("request_time"),
        task=read_task(tags, metadata),
        groups={
            "session": metadata.get("mlflow.trace.session"),
            "trace": name,
            "user": metadata.get("mlflow.trace.user"),
        },
        **judged | {"extra": {**judged["extra"], "trace_id": name}},
    )


def _reported(attributes: Mapping[str, Any]) -> Any:
    return mapping(attributes.get("mlflow.spanOutputs")).get("usage")


def _answer(outputs: Any) -> Any:
    found = mapping(outputs)
    choices = found.get("choices")
    if isinstance(choices, list) and choices:
        return answer_of(mapping(choices[0]).get("message"))
    if "content" in found or "tool_calls" in found:
        return answer_of(found)
    messages = found.get("messages")
    if isinstance(messages, list) and messages:
        return answer_of(messages[-1])
    texts = [found[name] for name in ("output_text", "output", "text", "response") if name in found]
    return answer_of(texts[0] if texts else outputs if isinstance(outputs, str) else None)


def _score(item: Mapping[str, Any]) -> NamedScore:
    name = str(item.get("assessment_name") or item.get("name"))
    value = mapping(item.get("feedback")).get("value")
    source = mapping(item.get("source"))
    kind = str(source.get("source_type") or "HUMAN").upper()
    if kind in ("LLM_JUDGE", "AI_JUDGE"):
        return NamedScore(name, value, f"judge:{source.get('source_id') or name}")
    return NamedScore(name, value, "tests") if kind == "CODE" else NamedScore(name, value)


def _moment(value: Any) -> datetime | None:
    """Return the time of nanoseconds since 1970."""
    try:
        return datetime.fromtimestamp(int(value) / 1e9, UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        return None
