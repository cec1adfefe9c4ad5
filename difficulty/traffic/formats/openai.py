"""The format of OpenAI's API: lines that hold a request beside its response, and batches, of which
the input file has the requests and the output file the responses. Batches of Anthropic's are read
as well.

- Lines: an object with ``request`` and ``response``, the bodies as they went over the wire; what
  stands beside them (``metadata``, ``user_feedback``) is read too. Stored completions, one object
  that bears ``messages`` or ``input`` with ``choices``, are lines as well.
- Batches: input and output files of one folder belong together, by ``custom_id``. Where batches of
  both models share one, they become one row. A request without an answer stays as a request.

Responses are ``chat.completion``, ``text_completion`` or ``response`` (the Responses API); any
other ``object`` is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from difficulty.errors import DifficultyError
from difficulty.traffic.formats.bodies import answered, asked, offered, refuse_unknown
from difficulty.traffic.formats.json_records import (
    files_like,
    first_record,
    mapping,
    read_records,
    read_table,
)
from difficulty.traffic.formats.logged_call import (
    FEEDBACK,
    Logged,
    LoggedCall,
    TokenUsage,
    read_call,
    read_feedback,
    read_task,
    sided,
    split_answer,
)
from difficulty.traffic.readers import RawRow
from difficulty.traffic.reading.dialect import AS_FOUND, ReadOptions
from difficulty.traffic.rows import as_float

_ASKED = ({"custom_id", "body", "url"}, {"custom_id", "params"})
_ANSWERED = ({"custom_id", "response"}, {"custom_id", "result"})
"""Of a batch of OpenAI's, and of one of Anthropic's."""
_JOINED = "it stands in the row of its request: an answer, or a request to another model"
_CHATS = ("/v1/chat/completions", "/v1/responses", "/v1/completions")


class OpenAIFormat:
    """Requests with responses, and batches."""

    def __init__(self, options: ReadOptions = AS_FOUND) -> None:
        self._options = options
        self._batches: dict[Path, _Batches] = {}

    def files(self, path: Path) -> list[Path]:
        """Return the files, where all below ``path`` are lines, or parts of batches."""
        files = files_like(path, _is_line, self._options, listed=True)
        return files or files_like(path, _is_batch, self._options)

    def rows(self, file: Path) -> Iterator[RawRow]:
        """Yield one row a request."""
        if _is_batch(first_record(file, self._options)):
            yield from self._batch_rows(file)
            return
        logged = (call for row in read_table(file, self._options) for call in read_call(row, _call))
        yield from sided(logged, self._options.pair, source=file)

    def _batch_rows(self, file: Path) -> Iterator[RawRow]:
        folder = file.parent
        if folder not in self._batches:
            self._batches[folder] = _Batches(folder, self._options)
        yield from self._batches[folder].rows(file)


def _is_line(record: Mapping[str, Any]) -> bool:
    if _is_batch(record):
        return False
    request, response = mapping(record.get("request")), mapping(record.get("response"))
    stored = record.keys() >= {"choices", "model"} and ("messages" in record or "input" in record)
    return (
        stored
        or ("object" in response or "choices" in response)
        and bool({"messages", "input", "prompt"} & request.keys())
    )


def _is_batch(record: Mapping[str, Any]) -> bool:
    return _asks(record) or (_answers(record) and "request" not in record)


def _asks(record: Mapping[str, Any]) -> bool:
    return any(record.keys() >= names for names in _ASKED)


def _answers(record: Mapping[str, Any]) -> bool:
    return any(record.keys() >= names for names in _ANSWERED)


def _request_body(line: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(line.get("body", line.get("params")))


def _call(row: Mapping[str, Any]) -> LoggedCall:
    stored = "choices" in row
    request = row if stored else mapping(row.get("request"))
    response = row if stored else mapping(row.get("response"))
    return _read(
        request,
        response,
        beside=row,
        name=_text(row.get("id") or row.get("request_id") if not stored else None),
    )


def _read(
    request: Mapping[str, Any],
    response: Mapping[str, Any],
    *,
    beside: Mapping[str, Any],
    name: str | None,
) -> LoggedCall:
    """Return the call of two bodies and what a log wrote beside them."""
    refuse_unknown(response)
    metadata = mapping(beside.get("metadata"))
    said = mapping(request.get("metadata"))
    messages, answer = asked(request), answered(response)
    if answer is None and not response:
        messages, answer = split_answer(messages)
    return LoggedCall(
        id=name,
        unsure_id=_text(response.get("id")),
        # As it was asked for: what answers may add a date to its name.
        model=_text(request.get("model") or response.get("model") or beside.get("model")),
        messages=messages,
        tools=offered(request),
        answer=answer,
        usage=TokenUsage.of(response.get("usage") or beside.get("usage")),
        cost_usd=next(
            (
                place[name]
                for place in (beside, metadata, mapping(response.get("usage")))
                for name in ("cost_usd", "response_cost", "cost")
                if as_float(place.get(name)) is not None
            ),
            None,
        ),
        timestamp=_moment(
            beside.get("timestamp") or response.get("created") or response.get("created_at")
        ),
        task=read_task(metadata, said, beside),
        groups={
            "conversation": response.get("conversation") and str(response["conversation"]),
            "session": metadata.get("session_id") or said.get("session_id"),
            "user": metadata.get("user") or request.get("user"),
        },
        quality=read_feedback(beside, metadata),
        measured_by=FEEDBACK,
        extra={"metadata": {**said, **metadata}, "response_id": response.get("id")},
    )


class _Batches:
    """All batches of a folder: answers are held by ``custom_id``, and so are requests that several
    batches share; the others are streamed.
    """

    def __init__(self, folder: Path, options: ReadOptions) -> None:
        self._options = options
        self._answers: dict[str, list[Mapping[str, Any]]] = {}
        self._models: dict[str, list[str]] = {}
        """``custom_id`` to the models that were asked."""
        self._shared: dict[str, list[LoggedCall]] = {}
        files = [file for file in sorted(folder.iterdir()) if file.is_file()]
        files = [file for file in files if _is_batch(first_record(file, options))]
        for file in files:
            self._index(file)
        for file in files:
            self._share(file)

    def rows(self, file: Path) -> Iterator[RawRow]:
        """Yield the requests of an input file with all their answers; of an output file the
        answers, which are left out where they stand with their requests.
        """
        return sided(self._calls(file), self._options.pair, source=file)

    def _index(self, file: Path) -> None:
        for row in read_records(file, self._options):
            line = row.fields or {}
            name = str(line.get("custom_id"))
            if _asks(line):
                model = _request_body(line).get("model")
                self._models.setdefault(name, []).append(str(model))
            elif _answers(line):
                self._answers.setdefault(name, []).append(line)

    def _share(self, file: Path) -> None:
        for row in read_records(file, self._options):
            line = row.fields or {}
            name = str(line.get("custom_id"))
            if _asks(line) and len(self._models[name]) > 1:
                with suppress(DifficultyError):  # told where the row is read
                    call = self._request(line)
                    if isinstance(call, LoggedCall):
                        self._shared.setdefault(name, []).append(call)

    def _calls(self, file: Path) -> Iterator[Logged]:
        for row in read_records(file, self._options):
            line = row.fields or {}
            name = str(line.get("custom_id"))
            if row.fields is None or row.problem:
                yield row, None
            elif _asks(line):
                yield from read_call(row, self._with_others)
            elif name not in self._models:
                problem = (
                    "a response of a batch must stand beside its request: got custom_id"
                    f" {name!r:.80} without one. Put the batch's input file into the same folder."
                )
                yield row._replace(problem=problem), None
            else:
                yield row._replace(fields=None, left_out=_JOINED), None

    def _with_others(self, line: Mapping[str, Any]) -> LoggedCall | str:
        """Return a request with what other models were asked under its id, once."""
        name = str(line.get("custom_id"))
        if name not in self._shared:
            return self._request(line)
        calls = self._shared[name]
        first, self._shared[name] = calls[:1], []
        return replace(first[0], others=tuple(calls[1:])) if first else _JOINED

    def _request(self, line: Mapping[str, Any]) -> LoggedCall | str:
        if "params" not in line and str(line.get("url")) not in _CHATS:
            return f"its url {str(line.get('url'))!r:.60} is no chat"
        body, name = _request_body(line), str(line.get("custom_id"))
        responses = map(_body, self._answers.get(name, ()))
        own = (found for found in responses if found and self._answers_it(found, body, name))
        return _read(body, next(own, {}), beside={}, name=name)

    def _answers_it(
        self, response: Mapping[str, Any], request: Mapping[str, Any], name: str
    ) -> bool:
        """Return whether a response is of the request's model; with one model asked, it is."""
        asked, answered = {*self._models[name]}, str(response.get("model"))
        # What answers adds a date: gpt-4o-mini is answered by gpt-4o-mini-2024-07-18, not gpt-4o.
        nearest = max((model for model in asked if answered.startswith(model)), key=len, default="")
        return len(asked) == 1 or str(request.get("model")) == nearest


def _body(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the body of a response that came; nothing of one that failed."""
    if "result" in answer:
        return mapping(mapping(answer["result"]).get("message"))
    response = mapping(answer.get("response"))
    return {} if response.get("status_code", 200) != 200 else mapping(response.get("body"))


def _text(value: Any) -> str | None:
    return str(value) if value not in (None, "") else None


def _moment(value: Any) -> Any:
    """Return a time; numbers count seconds, as the API's do."""
    seconds = as_float(value)
    try:
        return value if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return value
