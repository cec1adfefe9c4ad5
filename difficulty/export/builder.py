"""A small ONNX graph builder: one call a node, names made up as it goes.

Only this folder and the conversion of encoders name onnx.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from difficulty.errors import InvalidValueError


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
        self._nodes.append(
            helper.make_node(
                op, list(inputs), [name], name=f"{op}_{len(self._nodes)}", **attributes
            )
        )
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

    def cut(self, value: str, start: int, end: int | None) -> str:
        """Add a slice of columns ``start`` to ``end`` of axis 1; ``None`` is the last."""
        last = np.iinfo(np.int64).max if end is None else end
        return self(
            "Slice", value, self.constant([start]), self.constant([last]), self.constant([1])
        )

    def widen(self, value: str, axis: int) -> str:
        """Add an axis of length 1."""
        return self("Unsqueeze", value, self.constant([axis]))

    def inline(self, model: onnx.ModelProto, **inputs: str) -> str:
        """Add all of another graph, its inputs read from the tensors given by name, and return the
        name of its one output.

        Raises
        ------
        InvalidValueError
            If the graph is not of this builder's opset.
        """
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
        prefix = f"inlined_{len(self._nodes)}."
        renamed = {item.name: inputs[item.name] for item in model.graph.input} | {"": ""}
        for item in model.graph.initializer:
            renamed[item.name] = self.constant(numpy_helper.to_array(item))
        for node in model.graph.node:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = f"{node.op_type}_{len(self._nodes)}"
            copy.input[:] = [renamed[name] for name in node.input]
            renamed |= {name: prefix + name for name in node.output if name}
            copy.output[:] = [renamed[name] for name in node.output]
            self._nodes.append(copy)
        return renamed[model.graph.output[0].name]

    def affine(
        self, value: str, weights: NDArray[Any], bias: NDArray[Any], *, output: str | None = None
    ) -> str:
        """Add ``value @ weights + bias`` for ``value`` of shape (batch, in)."""
        return self(
            "Gemm",
            value,
            self.constant(weights.astype(np.float32)),
            self.constant(bias.astype(np.float32)),
            output=output,
        )

    def build(
        self, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto], *, name: str
    ) -> onnx.ModelProto:
        """Return the model without what no output needs, checked by onnx."""
        needed = {item.name for item in outputs}
        nodes: list[onnx.NodeProto] = []
        for node in reversed(self._nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                nodes.append(node)
        constants = [item for item in self._initializers if item.name in needed]
        graph = helper.make_graph(nodes[::-1], name, inputs, outputs, initializer=constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.OPSET)], producer_name="difficulty"
        )
        model.ir_version = 8
        onnx.checker.check_model(model, full_check=True)
        return model
