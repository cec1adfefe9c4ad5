"""Logs as the gateway writes them, whole and damaged, as a table."""

import gzip
import json
from datetime import UTC, datetime, timedelta, timezone

import duckdb
import numpy as np
import pytest

from difficulty.decisions import exact_sum, plain_sum, read_decisions
from difficulty.errors import InvalidValueError, LogError, TrafficNotFoundError, UnknownNameError
from difficulty.events import Check, DecisionEvent, Escalation
from difficulty.gateway import DecisionLog, JsonLinesSink, read_log
from difficulty.gateway.log_files import event_line
from tests.events import WHEN, answer, event_of


def lines(*events):
    return b"".join(event_line(event) for event in events)


def numbered(n, **changes):
    """Return n events of one writer, a minute apart."""
    return [
        event_of(
            number,
            **{"time": WHEN + timedelta(minutes=number), "seq": number, "writer": "w"} | changes,
        )
        for number in range(n)
    ]


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "decisions"
    place.mkdir()
    return place


def test_table_holds_what_the_gateway_logged(tmp_path):
    """Every column, of a request that fell back and of one that was sent at once."""
    fallen = event_of(
        0,
        task="extract",
        group="g1",
        tokens=12,
        familiarity=0.75,
        p_cheap_fails=0.25,
        p_frontier_fails=0.125,
        decision_ms=0.5,
        fallback="validation",
        escalation=Escalation(
            answer_score=0.5,
            p_answer_fails=0.25,
            threshold=0.75,
            reason="within_threshold",
            policy_escalates=False,
            escalated=True,
            propensity=0.5,
        ),
        calls=(
            answer(
                latency_ms=8.0,
                checks=(Check(name="non_empty", passed=True), Check(name="json", passed=False)),
            ),
            answer("frontier", role="fallback", cost_usd=0.5, latency_ms=20.0),
        ),
    )
    sent = event_of(
        1,
        time=WHEN + timedelta(seconds=1),
        route="frontier",
        policy_route="cheap",
        difficulty_score=None,
        propensity=0.05,
        held_on="cheap",
        switch_cost_usd=0.0625,
        calls=(
            answer("frontier", cost_usd=0.25, checks=()),
            answer("cheap", role="shadow", cost_usd=0.125),
        ),
    )
    log = DecisionLog([JsonLinesSink(tmp_path / "log")], writer="w")
    for event in (fallen, sent):
        log.write(event)
    log.close()
    with read_decisions(tmp_path / "log") as table:
        columns = table.arrays(table.columns)
        assert len(table) == 2
    expected = {
        "id": ["r0", "r1"],
        "route": ["cheap", "frontier"],
        "policy_route": ["cheap", "cheap"],
        "reason": ["within_threshold"] * 2,
        "bundle_version": ["small-1"] * 2,
        "writer": ["w", "w"],
        "seq": [0, 1],
        "threshold": [0.5, 0.5],
        "difficulty_score": [0.25, np.nan],
        "p_cheap_fails": [0.25, np.nan],
        "p_frontier_fails": [0.125, np.nan],
        "familiarity": [0.75, np.nan],
        "propensity": [0.95, 0.05],
        "task": ["extract", None],
        "group": ["g1", None],
        "tokens": [12, np.nan],
        "truncated": [0, 0],
        "outcome": ["answered"] * 2,
        "fallback": ["validation", None],
        "latency_ms": [12.5, 12.5],
        "decision_ms": [0.5, np.nan],
        "cost_usd": [0.501, 0.25],  # what nobody saw is no cost of the request
        "cheap_role": ["answer", "shadow"],
        "frontier_role": ["fallback", "answer"],
        "cheap_model": ["cheap-model"] * 2,
        "frontier_model": ["frontier-model"] * 2,
        "cheap_cost_usd": [0.001, 0.125],
        "frontier_cost_usd": [0.5, 0.25],
        "cheap_prompt_tokens": [10, 10],
        "cheap_completion_tokens": [5, 5],
        "frontier_prompt_tokens": [10, 10],
        "frontier_completion_tokens": [5, 5],
        "cheap_latency_ms": [8, np.nan],
        "frontier_latency_ms": [20, np.nan],
        "cheap_passed": [0, 1],
        "failed_validator": ["json", None],
        "cheap_error": [None, None],
        "frontier_error": [None, None],
        "answer_score": [0.5, np.nan],
        "p_answer_fails": [0.25, np.nan],
        "answer_threshold": [0.75, np.nan],
        "policy_escalates": [0, np.nan],
        "escalated": [1, np.nan],
        "escalation_propensity": [0.5, np.nan],
        "cheap_quality": [np.nan] * 2,
        "frontier_quality": [np.nan] * 2,
        "preference": [None, None],
        "measured_by": [None, None],
        "held_on": [None, "cheap"],
        "switch_cost_usd": [np.nan, 0.0625],
    }
    for name, values in expected.items():
        if isinstance(values[-1], str) or values[0] is None or values[-1] is None:
            assert columns[name].tolist() == values, name
        else:
            np.testing.assert_array_equal(columns[name], values, name)
    assert columns.keys() - expected.keys() == {"day", "ineligible", "time"}
    assert columns["day"].dtype == "datetime64[D]"
    assert columns["time"][1] - columns["time"][0] == np.timedelta64(1, "s")


