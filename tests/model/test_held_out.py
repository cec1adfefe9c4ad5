"""Groups held out of fine-tuning."""

import hashlib

import numpy as np
import pytest

from difficulty.channels.tuned import held_out

GROUPS = [f"group {number}" for number in range(4_000)]


def test_lot_of_a_group_by_hand():
    """The first eight bytes of its hash, as a fraction: groups below the share are held out."""
    first = hashlib.sha256(b"held out:a").digest()[:8][::-1]
    lot = int.from_bytes(first, "big") / 2**64
    assert held_out(["a"], lot).tolist() == [False]
    assert held_out(["a"], lot + 1e-9).tolist() == [True]


@pytest.mark.parametrize("share", [0.0, 0.15, 0.5, 1.0])
def test_share_of_the_groups_is_met(share):
    """Of 4,000 groups, within five deviations."""
    found = held_out(GROUPS, share)
    assert found.dtype == np.bool_
    assert found.mean() == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / len(GROUPS)))


def test_requests_of_a_group_share_its_lot_wherever_they_stand():
    once = dict(zip(GROUPS, held_out(GROUPS, 0.3), strict=True))
    mixed = [*GROUPS[::-1], "new", *GROUPS[:50]]
    assert [
        bool(unseen)
        for group, unseen in zip(mixed, held_out(mixed, 0.3), strict=True)
        if group in once
    ] == [bool(once[group]) for group in mixed if group in once]


def test_larger_share_holds_out_the_same_groups_and_more():
    few, many = held_out(GROUPS, 0.1), held_out(GROUPS, 0.2)
    assert not (few & ~many).any()
    assert (many & ~few).any()


def test_no_groups_hold_nothing_out():
    assert held_out([], 0.5).tolist() == []
