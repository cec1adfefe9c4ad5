"""What is bought for one request: the answers that are missing, and what a judge says of both."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from difficulty.answers.answer import answer_column
from difficulty.labelling.budget import Purse
from difficulty.labelling.buying import Shop, Unanswered, call_key
from difficulty.labelling.model_calls import CalledModel, ModelQuestion
from difficulty.routes import Route
from difficulty.stages.labelling.answer_judges import BOTH, AnswerJudge, RequestToLabel
from difficulty.stages.labelling.label_models import LabelModels
from difficulty.traffic.table import Traffic

_CALLED_ROLES = ("system", "developer", "user", "assistant")


def requests_of(
    traffic: Traffic, rows: NDArray[np.intp], references: list[str | None] | None
) -> list[RequestToLabel]:
    """Return what is known of the requests of some rows."""
    chosen = traffic.select(rows)
    answers = {side: chosen.column(f"{side}_answer") for side in BOTH}
    columns = zip(chosen.each_messages(), chosen.column("tools"), chosen.tasks, strict=True)
    return [
        RequestToLabel(
            row=int(rows[place]),
            messages=_callable(messages),
            tools=tools or (),
            task=task,
            reference=None if references is None else references[rows[place]],
            answers={
                side: answers[side][place] for side in BOTH if answers[side][place] is not None
            },
        )
        for place, (messages, tools, task) in enumerate(columns)
    ]


def _callable(messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return messages as any model takes them: what tools said is the user's text, as ids of calls
    are not kept, and what is empty is left out.
    """
    return [
        {
            "role": message["role"] if message["role"] in _CALLED_ROLES else "user",
            "content": message["content"],
        }
        for message in messages
        if message["content"].strip()
    ]


@dataclass(slots=True)
class LabelJob:
    """Buy one request's answers and have them judged."""

    request: RequestToLabel
    models: LabelModels
    judge: AnswerJudge

    @property
    def missing(self) -> list[Route]:
        """Sides whose answers are to be bought."""
        return [side for side in self.judge.sides if side not in self.request.answers]

    def has_bought(self, side: Route, shop: Shop) -> bool:
        """Return whether the journal has the answer of a side."""
        key = call_key(self.models.of(side), self._question)
        return shop.journal.known(key).answer is not None

    @property
    def first_calls(self) -> list[tuple[CalledModel, ModelQuestion]]:
        """Calls of the answers that are missing, or where none is those of the judge."""
        missing = [(self.models.of(side), self._question) for side in self.missing]
        return missing or self.judge.calls_of(self.request)

    def worst_usd(self, shop: Shop) -> float:
        """Return the worst case of all its calls."""
        answers = sum(shop.worst_usd(self.models.of(side), self._question) for side in self.missing)
        longest = max((self.models.of(side).max_tokens for side in self.missing), default=0)
        return answers + self.judge.worst_usd(self.request, shop, longest)

    async def run(self, shop: Shop, purse: Purse) -> None:
        """Buy what is missing, then judge."""
        sides = self.missing
        asked = (shop.ask(self.models.of(side), self._question, purse) for side in sides)
        replies = await asyncio.gather(*asked, return_exceptions=True)
        for side, reply in zip(sides, replies, strict=True):
            if isinstance(reply, Unanswered):
                self.request.problem = f"no answer of {self.models.of(side).name}: {reply}"
            elif not isinstance(reply, BaseException):
                self.request.answers[side] = answer_column(reply.message)
                self.request.bought[side] = {
                    "prompt_tokens": reply.prompt_tokens,
                    "tokens": reply.completion_tokens,
                    "cost_usd": reply.usd,
                }
        for reply in replies:
            if isinstance(reply, BaseException) and not isinstance(reply, Unanswered):
                raise reply
        if self.missing:
            return
        try:
            await self.judge.judge(self.request, shop, purse)
        except Unanswered as error:
            self.request.problem = f"no verdict: {error}"

    @property
    def _question(self) -> ModelQuestion:
        return ModelQuestion(tuple(self.request.messages), tuple(self.request.tools))
