"""A synthetic request: its messages, and the properties that make it hard."""

from __future__ import annotations

from dataclasses import dataclass

from difficulty.records import Message

TASKS = ("classify", "extract", "summarize", "question answering", "code", "multi-step planning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much is asked for beyond the plain task."""

    steps: int = 0
    """Constraints and further outputs."""
    arithmetic: int = 0
    """Calculations."""
    logic: int = 0
    """Exceptions, irony, conditions inside conditions."""

    def __add__(self, other: Load) -> Load:
        return Load(
            steps=self.steps + other.steps,
            arithmetic=self.arithmetic + other.arithmetic,
            logic=self.logic + other.logic,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """The properties that the difficulty is computed from; all of them show in the text."""

    task: str
    load: Load
    rare: bool = False
    """Speaks of a field that few people know."""
    impossible: bool = False
    """Refers to something that is not there, or contradicts itself."""
    foreign: bool = False
    """Not in English."""
    n_words: int = 0
    code_lines: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a writer hands over: the user's wish and the material it is about."""

    ask: str
    material: str = ""
    load: Load
    rare: bool = False
    """Whether the task itself is one that few people can do."""
    foreign: bool = False
    code_lines: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A finished request."""

    messages: tuple[Message, ...]
    traits: Traits
    group: str
    hidden: float
    """Difficulty that nothing in the text shows."""

    @property
    def text(self) -> str:
        """All messages, joined by a newline."""
        return "\n".join(message.content for message in self.messages)
