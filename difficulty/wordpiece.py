"""WordPiece by looking whole words up: the same ids as the tokenizer's, several times as fast.

A BERT tokenizer (``BertNormalizer``, ``BertPreTokenizer``, ``WordPiece``) cuts a text at white
space, ASCII text around each punctuation mark too, and makes the ids of a piece from that piece
alone. So what was met before needs no tokenizer: its ids are kept. Texts that the rule does not
cover (control characters, literal added tokens, many new words of other scripts), and all texts of
other tokenizers, are left to the tokenizer.
"""

from __future__ import annotations

import json
import re
from itertools import chain

from tokenizers import Tokenizer
from tokenizers.models import WordPiece

_WORDS = re.compile(r"[0-9A-Za-z]+|[!-/:-@\[-`{-~]")
_MIXED = re.compile(
    r"(?<![^ \t\n\r])[^ \t\n\r]*[^\x00-\x7f][^ \t\n\r]*|[0-9A-Za-z]+|[!-/:-@\[-`{-~]"
)
"""Other scripts are cut at white space alone: a piece with any such letter is one whole. Looked for
where a piece begins and nowhere else, or a long piece without one would be read again from each of
its characters."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MOST_KEPT = 50_000
_LONGEST_KEPT = 40
_MOST_ASKED = 4
"""A text with more new pieces of other scripts than this is quicker through the tokenizer as a
whole.
"""


class WordIds:
    """Ids of texts, for tokenizers that make them word by word; safe to use from several threads.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
        Loaded tokenizer, which neither truncates nor pads.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        settings = _settings(tokenizer)
        self.covered = bool(settings) and isinstance(tokenizer.model, WordPiece)
        """Whether the tokenizer is one that this class knows."""
        self._added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        self._kept = _Kept(tokenizer, lowercase=bool(settings and settings["lowercase"]))

    def __call__(self, text: str) -> list[int] | None:
        """Return the ids of a text, or ``None`` where the tokenizer has to be asked."""
        if (
            not self.covered
            or _CONTROLS.search(text)
            or any(token in text for token in self._added)
        ):
            return None
        if text.isascii():
            words = _WORDS.findall(text)
        else:
            words = _MIXED.findall(text)
            new = [word for word in words if word not in self._kept and not word.isascii()]
            if len(new) > _MOST_ASKED:
                for word in new[:_MOST_ASKED]:
                    self._kept[word]
                return None
        return list(chain.from_iterable(map(self._kept.__getitem__, words)))

    def forget(self) -> None:
        """Drop what is kept."""
        self._kept.clear()


class _Kept(dict[str, tuple[int, ...]]):
    """Ids by word; a word that is not kept yet is asked for. Begun anew when full, so that it
    cannot grow without end.
    """

    def __init__(self, tokenizer: Tokenizer, *, lowercase: bool) -> None:
        self._tokenizer = tokenizer
        self._model = tokenizer.model
        self._lowercase = lowercase

    def __missing__(self, word: str) -> tuple[int, ...]:
        ids = self._ask(word)
        if len(word) <= _LONGEST_KEPT:
            if len(self) >= _MOST_KEPT:
                self.clear()
            self[word] = ids
        return ids

    def _ask(self, word: str) -> tuple[int, ...]:
        if not word.isascii():
            return tuple(self._tokenizer.encode_batch_fast([word])[0].ids)
        return tuple(
            token.id for token in self._model.tokenize(word.lower() if self._lowercase else word)
        )


def _settings(tokenizer: Tokenizer) -> dict[str, object] | None:
    """Return the normaliser's settings of a tokenizer whose ids are made word by word; ``None`` for
    any other.
    """
    if (
        tokenizer.normalizer is None
        or tokenizer.pre_tokenizer is None
        or tokenizer.post_processor is not None
    ):
        return None
    if any(
        token.normalized or token.single_word
        for token in tokenizer.get_added_tokens_decoder().values()
    ):
        return None
    normalizer, cut = (
        json.loads(part.__getstate__()) for part in (tokenizer.normalizer, tokenizer.pre_tokenizer)
    )
    if (
        normalizer["type"] != "BertNormalizer"
        or not normalizer["clean_text"]
        or cut["type"] != "BertPreTokenizer"
    ):
        return None
    return dict(normalizer)
