"""Text view 2: the ask of a request, with so much of what stands around it as the model knows.

1. The last user message is the ask; system messages stand before it, everything else is context:
   earlier turns, what tools returned.
2. Inside of a message, blocks (``text_blocks.py``), courtesy at its ends (``manners.py``), plain
   text around the ask (``asking.py``) and boilerplate of this traffic (``boilerplate.py``) are
   context too. Where nothing is left that asks, a quoted block that does stays.
3. Context of a kind that the fit samples had is written as one marker, ``[passage 5]`` (the kind,
   and how long it is: each size is twice the one before), with the head and the tail of its words.
   Context of a kind that they never had is left out: heads know nothing of its words, which only
   move the score about.
4. An ask that is too short to stand alone (``SHORT_ASK``) is given some of any context's words.
5. If next to nothing would be left, the message stays as it is.

So the text of a wrapped request is byte for byte that of the plain one, where the model was trained
without wrappers: of 1,000 MMLU requests behind reminders, passages, mail and earlier turns that
were written without knowing these rules, 99.9 to 100 % keep their decision; with view 1 it is 93.6
to 96.5 % (``benchmarks/robustness.py``). The numbers below bound how much of known context is read:
no public set has context, so they are a choice, not a measurement.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from difficulty.views.asking import LEAST_LABELLED, asks, find_ask
from difficulty.views.boilerplate import LearnedView, sentences
from difficulty.views.manners import find_wordings, with_plain_letters
from difficulty.views.text_blocks import LEAST_SCANNED, QUOTE, Block, find_blocks

MOST_SCANNED = 65_536
"""Code points of a message that are looked at; of longer ones head and tail."""
KNOWN_CONTEXT = 600
"""Code points of known context that are read beside an ask; as many as the ask has, if more."""
SHORT_ASK = 24
"""An ask of fewer code points is given context of any kind: "Fix this:" alone
says nothing. No MMLU request is as short; with 48 as the bound whole questions were given words of
what stands around them.
"""
SHORT_CONTEXT = 200
LEAST_LEFT = 12
"""Letters and digits that have to be left of an ask."""
MOST_BESIDE = 120
"""Code points beside a quoted ask; more than that is an ask of its own, whatever its words."""
MOST_QUOTED = 2500
"""Code points of a block that may be the ask."""
SILENT = frozenset({"courtesy"})
"""Kinds that have no marker either: how polite somebody is says nothing of what is asked."""
_UNREAD = frozenset({"reminder", "blob", "house", *SILENT})
"""Kinds whose words are never read: a marker says all there is to say."""
_MAY_ASK = frozenset({"passage", "block", "mail"})
"""Kinds of blocks in which somebody may ask."""

_WORTHLESS_ALONE = _UNREAD | {"system", "manner"}
"""Kinds that explain no short ask."""
_CACHED_SYSTEM = 32_768
"""Code points of a system message whose parts are kept for the next request."""
_LEAST = re.compile(rf"(?:[^0-9A-Za-z\x80-\U0010ffff]*[0-9A-Za-z\x80-\U0010ffff]){{{LEAST_LEFT}}}")


class Piece(NamedTuple):
    """A part of a message: its words, and the kind of context it is; ``""`` for the ask."""

    text: str
    kind: str


class Reading2(NamedTuple):
    """What view 2 makes of a request."""

    front: str
    """System messages and earlier context."""
    ask: str
    """The last user message, with its context."""
    masked: dict[str, int]
    """Code points that were left out, by kind."""
    question: str
    """What is left of the ask without any context."""


def is_plain(role: str, text: str, learned: LearnedView) -> bool:
    """Return whether a lone message stays as it is, at a glance."""
    # Below the sizes from which blocks are looked for, and in most cases what stands around an ask.
    return (
        role == "user"
        and len(text) < LEAST_SCANNED
        and "</" not in text
        and QUOTE not in text
        and not find_wordings(text)
        and with_plain_letters(text) == text
        and not learned.holds_any(text)
        and (len(text) < LEAST_LABELLED or find_ask(text) is None)
    )


def read_messages(
    texts: Sequence[tuple[str, str]],
    learned: LearnedView,
    markers: Mapping[str, str] = MappingProxyType({}),
) -> Reading2:
    """Return what is read of a conversation.

    Parameters
    ----------
    texts : sequence of (str, str)
        Role and text of each message that has some, well formed.
    learned : LearnedView
    markers : mapping of str to str, optional
        What is there beside words, by kind, see ``marks.py``.
    """
    masked = dict.fromkeys(markers, 0)
    place = _place_of_ask(texts)
    repeated = _repeated(text for role, text in texts[: max(place, 0)] if role == "user")
    asked = _pieces(texts[place][1], "user", learned, repeated) if texts else []
    own = sum(len(piece.text) for piece in asked if not piece.kind)
    question = _question_of(asked)
    budget = _Budget(own, learned, masked)
    # The ask's own context first, then what stands nearest to it.
    last = budget.write(asked)
    around: list[str] = []
    for at in range(len(texts) - 1, -1, -1):
        role, text = texts[at]
        if at == place:
            continue
        kind = {"system": "system", "tool": "tool"}.get(role, "turns")
        if kind == "system" and "system" in learned.kinds:
            # A program's requests come with the same few.
            pieces: Sequence[Piece] = (
                _pieces(text, role, learned, repeated)
                if repeated or len(text) > _CACHED_SYSTEM
                else _system_pieces(text, learned)
            )
            around.append(budget.write(pieces))
        else:
            around.append(budget.write([Piece(text, kind)]))
    known = [marker for kind, marker in markers.items() if kind in learned.kinds]
    front = "\n".join(text for text in (*known, *reversed(around)) if text)
    return Reading2(front, last, masked, question)


def _question_of(asked: Sequence[Piece]) -> str:
    if len(asked) == 1:
        return asked[0].text
    texts = (piece.text.strip(" \t\r\n") for piece in asked if not piece.kind)
    return "\n".join(text for text in texts if text)


def _place_of_ask(texts: Sequence[tuple[str, str]]) -> int:
    """Return which message asks: the last of a user, else the last of anybody."""
    for place in range(len(texts) - 1, -1, -1):
        if texts[place][0] == "user":
            return place
    return len(texts) - 1


def _repeated(earlier: Iterator[str]) -> set[str]:
    """Return the sentences that stand in two or more earlier messages of the user."""
    counts: Counter[str] = Counter()
    for text in earlier:
        counts.update({sentence for _, _, sentence in sentences(bounded(text))})
    return {sentence for sentence, count in counts.items() if count > 1}


def bounded(text: str) -> str:
    """Return so much of a message as is looked at."""
    half = MOST_SCANNED // 2
    return text if len(text) <= MOST_SCANNED else f"{text[:half]}\n{text[-half:]}"


@lru_cache(maxsize=64)
def _system_pieces(text: str, learned: LearnedView) -> tuple[Piece, ...]:
    return tuple(_pieces(text, "system", learned, ()))


def _pieces(text: str, role: str, learned: LearnedView, repeated: Container[str]) -> list[Piece]:
    """Return the parts of a message, in order."""
    text = bounded(text)
    pieces = _cut(text, find_blocks(text, schemas=role == "system"))
    if role == "user":
        pieces = [part for piece in _without_wordings(pieces) for part in _parted(piece)]
    if learned.hashes or repeated:
        pieces = [
            part for piece in pieces for part in _without_boilerplate(piece, learned, repeated)
        ]
    if role != "user":
        return pieces if any(piece.kind for piece in pieces) else [Piece(text, "")]
    pieces = _with_quoted_ask(pieces)
    if all(not piece.kind for piece in pieces) or not _says_enough(pieces):
        # Nothing around it; or boilerplate that is the ask, or an ask inside of a block.
        return [Piece(with_plain_letters(text), "")]
    return [piece if piece.kind else Piece(with_plain_letters(piece.text), "") for piece in pieces]


def _without_wordings(pieces: Sequence[Piece]) -> list[Piece]:
    """Return pieces with the courtesy and manner at the ends of what is no context apart."""
    plain = [place for place, piece in enumerate(pieces) if _is_said(piece)]
    if not plain:
        return list(pieces)
    cut = {place: [pieces[place]] for place in range(len(pieces))}
    for place in {plain[0], plain[-1]}:
        text, at = pieces[place].text, 0
        cut[place] = []
        for start, end, kind in find_wordings(
            text, head=place == plain[0], tail=place == plain[-1]
        ):
            cut[place] += [Piece(text[at:start], ""), Piece(text[start:end], kind)]
            at = end
        cut[place].append(Piece(text[at:], ""))
    parts = [piece for place in range(len(pieces)) for piece in cut[place]]
    if any(piece.kind == "manner" for piece in parts) and not asks(_left_of(parts)):
        # How to answer may be all that is asked.
        return [piece._replace(kind="") if piece.kind == "manner" else piece for piece in parts]
    return parts


def _is_said(piece: Piece) -> bool:
    return not piece.kind and bool(piece.text.strip(" \t\r\n"))


def _left_of(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces if not piece.kind).strip(" \t\r\n")


def _with_quoted_ask(pieces: list[Piece]) -> list[Piece]:
    """Return pieces with the blocks that ask as part of the ask, where nothing else asks."""
    if not any(piece.kind in _MAY_ASK for piece in pieces):
        return pieces
    left = _left_of(pieces)
    if len(left) > MOST_BESIDE or asks(left):
        return pieces
    return [
        Piece(piece.text, "")
        if piece.kind in _MAY_ASK and len(piece.text) <= MOST_QUOTED and asks(piece.text)
        else piece
        for piece in pieces
    ]


def _cut(text: str, blocks: Sequence[Block]) -> list[Piece]:
    pieces, at = [], 0
    for block in blocks:
        pieces.append(Piece(text[at : block.start], ""))
        pieces.append(Piece(text[block.start : block.end], block.kind))
        at = block.end
    return [*pieces, Piece(text[at:], "")]


def _parted(piece: Piece) -> Iterator[Piece]:
    spans = None if piece.kind else find_ask(piece.text)
    if spans is None:
        yield piece
        return
    at = 0
    for span in spans:
        yield Piece(piece.text[at : span.start], "text")
        yield Piece(piece.text[span.start : span.end], "")
        at = span.end
    yield Piece(piece.text[at:], "text")


def _without_boilerplate(
    piece: Piece, learned: LearnedView, repeated: Container[str]
) -> Iterator[Piece]:
    at = 0
    if not piece.kind:
        for start, end in learned.masked(piece.text, repeated):
            yield Piece(piece.text[at:start], "")
            yield Piece(piece.text[start:end], "house")
            at = end
    yield Piece(piece.text[at:], piece.kind)


def _says_enough(pieces: Sequence[Piece]) -> bool:
    left = _left_of(pieces)
    return _LEAST.match(left) is not None


class _Budget:
    """Writes pieces, and knows how much of context may be written yet."""

    def __init__(self, own: int, learned: LearnedView, masked: dict[str, int]) -> None:
        self._kinds = learned.kinds
        self._known = max(KNOWN_CONTEXT, own)
        self._any = SHORT_CONTEXT if own < SHORT_ASK else 0
        self._masked = masked

    def write(self, pieces: Sequence[Piece]) -> str:
        """Return the text of some pieces."""
        if len(pieces) == 1 and not pieces[0].kind:
            return pieces[0].text
        texts = (
            self._context(piece) if piece.kind else piece.text.strip(" \t\r\n") for piece in pieces
        )
        return "\n".join(text for text in texts if text)

    def _context(self, piece: Piece) -> str:
        text = piece.text.strip(" \t\r\n")
        if not text:
            return ""
        if piece.kind in SILENT:
            self._masked[piece.kind] = self._masked.get(piece.kind, 0) + len(text)
            return ""
        is_known = piece.kind in self._kinds
        room = self._room(piece.kind, is_known=is_known)
        shown = min(room, len(text))
        self._masked[piece.kind] = self._masked.get(piece.kind, 0) + len(text) - shown
        if is_known:
            self._known -= shown
        else:
            self._any -= shown
        words = text if shown == len(text) else _head_and_tail(text, shown)
        marker = f"[{piece.kind} {_size_class(len(text))}]" if is_known else ""
        return "\n".join(part for part in (marker, words) if part)

    def _room(self, kind: str, *, is_known: bool) -> int:
        if is_known:
            return 0 if kind in _UNREAD else self._known
        return 0 if kind in _WORTHLESS_ALONE else self._any


def _size_class(length: int) -> int:
    """Return 1 for fewer than 256 code points, and one more for each doubling."""
    return max(1, length.bit_length() - 7)


def _head_and_tail(text: str, shown: int) -> str:
    half = shown // 2
    return f"{text[:half]}\n{text[len(text) - half :]}" if half else ""


def role_of(role: object) -> str:
    """Return which of the four roles a message has."""
    if role in ("system", "developer"):
        return "system"
    if role in ("tool", "function"):
        return "tool"
    return "assistant" if role == "assistant" else "user"
