"""A request with its answer, cut to what is read, and what several kinds of fact need."""

from __future__ import annotations

from functools import cached_property

from difficulty.answers.answer import Answer, Asked
from difficulty.answers.scan import (
    Place,
    Stated,
    content_words,
    cut,
    find_stated,
    lower,
    numbers,
    place_numbers,
    plain_digits,
    words_of,
)
from difficulty.answers.steps import Step, read_steps

ANSWER_CHARS = 4096
"""Most code points of an answer's text that are read: of a longer one head and tail."""
QUESTION_CHARS = 8192


class Pair:
    """A request and its answer; each property is computed once, when it is first asked for.

    Parameters
    ----------
    asked : Asked
    answer : Answer
    """

    def __init__(self, asked: Asked, answer: Answer) -> None:
        self.asked = asked
        self.answer = answer
        self.question = plain_digits(cut(asked.text, QUESTION_CHARS))
        self.text = plain_digits(cut(answer.text, ANSWER_CHARS))

    @cached_property
    def question_lower(self) -> str:
        """The question in small letters."""
        return lower(self.question)

    @cached_property
    def text_lower(self) -> str:
        """The answer in small letters."""
        return lower(self.text)

    @cached_property
    def question_words(self) -> list[str]:
        """The question's words in order, in small letters."""
        return words_of(self.question_lower)

    @cached_property
    def text_words(self) -> list[str]:
        """The answer's words in order, in small letters."""
        return words_of(self.text_lower)

    @cached_property
    def question_numbers(self) -> list[float]:
        """The question's numbers in order."""
        return numbers(self.question)

    @cached_property
    def text_places(self) -> list[Place]:
        """The answer's numbers in order, with where they begin and end."""
        return place_numbers(self.text)

    @cached_property
    def text_numbers(self) -> list[float]:
        """The answer's numbers in order."""
        return [value for _, _, value in self.text_places]

    @cached_property
    def question_content(self) -> frozenset[str]:
        """What the question's words are about."""
        return content_words(self.question_words)

    @cached_property
    def text_content(self) -> frozenset[str]:
        """What the answer's words are about."""
        return content_words(self.text_words)

    @cached_property
    def stated(self) -> Stated:
        """The answer that the text states in the end."""
        return find_stated(self.text, self.text_lower, self.text_places)

    @cached_property
    def steps(self) -> list[Step]:
        """The steps of the answer's worked maths."""
        return read_steps(self.text)
