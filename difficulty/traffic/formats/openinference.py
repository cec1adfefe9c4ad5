"""The format of spans: OpenInference (Phoenix, Arize) and OpenTelemetry's GenAI conventions, as
OTLP JSON (a collector's file exporter), or one span a record with nested or flat attributes.

Messages are read from ``llm.input_messages`` (OpenInference), ``gen_ai.input.messages`` (GenAI from
1.37 on), ``gen_ai.prompt.0.content`` (OpenLLMetry) and the events of a span (GenAI 1.27 to 1.36).
One span of a model is one row; other spans are left out. Schemas of OpenTelemetry beyond version 1
are refused by name.

References
----------
OpenInference, Semantic Conventions, https://arize-ai.github.io/openinference/spec;
OpenTelemetry, Semantic conventions for generative AI, https://opentelemetry.io/docs/specs/semconv.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from difficulty.errors import TrafficError
from difficulty.traffic.formats.json_records import files_like, mapping, parsed, read_records
from difficulty.traffic.formats.logged_call import (
    LoggedCall,
    NamedScore,
    TokenUsage,
    answer_of,
    expanded,
    known_cost,
    read_call,
    scored,
    sided,
    split_answer,
)
from difficulty.traffic.readers import RawRow
from difficulty.traffic.reading.dialect import AS_FOUND, ReadOptions
from difficulty.traffic.rows import as_float

_CALLS = ("chat", "text_completion", "generate_content")
_SCHEMA = re.compile(r"/schemas/(?:[\w.-]+/)?(\d+)(?:\.\d+)*$")
_EVENT_ROLES = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_JSON_NAMES = frozenset(
    {"input_messages", "output_messages", "messages", "system_instructions", "definitions"}
    | {"invocation_parameters", "metadata", "annotations", "evaluations", "message", "tools"}
)
_SCALARS = ("stringValue", "intValue", "doubleValue", "boolValue", "bytesValue")
_EPOCH_DIGITS = 12  # numbers longer than seconds of this millennium count nanoseconds


class OpenInferenceFormat:
    """Spans of OpenInference and of OpenTelemetry's GenAI conventions."""

    def __init__(self, options: ReadOptions = AS_FOUND) -> None:
        self._options = options

    def files(self, path: Path) -> list[Path]:
        """Return the files, where all below ``path`` hold spans."""
        return files_like(path, _has_spans, self._options)

    def rows(self, file: Path) -> Iterator[RawRow]:
        """Yield one row a span of a model, on the side of the model; other spans are left out."""
        spans = (
            span for row in read_records(file, self._options) for span in expanded(row, _spans)
        )
        logged = (call for row in spans for call in read_call(row, _call))
        return sided(logged, self._options.pair, source=file)


def _has_spans(record: Mapping[str, Any]) -> bool:
    if "resourceSpans" in record or "resource_spans" in record:
        return True
    if "info" in record and "data" in record:
        return False  # MLflow's traces, which hold spans too
    names = {*mapping(record.get("attributes")), *_listed(record), *record}
    starts = ("llm.", "gen_ai.", "openinference.", "attributes.llm.", "attributes.gen_ai.")
    return any(name.startswith((*starts, "attributes.openinference.")) for name in names) or bool(
        {"llm", "gen_ai", "openinference"} & names and "attributes" in record
    )


def _listed(record: Mapping[str, Any]) -> list[str]:
    """Return the names of attributes that stand in a list, as in OTLP."""
    attributes = record.get("attributes")
    return [
        str(item.get("key"))
        for item in (attributes if isinstance(attributes, list) else ())
        if isinstance(item, Mapping)
    ]


def _spans(row: RawRow) -> Iterator[RawRow]:
    """Yield a row for each span of a record: OTLP packs many into one."""
    fields = row.fields or {}
    packed = fields.get("resourceSpans") or fields.get("resource_spans")
    if not isinstance(packed, list):
        yield row
        return
    found = 0
    for resource in packed:
        for scope in _pick(resource, "scopeSpans", "scope_spans", "instrumentationLibrarySpans"):
            schema = mapping(scope).get("schemaUrl") or mapping(resource).get("schemaUrl")
            for span in _pick(scope, "spans"):
                found += 1
                yield row._replace(fields={**mapping(span), "schema_url": schema})
    if not found:
        yield row._replace(fields=None, left_out="a document of spans that holds none")


