"""Blocks of a text that say nothing about the ask, by their form: tags, code, data, quoted mail.

A block has a kind and a place. Nothing is learned here, and every rule is one that another language
can keep to the letter (``docs/bundle.md``): lines end at U+000A, classes are ASCII, lengths are
code points.

The least sizes keep plain requests as they are: no public request has such a block
(``benchmarks/text_view_two.py``).
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

KINDS = (
    "system",
    "turns",
    "tool",
    "reminder",
    "passage",
    "block",
    "text",
    "mail",
    "trace",
    "code",
    "table",
    "json",
    "blob",
    "house",
    "courtesy",
    "manner",
    "image",
    "audio",
    "video",
    "file",
    "step",
)
"""Kinds of what may be left out. The first three are messages, ``text`` is plain text around the
ask, ``house`` what stands in nearly every request, ``courtesy`` and ``manner`` are sentences at its
ends (``manners.py``), the last five are no text (``marks.py``); the others are blocks.
"""

LEAST_TAGGED = 120
"""Fewest code points between a pair of tags."""
LEAST_SCANNED = 400
"""A shorter text holds no block but tagged ones, and from ``LEAST_QUOTED`` on quoted mail."""
LEAST_CODE = 1200
LEAST_DATA = 400
LEAST_QUOTED = 200
QUOTE = "\n>"
"""Without it a short text quotes nothing."""
LEAST_BLOB = 200
LEAST_ROWS = 6
LEAST_FRAMES = 3
MOST_UNCLOSED = 32
"""Names of tags that never close, after which no more are looked for."""

_TAG = re.compile(r"<([A-Za-z][0-9A-Za-z_.:-]{0,39})(?:[ \n][^<>]{0,200})?>")
_CLOSE = re.compile(r"</([A-Za-z][0-9A-Za-z_.:-]{0,39})>")
_ASKS = re.compile(
    r"ask|goal|input|instruction|instructions|message|problem|prompt|query|question|request|task"
    r"|text|(?:user|human|current|final|my)[-_.:]?[0-9a-z_.:-]*",
    re.ASCII,
)
_REMINDS = re.compile(r"remind|system|note|rule|policy|env|config|setting|memory|guideline|hook")
_PASSES = re.compile(
    r"context|doc|source|passage|retriev|search|file|content|page|article|data|knowledge|result"
    r"|chunk|snippet|excerpt|reference|evidence|background|quote|attach"
)
_FENCE = re.compile(r"[ ]{0,3}(```+|~~~+)")
_BLOB = re.compile(r"[0-9A-Za-z+/=_-]{200,}")
_QUOTED = re.compile(r"[ ]{0,3}>")
_MAIL = re.compile(
    r"-{2,}[ ]?(?:Original Message|Forwarded message)|On [^\n]{5,200} wrote:[ ]*\Z"
    r"|Begin forwarded message:"
)
_FRAME = re.compile(
    r"[ \t]*(?:at [^ \n]+[ (.:]|at [^ \n]+\Z|File \"[^\"\n]+\", line [0-9]|Traceback \("
    r"|Caused by: |\.\.\. [0-9]+ more|goroutine [0-9]|#[0-9]+[ ]{1,3}[^ \n])"
)
_INSIDE = re.compile(r"(?:[ ]{4}|\t)[ \t]*[^ \t\n]")
# What fences, mail and traces begin with, and little else does.
_MAY_BEGIN = re.compile(
    r"[ \t]*(?:```|~~~|>|--|On |Begin|at |File|Traceback|Caused|\.\.\.|goroutine|#)"
)
_OPENS = re.compile(r"[ \t]*[\[{]")
_BRACKET = re.compile(r"[\[\]{}]")
_RUNS: tuple[tuple[str, Callable[[str], object], Callable[[str], object]], ...] = (
    ("mail", _QUOTED.match, _QUOTED.match),
    ("trace", _FRAME.match, lambda line: _FRAME.match(line) or _INSIDE.match(line)),
)


class Block(NamedTuple):
    """A part of a text, from ``start`` to before ``end``."""

    start: int
    end: int
    kind: str


def find_blocks(text: str, *, schemas: bool = False) -> list[Block]:
    """Return the blocks of a text in order, none inside another.

    Parameters
    ----------
    text : str
    schemas : bool
        Whether JSON stays: functions that are offered stand in system messages.
    """
    blocks = list(_tagged(text)) if "</" in text else []
    if len(text) < (LEAST_QUOTED if QUOTE in text else LEAST_SCANNED):
        return blocks
    between = _between(text, blocks)
    for start, end in between:
        if end - start >= LEAST_QUOTED:
            blocks += _lined(text[start:end], start, schemas=schemas)
    return sorted(blocks)


def _between(text: str, blocks: Sequence[Block]) -> list[tuple[int, int]]:
    ends = [0, *(block.end for block in blocks)]
    starts = [*(block.start for block in blocks), len(text)]
    return list(zip(ends, starts, strict=True))


def _tagged(text: str) -> Iterator[Block]:
    # Looked for once: a search from each tag would read a text of nothing but tags over and over.
    closes: dict[str, deque[int]] = defaultdict(deque)
    for found in _CLOSE.finditer(text):
        closes[found[1]].append(found.start())
    unclosed: set[str] = set()
    at = 0
    while len(unclosed) < MOST_UNCLOSED and (tag := _TAG.search(text, at)):
        name, at = tag[1], tag.end()
        if name in unclosed:
            continue
        ahead = closes[name]
        while ahead and ahead[0] < at:
            ahead.popleft()
        if not ahead:
            unclosed.add(name)
            continue
        close = ahead[0]
        kind = _kind_of(name.lower())
        if close - at < LEAST_TAGGED or kind is None:
            continue  # what stands between may hold others
        at = close + len(name) + 3
        yield Block(tag.start(), at, kind)


def _kind_of(name: str) -> str | None:
    """Return the kind of what a tag encloses; ``None`` for one that holds the ask."""
    if _REMINDS.search(name):
        return "reminder"
    if _ASKS.fullmatch(name):
        return None
    return "passage" if _PASSES.search(name) else "block"


def _lined(text: str, offset: int, *, schemas: bool) -> Iterator[Block]:
    """Yield the blocks that lines make."""
    lines = text.split("\n")
    starts, at = [], offset
    for line in lines:
        starts.append(at)
        at += len(line) + 1
    starts.append(at)
    # Once over each line: brackets that are left open are not looked at again from within.
    row, json_from = 0, len(lines) if schemas else 0
    while row < len(lines):
        kind, after = _block_at(lines, row)
        if not kind and row >= json_from and _OPENS.match(lines[row]):
            end, json_from = _balanced(lines, row)
            kind, after = _checked("json", lines, row, end, LEAST_DATA)
        if kind:
            yield Block(starts[row], starts[after] - 1, kind)
            row = after
            continue
        if len(lines[row]) >= LEAST_BLOB:
            for blob in _BLOB.finditer(lines[row]):
                yield Block(starts[row] + blob.start(), starts[row] + blob.end(), "blob")
        row += 1


def _block_at(lines: Sequence[str], row: int) -> tuple[str, int]:
    """Return the kind of block but JSON that begins at a line and the line after it; ``""`` for
    none.
    """
    line = lines[row]
    if _MAY_BEGIN.match(line):
        if fence := _FENCE.match(line):
            return _checked("code", lines, row, _closing(lines, row, fence[1]), LEAST_CODE)
        if _MAIL.match(line):
            return _checked("mail", lines, row, len(lines), LEAST_QUOTED)
        for kind, begins, goes_on in _RUNS:
            if begins(line):
                after = _run(lines, row, goes_on)
                after = after if after - row >= LEAST_FRAMES else 0
                return _checked(kind, lines, row, after, LEAST_QUOTED)
    if len(lines) - row >= LEAST_ROWS and (columns := _columns(line)):
        after = _run(lines, row, lambda each: _columns(each) == columns)
        if after - row >= LEAST_ROWS:
            return _checked("table", lines, row, after, LEAST_DATA)
    return "", row


def _checked(kind: str, lines: Sequence[str], row: int, after: int, least: int) -> tuple[str, int]:
    """Return a block if it ends (``after`` is 0 where it does not) and is large enough."""
    is_large = after > 0 and _size(lines, row, after) >= least
    return (kind, after) if is_large else ("", row)


def _closing(lines: Sequence[str], row: int, fence: str) -> int:
    """Return the line after the one that closes a fence; 0 for none."""
    for after in range(row + 1, len(lines)):
        if lines[after].lstrip(" ").startswith(fence):
            return after + 1
    return 0


def _columns(line: str) -> tuple[str, int] | None:
    """Return how a line of a table is cut, and how often; ``None`` for any other line."""
    for sign, least in (("|", 3), ("\t", 2), (";", 3), (",", 3)):
        count = line.count(sign)
        if count >= least and (sign in "|\t" or f"{sign} " not in line):
            return sign, count
    return None


def _run(lines: Sequence[str], row: int, belongs: Callable[[str], object]) -> int:
    after = row + 1
    while after < len(lines) and belongs(lines[after]):
        after += 1
    return after


def _balanced(lines: Sequence[str], row: int) -> tuple[int, int]:
    """Return the line after the one on which every bracket since ``row`` is closed, 0 for none, and
    the line after the last that was looked at.
    """
    depth = 0
    for place in range(row, len(lines)):
        for bracket in _BRACKET.findall(lines[place]):
            depth += 1 if bracket in "[{" else -1
        if depth <= 0:
            closes = lines[place].rstrip(" \t,;").endswith(("}", "]"))
            return (place + 1 if closes and depth == 0 else 0), place + 1
    return 0, len(lines)


def _size(lines: Sequence[str], row: int, after: int) -> int:
    return sum(map(len, lines[row:after])) + after - row - 1
