"""Following a log that grows: when it is looked at, and what is told."""

import threading
from types import SimpleNamespace

import pytest

from difficulty.alarms import Alarm
from difficulty.errors import LogError, TrafficNotFoundError
from difficulty.stages.watching.following import follow


def alarm(name):
    return Alarm(name=name, subject=name, standing=True, threshold=1.0)


class Log:
    """A log that says something else at each look."""

    def __init__(self, path, *says):
        self.path, self.says, self.looks = path, list(says), 0
        self.stop = threading.Event()
        path.write_text("")

    def look(self):
        """Return what it says next; where it fails, it grew meanwhile."""
        self.looks += 1
        said = self.says.pop(0)
        if isinstance(said, Exception):
            self.grow()
            raise said
        return SimpleNamespace(alarms=SimpleNamespace(standing=tuple(map(alarm, said))))

    def grow(self):
        """Add a line."""
        with self.path.open("a") as file:
            file.write("more\n")

    def follow(self):
        """Yield glances; the log grows after each, and ends with the last."""
        for glance in follow(self.look, [self.path.parent], every_s=0.001, stop=self.stop):
            yield glance
            self.grow() if self.says else self.stop.set()


def names(alarms):
    return [each.name for each in alarms]


def test_alarms_rise_and_fall_once(tmp_path):
    log = Log(tmp_path / "a.jsonl", [], ["cost"], ["cost", "tasks"], ["tasks"])
    told = [(names(glance.risen), names(glance.fallen)) for glance in log.follow()]
    assert told == [([], []), (["cost"], []), (["tasks"], []), ([], ["cost"])]


def test_log_that_did_not_grow_is_not_read_again(tmp_path):
    log = Log(tmp_path / "a.jsonl", [], [])
    glances = follow(log.look, [log.path], every_s=0.001, stop=log.stop)
    next(glances)
    threading.Timer(0.05, log.stop.set).start()
    assert list(glances) == []
    assert log.looks == 1


def test_log_that_cannot_be_read_is_told_once_and_looked_at_again(tmp_path):
    """What stood before stands still: it does not rise a second time."""
    log = Log(tmp_path / "a.jsonl", ["cost"], LogError("torn"), LogError("torn"), ["cost"])
    glances = follow(log.look, [log.path], every_s=0.001, stop=log.stop)
    assert names(next(glances).risen) == ["cost"]
    log.grow()
    assert next(glances).problem == "torn"
    last = next(glances)
    assert log.looks == 4
    assert last.monitored is not None
    assert last.risen == last.fallen == ()


def test_log_that_is_not_there_is_the_callers_mistake(tmp_path):
    log = Log(tmp_path / "a.jsonl", TrafficNotFoundError("no decision log"))
    with pytest.raises(TrafficNotFoundError):
        list(log.follow())


def test_slow_looks_leave_time_between_them(tmp_path):
    """After a look of 100 s the next one waits as long; asked through the event."""
    log = Log(tmp_path / "a.jsonl", [])
    waits, times = [], iter((0.0, 100.0))

    def wait(seconds):
        waits.append(seconds)
        return len(waits) > 1

    stop = SimpleNamespace(wait=wait)
    list(follow(log.look, [log.path], every_s=5.0, stop=stop, clock=lambda: next(times)))
    assert waits == [0.0, 100.0]
