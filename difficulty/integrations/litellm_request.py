"""What stands in a request as a LiteLLM proxy hands it on: the mark of what was decided, and what
the client sent. Needs no package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MARK = "difficulty"
"""Where a request's metadata has its mark."""
_HEADERS = ("id", "bundle", "route", "reason", "fallback", "check")
_TAGS = ("route", "reason", "call")
"""What tags say; ``call`` of a second one, ``fallback`` or ``shadow``."""
_SPEND = "spend_logs_metadata"
"""Where LiteLLM's spend logs take labels of a request from."""
_ID_HEADER = "x-litellm-call-id"
_GENERATED = "litellm_session_id_generated"
"""LiteLLM's mark of a session id that it made up (``missing_session_id: generate``)."""


class Mark(dict[str, Any]):
    """What was decided, among a request's metadata; of a class that no client can send."""


def read_mark(metadata: Any) -> dict[str, Any]:
    """Return the mark of a request, an empty one where nothing was decided."""
    mark = metadata.get(MARK) if isinstance(metadata, Mapping) else None
    return mark if isinstance(mark, Mark) else {}


def label_request(metadata: dict[str, Any], labels: Mapping[str, object]) -> None:
    """Put what was decided into the metadata of LiteLLM's spend logs, in place of what a client
    sent there in our name.

    Parameters
    ----------
    metadata : dict
        Of the request, which is changed.
    labels : mapping
        What is ``None`` is left out.
    """
    known = {name: value for name, value in labels.items() if value is not None}
    metadata[_SPEND] = {**as_mapping(metadata.get(_SPEND)), MARK: known}


def label_row(row: Mapping[str, Any], saving_usd: float | None) -> None:
    """Put route and reason among the tags of a row of LiteLLM's logs, and what the call saved
    into the metadata of its spend logs. A row of a request without a mark stays as it is.

    The request itself gets no tags: LiteLLM may choose deployments by them.

    Parameters
    ----------
    row : mapping
        LiteLLM's details of the call, of which ``standard_logging_object`` and ``litellm_params``
        are changed.
    saving_usd : float, optional
        USD; ``None`` where it is not known.
    """
    params, written = row.get("litellm_params"), row.get("standard_logging_object")
    metadata = find_metadata(as_mapping(params))
    mark = read_mark(metadata)
    if not mark:
        return
    if isinstance(written, dict):
        sent = written.get("request_tags") or []
        tags = [tag for tag in sent if not str(tag).startswith(f"{MARK}:")]
        ours = [f"{MARK}:{name}={mark[name]}" for name in _TAGS if mark.get(name)]
        written["request_tags"] = [*tags, *ours]
    if saving_usd is None or not isinstance(params, dict):
        return
    spend = as_mapping(metadata.get(_SPEND))
    noted = {**as_mapping(spend.get(MARK)), "saving_usd": saving_usd}
    for name in ("metadata", "litellm_metadata"):
        if params.get(name) is metadata:
            # A copy: the request's own go on to the call of a fallback, which did not save that.
            params[name] = {**metadata, _SPEND: {**spend, MARK: noted}}


def find_metadata(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the metadata of a request that have its mark; LiteLLM keeps its own under two names,
    by the API. Where neither has one, those of a chat.
    """
    both = (as_mapping(data.get(name)) for name in ("metadata", "litellm_metadata"))
    return next(filter(read_mark, both), as_mapping(data.get("metadata")))


def headers_of(mark: Mapping[str, Any]) -> dict[str, str]:
    """Return what the client is told of a decision, as headers can hold it: printable ASCII."""
    return {
        f"x-difficulty-{name}": "".join(
            sign if " " <= sign <= "~" else "?" for sign in str(mark[name])
        )
        for name in _HEADERS
        if mark.get(name)
    }


def read_sent_id(data: Mapping[str, Any]) -> str | None:
    """Return the id that the client sent for its request, which LiteLLM takes for its own."""
    headers = as_mapping(as_mapping(data.get("proxy_server_request")).get("headers"))
    named = (value for name, value in headers.items() if str(name).lower() == _ID_HEADER)
    return read_text(next(named, None))


def read_session(data: Mapping[str, Any]) -> str | None:
    """Return the client's id of the session that a request belongs to: ``metadata.session_id``, or
    what LiteLLM read from its headers. An id that LiteLLM made up for this one request is none.
    """
    metadata = {**as_mapping(data.get("metadata")), **as_mapping(data.get("litellm_metadata"))}
    if metadata.get(_GENERATED):
        return None
    return read_text(metadata.get("session_id")) or read_text(data.get("litellm_session_id"))


def read_client(key: Any, data: Mapping[str, Any]) -> str:
    """Return what the server knows a client by: the hash of its key, the user that the key belongs
    to, and the end user that the request names.
    """
    known = (getattr(key, "api_key", None), getattr(key, "user_id", None), data.get("user"))
    return json.dumps([read_text(each) for each in known])


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping, an empty one where it is none."""
    return value if isinstance(value, Mapping) else {}


def read_text(value: Any) -> str | None:
    """Return a text, ``None`` where it is none or empty."""
    return value if isinstance(value, str) and value else None
