"""The decision log: a bounded queue and one thread, so that no request ever waits for a disk or
fails because of it. Other packages add sinks through entry points of the group
``difficulty.log_sinks``.
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
from typing import Any, Literal, NamedTuple, Protocol

from difficulty.errors import InvalidValueError, MissingExtraError
from difficulty.events import EVENT_FORMAT, DecisionEvent
from difficulty.form import Record
from difficulty.plugins import resolve

Fsync = Literal["never", "interval", "always"]

SINKS = {
    "json_lines": "difficulty.gateway.log_files:JsonLinesSink",
    "opentelemetry": "difficulty.gateway.log:OpenTelemetrySink",
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

    ``write`` neither waits nor raises. A sink that fails is warned of once, counted, and tried
    again with the next batch.

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
        self.writer = writer or writer_name()
        self._sinks = list(sinks)
        self._queue: queue.Queue[DecisionEvent | _Flush | None] = queue.Queue(capacity)
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._accepted = 0
        self._dropped = 0
        self._lost = dict.fromkeys((sink.name for sink in self._sinks), 0)
        self._failing: set[str] = set()
        self._full = False
        self._closed = False
        # A daemon, so that a log nobody closes does not keep a process from ending.
        self._thread = threading.Thread(target=self._run, name="difficulty-log", daemon=True)
        self._thread.start()

    def write(self, event: DecisionEvent) -> bool:
        """Hand an event to the thread, from any thread; ``False`` when it was dropped."""
        with self._lock:  # numbers follow the order of the queue
            # One that is dropped gets a number too: readers see from the gap that it is missing.
            numbered = replace(event, seq=next(self._numbers), writer=self.writer)
            if not self._closed:
                try:
                    self._queue.put_nowait(numbered)
                except queue.Full:
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

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all so far is written and synced; ``False`` after ``timeout`` seconds."""
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
            events = [item for item in batch if isinstance(item, DecisionEvent)]
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
        unwritten = len(events)
        try:
            if events:
                sink.write(events)
            unwritten = 0  # an error of sync or close loses no event that was written
            sink.sync(now=now)
            if last:
                sink.close()
        except Exception as error:
            with self._lock:
                self._lost[sink.name] += unwritten
            if sink.name not in self._failing:
                self._failing.add(sink.name)
                logger.warning(
                    "decision log: %s cannot be written (%s); events are lost and counted until"
                    " it can",
                    sink.name,
                    error,
                )
        else:
            if events and sink.name in self._failing:
                self._failing.discard(sink.name)
                logger.warning(
                    "decision log: %s is written again; %d events were lost so far",
                    sink.name,
                    self._lost[sink.name],
                )


def writer_name() -> str:
    """Return a name that no other process has and that sorts by time."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}-{secrets.token_hex(3)}"


_NS_PER_S, _NS_PER_MS = 1_000_000_000, 1_000_000
_LEFT_OUT = {"calls", "messages", "time", "format"}
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
        for event in events:
            start = int(event.time.timestamp() * _NS_PER_S)
            span = self._tracer.start_span(
                "difficulty.decision", start_time=start, attributes=dict(_list_attributes(event))
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
    for name, value in fields:
        if name not in _LEFT_OUT and value is not None:
            yield f"difficulty.{name}", value


def _import_trace() -> Any:
    try:
        from opentelemetry import trace
    except ImportError as error:
        raise MissingExtraError(
            "the OpenTelemetry log", package="opentelemetry-api", extra="telemetry"
        ) from error
    return trace
