"""Work for the engines' tests: functions of a module, so that other processes find them."""

import os
import signal
from pathlib import Path

import numpy as np

from difficulty.errors import InvalidValueError


def open_squares():
    return square


def square(block):
    return [number * number for number in block]


def open_refusing():
    return _refuse


def _refuse(block):
    if 3 in block:
        raise InvalidValueError("number", 3, rule="be another")
    return block


def open_failing():
    raise InvalidValueError("bundle", "b", rule="be there")


class KilledOnce:
    """Kills its own process at one block, the first time that it comes."""

    def __init__(self, marker, at):
        self.marker, self.at = marker, at

    def __call__(self):
        """Open nothing."""
        return self.work_on

    def work_on(self, block):
        """Square numbers."""
        if self.at in block and not Path(self.marker).exists():
            Path(self.marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return square(block)


class KilledAlways(KilledOnce):
    """Kills every process at one block."""

    def work_on(self, block):
        """Square numbers."""
        if self.at in block:
            os.kill(os.getpid(), signal.SIGKILL)
        return square(block)


def open_pid():
    return lambda block: os.getpid()


def open_parents():
    """Answer the ids of the worker's process and of its parent, which is Ray's own."""
    return lambda block: [os.getpid(), os.getppid()]


class Counter:
    """A shard that keeps the words of one part and counts them where they belong."""

    def __init__(self, words, n_shards=3):
        self.words, self.n_shards = words, n_shards

    def __call__(self, argument, pieces=None):
        """Send words, or count what came."""
        if pieces is not None:  # count what came, in the order of the senders
            words = [word for piece in pieces for word in piece]
            return {word: words.count(word) for word in words}
        return [
            [word for word in self.words if len(word) % self.n_shards == to]
            for to in range(self.n_shards)
        ]


class Gradient:
    """A shard of rows that answers with sums, and may kill its process at one call."""

    def __init__(self, marker, rows):
        self.marker, self.rows = marker, rows

    def __call__(self, weights):
        """Return a loss and its gradient."""
        if self.marker and weights[0] == 1.0 and self.rows[0, 0] == 0.0:
            if not Path(self.marker).exists():
                Path(self.marker).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        margins = self.rows @ weights
        return float(np.sum(margins**2)), self.rows.T @ margins
