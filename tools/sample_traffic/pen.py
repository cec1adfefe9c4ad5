"""A pen fills templates: text with slots such as ``$city`` or ``${10-99}``, each replaced by
something drawn.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import numpy as np

Slots = Mapping[str, Sequence[str]]
T = TypeVar("T")
_SLOT = re.compile(r"\$(?:\{(\d+)-(\d+)\}|([a-z][a-z_]*[a-z]))")
_SENTENCE_START = re.compile(r"(^|[.!?]\s+|\n)([a-z])(?![a-z]*[_(])")
_WRONG_ARTICLE = re.compile(r"\b([Aa]) (?=[aeio])")


@cache
def words(name: str) -> dict[str, Any]:
    """Return the templates of ``words/<name>.toml``, which travel inside the package."""
    return tomllib.loads(
        files(__package__).joinpath("words", f"{name}.toml").read_text(encoding="utf-8")
    )


class Pen:
    """Draws and writes with one source of chance.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where every choice comes from.
    *slots : mapping of str to sequence of str
        What ``$name`` may become; the first mapping that knows the name counts, the general
        vocabulary comes last.
    """

    def __init__(self, rng: np.random.Generator, *slots: Slots) -> None:
        self.rng = rng
        self.slots = slots

    def using(self, **slots: str | Sequence[str]) -> Pen:
        """Return a pen with the same chance in which these slots come first; a string is the only
        choice.
        """
        return Pen(
            self.rng,
            {name: (value,) if isinstance(value, str) else value for name, value in slots.items()},
            *self.slots,
        )

    def chance(self, probability: float) -> bool:
        """Return whether something with this probability happens."""
        return bool(self.rng.random() < probability)

    def between(self, low: int, high: int) -> int:
        """Return a whole number, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def pick(self, items: Sequence[T]) -> T:
        """Return one item."""
        return items[int(self.rng.integers(len(items)))]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """Return up to ``count`` different items in random order."""
        return [items[int(index)] for index in self.rng.permutation(len(items))[:count]]

    def weighted(self, weights: Mapping[str, float]) -> str:
        """Return one name, drawn with its weight."""
        edges = np.cumsum(list(weights.values()))
        return list(weights)[
            int(np.searchsorted(edges, self.rng.random() * edges[-1], side="right"))
        ]

    def fill(self, template: str) -> str:
        """Return the template with every slot filled, also the slots inside of what was filled in;
        a slot that comes twice gets something else the second time, where there is something else.
        """
        used: dict[str, list[str]] = {}
        return _SLOT.sub(lambda match: self._draw_slot(match, used), template)

    def line(self, templates: Sequence[str]) -> str:
        """Return one of the templates, filled."""
        return self.fill(self.pick(templates))

    def _draw_slot(self, match: re.Match[str], used: dict[str, list[str]]) -> str:
        low, high, name = match.groups()
        if not name:
            return str(self.between(int(low), int(high)))
        before = used.setdefault(name, [])
        choices = self._choices(name)
        chosen = self.pick([each for each in choices if each not in before] or choices)
        before.append(chosen)
        return self.fill(chosen)

    def _choices(self, name: str) -> Sequence[str]:
        for slots in (*self.slots, words("vocabulary")):
            if name in slots:
                choices: Sequence[str] = slots[name]
                return choices
        raise KeyError(name)


def sentences(text: str) -> str:
    """Return English prose with a capital letter at the start of each sentence, and "an" where "a"
    was drawn before a vowel.
    """
    return _SENTENCE_START.sub(
        lambda match: match[1] + match[2].upper(), _WRONG_ARTICLE.sub(r"\1n ", text)
    )
