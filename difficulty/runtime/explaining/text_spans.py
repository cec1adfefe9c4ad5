"""Where a text falls into parts: messages, paragraphs, lines, sentences, clauses, words.

A span ends behind the separator that follows it, so the spans of a text, put together, are the text
again, and the text without one of them is still written as one would write it. All takes time
linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from difficulty.errors import RequestError
from difficulty.text import message_text, well_formed

# From the coarsest to the finest; each matches the separator that a part ends with.
_ENDS = (
    re.compile(r"\n[ \t]*\n\s*"),
    re.compile(r"\n\s*"),
    # Looked for where the signs begin, or a long run of them would be read from each.
    re.compile(r"(?<![.!?…])[.!?…]++[\"')\]]*+\s++|[。！？]\s*"),
    re.compile(r"[,;:]\s+|[，、；：]\s*"),
    re.compile(r"\s+"),
)


class Span(NamedTuple):
    """A part of a text, in code points."""

    start: int
    end: int

    def of(self, text: str) -> str:
        """Return what stands there."""
        return text[self.start : self.end]

    def taken_from(self, text: str) -> str:
        """Return the text without it."""
        return text[: self.start] + text[self.end :]


def without(text: str, spans: Sequence[Span]) -> str:
    """Return a text without some spans, which do not overlap."""
    for span in sorted(spans, reverse=True):
        text = span.taken_from(text)
    return text


def split(text: str, span: Span, *, most: int) -> list[Span]:
    """Return the parts of a span at the coarsest separator that it holds, at most ``most`` of them;
    the span alone where it is one word.

    Many small parts that stand beside each other are taken together, in parts of about equal
    length.
    """
    for end in _ENDS:
        parts = [part for part in _cut(text, span, end) if part.of(text).strip()]
        if len(parts) > 1:
            return _together(_without_gaps(parts, span), most)
    return [span]


def message_spans(text: str, messages: str | Sequence[Mapping[str, Any]]) -> list[tuple[int, Span]]:
    """Return where messages of a request stand in its text, with their places in the request; those
    that are not there as they are written (cut, or represented by something else) are left out.
    """
    if isinstance(messages, str):
        return []
    spans, begin = [], 0
    for place, message in enumerate(messages):
        try:
            own = well_formed(message_text(message))
        except RequestError:
            continue
        start = text.find(own, begin) if own else -1
        if start >= 0:
            begin = start + len(own)
            spans.append((place, Span(start, begin)))
    return spans


def by_message(text: str, spans: Sequence[tuple[int, Span]], *, most: int) -> list[Span]:
    """Return the whole text in the parts that begin where a message begins."""
    starts = [0, *(span.start for _, span in spans if span.start > 0), len(text)]
    parts = [Span(start, end) for start, end in zip(starts, starts[1:], strict=False)]
    kept = [part for part in parts if part.of(text).strip()]
    return _together(_without_gaps(kept, Span(0, len(text))), most)


def _cut(text: str, span: Span, end: re.Pattern[str]) -> Iterator[Span]:
    start = span.start
    for found in end.finditer(text, span.start, span.end):
        yield Span(start, found.end())
        start = found.end()
    if start < span.end:
        yield Span(start, span.end)


def _without_gaps(parts: Sequence[Span], span: Span) -> list[Span]:
    """Return the parts with white space that stood between them as the end of the one before."""
    starts = [span.start, *(part.start for part in parts[1:]), span.end]
    return [Span(start, end) for start, end in zip(starts, starts[1:], strict=False)]


def _together(parts: Sequence[Span], most: int) -> list[Span]:
    if len(parts) <= most:
        return list(parts)
    joined: list[Span] = []
    share = (parts[-1].end - parts[0].start) / most
    begin = parts[0].start
    for place, part in enumerate(parts):
        left = len(parts) - place - 1
        is_full = part.end - parts[0].start >= share * (len(joined) + 1)
        if (is_full and len(joined) < most - 1) or not left:
            joined.append(Span(begin, part.end))
            begin = part.end
    return joined
