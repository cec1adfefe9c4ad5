"""The material requests are about: messages of customers, notes, rules and records."""

from __future__ import annotations

from collections.abc import Sequence

from tools.sample_traffic.pen import Pen, sentences, words


def message(pen: Pen, *, irony: bool = False) -> str:
    """Return what a customer or colleague wrote, of 1 to 4 sentences."""
    book = words("passages")
    body = lines(pen, book["message"], pen.between(1, 4))
    if irony:
        body.insert(pen.between(0, len(body)), pen.line(book["irony"]))
    opening = [pen.line(book["opening"])] if pen.chance(0.5) else []
    closing = [pen.line(book["closing"])] if pen.chance(0.45) else []
    return sentences(pen.pick((" ", " ", "\n")).join([*opening, *body, *closing]))


def notes(pen: Pen, *, length: int = 0, headed: bool = False) -> str:
    """Return notes of ``length`` sentences, by default 2 to 5, in paragraphs."""
    book = words("passages")
    body = lines(pen, book["note"], length or pen.between(2, 5))
    heading = [pen.line(book["heading"])] if headed and pen.chance(0.7) else []
    return sentences("\n".join([*heading, *_paragraphs(pen, body)]))


def clauses(pen: Pen) -> str:
    """Return a piece of a policy or contract, of 3 to 7 rules."""
    body = lines(pen, words("passages")["clause"], pen.between(3, 7))
    if pen.chance(0.4):
        return sentences(
            "\n".join(
                f"{number}. {clause}"
                for number, clause in enumerate(body, start=pen.between(1, 14))
            )
        )
    return sentences(" ".join(body))


def record(pen: Pen) -> str:
    """Return 1 to 3 entries of an invoice, log, booking or the like."""
    return sentences("\n".join(lines(pen, words("passages")["record"], pen.between(1, 3))))


def lines(pen: Pen, templates: Sequence[str], count: int) -> list[str]:
    """Return ``count`` filled templates, none used again before all were."""
    chosen: list[str] = []
    while len(chosen) < count:
        chosen += pen.sample(templates, count - len(chosen))
    return [pen.fill(template) for template in chosen]


def _paragraphs(pen: Pen, body: Sequence[str]) -> list[str]:
    size = pen.between(1, 6)
    mark = pen.pick(("- ", "* ")) if size == 1 else ""
    return [mark + " ".join(body[start : start + size]) for start in range(0, len(body), size)]
