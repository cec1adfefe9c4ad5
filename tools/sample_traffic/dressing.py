"""From a draft to a request: system message, earlier turns, habits of writing, gaps nobody can
fill, and requests sent again.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from difficulty.records import Message
from tools.sample_traffic.outcomes import HIDDEN_SD
from tools.sample_traffic.passages import lines
from tools.sample_traffic.pen import Pen, Slots, sentences, words
from tools.sample_traffic.request import Draft, Request, Traits

IMPOSSIBLE_SHARE = 0.05
"""Share of requests that no model can answer as they stand."""
CUSTOMERS = 800
_SYSTEM_SHARE, _TOOLS_SHARE, _TURNS_SHARE = 0.20, 0.06, 0.14
_NUMBER = re.compile(r"\d+")
_TYPING_SLIP = re.compile(r"([a-z])([a-z])(?=[a-z]{3})")


def dress(pen: Pen, draft: Draft, *, task: str, rare: bool, number: int) -> Request:
    """Return the finished request.

    Parameters
    ----------
    pen : Pen
        Source of chance and of words; it knows the topic.
    draft : Draft
        What the task's writer wrote.
    task : str
        The task, as the router knows it.
    rare : bool
        Whether the pen's topic is a rare one.
    number : int
        Names the conversation where the request belongs to one.
    """
    impossible = pen.chance(IMPOSSIBLE_SHARE)
    turns = _earlier_turns(pen) if pen.chance(_TURNS_SHARE) else []
    messages = (*_system(pen), *turns, Message("user", _wish(pen, draft, impossible=impossible)))
    text = "\n".join(message.content for message in messages)
    traits = Traits(
        task=task,
        load=draft.load,
        rare=draft.rare or (rare and _shows(pen.slots[0], text)),
        impossible=impossible,
        foreign=draft.foreign,
        n_words=len(text.split()),
        code_lines=draft.code_lines,
    )
    return Request(
        messages=messages,
        traits=traits,
        group=_group(pen, number, turns),
        hidden=float(pen.rng.normal(0.0, HIDDEN_SD)),
    )


def send_again(pen: Pen, request: Request) -> Request:
    """Return the request as its sender sends it once more: a word added or a number changed, all
    else equal.
    """
    *before, last = request.messages
    edit = pen.pick((_with_other_number, _with_thanks, _with_reminder))
    return replace(request, messages=(*before, Message(last.role, edit(pen, last.content))))


def _shows(topic: Slots, text: str) -> bool:
    """Whether some phrase of the topic stands in the text."""
    lowered = text.lower()
    return any(phrase.lower() in lowered for phrases in topic.values() for phrase in phrases)


def _wish(pen: Pen, draft: Draft, *, impossible: bool) -> str:
    book = words("dressing")
    gap = [pen.line(book["impossible"])] if impossible else []
    if draft.foreign:
        return _around(pen, " ".join([draft.ask, *gap]), draft.material)
    hello = [pen.line(book["hello"])] if pen.chance(0.16) else []
    thanks = [pen.line(book["thanks"])] if pen.chance(0.14) else []
    return _around(
        pen,
        _typed(pen, " ".join([*hello, sentences(" ".join([draft.ask, *gap])), *thanks])),
        draft.material,
    )


def _around(pen: Pen, ask: str, material: str) -> str:
    """Put the material below or above the wish."""
    if not material:
        return ask
    return f"{ask}\n\n{material}" if pen.chance(0.8) else f"{material}\n\n{ask}"


def _typed(pen: Pen, text: str) -> str:
    """Return the text as this user types: in lower case, with a slip, with an emoji, or as it
    is.
    """
    habit = pen.weighted({"plain": 0.83, "lower": 0.07, "slip": 0.07, "emoji": 0.03})
    if habit == "lower":
        return text.lower()
    if habit == "slip":
        return _TYPING_SLIP.sub(r"\2\1", text, count=pen.between(1, 2))
    return f"{text} {pen.pick(words('dressing')['emoji'])}" if habit == "emoji" else text


def _system(pen: Pen) -> list[Message]:
    tools = pen.chance(_TOOLS_SHARE)
    if not tools and not pen.chance(_SYSTEM_SHARE):
        return []
    text = " ".join(lines(pen, words("dressing")["system"], pen.between(1, 4)))
    return [Message("system", f"{text}\nTools:\n{json.dumps(_tools(pen))}" if tools else text)]


def _tools(pen: Pen) -> list[dict[str, Any]]:
    book = words("dressing")
    return [
        {
            "name": name,
            "description": pen.line(book["tool_purpose"]),
            "parameters": {
                key: pen.pick(("string", "number", "boolean"))
                for key in pen.sample(book["tool_parameter"], pen.between(1, 3))
            },
        }
        for name in pen.sample(book["tool_name"], pen.between(1, 4))
    ]


def _earlier_turns(pen: Pen) -> list[Message]:
    """Return 1 to 3 exchanges of user and assistant."""
    book = words("dressing")
    opening = Message(
        "user", sentences(" ".join(lines(pen, words("passages")["message"], pen.between(1, 2))))
    )
    turns = [opening, Message("assistant", sentences(pen.line(book["assistant"])))]
    for _ in range(pen.between(0, 2)):
        turns += [
            Message("user", pen.line(book["followup"])),
            Message("assistant", sentences(pen.line(book["assistant"]))),
        ]
    return turns


def _group(pen: Pen, number: int, turns: list[Message]) -> str:
    """Return the conversation, or else a customer: few of them send much, most send little."""
    return (
        f"conversation-{number:05d}"
        if turns
        else f"customer-{int(CUSTOMERS * pen.rng.random() ** 1.5):04d}"
    )


def _with_other_number(pen: Pen, text: str) -> str:
    return _NUMBER.sub(str(pen.between(2, 99)), text, count=1)


def _with_thanks(pen: Pen, text: str) -> str:
    return f"{text} {pen.line(words('dressing')['thanks'])}"


def _with_reminder(pen: Pen, text: str) -> str:
    return f"{pen.pick(('Again:', 'Once more:', 'Second try:', 'Please:', 'Reminder.'))} {text}"
