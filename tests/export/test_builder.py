import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from difficulty.errors import InvalidValueError
from difficulty.tensors import GraphBuilder

PAIR = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])


def result(name, shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def run(model, **inputs):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def test_built_graph_computes_what_was_added():
    """(1, 2) @ [[1, 10], [2, 20]] + (0.5, 0) is (5.5, 50); minus 1 it is (4.5, 49)."""
    graph = GraphBuilder()
    affine = graph.affine("x", np.array([[1, 10], [2, 20]]), np.array([0.5, 0.0]))
    graph("Sub", affine, graph.constant(np.float32(1)), output="y")
    model = graph.build([PAIR], [result("y", ["batch", 2])], name="test")
    assert run(model, x=np.array([[1, 2]], dtype=np.float32))[0].tolist() == [[4.5, 49.0]]


def test_equal_constants_are_stored_once():
    """Equal means value, type and shape."""
    graph = GraphBuilder()
    one = graph.constant([1, 2])
    assert graph.constant(np.array([1, 2])) == one
    others = {
        graph.constant(np.array([1, 2], dtype=np.int32)),
        graph.constant([[1, 2]]),
        graph.constant([1, 3]),
    }
    assert len({one, *others}) == 4


def test_constants_keep_shape_and_type():
    graph = GraphBuilder()
    total = graph("Add", "x", graph.constant(np.float32(3)))
    graph("Gather", total, graph.constant([1]), axis=1, output="y")
    model = graph.build([PAIR], [result("y", ["batch", 1])], name="test")
    assert {tuple(one.dims): one.data_type for one in model.graph.initializer} == {
        (): TensorProto.FLOAT,
        (1,): TensorProto.INT64,
    }
    assert run(model, x=np.zeros((1, 2), dtype=np.float32))[0].tolist() == [[3.0]]


def test_names_are_unique():
    graph = GraphBuilder()
    assert len({graph("Relu", "x") for _ in range(5)}) == 5


def test_built_graph_is_checked():
    """A node that reads what nobody writes is refused when the graph is built, not when it is
    served.
    """
    graph = GraphBuilder()
    graph("Relu", "nobody", output="y")
    with pytest.raises(onnx.checker.ValidationError):
        graph.build([PAIR], [result("y", ["batch", 2])], name="test")


def test_built_graph_says_what_older_runtimes_need_to_know():
    graph = GraphBuilder()
    graph("Relu", "x", output="y")
    model = graph.build([PAIR], [result("y", ["batch", 2])], name="test")
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 17)]
    assert model.ir_version == 8


def part(nodes, *, opset=17, initializers=()):
    """Return a graph from ``a`` to ``b``, both pairs."""
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in "ab"]
    graph = helper.make_graph(
        nodes, "part", [shapes[0]], [shapes[1]], initializer=list(initializers)
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def test_inlined_graph_reads_and_is_read_and_may_come_twice():
    """2 * x + 1, and that again of the result: names of the two copies do not meet, their constants
    are stored once.

    Runtimes refuse two nodes of one name, and the part's have none.
    """
    two, one = (
        onnx.numpy_helper.from_array(np.float32(value), name)
        for value, name in [(2, "c"), (1, "x")]
    )
    twice = part(
        [helper.make_node("Mul", ["a", "c"], ["m"]), helper.make_node("Add", ["m", "x"], ["b"])],
        initializers=[two, one],
    )
    graph = GraphBuilder()
    graph("Identity", graph.inline(twice, a=graph.inline(twice, a="x")), output="y")
    model = graph.build([PAIR], [result("y", ["batch", 2])], name="test")
    assert run(model, x=np.array([[1, 2]], dtype=np.float32))[0].tolist() == [[7.0, 11.0]]
    assert len(model.graph.initializer) == 2
    assert len({node.name for node in model.graph.node}) == len(model.graph.node) == 5


def test_inlined_graph_keeps_what_is_left_out_left_out():
    """Dropout without its mask, then Clip without a lower bound."""
    limit = onnx.numpy_helper.from_array(np.float32(3), "limit")
    nodes = [
        helper.make_node("Dropout", ["a"], ["kept", ""]),
        helper.make_node("Clip", ["kept", "", "limit"], ["b"]),
    ]
    graph = GraphBuilder()
    graph("Identity", graph.inline(part(nodes, initializers=[limit]), a="x"), output="y")
    model = graph.build([PAIR], [result("y", ["batch", 2])], name="test")
    assert run(model, x=np.array([[-5, 9]], dtype=np.float32))[0].tolist() == [[-5.0, 3.0]]


def test_inlined_graph_of_another_opset_is_refused():
    with pytest.raises(
        InvalidValueError,
        match=r"opset of an inlined graph must be 17: got 16\. Convert the encoder again",
    ):
        GraphBuilder().inline(part([helper.make_node("Relu", ["a"], ["b"])], opset=16), a="x")


def test_columns_are_cut_and_axes_added():
    graph = GraphBuilder()
    wide = graph(
        "Concat", graph.cut("x", 1, None), graph.cut("x", 0, 1), graph.cut("x", 0, 2), axis=1
    )
    graph("Identity", graph.widen(wide, 0), output="y")
    model = graph.build([PAIR], [result("y", [1, "batch", 4])], name="test")
    assert run(model, x=np.array([[1, 2]], dtype=np.float32))[0].tolist() == [
        [[2.0, 1.0, 1.0, 2.0]]
    ]


def test_build_leaves_out_what_no_output_needs():
    """A channel may offer tensors that nothing reads."""
    graph = GraphBuilder()
    graph("Mul", "x", graph.constant(np.float32(7)))
    graph("Add", "x", graph.constant(np.float32(1)), output="y")
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", "y")]
    model = graph.build(value[:1], value[1:], name="test")
    assert [node.op_type for node in model.graph.node] == ["Add"]
    assert len(model.graph.initializer) == 1
