"""Buy what requests need, in order, within a budget: calls side by side, limits and failures waited
for, every call in the journal before it goes out.

Requests are taken in the order in which they come, and the first that the money left may not
cover ends the purchase: to skip to cheaper ones would favour them, and the chances with which
requests were chosen would hold no longer.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from json import dumps
from typing import NamedTuple, Protocol

from difficulty.labelling.budget import Budget, Purse
from difficulty.labelling.journal import PurchaseJournal
from difficulty.labelling.model_calls import (
    CalledModel,
    CallFailure,
    ModelQuestion,
    ModelReply,
    most_prompt_tokens,
)

_LOOK_S = 0.02
_CHECK = "; check its name, its key and the account"
Call = Callable[[CalledModel, ModelQuestion], Awaitable[ModelReply]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a call is tried, and how long is waited between."""

    tries_limited: int = 8
    """Of a call that a rate limit stopped; those cost nothing."""
    tries_free: int = 5
    """Of a call that failed and cost nothing."""
    tries_billed: int = 2
    """Of a call that failed and may have been billed: each counts as spent."""
    first_wait_s: float = 1.0
    """Doubled each time."""
    longest_wait_s: float = 60.0
    longest_asked_s: float = 300.0
    """Most that is waited where a server says how long; longer ends the purchase."""
    failures_in_a_row: int = 10
    """Calls of one model that came to nothing, one after the other, which end the purchase."""


class Stopped(Exception):
    """The purchase has ended; no call is made any more."""


class Unanswered(Exception):
    """A call brought nothing and will not; the text says why."""


class MoneyGone(Exception):
    """There is no money for another call."""


class Job(Protocol):
    """A request to buy for."""

    @property
    def first_calls(self) -> Sequence[tuple[CalledModel, ModelQuestion]]:
        """Calls that it begins with: one of them in the journal says that it was begun."""

    def worst_usd(self, shop: Shop) -> float:
        """Return the most that its calls may cost which are not in the journal."""

    async def run(self, shop: Shop, purse: Purse) -> None:
        """Make its calls, and keep what came of them."""


class Progress(NamedTuple):
    """How far a purchase is."""

    done: int
    total: int
    spent_usd: float
    budget_usd: float
    waiting_s: float
    """Seconds for which a model asked to be left alone; 0: none does."""


def call_key(model: CalledModel, question: ModelQuestion) -> str:
    """Return the hash by which a call is known in the journal. The address of a server is not in
    it: who moves it need not pay again.
    """
    content = {
        "model": model.name,
        "max_tokens": model.max_tokens,
        "temperature": model.temperature,
        "messages": [dict(message) for message in question.messages],
        "tools": list(question.tools),
    }
    return sha256(dumps(content, sort_keys=True, default=str).encode()).hexdigest()