def test_costs_are_those_of_the_event(folder):
    """A failed call without a cost is free, one that answered without a cost is unknown."""
    events = [
        event_of(
            0, calls=(answer(error="timeout", cost_usd=None), answer("frontier", role="fallback"))
        ),
        event_of(1, calls=(answer(cost_usd=None),)),
        event_of(2, calls=()),
        event_of(3, calls=(answer(), answer("frontier", role="fallback", cost_usd=None))),
        event_of(4, calls=(answer(), answer("frontier", role="shadow", cost_usd=None))),
    ]
    (folder / "a.jsonl").write_bytes(lines(*events))
    with read_decisions(folder) as table:
        costs = table.arrays(["cost_usd"])["cost_usd"]
    np.testing.assert_array_equal(
        costs, [np.nan if event.cost_usd is None else event.cost_usd for event in events]
    )


def test_answer_that_never_came_is_no_verdict(folder):
    """Nothing, a validator that failed itself, and a pass beside one are told apart."""
    checks = (Check(name="a", passed=None),)
    events = [
        event_of(0, calls=(answer(error="timeout", passed=False),)),
        event_of(1, calls=(answer(checks=checks),)),
        event_of(2, calls=(answer(checks=(*checks, Check(name="b", passed=True))),)),
        event_of(3, calls=(answer(checks=()),)),
    ]
    (folder / "a.jsonl").write_bytes(lines(*events))
    with read_decisions(folder) as table:
        columns = table.arrays(["cheap_passed", "failed_validator", "cheap_error"])
    np.testing.assert_array_equal(columns["cheap_passed"], [np.nan, np.nan, 1.0, np.nan])
    assert columns["failed_validator"].tolist() == [None] * 4
    assert columns["cheap_error"].tolist() == ["timeout", None, None, None]


def test_damage_is_counted_and_the_rest_is_read(folder):
    good = numbered(6)
    content = lines(*good[:3])
    content += b"{broken}\n\n[1, 2]\n" + b"\xff\xfe\n"
    content += b'{"id": "x", "format": 1, "route": "cheap"}\n'
    content += event_line(good[3]).replace(b'"format":1', b'"format":2')
    content += event_line(good[4]).replace(b'"route":"cheap"', b'"route":"middle"')
    content += event_line(good[5]).replace(b"+00:00", b"")
    content += event_line(event_of(9))[:-40]
    (folder / "a.jsonl").write_bytes(content)
    with read_decisions(folder) as table:
        reading = table.reading
    assert (reading.events, reading.damaged, reading.torn) == (3, 3, 1)
    assert (reading.newer, reading.refused, reading.without_zone) == (1, 2, 1)
    assert len(list(reading.sentences())) >= 5


