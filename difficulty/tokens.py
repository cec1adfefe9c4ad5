"""Texts to token ids, the same way in training and serving.

The tokenizer is a Hugging Face ``tokenizer.json``. A text of more than ``max_tokens`` tokens keeps
its first ``max_tokens - max_tokens // 2`` and its last ``max_tokens // 2`` ids: requests put the
task at one end and the question at the other.

Texts are decided one at a time, so one text has to be quick. A BERT tokenizer (``BertNormalizer``,
``BertPreTokenizer``, ``WordPiece``) cuts a text at white space and makes the ids of a piece from
that piece alone: what was met before needs no tokenizer, its ids are kept (625 -> 100 us a
request). A new piece is cut further where it is ASCII, around each punctuation mark, so that only
new words are asked for. Texts that the rule does not cover (control
characters, literal added tokens, many new words of other scripts), and all texts of other
tokenizers, are left to the tokenizer.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self, SupportsIndex, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

from difficulty.errors import EncoderError
from difficulty.storage.mapped import let_go

IntArray = NDArray[np.int64]

_WORDS = re.compile(r"[0-9A-Za-z]+|[!-/:-@\[-`{-~]")
# The tokenizer drops these, and so joins what stands beside them.
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MOST_WORDS = 50_000
_LONGEST_WORD = 40
_WIDTH = 4  # bytes of an id, as TokenRows keeps them
# A text with more new pieces of other scripts than this is quicker through the tokenizer as a
# whole.
_MOST_ASKED = 4


class TokenIds(NamedTuple):
    """Token ids of one text."""

    ids: list[int]
    total: int
    """Number of tokens before head and tail were kept."""


Numbers: TypeAlias = NDArray[np.float32]


class NumberedIds(list[int]):
    """Token ids of a request, and beside them its numbers."""

    __slots__ = ("numbers",)

    def __init__(self, ids: Iterable[int], numbers: Numbers) -> None:
        super().__init__(ids)
        self.numbers = numbers


class TokenRows(Sequence[Sequence[int]]):
    """Token ids of many texts, which know the tokenizer that made them.

    They lie in one array, four bytes each: as lists of Python numbers a million requests take
    gigabytes. A row is made when it is asked for; what reads a few thousand reads :attr:`flat`.
    The array of many may be mapped from a file, and some of many rows share it: they are copied
    when they are read, a block at a time.

    Parameters
    ----------
    rows : iterable of sequences of int
    tokenizer : str
        The :attr:`RequestTokenizer.digest` of what made them.

    Attributes
    ----------
    flat : ndarray of shape (n_tokens,), int32
        The ids of all rows, one after the other.
    ends : ndarray of shape (n_rows + 1,), int64
        Row ``i`` is ``flat[ends[i] : ends[i + 1]]``.
    numbers : dict of int to ndarray
        Those of the rows that have some, by place.
    made : dict of str to object
        What was made of all rows and is not to be made again, by name.
    """

    def __init__(self, rows: Iterable[Sequence[int]], tokenizer: str) -> None:
        flat, ends, self.numbers = array("i"), array("q", [0]), dict[int, Numbers]()
        for place, row in enumerate(rows):
            try:
                flat.extend(row)
            except OverflowError:  # kept as an id that no vocabulary has, for check_ids to refuse
                del flat[ends[-1] :]
                flat.extend(min(max(int(token), -1), _LARGEST) for token in row)
            ends.append(len(flat))
            if isinstance(row, NumberedIds):
                self.numbers[place] = row.numbers
        self._flat = np.frombuffer(flat, dtype=np.int32) if flat else np.zeros(0, np.int32)
        self._ends = np.frombuffer(ends, dtype=np.int64)
        self._flat.flags.writeable = self._ends.flags.writeable = False
        self._starts: NDArray[np.int64] | None = None  # of rows that do not stand side by side
        self._sizes = np.zeros(0, np.int32)
        self.tokenizer = tokenizer
        self.made: dict[str, Any] = {}

    @classmethod
    def of(
        cls,
        flat: NDArray[np.int32],
        ends: NDArray[np.int64],
        tokenizer: str,
        numbers: dict[int, Numbers] | None = None,
    ) -> Self:
        """Return rows of arrays that are there already."""
        rows = cls((), tokenizer)
        rows._flat, rows._ends, rows.numbers = flat, ends, numbers or {}
        flat.flags.writeable = ends.flags.writeable = False
        return rows

    @classmethod
    def packed(
        cls, rows: Sequence[bytes], tokenizer: str, numbers: dict[int, Numbers] | None = None
    ) -> Self:
        """Return rows of what :meth:`RequestTokenizer.pack` gives."""
        flat = np.frombuffer(b"".join(rows), np.int32)
        sizes = np.fromiter(map(len, rows), np.int64, count=len(rows)) // _WIDTH
        return cls.of(flat, np.concatenate([[0], np.cumsum(sizes)]), tokenizer, numbers)

    def __len__(self) -> int:
        return len(self._ends) - 1 if self._starts is None else len(self._starts)

    @property
    def flat(self) -> NDArray[np.int32]:
        """The ids of all rows, one after the other."""
        return self._flat if self._starts is None else self._copied()[0]

    @property
    def ends(self) -> NDArray[np.int64]:
        """Where each row ends in :attr:`flat`, after a 0."""
        return self._ends if self._starts is None else _ends_of(self._sizes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    @overload
    def __getitem__(self, place: SupportsIndex) -> Sequence[int]: ...
    @overload
    def __getitem__(self, place: slice) -> TokenRows: ...
    def __getitem__(self, place: SupportsIndex | slice) -> Sequence[int] | TokenRows:
        """Return a row, as a list, or some rows."""
        if isinstance(place, slice):
            return self.at(np.arange(*place.indices(len(self))))
        at = range(len(self))[place]
        start, size = self._spans(np.array([at]))
        ids: list[int] = self._flat[start[0] : start[0] + size[0]].tolist()
        return NumberedIds(ids, self.numbers[at]) if at in self.numbers else ids

    def at(self, rows: NDArray[np.intp]) -> TokenRows:
        """Return the rows at some places."""
        numbers = (
            {new: self.numbers[old] for new, old in enumerate(rows.tolist()) if old in self.numbers}
            if self.numbers
            else {}
        )
        picked = TokenRows((), self.tokenizer)
        picked.numbers = numbers
        picked._flat = self._flat
        picked._starts, picked._sizes = self._spans(rows)
        if len(rows) >= _SHARED:
            return picked
        return self.of(*picked._copied(), self.tokenizer, numbers)

    def _spans(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return where some rows begin, and how many ids they have."""
        if self._starts is not None:
            return self._starts[rows], self._sizes[rows]
        starts = self._ends[rows]
        return starts, (self._ends[rows + 1] - starts).astype(np.int32)

    def _copied(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the ids of rows that do not stand side by side, and where each ends."""
        assert self._starts is not None
        starts, ends = self._starts, _ends_of(self._sizes)
        if not len(starts):
            return np.zeros(0, np.int32), ends
        first, last = int(starts.min()), int((starts + self._sizes).max())
        if last - first == ends[-1] and (starts - first == ends[:-1]).all():
            flat = np.array(self._flat[first:last])
        else:
            # the place of every token: that of its row's first, and how far it is from there
            places = np.arange(ends[-1]) + np.repeat(starts - ends[:-1], self._sizes)
            flat = np.asarray(self._flat[places])
        let_go(self._flat, first, last)
        return flat, ends

    def blocks(self, size: int = 16_384) -> Iterator[TokenRows]:
        """Yield the rows, so many at a time."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def __reduce__(self) -> tuple[Any, ...]:
        # Of rows that share the ids of all, their own alone.
        return TokenRows.of, (
            np.array(self.flat),
            np.array(self.ends),
            self.tokenizer,
            self.numbers,
        )

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row."""
        return np.diff(self._ends) if self._starts is None else self._sizes.astype(np.int64)

    def joined(self, other: TokenRows) -> TokenRows:
        """Return these rows and others of the same tokenizer after them."""
        later = {len(self) + place: numbers for place, numbers in other.numbers.items()}
        flat = np.concatenate([self.flat, other.flat])
        ends = np.concatenate([self.ends, self.ends[-1] + other.ends[1:]])
        return self.of(flat, ends, self.tokenizer, self.numbers | later)


_LARGEST = 2**31 - 1
_SHARED = 32_768
"""Rows from which on those that are picked share the ids of all."""


def _ends_of(sizes: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    ends = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=ends[1:])
    return ends


def flattened(ids: Sequence[Sequence[int]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return token ids as one array, and where each row ends: see :class:`TokenRows`."""
    rows = ids if isinstance(ids, TokenRows) else TokenRows(ids, "")
    return rows.flat, rows.ends


def lengths_of(ids: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Return the number of tokens of each row, shape (n_rows,)."""
    if isinstance(ids, TokenRows):
        return ids.lengths
    return np.fromiter(map(len, ids), np.int64, count=len(ids))


def pick(ids: Sequence[Sequence[int]], rows: Iterable[int]) -> Sequence[Sequence[int]]:
    """Return some rows of token ids; they know their tokenizer as the whole did."""
    if isinstance(ids, TokenRows):
        return ids.at(rows if isinstance(rows, np.ndarray) else np.fromiter(rows, dtype=np.intp))
    return [ids[row] for row in rows]


def join(
    first: Sequence[Sequence[int]], second: Sequence[Sequence[int]]
) -> Sequence[Sequence[int]]:
    """Return the rows of both; they know their tokenizer where it is the same."""
    if isinstance(first, TokenRows) and isinstance(second, TokenRows):
        if first.tokenizer != second.tokenizer:
            raise EncoderError(
                "token ids must be of one tokenizer: got some of"
                f" {first.tokenizer[:12]} and some of {second.tokenizer[:12]}. Tokenize all with"
                " the encoder's own."
            )
        return first.joined(second)
    return [*first, *second]


def check_ids(
    ids: Sequence[Sequence[int]], *, vocabulary: int, tokenizer: Path | None = None
) -> None:
    """Refuse token ids that are not of the tokenizer that is read.

    Ids of another tokenizer are numbers like its own, and vectors would come of them that mean
    nothing.

    Parameters
    ----------
    ids : sequence of sequences of int
    vocabulary : int
        Number of ids.
    tokenizer : Path, optional
        The ``tokenizer.json`` that is read, where it is known.

    Raises
    ------
    EncoderError
        If the ids say that another tokenizer made them, or are none of the vocabulary.
    """
    if tokenizer is not None and isinstance(ids, TokenRows):
        own = digest_of_tokenizer(tokenizer)
        if ids.tokenizer != own:
            raise EncoderError(
                "token ids must be those of the encoder's own tokenizer: got ids of tokenizer"
                f" {ids.tokenizer[:12]}, the encoder reads {own[:12]}. Tokenize with its"
                " tokenizer.json."
            )
    least = most = 0
    for part in ids.blocks() if isinstance(ids, TokenRows) else [ids]:
        flat, _ = flattened(part)
        least, most = min(least, int(flat.min(initial=0))), max(most, int(flat.max(initial=0)))
    if least < 0 or most >= vocabulary:
        raise EncoderError(
            f"token ids must be at least 0 and below {vocabulary:,}, the size of the vocabulary:"
            f" got {least if least < 0 else most}. Tokenize with the encoder's own tokenizer.json."
        )


def digest_of_tokenizer(path: Path) -> str:
    """Return the :attr:`RequestTokenizer.digest` of a ``tokenizer.json``."""
    return _digest_of(path.read_bytes())


@lru_cache(maxsize=8)
def _digest_of(content: bytes) -> str:
    # By content: another file may lie at the same path by now.
    return RequestTokenizer(Tokenizer.from_str(content.decode())).digest


class RequestTokenizer:
    """A Hugging Face tokenizer with the head-and-tail cut.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
        Loaded tokenizer; its own truncation and padding are switched off.
    max_tokens : int, default 512
        Most ids the scorer sees.
    """

    def __init__(self, tokenizer: Tokenizer, *, max_tokens: int = 512) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self._head = max_tokens - max_tokens // 2
        self._tail = max_tokens // 2
        self._words = WordIds(tokenizer)

    @classmethod
    def from_file(cls, path: Path, *, max_tokens: int = 512) -> RequestTokenizer:
        """Load ``tokenizer.json``."""
        return cls(Tokenizer.from_file(str(path)), max_tokens=max_tokens)

    @classmethod
    def from_text(cls, content: str, *, max_tokens: int = 512) -> RequestTokenizer:
        """Load the content of a ``tokenizer.json``."""
        return cls(Tokenizer.from_str(content), max_tokens=max_tokens)

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, added tokens included."""
        return int(self.tokenizer.get_vocab_size(with_added_tokens=True))

    @cached_property
    def digest(self) -> str:
        """Tells tokenizers apart: sha256 of all that decides the ids, in hexadecimal."""
        return sha256(self.tokenizer.to_str().encode()).hexdigest()

    @cached_property
    def unknown_id(self) -> int | None:
        """The id that stands for whatever the vocabulary does not hold; ``None`` for a tokenizer
        that needs none.
        """
        model = json.loads(self.tokenizer.to_str())["model"]
        if model.get("unk_id") is not None:  # Unigram names the id, the others the token
            return int(model["unk_id"])
        token = model.get("unk_token")
        unknown = self.tokenizer.token_to_id(token) if token else None
        return None if unknown is None else int(unknown)

    def encode(self, text: str) -> TokenIds:
        """Return the ids of one text."""
        ids = self._words(text)
        if ids is None:
            # The one call that does not track offsets.
            ids = self.tokenizer.encode_batch_fast([text])[0].ids
        return self._cut(ids)

    def pack(self, text: str) -> tuple[bytes, int]:
        """Return the ids of one text as they lie in an array of int32, and how many there were
        before head and tail were kept: for many texts, of which no list is wanted.
        """
        packed = self._words.pack(text)
        if packed is None:
            ids, total = self.encode(text)
            return array("i", ids).tobytes(), total
        total = len(packed) // _WIDTH
        if total <= self.max_tokens:
            return packed, total
        return packed[: self._head * _WIDTH] + packed[(total - self._tail) * _WIDTH :], total

    def forget(self) -> None:
        """Drop the words that are kept for :meth:`encode`: they come back as they are met."""
        self._words.forget()

    def encode_batch(self, texts: Sequence[str]) -> list[TokenIds]:
        """Return the ids of many texts, in order."""
        encodings = self.tokenizer.encode_batch_fast(list(texts))  # on all cores
        return [self._cut(encoding.ids) for encoding in encodings]

    def _cut(self, ids: list[int]) -> TokenIds:
        total = len(ids)
        if total <= self.max_tokens:
            return TokenIds(ids, total)
        return TokenIds(ids[: self._head] + ids[total - self._tail :], total)


class WordIds:
    """Ids of texts, for tokenizers that make them word by word; safe to use from several threads.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
        Loaded tokenizer, which neither truncates nor pads.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        settings = _normalizer_of(tokenizer)
        self._covered = bool(settings) and isinstance(tokenizer.model, WordPiece)
        self._added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        self._ids = _IdsByWord(tokenizer, lowercase=bool(settings and settings["lowercase"]))
        self._packed = _PackedIds(self._ids)

    def __call__(self, text: str) -> list[int] | None:
        """Return the ids of a text, or ``None`` where the tokenizer has to be asked."""
        pieces = self._cut(text)
        if pieces is None:
            return None
        return list(chain.from_iterable(map(self._ids.__getitem__, pieces)))

    def pack(self, text: str) -> bytes | None:
        """Return the same as they lie in an array of int32."""
        pieces = self._cut(text)
        return None if pieces is None else b"".join(map(self._packed.__getitem__, pieces))

    def _cut(self, text: str) -> list[str] | None:
        """Return the pieces of a text; ``None`` where the tokenizer has to be asked."""
        if (
            not self._covered
            # A text that can be printed has no control, and is known for one sooner.
            or not (text.isprintable() or not _CONTROLS.search(text))
            or any(token in text for token in self._added)
        ):
            return None
        if text.isascii():
            pieces = text.split()
        else:
            # Not at what other scripts have for white space: the tokenizer drops some of that.
            pieces = text.replace("\n", " ").replace("\t", " ").replace("\r", " ").split(" ")
            new = [each for each in pieces if each not in self._ids and not each.isascii()]
            if len(new) > _MOST_ASKED:
                # Learn some, so that traffic in this script is quick after a while.
                for piece in new[:_MOST_ASKED]:
                    self._ids[piece]
                return None
        return pieces

    def forget(self) -> None:
        """Drop what is kept."""
        self._ids.clear()
        self._packed.clear()


class _IdsByWord(dict[str, tuple[int, ...]]):
    """Ids by word, and by piece of several words; what is not kept yet is asked for. Begun anew
    when full, so that it cannot grow without end.
    """

    def __init__(self, tokenizer: Tokenizer, *, lowercase: bool) -> None:
        self._tokenizer = tokenizer
        self._model = tokenizer.model
        self._lowercase = lowercase

    def __missing__(self, word: str) -> tuple[int, ...]:
        ids = self._ask(word)
        if len(word) <= _LONGEST_WORD:
            if len(self) >= _MOST_WORDS:
                self.clear()
            self[word] = ids
        return ids

    def _ask(self, word: str) -> tuple[int, ...]:
        if not word.isascii():
            return tuple(self._tokenizer.encode_batch_fast([word])[0].ids)
        if not word.isalnum() and (words := _WORDS.findall(word)) != [word]:
            return tuple(chain.from_iterable(map(self.__getitem__, words)))
        word = word.lower() if self._lowercase else word
        return tuple(token.id for token in self._model.tokenize(word))


class _PackedIds(dict[str, bytes]):
    """The same as bytes; used where many texts are read, and empty elsewhere."""

    def __init__(self, ids: _IdsByWord) -> None:
        self._ids = ids

    def __missing__(self, word: str) -> bytes:
        packed = array("i", self._ids[word]).tobytes()
        if len(word) <= _LONGEST_WORD:
            if len(self) >= _MOST_WORDS:
                self.clear()
            self[word] = packed
        return packed


def _normalizer_of(tokenizer: Tokenizer) -> dict[str, object] | None:
    """Return the normaliser's settings of a tokenizer whose ids are made word by word; ``None`` for
    any other.
    """
    parts = tokenizer.normalizer, tokenizer.pre_tokenizer
    added = tokenizer.get_added_tokens_decoder().values()
    if None in parts or tokenizer.post_processor is not None:
        return None
    if any(token.normalized or token.single_word for token in added):
        return (
            None  # found in the normalised text, so looking for them in the raw one is not enough
        )
    normalizer, cut = (json.loads(part.__getstate__()) for part in parts)
    word_by_word = (
        normalizer["type"] == "BertNormalizer"
        and normalizer["clean_text"]
        and cut["type"] == "BertPreTokenizer"
    )
    return dict(normalizer) if word_by_word else None


def pad(rows: Sequence[Sequence[int]]) -> tuple[IntArray, IntArray]:
    """Return ``input_ids`` and ``attention_mask``, both int64 of shape (n_rows, longest row, at
    least 1).
    """
    if isinstance(rows, TokenRows):
        is_token = np.arange(rows.lengths.max(initial=1)) < rows.lengths[:, None]
        ids = np.zeros(is_token.shape, dtype=np.int64)
        ids[is_token] = rows.flat
        return ids, is_token.astype(np.int64)
    width = max((len(row) for row in rows), default=0) or 1
    ids = np.zeros((len(rows), width), dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return ids, mask
