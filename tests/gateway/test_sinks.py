"""The other sinks, and what holds for all of them."""

import re

import duckdb
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from difficulty.errors import MissingExtraError, UnknownNameError
from difficulty.gateway.log import DecisionLog, OpenTelemetrySink, build_sink
from difficulty.gateway.log_files import JsonLinesSink, read_log
from tests.conftest import REPOSITORY
from tests.events import answer, event_of
from tests.journey import forget

EVENTS = [
    event_of(0),
    event_of(
        1,
        calls=(answer(passed=False), answer("frontier", role="fallback")),
        fallback="validation",
        task="extract",
    ),
    event_of(2, difficulty_score=None, messages=({"role": "user", "content": "Hi"},)),
]


def logged(*sinks):
    """Write the events through a log and return them as it numbered them."""
    log = DecisionLog(sinks, writer="w")
    for event in EVENTS:
        log.write(event)
    assert log.close()
    assert not any(log.report().lost.values())


def test_json_lines_takes_batches_after_close_of_another(tmp_path):
    """Two processes may log to one place: nothing that is there is overwritten."""
    for _ in range(2):
        sink = build_sink("json_lines", path=tmp_path)
        sink.write([event_of(seq=0, writer=str(id(sink)))])
        sink.sync(now=True)
        sink.close()
        sink.close()
    assert len(list(read_log(tmp_path))) == 2


def test_duckdb_reads_the_log_as_the_page_says(tmp_path, monkeypatch):
    """The line of docs/decision-log.md, run in the folder that holds the log."""
    logged(JsonLinesSink(tmp_path / "decisions"))
    monkeypatch.chdir(tmp_path)
    page = (REPOSITORY / "docs" / "decision-log.md").read_text(encoding="utf-8")
    (query,) = re.findall(r"^SELECT route, .*?;$", page, flags=re.MULTILINE | re.DOTALL)
    rows = duckdb.sql(query).fetchall()
    assert [row[:2] for row in rows] == [(EVENTS[0].route, 3)]


def test_opentelemetry_emits_a_span_an_event_without_texts():
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    logged(OpenTelemetrySink(provider))
    spans = exporter.get_finished_spans()
    assert [span.attributes["difficulty.id"] for span in spans] == ["r0", "r1", "r2"]
    assert spans[1].attributes["difficulty.answer.passed"] is False
    assert spans[1].attributes["difficulty.fallback.model"] == "frontier-model"
    assert "difficulty.difficulty_score" not in spans[2].attributes
    assert "Hi" not in str(spans[2].attributes)
    assert spans[0].end_time - spans[0].start_time == 12_500_000


def test_sink_names_the_extra_it_needs(monkeypatch):
    forget(monkeypatch, "opentelemetry")
    with pytest.raises(MissingExtraError, match="pip install"):
        build_sink("opentelemetry")


def test_unknown_sink_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="Known: json_lines, opentelemetry, .*prometheus"):
        build_sink("syslog")
