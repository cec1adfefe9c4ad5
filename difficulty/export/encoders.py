"""Encoders as part of the scorer's graph: from token ids to one unit vector a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from difficulty.encoders.base import Encoder
from difficulty.encoders.static import StaticEncoder
from difficulty.encoders.transformer import Frame, TransformerEncoder
from difficulty.errors import InvalidValueError
from difficulty.export.builder import GraphBuilder

_TINY = np.float32(1e-12)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Names of tensors that the channels read."""

    ids: str
    mask: str
    """float32, (batch, tokens); 0 for padding and for the task's id."""
    task: str | None
    """int64, (batch,): 0 where the task is not known, else its place in the list, from 1."""
    rows: str = ""
    """int64, (batch, 1, tokens): rows of tables by token; padding and the task's id are past the
    vocabulary.
    """
    n_blank: int = 0
    """Rows of nothing that a table has past the vocabulary's."""

    def table(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return a table with an entry for each token and nothing for what is none."""
        return np.concatenate(
            [values, np.zeros((self.n_blank, *values.shape[1:]), dtype=values.dtype)]
        )


def embedding(graph: GraphBuilder, inputs: Inputs, encoder: Encoder) -> str:
    """Add an encoder; return the name of its unit vectors, of shape (batch, dim)."""
    if isinstance(encoder, StaticEncoder):
        return _static(graph, inputs, encoder)
    if isinstance(encoder, TransformerEncoder):
        ids, mask = _framed(graph, inputs, encoder.frame)
        return graph.inline(
            onnx.load_from_string(encoder.graph), input_ids=ids, attention_mask=mask
        )
    raise InvalidValueError(
        "encoder", type(encoder).__name__, rule="be one that can be exported: static, transformer"
    )


def _static(graph: GraphBuilder, inputs: Inputs, encoder: StaticEncoder) -> str:
    """Return the sum of token vectors (the mean, once brought to unit length)."""
    scale = graph("Gather", graph.constant(inputs.table(encoder.scale)), inputs.rows)
    vectors = graph.cast(
        graph(
            "Squeeze",
            graph("Gather", graph.constant(inputs.table(encoder.table)), inputs.rows),
            graph.constant([1]),
        )
    )
    total = graph("Squeeze", graph("MatMul", scale, vectors), graph.constant([1]))
    length = graph("Max", graph("ReduceL2", total, axes=[1], keepdims=1), graph.constant(_TINY))
    return graph("Div", total, length)


def _framed(graph: GraphBuilder, inputs: Inputs, frame: Frame) -> tuple[str, str]:
    """Return the ids that the encoder reads and their mask: what :class:`Frame` does to a list,
    done to a batch.

    Of column ``p`` of the result, ``q = p - len(prefix)`` is the place in what is kept of the text:
    id ``q`` of the text, the task's id skipped, or where the text is too long and ``q`` past the
    head, as many ids later as are left out.
    """
    before, after = len(frame.prefix), len(frame.suffix)
    tokens = graph("Gather", graph("Shape", inputs.ids), graph.constant([1]))
    width = graph("Add", tokens, graph.constant([before + after]))
    columns = graph(
        "Slice", graph.constant(list(range(frame.max_tokens))), graph.constant([0]), width
    )
    place = graph.widen(graph("Sub", columns, graph.constant([before])), 0)
    length = graph.cast(
        graph("ReduceSum", inputs.mask, graph.constant([1]), keepdims=1), to=TensorProto.INT64
    )
    kept = graph("Min", length, graph.constant([frame.room]))
    left_out = graph(
        "Mul",
        graph("Sub", length, kept),
        _as_int(graph, graph("GreaterOrEqual", place, graph.constant([frame.head]))),
    )
    source = graph("Add", place, left_out)
    if inputs.task:
        has_task = _as_int(graph, graph("Greater", inputs.task, graph.constant(np.int64(0))))
        source = graph("Add", source, graph.widen(has_task, 1))
    last = graph("Sub", tokens, graph.constant([1]))
    ids = graph(
        "GatherElements",
        inputs.ids,
        graph("Max", graph("Min", source, last), graph.constant([0])),
        axis=1,
    )
    ids = graph("Where", graph("Less", place, kept), ids, graph.constant([0]))
    for number, token in enumerate(frame.suffix):
        at = graph("Equal", place, graph("Add", kept, graph.constant([number])))
        ids = graph("Where", at, graph.constant([token]), ids)
    for number, token in enumerate(frame.prefix):
        ids = graph(
            "Where",
            graph("Equal", place, graph.constant([number - before])),
            graph.constant([token]),
            ids,
        )
    return ids, _as_int(graph, graph("Less", place, graph("Add", kept, graph.constant([after]))))


def _as_int(graph: GraphBuilder, value: str) -> str:
    return graph.cast(value, to=TensorProto.INT64)
