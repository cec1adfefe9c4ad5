"""What traffic is sliced by beside task and length: script, source, model pair, turns of the
conversation, system message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from difficulty.metrics.arrays import IntArray
from difficulty.traffic.table import Traffic

_INSTRUCTIONS = ("system", "developer")
_MANY_TURNS = 4

NO_LETTERS = "no letters"
MIXED = "mixed"
OTHER_SCRIPT = "other"
_MOST_CHARS = 1_024
_CLEAR = 0.8
"""Share of the letters that one script must have; below it the text is mixed."""
_SOME = 0.05
"""Share of kana that makes Han Japanese, and of hangul that makes it Korean: both are written with
Han between.
"""

_RANGES = {
    "latin": ((0x41, 0x5A), (0x61, 0x7A), (0xAA, 0xAA), (0xBA, 0xBA), (0xC0, 0xD6), (0xD8, 0xF6),
    (0xF8, 0x24F), (0x250, 0x2AF),
              (0x1E00, 0x1EFF), (0x2C60, 0x2C7F), (0xA720, 0xA7FF), (0xFB00, 0xFB06),
              (0xFF21, 0xFF3A), (0xFF41, 0xFF5A)),
    "greek": ((0x370, 0x3FF), (0x1F00, 0x1FFF)),
    "cyrillic": ((0x400, 0x52F), (0x1C80, 0x1C8F), (0x2DE0, 0x2DFF), (0xA640, 0xA69F)),
    "hebrew": ((0x591, 0x5F4), (0xFB1D, 0xFB4F)),
    "arabic": ((0x620, 0x65F), (0x66E, 0x6D3), (0x6D5, 0x6EF), (0x6FA, 0x6FF), (0x750, 0x77F),
    (0x8A0, 0x8FF), (0xFB50, 0xFDFF),
               (0xFE70, 0xFEFC)),
    "devanagari": ((0x900, 0x963), (0x970, 0x97F), (0xA8E0, 0xA8FF)),
    "thai": ((0xE01, 0xE3A), (0xE40, 0xE4E)),
    "hangul": ((0x1100, 0x11FF), (0x3131, 0x318E), (0xA960, 0xA97C), (0xAC00, 0xD7FB)),
    "kana": ((0x3041, 0x309F), (0x30A1, 0x30FA), (0x30FC, 0x30FF), (0x31F0, 0x31FF),
    (0xFF66, 0xFF9F)),
    "han": ((0x2E80, 0x2FD5), (0x3005, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF), (0x20000, 0x323AF)),
}  # fmt: skip
SCRIPTS = (*_RANGES, OTHER_SCRIPT, MIXED, NO_LETTERS)
_LAST_OF_LATIN_1 = 0xFF
_ASCII_LETTER = re.compile("[A-Za-z]")
_SPANS = sorted(
    (low, high, place) for place, spans in enumerate(_RANGES.values()) for low, high in spans
)
_STARTS, _ENDS, _SCRIPTS_OF = (
    np.array(column, dtype=np.uint32) for column in zip(*_SPANS, strict=True)
)


def script_of(text: str) -> str:
    """Return the script that has at least 80 % of a text's letters.

    Only the first 1,024 characters are looked at. Kana beside Han is ``kana`` (Japanese is written
    so), hangul beside Han ``hangul``.

    Returns
    -------
    str
        One of ``SCRIPTS``: ``mixed`` where no script has that many, ``other`` for a script without
        a name of its own here, ``no letters`` where there is none, as in numbers or emoji.
    """
    text = text[:_MOST_CHARS]
    if text.isascii():
        return "latin" if _ASCII_LETTER.search(text) else NO_LETTERS
    counts = dict(zip((*_RANGES, OTHER_SCRIPT), _letters(text).tolist(), strict=True))
    total = sum(counts.values())
    if not total:
        return NO_LETTERS
    # Han beside kana or hangul is Japanese or Korean, not a mixture.
    for name in ("kana", "hangul"):
        if counts[name] >= _SOME * (counts[name] + counts["han"]) and counts[name]:
            counts[name], counts["han"] = counts[name] + counts["han"], 0
            break
    name = max(counts, key=counts.__getitem__)
    return name if counts[name] >= _CLEAR * total else MIXED


def _letters(text: str) -> IntArray:
    """Return the number of letters of each named script, then of all others."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    span = np.searchsorted(_STARTS, points, side="right") - 1
    named = (span >= 0) & (points <= _ENDS[span])
    others = points[~named & (points > _LAST_OF_LATIN_1)]
    letters = sum(map(str.isalpha, map(chr, others.tolist())))
    return np.append(np.bincount(_SCRIPTS_OF[span[named]], minlength=len(_RANGES)), letters)


def traffic_labels(traffic: Traffic) -> dict[str, list[str | None]]:
    """Return, for each kind of slice, the name of every sample's slice; ``None`` where it is not
    known.

    ``script`` is that of the request's own text, instructions of the system left out where there is
    other text. A turn is a message of the user. A source is what the traffic's column ``source``
    says.
    """
    scripts: list[str | None] = []
    turns: list[str | None] = []
    system: list[str | None] = []
    for messages in traffic.each_messages():
        own = [message["content"] for message in messages if message["role"] not in _INSTRUCTIONS]
        scripts.append(
            script_of("\n".join(own) if any(map(str.strip, own)) else messages[0]["content"])
        )
        turns.append(_turns(messages))
        system.append(
            "with system message" if len(own) < len(messages) else "without system message"
        )
    return {
        "script": scripts,
        "turns": turns,
        "system": system,
        "source": _sources(traffic),
        "model_pair": _pairs(traffic),
    }


def _turns(messages: Sequence[Mapping[str, str]]) -> str:
    """Return the band of the number of messages of the user."""
    count = max(1, sum(message["role"] == "user" for message in messages))
    if count == 1:
        return "1"
    return f"2-{_MANY_TURNS - 1}" if count < _MANY_TURNS else f"{_MANY_TURNS}+"


def _sources(traffic: Traffic) -> list[str | None]:
    given = (extra.get("source") for extra in traffic.column("extra"))
    return [None if source is None else str(source) for source in given]


def _pairs(traffic: Traffic) -> list[str | None]:
    """Return both names of each sample; ``None`` where neither is known."""
    pairs = zip(traffic.column("cheap_model"), traffic.column("frontier_model"), strict=True)
    return [
        f"{cheap or 'unknown'} / {frontier or 'unknown'}" if cheap or frontier else None
        for cheap, frontier in pairs
    ]
