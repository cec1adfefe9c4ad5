"""A graph computes what its tensors say."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from difficulty.errors import InvalidValueError
from difficulty.tensors import GraphBuilder, RequestTensors, Tensor


@pytest.fixture
def graph():
    return GraphBuilder()


@pytest.fixture
def x(graph):
    """A float32 input of two columns."""
    return graph.input("x", np.float32, ["batch", 2])


def axes(rank):
    """Return names for axes of any length."""
    return [f"axis{number}" for number in range(rank)]


def built(tensor):
    """Return the graph whose output ``y`` is a tensor."""
    tensor.graph.output(tensor, "y", axes(2))
    return tensor.graph.build("test")


def run(model, **inputs):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def value_of(tensor, rows=((1, 2),), *, rank=2):
    """Return what a tensor is for rows of ``x``."""
    tensor.graph.output(tensor.graph("Identity", tensor), "y", axes(rank))
    return run(tensor.graph.build("test"), x=np.array(rows, dtype=np.float32))[0]


def test_built_graph_computes_what_was_added(x):
    """(1, 2) @ [[1, 10], [2, 20]] + (0.5, 0) is (5.5, 50); minus 1 it is (4.5, 49)."""
    affine = x.affine(np.array([[1, 10], [2, 20]]), np.array([0.5, 0.0]))
    assert value_of(affine - 1).tolist() == [[4.5, 49.0]]


FORMULAS = {
    "add": (lambda x: x + 1, [[2, 3]]),
    "subtract": (lambda x: x - x, [[0, 0]]),
    "multiply": (lambda x: x * 3, [[3, 6]]),
    "divide": (lambda x: x / 2, [[0.5, 1]]),
    "power": (lambda x: x**2, [[1, 4]]),
    "remainder": (lambda x: x.cast(np.int64) % 2, [[1, 0]]),
    "product": (lambda x: x @ np.array([[1], [10]], dtype=np.float32), [[21]]),
    "less": (lambda x: x < 2, [[True, False]]),
    "greater": (lambda x: x > 1, [[False, True]]),
    "at least as large": (lambda x: x >= 2, [[False, True]]),
    "equal": (lambda x: x.equals(2), [[False, True]]),
    "where": (lambda x: (x > 1).where(x, -1), [[-1, 2]]),
    "where, the other way": (lambda x: (x > 1).where(-1, x), [[1, -1]]),
    "at least": (lambda x: x.at_least(1.5), [[1.5, 2]]),
    "at most": (lambda x: x.at_most(1.5), [[1, 1.5]]),
    "clip": (lambda x: x.clip(1.25, 1.75), [[1.25, 1.75]]),
    "sigmoid": (lambda x: (x - x).sigmoid(), [[0.5, 0.5]]),
    "softmax": (lambda x: (x - x).softmax(1), [[0.5, 0.5]]),
    "sum": (lambda x: x.sum(1), [3]),
    "sum, the axis kept": (lambda x: x.sum(1, keepdims=True), [[3]]),
    "largest": (lambda x: x.max(1), [[2]]),
    "smallest": (lambda x: x.min(1), [[1]]),
    "length": (lambda x: (x * x - 1).norm(1), [[3]]),
    "a column": (lambda x: x.take(1, axis=1), [2]),
    "columns": (lambda x: x.take([1, 0], axis=1), [[2, 1]]),
    "places": (lambda x: x.take_along(x.cast(np.int64) - 1, axis=1), [[1, 2]]),
    "a part": (lambda x: x.cut(1, None), [[2]]),
    "shape": (lambda x: x.widen(0).shape(), [1, 1, 2]),
    "squeezed": (lambda x: x.squeeze(0), [1, 2]),
    "reshaped": (lambda x: x.reshape([2, 1]), [[1], [2]]),
    "transposed": (lambda x: x.transpose([1, 0]), [[1], [2]]),
    "padded": (lambda x: x.pad([0, 1, 0, 0], 7), [[7, 1, 2]]),
    "side by side": (lambda x: x.graph.concat([x, x], axis=0), [[1, 2], [1, 2]]),
    "one alone": (lambda x: x.graph.concat([x], axis=0), [[1, 2]]),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_formula_gives_what_it_says_in_the_type_it_says(x, name):
    """Of the row (1, 2)."""
    formula, expected = FORMULAS[name]
    tensor = formula(x)
    values = value_of(tensor, rank=np.ndim(expected))
    assert values.tolist() == expected
    assert values.dtype == tensor.dtype


def test_equal_constants_are_stored_once(graph):
    """Equal means value, type and shape."""
    name = graph.constant([1, 2]).name
    assert graph.constant(np.array([1, 2])).name == name
    others = {
        graph.constant(np.array([1, 2], dtype=np.int32)).name,
        graph.constant(np.array([[1, 2]])).name,
        graph.constant([1, 3]).name,
    }
    assert len({name, *others}) == 4


def test_constants_keep_shape_and_type(x):
    """A number is a scalar of the other side's type, a list a vector of int64."""
    model = built((x + 3).take([1], axis=1))
    assert {tuple(one.dims): one.data_type for one in model.graph.initializer} == {
        (): TensorProto.FLOAT,
        (1,): TensorProto.INT64,
    }


