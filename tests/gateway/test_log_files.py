"""JSON lines: rotation, torn lines, a disk that is full or not there, a process that is killed."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest

from difficulty.errors import InvalidValueError, LogError, TrafficNotFoundError
from difficulty.gateway.log import DecisionLog
from difficulty.gateway.log_files import JsonLinesSink, event_line, read_log
from tests.conftest import REPOSITORY
from tests.events import event_of


def numbered(start, stop):
    return [event_of(number, seq=number, writer="w") for number in range(start, stop)]


def seqs(path):
    return [event.seq for event in read_log(path)]


def test_events_come_back_in_order_over_rotated_files(tmp_path):
    sink = JsonLinesSink(tmp_path, max_bytes=4_000)
    for start in range(0, 30, 3):
        sink.write(numbered(start, start + 3))
        sink.sync()
    sink.close()
    files = sorted(tmp_path.iterdir())
    assert len(files) > 3
    assert all(file.stat().st_size <= 4_000 for file in files)
    assert list(read_log(tmp_path)) == numbered(0, 30)


def test_a_batch_larger_than_a_file_is_written_whole(tmp_path):
    sink = JsonLinesSink(tmp_path, max_bytes=10)
    sink.write(numbered(0, 4))
    sink.close()
    assert seqs(tmp_path) == [0, 1, 2, 3]


def test_only_the_newest_files_are_kept(tmp_path):
    sink = JsonLinesSink(tmp_path, max_bytes=10, max_files=2)
    for number in range(5):
        sink.write(numbered(number, number + 1))
    sink.close()
    assert seqs(tmp_path) == [3, 4]


def test_order_and_rotation_do_not_ask_the_clock(tmp_path, monkeypatch):
    """The clock goes back an hour between two files and between two events."""
    sink = JsonLinesSink(tmp_path, max_bytes=10)
    log = DecisionLog([sink])
    log.write(event_of(0))
    log.flush()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    earlier = event_of(1).time.replace(hour=11)
    log.write(event_of(1, time=earlier))
    log.close()
    assert [event.id for event in read_log(tmp_path)] == ["r0", "r1"]


@pytest.mark.parametrize("what", ["file", "folder"])
def test_log_that_is_deleted_underneath_goes_on_in_a_new_file(tmp_path, what):
    """The system lets a deleted file be written to, and keeps nothing of it."""
    log = DecisionLog([JsonLinesSink(tmp_path / "log")])
    log.write(event_of(0))
    assert log.flush()
    if what == "folder":
        shutil.rmtree(tmp_path / "log")
    else:
        (file,) = (tmp_path / "log").iterdir()
        file.unlink()
    for number in range(1, 501):
        assert log.write(event_of(number))
    assert log.close()
    assert not any(log.report().lost.values())
    assert [event.id for event in read_log(tmp_path / "log")] == [f"r{n}" for n in range(1, 501)]


def test_file_that_another_process_tidies_away_costs_no_later_event(tmp_path):
    """``max_files`` of one writer may delete the file that another one is writing."""
    slow, busy = (JsonLinesSink(tmp_path, max_files=2, max_bytes=10) for _ in range(2))
    slow.max_bytes = 10**6
    slow.write(numbered(0, 1))
    for number in range(5):
        busy.write([event_of(seq=number, writer="busy")])
    slow.write(numbered(1, 3))
    slow.close()
    busy.close()
    # Whose file is the oldest is chance; what was written after it was deleted is there.
    assert {event.seq for event in read_log(tmp_path) if event.writer == "w"} >= {1, 2}


@pytest.mark.parametrize("fsync", ["never", "interval", "always"])
def test_every_fsync_policy_keeps_what_was_flushed(tmp_path, fsync):
    log = DecisionLog([JsonLinesSink(tmp_path, fsync=fsync, interval_s=0.0)])
    log.write(event_of())
    assert log.flush()
    assert len(list(read_log(tmp_path))) == 1
    log.close()


def test_a_full_disk_is_counted_leaves_no_half_line_and_recovers(tmp_path):
    """A file size limit makes the real write fail in the middle of a line, as a full disk does."""
    log = DecisionLog([sink := JsonLinesSink(tmp_path)])
    log.write(event_of(0))
    assert log.flush()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(event_line(event_of(0))) + 200, hard))
        log.write(event_of(1))
        assert log.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.write(event_of(2))
    assert log.close()
    reader = read_log(tmp_path)
    assert [event.id for event in reader] == ["r0", "r2"]
    assert (reader.torn, reader.damaged, reader.missing) == (0, 0, 1)
    assert log.report().lost == {sink.name: 1}


def test_a_folder_that_cannot_be_made_is_counted_and_recovers(tmp_path):
    """Where the folder should be there is a file, until somebody removes it."""
    blocked = tmp_path / "log"
    blocked.write_text("")
    log = DecisionLog([sink := JsonLinesSink(blocked)])
    log.write(event_of(0))
    assert log.flush()
    blocked.unlink()
    log.write(event_of(1))
    assert log.close()
    assert [event.id for event in read_log(blocked)] == ["r1"]
    assert log.report().lost == {sink.name: 1}


def test_reader_passes_over_a_torn_last_line_and_counts_it(tmp_path):
    lines = [event_line(event) for event in numbered(0, 3)]
    (tmp_path / "a.jsonl").write_bytes(b"".join(lines)[:-20])
    reader = read_log(tmp_path)
    assert [event.seq for event in reader] == [0, 1]
    assert (reader.torn, reader.damaged) == (1, 0)


def test_reader_counts_damaged_lines_and_gaps(tmp_path):
    lines = [event_line(event) for event in numbered(0, 5)]
    (tmp_path / "a.jsonl").write_bytes(lines[0] + lines[1][:30] + b"\n" + lines[2] + lines[4])
    reader = read_log(tmp_path / "a.jsonl")
    assert [event.seq for event in reader] == [0, 2, 4]
    assert (reader.torn, reader.damaged, reader.missing) == (0, 1, 2)


def test_reader_refuses_what_is_no_log(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"prompt": "Hi"}\n')
    with pytest.raises(LogError, match="must be of format"):
        list(read_log(tmp_path))
    (tmp_path / "a.jsonl").write_text("[1]\n")
    with pytest.raises(LogError, match="one decision event a line"):
        list(read_log(tmp_path))
    with pytest.raises(TrafficNotFoundError, match="no decision log at"):
        read_log(tmp_path / "missing")


@pytest.mark.parametrize("change", [{"max_bytes": 0}, {"max_files": -1}, {"fsync": "often"}])
def test_sink_refuses_options_that_break_a_rule(tmp_path, change):
    with pytest.raises(InvalidValueError):
        JsonLinesSink(tmp_path, **change)


FORKED = """
import os, sys
from pathlib import Path
from difficulty.gateway import DecisionLog, JsonLinesSink
from tests.events import event_of

