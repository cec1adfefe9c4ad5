"""The decision log: a bounded queue and one thread, so that no request ever waits for a disk or
fails because of it. Other packages add sinks through entry points of the group
``difficulty.log_sinks``.

A process that forks has a log in each half: the child's begins anew, under a writer's name of its
own, and what waited at the fork is written by the parent.
"""

from __future__ import annotations

import itertools
import logging
import os
import queue
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable
from weakref import WeakSet

from difficulty.errors import InvalidValueError, MissingExtraError
from difficulty.events import EVENT_FORMAT, DecisionEvent
from difficulty.form import Record
from difficulty.gateway.cleaning import clean
from difficulty.plugins import resolve

Fsync = Literal["never", "interval", "always"]

SINKS = {
    "json_lines": "difficulty.gateway.log_files:JsonLinesSink",
    "opentelemetry": "difficulty.gateway.log:OpenTelemetrySink",
    "opentelemetry_metrics": "difficulty.gateway.counting:OpenTelemetryMetricsSink",
    "prometheus": "difficulty.gateway.counting:PrometheusSink",
}


class Sink(Protocol):
    """A place that keeps events."""

    @property
    def name(self) -> str:
        """What warnings and counts call it."""

    def write(self, events: Sequence[DecisionEvent]) -> None:
        """Take a batch, whole or not at all; raise when that is not possible."""

    def sync(self, *, now: bool = False) -> None:
        """Make durable what is due, or all; called after each batch and twice a second."""

    def close(self) -> None:
        """Make everything durable and let go of files."""


@runtime_checkable
class ForkedSink(Protocol):
    """A sink with something that a process and its fork must not share."""

    def after_fork(self) -> None:
        """Let go of what is the parent's, without a change to it; called in the child."""


def build_sink(kind: str, **options: Any) -> Sink:
    """Return the sink of a name; ``options`` are those of its constructor."""
    return resolve(kind, SINKS, kind="log sink")(**options)  # type: ignore[no-any-return]


logger = logging.getLogger("difficulty.runtime")

_MOST_AT_ONCE = 512
_TICK_S = 0.5  # longest silence before sinks are asked to sync what is due.


@dataclass(frozen=True, slots=True)
class LogReport(Record):
    """What a log took and what it lost, since it was opened; counts are events."""

    accepted: int
    """Put into the queue."""
    dropped: int
    """Refused because the queue was full, or the log closed."""
    lost: dict[str, int]
    """Sink to the events that it could not write."""
    pending: int
    """Still waiting in the queue."""


class _Flush(NamedTuple):
    """A request to write everything that came before it."""

    done: threading.Event