def test_reader_and_table_agree_on_a_log_that_is_whole(folder):
    (folder / "a.jsonl").write_bytes(lines(*numbered(40)))
    (folder / "b.jsonl").write_bytes(lines(*numbered(30, writer="v"))[:-10])
    reader = read_log(folder)
    events = list(reader)
    with read_decisions(folder) as table:
        ids = table.arrays(["id", "writer"])
        assert (table.reading.torn, table.reading.missing) == (reader.torn, reader.missing)
    # One event a request id and writer; both writers gave the same ids.
    assert sorted(zip(ids["id"], ids["writer"], strict=True)) == sorted(
        (event.id, event.writer) for event in events
    )


def test_events_that_are_there_twice_count_once(folder, tmp_path):
    events = numbered(5)
    (folder / "a.jsonl").write_bytes(lines(*events))
    (folder / "copy.jsonl").write_bytes(lines(*events[:3], events[3], events[3]))
    other = tmp_path / "other"
    other.mkdir()
    (other / "b.jsonl.gz").write_bytes(gzip.compress(lines(events[0])))
    with read_decisions([folder, other, folder]) as table:
        assert (table.reading.events, table.reading.doubled) == (5, 6)
        assert (table.reading.files, table.reading.shared_ids) == (3, 0)


def test_id_that_two_requests_share_is_told(folder):
    events = [event_of(1, seq=0, writer="a"), event_of(1, seq=0, writer="b"), event_of(2, seq=1)]
    (folder / "a.jsonl").write_bytes(lines(*events))
    with read_decisions(folder) as table:
        assert (table.reading.events, table.reading.shared_ids) == (3, 2)


def test_clocks_of_two_zones_give_one_order(folder):
    """Half past two in Berlin is before one o'clock in London."""
    berlin = WHEN.astimezone(timezone(timedelta(hours=2))).isoformat()
    early = event_line(event_of(0)).replace(b"2026-11-25T12:00:00.000+00:00", berlin.encode())
    late = event_line(event_of(1, time=WHEN + timedelta(hours=1)))
    compact = event_line(event_of(2)).replace(
        b"2026-11-25T12:00:00.000+00:00", b"2026-11-25T12:30:00Z"
    )
    (folder / "a.jsonl").write_bytes(late + early + compact)
    with read_decisions(folder) as table:
        columns = table.arrays(["id", "time"])
        assert table.reading.other_zones == 1
    assert columns["id"].tolist() == ["r0", "r2", "r1"]
    assert columns["time"][0] == np.datetime64("2026-11-25T12:00:00")


def test_clock_that_goes_back_and_numbers_that_are_missing(folder):
    events = numbered(6)
    events[3] = event_of(3, time=WHEN - timedelta(hours=1), seq=3, writer="w")
    ahead = event_of(50, time=datetime.now(UTC) + timedelta(days=400), seq=6, writer="w")
    (folder / "a.jsonl").write_bytes(lines(*events[:2], *events[3:], ahead))
    with read_decisions(folder) as table:
        reading = table.reading
    assert (reading.out_of_order, reading.missing, reading.from_future) == (1, 1, 1)


@pytest.mark.parametrize("written", ["0", "-0.5", "1.5", "1e400", "NaN"])
def test_propensity_that_cannot_be_is_unknown(folder, written):
    line = event_line(event_of(0)).replace(b'"propensity":0.95', f'"propensity":{written}'.encode())
    none = event_line(event_of(1)).replace(b'"propensity":0.95,', b"")
    (folder / "a.jsonl").write_bytes(line + none + event_line(event_of(2)))
    with read_decisions(folder) as table:
        reading = table.reading
        propensities = table.arrays(["propensity"])["propensity"]
    assert (reading.bad_propensity, reading.without_propensity) == (1, 1)
    np.testing.assert_array_equal(propensities, [np.nan, np.nan, 0.95])


