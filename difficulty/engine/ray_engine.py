"""The engine of a Ray cluster; with the one beside it for Ray Train the only module that knows Ray.

Ray's actors are the workers: each opens the work once, Ray starts a lost one again and gives it the
calls that it had. Ray Data is left out on purpose: it takes seconds to plan each job, and the sums
of a solver are a job a step.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Self

from difficulty import __version__
from difficulty.engine.work import (
    BlockAnswer,
    HeldShards,
    Host,
    Mail,
    Parcel,
    ShardWork,
    Work,
    answer,
    spread,
)
from difficulty.errors import EngineError, InvalidValueError, MissingExtraError

logger = logging.getLogger("difficulty.engine")
START_S = 120.0
"""Longest wait for a Ray that is started here. Ray itself gives up after 30 s, which a machine with
other work takes.
"""
_STARTS = 3
_SILENT_S = 20.0  # of that wait; then it is said what is waited for
_TRIES = 3  # further ones, of a call whose worker was lost
_TOO_SLOW = "timed out during startup"
_QUEUED = 2  # blocks of a worker: the next is there when one is done
_AHEAD = 4  # blocks for each worker that may be done before the first of them is taken
STORE_BYTES = 1 << 30
"""Of the objects of a Ray that is started here; what does not fit goes to disk."""
_ANSWERS_S = 5.0
_END = object()
_PORT = 6379
# The first bytes of HTTP/2, and an empty frame of settings, which is answered by one.
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anybody
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_PATIENT = ("RAY_gcs_server_port_wait_time_s", "RAY_worker_register_timeout_seconds")


class RayEngine:
    """Work on a Ray cluster; a context manager.

    Parameters
    ----------
    address : str, optional
        ``HOST:PORT`` of the cluster, ``auto`` for the one of this machine; by default one is
        started on this machine and ended afterwards. A cluster that the program is connected to
        already is used as it is.
    workers : int, optional
        By default one for each processor that the cluster has.
    store_bytes : int
        Most memory for objects of a cluster that is started here.
    start_s : float
        Longest wait for its start, in seconds.

    Raises
    ------
    MissingExtraError
        If Ray is not installed.
    EngineError
        On entering: if no Ray answers, or a node has another version of this package.
    """

    shares_files = False

    def __init__(
        self,
        address: str | None = None,
        *,
        workers: int | None = None,
        store_bytes: int = STORE_BYTES,
        start_s: float = START_S,
    ) -> None:
        if workers is not None and workers < 1:
            raise InvalidValueError("workers", workers, rule="be 1 or more")
        self._address, self._wanted, self._store_bytes = address, workers, store_bytes
        self._start_s = start_s
        self._workers = workers or 1
        self._is_ours = False

    def __enter__(self) -> Self:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        for name in _PATIENT:
            os.environ.setdefault(name, str(int(self._start_s)))
        try:
            import ray
        except ImportError as error:
            raise MissingExtraError("the engine ray", package="ray", extra="scale") from error
        self._ray = ray
        if self._address not in (None, "auto"):
            _check_answers(str(self._address))
        if not ray.is_initialized():
            self._connect()
            self._is_ours = True
            # Ray tells of each lost worker on standard output, where results may be awaited.
            ray._private.worker._worker_logs_enabled = False
        try:
            processors = max(1, int(ray.cluster_resources().get("CPU", 1)))
            if self._wanted is not None and self._wanted > processors:
                raise InvalidValueError(  # Ray would wait for more for ever
                    "workers",
                    self._wanted,
                    rule=f"be at most the processors of the cluster, {processors}",
                )
            self._workers = self._wanted or processors
            self._check_versions()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_ours:
            self._ray.shutdown()
            self._is_ours = False

    @property
    def workers(self) -> int:
        """How many blocks are worked on at once."""
        return self._workers

    def map_blocks(self, work: Work, blocks: Iterable[Any]) -> Iterator[Any]:
        """Yield the result of each block, in their order."""
        actors = [self._actor(_MapActor) for _ in range(self._workers)]
        try:
            yield from self._mapped(actors, [self.put((work,))], blocks)
        finally:
            self._end(actors)

    @contextmanager
    def hold(self, work: ShardWork, shards: Sequence[Any]) -> Iterator[HeldShards]:
        """Open each shard once, spread over the workers."""
        homes = spread(len(shards), self._workers)
        kept: list[dict[int, Any]] = [{} for _ in range(max(homes, default=-1) + 1)]
        # One after the other: what opens them all may be more than this process should hold.
        for number, (home, shard) in enumerate(zip(homes, shards, strict=True)):
            kept[home][number] = self.put(shard)
            del shard
        actors = [self._actor(_ShardActor) for _ in kept]
        try:
            openings = [[self.put((_open_host, work, each, homes))] for each in kept]
            yield RayShards(self, actors, openings)
        finally:
            self._end(actors)

    def run_together(self, work: Callable[[], Any]) -> Any:
        """Run a function in each worker at once, as one process group of torch: Ray Train."""
        from difficulty.engine.ray_training import run_together

        gpus = int(self._ray.cluster_resources().get("GPU", 0))
        return run_together(work, self._workers, gpus=gpus)

    def put(self, value: Any) -> Any:
        """Keep a value where every worker reads it."""
        return self._ray.put(value)

    def value_of(self, reference: Any, what: str) -> Any:
        """Wait for what a worker answers.

        Raises
        ------
        EngineError
            If its worker was lost again and again, or could not be started.
        """
        exceptions = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except exceptions.RayTaskError as error:
            raise EngineError(f"{what} cannot be done by a Ray worker: {_reason(error)}") from error
        except exceptions.RayError as error:
            raise EngineError(
                f"{what} has to be done by some Ray worker: {_TRIES + 1} were lost at it"
                f" ({_reason(error)}). Give the workers more memory, or take smaller blocks."
            ) from error

    def _connect(self) -> None:
        """Connect to the cluster, or start one on this machine."""
        options: dict[str, Any] = {
            "log_to_driver": False,
            "configure_logging": False,
            "logging_level": "ERROR",
        }
        try:
            if self._address is None:
                options["object_store_memory"] = self._store_bytes
                self._start(num_cpus=self._wanted, include_dashboard=False, **options)
                return
            self._ray.init(address=self._address, **options)
        except (Exception, SystemExit) as error:  # Ray even exits where it is not let in
            where = "on this machine" if self._address is None else f"at {self._address!r}"
            advice = "Start one with 'ray start --head', or leave --address out."
            if _TOO_SLOW in str(error):
                # Not tried again: what Ray had started by then ends with this program alone.
                advice = (
                    f"It was waited for {self._start_s:g} s, which is too short where others keep"
                    " the machine this busy: run it again when it is less so, or take the engine"
                    " local."
                )
            raise EngineError(f"no Ray can be used {where}: {_reason(error)} {advice}") from error

    def _start(self, **options: Any) -> None:
        """Start a cluster on this machine; again, where its node ends while it starts."""
        for _ in range(_STARTS - 1):
            with suppress(_NodeEndedError), waiting_for_node(self._start_s):
                self._ray.init(**options)
                return
        with waiting_for_node(self._start_s):
            self._ray.init(**options)

    def _check_versions(self) -> None:
        """Refuse a cluster of which a node has another version of this package, or none."""
        # A function of the standard library: on the worker nothing of ours has to be there.
        probe = self._ray.remote(num_cpus=0)(resolve_name)
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        asked = {
            node["NodeManagerAddress"]: probe.options(
                scheduling_strategy=strategy(node_id=node["NodeID"], soft=False)
            ).remote("difficulty:__version__")
            for node in self._ray.nodes()
            if node["Alive"]
        }
        for node, reference in asked.items():
            try:
                version = self._ray.get(reference, timeout=60)
            except self._ray.exceptions.RayTaskError as error:
                raise EngineError(
                    f"the Ray worker at {node} must have difficulty {__version__}: it has none"
                    f" ({_reason(error)}). Install there what is installed here."
                ) from error
            except self._ray.exceptions.GetTimeoutError as error:
                raise EngineError(
                    f"the Ray worker at {node} must answer within a minute: it did not. See whether"
                    " the cluster is full or a node is down ('ray status')."
                ) from error
            if version != __version__:
                raise EngineError(
                    f"the Ray worker at {node} must have the version of difficulty that this"
                    f" program has, {__version__}: it has {version}. Install the same on both."
                )

    def _actor(self, kind: type) -> Any:
        remote = self._ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=_TRIES)(kind)
        return remote.remote()

    def _end(self, actors: Iterable[Any]) -> None:
        for actor in actors:
            with suppress(Exception):  # the cluster may be gone already
                self._ray.kill(actor)

    def _mapped(
        self, actors: Sequence[Any], opening: list[Any], blocks: Iterable[Any]
    ) -> Iterator[Any]:
        source = iter(blocks)
        queued = [0] * len(actors)
        # In the order of the blocks; so many of them bound what the object store holds.
        begun: deque[Any] = deque()
        homes: dict[Any, int] = {}
        is_more, number = True, 0
        while is_more or begun:
            while is_more and len(begun) < _AHEAD * len(actors) and min(queued) < _QUEUED:
                block = next(source, _END)
                if block is _END:
                    is_more = False
                    break
                home = queued.index(min(queued))
                reference = actors[home].work_on.remote(opening, block)
                del block
                queued[home] += 1
                begun.append(reference)
                homes[reference] = home
            if not begun:
                return
            if homes:
                ready, _ = self._ray.wait(list(homes), num_returns=1)
                for reference in ready:
                    queued[homes.pop(reference)] -= 1
            while begun and begun[0] not in homes:
                number += 1
                answered: BlockAnswer = self.value_of(begun.popleft(), f"block {number}")
                yield answered.value()


class RayShards:
    """Shards of a Ray cluster. What they send each other goes from worker to worker."""

    def __init__(
        self, engine: RayEngine, actors: Sequence[Any], openings: Sequence[list[Any]]
    ) -> None:
        self._engine, self._actors, self._openings = engine, actors, openings

    def __call__(self, argument: Any, mail: Mail | None = None) -> list[Any]:
        """Return what each shard answers, in their order."""
        argument = self._engine.put(argument)
        parcels = self._taken(mail)
        asked = [
            actor.call.remote(opening, argument, mail is not None, *each)
            for actor, opening, each in self._with(parcels)
        ]
        answers: dict[int, Any] = {}
        for home, reference in enumerate(asked):
            answered = self._engine.value_of(reference, f"the part of worker {home + 1}")
            answers |= answered.value()
        return [answers[number] for number in sorted(answers)]

    def send(self, argument: Any, mail: Mail | None = None) -> RayMail:
        """Have each shard answer a piece for each shard, and pass them on."""
        argument, n = self._engine.put(argument), len(self._actors)
        sent = [
            actor.send.options(num_returns=n + 1).remote(
                opening, n, argument, mail is not None, *each
            )
            for actor, opening, each in self._with(self._taken(mail))
        ]
        for home, references in enumerate(sent):
            self._engine.value_of(references[0], f"the part of worker {home + 1}").value()
        return RayMail([[references[1 + home] for references in sent] for home in range(n)])

    def _with(self, parcels: Iterable[list[Any]]) -> Iterator[tuple[Any, list[Any], list[Any]]]:
        return zip(self._actors, self._openings, parcels, strict=True)

    def _taken(self, mail: Mail | None) -> Iterable[list[Any]]:
        if mail is None:
            return [[] for _ in self._actors]
        assert isinstance(mail, RayMail)
        return mail.take()


class RayMail:
    """References to the parcels for each worker, in the order of the workers they come from."""

    def __init__(self, references: list[list[Any]]) -> None:
        self._references = references

    def take(self) -> Iterator[list[Any]]:
        """Yield the references of each worker; Ray frees what was read."""
        for place, references in enumerate(self._references):
            self._references[place] = []
            yield references


class _MapActor:
    """Opens the work once and answers blocks."""

    _opened: BlockAnswer | None = None

    def work_on(self, opening: list[Any], block: Any) -> BlockAnswer:
        """Return the result of a block."""
        if self._opened is None:
            self._opened = answer(*_read(opening))
        function: Callable[[Any], Any] | None = self._opened.result
        return self._opened if function is None else answer(function, block)


class _ShardActor:
    """Keeps shards open and answers calls."""

    _opened: BlockAnswer | None = None

    def call(
        self, opening: list[Any], argument: Any, with_mail: bool, *parcels: Parcel
    ) -> BlockAnswer:
        """Return what each shard answers, by its number."""
        return self._asked(Host.call, opening, argument, parcels if with_mail else None)

    def send(
        self, opening: list[Any], n: int, argument: Any, with_mail: bool, *parcels: Parcel
    ) -> list[Any]:
        """Return whether it went well, and a parcel for each of n workers."""
        sent = self._asked(Host.send, opening, argument, parcels if with_mail else None)
        if sent.kind is not None:
            return [sent, *[None] * n]
        return [BlockAnswer(), *sent.result]

    def _asked(self, ask: Callable[..., Any], opening: list[Any], *args: Any) -> BlockAnswer:
        if self._opened is None:
            self._opened = answer(*_read(opening))
        host: Host | None = self._opened.result
        return self._opened if host is None else answer(ask, host, *args)


def _open_host(work: ShardWork, shards: dict[int, Any], homes: Sequence[int]) -> Host:
    import ray

    return Host(lambda reference: work(ray.get(reference)), shards, homes)


def _read(opening: list[Any]) -> tuple[Any, ...]:
    """Return what to call to open the work, and with what. It comes with each call, by reference:
    Ray does not keep what it gave a constructor for the time that it starts an actor again.
    """
    import ray

    content: tuple[Any, ...] = ray.get(opening[0])
    return content


class _NodeEndedError(Exception):
    """The node of a Ray that is started here has ended: it waits 15 s for a process of its own."""


def _ended_nodes() -> int:
    """Return how many nodes that this process started have ended."""
    here, n = os.getpid(), 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, rest = path.read_text().partition(")")
            state, parent = rest.split()[:2]
            n += name.endswith("(raylet") and state == "Z" and int(parent) == here
    return n


@contextmanager
def waiting_for_node(start_s: float) -> Iterator[None]:
    """Have Ray wait longer for the node that it starts: it asks for it during 30 s, which no option
    changes, so that each time it asks it is answered when the node is there.
    """
    try:
        from ray._private import services

        ask = services.get_node
    except (ImportError, AttributeError):  # another Ray: it waits as long as it does
        yield
        return
    began, ended = time.monotonic(), _ended_nodes()
    is_silent = True

    def ask_on(*args: Any, **options: Any) -> Any:
        nonlocal is_silent
        while True:
            try:
                return ask(*args, **options)
            except RuntimeError:
                if _ended_nodes() > ended:
                    raise _NodeEndedError("timed out during startup: the raylet ended") from None
                waited = time.monotonic() - began
                if waited > start_s:
                    raise
                if is_silent and waited > _SILENT_S:
                    logger.warning(
                        "Ray has been starting on this machine for %.0f s; it is waited for up to"
                        " %.0f s.",
                        waited,
                        start_s,
                    )
                    is_silent = False
                time.sleep(0.5)

    services.get_node = ask_on
    try:
        yield
    finally:
        services.get_node = ask


def _check_answers(address: str) -> None:
    """Refuse an address where nothing answers as Ray does: Ray itself would try for minutes.

    Raises
    ------
    EngineError
        If nothing answers, or something else does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host:
        host, port = port, str(_PORT)
    if not port.isdecimal():
        raise InvalidValueError(
            "address", address, rule="be HOST:PORT or auto", hint="Ray's own port is 6379."
        )
    advice = (
        "Start it with 'ray start --head', see its address in 'ray status', or leave"
        " --address out: then a Ray is started here."
    )
    try:
        with socket.create_connection((host, int(port)), timeout=_ANSWERS_S) as connection:
            connection.sendall(_HELLO)
            said = connection.recv(9)
    except (OSError, OverflowError) as error:
        raise EngineError(f"no Ray answers at {address!r} ({_reason(error)}). {advice}") from error
    if len(said) < 4 or said[3] != 4:  # a frame of settings
        raise EngineError(f"what answers at {address!r} is no Ray. {advice}")


def _reason(error: BaseException) -> str:
    """Return why, in one line: the last that Ray says, without its frames."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[-1]:.300}" if lines else type(cause).__name__