class DecisionLog:
    """Write events to sinks from a thread of its own.

    ``write`` neither waits nor raises. A batch that a sink refuses is given to it event by event,
    so that one event costs no other. A sink that fails is warned of once, what it did not take is
    counted, and it is tried again with the next batch.

    Parameters
    ----------
    sinks : sequence of Sink
        Each gets every event, in order.
    capacity : int
        Events that may wait; more are dropped.
    writer : str, optional
        Name of this writer; default: :func:`writer_name`.

    Examples
    --------
    >>> log = DecisionLog([JsonLinesSink(Path("decisions"))])  # doctest: +SKIP
    >>> log.write(event)  # doctest: +SKIP
    True
    """

    def __init__(
        self, sinks: Sequence[Sink], *, capacity: int = 10_000, writer: str | None = None
    ) -> None:
        if capacity < 1:
            raise InvalidValueError("capacity", capacity, rule="be 1 or more")
        self._sinks = list(sinks)
        self._capacity = capacity
        self._closed = False
        self._begin(writer or writer_name())
        _watch_forks().add(self)

    def _begin(self, writer: str) -> None:
        """Set up what belongs to one process."""
        self.writer = writer
        self._queue: queue.Queue[DecisionEvent | _Flush | None] = queue.Queue(self._capacity)
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._accepted = 0
        self._dropped = 0
        self._lost = dict.fromkeys((sink.name for sink in self._sinks), 0)
        self._failing: set[str] = set()
        self._full = False
        # With the first event: many a fork never has one.
        self._thread: threading.Thread | None = None

    def after_fork(self) -> None:
        """Begin anew in the child of a fork: the thread is the parent's, and so is what waits."""
        self._begin(writer_name())
        for sink in self._sinks:
            if isinstance(sink, ForkedSink):
                sink.after_fork()

    def write(self, event: DecisionEvent) -> bool:
        """Hand an event to the thread, from any thread; ``False`` when it was dropped."""
        with self._lock:  # numbers follow the order of the queue
            # One that is dropped gets a number too: readers see from the gap that it is missing.
            numbered = replace(event, seq=next(self._numbers), writer=self.writer)
            if not self._closed:
                try:
                    self._start()
                    self._queue.put_nowait(numbered)
                except (queue.Full, RuntimeError):  # the latter: no thread can be started
                    pass
                else:
                    self._accepted += 1
                    self._full = False
                    return True
            self._dropped += 1
            is_first, self._full = not self._full, True
        if is_first:
            logger.warning(
                "decision log: the queue is full or closed, events are dropped and counted until"
                " there is room"
            )
        return False

    def _start(self) -> None:
        if self._thread is None:
            # A daemon, so that a log nobody closes does not keep a process from ending.
            thread = threading.Thread(target=self._run, name="difficulty-log", daemon=True)
            thread.start()
            self._thread = thread

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all so far is written and synced; ``False`` after ``timeout`` seconds."""
        if self._thread is None:
            return True  # nothing came yet
        request, until = _Flush(threading.Event()), time.monotonic() + timeout
        try:
            self._queue.put(request, timeout=timeout)
        except queue.Full:
            return False
        return request.done.wait(max(0.0, until - time.monotonic()))

    def close(self, timeout: float = 10.0) -> bool:
        """Write what waits and close the sinks; ``False`` after ``timeout`` seconds."""
        with self._lock:  # after it no event is put behind the end
            closed, self._closed = self._closed, True
        if self._thread is None:
            for sink in self._sinks:
                self._close_sink(sink)
            return True
        if not closed:
            try:
                self._queue.put(None, timeout=timeout)  # the end: behind all that waits
            except queue.Full:
                return False
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def report(self) -> LogReport:
        """Return what was taken and lost so far."""
        with self._lock:
            return LogReport(self._accepted, self._dropped, dict(self._lost), self._queue.qsize())

    def _run(self) -> None:
        while True:
            batch = self._batch()
            events = list(map(clean, (item for item in batch if isinstance(item, DecisionEvent))))
            flushes = [item for item in batch if isinstance(item, _Flush)]
            for sink in self._sinks:
                self._serve(sink, events, now=bool(flushes), last=None in batch)
            for flush in flushes:
                flush.done.set()
            if None in batch:
                return

    def _batch(self) -> list[DecisionEvent | _Flush | None]:
        """Wait half a second for something, then take what is there, up to the end."""
        batch: list[DecisionEvent | _Flush | None] = []
        try:
            batch.append(self._queue.get(timeout=_TICK_S))
            while len(batch) < _MOST_AT_ONCE and batch[-1] is not None:
                batch.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return batch

    def _serve(self, sink: Sink, events: list[DecisionEvent], *, now: bool, last: bool) -> None:
        """Give a batch to a sink; one that fails harms neither the thread nor the other sinks."""
        lost, error = _write(sink, events)
        try:
            sink.sync(now=now)  # an error here loses no event that was written
        except BaseException as problem:
            error = problem
        if last:
            self._close_sink(sink)
        self._count(sink, lost, error, wrote=bool(events))

    def _close_sink(self, sink: Sink) -> None:
        try:
            sink.close()
        except BaseException as error:
            self._count(sink, 0, error, wrote=False)

    def _count(self, sink: Sink, lost: int, error: BaseException | None, *, wrote: bool) -> None:
        """Count what was lost, and say once when a sink begins and when it ends to fail."""
        with self._lock:
            self._lost[sink.name] += lost
        is_failing = sink.name in self._failing
        if error is not None and not is_failing:
            self._failing.add(sink.name)
            logger.warning(
                "decision log: %s cannot be written (%s); events are lost and counted until it can",
                sink.name,
                # An error of a file names the file; any other may hold what the event holds.
                error if isinstance(error, OSError) else type(error).__name__,
            )
        elif error is None and wrote and is_failing:
            self._failing.discard(sink.name)
            logger.warning(
                "decision log: %s is written again; %d events were lost so far",
                sink.name,
                self._lost[sink.name],
            )


def _write(sink: Sink, events: list[DecisionEvent]) -> tuple[int, BaseException | None]:
    """Write a batch, event by event where it is refused; return how many were lost, and why."""
    if not events:
        return 0, None
    try:
        sink.write(events)
    except BaseException as error:
        if len(events) == 1:
            return 1, error
        each = [_write(sink, [event]) for event in events]
        return sum(lost for lost, _ in each), next((why for _, why in each if why), None)
    return 0, None


@cache
def _watch_forks() -> WeakSet[DecisionLog]:
    """Return the logs of this process, each of which begins anew in the child of a fork."""
    logs: WeakSet[DecisionLog] = WeakSet()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=partial(_begin_anew, logs))
    return logs


def _begin_anew(logs: WeakSet[DecisionLog]) -> None:
    for log in logs:
        log.after_fork()


def writer_name() -> str:
    """Return a name that no other process has and that sorts by time."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}-{secrets.token_hex(3)}"


