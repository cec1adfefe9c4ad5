"""One writer a task: each returns the wish of a user, the material it is about, and how much it
asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tools.sample_traffic.passages import clauses, lines, message, notes, record
from tools.sample_traffic.pen import Pen, words
from tools.sample_traffic.request import Draft, Load

LANGUAGE_SHARE = 0.08
"""Share of requests in other languages than English."""
RARE_SHARE = 0.22
"""Share of requests about a rare topic; in some of them, nothing of it shows."""
LONG_SHARE = 0.05
"""Share of the documents to summarise that are long."""
# How often a request asks for little, for some more, for a lot.
_LEVELS: Mapping[str, Mapping[str, float]] = {
    "classify": {"light": 0.76, "medium": 0.18, "heavy": 0.06},
    "extract": {"light": 0.66, "medium": 0.24, "heavy": 0.10},
    "summarize": {"light": 0.68, "medium": 0.22, "heavy": 0.10},
    "question answering": {"light": 0.70, "medium": 0.20, "heavy": 0.10},
    "code": {"light": 0.50, "medium": 0.25, "heavy": 0.25},
    "multi-step planning": {"light": 0.25, "medium": 0.40, "heavy": 0.35},
}
_QUESTIONS = {
    "everyday": 0.46,
    "passage": 0.22,
    "arithmetic_one": 0.13,
    "arithmetic_two": 0.11,
    "logic": 0.08,
}
_RARE_QUESTIONS = {"passage": 0.4, "expert": 0.6}
_CODE = {"easy": 0.34, "explain": 0.15, "fix": 0.20, "query": 0.13, "hard": 0.18}


def about_some_topic(pen: Pen) -> tuple[Pen, bool]:
    """Return a pen that knows one topic, and whether that topic is a rare one."""
    rare = pen.chance(RARE_SHARE)
    topics = words("topics")["rare" if rare else "routine"]
    return Pen(pen.rng, topics[pen.pick(list(topics))]), rare


def write(pen: Pen, task: str, *, rare: bool) -> Draft:
    """Return a draft for the task, in English or, for a share of them, in another language.

    Parameters
    ----------
    pen : Pen
        A pen that knows a topic.
    task : str
        One of ``TASKS``.
    rare : bool
        Whether the topic is a rare one: then nobody asks everyday questions.
    """
    return _foreign(pen, task) if pen.chance(LANGUAGE_SHARE) else _WRITERS[task](pen, rare)


def _classify(pen: Pen, rare: bool) -> Draft:
    book = words("classify")
    kind = book[pen.pick(("queue", "sentiment", "intent", "priority", "check"))]
    names = pen.sample(kind["labels"], pen.between(3, 7))
    rules, load = _rules(pen, "classify")
    irony = pen.chance(0.12)
    ask = pen.using(labels=_listed(pen, names)).line(kind["frames"])
    return Draft(
        ask=_joined(ask, rules),
        material=message(pen, irony=irony),
        load=load + Load(logic=int(irony)),
    )


def _extract(pen: Pen, rare: bool) -> Draft:
    book = words("extract")
    rules, load = _rules(pen, "extract")
    kind = pen.pick(("message", "notes") if rare else ("record", "message", "notes"))
    material = {"record": record, "message": message, "notes": notes}[kind](pen)
    names = pen.sample(book["fields"][kind], pen.between(2, 4) + load.steps // 2)
    if rare:
        names.append(pen.line(book["rare_fields"]))
    ask = pen.using(fields=_listed(pen, names), sort=book["sorts"][kind]).line(book["frames"])
    return Draft(ask=_joined(ask, rules), material=material, load=load)


def _summarize(pen: Pen, rare: bool) -> Draft:
    rules, load = _rules(pen, "summarize")
    material = (
        notes(pen, length=pen.between(25, 62), headed=True)
        if pen.chance(LONG_SHARE)
        else notes(pen, length=pen.between(4, 9), headed=True)
    )
    return Draft(
        ask=_joined(pen.line(words("summarize")["frames"]), rules), material=material, load=load
    )


def _answer(pen: Pen, rare: bool) -> Draft:
    book = words("questions")
    kind = pen.weighted(_RARE_QUESTIONS if rare else _QUESTIONS)
    rules, load = _rules(pen, "question answering", key="questions")
    load = load + Load(
        arithmetic={"arithmetic_one": 1, "arithmetic_two": 2}.get(kind, 0),
        logic=2 if kind == "logic" else 0,
    )
    material = clauses(pen) if kind == "passage" else ""
    return Draft(
        ask=_joined(Pen(pen.rng, *pen.slots, book).line(book[kind]), rules),
        material=material,
        load=load,
    )


def _code(pen: Pen, rare: bool) -> Draft:
    book = words("code")
    pen = Pen(
        pen.rng,
        {"ident": [pen.pick(book["ident"])], "field": pen.sample(book["field"], 3)},
        *pen.slots,
        book,
    )
    kind = pen.weighted(_CODE)
    rules, load = _rules(pen, "code")
    ask = _joined(pen.line(book[kind]), rules)
    if kind == "query" and pen.chance(0.35):
        ask, load = (
            _joined(pen.using(report=book["hard_report"]).line(book[kind]), rules),
            load + Load(logic=1),
        )
    snippets = _snippets(pen, kind)
    code_lines = sum(snippet.count("\n") + 1 for snippet in snippets)
    return Draft(
        ask=ask, material="\n".join(snippets), load=load, rare=kind == "hard", code_lines=code_lines
    )


def _plan(pen: Pen, rare: bool) -> Draft:
    book = words("planning")
    rules, load = _rules(pen, "multi-step planning", key="planning")
    ask = pen.using(goal=book["goal"]).line(book["frames"])
    material = notes(pen, length=pen.between(2, 6)) if pen.chance(0.35) else ""
    return Draft(ask=_joined(ask, rules), material=material, load=load)


def _foreign(pen: Pen, task: str) -> Draft:
    books = words("languages")
    book = books[pen.weighted({name: book["share"] for name, book in books.items()})]
    pen = Pen(pen.rng, {name: choices for name, choices in book.items() if name != "share"})
    wishes = pen.sample(book["wishes"], pen.between(0, 3))
    frames = book[
        {"question answering": "question", "multi-step planning": "planning"}.get(task, task)
    ]
    material = " ".join(lines(pen, book["sentences"], pen.between(3, 6)))
    return Draft(
        ask=_joined(pen.line(frames), wishes),
        material=material,
        load=Load(steps=len(wishes)),
        foreign=True,
    )


_WRITERS: Mapping[str, Callable[[Pen, bool], Draft]] = {
    "classify": _classify,
    "extract": _extract,
    "summarize": _summarize,
    "question answering": _answer,
    "code": _code,
    "multi-step planning": _plan,
}


def _rules(pen: Pen, task: str, *, key: str = "") -> tuple[list[str], Load]:
    """Return further wishes in random order, and what they add up to."""
    book: Mapping[str, Any] = words(key or task)["rules"]
    load = _load(pen, task, book)
    easy = pen.between(0, 2) if not load.steps else pen.between(0, 1)
    counts = {"easy": easy, "steps": load.steps, "arithmetic": load.arithmetic, "logic": load.logic}
    chosen = [
        pen.fill(rule)
        for name, count in counts.items()
        for rule in pen.sample(book.get(name, []), count)
    ]
    return pen.sample(chosen, len(chosen)), load


def _load(pen: Pen, task: str, book: Mapping[str, Any]) -> Load:
    level = pen.weighted(_LEVELS[task])
    if level == "light":
        return Load()
    low, high, often = (1, 2, 0.2) if level == "medium" else (3, 5, 0.6)
    return Load(
        steps=pen.between(low, high),
        arithmetic=int("arithmetic" in book and pen.chance(often)),
        logic=int("logic" in book and pen.chance(often)),
    )


def _snippets(pen: Pen, kind: str) -> list[str]:
    count = {"explain": pen.between(1, 3), "fix": pen.between(1, 4), "hard": pen.between(0, 2)}.get(
        kind, 0
    )
    return [
        f"```\n{pen.fill(snippet).strip()}\n```"
        for snippet in pen.sample(words("code")["snippets"], count)
    ]


def _listed(pen: Pen, names: Sequence[str]) -> str:
    return (
        ", ".join(names)
        if pen.chance(0.4)
        else ", ".join(names[:-1]) + pen.pick((" or ", " and ", " / ")) + names[-1]
    )


def _joined(ask: str, rules: Sequence[str]) -> str:
    return " ".join([ask, *rules])