class Shop:
    """Where calls are bought.

    Parameters
    ----------
    call : callable
        Makes one attempt.
    budget : Budget
    journal : PurchaseJournal
    at_once : int
        Most calls under way.
    patience : Patience
    show : callable, optional
        Called with :class:`Progress` when something changed.
    """

    def __init__(
        self,
        call: Call,
        budget: Budget,
        journal: PurchaseJournal,
        *,
        at_once: int = 8,
        patience: Patience | None = None,
        show: Callable[[Progress], None] | None = None,
    ) -> None:
        self.budget, self.journal = budget, journal
        self.stopped = ""
        """Why the purchase ended before all was bought."""
        self.finishes = True
        """Whether requests that were begun may still make their calls."""
        self.counts: Counter[str] = Counter()
        """``calls``, ``known``, ``limited``, ``failed``, ``lost``, ``without_usage``."""
        self.failures: Counter[str] = Counter()
        """Attempts that brought nothing, by their kind."""
        self._call, self._show = call, show
        self._patience = patience or Patience()
        self._at_once = at_once
        self._places = asyncio.Semaphore(at_once)
        self._free_at: dict[str, float] = {}
        self._in_a_row: Counter[str] = Counter()
        self._under_way: Counter[str] = Counter()
        self._asked: dict[str, asyncio.Future[ModelReply]] = {}
        self._done = self._total = 0
        self._chance = random.Random(0)  # of waits alone

    def stop(self, why: str, *, finishes: bool = False) -> None:
        """End the purchase: no request is begun any more. Calls under way are waited for; others
        of requests that were begun are made only where it ``finishes`` them.
        """
        self.stopped = self.stopped or why
        self.finishes = self.finishes and finishes

    async def buy(self, jobs: Sequence[Job]) -> int:
        """Run jobs in order until all are done or the money is; return how many were begun, by
        earlier runs too: what those paid for is kept whatever ends this one.
        """
        self._total, under_way, begun = len(jobs), set[asyncio.Task[None]](), 0
        earlier = self._begun_before(jobs)
        for job in jobs:
            while len(under_way) >= self._at_once:
                under_way = await self._wait(under_way)
            worst = job.worst_usd(self)
            # What others hold and do not need comes back when they are done.
            while not (held := self.budget.hold(worst)) and under_way and not self.stopped:
                under_way = await self._wait(under_way)
            if begun >= earlier and (self.stopped or not held):
                if held:
                    self.budget.release(worst)
                self.stop("the budget", finishes=True)
                break
            # One that an earlier run began and this one cannot pay gets what is in the journal.
            purse = Purse(self.budget, worst if held else 0.0, borrows=held)
            under_way.add(asyncio.create_task(self._run(job, purse)))
            begun += 1
        while under_way:
            under_way = await self._wait(under_way)
        return begun

    def _begun_before(self, jobs: Sequence[Job]) -> int:
        """Return how many of the jobs, which are always taken in order, earlier runs began."""
        if not self.journal.calls:
            return 0
        for place in range(len(jobs), 0, -1):
            if any(call_key(*call) in self.journal.calls for call in jobs[place - 1].first_calls):
                return place
        return 0

    async def _wait(self, under_way: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
        done, left = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # what nobody foresaw ends the purchase
        return left

    async def _run(self, job: Job, purse: Purse) -> None:
        try:
            await job.run(self, purse)
        except MoneyGone:
            self.stop("the budget", finishes=True)
        except Stopped:
            pass
        finally:
            purse.close()
            self._done += 1
            self._tell()

    def worst_usd(self, model: CalledModel, question: ModelQuestion) -> float:
        """Return the most that a call may cost, 0 where it is in the journal."""
        known = self.journal.known(call_key(model, question))
        if known.answer is not None or known.refused or known.is_lost:
            return 0.0
        return model.worst_usd(most_prompt_tokens(question))

    async def ask(self, model: CalledModel, question: ModelQuestion, purse: Purse) -> ModelReply:
        """Return a reply, from the journal where it is there.

        Raises
        ------
        Unanswered
            If the call brought nothing.
        MoneyGone, Stopped
            If it was not made.
        """
        key = call_key(model, question)
        # Two requests that are the same share a call.
        if key in self._asked:
            return await asyncio.shield(self._asked[key])
        answer = self._asked[key] = asyncio.get_running_loop().create_future()
        try:
            reply = await self._ask(key, model, question, purse)
        except BaseException as error:
            if not answer.done():
                answer.set_exception(
                    error if isinstance(error, Exception) else Stopped("it was cancelled")
                )
                answer.exception()  # seen, whether or not somebody else waits
            if not isinstance(error, Unanswered):
                del self._asked[key]
            raise
        answer.set_result(reply)
        return reply

    async def _ask(
        self, key: str, model: CalledModel, question: ModelQuestion, purse: Purse
    ) -> ModelReply:
        known = self.journal.known(key)
        if known.answer is not None:
            self.counts["known"] += 1
            return ModelReply(**known.answer)
        if known.is_lost:
            self.counts["lost"] += 1
            raise Unanswered("it was under way when an earlier run ended")
        if known.refused:
            self.counts["failed"] += 1
            raise Unanswered(known.refused)
        worst = model.worst_usd(most_prompt_tokens(question))
        tries: Counter[str] = Counter()
        while True:
            try:
                return await self._attempt(key, model, question, purse, worst)
            except CallFailure as failure:
                await self._weigh(failure, model, tries)

    async def _attempt(
        self, key: str, model: CalledModel, question: ModelQuestion, purse: Purse, worst: float
    ) -> ModelReply:
        await self._rest(model)
        async with self._places:
            if not self.finishes:
                raise Stopped(self.stopped)
            if not purse.take(worst):
                raise MoneyGone
            try:
                await self.journal.sent(key, model=model.name, usd=worst)
            except BaseException:
                purse.settle(worst, 0.0)
                raise
            self.counts["calls"] += 1
            self._under_way[model.name] += 1
            try:
                reply = await self._call(model, question)
            except CallFailure as failure:
                usd = worst if failure.billed else 0.0
                purse.settle(worst, usd)
                self.failures[str(failure)] += 1
                for_good = failure.kind == "request"
                await self.journal.failed(key, str(failure), usd=usd, for_good=for_good)
                raise
            except BaseException:  # cancelled: whether it was billed nobody knows
                purse.settle(worst, worst)
                raise
            finally:
                self._under_way[model.name] -= 1
            usd = worst if reply.usd is None else reply.usd
            purse.settle(worst, usd)
            self.counts["without_usage"] += reply.usd is None
            await self.journal.answered(key, reply.as_dict(), usd=usd)
        self._in_a_row[model.name] = 0
        if usd > worst * (1.0 + 1e-9):
            self.stop(
                f"{model.name} billed {usd:.6g} USD for a call that may cost {worst:.6g} USD at"
                " most by its price and --max-tokens; check the prices"
            )
        self._tell()
        return reply

    async def _weigh(self, failure: CallFailure, model: CalledModel, tries: Counter[str]) -> None:
        """Wait for the next attempt, or give the call up."""
        patience = self._patience
        if failure.kind == "account" or (
            failure.kind == "denied" and not await self._ever_answers(model)
        ):
            self.stop(f"{model.name} answers no call here: {failure}{_CHECK}")
            raise Unanswered(str(failure)) from failure
        kind = "limited" if failure.kind == "limited" else "billed" if failure.billed else "free"
        tries[kind] += 1
        most = getattr(patience, f"tries_{kind}")
        asked = failure.retry_after_s
        if asked is not None and asked > patience.longest_asked_s:
            self.stop(f"{model.name} asks to be left alone for {asked:,.0f} s; run again later")
        no_use = failure.kind in ("request", "denied")
        if no_use or tries[kind] >= most or not self.finishes:
            if not self.finishes:
                raise Stopped(self.stopped) from failure
            self.counts["failed"] += 1
            self._in_a_row[model.name] += 1
            if self._in_a_row[model.name] >= patience.failures_in_a_row:
                self.stop(
                    f"{self._in_a_row[model.name]} calls of {model.name} in a row brought nothing,"
                    f" the last: {failure}" + (_CHECK if failure.kind == "denied" else "")
                )
            raise Unanswered(str(failure)) from failure
        wait = min(patience.first_wait_s * 2.0 ** (tries.total() - 1), patience.longest_wait_s)
        wait *= 1.0 + 0.25 * self._chance.random()  # or all come back at once
        if kind == "limited":
            self.counts["limited"] += 1
            # The limit is the model's: nobody else need run into it.
            until = asyncio.get_running_loop().time() + max(wait, asked or 0.0)
            self._free_at[model.name] = max(until, self._free_at.get(model.name, 0.0))
            self._tell()
        else:
            await self._sleep(max(wait, asked or 0.0))

    async def _ever_answers(self, model: CalledModel) -> bool:
        """Return whether a model has answered a call, this run's or an earlier one's: then what it
        denies is one request, by its policy for instance, and not all of them.
        """
        while not (answered := model.name in self.journal.answered_models):
            # Calls that went out beside the one that was denied may yet be answered.
            if not self._under_way[model.name] or not self.finishes:
                break
            await asyncio.sleep(_LOOK_S)
        return answered

    async def _rest(self, model: CalledModel) -> None:
        """Wait as long as a model asked to be left alone."""
        now = asyncio.get_running_loop().time
        while (wait := self._free_at.get(model.name, 0.0) - now()) > 0.0 and self.finishes:
            await self._sleep(wait)

    async def _sleep(self, seconds: float) -> None:
        """Sleep, no longer than the purchase goes on."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self.finishes and (left := until - loop.time()) > 0.0:
            await asyncio.sleep(min(left, 0.5))

    def _tell(self) -> None:
        if self._show is None:
            return
        now = asyncio.get_running_loop().time()
        waiting = max((until - now for until in self._free_at.values()), default=0.0)
        self._show(
            Progress(
                self._done,
                self._total,
                self.budget.spent_usd,
                self.budget.limit_usd,
                max(0.0, waiting),
            )
        )
