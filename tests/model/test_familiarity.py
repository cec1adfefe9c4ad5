"""How familiar a request is."""

import numpy as np
import pytest

from difficulty.model.familiarity import Familiarity, fit_familiarity


def circle(degrees):
    """Return unit vectors at angles of a circle."""
    radians = np.radians(degrees)
    return np.column_stack([np.cos(radians), np.sin(radians)])


def sphere(rng, n, dim=16):
    """Return random unit vectors."""
    vectors = rng.normal(size=(n, dim))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_familiarity_by_hand():
    """One centre at 0 degrees: 60 degrees have the cosine 0.5, half way between the knots 0 and 1."""
    familiarity = Familiarity(circle([0.0]), np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    assert familiarity(circle([0.0, 60.0, 90.0, 180.0])) == pytest.approx([1.0, 0.5, 0.0, 0.0])


def test_nearest_centre_counts():
    familiarity = Familiarity(circle([0.0, 90.0]), np.array([-1.0, 1.0]), np.array([0.0, 1.0]))
    assert familiarity.nearest(circle([80.0])) == pytest.approx([np.cos(np.radians(10))])


def test_familiarity_is_a_percentile_of_the_calibration_traffic():
    """A tenth of fresh traffic of the same kind lies below 0.1, half below 0.5."""
    rng = np.random.default_rng(0)
    fit, calibration, fresh = (sphere(rng, n) for n in (2_000, 2_000, 4_000))
    found = fit_familiarity(fit, calibration, seed=0)(fresh)
    for share in (0.1, 0.5, 0.9):
        assert (found < share).mean() == pytest.approx(share, abs=0.05)


def test_requests_of_another_kind_are_unfamiliar():
    rng = np.random.default_rng(0)
    familiarity = fit_familiarity(circle(rng.normal(0, 10, 500)), circle(rng.normal(0, 10, 500)), seed=0)
    assert familiarity(circle([90.0, 180.0, 270.0])).max() == 0.0


def test_equal_requests_make_one_step():
    """Traffic of one text: the same is familiar, anything else is not, and the map rises by 1."""
    familiarity = fit_familiarity(circle([30.0] * 50), circle([30.0] * 50), seed=0)
    assert familiarity(circle([30.0, 120.0])) == pytest.approx([1.0, 0.0])
    assert np.all(np.diff(familiarity.knots) >= 1e-3 - 1e-12)


def test_an_embedding_without_tokens_is_unfamiliar():
    assert fit_familiarity(circle([0.0, 5.0] * 50), circle([1.0, 4.0] * 50), seed=0)(np.zeros((1, 2))) == [0.0]
