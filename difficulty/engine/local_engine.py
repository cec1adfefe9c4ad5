"""The engine of one machine: this process, or several that are started again when they are
lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import repeat
from typing import Any

from difficulty.engine.work import HeldShards, Host, Mail, Parcel, ShardWork, Work, spread
from difficulty.engine.worker_pool import Task, WorkerPool
from difficulty.errors import InvalidValueError


class LocalEngine:
    """Work in this process, or in several.

    Parameters
    ----------
    processes : int, default 1
        1 works in this process. More are started for each job with this interpreter and these
        import paths, and end with it; a script needs no ``__main__`` guard.
    """

    shares_files = True

    def __init__(self, *, processes: int = 1) -> None:
        if processes < 1:
            raise InvalidValueError("processes", processes, rule="be 1 or more")
        self.workers = processes

    def map_blocks(self, work: Work, blocks: Iterable[Any]) -> Iterator[Any]:
        """Yield the result of each block, in their order."""
        if self.workers == 1:
            yield from map(work(), blocks)
            return
        with closing(WorkerPool([work] * self.workers)) as pool:
            tasks = (Task(block) for block in blocks)
            yield from pool.run(tasks)

    @contextmanager
    def hold(self, work: ShardWork, shards: Sequence[Any]) -> Iterator[HeldShards]:
        """Open each shard once, spread over the processes."""
        homes = spread(len(shards), self.workers)
        kept: list[dict[int, Any]] = [{} for _ in range(max(homes, default=-1) + 1)]
        for number, (home, shard) in enumerate(zip(homes, shards, strict=True)):
            kept[home][number] = shard
        if len(kept) <= 1:
            hosts = [Host(work, each, homes) for each in kept]
            yield LocalShards(lambda tasks: [_ask(hosts[home], task) for home, task in tasks])
            return
        works = [partial(_open_host, work, each, homes) for each in kept]
        with closing(WorkerPool(works)) as pool:
            yield LocalShards(
                lambda tasks: list(pool.run(Task(task, worker=home) for home, task in tasks)),
                len(kept),
            )


_Asked = tuple[str, Any, "list[Parcel] | None"]


class LocalShards:
    """Shards of one machine. What they send each other passes through this process."""

    def __init__(
        self, ask: Callable[[Iterable[tuple[int, _Asked]]], list[Any]], n_hosts: int = 1
    ) -> None:
        self._ask, self._n_hosts = ask, n_hosts

    def __call__(self, argument: Any, mail: Mail | None = None) -> list[Any]:
        """Return what each shard answers, in their order."""
        answers: dict[int, Any] = {}
        for part in self._asked("call", argument, mail):
            answers |= part
        return [answers[number] for number in sorted(answers)]

    def send(self, argument: Any, mail: Mail | None = None) -> LocalMail:
        """Have each shard answer a piece for each shard, and keep them."""
        outgoing = self._asked("send", argument, mail)
        return LocalMail([list(parcels) for parcels in zip(*outgoing, strict=True)])

    def _asked(self, name: str, argument: Any, mail: Mail | None) -> list[Any]:
        parcels: Iterable[list[Parcel] | None] = repeat(None, self._n_hosts)
        if mail is not None:
            assert isinstance(mail, LocalMail)
            parcels = mail.take()
        return self._ask((home, (name, argument, each)) for home, each in enumerate(parcels))


class LocalMail:
    """Parcels for each worker, in the order of the workers they come from."""

    def __init__(self, parcels: list[list[Parcel]]) -> None:
        self._parcels = parcels

    def take(self) -> Iterator[list[Parcel]]:
        """Yield the parcels of each worker; they are gone afterwards, so memory is free."""
        for place, parcels in enumerate(self._parcels):
            self._parcels[place] = []
            yield parcels


def _open_host(
    work: ShardWork, shards: Mapping[int, Any], homes: Sequence[int]
) -> Callable[[_Asked], Any]:
    return partial(_ask, Host(work, shards, homes))


def _ask(host: Host, task: _Asked) -> Any:
    name, argument, parcels = task
    return host.send(argument, parcels) if name == "send" else host.call(argument, parcels)
