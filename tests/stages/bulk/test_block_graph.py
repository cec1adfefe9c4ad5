"""N-grams that are counted outside of a graph have the graph's own counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from difficulty.bundle import read_bundle
from difficulty.runtime.scorer import Scorer
from difficulty.stages.bulk import block_graph as block_graph_module
from difficulty.stages.bulk.block_graph import (
    CountedGraph,
    FewTokensGraph,
    block_graph,
    count_equals,
)


def test_counts_of_a_row_by_hand():
    assert count_equals(np.array([[7, 3, 7], [3, 7, 5]])).tolist() == [[2, 1, 2], [1, 1, 1]]


@given(
    arrays(
        np.int64,
        st.tuples(*(st.integers(0, 4) for _ in range(3))),
        elements=st.sampled_from([-(2**40), -1, 0, 1, 2, 2**30, 2**40]),
    )
)
def test_counts_are_those_of_all_pairs(values):
    assert (count_equals(values) == (values[..., :, None] == values[..., None, :]).sum(-1)).all()


def test_counted_graph_changes_no_bit(journey):
    bundle = read_bundle(journey.bundle)
    scorer = Scorer.from_bundle(bundle)
    size = scorer.tokenizer.vocabulary_size
    graph = block_graph(scorer.graph, bundle.files["scorer.onnx"], vocabulary=size)
    assert isinstance(graph, CountedGraph)
    for length in (0, 1, 5, 40, 200):
        rows = [[number % 7 + 1 for number in range(length)]] * 2
        before, after = scorer.graph.many(rows), graph.many(rows)
        assert all((after[name] == before[name]).all() for name in before)


def test_transformer_is_asked_about_few_tokens_at_once(journey, monkeypatch):
    """What a transformer makes of many does not fit into the processor's cache."""
    bundle = read_bundle(journey.bundle)
    scorer, content = Scorer.from_bundle(bundle), bundle.files["scorer.onnx"]
    monkeypatch.setattr(block_graph_module, "_HEAVY", 0)
    graph = block_graph(scorer.graph, content, vocabulary=10)
    assert (graph._most_rows(100), graph._most_rows(600)) == (5, 1)
    monkeypatch.setattr(block_graph_module, "_find_counting", lambda graph: None)
    graph = block_graph(scorer.graph, content, vocabulary=10)
    assert (type(graph), graph._most_rows(100)) == (FewTokensGraph, 5)


@pytest.mark.parametrize("content", [b"", b"no graph"])
def test_graph_that_counts_in_no_known_way_stays_as_it_is(journey, content):
    graph = Scorer.from_bundle(read_bundle(journey.bundle)).graph
    assert block_graph(graph, content, vocabulary=10) is graph