# One child a line; it writes until it is killed, and says what it has flushed.
for line in sys.stdin:
    if (child := os.fork()) == 0:
        log = DecisionLog([JsonLinesSink(Path(line.strip()), max_bytes=20_000)])
        for number in range(10**9):
            log.write(event_of(number))
            if number % 50 == 49 and log.flush():
                os.write(1, f"{os.getpid()} {number + 1}\\n".encode())
    os.waitpid(child, 0)
"""


def test_log_of_a_process_killed_at_random_moments_is_readable(tmp_path):
    """Twenty kills: every line but perhaps the last is whole, no number is missing before it, and
    all that was flushed is there.
    """
    chance = random.Random(0)
    forker = subprocess.Popen(
        [sys.executable, "-c", FORKED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        bufsize=1,
    )
    killed = set()
    with forker:
        for attempt in range(20):
            folder = tmp_path / str(attempt)
            forker.stdin.write(f"{folder}\n")
            while (said := forker.stdout.readline().split())[
                0
            ] in killed:  # what the one before had said before it died
                pass
            child, flushed = said
            time.sleep(chance.uniform(0, 0.05))
            os.kill(int(child), signal.SIGKILL)
            killed.add(child)
            reader = read_log(folder)
            found = [event.seq for event in reader]
            assert found == list(range(len(found)))
            assert len(found) >= int(flushed)
            assert (reader.damaged, reader.missing) == (0, 0)
            assert reader.torn <= 1
        forker.kill()
