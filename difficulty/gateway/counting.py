"""Sinks that keep no event but count: for Prometheus, which asks, and for OpenTelemetry, which is
told.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Sequence
from typing import Any

from difficulty.errors import InvalidValueError, MissingExtraError
from difficulty.events import DecisionEvent
from difficulty.telemetry.meter import CONTENT_TYPE, Family, Meter
from difficulty.telemetry.request_counts import count_event

logger = logging.getLogger("difficulty.runtime")

PORT = 9464
"""Where counts are served, as OpenTelemetry's Prometheus exporters do."""
_PATIENCE_S = 10.0


class PrometheusSink:
    """Serve counts of requests at ``/metrics`` on a port of their own.

    Each process has counts and a port of its own: the first that is free of ``port`` and those that
    follow it. Prometheus is told all of them.

    Parameters
    ----------
    host : str
        Address to listen on; 0.0.0.0 for every one.
    port : int
        The first port; 0 takes any that is free, see ``server_port``.
    processes : int
        Most processes on one machine: ports that are tried.

    Raises
    ------
    InvalidValueError
        If none of the ports is free.
    """

    name = "prometheus"

    def __init__(self, host: str = "127.0.0.1", port: int = PORT, processes: int = 16) -> None:
        self._host, self._port, self._processes = host, port, processes
        self.meter = Meter()
        self._server = self._listen()

    @property
    def server_port(self) -> int:
        """The port of this process."""
        return int(self._server.server_port) if self._server else 0

    def write(self, events: Sequence[DecisionEvent]) -> None:
        """Count events."""
        for event in events:
            count_event(self.meter, event)

    def sync(self, *, now: bool = False) -> None:
        """Do nothing: Prometheus asks."""

    def close(self) -> None:
        """Stop listening."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def after_fork(self) -> None:
        """Count from 0, on the next port: the parent answers on its own."""
        server, self._server = self._server, None
        self.meter = Meter()
        if server is not None:
            with contextlib.suppress(OSError):
                server.socket.close()  # shared with the parent, which goes on
        try:
            self._server = self._listen()
        except InvalidValueError as error:
            logger.warning("decision log: counts of this process are not served: %s", error)

    def _listen(self) -> Any:
        # Here and not above: most routers never serve counts.
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

        sink = self

        class MetricsHandler(BaseHTTPRequestHandler):
            timeout = _PATIENCE_S
            server_version, sys_version = "difficulty", ""

            def do_GET(self) -> None:
                known = self.path.partition("?")[0] == "/metrics"
                content = sink.meter.text().encode("utf-8") if known else b"GET knows /metrics\n"
                self.send_response(200 if known else 404)
                self.send_header("Content-Type", CONTENT_TYPE)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *arguments: Any) -> None:
                logger.debug(format, *arguments)

        class MetricsServer(ThreadingHTTPServer):
            daemon_threads = True
            # Two processes on one port would each answer for the other.
            allow_reuse_port = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                logger.debug("a connection ended", exc_info=True)

        tried = range(self._port, self._port + (self._processes if self._port else 1))
        for port in tried:
            try:
                server = MetricsServer((self._host, port), MetricsHandler)
            except OSError as error:
                problem = error
                continue
            threading.Thread(
                target=server.serve_forever, name="difficulty-metrics", daemon=True
            ).start()
            return server
        raise InvalidValueError(
            "port",
            self._port,
            rule=f"be free at {self._host}, or one of the {len(tried) - 1} that follow it"
            f" ({type(problem).__name__})",
            hint="Name another port, or raise 'processes'.",
        )


class OpenTelemetryMetricsSink:
    """Record counts of requests with OpenTelemetry's instruments.

    Names and labels are those of Prometheus, less ``_total``.

    Parameters
    ----------
    provider : opentelemetry.metrics.MeterProvider, optional
        Where they go; default: the process's own.
    """

    name = "opentelemetry_metrics"

    def __init__(self, provider: Any = None) -> None:
        provider = provider or _import_metrics().get_meter_provider()
        self._recorder = _Instruments(provider.get_meter("difficulty"))

    def write(self, events: Sequence[DecisionEvent]) -> None:
        """Record events."""
        for event in events:
            count_event(self._recorder, event)

    def sync(self, *, now: bool = False) -> None:
        """Do nothing: the provider exports."""

    def close(self) -> None:
        """Do nothing: the provider belongs to the process."""


class _Instruments:
    """A recorder of OpenTelemetry."""

    def __init__(self, meter: Any) -> None:
        self._meter = meter
        self._known: dict[Family, Any] = {}

    def add(self, family: Family, *labels: str, amount: float = 1.0) -> None:
        """Add to a counter."""
        self._instrument(family).add(amount, _attributes(family, labels))

    def observe(self, family: Family, value: float, *labels: str) -> None:
        """Put a value into a histogram."""
        self._instrument(family).record(value, _attributes(family, labels))

    def _instrument(self, family: Family) -> Any:
        if family not in self._known:
            name = family.name.removesuffix("_total")
            unit = "s" if name.endswith("_seconds") else "1"
            if family.kind == "counter":
                made = self._meter.create_counter(name, unit=unit, description=family.meaning)
            else:
                made = self._meter.create_histogram(
                    name,
                    unit=unit,
                    description=family.meaning,
                    explicit_bucket_boundaries_advisory=family.bounds,
                )
            self._known[family] = made
        return self._known[family]


def _attributes(family: Family, labels: Sequence[str]) -> dict[str, str]:
    return dict(zip(family.labels, labels, strict=True))


def _import_metrics() -> Any:
    try:
        from opentelemetry import metrics
    except ImportError as error:
        raise MissingExtraError(
            "OpenTelemetry's metrics", package="opentelemetry-api", extra="telemetry"
        ) from error
    return metrics
