"""By which a request is known again in other clothes: its ask, where that stands on its own.

What the score reads of a wrapped request is the ask alone, so a copy of a training row behind other
passages is a copy to the score. But "Summarise the report below." asks another thing of each
report: an ask that refers to what stands around it, or is short, is never taken for the request.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from difficulty.views.asking import asks
from difficulty.views.boilerplate import LearnedView
from difficulty.views.second_view import is_plain, read_messages

LEAST_ALONE = 40
"""Code points of an ask that may stand on its own."""
LEAST_CLEAR = 120
"""From here on ``it`` or ``that`` most often means something in the ask itself."""
_NOTHING = LearnedView()
_BESIDE = re.compile(
    r"\b(?:the|this|that|these|those|my|our|your|their|following|attached|above) (?:\w+ )?"
    r"(?:text|document|doc|report|passage|article|paper|mail|e-?mail|letter|context|code|program"
    r"|function|script|file|conversation|chat|message|thread|paragraph|page|table|excerpt|story"
    r"|essay|log|trace|error|data|note|review|transcript|contract|source|information|sentence"
    r"|list|json|csv|image|picture)s?\b"
    r"|\b(?:below|above|attached|hereafter|aforementioned)\b",
    re.ASCII | re.IGNORECASE,
)
_WEAK = re.compile(
    r"\b(?:it|its|this|that|they|them|their|he|she|him|her|his|here)\b", re.ASCII | re.IGNORECASE
)


def wrapped_ask(messages: Sequence[tuple[str, str]]) -> str | None:
    """Return the ask of a request that has other text around it, where the ask alone says what is
    asked; ``None`` where nothing stands around it, or it may need that.

    Parameters
    ----------
    messages : sequence of (str, str)
        Role and text of each. Of a conversation, and of a tool loop, nothing is told apart.
    """
    own = [text for role, text in messages if role not in ("system", "developer") and text]
    if len(own) != 1 or is_plain("user", own[0], _NOTHING):
        return None
    reading = read_messages([("user", own[0])], _NOTHING)
    return reading.question if reading.masked and _stands_alone(reading.question) else None


def _stands_alone(ask: str) -> bool:
    if len(ask) < LEAST_ALONE or _BESIDE.search(ask) or not asks(ask):
        return False
    return len(ask) >= LEAST_CLEAR or not _WEAK.search(ask)