def test_names_are_unique(x):
    assert len({x.sigmoid().name for _ in range(5)}) == 5


def test_output_that_other_nodes_read_keeps_its_readers(x):
    """The result bears the output's name everywhere."""
    doubled = x * 2
    more = doubled + 1
    x.graph.output(doubled, "doubled", ["batch", 2])
    model = built(more)
    assert [item.name for item in model.graph.output] == ["doubled", "y"]
    values = run(model, x=np.array([[1, 2]], dtype=np.float32))
    assert [value.tolist() for value in values] == [[[2, 4]], [[3, 5]]]


def test_built_graph_is_checked(graph):
    """A node that reads what nobody writes is refused when the graph is built, not when served."""
    nobody = Tensor(graph, "nobody", np.float32)
    with pytest.raises(onnx.checker.ValidationError):
        built(nobody.sigmoid())


def test_built_graph_says_what_older_runtimes_need_to_know(x):
    model = built(x.sigmoid())
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 17)]
    assert model.ir_version == 8


def test_build_leaves_out_what_no_output_needs(x):
    """A channel may offer tensors that nothing reads."""
    _ = x * 7
    model = built(x + 1)
    assert [node.op_type for node in model.graph.node] == ["Add"]
    assert len(model.graph.initializer) == 1


def part(nodes, *, opset=17, initializers=()):
    """Return a graph from ``a`` to ``b``, both pairs."""
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in "ab"]
    graph = helper.make_graph(
        nodes, "part", [shapes[0]], [shapes[1]], initializer=list(initializers)
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def test_inlined_graph_reads_and_is_read_and_may_come_twice(graph, x):
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
    model = built(graph.inline(twice, a=graph.inline(twice, a=x)))
    assert run(model, x=np.array([[1, 2]], dtype=np.float32))[0].tolist() == [[7.0, 11.0]]
    assert len(model.graph.initializer) == 2
    assert len({node.name for node in model.graph.node}) == len(model.graph.node) == 4


def test_inlined_graph_keeps_what_is_left_out_left_out(graph, x):
    """Dropout without its mask, then Clip without a lower bound."""
    limit = onnx.numpy_helper.from_array(np.float32(3), "limit")
    nodes = [
        helper.make_node("Dropout", ["a"], ["kept", ""]),
        helper.make_node("Clip", ["kept", "", "limit"], ["b"]),
    ]
    clipped = graph.inline(part(nodes, initializers=[limit]), a=x)
    assert value_of(clipped, [[-5, 9]]).tolist() == [[-5.0, 3.0]]


def test_inlined_graph_of_another_opset_is_refused(graph, x):
    with pytest.raises(
        InvalidValueError,
        match=r"opset of an inlined graph must be 17: got 16\. Convert the encoder again",
    ):
        graph.inline(part([helper.make_node("Relu", ["a"], ["b"])], opset=16), a=x)


@pytest.mark.parametrize(
    ("n_tasks", "ids", "mask", "task"),
    [(0, [3, 1], [1, 1], None), (2, [0, 1], [0, 1], [2]), (4, [0, 1], [0, 1], [2])],
)
def test_task_is_taken_off_the_ids(n_tasks, ids, mask, task):
    """Of two token ids, id 3 is the second task's where there are tasks."""
    graph = GraphBuilder()
    requests = RequestTensors(graph, vocabulary=2 if n_tasks else 4, n_tasks=n_tasks)
    tensors = {"ids": requests.ids, "mask": requests.mask, "task": requests.task}
    for name, tensor in tensors.items():
        if tensor:
            graph.output(graph("Identity", tensor), name, axes(1 if name == "task" else 2))
    feed = np.array([[3, 1]])
    model = graph.build("test")
    values = run(model, input_ids=feed, attention_mask=np.ones_like(feed))
    values = dict(zip([item.name for item in model.graph.output], values, strict=True))
    assert values["ids"].tolist() == [ids]
    assert values["mask"].tolist() == [mask]
    assert (values["task"].tolist() if "task" in values else None) == task
