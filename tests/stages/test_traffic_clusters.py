"""Kinds of training traffic: what they hold, what they do not, and what routers make of them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from difficulty.bundle.traffic_kinds import DIM, TrafficKinds, word_vectors
from difficulty.errors import FieldError
from difficulty.stages.deploying.traffic_clusters import cluster_traffic, kinds_bytes
from difficulty.traffic.outcomes import Outcomes


def two_kinds(n=400, *, per_group=2):
    """Return requests of two vocabularies; the cheap model fails on one of them."""
    rng = np.random.default_rng(0)
    hard = np.arange(n) % 2 == 0
    ids = [rng.integers(1000, 1060, 20) if each else rng.integers(0, 60, 10) for each in hard]
    return {
        "ids": [row.tolist() for row in ids],
        "scripts": ["latin"] * n,
        "tasks": ["hard" if each else None for each in hard],
        "groups": [f"{each}{number // (2 * per_group)}" for number, each in enumerate(hard)],
        "outcomes": Outcomes(
            cheap_quality=np.where(hard, 0.0, 1.0),
            frontier_quality=np.full(n, 1.0),
            preferred_gain=np.full(n, np.nan),
            weight=np.ones(n),
        ),
    }


def test_kinds_tell_what_came_of_their_requests():
    """A request of the hard vocabulary is near kinds that the cheap model fails, and the other way
    round.
    """
    kinds = cluster_traffic(**two_kinds())
    assert sum(kind.n for kind in kinds.kinds) == kinds.n == 400
    hard = kinds.nearest([*range(1000, 1020)], most=1)[0]
    easy = kinds.nearest([*range(20)], most=1)[0]
    assert (hard.kind.cheap_quality.value, hard.kind.gain.value) == (0.0, 1.0)
    assert (easy.kind.cheap_quality.value, easy.kind.gain.value) == (1.0, 0.0)
    assert (hard.kind.tasks, easy.kind.tasks) == ({"hard": 1.0}, {})
    assert hard.is_like
    assert 0 < hard.kind.cheap_quality.high < 0.2
    assert not kinds.nearest([*range(500, 520)], most=1)[0].is_like


def test_no_kind_has_fewer_than_twenty_groups():
    kinds = cluster_traffic(**two_kinds(per_group=8))
    assert all(kind.groups >= 20 for kind in kinds.kinds)


def test_traffic_of_few_groups_has_no_kinds():
    """Not even one kind of all: it would be some nineteen users."""
    assert cluster_traffic(**two_kinds(per_group=200)) is None
    nothing = {name: each[:0] for name, each in two_kinds().items() if name != "outcomes"}
    assert cluster_traffic(**nothing, outcomes=two_kinds()["outcomes"][:0]) is None


def test_unknown_outcomes_are_no_figures():
    data = two_kinds()
    unknown = np.full(400, np.nan)
    data["outcomes"] = replace(data["outcomes"], frontier_quality=unknown)
    kinds = cluster_traffic(**data)
    assert {kind.frontier_quality for kind in kinds.kinds} == {None}
    assert {kind.gain for kind in kinds.kinds} == {None}


def test_same_traffic_gives_the_same_bytes():
    content = kinds_bytes(cluster_traffic(**two_kinds()))
    assert content == kinds_bytes(cluster_traffic(**two_kinds()))
    assert len(content) < 60_000


def test_read_back_it_finds_the_same():
    kinds = cluster_traffic(**two_kinds())
    again = TrafficKinds.parse(json.loads(kinds_bytes(kinds)))
    assert again.nearest([1, 2, 3]) == kinds.nearest([1, 2, 3])


def test_vectors_by_hand():
    """One token stands in one place with weight 1, said e times with weight 2."""
    (once,), (often,) = word_vectors([[7]]), word_vectors([[7] * 3])
    assert np.count_nonzero(once) == 1
    assert abs(once).max() == 1.0
    assert abs(often).max() == pytest.approx(1.0 + np.log(3))
    assert word_vectors([[]]).shape == (1, DIM)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "Upgrade difficulty"),
        ({"dim": 64}, "must be 512"),
        ({"mean": "AAAA"}, "mean must hold 512 numbers"),
        ({"centres": "?"}, "centres must hold"),
        ({"kinds": []}, "must hold 1 to 256 kinds"),
        ({"spread": "AAAA" * 512 + "AAAAAAAA" * 85 + "AAA="}, "spread must hold"),
    ],
)
def test_damaged_file_is_refused(change, message):
    content = json.loads(kinds_bytes(cluster_traffic(**two_kinds())))
    with pytest.raises(FieldError, match=message):
        TrafficKinds.parse(content | change)
