"""Requests with answers in which runtimes could differ; texts of our own, as every bundle with a
check carries them in ``golden_answers.jsonl``.
"""

from __future__ import annotations

from typing import Any

_WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Return the weather of a city on a day",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer", "default": 1},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city"],
        },
    },
}
_ORDER = {
    "type": "function",
    "function": {
        "name": "find_order",
        "description": "Find an order by its number",
        "parameters": {
            "type": "object",
            "properties": {"number": {"type": "integer"}, "open": {"type": "boolean"}},
            "required": ["number"],
        },
    },
}
_TOOLS = [_WEATHER, _ORDER]
_SUM = "A box holds 12 pencils. How many pencils do 7 boxes hold, if 5 pencils are lost?"
_CHOICE = "Which planet is the largest?\nA. Mars\nB. Jupiter\nC. Venus\nD. Mercury"
_RAIN = "Will it rain in Oslo in the next 3 days? Answer in celsius."
_TEXTS = {
    "plain": ("What are the opening hours of the desk?", "The desk is open from 9 to 17."),
    "empty": ("What are the opening hours of the desk?", ""),
    "blank": ("What are the opening hours of the desk?", " \n\t "),
    "one-letter": (_CHOICE, "B"),
    "option": (_CHOICE, "Jupiter is the largest planet, so the answer is (B)."),
    "other-option": (_CHOICE, "The answer is B. No, wait: actually the answer is E."),
    "worked": (_SUM, "7 * 12 = 84 pencils. 84 - 5 = 79 pencils.\n#### 79"),
    "worked-wrong": (_SUM, "7 * 12 = 94. Then 94 - 5 = 88, so the final answer is 88."),
    "boxed": (_SUM, "We have $7 \\times 12 - 5 = 79$, hence \\boxed{79}."),
    "fractions": ("What is a third of 2?", "2 / 3 = 0.67, that is 66.7 %, or \\frac{2}{3}."),
    "long-numbers": ("Add them.", "1" * 500 + " + " + "2" * 500 + " = " + "3" * 500),
    "chain": ("Simplify.", "a = b = c = " * 300 + "d"),
    "brackets": ("Close them.", "(" * 400 + "1" + ")" * 300 + " = 1"),
    "json": ("Return the order as JSON.", '{"answer": "4711", "reasoning": "It is 4711."}'),
    "broken-json": ("Return the order as JSON.", '{"answer": "4711", "reasoning": "It'),
    "fence": ("Write a loop.", "```python\nfor i in range(3):\n    print(i)\n```"),
    "cut-off": ("List the steps.", "1. Open the lid.\n2. Take out the old filter and"),
    "hedges": ("Is it so?", "It might be, perhaps; however, I am not sure. Let me check again."),
    "refusal-text": ("Do it.", "I'm sorry, but I cannot help with that."),
    "copied": ("Say this again: the red fox runs.", "Say this again: the red fox runs."),
    "repeated": ("Name colours.", "red green blue " * 200),
    "past-the-limit": ("Tell a story.", "And then one more thing happened. " * 300 + "The end."),
    "german": ("Wie lange dauert die Lieferung?", "Die Lieferung dauert drei bis fünf Tage."),
    "russian": ("Сколько будет 2 и 2?", "Будет 2 + 2 = 4."),
    "chinese": ("七乘以八是多少？", "七乘以八等于五十六。7 × 8 = 56"),
    "arabic": ("كم يساوي اثنان زائد اثنين؟", "الجواب هو ٤"),
    "emoji": ("Is this fine? 😀", "👍🏽 Yes!"),
    "old-calls": (_RAIN, '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}'),
    "surrogate": ("Say it.", "half a \ud83d sign"),
}
_CALLS: dict[str, list[tuple[str, str]]] = {
    "call": [("get_weather", '{"city": "Oslo", "days": 3, "unit": "celsius"}')],
    "call-of-no-tool": [("get_rain", '{"city": "Oslo"}')],
    "call-without-required": [("get_weather", '{"days": 3}')],
    "call-of-wrong-types": [("get_weather", '{"city": 5, "days": "3", "unit": "kelvin"}')],
    "call-that-is-no-json": [("get_weather", '{"city": "Oslo"')],
    "calls": [("get_weather", '{"city": "Oslo"}'), ("find_order", '{"number": 4711}')],
    "same-call-twice": [("find_order", '{"number": 3}'), ("find_order", '{"number": 3}')],
}


def golden_cases() -> list[dict[str, Any]]:
    """Return the cases: ``id``, ``body`` (a chat completion request) and ``answer`` (an assistant
    message).
    """
    texts = [_case(name, asked, content=answer) for name, (asked, answer) in _TEXTS.items()]
    calls = [
        _case(name, _RAIN, tools=_TOOLS, content=None, tool_calls=[*map(_as_call, listed)])
        for name, listed in _CALLS.items()
    ]
    return [
        *texts,
        *calls,
        _case("prose-for-a-call", _RAIN, tools=_TOOLS, content="It will rain on 2 of 3 days."),
        _case(
            "prose-beside-a-call",
            _RAIN,
            tools=_TOOLS,
            content="Let me look.",
            tool_calls=[_as_call(("get_weather", '{"city": "Oslo"}'))],
        ),
        _case("refusal-field", "Do it.", content=None, refusal="I cannot do that."),
        _case("task", _SUM, task="classify", content="79"),
    ]


def _case(
    name: str,
    asked: str,
    *,
    tools: list[Any] | None = None,
    task: str | None = None,
    **message: Any,
) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": asked}]}
    if tools:
        body["tools"] = tools
    case = {"id": name, "body": body, "answer": {"role": "assistant", **message}}
    return case | ({"task": task} if task else {})


def _as_call(call: tuple[str, str]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": call[0], "arguments": call[1]}}
