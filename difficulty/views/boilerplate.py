"""What text view 2 learned from the traffic: which kinds of context it has, and which sentences
stand in nearly every request.

``view.json`` keeps it in runs and bundles. It holds none of the texts: a sentence is 8 bytes of a
salted hash. ``docs/bundle.md`` specifies it; another form needs another ``FORMAT``, and a reader of
this one.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from difficulty.errors import InvalidValueError
from difficulty.views.text_blocks import KINDS

FORMAT = 1
SALT_BYTES = 16
HASH_BYTES = 8
MOST_HASHES = 4096
_FIELDS = frozenset({"format", "kinds", "lengths", "salt", "sentences"})
LEAST_SENTENCE = 16
"""A shorter piece is never boilerplate: ``Answer:`` is part of many asks."""

# Kept to ASCII ends of sentences: a line of another script is one piece.
_END = re.compile(r"[.!?:] +|\n")
_BETWEEN = re.compile(r"(?<=[.!?:]) +")
_BLANK = " \t\r\n"


@dataclass(frozen=True, slots=True)
class LearnedView:
    """What a view knows of the traffic.

    Attributes
    ----------
    kinds : frozenset of str
        Kinds of context that the traffic has, of ``KINDS``: their words are read in part. Words of
        other kinds would be noise to the heads, which learned nothing of them.
    hashes : frozenset of bytes
        Of sentences that nearly every request holds.
    salt : bytes
    lengths : frozenset of int
        Of those sentences, in code points: others need no hash. Empty: not known.
    """

    kinds: frozenset[str] = frozenset()
    hashes: frozenset[bytes] = frozenset()
    salt: bytes = bytes(SALT_BYTES)
    lengths: frozenset[int] = frozenset()

    def hash_of(self, sentence: str) -> bytes:
        """Return the hash by which a sentence is known."""
        return sha256(self.salt + sentence.encode("utf-8", "replace")).digest()[:HASH_BYTES]

    def holds(self, sentence: str) -> bool:
        """Return whether a sentence is boilerplate."""
        if self.lengths and len(sentence) not in self.lengths:
            return False
        return self.hash_of(sentence) in self.hashes

    def holds_any(self, text: str) -> bool:
        """Return whether a text has boilerplate in it."""
        if not self.hashes:
            return False
        least = min(self.lengths, default=LEAST_SENTENCE)
        for line in text.split("\n"):
            if len(line) < least:
                continue
            has_many = ". " in line or "? " in line or ": " in line or "! " in line
            pieces = _BETWEEN.split(line) if has_many else (line,)
            for piece in pieces:  # spelled out, as every request comes by here
                if self.holds(piece.strip(_BLANK)):
                    return True
        return False

    def masked(self, text: str, repeated: Container[str] = ()) -> Iterator[tuple[int, int]]:
        """Yield the places of boilerplate in a text, and of sentences that are repeated in its
        conversation; neighbours joined.
        """
        start = end = -1
        for first, after, sentence in sentences(text):
            if sentence not in repeated and not self.holds(sentence):
                continue
            if start < 0 or text[end:first].strip(_BLANK):
                if end > start:
                    yield start, end
                start = first
            end = after
        if end > start:
            yield start, end

    @property
    def as_bytes(self) -> bytes:
        """The content of ``view.json``."""
        form = {
            "format": FORMAT,
            "kinds": [kind for kind in KINDS if kind in self.kinds],
            "lengths": sorted(self.lengths),
            "salt": self.salt.hex(),
            "sentences": b64encode(b"".join(sorted(self.hashes))).decode(),
        }
        return (json.dumps(form, indent=2) + "\n").encode()

    @classmethod
    def parse(cls, content: bytes) -> LearnedView:
        """Read the content of ``view.json``.

        Raises
        ------
        InvalidValueError
            If it is damaged, or of a format that is not known.
        """
        try:
            form = json.loads(content)
            return cls._of(form)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, InvalidValueError):
                raise
            raise InvalidValueError(
                "view.json", type(error).__name__, rule=f"hold {', '.join(sorted(_FIELDS))}"
            ) from error

    @classmethod
    def _of(cls, form: dict[str, Any]) -> LearnedView:
        if form["format"] != FORMAT:
            raise InvalidValueError(
                "the format of view.json",
                form["format"],
                rule=f"be {FORMAT}",
                hint="Upgrade difficulty.",
            )
        if set(form) != _FIELDS:
            raise InvalidValueError(
                "view.json",
                sorted(form),
                rule=f"hold {', '.join(sorted(_FIELDS))}",
                hint="States before the first release knew less of a text: train and ship again.",
            )
        joined = b64decode(form["sentences"], validate=True)
        salt, kinds, lengths = bytes.fromhex(form["salt"]), form["kinds"], form["lengths"]
        hashes = [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]
        if (
            len(joined) % HASH_BYTES
            or len(hashes) > MOST_HASHES
            or len(salt) != SALT_BYTES
            or not {*kinds} <= {*KINDS}
            or not all(type(each) is int for each in lengths)
        ):
            raise ValueError
        return cls(frozenset(kinds), frozenset(hashes), salt, frozenset(lengths))


def sentences(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield the pieces of a text that may be boilerplate: begin, end, and the piece without the
    white space around it.
    """
    begin = 0
    for end in (*(match.end() for match in _END.finditer(text)), len(text)):
        tail = text[begin:end].rstrip(_BLANK)
        piece = tail.lstrip(_BLANK)
        if len(piece) >= LEAST_SENTENCE:
            yield begin + len(tail) - len(piece), begin + len(tail), piece
        begin = end


def salt_of(text: str) -> bytes:
    """Return the salt that belongs to a hash of the traffic."""
    return sha256(f"view.json 1\n{text}".encode()).digest()[:SALT_BYTES]


def hashes_of(found: Iterable[str], salt: bytes) -> frozenset[bytes]:
    """Return the hashes of some sentences."""
    known = LearnedView(salt=salt)
    return frozenset(known.hash_of(sentence) for sentence in found)