_NS_PER_S, _NS_PER_MS = 1_000_000_000, 1_000_000
_LEFT_OUT = {"calls", "escalation", "messages", "tools", "time", "format"}
_OF_CALLS = (
    "model",
    "prompt_tokens",
    "completion_tokens",
    "cost_usd",
    "latency_ms",
    "error",
    "passed",
)


class OpenTelemetrySink:
    """Emit a span ``difficulty.decision`` for each event.

    Parameters
    ----------
    provider : opentelemetry.trace.TracerProvider, optional
        Where spans go; default: the process's own.
    """

    name = "opentelemetry"

    def __init__(self, provider: Any = None) -> None:
        self._tracer = (provider or _import_trace().get_tracer_provider()).get_tracer("difficulty")

    def write(self, events: Sequence[DecisionEvent]) -> None:
        """Emit one span for each event, with the times of the request."""
        # All is read before the first is sent: a batch is taken whole or not at all.
        read = [(event, dict(_list_attributes(event))) for event in events]
        for event, attributes in read:
            start = int(event.time.timestamp() * _NS_PER_S)
            span = self._tracer.start_span(
                "difficulty.decision", start_time=start, attributes=attributes
            )
            span.end(end_time=start + int((event.latency_ms or 0.0) * _NS_PER_MS))

    def sync(self, *, now: bool = False) -> None:
        """Do nothing: the provider exports."""

    def close(self) -> None:
        """Do nothing: the provider belongs to the process."""


def _list_attributes(event: DecisionEvent) -> Iterator[tuple[str, Any]]:
    """Yield what is known of an event; unknown values have no attribute."""
    yield "difficulty.format", EVENT_FORMAT
    fields = [*event.as_dict().items(), ("cost_usd", event.cost_usd)]
    fields += [
        (f"{call.role}.{name}", getattr(call, name)) for call in event.calls for name in _OF_CALLS
    ]
    if event.escalation is not None:
        told = event.escalation.as_dict()
        fields += [(f"escalation.{name}", value) for name, value in told.items()]
    for name, value in fields:
        if name not in _LEFT_OUT and value not in (None, []):
            yield f"difficulty.{name}", value


def _import_trace() -> Any:
    try:
        from opentelemetry import trace
    except ImportError as error:
        raise MissingExtraError(
            "the OpenTelemetry log", package="opentelemetry-api", extra="telemetry"
        ) from error
    return trace
