"""Sinks that count: what Prometheus reads at the port, and what OpenTelemetry's reader has."""

import os
import urllib.error
import urllib.request

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from difficulty.errors import InvalidValueError, MissingExtraError
from difficulty.events import Escalation
from difficulty.gateway.counting import OpenTelemetryMetricsSink, PrometheusSink
from difficulty.gateway.log import build_sink
from tests.events import answer, event_of
from tests.gateway.test_sinks import logged
from tests.journey import forget
from tests.telemetry.conftest import read_text

CHECKED = Escalation(
    reason="above_threshold", policy_escalates=True, escalated=True, propensity=1.0
)


def fetch(port, path="/metrics"):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as reply:
        assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return read_text(reply.read().decode())


@pytest.fixture
def sink():
    sink = PrometheusSink(port=0)
    yield sink
    sink.close()


def test_prometheus_reads_counts_of_requests(sink):
    """Two kept requests, one of them caught, and one that was not scored; worked by hand."""
    log_events = [
        event_of(0, decision_ms=0.3),
        event_of(
            1,
            calls=(
                answer(passed=False, latency_ms=300.0),
                answer("frontier", role="fallback", cost_usd=None),
            ),
            fallback="validation",
            escalation=CHECKED,
        ),
        event_of(
            2,
            route="frontier",
            reason="scorer_error",
            difficulty_score=None,
            calls=(answer("frontier", cost_usd=None, error="refused"),),
            outcome="failed",
            latency_ms=None,
        ),
    ]
    neither = ("cheap.image", "frontier.image")
    unscored = {"difficulty_score": None, "latency_ms": None, "calls": ()}
    log_events.append(event_of(3, reason="ineligible", ineligible=neither, **unscored))
    sink.write(log_events)
    samples = fetch(sink.server_port)
    bundle = ("bundle_version", "small-1")

    def value(name, **labels):
        return samples[(name, *sorted({**dict([bundle]), **labels}.items()))]

    assert value("difficulty_decisions_total", route="cheap", reason="within_threshold") == 2
    assert value("difficulty_decisions_total", route="frontier", reason="scorer_error") == 1
    assert value("difficulty_ineligible_total", rule="cheap.image") == 1
    assert value("difficulty_untaken_total") == 1
    assert value("difficulty_explored_total") == 1  # the rule said cheap
    assert value("difficulty_fallbacks_total", cause="validation") == 1
    verdicts = [
        value("difficulty_validator_verdicts_total", validator="non_empty", verdict=verdict)
        for verdict in ("passed", "failed")
    ]
    assert verdicts == [3, 1]
    assert value("difficulty_answer_checks_total", escalated="yes", reason="above_threshold") == 1
    assert value("difficulty_outcomes_total", route="frontier", outcome="failed") == 1
    assert value("difficulty_cost_usd_total", side="cheap", role="answer") == pytest.approx(0.002)
    assert value("difficulty_score_count") == 2
    assert (
        samples["difficulty_unpriced_calls_total", ("role", "fallback"), ("side", "frontier")] == 1
    )
    assert samples["difficulty_request_seconds_count", ("route", "cheap")] == 2
    assert samples["difficulty_request_seconds_sum", ("route", "cheap")] == pytest.approx(0.025)
    quick = ("le", "0.25"), ("role", "answer"), ("side", "cheap")
    assert samples[("difficulty_call_seconds_bucket", *quick)] == 0
    assert samples["difficulty_decision_seconds_bucket", ("le", "0.00025")] == 0
    assert samples["difficulty_decision_seconds_bucket", ("le", "0.0005")] == 1


def test_nothing_that_clients_send_is_a_label(sink):
    """Tasks, ids, groups and texts would make a series each, and leave the house."""
    sink.write([event_of(0, task="secret-task", group="secret-group", id="secret-id")])
    assert "secret" not in sink.meter.text()


def test_other_paths_are_not_found(sink):
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetch(sink.server_port, "/")


def test_each_process_takes_the_next_free_port():
    """Where none is free, the gateway does not start, and says what to do."""
    first = PrometheusSink(port=0)
    port = first.server_port
    second = PrometheusSink(port=port, processes=20)
    try:
        assert port < second.server_port < port + 20
        with pytest.raises(InvalidValueError, match="Name another port"):
            PrometheusSink(port=port, processes=1)
    finally:
        first.close()
        second.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_child_of_a_fork_counts_for_itself(sink):
    """The parent's counts and port stay the parent's."""
    sink = PrometheusSink(port=sink.server_port, processes=20)
    sink.write([event_of(0)])
    reading, writing = os.pipe()
    if not (child := os.fork()):
        try:
            sink.after_fork()
            sink.write([event_of(0), event_of(1)])
            count = fetch(sink.server_port)["difficulty_score_count", ("bundle_version", "small-1")]
            os.write(writing, f"{sink.server_port} {count:g}".encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as told:
        port, count = told.read().split()
    assert (int(port) > sink.server_port, count) == (True, "2")
    own = fetch(sink.server_port)
    assert own["difficulty_score_count", ("bundle_version", "small-1")] == 1
    sink.close()


def test_opentelemetry_records_the_same_counts():
    """With their labels and buckets, through the log; the SDK's own reader has them."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    logged(OpenTelemetryMetricsSink(provider))
    (scope,) = reader.get_metrics_data().resource_metrics[0].scope_metrics
    metrics = {metric.name: metric for metric in scope.metrics}
    (decisions,) = metrics["difficulty_decisions"].data.data_points
    assert decisions.value == 3
    assert dict(decisions.attributes) == {
        "route": "cheap",
        "reason": "within_threshold",
        "bundle_version": "small-1",
    }
    assert metrics["difficulty_request_seconds"].unit == "s"
    (spread,) = metrics["difficulty_request_seconds"].data.data_points
    assert (spread.count, spread.explicit_bounds[0]) == (3, 0.05)
    provider.shutdown()


def test_opentelemetry_that_is_missing_is_named(monkeypatch):
    forget(monkeypatch, "opentelemetry")
    with pytest.raises(MissingExtraError, match="telemetry"):
        build_sink("opentelemetry_metrics")
