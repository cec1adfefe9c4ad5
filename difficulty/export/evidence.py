"""What the heads of all channels read, side by side, so that one product evaluates them all.

A head's logit is an affine function of a channel's columns; so is the logit of a stack of heads. An
:class:`Affine` says which columns it reads and with which weights. They are put together in Python,
and what remains for the graph is one matrix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from difficulty.export.builder import GraphBuilder
from difficulty.model.calibration import Calibrator
from difficulty.model.familiarity import Percentile

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Affine:
    """Affine functions of the evidence.

    Attributes
    ----------
    weights : mapping of str to ndarray of shape (columns of the part, n_functions)
        By part.
    bias : ndarray of shape (n_functions,)
    """

    weights: Mapping[str, FloatArray]
    bias: FloatArray

    @classmethod
    def side_by_side(cls, functions: Sequence[Affine]) -> Affine:
        """Return the functions of all, in order."""
        sizes = {part: len(weights) for one in functions for part, weights in one.weights.items()}
        blocks = {
            part: [one.weights.get(part, np.zeros((rows, len(one.bias)))) for one in functions]
            for part, rows in sorted(sizes.items())
        }
        return cls(
            {part: np.hstack(found) for part, found in blocks.items()},
            np.concatenate([one.bias for one in functions]),
        )

    def then(self, weights: FloatArray, bias: FloatArray) -> Affine:
        """Return ``values @ weights + bias`` of these functions' values."""
        return Affine(
            {part: found @ weights for part, found in self.weights.items()},
            self.bias @ weights + bias,
        )


class Evidence:
    """Tensors of shape (batch, columns), by name."""

    def __init__(self) -> None:
        self._tensors: dict[str, str] = {}
        self._starts: dict[str, int] = {}
        self._joined: str | None = None
        self.width = 0

    def add(self, part: str, tensor: str, width: int) -> None:
        """Put a tensor beside those that are there."""
        self._tensors[part], self._starts[part] = tensor, self.width
        self.width += width

    def __contains__(self, part: str) -> bool:
        return part in self._tensors

    def column(self, part: str, column: int = 0) -> int:
        """Return the place of a part's column in the whole."""
        return self._starts[part] + column

    def joined(self, graph: GraphBuilder) -> str:
        """Return all columns, of shape (batch, width); nothing may be added afterwards."""
        tensors = list(self._tensors.values())
        self._joined = self._joined or (
            graph("Concat", *tensors, axis=1) if len(tensors) > 1 else tensors[0]
        )
        return self._joined

    def affine(self, graph: GraphBuilder, functions: Affine) -> str:
        """Evaluate affine functions, of shape (batch, n_functions)."""
        whole = np.zeros((self.width, len(functions.bias)))
        for part, weights in functions.weights.items():
            start = self._starts[part]
            whole[start : start + len(weights)] = weights
        return graph.affine(self.joined(graph), whole, functions.bias)


def pieces(
    graph: GraphBuilder,
    columns: str,
    width: int,
    maps: Sequence[tuple[int, Calibrator | Percentile]],
) -> str:
    """Add piecewise-linear maps that start at 0, each of a column of ``columns``; the result has
    shape (batch, n_maps).

    A piece adds its height times the share of it that the value has passed, which is cut to [0, 1].
    """
    n_pieces = [len(one.knots) - 1 for _, one in maps]
    scale, start = np.zeros((width, sum(n_pieces))), np.zeros(sum(n_pieces))
    heights = np.zeros((sum(n_pieces), len(maps)))
    begin = 0
    for row, ((column, one), number) in enumerate(zip(maps, n_pieces, strict=True)):
        here, length = slice(begin, begin + number), np.diff(one.knots)
        scale[column, here], start[here] = 1.0 / length, -one.knots[:-1] / length
        heights[here, row] = np.diff(one.values)
        begin += number
    limits = (graph.constant(np.float32(limit)) for limit in (0, 1))
    passed = graph("Clip", graph.affine(columns, scale, start), *limits)
    return graph("MatMul", passed, graph.constant(heights.astype(np.float32)))
