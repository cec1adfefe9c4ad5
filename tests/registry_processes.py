"""Processes that use a folder registry and are killed, or race: ``python -m
tests.registry_processes kill|race ...``.

A program of its own, because forking needs a process without threads.
"""

import contextlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from difficulty.bundle import read_bundle
from difficulty.bundle.folder_registry import FolderRegistry
from difficulty.bundle.registry import tags_of
from difficulty.bundle.store import copy_bundle, write_bundle
from difficulty.errors import DifficultyError, PromotedMeanwhileError, RegistryError
from tests.versions import fields_of


def fork(work):
    """Run a function in a child; return its process id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    finally:
        os._exit(0)


def use(registry, out, bundles, seed):
    """Change everything there is to change, until killed."""
    rng = random.Random(seed)
    while True:
        bundle = rng.choice(bundles)
        version = registry.publish(bundle, "words", tags=tags_of(bundle), metrics={})
        registry.promote(version, replacing=registry.aliases("words").get("champion"), notes={})
        if rng.random() < 0.3:
            with contextlib.suppress(RegistryError):
                registry.roll_back("words")
        elif rng.random() < 0.5:
            copy_bundle(bundle, out / f"fetched-{rng.random()}")
        else:
            write_bundle(out / f"shipped-{rng.random()}", bundle.files, fields_of(bundle))


def kill(folder, out, times, *paths):
    """Kill users at random moments and look at what each leaves."""
    registry, bundles = FolderRegistry(folder), [read_bundle(Path(path)) for path in paths]
    out, rng, torn, killed = Path(out), random.Random(0), [], 0
    out.mkdir()
    for seed in range(int(times)):
        child = fork(lambda seed=seed: use(registry, out, bundles, seed))
        time.sleep(rng.uniform(0.002, 0.2))
        os.kill(child, signal.SIGKILL)
        killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        torn += torn_by(registry, out)
    events = len(json.loads((Path(folder) / "words" / "journal.json").read_text())["events"])
    return {"killed": killed, "torn": torn, "events": events}


def torn_by(registry, out):
    """Return what cannot be read of all that has a name."""
    torn = []
    try:
        if (registry.folder / "words" / "journal.json").exists():
            for version in registry.aliases("words").values():
                read_bundle(registry.path(version))
        for path in [*(registry.folder / "words" / "bundles").glob("[!.]*"), *out.glob("[!.]*")]:
            read_bundle(path)
    except (DifficultyError, OSError) as error:
        torn.append(repr(error))
    return torn


def race(folder, times):
    """Let two processes promote different versions at once."""
    return [one_race(FolderRegistry(folder)) for _ in range(int(times))]


def one_race(registry):
    """Promote the two versions that are not the champion, each in its own process; return what came
    of each.
    """
    champion, start = registry.aliases("words").get("champion"), time.monotonic() + 0.01
    others = [number for number in (1, 2, 3) if champion is None or number != champion.number][:2]
    pipes = [os.pipe() for _ in others]
    children = [
        fork(lambda number=number, pipe=pipe: contend(registry, number, champion, start, pipe[1]))
        for number, pipe in zip(others, pipes, strict=True)
    ]
    return [outcome_of(child, reading) for child, (reading, _) in zip(children, pipes, strict=True)]


def contend(registry, number, champion, start, writing):
    """Promote at the agreed moment and write down what came of it."""
    version = registry.find("words", str(number))
    time.sleep(max(0.0, start - time.monotonic()))
    try:
        registry.promote(version, replacing=champion, notes={})
        os.write(writing, b"promoted")
    except PromotedMeanwhileError as error:
        os.write(writing, type(error).__name__.encode())


def outcome_of(child, reading):
    """Return what a child wrote."""
    os.waitpid(child, 0)
    outcome = os.read(reading, 100).decode()
    os.close(reading)
    return outcome


if __name__ == "__main__":
    json.dump({"kill": kill, "race": race}[sys.argv[1]](*sys.argv[2:]), sys.stdout)
