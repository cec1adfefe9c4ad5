"""Who says how good answers are when labels are bought: a model, references, validators, a function
of the user's, or nobody yet, where people are to judge.
"""

from __future__ import annotations

import asyncio
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from difficulty.answers.answer import Answer, Asked
from difficulty.answers.pair import Pair
from difficulty.errors import InvalidValueError, TrafficError
from difficulty.gateway.validators import Checker
from difficulty.labelling.budget import Purse
from difficulty.labelling.buying import Shop
from difficulty.labelling.model_calls import CalledModel, ModelQuestion
from difficulty.labelling.verdicts import (
    OVERHEAD_BYTES,
    PairVerdict,
    answer_text,
    judge_question,
    read_verdict,
)
from difficulty.routes import Route, ValidatorRule
from difficulty.traffic.reading.column_names import REFERENCES

BOTH: tuple[Route, ...] = ("cheap", "frontier")
PEOPLE, EXACT, VALIDATORS, PYTHON = "people", "exact", "validators", "python:"
DEFAULT_RULES = tuple(ValidatorRule(check=check) for check in ("non_empty", "refusal", "tool_call"))
"""What is checked where no bundle says it: each may be asked of any answer."""
# No tokenizer in use puts more on average; where an answer has more, money is asked for anew.
_BYTES_A_TOKEN = 8
_UNREADABLE_AFTER = 20
"""Pairs after which a judge that mostly says nothing that can be read is stopped."""


@dataclass(slots=True)
class RequestToLabel:
    """A request while it is labelled."""

    row: int
    messages: Sequence[Mapping[str, str]]
    tools: Sequence[Mapping[str, Any]]
    task: str | None
    reference: str | None = None
    answers: dict[Route, str] = field(default_factory=dict)
    """As a column of traffic holds them."""
    bought: dict[Route, dict[str, Any]] = field(default_factory=dict)
    """Columns of the answers that were bought: tokens and bills."""
    outcomes: dict[str, Any] = field(default_factory=dict)
    verdict: PairVerdict | None = None
    problem: str = ""
    """Why it has no outcome."""

    @property
    def asked(self) -> Asked:
        """The request as checks of answers read it."""
        request = {"messages": list(self.messages), "tools": list(self.tools) or None}
        return Asked.of(request, task=self.task)


class AnswerJudge(ABC):
    """Whoever judges; by itself it calls no model and needs both answers."""

    measured_by: str | None = None
    """What its outcomes are measured by; ``None``: it has none."""
    sides: tuple[Route, ...] = BOTH
    """Whose answers it needs."""
    calls = 0
    """Calls of a model for each request."""

    def calls_of(self, request: RequestToLabel) -> list[tuple[CalledModel, ModelQuestion]]:
        """Return its calls on a request with both answers."""
        return []

    def worst_usd(self, request: RequestToLabel, shop: Shop, answer_tokens: int) -> float:
        """Return the most that it may cost, with answers of at most so many tokens where they are
        not there yet.
        """
        return 0.0

    @abstractmethod
    async def judge(self, request: RequestToLabel, shop: Shop, purse: Purse) -> None:
        """Say how good the answers are, in the request's ``outcomes``, or why not."""


class People(AnswerJudge):
    """Nobody yet: answers are bought for people to judge."""

    async def judge(self, request: RequestToLabel, shop: Shop, purse: Purse) -> None:
        """Leave the outcomes unknown."""


class ExactMatch(AnswerJudge):
    """Answers held against a reference: quality 1 where they say the same, else 0.

    A reference that is a number is held against the number that the answer states in the end, any
    other against the whole answer or what it states in the end, whatever the case, the spaces and
    the full stop.
    """

    measured_by = "exact"

    async def judge(self, request: RequestToLabel, shop: Shop, purse: Purse) -> None:
        """Compare both answers with the reference."""
        if request.reference is None:
            request.problem = "it has no reference"
            return
        request.outcomes = {
            f"{side}_quality": float(_says(request.answers[side], request.reference, request.asked))
            for side in BOTH
        }


def _says(answer: str, reference: str, asked: Asked) -> bool:
    pair = Pair(asked, Answer.parse(answer))
    text, wanted = answer_text(answer), _plain(reference)
    if _plain(text) == wanted or _plain(pair.stated.text) == wanted:
        return True
    try:
        number = float(reference.strip().replace(",", ""))
    except ValueError:
        return False
    stated = pair.stated.number
    return stated is not None and math.isclose(stated, number, rel_tol=1e-9, abs_tol=1e-12)


def _plain(text: str) -> str:
    return " ".join(text.split()).strip(" .").casefold()


class ValidatorChecks(AnswerJudge):
    """The project's own validators on the cheap model's answer: ``cheap_passed``, which says that
    an answer has the right form and never that it is right.
    """

    sides = ("cheap",)

    def __init__(self, rules: Sequence[ValidatorRule], *, allowed: Sequence[str] = ()) -> None:
        self._checker = Checker(rules, allowed=allowed)
        names = sorted({rule.check for rule in rules})
        self.measured_by = f"validators:{','.join(names)}"

    async def judge(self, request: RequestToLabel, shop: Shop, purse: Purse) -> None:
        """Check the cheap answer."""
        checks = await asyncio.to_thread(
            self._checker, Answer.parse(request.answers["cheap"]), request.asked
        )
        known = [check.passed for check in checks if check.passed is not None]
        if not known:
            request.problem = "no validator has anything to say of its answer"
            return
        request.outcomes = {"cheap_passed": all(known)}