def test_numbers_that_cannot_be_are_unknown(folder):
    odd = event_line(event_of(0, seq=0, writer="w"))
    for old, new in {
        b'"difficulty_score":0.25': b'"difficulty_score":1.25',
        b'"cost_usd":0.001': b'"cost_usd":-1',
        b'"latency_ms":12.5': b'"latency_ms":"soon"',
        b'"prompt_tokens":10': b'"prompt_tokens":[10]',
        b'"calls":[': b'"extra":{"new":1},"calls":[7,',
    }.items():
        assert old in odd
        odd = odd.replace(old, new)
    (folder / "a.jsonl").write_bytes(odd)
    with read_decisions(folder) as table:
        columns = table.arrays(
            [
                "difficulty_score",
                "cost_usd",
                "latency_ms",
                "cheap_prompt_tokens",
                "cheap_completion_tokens",
            ]
        )
        assert table.reading.bad_numbers == 1
    assert [float(column[0]) for column in columns.values()] == pytest.approx(
        [np.nan, np.nan, np.nan, np.nan, 5.0], nan_ok=True
    )
    # A share that float32 rounds to a little above 1 is 1.
    near = odd.replace(b'"familiarity":null', b'"familiarity":1.0000001192092896')
    (folder / "a.jsonl").write_bytes(near)
    with read_decisions(folder) as table:
        assert table.arrays(["familiarity"])["familiarity"][0] == 1.0


def test_foreign_bundles_are_counted_and_stay(folder):
    events = [event_of(0), event_of(1, bundle_version="old-3"), event_of(2, bundle_version="old-3")]
    (folder / "a.jsonl").write_bytes(lines(*events))
    with read_decisions(folder, bundle_versions=["small-1"]) as table:
        assert table.reading.foreign_bundle == 2
        assert table.reading.bundle_versions == {"old-3": 2, "small-1": 1}
        assert len(table.arrays(["id"], where="bundle_version = 'small-1'")["id"]) == 1


