"""OpenTelemetry: one span a request, with the event's fields as attributes. The one module that
names opentelemetry.

Spans go to a tracer provider, by default the process's own, which batches and exports them as it
was configured; texts are never sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from difficulty.errors import MissingExtraError
from difficulty.events import EVENT_FORMAT, DecisionEvent

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
