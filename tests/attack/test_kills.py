"""Commands that write, killed at random moments and before a disk that is full: what has a name is
whole, what has none is removed by the next run, and a full disk is exit code 2 in a sentence.
"""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from difficulty.bundle import read_bundle
from difficulty.bundle.folder_registry import FolderRegistry
from difficulty.stages.verify import verify
from tests.attack.conftest import sized
from tests.attack.forks import Commands
from tests.conftest import REPOSITORY
from tests.keys import write_pair
from tests.versions import make_version

pytestmark = pytest.mark.slow

KILLS = 12
"""Of each command."""
ROOMS = (0, 700, 9_000)
"""Bytes that a file may have where the disk is full."""
PRICES = REPOSITORY / "data" / "prices.example.toml"


class Writing(NamedTuple):
    """A command that writes: its words for a place, and what must be there before."""

    words: Callable[[Path], tuple]
    prepare: Callable[[Path], object] = lambda out: None
    look: Callable[[Path], object] = lambda out: None
    """Raises where what the command left is not whole; beside what holds for all."""
    piecewise: bool = False
    """Whether it writes whole files one after the other, into a folder that may be there."""


@pytest.fixture(scope="module")
def commands():
    started = Commands()
    yield started
    started.close()


@pytest.fixture(scope="module")
def writing(journey, tmp_path_factory):
    """Every command that writes, by name."""
    home = tmp_path_factory.mktemp("writing")
    requests, pair = home / "requests.jsonl", write_pair(home, "release")
    requests.write_text("".join(journey.source.read_text().splitlines(keepends=True)[:300]))
    versions = [
        make_version(home, number, threshold=number / 10, name="small", source=journey.bundle)
        for number in (3, 4)
    ]
    registry = FolderRegistry(home / "registry")
    for folder in versions:
        version = registry.publish(read_bundle(folder), "words", tags={}, metrics={})
        before = registry.aliases("words").get("champion")
        registry.promote(version, replacing=before, notes={})

    def with_registry(out):
        shutil.copytree(registry.folder, out)

    return {
        "ingest": Writing(lambda out: ("ingest", journey.source, "-o", out / "t.parquet")),
        "train": Writing(
            lambda out: (
                *("train", journey.traffic, "--recipe", journey.recipe_file, "-o", out / "run"),
                *("--no-tracking", "--no-more-labels", "--no-unseen-tasks"),
                *("--cache", home / "cache"),
            )
        ),
        "evaluate": Writing(
            lambda out: ("evaluate", journey.run, journey.traffic, "-o", out / "judged"),
            piecewise=True,
        ),
        "economics": Writing(
            lambda out: (
                *("economics", "--traffic", journey.traffic, "--prices", PRICES, "--draws", 40),
                *("--keep-cheap", "0.5", "--requests-per-month", "1000", "-o", out / "money"),
            ),
            piecewise=True,
        ),
        "ship": Writing(
            lambda out: ("ship", journey.run, "-o", out / "small-2"), look=_whole("small-2")
        ),
        "thresholds": Writing(
            lambda out: (
                *("thresholds", journey.bundle, journey.traffic, "--objective", "share=0.3"),
                *("--allow-no-signal", "-o", out / "small-2"),
            ),
            look=_whole("small-2"),
        ),
        "fetch": Writing(
            lambda out: (
                *("fetch", "words@champion", "--registry", registry.folder, "-o", out / "small-4"),
            ),
            look=_whole("small-4"),
        ),
        "layout": Writing(
            lambda out: ("layout", journey.bundle, "--for", "triton", "-o", out / "triton")
        ),
        "score": Writing(
            lambda out: ("score", journey.bundle, "--input", requests, "-o", out / "s.jsonl"),
            look=_lines("s.jsonl", 300),
        ),
        "route": Writing(
            lambda out: ("route", journey.bundle, "--input", requests, "-o", out / "d.jsonl"),
            look=_lines("d.jsonl", 300),
        ),
        "sign": Writing(
            lambda out: ("sign", out / "small-1", "--key", pair.private),
            lambda out: shutil.copytree(journey.bundle, out / "small-1"),
            lambda out: verify(out / "small-1"),
        ),
        "publish": Writing(
            lambda out: ("publish", journey.bundle, "--name", "words", "--registry", out),
            with_registry,
            _registry,
        ),
        "rollback": Writing(
            lambda out: ("rollback", "words", "--registry", out), with_registry, _registry
        ),
    }


