"""The other sinks, and what holds for all of them."""

import json
import sqlite3
from contextlib import closing

import pyarrow.parquet as pq
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from difficulty.errors import InvalidValueError, MissingExtraError, UnknownNameError
from difficulty.events import DecisionEvent
from difficulty.runtime.log import SINKS, DecisionLog, build_sink
from difficulty.runtime.log.opentelemetry import OpenTelemetrySink
from difficulty.runtime.log.parquet import ParquetSink, schema
from difficulty.runtime.log.sqlite import SqliteSink
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


def query(path, text):
    with closing(sqlite3.connect(path)) as database:
        return database.execute(text).fetchall()


@pytest.mark.parametrize("kind", sorted({*SINKS} - {"opentelemetry"}))
def test_every_sink_takes_batches_after_close_of_another(kind, tmp_path):
    """Two processes may log to one place: nothing that is there is overwritten."""
    for _ in range(2):
        sink = build_sink(kind, path=tmp_path / "log")
        sink.write([event_of(seq=0, writer=str(id(sink)))])
        sink.sync(now=True)
        sink.close()
        sink.close()
    where = tmp_path / "log"
    found = (
        len(query(where, "SELECT 1 FROM events"))
        if kind == "sqlite"
        else len(list(where.iterdir()))
    )
    assert found == 2


def test_sqlite_keeps_columns_to_query_and_the_whole_event(tmp_path):
    logged(SqliteSink(tmp_path / "log.sqlite"))
    rows = query(
        tmp_path / "log.sqlite",
        "SELECT seq, id, fallback, cost_usd, difficulty_score FROM events ORDER BY seq",
    )
    assert rows == [
        (0, "r0", None, 0.001, 0.25),
        (1, "r1", "validation", 0.002, 0.25),
        (2, "r2", None, 0.001, None),
    ]
    events = [
        DecisionEvent.from_dict(json.loads(text))
        for (text,) in query(tmp_path / "log.sqlite", "SELECT event FROM events ORDER BY seq")
    ]
    assert [event.calls for event in events] == [event.calls for event in EVENTS]
    assert query(tmp_path / "log.sqlite", "PRAGMA journal_mode") == [("wal",)]


def test_sqlite_of_another_format_is_left_alone(tmp_path):
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as database:
        database.execute("PRAGMA user_version=9")
    log = DecisionLog([sink := SqliteSink(tmp_path / "log.sqlite")])
    log.write(event_of())
    assert log.close()
    assert log.report().lost == {sink.name: 1}
    assert query(tmp_path / "log.sqlite", "SELECT name FROM sqlite_master") == []


def test_parquet_has_the_fields_of_an_event(tmp_path):
    logged(ParquetSink(tmp_path, max_rows=2))
    rows = [row for file in sorted(tmp_path.iterdir()) for row in pq.read_table(file).to_pylist()]
    assert [row["id"] for row in rows] == ["r0", "r1", "r2"]
    assert rows[1]["calls"][0]["checks"] == [{"name": "non_empty", "passed": False, "detail": ""}]
    assert json.loads(rows[2]["messages"]) == [{"role": "user", "content": "Hi"}]
    assert rows[0]["time"] == EVENTS[0].time


def test_parquet_knows_every_field():
    """A field added to the event needs a column."""
    assert {*schema().names} == {*event_of().as_dict()} - {"format"}
    call = schema().field("calls").type.value_type
    assert {call.field(number).name for number in range(call.num_fields)} == {
        *event_of().as_dict()["calls"][0]
    }


def test_parquet_keeps_what_it_gathered_when_a_file_cannot_be_written(tmp_path):
    blocked = tmp_path / "log"
    blocked.write_text("")
    sink = ParquetSink(blocked)
    sink.write(EVENTS)
    with pytest.raises(OSError, match="exists"):
        sink.sync(now=True)
    blocked.unlink()
    sink.close()
    assert sum(pq.read_table(file).num_rows for file in blocked.iterdir()) == 3


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


@pytest.mark.parametrize(
    ("kind", "package"), [("parquet", "pyarrow"), ("opentelemetry", "opentelemetry")]
)
def test_sink_names_the_extra_it_needs(kind, package, monkeypatch, tmp_path):
    forget(monkeypatch, package)
    with pytest.raises(MissingExtraError, match="pip install"):
        build_sink(kind, **({"path": tmp_path} if kind == "parquet" else {}))


def test_unknown_sink_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="Known: json_lines, opentelemetry, parquet, sqlite"):
        build_sink("syslog")


@pytest.mark.parametrize(
    ("sink", "options"), [(SqliteSink, {"fsync": "often"}), (ParquetSink, {"max_rows": 0})]
)
def test_sinks_refuse_options_that_break_a_rule(sink, options, tmp_path):
    with pytest.raises(InvalidValueError):
        sink(tmp_path, **options)
