"""A small ONNX graph builder: one call a node, names made up as it goes. This module and ``graph`` are the ones that name onnx."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["GraphBuilder"]


class GraphBuilder:
    """Collect nodes and constants, then :meth:`build` a checked model.

    Examples
    --------
    >>> graph = GraphBuilder()
    >>> total = graph("Add", "a", graph.constant(np.float32(1)))
    """

    OPSET = 17

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, bytes, tuple[int, ...]], str] = {}
        self._initializers: list[onnx.TensorProto] = []

    def __call__(self, op: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        name = output or f"{op.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, list(inputs), [name], name=f"{op}_{len(self._nodes)}", **attributes))
        return name

    def constant(self, value: NDArray[Any] | np.generic | list[int]) -> str:
        """Add an array and return its name; lists become int64, equal constants are stored once."""
        array = np.asarray(value, dtype=np.int64 if isinstance(value, list) else None, order="C")
        key = (str(array.dtype), array.tobytes(), array.shape)
        if key not in self._constants:
            self._constants[key] = f"constant_{len(self._initializers)}"
            self._initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def cast(self, value: str, *, to: int = TensorProto.FLOAT) -> str:
        """Add a cast, by default to float32."""
        return self("Cast", value, to=to)

    def affine(self, value: str, weights: NDArray[Any], bias: NDArray[Any], *, output: str | None = None) -> str:
        """Add ``value @ weights + bias`` for ``value`` of shape (batch, in)."""
        return self("Gemm", value, self.constant(weights.astype(np.float32)), self.constant(bias.astype(np.float32)), output=output)

    def build(self, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto], *, name: str) -> onnx.ModelProto:
        """Return the model, checked by onnx."""
        graph = helper.make_graph(self._nodes, name, inputs, outputs, initializer=self._initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.OPSET)], producer_name="difficulty")
        model.ir_version = 8
        onnx.checker.check_model(model, full_check=True)
        return model
