"""Hostile bundles before a router that follows: each is refused, the old one decides meanwhile, and
the next good one is taken up within two looks.
"""

import random
import shutil

import numpy as np
import pytest
from onnx import TensorProto

from difficulty.runtime import ReloadingRouter, follow_path
from difficulty.runtime.probe import Limits
from tests import hostile
from tests.attack.mutations import DEEP, flipped
from tests.attack.workers import attack
from tests.versions import TEXT, damage, make_version, point

LOOKS = 2


def _flip(folder, good):
    rng = random.Random(0)
    content = (good / "scorer.onnx").read_bytes()
    for _ in range(2_000):
        content = flipped(content, rng)
    return hostile.with_files(folder, good, scorer__onnx=content)


def _graph(**graph):
    return lambda folder, good: hostile.with_graph(
        folder, good, hostile.constant_score(graph.pop("value", 0.5), **graph)
    )


def _given(make):
    return lambda folder, good: hostile.with_graph(folder, good, make())


def _files(**files):
    return lambda folder, good: hostile.with_files(folder, good, **files)


def _changed(change):
    def build(folder, good):
        bad = shutil.copytree(good, folder / "hostile-1")
        change(bad)
        return bad

    return build


def _hole(bad):
    with (bad / "card.md").open("r+b") as file:
        file.truncate(1 << 36)


def _link(bad):
    (bad / "golden.jsonl").unlink()
    (bad / "golden.jsonl").symlink_to("/dev/zero")


KINDS = {
    "endless graph": _given(hostile.endless),
    "memory": _given(hostile.hungry),
    "out of bounds": _given(hostile.out_of_bounds),
    "file elsewhere": _given(hostile.reading_elsewhere),
    "not a number": _graph(value=float("nan")),
    "score of seven": _graph(value=7.0),
    "another score": _graph(value=0.25),
    "wrong outputs": _graph(outputs=("score", "other")),
    "wrong type": _graph(kind=TensorProto.INT64, dtype=np.int64, value=1),
    "wrong shape": _graph(shape=("batch", 3)),
    "flipped graph": _flip,
    "no graph": _files(scorer__onnx=b"\x08\x08" + b"\xff" * 1_000),
    "panicking tokenizer": hostile.with_splitting_tokenizer,
    "no tokenizer": _files(tokenizer__json=b'{"version": "1.0", "model": {"type": "BPE"}}'),
    "nested golden": _files(golden__jsonl=DEEP.encode()),
    "nested manifest": _changed(lambda bad: (bad / "manifest.json").write_text(DEEP)),
    "hole of 64 GiB": _changed(_hole),
    "link to zeros": _changed(_link),
    "byte": lambda folder, good: damage(folder, good, "byte"),
    "golden": lambda folder, good: damage(folder, good, "golden"),
}


def follow(findings, folder):
    """Put each hostile bundle where a router looks, then a good one."""
    first, good = (
        make_version(folder, number, threshold=threshold)
        for number, threshold in ((1, 0.9), (2, 0.1))
    )
    limits = Limits(seconds=10.0, memory=3 << 30)
    for kind, build in KINDS.items():
        with findings.case(kind, cpu_s=30.0):
            place = folder / "kinds" / kind.replace(" ", "-")
            place.mkdir(parents=True)
            try:
                bad = build(place, good)
            except Exception as error:  # one that cannot even be written
                findings.fault("not built", f"{kind} {type(error).__name__} {error}")
                continue
            findings.counts["cases"] += 1
            point(place / "current", first)
            router = ReloadingRouter(follow_path(place / "current"), limits=limits)
            point(place / "current", bad)
            taken = router.look()
            if taken or not router.last_error or router.decide(TEXT).route != "cheap":
                findings.fault("taken", f"{kind}: {router.version} {router.last_error}")
            elif len(router.last_error) > 1_000 or "Traceback" in router.last_error:
                findings.fault("long or raw errors", router.last_error)
            else:
                findings.counts["refused"] += 1
            point(place / "current", good)
            if not any(router.look() for _ in range(LOOKS)) or router.version != "words-2":
                findings.fault("stuck", f"{kind}: {router.version} {router.last_error}")
            else:
                findings.counts["next one taken"] += 1


@pytest.mark.slow
def test_hostile_bundles_before_a_follower(tmp_path, tally):
    tally("hostile bundles", attack(tmp_path, f"{__name__}:follow", memory_gib=8.0))
