"""Shrinking an ONNX encoder to int8 weights, row by row, so that no request's vector depends on
what shares its batch.

ONNX Runtime's dynamic quantisation takes one activation scale for a whole batch; a request then
scores differently alone than beside others. Here each token's activations have a scale of their
own:

    x -> scale = max|x| / 127 over the last axis, q = QuantizeLinear(x, scale, 128), uint8
    y = DequantizeLinear(MatMulInteger(q, W, 128), scale) * weight_scale

Weights are symmetric with one scale a column and 7 bits: sums of pairs then stay below 2^15, which
8-bit weights overflow on processors without VNNI. Token tables are int8 with one scale a row.

An encoder need not be int8 throughout. Each weight matrix is made int8 alone, and what that does to
the vectors of a few requests says how much it matters. A rung of the ladder keeps so many of the
worst in float32; which rung is good enough is for decisions to say, see
:mod:`difficulty.stages.exporting`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from difficulty.encoders.base import quantise_rows
from difficulty.encoders.transformer import TransformerEncoder

_WEIGHT_LIMIT = 63
_LEAST_TABLE_ROWS = 1_000


def quantise_graph(model: onnx.ModelProto, *, keep: Collection[str] = ()) -> onnx.ModelProto:
    """Return the graph with int8 weights; the given one is not changed.

    Every ``MatMul`` with a constant matrix and every ``Gather`` of rows from a constant table of
    1,000 rows or more is replaced.

    Parameters
    ----------
    model : onnx.ModelProto
        An encoder of opset 17 with float32 weights.
    keep : collection of str
        Names of weights that stay as they are, of those that :func:`quantisable` lists.
    """
    writer = _Writer({item.name: item for item in model.graph.initializer})
    for node in model.graph.node:
        name = _weights_of(node)
        weights = writer.constant(name)
        if weights is None or name in keep or not _is_quantisable(node, weights):
            writer.nodes.append(node)
        elif node.op_type == "MatMul":
            writer.matmul(node, weights)
        else:
            writer.gather(node, weights)
    return writer.model(model)


def quantisable(model: onnx.ModelProto) -> list[str]:
    """Return the names of the weights that :func:`quantise_graph` makes int8, in the graph's order;
    none where they are int8 already.
    """
    constants = _Writer({item.name: item for item in model.graph.initializer})
    names: dict[str, None] = {}
    for node in model.graph.node:
        weights = constants.constant(name := _weights_of(node))
        if weights is not None and _is_quantisable(node, weights):
            names[name] = None
    return list(names)


class Rung(NamedTuple):
    """One way to make an encoder int8."""

    encoder: TransformerEncoder
    kept: int
    """Weight matrices that stay float32."""
    of: int
    """Weight matrices in all."""

    def __str__(self) -> str:
        return (
            f"int8, {self.kept} of {self.of} weight matrices in float32"
            if self.kept
            else f"int8, all {self.of} weight matrices"
        )


def can_be_int8(encoder: object) -> bool:
    """Return whether an encoder has float32 weights to make int8."""
    return isinstance(encoder, TransformerEncoder) and bool(
        quantisable(onnx.load_from_string(encoder.graph))
    )


def ladder(encoder: TransformerEncoder, ids: Sequence[Sequence[int]]) -> Iterator[Rung]:
    """Yield the encoder with 0, 1, 2, 4, 8, ... of its weight matrices in float32 and the others
    int8.

    Parameters
    ----------
    encoder : TransformerEncoder
        With float32 weights.
    ids : sequence of sequences of int
        Token ids of requests to measure on; some dozens will do. Nothing is measured unless a
        second rung is asked for.
    """
    graph = onnx.load_from_string(encoder.graph)
    names, kept = quantisable(graph), 0
    worst: list[str] = []
    while kept < len(names):
        if kept and not worst:
            worst = _worst_first(encoder, graph, names, ids)
        yield Rung(_make_int8(encoder, graph, keep=set(worst[:kept])), kept, len(names))
        kept = 2 * kept or 1


def _weights_of(node: onnx.NodeProto) -> str:
    """Return the name of what may be a node's weights."""
    return str(
        node.input[-1]
        if node.op_type == "MatMul"
        else node.input[0]
        if node.op_type == "Gather"
        else ""
    )


def _is_quantisable(node: onnx.NodeProto, weights: NDArray[np.float32]) -> bool:
    """Return whether constant weights are a product's matrix or a long table; a table of one column
    is a scale.
    """
    if weights.dtype != np.float32 or weights.ndim != 2:
        return False
    return node.op_type == "MatMul" or (len(weights) >= _LEAST_TABLE_ROWS and weights.shape[1] > 1)


class _Rows(NamedTuple):
    """Names of an activation's quantised rows, their scales, and the shape of what is made of them,
    which ends in as many columns as there are.
    """

    quantised: str
    scale: str
    shape: str


