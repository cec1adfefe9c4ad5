"""A float32 encoder on its way to int8: which rungs there are, and what stays float32 first."""

import numpy as np
import onnx
import pytest

from difficulty.encoders.quantise import can_be_int8, ladder, quantisable, quantise_graph
from difficulty.recipe import FeatureSettings
from difficulty.training.shipped import find_encoder
from tests.fakes import load_transformer, random_ids

IDS = random_ids(np.random.default_rng(0), 40)


def names_in(encoder):
    return quantisable(onnx.load_from_string(encoder.graph))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return load_transformer(tmp_path_factory.mktemp("encoder"), layers=6)


def test_rungs_keep_twice_as_many_weights_each_time(encoder):
    """Six weight matrices: none, one, two and four of them stay float32; with all six there is
    nothing to make int8.
    """
    rungs = list(ladder(encoder, IDS))
    assert [(rung.kept, rung.of) for rung in rungs] == [(0, 6), (1, 6), (2, 6), (4, 6)]
    assert [len(names_in(rung.encoder)) for rung in rungs] == [0, 1, 2, 4]
    assert str(rungs[0]) == "int8, all 6 weight matrices"
    assert str(rungs[2]) == "int8, 2 of 6 weight matrices in float32"
    kept = [set(names_in(rung.encoder)) for rung in rungs]
    assert all(fewer < more for fewer, more in zip(kept, kept[1:], strict=False))


def test_what_int8_hurts_most_stays_float32_first(encoder):
    """The first layer, whose error all others carry on: to keep it brings the vectors nearer than
    to keep any other.
    """
    exact, graph = encoder.encode(IDS), onnx.load_from_string(encoder.graph)
    _, second, *_ = ladder(encoder, IDS)
    moved = {}
    for name in names_in(encoder):
        alone = encoder.with_graph(quantise_graph(graph, keep={name}).SerializeToString())
        moved[name] = np.square(alone.encode(IDS) - exact).sum()
    assert names_in(second.encoder) == [min(moved, key=moved.get)] == ["weights"]


def test_vectors_of_another_graph_are_kept_apart(encoder):
    rung = next(ladder(encoder, IDS))
    assert rung.encoder.digest != encoder.digest
    assert not np.array_equal(rung.encoder.encode(IDS), encoder.encode(IDS))


def test_only_float32_weights_of_a_transformer_can_be_made_int8(encoder, tmp_path):
    assert can_be_int8(encoder)
    assert not can_be_int8(load_transformer(tmp_path / "int8", int8=True, rows=1_200))
    assert not can_be_int8(find_encoder(FeatureSettings(encoder="static-minilm-256")))
