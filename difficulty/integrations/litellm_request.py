"""What stands in a request as a LiteLLM proxy hands it on: the mark of what was decided, and what
the client sent. Needs no package.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MARK = "difficulty"
"""Where a request's metadata has its mark."""
_HEADERS = ("id", "bundle", "route", "reason", "fallback", "check")
_ID_HEADER = "x-litellm-call-id"


class Mark(dict[str, Any]):
    """What was decided, among a request's metadata; of a class that no client can send."""


def read_mark(metadata: Any) -> dict[str, Any]:
    """Return the mark of a request, an empty one where nothing was decided."""
    mark = metadata.get(MARK) if isinstance(metadata, Mapping) else None
    return mark if isinstance(mark, Mark) else {}


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


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping, an empty one where it is none."""
    return value if isinstance(value, Mapping) else {}


def read_text(value: Any) -> str | None:
    """Return a text, ``None`` where it is none or empty."""
    return value if isinstance(value, str) and value else None
