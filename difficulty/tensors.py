"""Tensors of an ONNX graph that is being built: a graph reads like the formula it computes.

``x + y``, ``x @ weights``, ``x.sum(1)`` or ``table.take(rows)`` each add one node and return its
result. Encoders and channels are handed such tensors and name no ONNX themselves::

    graph = GraphBuilder()
    x = graph.input("x", np.float32, ["batch", 2])
    graph.output((x @ weights + 1).sigmoid(), "y", ["batch", 3])
    model = graph.build("example")

Nodes and constants are named in the order in which they come, so the same code gives the same
bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import onnx
from numpy.typing import DTypeLike, NDArray
from onnx import helper, numpy_helper

from difficulty.conversation.request_numbers import FEATURES, NUMBERS
from difficulty.errors import InvalidValueError

_TREES, _TREES_OPSET = "ai.onnx.ml", 3
Operand: TypeAlias = "Tensor | NDArray[Any] | list[int] | float"
"""A number counts as a scalar of the other side's type, a list as a vector of int64."""


def _operator(op: str, dtype: DTypeLike | None = None) -> Callable[[Tensor, Operand], Tensor]:
    return lambda left, right: left.graph(op, left, right, dtype=dtype)


def _reduction(op: str) -> Callable[[Tensor, int], Tensor]:
    return lambda tensor, axis: tensor.graph(op, tensor, axes=[axis], keepdims=1)


class Tensor:
    """A value of a graph under construction; ``name`` is what nodes call it, ``dtype`` numpy's."""

    def __init__(self, graph: GraphBuilder, name: str, dtype: DTypeLike) -> None:
        self.graph = graph
        self.name = name
        self.dtype = np.dtype(dtype)

    __add__ = _operator("Add")
    __sub__ = _operator("Sub")
    __mul__ = _operator("Mul")
    __truediv__ = _operator("Div")
    __mod__ = _operator("Mod")
    __pow__ = _operator("Pow")
    __matmul__ = _operator("MatMul")
    __lt__ = _operator("Less", np.bool_)
    __gt__ = _operator("Greater", np.bool_)
    __ge__ = _operator("GreaterOrEqual", np.bool_)
    __le__ = _operator("LessOrEqual", np.bool_)
    both = _operator("And", np.bool_)
    # not __eq__: tensors are compared, and hashed, as the Python objects they are
    equals = _operator("Equal", np.bool_)
    at_least = _operator("Max")
    at_most = _operator("Min")
    # along an axis, which stays with length 1
    max = _reduction("ReduceMax")
    min = _reduction("ReduceMin")
    norm = _reduction("ReduceL2")

    def where(self, chosen: Operand, other: Operand) -> Tensor:
        """Return ``chosen`` where this condition holds, ``other`` elsewhere."""
        branches = [side for side in (chosen, other) if isinstance(side, Tensor)]
        return self.graph("Where", self, chosen, other, dtype=branches[0].dtype)

    def is_nan(self) -> Tensor:
        """Return whether the values are no numbers."""
        return self.graph("IsNaN", self, dtype=np.bool_)

    def clip(self, low: float, high: float) -> Tensor:
        """Return the values cut to [low, high]."""
        return self.graph("Clip", self, low, high)

    def log(self) -> Tensor:
        """Return the natural logarithm."""
        return self.graph("Log", self)

    def sigmoid(self) -> Tensor:
        """Return ``1 / (1 + exp(-x))``."""
        return self.graph("Sigmoid", self)

    def softmax(self, axis: int) -> Tensor:
        """Return shares that add up to 1 along an axis."""
        return self.graph("Softmax", self, axis=axis)

    def sum(self, axis: int, *, keepdims: bool = False) -> Tensor:
        """Return the sum along an axis."""
        return self.graph("ReduceSum", self, [axis], keepdims=int(keepdims))

    def running_sum(self, axis: int) -> Tensor:
        """Return the sums up to each place of an axis, itself included."""
        return self.graph("CumSum", self, np.array(axis))

    def trees(self, attributes: dict[str, Any]) -> Tensor:
        """Return what trees say of each row, of shape (batch, n_targets); the attributes are those
        of ``TreeEnsembleRegressor``.
        """
        return self.graph("TreeEnsembleRegressor", self, domain=_TREES, **attributes)

    def affine(self, weights: NDArray[Any], bias: NDArray[Any]) -> Tensor:
        """Return ``x @ weights + bias`` in one node; x has shape (batch, in)."""
        return self.graph("Gemm", self, weights.astype(np.float32), bias.astype(np.float32))

    def cast(self, dtype: DTypeLike) -> Tensor:
        """Return the values in another type."""
        to = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.graph("Cast", self, dtype=dtype, to=to)

    def shifted(self, bits: int, direction: Literal["LEFT", "RIGHT"]) -> Tensor:
        """Return unsigned integers moved by some bits; those that fall out are lost."""
        by = np.array(bits, dtype=self.dtype)
        return self.graph("BitShift", self, by, direction=direction)

    def take(self, indices: Tensor | list[int] | int, axis: int | None = None) -> Tensor:
        """Return what stands at some places of an axis, the first unless said; an int drops it."""
        place = indices if isinstance(indices, Tensor) else np.asarray(indices, dtype=np.int64)
        return self.graph("Gather", self, place, axis=axis)

    def take_along(self, indices: Tensor, axis: int) -> Tensor:
        """Return, for each element of ``indices``, what stands there in its own row of an axis."""
        return self.graph("GatherElements", self, indices, axis=axis)

    def cut(self, start: int, end: int | None, axis: int = 1) -> Tensor:
        """Return the part from ``start`` to ``end`` of an axis; ``None`` is its end."""
        # Slice of opset 17 has no other word for the end.
        last = np.iinfo(np.int64).max if end is None else end
        return self.graph("Slice", self, [start], [last], [axis])

    def widen(self, axis: int) -> Tensor:
        """Return the values with one more axis, of length 1."""
        return self.graph("Unsqueeze", self, [axis])

    def squeeze(self, axis: int) -> Tensor:
        """Return the values without an axis of length 1."""
        return self.graph("Squeeze", self, [axis])

    def reshape(self, shape: list[int]) -> Tensor:
        """Return the values in another shape; 0 keeps an axis as it is."""
        return self.graph("Reshape", self, shape)

    def transpose(self, axes: list[int]) -> Tensor:
        """Return the values with their axes in another order."""
        return self.graph("Transpose", self, perm=axes)

    def pad(self, widths: list[int], value: float) -> Tensor:
        """Return the values with ``value`` around them: widths before each axis, then after."""
        return self.graph("Pad", self, widths, value)

    def shape(self) -> Tensor:
        """Return the lengths of the axes."""
        return self.graph("Shape", self, dtype=np.int64)


