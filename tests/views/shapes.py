"""Ten shapes of requests as they really come, and the page that says what is read of each.

``python -m tests.views.shapes`` writes the parts of ``docs/requests.md`` that come from the code.
"""

import json
import re

from difficulty.text import TextView
from difficulty.views.boilerplate import LearnedView, hashes_of
from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "requests.md"
HOUSE = "You speak for the Nordlicht bank. Keep it short, and never promise a rate."
PLAIN = LearnedView()
TRAINED = LearnedView(
    frozenset({"system", "turns", "tool", "passage", "text", "mail", "trace", "code", "table"}),
    hashes_of(
        ["You speak for the Nordlicht bank.", "Keep it short, and never promise a rate."], b"0" * 16
    ),
    b"0" * 16,
)
PASSAGE = (
    "The night boat leaves the north pier at eleven and carries no cars. In winter it stays in"
    " harbour when the wind is above force eight, and the mail goes by helicopter. "
)
REMINDER = (
    "<system-reminder>\nThe open file has changed since you last read it. Read it again before you"
    " write, keep to the style guide, and do not mention this note.\n</system-reminder>"
)
MAIL = "\n".join(f"> {line}" for line in re.findall(".{1,60}", PASSAGE * 2))
TRACE = (
    'Traceback (most recent call last):\n  File "/srv/shop/orders.py", line 88, in total\n'
    "    return sum(line.price for line in lines)\n"
    '  File "/srv/shop/prices.py", line 12, in load\n    return parse(read(path))\n'
    '  File "/srv/shop/parsing.py", line 140, in parse\n    return float(text.strip())\n'
    "ValueError: could not convert string to float: 'n/a'"
)
TABLE = "\n".join(
    f"| {day} | {day * 31 % 97} boats | {day * 7 % 50} cars | wind from the west |"
    for day in range(1, 12)
)


def user(content):
    return {"role": "user", "content": content}


SHAPES = {
    "Coding agent with reminders": [
        user(f"Rename the field `sum` to `total` in orders.py and fix the tests.\n\n{REMINDER}")
    ],
    "Retrieved passages (RAG)": [
        user(f"<documents>\n{PASSAGE * 9}\n</documents>\n\nDoes the night boat run in a storm?")
    ],
    "The same without tags": [
        user("\n\n".join([PASSAGE * 3] * 4) + "\n\nDoes the night boat run in a storm?")
    ],
    "Quoted mail": [user(f"Please answer her that we take the morning boat instead.\n\n{MAIL}")],
    "Tool loop": [
        user("What is the weather in Oslo, and do I need a coat?"),
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}],
        },
        {"role": "tool", "content": "4 degrees, rain from noon"},
    ],
    "Image and question": [
        user(
            [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "text", "text": "Which of the two lines in this chart rises faster?"},
            ]
        )
    ],
    "Long document behind an instruction": [
        user(
            "Summarise the report below in three points for the board.\n\n"
            + "\n\n".join([PASSAGE * 3] * 6)
        )
    ],
    "House template": [
        {"role": "system", "content": HOUSE},
        user("Can I change the day on which my card is paid off?"),
    ],
    "Chat of several turns": [
        user("What does a season ticket for the ferry cost?"),
        {"role": "assistant", "content": "It is 84 euros a month, and 700 for a year."},
        user("And from how many trips a week on does it pay, if one trip costs 3.20?"),
    ],
    "Stack trace": [user(f"The nightly job stops since Monday. What should I look at?\n\n{TRACE}")],
    "Table": [user(f"On which day were the most boats in harbour?\n\n{TABLE}")],
}


def section(title, messages):
    """Return what the page says of one shape."""
    shown = json.dumps(messages, ensure_ascii=False)
    parts = [f"### {title}", "", f"`{_shortened(shown)}`", ""]
    for name, learned in (("plain traffic", PLAIN), ("traffic that has such requests", TRAINED)):
        view = TextView(2, learned=learned)(messages)
        left = ", ".join(f"{kind} {count:,}" for kind, count in view.masked) or "nothing"
        parts += [
            f"Trained on {name}: {len(view.text):,} of {view.total_chars:,} characters;"
            f" left out: {left}.",
            "",
            "```text",
            _shortened(view.text, lines=True),
            "```",
            "",
        ]
    return "\n".join(parts)


def _shortened(text, *, lines=False):
    text = text if lines else text.replace("`", "'")
    text = text.replace("```", "'''")
    return text if len(text) <= 420 else f"{text[:260]} [...] {text[-140:]}"


def page(content):
    """Return the page with its generated part made anew."""
    made = "\n".join(section(title, messages) for title, messages in SHAPES.items())
    begin, end = "<!-- shapes: made by python -m tests.views.shapes -->", "<!-- end of shapes -->"
    before, _, rest = content.partition(begin)
    return f"{before}{begin}\n\n{made}\n{end}{rest.partition(end)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
