"""The perturbations by name, and how one is put on a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Literal

import numpy as np

from difficulty.perturb import added_text as added
from difficulty.perturb import surface_forms as surface

Rng = np.random.Generator
Messages = Sequence[Mapping[str, str]]
OfText = Callable[[str, Rng], str]
Change = Callable[[Messages, Rng], list[dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One way in which the same ask may come.

    Attributes
    ----------
    kind : {"surface", "instruction", "added"}
        Whether the look of the ask changes, an instruction joins it that asks for nothing new, or
        text comes along that is no part of it.
    about : str
        What it does, for people.
    change : callable
        From messages and a source of chance to messages.
    """

    kind: Literal["surface", "instruction", "added"]
    about: str
    change: Change


def perturb(
    name: str, requests: Sequence[Messages], *, ids: Sequence[str], seed: int = 0
) -> list[list[dict[str, str]]]:
    """Return requests under one perturbation.

    Parameters
    ----------
    name : str
        Of ``PERTURBATIONS``.
    requests : sequence of n lists of messages
    ids : sequence of n str
        Beside the seed all that chance depends on: a request gets the same whatever others there
        are.
    seed : int
    """
    change = PERTURBATIONS[name].change
    return [
        change(messages, _generator(f"{seed}:{name}:{row}"))
        for messages, row in zip(requests, ids, strict=True)
    ]


def _generator(key: str) -> Rng:
    return np.random.default_rng(int.from_bytes(sha256(key.encode()).digest()[:8], "big"))


def _ask_of(messages: Messages) -> int:
    """Return the place of the ask: the user's last message, else the last."""
    places = [place for place, message in enumerate(messages) if message["role"] == "user"]
    return places[-1] if places else len(messages) - 1


def _on_ask(change: OfText, messages: Messages, rng: Rng) -> list[dict[str, str]]:
    changed, place = [dict(message) for message in messages], _ask_of(messages)
    changed[place]["content"] = change(changed[place]["content"], rng)
    return changed


def _behind(write: Callable[[Rng], str], text: str, rng: Rng) -> str:
    return f"{text}\n\n{write(rng)}"


def _passages_before(
    text: str, rng: Rng, *, n_chars: int = added.PASSAGE_CHARS, relevant: bool, tagged: bool
) -> str:
    passages = added.write_passages(
        rng, n_chars=n_chars, about=text if relevant else "", tagged=tagged
    )
    return f"{passages}\n\n{text}"


def _turns_before(messages: Messages, rng: Rng) -> list[dict[str, str]]:
    place = _ask_of(messages)
    before, ask = messages[:place], messages[place:]
    return [*map(dict, before), *added.write_earlier_turns(rng), *map(dict, ask)]


def _tools_before(messages: Messages, rng: Rng) -> list[dict[str, str]]:
    return [{"role": "system", "content": added.write_tool_schemas(rng)}, *map(dict, messages)]


def _surface(about: str, change: OfText) -> Perturbation:
    return Perturbation("surface", about, partial(_on_ask, change))


def _instruction(about: str, change: OfText) -> Perturbation:
    return Perturbation("instruction", about, partial(_on_ask, change))


def _added(about: str, change: OfText) -> Perturbation:
    return Perturbation("added", about, partial(_on_ask, change))


def _retrieved(about: str, **options: bool | int) -> Perturbation:
    return _added(about, partial(_passages_before, **options))  # type: ignore[arg-type]


PERTURBATIONS: dict[str, Perturbation] = {
    "upper_case": _surface("all in capitals", surface.upper_case),
    "double_spaces": _surface("two spaces for one", surface.double_spaces),
    "trailing_newlines": _surface("one to three empty lines behind", surface.end_with_newlines),
    "typos": _surface("a typo in one letter of fifty", surface.make_typos),
    "polite": _surface("greetings and thanks", surface.add_polite_words),
    "markdown": _surface("a heading, bold and bullets", surface.write_as_markdown),
    "code_fence": _surface("in a code fence", surface.put_in_fence),
    "option_letters": _surface("A) for A. before options", surface.change_option_letters),
    "instruction_before": _instruction(
        "a general instruction in front", surface.put_instruction_before
    ),
    "step_by_step": _instruction("think step by step behind", surface.put_instruction_behind),
    "foreign_instruction": _instruction(
        "an instruction in another language in front", surface.put_foreign_instruction
    ),
    "reminder": _added(
        "a coding agent's system-reminder behind", partial(_behind, added.write_reminder)
    ),
    "relevant_tagged": _retrieved(
        "3,000 characters of passages with its words, tagged", relevant=True, tagged=True
    ),
    "relevant_untagged": _retrieved(
        "3,000 characters of passages with its words", relevant=True, tagged=False
    ),
    "unrelated_tagged": _retrieved(
        "3,000 characters of unrelated passages, tagged", relevant=False, tagged=True
    ),
    "unrelated_untagged": _retrieved(
        "3,000 characters of unrelated passages", relevant=False, tagged=False
    ),
    "long_untagged": _retrieved(
        "12,000 characters of unrelated passages",
        relevant=False,
        tagged=False,
        n_chars=added.LONG_PASSAGE_CHARS,
    ),
    "quoted_mail": _added("two quoted mails behind", partial(_behind, added.write_quoted_mail)),
    "earlier_turns": Perturbation("added", "two turns about something else", _turns_before),
    "tool_schemas": Perturbation(
        "added", "schemas of functions in a system message", _tools_before
    ),
}
"""By name; the order is that of tables."""
