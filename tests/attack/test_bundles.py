"""Damaged bundles: not one bit, file or name is another and the bundle is still taken."""

import os
import random
import shutil
import traceback

import pytest

from difficulty.bundle import read_bundle
from difficulty.errors import BundleError
from tests.attack.conftest import sized
from tests.attack.mutations import flipped, mutated
from tests.attack.workers import attack
from tests.versions import SAVED


def damage(findings, folder, *, seed, count):
    """Damage a bundle ``count`` times and read it."""
    rng, digest = random.Random(seed), read_bundle(SAVED).digest
    for number in range(count):
        bundle = shutil.copytree(SAVED, folder / f"words-{number}")
        how = rng.choice((*[flip] * 4, *DAMAGES))
        how(bundle, rng)
        findings.counts["cases"] += 1
        findings.counts["bits" if how is flip else "structure"] += 1
        with findings.case(f"{number} of seed {seed}: {how.__name__}", cpu_s=5.0):
            try:
                taken = read_bundle(bundle)
            except BundleError as error:
                findings.counts["refused"] += 1
                if error.exit_code != 2:
                    findings.fault("exit code 1", str(error))
            except BaseException:
                findings.fault("raised", f"{how.__name__} {traceback.format_exc()[-400:]}")
            else:
                if taken.digest != digest or how is not again:
                    findings.fault("taken", how.__name__)
        shutil.rmtree(bundle)


def flip(bundle, rng):
    file = bundle / rng.choice(sorted(os.listdir(bundle)))
    file.write_bytes(flipped(file.read_bytes(), rng))


def mutate(bundle, rng):
    file = bundle / rng.choice(sorted(os.listdir(bundle)))
    before = file.read_bytes()
    while (content := mutated(before, rng)) == before:
        pass
    file.write_bytes(content)


def cut(bundle, rng):
    file = bundle / rng.choice(sorted(os.listdir(bundle)))
    with file.open("r+b") as opened:
        opened.truncate(rng.randrange(file.stat().st_size))


def lengthen(bundle, rng):
    file = bundle / rng.choice(sorted(os.listdir(bundle)))
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size + rng.choice((1, 4_096, 1 << 35)))  # mostly hole


def remove(bundle, rng):
    (bundle / rng.choice(sorted(os.listdir(bundle)))).unlink()


def add(bundle, rng):
    name = rng.choice(("x", ".hidden", "scorer.onnx.data", "early.onnx", "seen.bin", "ä", "a\nb"))
    (bundle / name).write_bytes(rng.choice((b"", b"{}", b"\x00" * 100)))


def swap(bundle, rng):
    one, other = (bundle / name for name in rng.sample(sorted(os.listdir(bundle)), 2))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def rename(bundle, rng):
    name = rng.choice(sorted(os.listdir(bundle)))
    (bundle / name).rename(bundle / rng.choice((name.upper() + "_", f"{name} ", f".{name}")))


def link(bundle, rng):
    file = bundle / rng.choice(sorted(os.listdir(bundle)))
    target = rng.choice((SAVED / file.name, "/dev/zero", "/etc/passwd", "nowhere", file.name))
    file.unlink()
    file.symlink_to(target)


def nest(bundle, rng):
    file = bundle / rng.choice(sorted(os.listdir(bundle)))
    file.unlink()
    file.mkdir()


def pipe(bundle, rng):
    file = bundle / rng.choice(sorted(os.listdir(bundle)))
    file.unlink()
    os.mkfifo(file)


def again(bundle, rng):
    """Write a file once more, as it was: the one change that is none."""
    file = bundle / rng.choice(sorted(os.listdir(bundle)))
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content)


DAMAGES = (mutate, cut, lengthen, remove, add, swap, rename, link, nest, pipe, again)


def test_a_hundred_damaged_bundles(tmp_path, tally):
    """The short form of the attack below."""
    tally("damaged bundles, short", attack(tmp_path, f"{__name__}:damage", seed=1, count=100))


@pytest.mark.slow
def test_damaged_bundles(tmp_path, tally):
    """3,000 of them."""
    tally("damaged bundles", attack(tmp_path, f"{__name__}:damage", seed=0, count=sized(3_000)))
