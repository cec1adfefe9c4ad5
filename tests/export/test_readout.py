"""Affine functions put together in Python, and piecewise-linear maps, give in a graph what they
say.
"""

from types import SimpleNamespace

import numpy as np
import onnxruntime as ort
import pytest

from difficulty.export.graph import Affine, HeadEvidence, pieces
from difficulty.tensors import GraphBuilder


def pair():
    """Return the input of a new graph, two columns."""
    return GraphBuilder().input("x", np.float32, ["n", 2])


def run(value):
    """Return what maps rows of ``x`` to a tensor."""
    value.graph.output(value, "y", ["n", "columns"])
    content = value.graph.build("test").SerializeToString()
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda rows: session.run(None, {"x": np.array(rows, dtype=np.float32)})[0]


def test_affine_then_is_the_product():
    """2 x + 1 and 3 z, added and halved, are x + 1.5 z + 0.5."""
    both = Affine.side_by_side(
        [
            Affine({"x": np.array([[2.0]])}, np.array([1.0])),
            Affine({"z": np.array([[3.0]])}, np.array([0.0])),
        ]
    )
    found = both.then(np.array([[0.5], [0.5]]), np.array([0.0]))
    assert (found.weights["x"], found.weights["z"], found.bias) == ([[1.0]], [[1.5]], [0.5])


def test_evidence_reads_each_part_where_it_stands():
    x, evidence = pair(), HeadEvidence()
    evidence.add("first", x, 2)
    evidence.add("second", x * 10, 2)
    function = Affine(
        {"second": np.array([[1.0], [0.0]]), "first": np.array([[0.0], [1.0]])}, np.array([0.25])
    )
    assert evidence.column("second", 1) == 3
    assert run(evidence.affine(function))([[1, 2], [3, 4]]).tolist() == [[12.25], [34.25]]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(-1.0, 0.0), (0.25, 0.0), (0.5, 0.4), (0.75, 0.8), (0.875, 0.9), (1.0, 1.0), (2.0, 1.0)],
)
def test_pieces_are_linear_between_knots_and_level_outside(value, expected):
    bent = SimpleNamespace(knots=np.array([0.25, 0.75, 1.0]), values=np.array([0.0, 0.8, 1.0]))
    straight = SimpleNamespace(knots=np.array([0.0, 1.0]), values=np.array([0.0, 1.0]))
    both = run(pieces(pair(), 2, [(1, bent), (0, straight)]))([[0.5, value]])
    assert both == pytest.approx(np.array([[expected, 0.5]]), abs=1e-6)