def test_packed_file_that_is_cut_off_gives_what_is_there(folder):
    events = numbered(2_000)
    packed = gzip.compress(lines(*events))
    (folder / "a.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(lines(*numbered(3, writer="v"))[:-9]))
    with read_decisions(folder) as table:
        reading = table.reading
    assert 500 < reading.events < 1_500
    assert (reading.broken_files, reading.torn, reading.damaged) == (1, 2, 0)


def test_line_that_is_nested_too_deeply_costs_no_other(folder):
    deep = b'{"format":1,"id":"d","messages":' + b"[" * 5_000 + b"]" * 5_000 + b"}\n"
    less = event_line(event_of(7)).replace(
        b'"messages":null', b'"messages":' + b"[" * 300 + b"]" * 300
    )
    (folder / "a.jsonl").write_bytes(lines(*numbered(3)) + deep + less)
    with read_decisions(folder) as table:
        reading = table.reading
    # DuckDB may pass over it, or refuse the file, which is read from a copy then.
    assert (reading.events, reading.damaged + reading.refused) == (4, 1)


def test_texts_are_kept_where_they_are_asked_for(folder):
    told = event_of(0, messages=({"role": "user", "content": "où\u0000?"},))
    (folder / "a.jsonl").write_bytes(
        lines(event_of(1, time=WHEN + timedelta(1))) + event_line(told)
    )
    with read_decisions(folder, texts=True) as table:
        messages = table.arrays(["messages"])["messages"]
        assert table.reading.with_texts == 1
    assert [text and json.loads(text)[0]["role"] for text in messages] == ["user", None]


def test_parquet_is_read_like_the_lines(folder, tmp_path):
    """As DuckDB writes a log, and with nested fields as text."""
    source = folder / "a.jsonl"
    source.write_bytes(lines(*numbered(4, task="extract")))
    for number, calls in enumerate(("calls AS calls", "CAST(to_json(calls) AS VARCHAR) AS calls")):
        place = tmp_path / f"parquet-{number}"
        place.mkdir()
        duckdb.sql(
            f"COPY (SELECT * REPLACE ({calls}) FROM read_json('{source}')) TO"
            f" '{place / 'log.parquet'}' (FORMAT parquet)"
        )
        with read_decisions(folder) as table, read_decisions(place) as same:
            names = [name for name in table.columns if name != "messages"]
            lines_say, parquet_says = table.arrays(names), same.arrays(names)
            assert same.reading.events == 4
        for name in names:
            np.testing.assert_array_equal(parquet_says[name], lines_say[name], name)


def test_names_with_signs_of_patterns_are_names(tmp_path):
    place = tmp_path / "log [a] it's {b} *"
    place.mkdir()
    (place / "part?.jsonl").write_bytes(lines(*numbered(2)))
    with read_decisions(place) as table:
        assert table.reading.events == 2


def test_requests_in_place_of_a_log_are_named_as_what_they_are(tmp_path):
    """And not called a log in which nothing could be read."""
    path = tmp_path / "requests.jsonl"
    path.write_text('{"id": "a", "prompt": "What is a purchase order?"}\n')
    with pytest.raises(LogError) as error:
        read_decisions(path)
    assert str(error.value) == (
        f"{str(path)!r} must be a decision log: it is traffic that was not ingested. Name the file"
        " or folder that the gateway writes its decisions to."
    )


def test_what_is_no_log_is_refused(tmp_path, folder):
    with pytest.raises(TrafficNotFoundError, match="no decision log at"):
        read_decisions(tmp_path / "nowhere")
    with pytest.raises(TrafficNotFoundError, match="must hold files"):
        read_decisions(folder)
    (folder / "a.jsonl").write_bytes(b'{"prompt": "secret"}\n{oops\n')
    with pytest.raises(LogError, match="must hold decision events") as error:
        read_decisions(folder)
    assert "secret" not in str(error.value)
    (folder / "b.parquet").write_bytes(b"PAR1 no parquet")
    with pytest.raises(LogError):
        read_decisions(folder)
    with pytest.raises(InvalidValueError, match="memory_gb"):
        read_decisions(folder, memory_gb=0)


def test_table_goes_with_its_folder(folder, tmp_path):
    (folder / "a.jsonl").write_bytes(lines(event_of(0)))
    work = tmp_path / "work"
    with read_decisions(folder, work_dir=work) as table:
        assert list(work.iterdir()) != []
        with pytest.raises(UnknownNameError, match="column of decisions"):
            table.arrays(["nothing"])
    assert list(work.iterdir()) == []


def test_every_event_of_the_generator_is_an_event():
    """The lines of simulated logs are those that the gateway would have written."""
    from benchmarks.lib.decision_logs import Service, log_lines

    columns = Service.usual().draw(200, np.random.default_rng(0))
    for line in log_lines(columns):
        assert event_line(DecisionEvent.from_dict(json.loads(line))) == line.encode()


def test_exact_sums_do_not_depend_on_the_order_of_rows():
    """A large number swallows small ones where floats are added; nulls and what a condition leaves
    out count for nothing, and what no sum can be is cut off.
    """
    values = [0.1, 2.0**40, 1e-9, -(2.0**40), None, 0.25]
    for rows in (values, values[::-1]):
        table = f"(SELECT unnest({rows!r}::DOUBLE[]) AS x)".replace("None", "NULL")
        total = plain_sum(exact_sum("x", "x IS NULL OR x <> 0.25"))
        assert duckdb.execute(f"SELECT {total} FROM {table}").fetchall() == [(0.1 + 1e-9,)]
    cut = plain_sum(exact_sum("x"))
    assert duckdb.execute(f"SELECT {cut} FROM (SELECT 1e300 AS x)").fetchall() == [(1e12,)]
    assert duckdb.execute(f"SELECT {cut} FROM (SELECT NULL::DOUBLE AS x)").fetchall() == [(None,)]
