"""The parity gate: the shipped scorer must give what the Python model gives, on every calibration
request and the tricky texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import ParityError
from difficulty.model.combination import Scores
from difficulty.recipe import ExportSettings

FloatArray = NDArray[np.float64]
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityReport:
    """How far the shipped scorer is from the Python model.

    Attributes
    ----------
    n : int
        Number of requests compared.
    max_difference : float
        Largest difference of any output on any request.
    flips : int
        Requests routed differently, farther from the threshold than the tolerance; where the
        encoder was made int8, all of them.
    encoder : str or None
        How the encoder was made int8, where it was.
    """

    n: int
    max_difference: float
    flips: int = 0
    encoder: str | None = None

    def joined(self, other: ParityReport) -> ParityReport:
        """Return the report on the requests of both."""
        largest = max(self.max_difference, other.max_difference)
        return replace(
            self, n=self.n + other.n, max_difference=largest, flips=self.flips + other.flips
        )


def compare(
    names: Sequence[str],
    python: Scores,
    shipped: dict[str, NDArray[np.float32]],
    settings: ExportSettings,
) -> ParityReport:
    """Compare every output on every request.

    Parameters
    ----------
    names : sequence of n str
        What to call the requests in the error.
    python, shipped
        Outputs of the Python model, and of the graph by name.

    Raises
    ------
    ParityError
        If any difference is above the tolerance or not a number; the message names the worst
        requests.
    """
    differences = [
        shipped[output].astype(np.float64) - expected
        for output, expected in python.by_name().items()
    ]
    return _checked(names, differences, settings, what="scorer")


def compare_outputs(
    names: Sequence[str],
    python: Mapping[str, NDArray[np.floating]],
    shipped: Mapping[str, NDArray[np.floating]],
    settings: ExportSettings,
    *,
    what: str,
) -> ParityReport:
    """Compare outputs of another graph than the scorer, by name; ``what`` is it called.

    Raises
    ------
    ParityError
        As :func:`compare`.
    """
    differences = [shipped[name].astype(np.float64) - values for name, values in python.items()]
    return _checked(names, differences, settings, what=what)


def compare_early(
    names: Sequence[str],
    python: FloatArray,
    shipped: NDArray[np.floating],
    settings: ExportSettings,
) -> ParityReport:
    """Compare the early score on every request.

    Raises
    ------
    ParityError
        As :func:`compare`.
    """
    return _checked(names, [shipped.astype(np.float64) - python], settings, what="early graph")


def _checked(
    names: Sequence[str], differences: Sequence[FloatArray], settings: ExportSettings, *, what: str
) -> ParityReport:
    """Return the report, or refuse."""
    worst = np.zeros(len(names))
    for difference in differences:
        # what is no number is farther off than anything
        worst = np.maximum(worst, np.where(np.isnan(difference), np.inf, np.abs(difference)))
    largest = float(worst.max(initial=0.0))
    if largest > settings.max_score_difference:
        listed = ", ".join(f"{names[i]} ({worst[i]:.2g})" for i in np.argsort(-worst)[:_SHOWN])
        raise ParityError(
            f"the exported {what} must stay within {settings.max_score_difference:g} of the Python"
            f" model: got {largest:.3g}. Worst requests: {listed}. Nothing was shipped."
        )
    return ParityReport(n=len(names), max_difference=largest)


def check_flips(
    names: Sequence[str],
    python: FloatArray,
    shipped: FloatArray,
    *,
    threshold: float | FloatArray,
    report: ParityReport,
    settings: ExportSettings,
) -> ParityReport:
    """Count decisions that differ, and refuse when they are more than the recipe allows;
    ``threshold`` is one for all or one each.

    A request within the tolerance of the threshold may fall on either side and is not counted.

    Raises
    ------
    ParityError
        If more decisions flip than ``max_flips`` allows.
    """
    clear = np.abs(python - threshold) > settings.max_score_difference
    flipped = np.flatnonzero(clear & ((python > threshold) != (shipped > threshold)))
    if len(flipped) > settings.max_flips * len(names):
        listed = ", ".join(names[i] for i in flipped[:_SHOWN])
        raise ParityError(
            f"the exported scorer may flip at most {settings.max_flips:g} of the decisions: got"
            f" {len(flipped)} of {len(names):,}. First: {listed}. Nothing was shipped."
        )
    return replace(report, flips=len(flipped))


# What tokenizers differ in; texts of our own, as every bundle carries them in golden.jsonl.
_TEXTS = {
    "plain": "What are the opening hours of the service desk?",
    "one-letter": "a",
    "numbers": "Add 17, 4.5 and -3, then divide by 0.25.",
    "question-marks": "??? !!! ...",
    "repeated-word": "again " * 40,
    "repeated-pair": "left right " * 30,
    "uppercase": "PLEASE SUMMARISE THE ATTACHED CONTRACT IN THREE SENTENCES.",
    "accents": "Où se trouve la clé de l'hôtel ? Ça coûte combien, à peu près ?",
    "accented-capitals": "ÉCOLE SUPÉRIEURE, ÅNGSTRÖM, ÑANDÚ, ÇA VA",
    "german": "Fasse die Beschwerde des Kunden über die Straßenbahn in zwei Sätzen zusammen.",
    "turkish": "İstanbul'dan Iğdır'a giden yol ne kadar sürer?",
    "greek": "Πόσο κοστίζει η αποστολή στην Αθήνα;",
    "russian": "Переведите это письмо на английский язык.",
    "arabic": "ما هو رقم الطلب الخاص بي؟",
    "hebrew": "מה שעות הפתיחה של המשרד?",
    "hindi": "कृपया इस अनुबंध का सारांश दीजिए।",
    "thai": "ช่วยสรุปเอกสารนี้ให้หน่อย",
    "chinese": "请把下面的合同总结成三句话。",
    "japanese": "この契約書を三文で要約してください。",
    "korean": "이 계약서를 세 문장으로 요약해 주세요.",
    "emoji": "Is this fine? 👍🏽👩‍👩‍👧‍👦 🏳️‍🌈 😀",
    "combining-marks": "e\u0301 a\u030a n\u0303 Z\u0351\u036b\u0343\u036a\u0302",
    "full-width": "ＡＢＣ　１２３",
    "ligatures": "ﬁnal ﬂight ½ ²",
    "zero-width": "zero\u200bwidth\u200djoiner\ufeffmark",
    "controls": "tab\there\nnew line\r\nbell\x07 null\x00 escape\x1b end",
    "spaces": "  leading,   inner\u00a0\u2003 and trailing   ",
    "special-tokens": "[CLS] first [SEP] second [PAD] [UNK] [MASK] <s> </s> <|endoftext|> ##ing",
    "long-word": "x" * 300,
    "lone-surrogate": "broken \ud83d half",
    "code": "def area(r):\n    return 3.14159 * r ** 2\n\nfor i in range(10):\n    print(area(i))",
    "json": '{"order": {"id": 1042, "lines": [{"sku": "A-1", "qty": 3}]}}',
    "sql": (
        "SELECT region, SUM(amount) FROM sales WHERE year = 2025 GROUP BY region HAVING SUM(amount)"
        " > 1000;"
    ),
    "html": "<table><tr><td>Total</td><td>&euro; 12</td></tr></table>",
    "maths": "Prove that √2 ∉ ℚ, given ∀ε>0 ∃δ>0.",
    "url": "Open https://example.com/a?b=c&d=%20e#f and list every link.",
    "planning": (
        "Plan a three-day offsite for 40 people: compare two venues, book travel within 20,000,"
        " then draft the agenda."
    ),
    "past-max-tokens": "step by step we move one box and then the next one " * 60,
    "past-max-chars": "A very long document. " * 2_000 + "Now answer: what is it about?",
}


def golden_requests(*, numbers: bool = False, sessions: bool = False) -> list[dict[str, Any]]:
    """Return the requests: ``id``, ``messages`` and, for some, ``task`` and ``given_tokens``; with
    ``numbers`` also some that offer functions, in ``tools`` or in a system message; with
    ``sessions`` also some that go on with one, as ``held`` says.
    """
    texts = [
        {"id": name, "messages": [{"role": "user", "content": text}]}
        for name, text in _TEXTS.items()
    ]
    return [
        *texts,
        *_CONVERSATIONS,
        *_UNSCORABLE,
        *(_offers() if numbers else ()),
        *(_further_steps() if sessions else ()),
    ]


_QUESTION = {"role": "user", "content": "Which label fits: invoice, complaint or order?"}
_CONVERSATIONS: list[dict[str, Any]] = [
    {
        "id": "system-and-user",
        "messages": [{"role": "system", "content": "You answer in one word."}, _QUESTION],
    },
    {
        "id": "turns",
        "messages": [
            {"role": "user", "content": "My parcel is late."},
            {"role": "assistant", "content": "I am sorry. What is the order number?"},
            {"role": "user", "content": "4711, and I want my money back."},
        ],
    },
    {
        "id": "parts",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What does the picture show?"},
                    {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
                    {"type": "text", "text": "Answer briefly."},
                ],
            }
        ],
    },
    {
        "id": "tool-call",
        "messages": [
            {"role": "user", "content": "What is the weather in Oslo?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}],
            },
            {"role": "tool", "content": "4 degrees, rain"},
        ],
    },
    {"id": "task-classify", "messages": [_QUESTION], "task": "classify"},
    {"id": "task-planning", "messages": [_QUESTION], "task": "multi-step planning"},
    {"id": "task-unknown", "messages": [_QUESTION], "task": "a task nobody listed"},
    {"id": "tokens-given", "messages": [_QUESTION], "task": "classify", "given_tokens": 12},
    {
        "id": "many-tokens-given",
        "messages": [_QUESTION],
        "task": "classify",
        "given_tokens": 100_000,
    },
]


def _offers() -> list[dict[str, Any]]:
    """Return requests that offer functions."""
    weather = {
        "name": "get_weather",
        "description": "Get the weather of a city on a day, in the unit that is asked for.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Name of the city"},
                "day": {"type": "string"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city"],
        },
    }
    booking = {
        "name": "bookMeetingRoom",
        "description": "Réserver une salle de réunion; book a meeting room for some people.",
        "parameters": {
            "type": "object",
            "properties": {
                "people": {"type": "array", "items": {"type": "string"}},
                "startTime": {"type": "string", "description": "When it begins, e.g. 14:30"},
                "minutes": {"type": "integer", "default": 30},
            },
            "required": ["people", "startTime"],
        },
    }
    tools = [{"type": "function", "function": each} for each in (weather, booking)]
    city = {"role": "user", "content": "What is the weather in Oslo and in Lima, each in celsius?"}
    room = {
        "role": "user",
        "content": "Book a room for Zoë, 'Kai' and Ana at 14:30. Then tell me, please: is it free?",
    }
    flat = {"name": "stop", "description": 7, "input_schema": {"properties": {"why": "text"}}}
    described = "Use these:\n" + "\n".join(json.dumps(each) for each in (weather, booking))
    return [
        {"id": "tools-one", "messages": [city], "tools": tools[:1]},
        {"id": "tools-two", "messages": [room], "tools": tools},
        {"id": "tools-task", "messages": [room], "tools": tools, "task": "classify"},
        {"id": "tools-flat", "messages": [_QUESTION], "tools": [flat, *tools]},
        {"id": "tools-many", "messages": [city], "tools": tools * 40},
        {"id": "tools-system", "messages": [{"role": "system", "content": described}, room]},
        {"id": "tools-none", "messages": [city], "tools": []},
        {"id": "tools-malformed", "messages": [city], "tools": [{"function": 3}, "stop", None]},
    ]


def _further_steps() -> list[dict[str, Any]]:
    """Return conversations that go on with a session on either route, warm and cold."""
    states = {
        "cheap": {"route": "cheap", "in_loop": True, "cached_tokens": 900, "idle_s": 2.5},
        "frontier": {"route": "frontier", "in_loop": True},
        "cold": {"route": "frontier", "in_loop": True, "idle_s": 1e9},
        "no-loop": {"route": "frontier"},
    }
    return [
        {**request, "id": f"session-{name}-{request['id']}", "held": held}
        for request in _CONVERSATIONS[:4]
        for name, held in states.items()
    ]


# docs/bundle.md says of each why: no text, only white space, or a picture alone.
_UNSCORABLE: list[dict[str, Any]] = [
    {"id": "empty", "messages": [{"role": "user", "content": ""}]},
    {"id": "blank", "messages": [{"role": "user", "content": " \n\t "}]},
    {"id": "no-messages", "messages": []},
    {"id": "null-content", "messages": [{"role": "user", "content": None}]},
    {
        "id": "image-only",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
                ],
            }
        ],
    },
]
