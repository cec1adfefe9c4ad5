"""What a request has beside its words: what is attached, and which step of a tool loop it is.

The table of traffic keeps role and text of a message; what else view 2 reads of one stands there as
*marks*, words such as ``image`` or ``error``. A message of a request and one of the table have the
same marks, so training and serving read the same bytes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

MEDIA_KINDS = ("image", "audio", "video", "file")
STEP = "step"
MARKS = "marks"
"""The field of a stored message."""
MOST_MARKS = 64
"""Of one message: a model takes fewer images."""
_RESULT = {True: "error", False: "fine"}
_WORDS = frozenset((*MEDIA_KINDS, *_RESULT.values()))
_TYPES = {
    **dict.fromkeys(("image", "image_url", "input_image"), "image"),
    **dict.fromkeys(("audio", "input_audio", "audio_url"), "audio"),
    **dict.fromkeys(("video", "video_url", "input_video"), "video"),
    **dict.fromkeys(("file", "input_file", "document", "container_upload"), "file"),
}
# Where the form has no word for it, an error says so at its beginning.
_FAILED = re.compile(
    r"[ \t\r\n\[({<*#\"']*"
    r"(?:errors?|fatal|exception|failed|failure|traceback \(most recent call last\)"
    r"|[a-z0-9_.]*(?:error|exception)[ ]*:|(?:command )?not found|permission denied|no such file)"
    r"(?![a-z0-9_])",
    re.ASCII | re.IGNORECASE,
)
_FINE = re.compile(
    r"[ \t\r\n\[({<*#\"']*errors?\"?[ ]*[:=][ ]*(?:null|none|false|0|\"\"|\[\]|\{\})",
    re.ASCII | re.IGNORECASE,
)


def marks_of(message: Mapping[str, Any]) -> str:
    """Return the marks of a message of a request or of the table, with spaces between; never
    raises, as what is malformed bears none.
    """
    marks: list[str] = []
    stored = message.get(MARKS)
    if isinstance(stored, str):
        marks += [word for word in stored.split(" ") if word in _WORDS]
    content = message.get("content")
    if isinstance(content, list | tuple):
        kinds = (part.get("type") for part in content if isinstance(part, Mapping))
        marks += [_TYPES[kind] for kind in kinds if isinstance(kind, str) and kind in _TYPES]
    said = message.get("is_error")
    if isinstance(said, bool):
        marks.append(_RESULT[said])
    return " ".join(marks[-MOST_MARKS:])


def with_marks(messages: Sequence[Any], marks: Sequence[str | None] | None) -> list[Any]:
    """Return stored messages with their marks in them, where they have some."""
    if marks is None or len(marks) != len(messages):
        return list(messages)
    return [
        {**message, MARKS: own} if own else message
        for message, own in zip(messages, marks, strict=True)
    ]


def stored_marks(messages: Sequence[Mapping[str, Any]]) -> list[str] | None:
    """Return the marks of messages as the table holds them: ``None`` where they have none."""
    marks = [marks_of(message) for message in messages]
    return marks if any(marks) else None


def read_marks(messages: Sequence[tuple[str, str, str]]) -> dict[str, str]:
    """Return the markers of a request by kind, in the order in which they are written.

    Parameters
    ----------
    messages : sequence of (str, str, str)
        Role, text and marks of each.
    """
    counts = Counter(word for _, _, marks in messages if marks for word in marks.split(" "))
    found = {kind: f"[{kind} {counts[kind]}]" for kind in MEDIA_KINDS if counts[kind]}
    if messages and messages[-1][0] == "tool":
        found[STEP] = _step(messages)
    return found


def _step(messages: Sequence[tuple[str, str, str]]) -> str:
    """Return which step of a loop begins: after how many rounds of tools, and how the last went."""
    steps, before, has_failed = 0, "", False
    for role, text, marks in reversed(messages):
        if role == "user":
            break
        if role == "tool":
            steps += before != "tool"
            has_failed |= steps == 1 and failed(text, marks)
        before = role
    # 1, 2, 3 for up to three rounds, 4 for up to seven, and one more for each doubling.
    size = steps if steps < 4 else steps.bit_length() + 1
    return f"[{STEP} {size} {'error' if has_failed else 'fine'}]"


def failed(text: str, marks: str = "") -> bool:
    """Return whether a result is an error: the form says so, or its text does where it begins."""
    for word in marks.split(" "):
        if word in ("error", "fine"):
            return word == "error"
    return _FINE.match(text) is None and _FAILED.match(text) is not None
