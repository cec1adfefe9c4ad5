"""The format of LiteLLM's spend logs: what its proxy writes into ``LiteLLM_SpendLogs``, as JSON
lines, a JSON array (``GET /spend/logs``), or CSV and Parquet from its database.

A row is one call. ``cache_hit`` is the text ``"True"`` where LiteLLM answered from its own cache:
nothing was spent, and the token columns repeat those of the first call. A spend of 0 without a
hit says that LiteLLM knows no price of that model. Messages stand in ``messages`` or,
from 1.60 on, in ``proxy_server_request``, where the proxy was told to keep them
(``store_prompts_in_spend_logs``). Read are the columns of 1.40 to 1.106.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from difficulty.errors import TrafficError
from difficulty.traffic.formats.bodies import answered, asked, offered
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
    split_answer,
)
from difficulty.traffic.readers import RawRow
from difficulty.traffic.reading.dialect import AS_FOUND, ReadOptions

_MARKS = {"request_id", "call_type", "spend", "model", "startTime"}
_CHATS = frozenset(
    {"completion", "acompletion", "aresponses", "responses", "anthropic_messages", ""}
    | {"atext_completion", "text_completion", "_arouter_completion"}
)


class LiteLLMFormat:
    """Spend logs of LiteLLM's proxy."""

    def __init__(self, options: ReadOptions = AS_FOUND) -> None:
        self._options = options

    def files(self, path: Path) -> list[Path]:
        """Return the files, where all below ``path`` are spend logs."""
        return files_like(path, lambda record: record.keys() >= _MARKS, self._options, listed=True)

    def rows(self, file: Path) -> Iterator[RawRow]:
        """Yield one row a call, on the side of its model; failed calls, and calls that are no
        chats, are left out.
        """
        logged = (call for row in read_table(file, self._options) for call in read_call(row, _call))
        return sided(logged, self._options.pair, source=file)


def _call(row: Mapping[str, Any]) -> LoggedCall | str:
    """Return the call of a row, or why it is left out."""
    kind, status = str(row.get("call_type") or ""), str(row.get("status") or "success")
    if kind not in _CHATS:
        return f"its call_type {kind!r:.40} is no chat"
    if status != "success":
        return f"its status is {status!r:.40}: the model gave no answer"
    metadata = mapping(row.get("metadata"))
    response, request = mapping(row.get("response")), mapping(row.get("proxy_server_request"))
    messages = _messages(row.get("messages"), request)
    if not messages:
        raise TrafficError(
            "messages must be there to learn from: got a spend log without them. Let LiteLLM keep"
            " them: general_settings.store_prompts_in_spend_logs."
        )
    answer = answered(response)
    if answer is None:
        messages, answer = split_answer(messages)
    usage, hit = _usage(row, metadata, response), _is_hit(row.get("cache_hit"))
    quality = read_feedback(row, metadata, metadata.get("spend_logs_metadata"))
    return LoggedCall(
        id=row.get("request_id") or None,
        model=row.get("model") or row.get("model_group"),
        messages=messages,
        tools=offered(request) or offered(metadata),
        answer=answer,
        usage=usage,
        cost_usd=known_cost(row.get("spend")),
        cache_hit=hit,
        timestamp=row.get("startTime"),
        task=read_task(metadata, metadata.get("spend_logs_metadata"), row) or _tag(row, metadata),
        groups={name: row.get(name) for name in ("session_id", "end_user", "user")},
        quality=quality,
        measured_by=FEEDBACK,
        extra={name: row.get(name) for name in ("model_group", "session_id", "litellm_call_id")},
    )


def _messages(own: Any, request: Mapping[str, Any]) -> Any:
    """Return the messages of a call; an empty object stands for none."""
    messages = parsed(own)
    messages = messages if isinstance(messages, str | list) and messages else None
    if isinstance(messages, list) and any(
        mapping(each).get("role") == "system" for each in messages
    ):
        return asked({"messages": messages})  # the instructions are among them already
    # As the client's body has them: also what the Responses API calls its input.
    return asked({**request, "messages": messages} if messages else request)


def _usage(row: Mapping[str, Any], metadata: Mapping[str, Any], response: Any) -> TokenUsage:
    """Return the row's own counts, with the cached ones of the usage that it keeps beside them."""
    for place in (
        metadata.get("usage_object"),
        mapping(response).get("usage"),
        metadata.get("additional_usage_values"),
    ):
        cached = TokenUsage.of(place).cached if place else None
        if cached is not None:
            break
    else:
        cached = None
    return TokenUsage(row.get("prompt_tokens"), row.get("completion_tokens"), cached)


def _is_hit(value: Any) -> bool:
    return str(value).strip().lower() == "true"


def _tag(row: Mapping[str, Any], metadata: Mapping[str, Any]) -> str | None:
    """Return the only tag of a request; LiteLLM's own say which client called."""
    tags = parsed(row.get("request_tags")) or metadata.get("tags")
    own = [
        tag
        for tag in (tags if isinstance(tags, list) else [])
        if isinstance(tag, str) and not tag.startswith("User-Agent:")
    ]
    return own[0] if len(own) == 1 else None