def _pick(holder: Any, *names: str) -> list[Any]:
    found: Any = next((mapping(holder)[name] for name in names if name in mapping(holder)), [])
    return found if isinstance(found, list) else []


def _call(span: Mapping[str, Any]) -> LoggedCall | str:
    """Return the call of a span, or why it is left out."""
    _refuse_unknown(span.get("schema_url") or span.get("schemaUrl"))
    tree = _tree(span)
    llm, gen = mapping(tree.get("llm")), mapping(tree.get("gen_ai"))
    kind = _at(tree, "openinference", "span", "kind") or span.get("span_kind")
    operation = _at(gen, "operation", "name")
    if operation is not None and operation not in _CALLS:
        return f"a span of operation {str(operation)[:40]!r}, no call of a model"
    if operation is None and not gen and str(kind).upper() != "LLM":
        return f"a span of kind {str(kind)[:40]!r}, no call of a model"
    status = mapping(span.get("status"))
    if str(status.get("code", span.get("status_code"))) in ("2", "ERROR", "STATUS_CODE_ERROR"):
        return "a span that ended in an error: the model gave no answer"
    messages, answer = _conversation(tree, span)
    if not messages:
        raise TrafficError(
            "messages must be there to learn from: got a span without llm.input_messages,"
            " gen_ai.input.messages, gen_ai.prompt or events with them. Let the instrumentation"
            " capture message content."
        )
    attributes = {"tree": tree, "llm": llm, "gen": gen}
    scores = scored(_scores(tree, span))
    return LoggedCall(
        id=_name(span, "spanId", "span_id", "context.span_id")
        or _at(mapping(span.get("context")), "span_id"),
        # As it was asked for: what answers may add a date to its name.
        model=_at(llm, "request", "model_name")
        or _at(gen, "request", "model")
        or llm.get("model_name")
        or _at(gen, "response", "model"),
        messages=messages,
        tools=_tools(**attributes),
        answer=answer,
        usage=_usage(llm, gen),
        cost_usd=known_cost(_at(llm, "cost", "total") or _at(gen, "usage", "cost")),
        timestamp=_moment(
            _name(span, "startTimeUnixNano", "start_time", "start_time_unix_nano", "startTime")
        ),
        task=_at(mapping(tree.get("metadata")), "task") or _at(gen, "prompt_name"),
        groups={
            "conversation": _at(gen, "conversation", "id"),
            "session": _at(tree, "session", "id"),
            "trace": _name(span, "traceId", "trace_id", "context.trace_id")
            or _at(mapping(span.get("context")), "trace_id"),
            "user": _at(tree, "user", "id"),
        },
        **scores,
    )


def _refuse_unknown(schema: Any) -> None:
    version = _SCHEMA.search(str(schema or ""))
    if version and version[1] != "1":
        raise TrafficError(
            "a span must follow version 1 of OpenTelemetry's schemas: got"
            f" {str(schema)[:80]!r}. Export it with an older convention, or upgrade difficulty."
        )


