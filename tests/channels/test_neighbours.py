"""Neighbours: few unit vectors for many embeddings, and how near a request is to each."""

import numpy as np
import pytest

from difficulty.channels import neighbours
from difficulty.channels.neighbours import NeighbourChannel, unit_centres
from tests.fakes import load_encoder, random_ids


@pytest.fixture
def encoder(tmp_path):
    return load_encoder(tmp_path / "encoder")


def around(directions, n, *, seed=0):
    """Return n unit vectors near each of some directions."""
    rows = np.repeat(np.asarray(directions, dtype=float), n, axis=0)
    rows += np.random.default_rng(seed).normal(scale=0.01, size=rows.shape)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_centres_of_two_bunches_are_their_directions():
    """Forty rows have room for two centres."""
    found = unit_centres(around([[1, 0], [0, 1]], 20), most=10, seed=0)
    assert found[found[:, 1].argsort()] == pytest.approx(np.eye(2), abs=0.02)


@pytest.mark.parametrize(
    ("n", "most", "expected"), [(1, 9, 1), (39, 9, 1), (40, 9, 2), (400, 9, 9), (400, 1, 1)]
)
def test_there_is_a_centre_for_twenty_rows_at_most(n, most, expected):
    rows = np.random.default_rng(1).normal(size=(n, 4))
    found = unit_centres(rows / np.linalg.norm(rows, axis=1, keepdims=True), most=most, seed=0)
    assert found.shape == (expected, 4)
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(expected))


def test_equal_rows_count_once():
    """A text that is asked a thousand times takes no more than one place, and k-means is not asked
    for more centres than there are rows.
    """
    rows = np.vstack([np.tile([[1.0, 0.0]], (1_000, 1)), [[0.0, 1.0]]])
    assert unit_centres(rows, most=50, seed=0) == pytest.approx(np.array([[1.0, 1.0]]) / np.sqrt(2))


def test_opposite_rows_give_no_direction():
    """Their mean is zero, and stays zero instead of NaN."""
    assert unit_centres(np.array([[1.0, 0.0], [-1.0, 0.0]]), most=1, seed=0) == pytest.approx(
        np.zeros((1, 2)), abs=1e-9
    )


def test_order_of_the_rows_changes_nothing_and_large_traffic_is_sampled(monkeypatch):
    rows = np.random.default_rng(2).normal(size=(300, 3))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert (
        unit_centres(rows[::-1], most=5, seed=0).tolist()
        == unit_centres(rows, most=5, seed=0).tolist()
    )
    monkeypatch.setattr(neighbours, "_MOST_ROWS", 60)
    assert unit_centres(rows, most=50, seed=0).shape == (3, 3)


def test_shares_of_centres_by_hand(encoder):
    """Cosines 1 and 0, sharpness ln 3: shares 3/4 and 1/4."""
    channel = NeighbourChannel(encoder, sharpness=np.log(3))
    assert channel.transform(np.array([[1.0, 0.0]]), np.eye(2))[0] == pytest.approx([0.75, 0.25])


def test_shares_add_up_to_one_and_follow_the_nearest_centre(encoder):
    channel = NeighbourChannel(encoder, centres=7)
    prepared = channel.prepare(random_ids(np.random.default_rng(3), 200))
    centres = channel.fit(prepared)
    shares = channel.transform(prepared, centres)
    assert centres.shape == (7, encoder.dim)
    assert shares.sum(axis=1) == pytest.approx(1.0)
    assert shares.argmax(axis=1).tolist() == (prepared @ centres.T).argmax(axis=1).tolist()
    assert channel.fit(prepared).tolist() == centres.tolist()