NAMES = (
    *("ingest", "train", "evaluate", "economics", "ship", "thresholds", "fetch", "layout"),
    *("score", "route", "sign", "publish", "rollback"),
)


def _whole(name):
    def look(out):
        if (out / name).exists():
            read_bundle(out / name)

    return look


def _lines(name, count):
    def look(out):
        if (out / name).exists():
            assert len([*map(json.loads, (out / name).read_text().splitlines())]) == count

    return look


def _registry(out):
    registry = FolderRegistry(out)
    for version in registry.versions("words"):
        assert read_bundle(registry.path(version)).digest == version.digest
    registry.aliases("words")


def named(out):
    """Return the files and folders that have a name, what is hidden left out."""
    paths = [path.relative_to(out) for path in sorted(out.rglob("*"))]
    return {str(path) for path in paths if not any(part.startswith(".") for part in path.parts)}


def left_over(out):
    return [path for path in out.rglob(".*") if path.name.endswith(".part")]


def look(one, out, before, after):
    """Fail where a command left something half."""
    there = named(out)
    assert there in (before, after) or (one.piecewise and before < there < after), there ^ after
    for path in out.rglob("*.json"):
        if not any(part.startswith(".") for part in path.relative_to(out).parts):
            json.loads(path.read_text())
    one.look(out)


def place(one, folder):
    """Return a new folder in which a command finds what it needs, and what is there."""
    if one.prepare is not None:
        one.prepare(folder)
    folder.mkdir(exist_ok=True)
    return named(folder)


@pytest.mark.parametrize("name", NAMES)
def test_killed_at_random_moments(writing, commands, tmp_path, tally, name):
    one, chance = writing[name], random.Random(name)
    whole = tmp_path / "whole"
    before = place(one, whole)
    code, complaint, took_s = commands.run(*one.words(whole))
    assert code in (0, 1), complaint  # evaluate may say no
    after, hit, left = named(whole), 0, 0
    out = tmp_path / "killed"
    kills = sized(KILLS, least=3)
    for _ in range(kills):
        shutil.rmtree(out, ignore_errors=True)
        place(one, out)
        hit += commands.kill(*one.words(out), after_s=chance.uniform(0.0, 1.05 * took_s))
        look(one, out, before, after)
        left += bool(left_over(out))
        if named(out) != after:  # the next run, at the same place
            code, complaint, _ = commands.run(*one.words(out))
            assert code in (0, 1), complaint
            assert left_over(out) == []
            look(one, out, after, after)
    tally(f"killed: {name}", {"cases": kills, "before the end": hit, "left scratch": left})


@pytest.mark.parametrize("name", NAMES)
def test_full_disk(writing, commands, tmp_path, tally, name):
    one, refused = writing[name], 0
    before = place(one, tmp_path / "whole")
    assert commands.run(*one.words(tmp_path / "whole"))[0] in (0, 1)
    after = named(tmp_path / "whole")
    for room in ROOMS:
        out = tmp_path / str(room)
        place(one, out)
        code, complaint, _ = commands.run(*one.words(out), most_bytes=room)
        assert "Traceback" not in complaint, complaint
        assert code in (0, 1, 2), complaint
        refused += code == 2
        if code == 2:
            look(one, out, before, after)
            assert left_over(out) == []
            assert "error: " in complaint
        one.look(out)
    assert refused, "the disk was never full"
    tally(f"full disk: {name}", {"cases": len(ROOMS), "refused": refused})
