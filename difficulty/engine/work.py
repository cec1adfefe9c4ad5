"""What an engine is asked, and what runs in each of its workers, whichever engine it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

Block = TypeVar("Block", contravariant=True)
Result = TypeVar("Result", covariant=True)
Work = Callable[[], Callable[[Any], Any]]
"""Opens what a worker needs, once in each (a bundle, a session), and returns the function that is
called with each block. Picklable: a function of a module, or ``functools.partial`` of one.
"""
ShardWork = Callable[[Any], Callable[..., Any]]
"""Opens a shard and returns what answers a call: ``(argument)``, or ``(argument, pieces)`` where
other shards sent it pieces. Answers depend on nothing else: a shard may be opened again elsewhere.
"""
Parcel = Mapping[tuple[int, int], Any]
"""Pieces from one worker to another, each by the number of the shard it is for and of the one it
comes from.
"""


class Mail(Protocol):
    """Pieces that shards sent each other and that were not read yet; they stay with the workers."""


class HeldShards(Protocol):
    """Shards that stay open where workers keep them, from call to call."""

    def __call__(self, argument: Any, mail: Mail | None = None) -> list[Any]:
        """Return what each shard answers, in the order of the shards.

        Parameters
        ----------
        argument : object
            The same for all shards.
        mail : Mail, optional
            What the shards sent each other: each is called with its pieces too, in the order of
            the shards they come from.
        """

    def send(self, argument: Any, mail: Mail | None = None) -> Mail:
        """Have each shard answer a sequence of pieces, one for each shard, and pass them on."""


class Engine(Protocol):
    """Does the same work on many blocks."""

    shares_files: bool
    """Whether each worker reads the files of this machine."""

    @property
    def workers(self) -> int:
        """How many blocks are worked on at once."""

    def map_blocks(self, work: Work, blocks: Iterable[Any]) -> Iterator[Any]:
        """Yield the result of each block, in the order of the blocks, which are drawn as they are
        needed: a few for each worker are under way.

        Raises
        ------
        EngineError
            If a block has lost its worker several times.
        Exception
            What the work raises, as itself.
        """

    def hold(self, work: ShardWork, shards: Sequence[Any]) -> AbstractContextManager[HeldShards]:
        """Open each shard once, spread over the workers, for as long as the context lasts."""


@runtime_checkable
class JointEngine(Engine, Protocol):
    """An engine whose workers can be one process group of torch."""

    def run_together(self, work: Callable[[], Any]) -> Any:
        """Run a function in each worker at once and return what the first returns.

        The function finds the others by ``torch.distributed``, and is begun again in all of them
        where one is lost: it goes on from what it wrote.

        Raises
        ------
        EngineError
            If workers are lost again and again.
        DifficultyError
            What the function raises.
        """


def tree_sum(parts: Sequence[Any]) -> Any:
    """Add arrays, numbers, or tuples of these in one fixed order: neighbours, then neighbouring
    sums. So a sum over shards does not depend on how many workers there were, or who was first.

    Raises
    ------
    ValueError
        If there is nothing to add.
    """
    if not parts:
        raise ValueError("nothing to add")
    sums = list(parts)
    while len(sums) > 1:
        pairs = [_added(left, right) for left, right in zip(sums[::2], sums[1::2], strict=False)]
        sums = pairs + sums[2 * len(pairs) :]
    return sums[0]


def _added(left: Any, right: Any) -> Any:
    if isinstance(left, tuple):
        return tuple(_added(one, other) for one, other in zip(left, right, strict=True))
    return left + right


@dataclass(frozen=True, slots=True)
class BlockAnswer:
    """What came of one block: a result, or the exception that the work raised."""

    result: Any = None
    kind: type[BaseException] | None = None
    args: tuple[Any, ...] = ()
    state: Mapping[str, Any] | None = None

    def value(self) -> Any:
        """Return the result, or raise what the work raised.

        Raises
        ------
        Exception
            As it was in the worker; its constructor is not called, since those of this package
            take other arguments than they keep.
        """
        if self.kind is None:
            return self.result
        error = self.kind.__new__(self.kind)
        error.args = self.args
        error.__dict__.update(self.state or {})
        raise error


def answer(function: Callable[..., Any], *args: Any) -> BlockAnswer:
    """Call a function and keep what it raises."""
    try:
        return BlockAnswer(function(*args))
    except Exception as error:
        # Of the library's own classes, one may not be known where the answer is read.
        ours = type(error).__module__.startswith(("difficulty.", "builtins"))
        if ours:
            return BlockAnswer(kind=type(error), args=error.args, state=dict(error.__dict__))
        return BlockAnswer(kind=RuntimeError, args=(f"{type(error).__name__}: {error!s:.1000}",))


class Host:
    """The shards of one worker.

    Parameters
    ----------
    work : callable
        Opens a shard.
    shards : mapping of int to object
        Number of a shard to what opens it.
    homes : sequence of int
        The worker of each shard.
    """

    def __init__(self, work: ShardWork, shards: Mapping[int, Any], homes: Sequence[int]) -> None:
        self._opened = {number: work(shard) for number, shard in shards.items()}
        self._homes = homes

    def call(self, argument: Any, parcels: Sequence[Parcel] | None = None) -> dict[int, Any]:
        """Return what each shard answers, by its number."""
        if parcels is None:
            return {number: shard(argument) for number, shard in self._opened.items()}
        pieces: dict[int, dict[int, Any]] = {number: {} for number in self._opened}
        for parcel in parcels:
            for (to, sender), piece in parcel.items():
                pieces[to][sender] = piece
        return {
            number: shard(argument, [pieces[number][sender] for sender in sorted(pieces[number])])
            for number, shard in self._opened.items()
        }

    def send(self, argument: Any, parcels: Sequence[Parcel] | None = None) -> list[Parcel]:
        """Return a parcel for each worker: what each shard answers is a piece for each shard."""
        outgoing: list[dict[tuple[int, int], Any]] = [{} for _ in range(max(self._homes) + 1)]
        for number, pieces in self.call(argument, parcels).items():
            for to, (home, piece) in enumerate(zip(self._homes, pieces, strict=True)):
                outgoing[home][to, number] = piece
        return list(outgoing)


def spread(n_shards: int, workers: int) -> list[int]:
    """Return the worker of each shard: neighbours stay together, none has two more than another."""
    n = max(1, min(workers, n_shards))
    return [number * n // n_shards for number in range(n_shards)]
