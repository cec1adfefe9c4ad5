"""What each of the two models takes: the policy's section ``eligibility``.

Nothing here is guessed. What is not stated of a model is not known, and unknown is not zero: which
way an unknown turns stands at each field, always the one in which nothing can fail that the rule
could have kept from failing.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from difficulty.form import Form, at_least, matching

MODALITIES = ("text", "image", "audio", "video", "file")
UNSTATED_CONTEXT = 32_768
"""Tokens, with room for the answer, past which the cheap model is not known to take a request where
nobody stated its window. The frontier model is where requests go that nothing is known of, so it
has no such limit.
"""
ANSWER_TOKENS = 1_024
"""Room for the answer where neither the request nor the policy says."""

Modality = Literal["text", "image", "audio", "video", "file"]
_Tag = Annotated[str, matching(r"\S(.{0,98}\S)?", text="be a tag of 1 to 100 characters")]
_Language = Annotated[
    str, matching("[a-z]{2,3}", text="be a language's code in lower case, such as de")
]


@dataclass(frozen=True, kw_only=True)
class ModelLimits(Form):
    """What one of the two models takes; ``None``: not stated."""

    context_tokens: Annotated[int, at_least(1)] | None = None
    """Window in tokens, that of the answer included. Not stated: of the cheap model 32,768, of the
    frontier model any number.
    """
    modalities: tuple[Modality, ...] | None = None
    """What may stand in a request beside text. Not stated: of the cheap model text alone, of the
    frontier model everything.
    """
    tools: bool | None = None
    """Whether it takes ``tools``, calls and their results. Not stated: it does."""
    json_schema: bool | None = None
    """Whether it keeps to a JSON schema that the request names. Not stated: it does."""
    languages: tuple[_Language, ...] | None = None
    """Languages that it takes, for requests that say theirs. Not stated: all."""
    residency: tuple[_Tag, ...] | None = None
    """Tags of where it runs and under which terms (``eu``): a request that demands a tag goes only
    to a model that has it. Not stated: it has none.
    """

    def as_dict(self, *, without: Container[str] = ()) -> dict[str, Any]:
        """Return the JSON form; what is not stated is left out."""
        content = super().as_dict(without=without)
        return {name: value for name, value in content.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Eligibility(Form):
    """What the two models take."""

    cheap: ModelLimits = ModelLimits()
    frontier: ModelLimits = ModelLimits()
    answer_tokens: Annotated[int, at_least(0)] = ANSWER_TOKENS
    """Room for the answer where the request names no ``max_tokens``."""

    @cached_property
    def least_room(self) -> int:
        """Tokens that the smaller of the windows leaves for a prompt."""
        cheap, frontier = self.cheap.context_tokens, self.frontier.context_tokens
        windows = (UNSTATED_CONTEXT if cheap is None else cheap, frontier)
        return min(each for each in windows if each is not None) - self.answer_tokens