class _Writer:
    """Nodes and constants of the new graph."""

    def __init__(self, initializers: dict[str, onnx.TensorProto]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._old = initializers
        self._new: dict[str, onnx.TensorProto] = {}
        self._rows: dict[str, _Rows] = {}

    def constant(self, name: str) -> NDArray[np.float32] | None:
        """Return a constant by name; ``None`` if it is computed."""
        return numpy_helper.to_array(self._old[name]) if name in self._old else None

    def matmul(self, node: onnx.NodeProto, weights: NDArray[np.float32]) -> None:
        """Add the integer form of ``x @ weights``."""
        rows = self._row_quantised(node.input[0])
        largest = np.abs(weights).max(axis=0)
        weight_scale = np.where(largest > 0, largest / _WEIGHT_LIMIT, 1.0).astype(np.float32)
        name, out = node.input[1], node.output[0]
        whole = self._put(f"{name}.q", np.rint(weights / weight_scale).astype(np.int8))
        zero = self._put("row.zero", np.uint8(128))
        product = self._add("MatMulInteger", [rows.quantised, whole, zero], f"{out}.integer")
        product = self._add("DequantizeLinear", [product, rows.scale], f"{out}.rows", axis=0)
        product = self._add(
            "Mul", [product, self._put(f"{name}.scale", weight_scale)], f"{out}.columns"
        )
        self._add("Reshape", [product, rows.shape], out)

    def gather(self, node: onnx.NodeProto, table: NDArray[np.float32]) -> None:
        """Add the lookup of int8 rows."""
        rows, scale = quantise_rows(table)
        name, out = node.input[0], node.output[0]
        whole = self._add("Gather", [self._put(f"{name}.q", rows), node.input[1]], f"{out}.q")
        scales = self._add(
            "Gather", [self._put(f"{name}.scale", scale[:, None]), node.input[1]], f"{out}.scale"
        )
        self._add(
            "Mul", [self._add("Cast", [whole], f"{out}.float", to=TensorProto.FLOAT), scales], out
        )

    def model(self, old: onnx.ModelProto) -> onnx.ModelProto:
        """Return the finished graph, without the constants that nothing reads."""
        used = {name for node in self.nodes for name in node.input}
        still_read = [item for name, item in self._old.items() if name in used]
        graph = helper.make_graph(
            self.nodes,
            old.graph.name,
            old.graph.input,
            old.graph.output,
            initializer=[*still_read, *self._new.values()],
        )
        model = helper.make_model(graph, opset_imports=old.opset_import, producer_name="difficulty")
        model.ir_version = old.ir_version
        onnx.checker.check_model(model, full_check=True)
        return model

    def _row_quantised(self, value: str) -> _Rows:
        """Return the uint8 form of an activation; one that is read by several products is quantised
        once. Rows of a matrix, as a quantisation has a scale for each place of one axis.
        """
        if value not in self._rows:
            size = self._add("Abs", [value], f"{value}.abs")
            largest = self._add("ReduceMax", [size], f"{value}.largest", axes=[-1], keepdims=1)
            floor = self._add(
                "Max", [largest, self._put("row.tiny", np.float32(1e-12))], f"{value}.floor"
            )
            step = self._add(
                "Mul", [floor, self._put("row.step", np.float32(1 / 127))], f"{value}.step"
            )
            scale = self._add(
                "Reshape", [step, self._put("row.flat", np.array([-1]))], f"{value}.scale"
            )
            matrix = self._add("Flatten", [value], f"{value}.matrix", axis=-1)
            count = self._add("Shape", [scale], f"{value}.count")
            middle = helper.make_tensor("value", TensorProto.UINT8, [1], [128])
            zero = self._add("ConstantOfShape", [count], f"{value}.zero", value=middle)
            quantised = self._add("QuantizeLinear", [matrix, scale, zero], f"{value}.uint8", axis=0)
            before = self._add("Shape", [value], f"{value}.before", end=-1)
            wide = self._put("row.wide", np.array([-1]))
            shape = self._add("Concat", [before, wide], f"{value}.shape", axis=0)
            self._rows[value] = _Rows(quantised, scale, shape)
        return self._rows[value]

    def _add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def _put(self, name: str, value: NDArray[np.generic] | np.generic) -> str:
        self._new.setdefault(name, numpy_helper.from_array(np.asarray(value), name))
        return name


def _worst_first(
    encoder: TransformerEncoder,
    graph: onnx.ModelProto,
    names: list[str],
    ids: Sequence[Sequence[int]],
) -> list[str]:
    """Return the weights by what it does to the vectors when they alone are int8, the most
    first.
    """
    exact = encoder.encode(ids)
    moved = [
        float(
            np.square(_make_int8(encoder, graph, keep={*names} - {name}).encode(ids) - exact).sum()
        )
        for name in names
    ]
    return [names[place] for place in np.argsort(-np.array(moved), kind="stable")]


def _make_int8(
    encoder: TransformerEncoder, graph: onnx.ModelProto, *, keep: set[str]
) -> TransformerEncoder:
    return encoder.with_graph(quantise_graph(graph, keep=keep).SerializeToString())
