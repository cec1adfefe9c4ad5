"""What the made-up cheap model answers: short texts that now and then show that they failed.

An answer that failed shows a sign of it in six cases of ten, one that did not in one of twelve: a
calculation that is wrong, a text that breaks off, JSON that is none, a label with excuses, steps
that are missing. The rest of a failure shows in nothing, as with real models.
"""

from __future__ import annotations

import json
import re

import numpy as np

from tools.sample_traffic.pen import Pen
from tools.sample_traffic.request import Request

SHOWN_SHARE, FALSE_SHARE = 0.6, 0.08
"""Probability of a sign in an answer that failed, and in one that did not."""
UNKEPT_SHARE = 0.04
"""Share of the answers that nobody kept."""
_SENTENCE = re.compile(r"[^.!?\n]{20,90}[.!?]")
_WORD = re.compile(r"[A-Za-z]{4,}")
_NUMBER = re.compile(r"\b\d{1,4}\b")
_EXCUSES = (
    "I am not sure, but it might be",
    "This is unclear; perhaps it is",
    "It could be several of these, probably",
)
_STEPS = ("Collect", "Check", "Agree on", "Book", "Draft", "Send out", "Review", "Report on")


def draw_answer(request: Request, quality: float, rng: np.random.Generator) -> str | None:
    """Return what the cheap model answered with this quality, ``None`` where nobody kept it.

    Parameters
    ----------
    request : Request
        Answers speak of its words and numbers.
    quality : float
        In [0, 1]: an answer fails with what is missing to 1.
    rng : numpy.random.Generator
        Source of chance.
    """
    pen = Pen(rng)
    kept, failed = not pen.chance(UNKEPT_SHARE), not pen.chance(quality)
    signed = pen.chance(SHOWN_SHARE if failed else FALSE_SHARE)
    text = _WRITERS[request.traits.task](request.messages[-1].content, signed, pen)
    return text if kept else None


def _classify(asked: str, signed: bool, pen: Pen) -> str:
    label = pen.pick(_WORD.findall(asked) or ["other"]).lower()
    return f"{pen.pick(_EXCUSES)} {label}." if signed else label


def _extract(asked: str, signed: bool, pen: Pen) -> str:
    words, numbers = _WORD.findall(asked) or ["none"], _NUMBER.findall(asked) or ["0"]
    fields = {"name": pen.pick(words), "number": pen.pick(numbers), "note": pen.pick(words)}
    text = json.dumps(fields)
    return text[: pen.between(8, len(text) - 3)] if signed else text


def _summarize(asked: str, signed: bool, pen: Pen) -> str:
    sentences = _SENTENCE.findall(asked) or ["Nothing was decided yet."]
    chosen = [pen.pick(sentences).strip() for _ in range(2)]
    # A text that turns round itself, or breaks off.
    text = " ".join(chosen[:1] * 3 if signed and pen.chance(0.5) else dict.fromkeys(chosen))
    return text[: int(0.8 * len(text))] if signed else text


def _answer(asked: str, signed: bool, pen: Pen) -> str:
    numbers = [int(number) for number in _NUMBER.findall(asked)] or [12]
    left, right = pen.pick(numbers), pen.between(2, 29)
    wrong = pen.between(1, 19) if signed else 0
    result = left * right + wrong
    about = pen.pick(_WORD.findall(asked) or ["question"]).lower()
    return f"For the {about}: {left} * {right} = {result}, so the answer is {result}."


def _code(asked: str, signed: bool, pen: Pen) -> str:
    name = pen.pick(_WORD.findall(asked) or ["run"]).lower()
    body = "    pass  # TODO\n" if signed else "    return sorted(rows, key=len)\n"
    end = "" if signed and pen.chance(0.5) else "```"
    return f"```python\ndef {name}(rows):\n{body}{end}"


def _plan(asked: str, signed: bool, pen: Pen) -> str:
    words = _WORD.findall(asked) or ["work"]
    n = pen.between(1, 2) if signed else pen.between(5, 8)
    steps = [f"{at}. {pen.pick(_STEPS)} the {pen.pick(words)}." for at in range(1, n + 1)]
    return "\n".join(steps) + ("\nThe rest depends on what you need." if signed else "")


_WRITERS = {
    "classify": _classify,
    "extract": _extract,
    "summarize": _summarize,
    "question answering": _answer,
    "code": _code,
    "multi-step planning": _plan,
}
