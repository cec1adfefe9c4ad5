"""Text that comes along with an ask: reminders of an agent, retrieved passages, quoted mail,
earlier turns, schemas of tools.

All of it is made here, from sentences with slots, so that any amount can be made and hardly two
requests get the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

Rng = np.random.Generator
PASSAGE_CHARS = 3_000
"""Retrieved text in front of a request."""
LONG_PASSAGE_CHARS = 12_000
_PLACES = (
    "the harbour", "the old mill", "the northern valley", "the market square", "the island",
    "the botanical garden", "the railway station", "the coastal road", "the town hall",
    "the lighthouse", "the river bend", "the concert hall", "the upper village", "the museum",
)  # fmt: skip
_THINGS = (
    "wool blankets", "copper kettles", "apple trees", "fishing boats", "church bells",
    "paper lanterns", "oak barrels", "wooden bridges", "bicycles", "clay tiles", "beehives",
    "rope ferries", "printed maps", "glass bottles", "stone walls", "weather stations",
)  # fmt: skip
_PEOPLE = (
    "a retired carpenter", "the parish council", "two sisters from the next town", "the baker",
    "a young surveyor", "the harbour master", "a choir of forty", "the gardeners", "visitors",
    "the local newspaper", "a teacher on leave", "the ferry company", "several families",
)  # fmt: skip
_SENTENCES = (
    "In {year}, {people} brought {number} {things} to {place}, and most of them are still there.",
    "Travellers who reach {place} in {season} often remark on the {things} along the way.",
    "{People} kept a diary of the repairs, which mentions {things} on nearly every page.",
    "The path from {place} to {other} takes about {number} minutes when the ground is dry.",
    "A fire in {year} destroyed the archive, so little is known of the {things} made before.",
    "Every {season}, {people} and their neighbours meet at {place} for a modest supper.",
    "The collection holds {number} {things}, some of them on loan from {other}.",
    "It rained for {number} days that {season}, and the {things} had to be stored at {place}.",
    "Prices of {things} doubled between {year} and the opening of {place}.",
    "According to {people}, the name of {place} goes back to a word for shallow water.",
    "Repainting began in {season} and was finished by {people} within {number} weeks.",
    "The guide recommends {place} in the morning, when the light falls on {other}.",
    "Since {year} the trust has planted {number} trees between {place} and {other}.",
    "Nobody expected {things} to sell, yet {people} ordered another {number} of them.",
    "A narrow staircase behind {place} leads to a room where {things} were once mended.",
    "Letters from {year} describe {people} waiting at {place} for the evening post.",
)
_ABOUT = (
    "The entry on {a} begins with a short history and then turns to {b}.",
    "Most handbooks treat {a} together with {b}, although the two are easily confused.",
    "When {a} is mentioned in older sources, {b} is usually meant as well.",
    "This section lists common questions about {a}, {b} and related matters.",
    "A table of terms explains {a} in one line and refers the reader to {b}.",
    "In practice {a} matters less than {b}, a point that the next chapter takes up again.",
    "The lecture notes define {a} first; examples with {b} follow on the second page.",
    "Several authors disagree on how {a} should be taught beside {b}.",
    "For {a} see also the summary at the end, which compares it with {b}.",
    "Students are advised to learn {a} before {b} and to solve the exercises on both.",
)
_REMINDERS = (
    "The todo list of this session is empty. Do not mention that to the user. If the work at hand"
    " has several steps, keep such a list; otherwise go on as before.",
    "The working copy has changed since it was last read: src/settings.ts and two tests. Take that"
    " into account where it matters, and do not tell the user, who knows it.",
    "Plan mode is off. You may edit files and run commands. Prefer the smallest change that does"
    " the work, never commit unless you are asked to, and run the linter when you are done.",
    "Files of this project follow the conventions in CONTRIBUTING.md. The context that follows may"
    " or may not be relevant to your task; do not respond to it unless it is.",
)
_SENDERS = ("Martin", "Joanna", "the facilities team", "Dr. Okafor", "Lena", "support")
_MAILS = (
    "thanks for getting back so quickly. I have moved our call to Thursday, as two of us are"
    " travelling on Wednesday.",
    "please find below what was agreed last week. Nothing in it is urgent, but I would like to"
    " close it before the end of the month.",
    "the parking garage stays closed until further notice. Visitors can use the spaces behind the"
    " canteen.",
    "I attach the minutes. If anything is missing, tell me by Friday; after that they go to the"
    " archive.",
    "as far as I remember we ordered twelve of them, and ten have arrived. Could you check with the"
    " supplier?",
)
_TURNS = (
    ("Which day suits you for the review?", "Tuesday or Thursday, both in the morning."),
    ("Can you suggest a title for my newsletter?", 'How about "Notes from the Workshop"?'),
    ("Is it going to be cold in the hills at night?", "In autumn it often is, so take a jacket."),
    ("Make my last sentence sound friendlier.", 'Sure: "We would love to see you there!"'),
    ("How do I reset the coffee machine?", "Hold the left button for five seconds, then let go."),
    ("What should I cook for six people?", "A vegetable lasagne is easy and feeds six."),
)
_TOOLS = (
    ("list_calendar_events", "List what stands in a calendar on a day.", ("date", "calendar")),
    ("send_message", "Send a short message to a colleague.", ("recipient", "text")),
    ("read_file", "Return the content of a file of the workspace.", ("path", "first_line")),
    ("search_documents", "Search the company's documents.", ("query", "limit")),
    ("create_ticket", "Open a ticket for the support team.", ("title", "priority")),
    ("run_command", "Run a command in the workspace's shell.", ("command", "timeout_s")),
    ("convert_currency", "Convert an amount between currencies.", ("amount", "currency")),
    ("get_weather", "Return the forecast for a place.", ("place", "days")),
)
_WORD = re.compile(r"[^\W\d_]{5,}")


def write_reminder(rng: Rng) -> str:
    """Return a coding agent's reminder, in its tag."""
    return (
        f"<system-reminder>\n{_REMINDERS[int(rng.integers(len(_REMINDERS)))]}\n</system-reminder>"
    )