class FunctionJudge(AnswerJudge):
    """A function of the user's: ``function(messages, answer)`` returns a quality in [0, 1], a truth
    value, or ``None`` for unknown.
    """

    def __init__(self, name: str) -> None:
        module, _, attribute = name.removeprefix(PYTHON).partition(":")
        subject, rule = "a judge of Python", "be python:module:function"
        if not module or not attribute:
            raise InvalidValueError(subject, name, rule=rule)
        # A function beside the user, as with python -m; a command does not look there.
        if (here := str(Path.cwd())) not in sys.path:
            sys.path.insert(0, here)
        try:
            self._function: Callable[..., Any] = getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            hint = f"{type(error).__name__}: {error}"[:300]
            raise InvalidValueError(subject, name, rule=rule, hint=f"{hint}.") from error
        if not callable(self._function):
            raise InvalidValueError(subject, name, rule="name a function")
        self.measured_by = name

    async def judge(self, request: RequestToLabel, shop: Shop, purse: Purse) -> None:
        """Call the function on each answer."""
        outcomes = {}
        for side in BOTH:
            try:
                quality = await asyncio.to_thread(
                    self._function,
                    [dict(message) for message in request.messages],
                    answer_text(request.answers[side]),
                )
            except Exception as error:  # by its type alone: the message may hold the user's text
                request.problem = f"the judge failed ({type(error).__name__})"
                return
            if quality is None:
                continue
            if not isinstance(quality, int | float) or not 0.0 <= float(quality) <= 1.0:
                request.problem = "the judge returned no quality in [0, 1]"
                return
            outcomes[f"{side}_quality"] = float(quality)
        request.outcomes = outcomes
        if not outcomes:
            request.problem = "the judge does not know"


class ModelJudge(AnswerJudge):
    """A model that compares both answers, blind and in both orders."""

    calls = 2

    def __init__(self, model: CalledModel) -> None:
        self._model = model
        self.measured_by = f"judge:{model.name}"
        self._pairs = self._unknown = 0

    def calls_of(self, request: RequestToLabel) -> list[tuple[CalledModel, ModelQuestion]]:
        """Return the calls of both orders."""
        return [(self._model, question) for question in self._questions(request)]

    def worst_usd(self, request: RequestToLabel, shop: Shop, answer_tokens: int) -> float:
        """Return the worst case of both orders."""
        if len(request.answers) == len(BOTH):
            return sum(
                shop.worst_usd(self._model, question) for question in self._questions(request)
            )
        asked = sum(
            len(message["content"].encode("utf-8", "replace")) for message in request.messages
        )
        known = sum(len(answer.encode("utf-8", "replace")) for answer in request.answers.values())
        missing = len(BOTH) - len(request.answers)
        tokens = asked + known + OVERHEAD_BYTES + missing * answer_tokens * _BYTES_A_TOKEN
        return 2 * self._model.worst_usd(tokens)

    async def judge(self, request: RequestToLabel, shop: Shop, purse: Purse) -> None:
        """Ask in both orders."""
        asked = (shop.ask(self._model, question, purse) for question in self._questions(request))
        replies = await asyncio.gather(*asked, return_exceptions=True)
        for reply in replies:
            if isinstance(reply, BaseException):
                raise reply
        seats = [read_verdict(reply.message) for reply in replies]  # type: ignore[union-attr]
        request.verdict = PairVerdict(*seats)
        self._pairs += 1
        if request.verdict.vote is None:
            self._unknown += 1
            request.problem = "the judge's answer is no verdict"
            if self._pairs >= _UNREADABLE_AFTER and self._unknown > self._pairs / 2:
                shop.stop(
                    f"{self._unknown} of {self._pairs} verdicts of {self._model.name} cannot be"
                    " read: it does not end with [[A]], [[B]] or [[TIE]]; choose another judge, or"
                    " give it more --judge-max-tokens"
                )
            return
        request.outcomes = {"preference": request.verdict.vote}

    def _questions(self, request: RequestToLabel) -> tuple[ModelQuestion, ModelQuestion]:
        cheap, frontier = (answer_text(request.answers[side]) for side in BOTH)
        return (
            judge_question(request.messages, cheap, frontier),
            judge_question(request.messages, frontier, cheap),
        )


def read_references(extra: Sequence[Mapping[str, Any]], column: str | None) -> list[str | None]:
    """Return the reference answer of each request; ``None`` where it has none.

    Raises
    ------
    TrafficError
        If no request has such a column.
    """
    seen = dict.fromkeys(name for row in extra for name in row)
    name = column or next((name for name in REFERENCES if name in seen), None)
    if name is None or name not in seen:
        wanted = f"the column {column!r:.80}" if column else f"a column {', '.join(REFERENCES)}"
        there = ", ".join(f"{name!r:.40}" for name in list(seen)[:10]) or "none"
        raise TrafficError(
            f"judging exactly needs reference answers: no request has {wanted}. Columns beside the"
            f" record: {there}. Name it with --reference."
        )
    return [None if row.get(name) in (None, "") else str(row[name]) for row in extra]
