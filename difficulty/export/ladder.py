"""A float32 encoder made int8 as far as one likes: from int8 throughout to almost none, what int8
hurts most staying float32 first.

Each weight matrix is made int8 alone, and what that does to the vectors of a few requests says how
much it matters. A rung of the ladder keeps so many of the worst in float32; which rung is good
enough is for decisions to say, see :mod:`difficulty.stages.exporting`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import onnx

from difficulty.encoders.quantise import quantisable, quantise_graph
from difficulty.encoders.transformer import TransformerEncoder


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
        yield Rung(_made_int8(encoder, graph, keep=set(worst[:kept])), kept, len(names))
        kept = 2 * kept or 1


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
            np.square(_made_int8(encoder, graph, keep={*names} - {name}).encode(ids) - exact).sum()
        )
        for name in names
    ]
    return [names[place] for place in np.argsort(-np.array(moved), kind="stable")]


def _made_int8(
    encoder: TransformerEncoder, graph: onnx.ModelProto, *, keep: set[str]
) -> TransformerEncoder:
    return encoder.with_graph(quantise_graph(graph, keep=keep).SerializeToString())