def _tree(span: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a span as a tree, however they are written."""
    own = span.get("attributes")
    if isinstance(own, list):
        own = {str(item.get("key")): _value(item.get("value")) for item in map(mapping, own)}
    flat = {
        name.removeprefix("attributes."): value
        for name, value in span.items()
        if name != "attributes" and "." in name
    }
    tree = _nested({**mapping(own), **flat})
    return tree if isinstance(tree, dict) else {}


def _value(value: Any) -> Any:
    """Return a value of OTLP: ``{"stringValue": "x"}``, and lists and objects of such."""
    found = mapping(value)
    for name in _SCALARS:
        if name in found:
            return int(found[name]) if name == "intValue" else found[name]
    if "arrayValue" in found:
        return [_value(item) for item in mapping(found["arrayValue"]).get("values") or ()]
    if "kvlistValue" in found:
        pairs = map(mapping, mapping(found["kvlistValue"]).get("values") or ())
        return {str(pair.get("key")): _value(pair.get("value")) for pair in pairs}
    return None if isinstance(value, Mapping) else value


def _nested(value: Any, name: str = "") -> Any:
    """Return names with dots as objects in objects, and objects of numbers as lists; a text is
    read as JSON only where its name says so, for what people write may look like it.
    """
    value = parsed(value) if name in _JSON_NAMES else value
    if isinstance(value, list):
        return [_nested(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    tree: dict[str, Any] = {}
    for name, item in value.items():
        *path, last = str(name).split(".")
        place = tree
        for part in path:
            inner = place.get(part)
            if not isinstance(inner, dict):
                # A name may hold a value and others below it.
                inner = place[part] = {} if inner is None else {"": inner}
            place = inner
        found = _nested(item, last)
        if isinstance(place.get(last), dict) and isinstance(found, dict):
            place[last] |= found
        else:
            place[last] = found
    return _with_lists(tree)


def _with_lists(tree: dict[str, Any]) -> Any:
    done = {
        name: _with_lists(item) if isinstance(item, dict) else item for name, item in tree.items()
    }
    if done and all(name.isdecimal() for name in done):
        return [done[name] for name in sorted(done, key=int)]
    return done


def _conversation(tree: Mapping[str, Any], span: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return messages and answer, from the first convention that a span follows."""
    llm, gen = mapping(tree.get("llm")), mapping(tree.get("gen_ai"))
    asked = [_open(message) for message in _list(llm.get("input_messages"))]
    if asked:
        answers = [_open(message) for message in _list(llm.get("output_messages"))]
        return asked, answer_of(answers[0]) if answers else None
    asked = [_parts(message) for message in _list(_at(gen, "input", "messages"))]
    if asked:
        system = _parts({"role": "system", "parts": gen.get("system_instructions")})
        answers = [_parts(message) for message in _list(_at(gen, "output", "messages"))]
        first = [system] if system["content"] else []
        return [*first, *asked], answer_of(answers[0]) if answers else None
    asked = [*map(_plain, _list(gen.get("prompt")))]
    if asked:
        answers = [*map(_plain, _list(gen.get("completion")))]
        return asked, answer_of(answers[0]) if answers else None
    asked, answer = _of_events(span)
    if asked:
        return asked, answer
    return _of_values(tree)


def _open(message: Any) -> dict[str, Any]:
    """Return a message of OpenInference as OpenAI writes it."""
    inner = mapping(mapping(message).get("message")) or mapping(message)
    texts = [
        mapping(mapping(part).get("message_content")).get("text")
        for part in _list(inner.get("contents"))
    ]
    calls = [
        {"type": "function", "function": mapping(mapping(call).get("tool_call")).get("function")}
        for call in _list(inner.get("tool_calls"))
    ]
    content = inner.get("content")
    found = "\n".join(text for text in texts if isinstance(text, str))
    return {
        "role": inner.get("role") or "user",
        "content": content if content is not None else found,
        **({"tool_calls": calls} if calls else {}),
    }


def _parts(message: Any) -> dict[str, Any]:
    """Return a message of the GenAI conventions, made of parts, as OpenAI writes it."""
    inner = mapping(message)
    parts = [mapping(part) for part in _list(inner.get("parts"))]
    texts = [part.get("content") for part in parts if part.get("type", "text") == "text"]
    replies = [part.get("response", part.get("result")) for part in parts]
    calls = [
        {
            "type": "function",
            "function": {"name": part.get("name"), "arguments": part.get("arguments")},
        }
        for part in parts
        if part.get("type") == "tool_call"
    ]
    said = [text for text in (*texts, *replies) if isinstance(text, str)]
    content = inner.get("content")
    return {
        "role": inner.get("role") or "user",
        "content": content if isinstance(content, str) else "\n".join(said),
        **({"tool_calls": calls} if calls else {}),
    }


def _plain(message: Any) -> dict[str, Any]:
    """Return a message of OpenLLMetry, which has role and content."""
    inner = mapping(message)
    return {"role": inner.get("role") or "user", "content": inner.get("content")}


def _of_events(span: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """Return messages and answer of a span's events."""
    messages: list[Any] = []
    answer = None
    for name, tree in _events(span):
        if role := _EVENT_ROLES.get(name):
            messages.append({"role": role, "content": tree.get("content") or ""})
        elif name == "gen_ai.choice":
            answer = answer_of(tree.get("message") or {"content": tree.get("content")})
        elif name == "gen_ai.content.prompt":
            held = parsed(_at(tree, "gen_ai", "prompt"))
            messages += [*map(_plain, _list(held))] or [{"role": "user", "content": held}]
        elif name == "gen_ai.content.completion":
            held = parsed(_at(tree, "gen_ai", "completion"))
            answer = answer_of(_list(held)[0] if _list(held) else held)
    return messages, answer


def _events(span: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for event in _list(parsed(span.get("events"))):
        yield str(mapping(event).get("name")), _tree(mapping(event))


def _of_values(tree: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return messages and answer of ``input.value`` and ``output.value``: a body, or plain text."""
    asked, said = _at(tree, "input", "value"), _at(tree, "output", "value")
    messages = mapping(asked).get("messages") or (asked if isinstance(asked, str | list) else None)
    choices = _list(mapping(said).get("choices"))
    answer = mapping(choices[0]).get("message") if choices else said
    messages, own = split_answer(messages)
    return messages, answer_of(answer) if answer is not None else own


def _usage(llm: Mapping[str, Any], gen: Mapping[str, Any]) -> TokenUsage:
    counts = mapping(llm.get("token_count"))
    if counts:
        cached = _at(counts, "prompt_details", "cache_read")
        return TokenUsage(_own(counts.get("prompt")), _own(counts.get("completion")), cached)
    usage = mapping(gen.get("usage"))
    cached = _at(usage, "cache_read", "input_tokens")
    cached = usage.get("cache_read_input_tokens") if cached is None else cached
    prompt = usage.get("input_tokens", usage.get("prompt_tokens"))
    completion = usage.get("output_tokens", usage.get("completion_tokens"))
    # The conventions say that what the cache read is counted in; some writers do not.
    if (as_float(cached) or 0.0) > (as_float(prompt) or 0.0):
        prompt = (as_float(prompt) or 0.0) + (as_float(cached) or 0.0)
    return TokenUsage(prompt, completion, cached)


def _scores(tree: Mapping[str, Any], span: Mapping[str, Any]) -> list[NamedScore]:
    """Return what evaluations and annotations say of a span."""
    found = []
    for name, event in _events(span):
        if name == "gen_ai.evaluation.result":
            said = mapping(mapping(event.get("gen_ai")).get("evaluation"))
            value = _at(said, "score", "value")
            value = _at(said, "score", "label") if value is None else value
            title = str(said.get("name"))
            found.append(NamedScore(title, value, f"judge:{title}"))
    for kind, place in (("annotation", "annotations"), ("evaluation", "evaluations")):
        for item in _list(tree.get(place)) or _list(parsed(span.get(place))):
            said = mapping(_nested(mapping(item)))
            said = mapping(said.get(kind)) or said
            value = said.get("score")
            value = said.get("label") if value is None else value
            title, by = str(said.get("name")), str(said.get("annotator_kind", "HUMAN")).upper()
            measured = {"LLM": f"judge:{title}", "CODE": "tests"}.get(by)
            found.append(
                NamedScore(title, value, measured) if measured else NamedScore(title, value)
            )
    return found


def _tools(tree: Mapping[str, Any], llm: Mapping[str, Any], gen: Mapping[str, Any]) -> Any:
    tools = [
        parsed(mapping(mapping(item).get("tool")).get("json_schema"))
        for item in _list(llm.get("tools"))
    ]
    asked = mapping(llm.get("invocation_parameters")).get("tools")
    return (
        [tool for tool in tools if isinstance(tool, Mapping)]
        or _list(asked)
        or _list(parsed(_at(gen, "tool", "definitions")))
    )


def _at(tree: Any, *path: str) -> Any:
    """Return what stands at a place of a tree; ``None`` where nothing does."""
    for name in path:
        tree = mapping(tree).get(name)
    return _own(tree)


def _own(value: Any) -> Any:
    """Return the value of a name that has others below it too."""
    return value[""] if isinstance(value, dict) and "" in value else value


def _list(value: Any) -> list[Any]:
    found = parsed(value)
    return found if isinstance(found, list) else []


def _name(span: Mapping[str, Any], *names: str) -> Any:
    return next((span[name] for name in names if span.get(name)), None)


def _moment(value: Any) -> Any:
    """Return a time; numbers count nanoseconds, or seconds where they are short."""
    number = as_float(value)
    if number is None:
        return value
    try:
        seconds = number / 1e9 if number >= 10.0**_EPOCH_DIGITS else number
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return value
