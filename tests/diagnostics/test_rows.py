import numpy as np
import pytest

from difficulty.diagnostics.suspicion import unlikely_labels


def flipped_labels(n=1000, *, share=0.05, seed=0):
    """Return probabilities of failure, labels that follow them, and which labels were turned
    round.
    """
    rng = np.random.default_rng(seed)
    p_fails = np.where(np.arange(n) % 2, 0.95, 0.05)
    quality = (rng.random(n) >= p_fails).astype(float)
    turned = rng.random(n) < share
    return p_fails, np.where(turned, 1 - quality, quality), turned


def test_unlikely_labels_are_the_ones_that_were_turned_round():
    p_fails, quality, turned = flipped_labels()
    rows, likely = unlikely_labels(p_fails, quality)
    assert turned[rows].mean() > 0.4
    assert turned[rows].sum() / turned.sum() > 0.9
    assert (np.diff(likely[rows]) >= 0).all()


def test_unlikely_labels_gives_the_probability_of_each_label():
    _, likely = unlikely_labels(np.array([0.9, 0.9, 0.2, 0.2]), np.array([1.0, 0.1, 0.5, np.nan]))
    assert likely == pytest.approx([0.1, 0.9, np.nan, np.nan], nan_ok=True)


def test_unlikely_labels_are_none_where_the_probabilities_are_toss_ups():
    quality = np.random.default_rng(0).integers(0, 2, 500).astype(float)
    assert len(unlikely_labels(np.random.default_rng(1).uniform(0.4, 0.6, 500), quality)[0]) == 0


def test_unlikely_labels_needs_ten_of_each_outcome():
    quality = np.r_[np.zeros(9), np.ones(200)]
    assert len(unlikely_labels(np.r_[np.full(9, 0.01), np.full(200, 0.02)], quality)[0]) == 0
