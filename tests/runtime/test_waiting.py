"""Questions of an event loop are answered by a thread, together where they wait together."""

import asyncio
import threading

import pytest

from difficulty.runtime.waiting import Waiting


class Desk:
    """Doubles numbers, and holds the first batch until it is let go."""

    def __init__(self):
        self.batches = []
        self.go = threading.Event()
        self.threads = set()

    def __call__(self, numbers):
        """Return twice each number."""
        self.threads.add(threading.get_ident())
        self.batches.append(list(numbers))
        assert self.go.wait(10)
        if -1 in numbers:
            raise ValueError("-1 cannot be doubled")
        return [2 * number for number in numbers]


def test_question_alone_is_answered_alone():
    desk = Desk()
    desk.go.set()
    assert asyncio.run(Waiting(desk).ask(21)) == 42
    assert desk.batches == [[21]]
    assert threading.get_ident() not in desk.threads


def test_what_comes_while_the_desk_is_busy_is_answered_together():
    """The loop goes on meanwhile: it is the loop that lets the desk go."""
    desk = Desk()

    async def ask():
        waiting = Waiting(desk)
        asked = [asyncio.create_task(waiting.ask(number)) for number in range(5)]
        await asyncio.sleep(0)
        desk.go.set()
        return await asyncio.gather(*asked)

    assert asyncio.run(ask()) == [0, 2, 4, 6, 8]
    assert desk.batches == [[0], [1, 2, 3, 4]]


def test_who_gives_up_is_not_answered_and_takes_nobody_along():
    desk = Desk()

    async def ask():
        waiting = Waiting(desk)
        asked = [asyncio.create_task(waiting.ask(number)) for number in range(4)]
        await asyncio.sleep(0)
        asked[0].cancel()
        asked[2].cancel()
        await asyncio.sleep(0)
        desk.go.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    first, second, third, fourth = asyncio.run(ask())
    assert isinstance(first, asyncio.CancelledError)
    assert isinstance(third, asyncio.CancelledError)
    assert (second, fourth) == (2, 6)
    assert desk.batches == [[0], [1, 3]]


def test_error_reaches_everyone_in_the_batch_and_the_next_is_answered():
    desk = Desk()
    desk.go.set()

    async def ask():
        waiting = Waiting(desk)
        with pytest.raises(ValueError, match="cannot be doubled"):
            await waiting.ask(-1)
        return await waiting.ask(1)

    assert asyncio.run(ask()) == 2
