"""The decision log on disks that fill up, vanish and come back, and in processes that fork: what is
not on the disk is counted.
"""

import contextlib
import os
import random
import resource
import shutil
import subprocess
import sys

import pytest

from difficulty.gateway.log import DecisionLog
from difficulty.gateway.log_files import JsonLinesSink, event_line, read_log
from tests.attack.conftest import sized
from tests.attack.workers import attack
from tests.conftest import REPOSITORY
from tests.events import event_of

pytestmark = pytest.mark.slow

EVENTS = 40
"""Of each round."""


def lost_of(log):
    report = log.report()
    return sum(report.lost.values()) + report.dropped


def full(findings, folder, *, seed, count):
    """Let files fill up at random places, and have room again."""
    rng, (soft, hard) = random.Random(seed), resource.getrlimit(resource.RLIMIT_FSIZE)
    for number in range(count):
        place = folder / str(number)
        log = DecisionLog([JsonLinesSink(place, max_bytes=rng.choice((3_000, 10**6)))])
        with findings.case(f"{number} of seed {seed}", cpu_s=10.0):
            for event in range(EVENTS):
                if rng.random() < 0.1:
                    room = rng.choice((0, rng.randrange(8_000)))
                    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
                elif rng.random() < 0.2:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
                log.write(event_of(event))
                if rng.random() < 0.3:
                    log.flush()
            log.flush()
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            log.close()
        compare(findings, place, log)


def compare(findings, place, log):
    """Events that are neither on the disk nor counted, and lines that are half, are faults."""
    reader = read_log(place) if place.is_dir() else ()
    there, lost = len([*reader]), lost_of(log)
    findings.counts["cases"] += 1
    findings.counts["events"] += EVENTS
    findings.counts["counted as lost"] += lost
    if there + lost != EVENTS:
        findings.fault("lost and not counted", f"{there} there, {lost} counted, of {EVENTS}")
    if reader and reader.damaged + reader.torn:
        findings.fault("half lines", f"{reader.damaged} damaged, {reader.torn} torn")


def vanishing(findings, folder, *, seed, count):
    """Take the folder or its files away, or put a file in its place, and give it back."""
    rng = random.Random(seed)
    for number in range(count):
        place = folder / str(number)
        log, moved = DecisionLog([JsonLinesSink(place)]), 0
        with findings.case(f"{number} of seed {seed}", cpu_s=10.0):
            for event in range(EVENTS):
                if rng.random() < 0.15:
                    log.flush()
                    moved += take_away(place, rng)
                log.write(event_of(event))
            log.flush()
            if place.is_file():
                place.unlink()
            log.close()
        there, lost = 0, lost_of(log)
        if place.is_dir():
            there = len([*read_log(place)])
        findings.counts["cases"] += 1
        findings.counts["events"] += EVENTS
        findings.counts["taken away"] += moved
        findings.counts["counted as lost"] += lost
        if there + moved + lost != EVENTS:
            found = f"{there} there, {moved} taken away, {lost} counted, of {EVENTS}"
            findings.fault("lost and not counted", found)


def take_away(place, rng):
    """Return how many events went with it."""
    gone = 0
    if place.is_file():
        place.unlink()
    elif place.is_dir():
        gone = len([*read_log(place)])
        shutil.rmtree(place)
    if rng.random() < 0.3:
        place.write_text("no folder")
    return gone


def forking(findings, folder, *, seed, count):
    """Fork at random moments; parent and children write on, and each child's child."""
    rng = random.Random(seed)
    for number in range(count):
        place = folder / str(number)
        log = DecisionLog([JsonLinesSink(place, max_bytes=rng.choice((3_000, 10**6)))])
        children, written = [], 0
        with findings.case(f"{number} of seed {seed}", cpu_s=20.0):
            for event in range(EVENTS):
                log.write(event_of(event))
                written += 1
                if rng.random() < 0.1:
                    if (child := os.fork()) == 0:
                        code = 1
                        try:
                            for other in range(10):
                                log.write(event_of(other))
                            code = 0 if log.close() and not lost_of(log) else 3
                        finally:
                            os._exit(code)
                    children.append(child)
            codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
            log.close()
        there, wanted = len([*read_log(place)]), written + 10 * len(children)
        findings.counts["cases"] += 1
        findings.counts["forks"] += len(children)
        findings.counts["events"] += wanted
        if any(codes) or there != wanted or lost_of(log):
            findings.fault("lost in a fork", f"{there} of {wanted}, exit codes {codes}")


@pytest.mark.parametrize(("how", "count"), [("full", 500), ("vanishing", 500), ("forking", 100)])
def test_log(tmp_path, tally, how, count):
    counts = attack(tmp_path, f"{__name__}:{how}", seed=0, count=sized(count, least=5))
    tally(f"log: {how}", counts)


ON_A_SMALL_DISK = """
import sys
from tests.attack.test_disks import fill
fill(sys.argv[1])
"""


def fill(place):
    """Write until a disk has no room, make room, and write on."""
    log, written = DecisionLog([JsonLinesSink(f"{place}/log")]), 0
    while not lost_of(log):
        assert written < 100_000
        for _ in range(100):
            log.write(event_of(written))
            written += 1
        log.flush()
    os.unlink(f"{place}/ballast")
    for _ in range(100):
        log.write(event_of(written))
        written += 1
    log.close()
    reader = read_log(f"{place}/log")
    counts = (written, len([*reader]), lost_of(log), reader.damaged + reader.torn)
    sys.stdout.write(" ".join(map(str, counts)))


def test_log_on_a_small_disk(tmp_path, tally):
    """A real file system of 1 MiB, where the system lets this process mount one."""
    script = (
        f'mount -t tmpfs -o size=1m none "{tmp_path}" && '
        f'head -c 300000 /dev/zero > "{tmp_path}/ballast" && exec "$@"'
    )
    words = ["unshare", "-rm", "sh", "-c", script, "sh", sys.executable, "-c", ON_A_SMALL_DISK]
    if shutil.which("unshare") is None:
        pytest.skip("needs the program unshare")
    done = subprocess.run(
        [*words, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"no file system could be mounted: {done.stderr.strip():.200}")
    assert done.returncode == 0, done.stderr[-2_000:]
    written, there, lost, half = map(int, done.stdout.split())
    tally("log: small disk", {"cases": 1, "events": written, "counted as lost": lost})
    assert (there + lost, half) == (written, 0)
    assert lost > 0
    assert written * len(event_line(event_of(0))) > 600_000


def test_dev_full(tmp_path):
    """A disk on which nothing can be written at all."""
    sink = JsonLinesSink(tmp_path)
    log = DecisionLog([sink])
    log.write(event_of(0))
    log.flush()
    with contextlib.ExitStack() as stack:
        device = os.open("/dev/full", os.O_WRONLY)
        stack.callback(os.close, device)
        before = os.dup(sink._file)
        os.dup2(device, sink._file)
        log.write(event_of(1))
        log.flush()
        if sink._file >= 0:
            os.dup2(before, sink._file)
        os.close(before)
    log.write(event_of(2))
    log.close()
    assert len([*read_log(tmp_path)]) + lost_of(log) == 3
