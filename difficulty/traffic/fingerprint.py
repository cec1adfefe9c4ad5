"""What two requests are compared by: the request's own text, normalised, and a hash of it.

System messages are left out where there are others: in production every request of a service opens
with the same instructions, and by those all of them would look alike. Two requests with the same
question under other instructions count as the same.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from hashlib import blake2b

_INSTRUCTIONS = ("system", "developer")


def comparable_text(messages: Iterable[tuple[str, str]]) -> str:
    """Return the text of (role, content) pairs in one case, one Unicode form (NFKC) and with single
    spaces.
    """
    pairs = list(messages)
    own = [content for role, content in pairs if role not in _INSTRUCTIONS]
    joined = "\n".join(
        own if any(part.strip() for part in own) else [content for _, content in pairs]
    )
    if not joined.isascii():
        joined = unicodedata.normalize("NFKC", joined)
    return " ".join(joined.casefold().split())


def text_hash(text: str) -> str:
    """Return 32 hex digits of BLAKE2b, the same on every machine; ``text`` as
    :func:`comparable_text` returns it.
    """
    return blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()
