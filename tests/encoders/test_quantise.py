"""int8 weights by rows: equal to arithmetic by hand, and one row's result is its own."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper, numpy_helper

from difficulty.encoders.quantise import quantise_graph
from tests.fakes import load_transformer, random_ids, transformer_graph

WEIGHTS = np.array([[0.4, -2.0, 0.0], [-1.0, 1.2, 0.0]], dtype=np.float32)
ROWS = arrays(np.float32, (3, 2), elements=st.floats(-1e6, 1e6, width=32))


def product_of(weights):
    """Return the graph of ``x @ weights``."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", weights.shape[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", weights.shape[1]])],
        initializer=[numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def session_of(model):
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def initializers(model):
    return {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}


@pytest.fixture(scope="module")
def small():
    return session_of(quantise_graph(product_of(WEIGHTS)))


def run(session, rows):
    return session.run(None, {"x": np.asarray(rows, dtype=np.float32)})[0]


def test_weights_by_hand():
    """The largest entry of a column becomes 63 or -63; a column of zeros keeps scale 1."""
    found = initializers(quantise_graph(product_of(WEIGHTS)))
    assert found["w.q"].tolist() == [[25, -63, 0], [-63, 38, 0]]
    assert found["w.q"].dtype == np.int8
    assert found["w.scale"] == pytest.approx([1 / 63, 2 / 63, 1.0])
    assert "w" not in found


def test_product_by_hand(small):
    """(1, 0.25) has steps of 1/127: 127 and 32. The first column is (127 * 25 - 32 * 63) / (127 *
    63).
    """
    assert run(small, [[1.0, 0.25]])[0] == pytest.approx(
        [(127 * 25 - 32 * 63) / (127 * 63), 2 * (-127 * 63 + 32 * 38) / (127 * 63), 0.0]
    )


def test_row_of_zeros_gives_zeros(small):
    assert run(small, [[0.0, 0.0], [3.0, -4.0]])[0].tolist() == [0.0, 0.0, 0.0]


@given(rows=ROWS)
def test_product_is_off_by_the_rounding_of_row_and_column_at_most(small, rows):
    """Half a step of the row times the weights, and half a step of the weights times the row."""
    off = np.abs(run(small, rows) - rows.astype(np.float64) @ WEIGHTS)
    row_step = np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-12) / 127
    column_step = np.abs(WEIGHTS).max(axis=0) / 63
    bound = 0.51 * row_step * np.abs(WEIGHTS).sum(axis=0) + 0.51 * column_step * (
        np.abs(rows).sum(axis=1, keepdims=True) + row_step
    )
    assert np.all(off <= bound + 1e-12)


@given(rows=ROWS)
def test_row_does_not_depend_on_what_shares_its_batch(small, rows):
    """To the last bit, also beside a row that is a million times as large."""
    together = run(small, np.vstack([rows, [[1e12, -1e12]]]))
    for row, beside in zip(rows, together, strict=False):
        assert run(small, [row])[0].tolist() == beside.tolist()


def test_sums_do_not_overflow_where_two_products_are_added_in_16_bits():
    """Every activation at its largest beside every weight at its largest: 255 * 63 * 2 is below
    2^15, and the result is right.
    """
    weights = np.ones((512, 4), dtype=np.float32) * [1, -1, 1, -1]
    model = quantise_graph(product_of(weights.astype(np.float32)))
    assert 255 * int(np.abs(initializers(model)["w.q"].astype(int)).max()) * 2 < 2**15
    ones = np.ones((1, 512), dtype=np.float32)
    assert run(session_of(model), ones)[0] == pytest.approx([512, -512, 512, -512])


def ops(model):
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize(("rows", "tables"), [(1_000, 1), (999, 0)])
def test_large_tables_become_int8_and_small_ones_stay(rows, tables):
    """The table of places has 512 rows."""
    whole = initializers(quantise_graph(transformer_graph(rows)))
    assert ("tokens.table.q" in whole, "tokens.table" in whole) == (bool(tables), not tables)
    assert "places.table" in whole
    assert whole["weights.q"].dtype == np.int8


def test_given_graph_is_not_changed():
    graph = transformer_graph(1_000)
    before = graph.SerializeToString()
    quantise_graph(graph)
    assert graph.SerializeToString() == before


def test_product_of_two_activations_stays():
    """Attention multiplies what was computed with what was computed."""
    graph = helper.make_graph(
        [
            helper.make_node("Transpose", ["x"], ["t"]),
            helper.make_node("MatMul", ["x", "t"], ["y"]),
        ],
        "square",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", "rows"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert ops(quantise_graph(model)) == ["Transpose", "MatMul"]


def test_activation_that_several_products_read_is_quantised_once():
    model = product_of(WEIGHTS)
    model.graph.initializer.append(numpy_helper.from_array(WEIGHTS * 2, "v"))
    model.graph.node.append(helper.make_node("MatMul", ["x", "v"], ["z"]))
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["rows", 3]))
    found = quantise_graph(model)
    assert (ops(found).count("ReduceMax"), ops(found).count("MatMulInteger")) == (1, 2)
    one, twice = session_of(found).run(None, {"x": np.array([[1.0, -3.0]], dtype=np.float32)})
    assert twice == pytest.approx(2 * one)


def test_embeddings_stay_close_to_float32(tmp_path):
    ids = random_ids(np.random.default_rng(0), 200)
    exact, shrunk = (
        load_transformer(tmp_path / f"{int8}", rows=1_200, int8=int8).encode(ids)
        for int8 in (False, True)
    )
    assert (exact * shrunk).sum(axis=1).min() > 0.99
    assert not np.array_equal(exact, shrunk)


def test_int8_embedding_is_the_same_alone_and_beside_others(tmp_path):
    encoder = load_transformer(tmp_path, rows=1_200, int8=True)
    session = encoder.session
    rows = np.array([[5, 6, 7], [199, 0, 3]])
    together = session.run(None, {"input_ids": rows, "attention_mask": np.ones_like(rows)})[0]
    alone = session.run(None, {"input_ids": rows[:1], "attention_mask": np.ones_like(rows[:1])})[0]
    assert alone[0] == pytest.approx(together[0], abs=2e-7)


def test_quantised_graph_says_what_older_runtimes_need_to_know():
    model = quantise_graph(transformer_graph(1_000))
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 17)]
    assert model.ir_version == 8
    onnx.checker.check_model(model, full_check=True)