def write_passages(rng: Rng, *, n_chars: int, about: str = "", tagged: bool) -> str:
    """Return retrieved passages of about ``n_chars`` code points.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_chars : int
    about : str
        An ask whose longer words the passages take up; empty: they have nothing to do with it.
    tagged : bool
        Whether they stand in tags as documents, or are paragraphs without any mark.
    """
    terms = list(dict.fromkeys(_WORD.findall(about)))
    passages: list[str] = []
    while sum(map(len, passages)) < n_chars:
        left = n_chars - sum(map(len, passages))
        passages.append(_passage(rng, terms, n_chars=min(left, int(rng.integers(500, 900)))))
    if not tagged:
        return "\n\n".join(passages)
    documents = (
        f'<document index="{number}">\n{passage}\n</document>'
        for number, passage in enumerate(passages, start=1)
    )
    return "\n".join(["<context>", *documents, "</context>"])


def _passage(rng: Rng, terms: Sequence[str], *, n_chars: int) -> str:
    sentences: list[str] = []
    while sum(map(len, sentences)) + len(sentences) < n_chars:
        if len(terms) > 1 and rng.random() < 0.6:
            first, second = rng.choice(len(terms), size=2, replace=False)
            sentence = _ABOUT[int(rng.integers(len(_ABOUT)))]
            sentences.append(sentence.format(a=terms[first], b=terms[second]))
        else:
            sentences.append(_sentence(rng))
    return " ".join(sentences)


def _sentence(rng: Rng) -> str:
    place, other = rng.choice(len(_PLACES), size=2, replace=False)
    people = _PEOPLE[int(rng.integers(len(_PEOPLE)))]
    return _SENTENCES[int(rng.integers(len(_SENTENCES)))].format(
        place=_PLACES[place],
        other=_PLACES[other],
        people=people,
        People=people[0].upper() + people[1:],
        things=_THINGS[int(rng.integers(len(_THINGS)))],
        number=int(rng.integers(3, 180)),
        year=int(rng.integers(1790, 1995)),
        season=("spring", "summer", "autumn", "winter")[int(rng.integers(4))],
    )


def write_quoted_mail(rng: Rng) -> str:
    """Return a thread of two mails, quoted as mail programs do."""
    lines: list[str] = []
    for depth in (1, 2):
        sender = _SENDERS[int(rng.integers(len(_SENDERS)))]
        day, hour = int(rng.integers(1, 29)), int(rng.integers(7, 19))
        mark = "> " * depth
        lines += [
            f"{'> ' * (depth - 1)}On {day:02} March at {hour:02}:15, {sender} wrote:",
            f"{mark}Hello,",
            f"{mark}{_MAILS[int(rng.integers(len(_MAILS)))]}",
            f"{mark}Kind regards",
        ]
    return "\n".join(lines)


def write_earlier_turns(rng: Rng) -> list[dict[str, str]]:
    """Return two questions of the user with their answers, about something else."""
    chosen = rng.choice(len(_TURNS), size=2, replace=False)
    return [
        {"role": role, "content": text}
        for turn in chosen.tolist()
        for role, text in zip(("user", "assistant"), _TURNS[turn], strict=True)
    ]


def write_tool_schemas(rng: Rng) -> str:
    """Return a system message with JSON schemas of four to six functions."""
    chosen = rng.permutation(len(_TOOLS))[: int(rng.integers(4, 7))]
    schemas = [_schema(*_TOOLS[tool]) for tool in chosen.tolist()]
    listed = "\n".join(json.dumps(schema) for schema in schemas)
    return f"You may call these functions where they help:\n{listed}"


def _schema(name: str, description: str, parameters: Sequence[str]) -> dict[str, Any]:
    properties = {
        parameter: {"type": "string", "description": parameter.replace("_", " ").capitalize()}
        for parameter in parameters
    }
    return {
        "name": name,
        "description": description,
        "parameters": {"type": "object", "properties": properties, "required": [parameters[0]]},
    }
