"""What the check reads of requests that were answered, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import InvalidValueError
from difficulty.tokens import pick
from difficulty.traffic.outcomes import Outcomes

FloatArray = NDArray[np.float64]
REQUEST_COLUMNS = ("p_cheap_fails", "p_frontier_fails")
"""Outputs of the scorer that stand behind the facts, in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """n requests that the cheap model answered.

    Attributes
    ----------
    facts : ndarray of shape (n, n_facts)
        NaN where a fact is not known.
    ids : sequence of n sequences of int
        Token ids of the answers, already cut.
    request : ndarray of shape (n, 2)
        What the scorer says of the requests, ``REQUEST_COLUMNS``; NaN where it says nothing.
    """

    facts: NDArray[np.float32]
    ids: Sequence[Sequence[int]]
    request: NDArray[np.float32]

    def __post_init__(self) -> None:
        sizes = (len(self.facts), len(self.ids), len(self.request))
        if len({*sizes}) != 1:
            raise InvalidValueError("answered requests", sizes, rule="have one length")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def features(self) -> NDArray[np.float32]:
        """The input ``features`` of the graph, of shape (n, n_facts + 2)."""
        return np.hstack([self.facts, self.request]).astype(np.float32)

    def at(self, rows: NDArray[np.intp]) -> Answered:
        """Return some of them."""
        return Answered(
            facts=self.facts[rows], ids=pick(self.ids, rows), request=self.request[rows]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledAnswers:
    """n answered requests with their outcomes; requests of one group stay in one fold."""

    answered: Answered
    outcomes: Outcomes
    groups: Sequence[str]

    def __post_init__(self) -> None:
        sizes = (len(self.answered), len(self.outcomes), len(self.groups))
        if len({*sizes}) != 1:
            raise InvalidValueError("labelled answers", sizes, rule="have one length")

    def __len__(self) -> int:
        return len(self.answered)

    @property
    def failure(self) -> FloatArray:
        """How much each answer failed, in [0, 1], NaN where unknown; shape (n,)."""
        return self.outcomes.cheap_failure


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerScores:
    """Outputs of a check for n answers, each of shape (n,); NaN where there is no answer."""

    answer_score: FloatArray
    """Higher = more worth the frontier model, in [0, 1]."""
    p_answer_fails: FloatArray

    def by_name(self) -> dict[str, NDArray[np.floating]]:
        """Return the outputs, named as in the graph."""
        return {"answer_score": self.answer_score, "p_answer_fails": self.p_answer_fails}

    def at(self, rows: NDArray[np.intp]) -> AnswerScores:
        """Return the scores of some answers."""
        return AnswerScores(
            answer_score=self.answer_score[rows], p_answer_fails=self.p_answer_fails[rows]
        )

    def joined(self, other: AnswerScores) -> AnswerScores:
        """Return these scores and others after them."""
        columns = {
            name: np.concatenate([values, other.by_name()[name]])
            for name, values in self.by_name().items()
        }
        return AnswerScores(**columns)

    def spread(self, rows: NDArray[np.intp], n: int) -> AnswerScores:
        """Return them at their places among ``n`` requests, unknown for the others."""
        columns = {name: np.full(n, np.nan) for name in self.by_name()}
        for name, values in self.by_name().items():
            columns[name][rows] = values
        return AnswerScores(**columns)