class GraphBuilder:
    """Collect inputs, nodes and outputs, then :meth:`build` a checked model."""

    OPSET = 17

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, bytes, tuple[int, ...]], str] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def __call__(
        self, op: str, *inputs: Operand, dtype: DTypeLike | None = None, **attributes: Any
    ) -> Tensor:
        """Add a node and return its one output, of the type of the first input unless said."""
        first = next(value.dtype for value in inputs if isinstance(value, Tensor))
        # of a condition's branches a number takes the type of the other branch
        scalar = np.dtype(dtype) if op == "Where" else first
        names = [self._operand(value, scalar).name for value in inputs]
        name = f"{op.lower()}_{len(self._nodes)}"
        label = f"{op}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, names, [name], name=label, **attributes))
        return Tensor(self, name, first if dtype is None else dtype)

    def input(self, name: str, dtype: DTypeLike, shape: list[str | int]) -> Tensor:
        """Return an input of the graph; axes of unknown length have a name."""
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return Tensor(self, name, dtype)

    def output(self, tensor: Tensor, name: str, shape: list[str | int]) -> None:
        """Make the result of a node an output of the graph; the node bears its name from now on."""
        for node in self._nodes:
            for names in (node.input, node.output):
                names[:] = [name if old == tensor.name else old for old in names]
        tensor.name = name
        kind = helper.np_dtype_to_tensor_dtype(tensor.dtype)
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def constant(self, value: NDArray[Any] | np.generic | list[int]) -> Tensor:
        """Return an array as a tensor; lists become int64, equal constants are stored once."""
        array = np.asarray(value, dtype=np.int64 if isinstance(value, list) else None, order="C")
        key = (str(array.dtype), array.tobytes(), array.shape)
        if key not in self._constants:
            self._constants[key] = f"constant_{len(self._initializers)}"
            self._initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return Tensor(self, self._constants[key], array.dtype)

    def concat(self, tensors: Sequence[Tensor], axis: int) -> Tensor:
        """Return tensors side by side along an axis; a single one stays as it is."""
        return self("Concat", *tensors, axis=axis) if len(tensors) > 1 else tensors[0]

    def inline(self, content: bytes, **inputs: Tensor) -> Tensor:
        """Add all of another graph, its inputs read from tensors, and return its one output.

        Raises
        ------
        InvalidValueError
            If the graph is not of this builder's opset.
        """
        model = onnx.load_from_string(content)
        version = next(
            item.version for item in model.opset_import if item.domain in ("", "ai.onnx")
        )
        if version != self.OPSET:
            raise InvalidValueError(
                "opset of an inlined graph",
                version,
                rule=f"be {self.OPSET}",
                hint="Convert the encoder again.",
            )
        # names of two inlined graphs must not meet, nor those of one that is inlined twice
        prefix = f"inlined_{len(self._nodes)}."
        renamed = {item.name: inputs[item.name].name for item in model.graph.input} | {"": ""}
        for item in model.graph.initializer:
            renamed[item.name] = self.constant(numpy_helper.to_array(item)).name
        for node in model.graph.node:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = f"{node.op_type}_{len(self._nodes)}"
            copy.input[:] = [renamed[name] for name in node.input]
            renamed |= {name: prefix + name for name in node.output if name}
            copy.output[:] = [renamed[name] for name in node.output]
            self._nodes.append(copy)
        result = model.graph.output[0]
        kind = helper.tensor_dtype_to_np_dtype(result.type.tensor_type.elem_type)
        return Tensor(self, renamed[result.name], kind)

    def build(self, name: str) -> onnx.ModelProto:
        """Return the model without what no output needs, checked by onnx."""
        needed = {item.name for item in self._outputs}
        nodes: list[onnx.NodeProto] = []
        # From the end: a node stands behind all that it reads.
        for node in reversed(self._nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                nodes.append(node)
        constants = [item for item in self._initializers if item.name in needed]
        graph = helper.make_graph(
            nodes[::-1], name, self._inputs, self._outputs, initializer=constants
        )
        opsets = [helper.make_opsetid("", self.OPSET)]
        if any(node.domain == _TREES for node in nodes):
            opsets.append(helper.make_opsetid(_TREES, _TREES_OPSET))
        model = helper.make_model(graph, opset_imports=opsets, producer_name="difficulty")
        model.ir_version = 8  # what runtimes of opset 17 read, whatever onnx writes by default
        onnx.checker.check_model(model, full_check=True)
        return model

    def _operand(self, value: Operand, scalar: np.dtype[Any]) -> Tensor:
        if isinstance(value, Tensor):
            return value
        return self.constant(np.asarray(value, scalar) if isinstance(value, int | float) else value)


class ExportedEncoder(Protocol):
    """What a graph needs of an encoder."""

    @property
    def digest(self) -> str:
        """Tells encoders apart."""

    def export(self, requests: RequestTensors) -> Tensor:
        """Add the encoder to a graph; return its unit vectors, of shape (batch, dim)."""


class RequestTensors:
    """What encoders and channels read of a batch of requests.

    To a table, padding and the task's id are rows past the vocabulary; to an encoder, masked.

    Parameters
    ----------
    graph : GraphBuilder
    vocabulary, n_tasks : int
        Number of token ids, and of tasks, whose ids follow.
    encoder : ExportedEncoder, optional
        Takes the place of the one that channels ask for; it reads the same ids.
    names : pair of str, default ("input_ids", "attention_mask")
        Of the graph's inputs.
    tokens : str, default "tokens"
        Of their second axis.

    Attributes
    ----------
    ids, mask : Tensor of shape (batch, tokens)
        int64, and float32: 0 for padding and for the task's id.
    task : Tensor of shape (batch,) or None
        int64: 0 where the task is not known, else its place in the list, from 1.
    rows : Tensor of shape (batch, 1, tokens)
        int64: rows of tables by token.
    n_blank : int
        Rows of nothing that a table has past the vocabulary's.
    """

    def __init__(
        self,
        graph: GraphBuilder,
        *,
        vocabulary: int,
        n_tasks: int,
        encoder: ExportedEncoder | None = None,
        names: tuple[str, str] = ("input_ids", "attention_mask"),
        tokens: str = "tokens",
    ) -> None:
        self.graph = graph
        self.n_blank = n_tasks + 1
        self._encoder = encoder
        self._embeddings: dict[str, Tensor] = {}
        ids, attention = (graph.input(name, np.int64, ["batch", tokens]) for name in names)
        rows = attention.cast(np.bool_).where(ids, vocabulary + n_tasks)
        self.rows = rows.widen(1)
        self.task: Tensor | None = None
        if not n_tasks:
            self.ids, self.mask = ids, attention.cast(np.float32)
            return
        is_text = rows < vocabulary
        self.ids = is_text.where(rows, 0)
        # Tasks follow the vocabulary: the first has 1 here, and a token 0.
        self.task = (ids.take(0, axis=1) - (vocabulary - 1)).at_least(0)
        self.mask = is_text.cast(np.float32)

    @cached_property
    def numbers(self) -> Tensor:
        """The numbers of the requests, float32 of shape (batch, n): an input that the graph has
        where a channel reads it. NaN is unknown.
        """
        return self.graph.input(FEATURES, np.float32, ["batch", len(NUMBERS)])

    @cached_property
    def unknown_numbers(self) -> Tensor:
        """Whether each of the numbers is not known, of the same shape."""
        return self.numbers.is_nan()

    def table(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return a table with an entry for each token and nothing for what is none."""
        return np.concatenate(
            [values, np.zeros((self.n_blank, *values.shape[1:]), dtype=values.dtype)]
        )

    def embed(self, encoder: ExportedEncoder) -> Tensor:
        """Return unit vectors of shape (batch, dim); channels that ask for the same share them."""
        if encoder.digest not in self._embeddings:
            self._embeddings[encoder.digest] = (self._encoder or encoder).export(self)
        return self._embeddings[encoder.digest]
