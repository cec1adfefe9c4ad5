"""The log never blocks and never raises; what it loses is counted."""

import logging
import os
import threading

import pytest

from difficulty.errors import InvalidValueError
from difficulty.gateway.log import DecisionLog, writer_name
from difficulty.gateway.log_files import JsonLinesSink, read_log
from tests.events import event_of


class MemorySink:
    """Keeps events; fails or waits when told to."""

    def __init__(self, name="memory"):
        self.name = name
        self.events, self.synced, self.closed = [], 0, False
        self.broken = False
        self.gate, self.asked = threading.Event(), threading.Event()
        self.gate.set()

    def write(self, events):
        """Keep a batch, once the gate is open."""
        self.asked.set()
        self.gate.wait(60)
        if self.broken:
            raise OSError(28, "No space left on device")
        self.events += events

    def sync(self, *, now=False):
        """Count."""
        self.synced += now

    def close(self):
        """Note it."""
        self.closed = True


@pytest.fixture
def sink():
    return MemorySink()


def test_log_numbers_events_in_the_order_they_came(sink):
    log = DecisionLog([sink], writer="me")
    assert [log.write(event_of(number)) for number in range(5)] == [True] * 5
    assert log.close()
    assert [(event.id, event.seq, event.writer) for event in sink.events] == [
        (f"r{n}", n, "me") for n in range(5)
    ]
    assert sink.closed
    assert log.report().as_dict() == {
        "accepted": 5,
        "dropped": 0,
        "lost": {"memory": 0},
        "pending": 0,
    }


def test_log_drops_and_counts_when_the_queue_is_full(sink, caplog):
    """A sink that hangs: the queue of three fills, the rest is dropped at once, with one warning
    and a gap in the numbers.
    """
    sink.gate.clear()
    log = DecisionLog([sink], capacity=3)
    assert log.write(event_of(0))
    assert sink.asked.wait(
        60
    )  # the thread has taken that one, and hangs: what comes now finds the queue as it is
    taken = [True, *(log.write(event_of(number)) for number in range(1, 50))]
    assert taken == [True] * 4 + [False] * 46
    assert log.report().dropped == 46
    assert len([record for record in caplog.records if "queue is full" in record.message]) == 1
    sink.gate.set()
    assert log.flush()
    assert log.write(event_of(50))
    assert log.close()
    assert [event.seq for event in sink.events] == [
        *(number for number in range(50) if taken[number]),
        50,
    ]


def test_log_goes_on_with_the_other_sinks_when_one_fails_and_recovers(sink, caplog):
    caplog.set_level(logging.WARNING, logger="difficulty.runtime")
    full = MemorySink("full")
    full.broken = True
    log = DecisionLog([full, sink])
    for number in range(3):
        log.write(event_of(number))
        assert log.flush()
    full.broken = False
    log.write(event_of(3))
    assert log.close()
    assert [event.id for event in sink.events] == ["r0", "r1", "r2", "r3"]
    assert [event.id for event in full.events] == ["r3"]
    assert log.report().lost == {"full": 3, "memory": 0}
    assert [record.message.partition(" (")[0] for record in caplog.records] == [
        "decision log: full cannot be written",
        "decision log: full is written again; 3 events were lost so far",
    ]


class Picky(MemorySink):
    """Takes no batch with a certain event in it, as a sink of somebody else's may."""

    def write(self, events):
        """Keep a batch, or refuse it whole."""
        if any(event.id == "r7" for event in events):
            raise ValueError("SECRETPATIENT")
        self.events += events


def test_event_that_a_sink_refuses_costs_no_other(sink, caplog):
    """A batch is tried again event by event; what is said of it holds nothing of the event."""
    picky = Picky("picky")
    sink.gate.clear()
    log = DecisionLog([sink, picky])
    for number in range(100):
        log.write(event_of(number))
    sink.gate.set()
    assert log.close()
    assert [event.id for event in picky.events] == [f"r{n}" for n in range(100) if n != 7]
    assert log.report().lost == {"memory": 0, "picky": 1}
    assert "cannot be written (ValueError)" in caplog.text
    assert "SECRET" not in caplog.text


def test_log_opened_before_a_fork_is_written_in_both_halves(tmp_path):
    """Also while the parent's thread is at work; each half has a writer and files of its own."""
    log = DecisionLog([JsonLinesSink(tmp_path)])
    for number in range(50):
        log.write(event_of(number))
    child = os.fork()
    if child == 0:
        written = all([log.write(event_of(1_000 + number)) for number in range(100)])
        report = log.report()
        done = log.close() and written and (report.accepted, report.dropped) == (100, 0)
        os._exit(0 if done else 1)
    for number in range(50, 100):
        log.write(event_of(number))
    assert os.waitpid(child, 0)[1] == 0
    assert log.close()
    reader = read_log(tmp_path)
    by_writer = {}
    for event in reader:
        by_writer.setdefault(event.writer, []).append(event.seq)
    assert sorted(by_writer.values()) == [list(range(100))] * 2
    assert (reader.missing, reader.damaged, reader.torn) == (0, 0, 0)
    assert {event.id for event in reader} == {f"r{n}" for n in (*range(100), *range(1_000, 1_100))}


def test_log_that_was_closed_before_a_fork_is_closed_in_the_child(tmp_path):
    log = DecisionLog([JsonLinesSink(tmp_path)])
    assert log.close()
    child = os.fork()
    if child == 0:
        os._exit(0 if not log.write(event_of()) and log.report().dropped == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_log_without_a_thread_drops_and_counts(sink, monkeypatch):
    log = DecisionLog([sink])

    def refuse(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert not log.write(event_of())
    assert log.write(event_of())
    assert log.close()
    assert (log.report().dropped, len(sink.events)) == (1, 1)


def test_flush_waits_for_the_sinks_and_syncs_them(sink):
    log = DecisionLog([sink])
    log.write(event_of())
    assert log.flush()
    assert (len(sink.events), sink.synced) == (1, 1)
    log.close()


def test_flush_and_close_give_up_on_a_sink_that_hangs(sink):
    sink.gate.clear()
    log = DecisionLog([sink])
    log.write(event_of())
    assert not log.flush(timeout=0.05)
    assert not log.close(timeout=0.05)
    sink.gate.set()
    assert log.close()


def test_closed_log_drops_and_counts(sink):
    log = DecisionLog([sink])
    assert log.close()
    assert not log.write(event_of())
    assert log.report().dropped == 1


def test_log_takes_events_from_many_threads(sink):
    """Numbers are those of the queue's order, without a gap or a double."""
    log = DecisionLog([sink])
    threads = [
        threading.Thread(target=lambda: [log.write(event_of()) for _ in range(200)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.close()
    assert [event.seq for event in sink.events] == list(range(800))


def test_log_refuses_no_capacity(sink):
    with pytest.raises(InvalidValueError, match="capacity must be 1 or more"):
        DecisionLog([sink], capacity=0)


def test_writer_names_are_unique():
    assert len({writer_name() for _ in range(100)}) == 100
