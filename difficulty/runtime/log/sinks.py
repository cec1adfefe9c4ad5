"""Where decision events go: the seam that sinks share, and their names.

To add a sink, write a module with a class that has the methods of :class:`Sink` and add one line to
``SINKS``; another package registers one as an entry point of group ``difficulty.log_sinks``. A sink
is used by one thread only, the log's own, and may raise: what it could not take is counted and the
next batch is tried again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from difficulty.events import DecisionEvent
from difficulty.plugins import resolve

Fsync = Literal["never", "interval", "always"]

SINKS = {
    "json_lines": "difficulty.runtime.log.json_lines:JsonLinesSink",
    "opentelemetry": "difficulty.runtime.log.opentelemetry:OpenTelemetrySink",
}


class Sink(Protocol):
    """A place that keeps events."""

    @property
    def name(self) -> str:
        """What warnings and counts call it."""

    def write(self, events: Sequence[DecisionEvent]) -> None:
        """Take a batch, whole or not at all; raise when that is not possible."""

    def sync(self, *, now: bool = False) -> None:
        """Make durable what is due, or everything; called after every batch, and twice a second
        without any.
        """

    def close(self) -> None:
        """Make everything durable and let go of files."""


def build_sink(kind: str, **options: Any) -> Sink:
    """Return the sink of a name; ``options`` are those of its constructor."""
    return resolve(kind, SINKS, kind="log sink")(**options)  # type: ignore[no-any-return]
