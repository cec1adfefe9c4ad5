"""Commands that write bundles and registries, killed at random moments: nothing with a name is ever
half there.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from difficulty.bundle import read_bundle
from difficulty.bundle.folder_registry import FolderRegistry
from tests.conftest import REPOSITORY
from tests.versions import make_version

KILLS = 20

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def versions(journey, tmp_path_factory):
    """Bundles to publish, each another one."""
    folder = tmp_path_factory.mktemp("versions")
    return [
        make_version(folder, number, threshold=number / 100, name="small", source=journey.bundle)
        for number in range(2, 4 + KILLS)
    ]


def command(*words):
    """Start a command of ``difficulty`` in a process of its own."""
    program = [sys.executable, "-c", "from difficulty.cli import main; main()", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        program,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )


def finished(*words):
    """Run a command to its end; return its exit code and the seconds that it took."""
    begun = time.monotonic()
    return command(*words).wait(), time.monotonic() - begun


def killed(process, after_s):
    """Kill a command after a time; return whether it was still running."""
    time.sleep(after_s)
    os.killpg(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def test_ship_that_is_killed_leaves_a_whole_bundle_or_none(journey, tmp_path, record_property):
    """Half of the kills fall anywhere, half within a few milliseconds of writing: its scratch
    folder is there then.
    """
    code, took_s = finished("ship", journey.run, "-o", tmp_path / "small-0")
    assert code == 0
    chance, there, hit = random.Random(0), 0, 0
    for number in range(1, KILLS + 1):
        out = tmp_path / f"small-{number}"
        process = command("ship", journey.run, "-o", out)
        if number % 2:
            while process.poll() is None and not [*tmp_path.glob(f".{out.name}-*")]:
                time.sleep(0.0005)
        hit += killed(
            process, chance.uniform(0.0, 0.05) if number % 2 else chance.uniform(0.0, took_s)
        )
        if out.exists():
            assert read_bundle(out).label == f"small-{number}"
            there += 1
    record_property(
        "figures", f"{KILLS} kills of ship, {hit} before its end, {there} left a whole bundle"
    )
    assert hit > KILLS / 4
    assert finished("ship", journey.run, "-o", tmp_path / "small-again-1")[0] == 0


def test_publish_and_promote_that_are_killed_leave_the_state_before_or_after(
    journey, versions, tmp_path, record_property
):
    """What was published is whole, the journal is readable, and both commands go on afterwards."""
    registry, place = FolderRegistry(tmp_path / "registry"), ["--registry", tmp_path / "registry"]
    (tmp_path / "open.toml").write_text(
        'name = "open"\n[promotion]\nmax_quality_loss = 1.0\nmax_share_increase ='
        " 1.0\nleast_samples = 10\n"
    )
    publish, promote = (
        ["--name", "support", *place],
        ["support", journey.traffic, "--recipe", tmp_path / "open.toml", *place],
    )
    assert finished("publish", journey.bundle, *publish)[0] == finished("promote", *promote)[0] == 0
    took_s = {
        "publish": finished("publish", versions[0], *publish)[1],
        "promote": finished("promote", *promote)[1],
    }
    assert state(registry) == {"challenger": 2, "champion": 2, "versions": 2}
    chance, hit = random.Random(1), 0
    for number in range(KILLS):
        victim, changes = (
            ("publish", {"challenger", "versions"})
            if number % 2 == 0
            else ("promote", {"champion"})
        )
        if victim == "promote":
            finished("publish", versions[number], *publish)
        before = state(registry)
        words = [versions[number + 1], *publish] if victim == "publish" else promote
        hit += killed(command(victim, *words), took_s[victim] * chance.uniform(0.6, 1.05))
        after = state(registry)
        changed = {name for name in after if after[name] != before[name]}
        assert changed in (set(), changes)
    record_property(
        "figures",
        f"{KILLS} kills of publish and promote, {hit} before their end; then {state(registry)}",
    )
    assert hit > KILLS / 4
    assert finished("publish", versions[-1], *publish)[0] == 0
    assert finished("promote", *promote)[0] == 0
    assert state(registry)["champion"] == registry.find("support", "challenger").number


def state(registry):
    """Read the registry and every bundle in it; return the numbers of its aliases and how many
    versions there are.
    """
    versions = registry.versions("support")
    for version in versions:
        assert read_bundle(registry.path(version)).digest == version.digest
    kept = [
        path
        for path in Path(registry.folder / "support" / "bundles").iterdir()
        if not path.name.startswith(".")
    ]
    for path in kept:
        read_bundle(path)
    return {alias: version.number for alias, version in registry.aliases("support").items()} | {
        "versions": len(versions)
    }
