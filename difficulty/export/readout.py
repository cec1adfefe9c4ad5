"""What is read out of the channels in a graph: calibrated outcomes, the score, the familiarity.

A request is short, so what a graph costs is mostly its number of nodes. What the heads of all
channels read stands side by side; a head's logit is an affine function of these columns, and so is
the logit of a stack of heads. Such functions are put together in Python, and what remains for the
graph is one matrix. Requests with and without a known task take the same path up to the columns
that are read at its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from difficulty.model.calibration import Calibrator
from difficulty.model.combination import Combination, OutcomeStack
from difficulty.model.familiarity import Familiarity, Percentile
from difficulty.tensors import Tensor

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
        sizes = {part: len(rows) for each in functions for part, rows in each.weights.items()}
        weights = {
            part: np.hstack(
                [each.weights.get(part, np.zeros((size, len(each.bias)))) for each in functions]
            )
            for part, size in sizes.items()
        }
        return cls(weights, np.concatenate([each.bias for each in functions]))

    def then(self, weights: FloatArray, bias: FloatArray) -> Affine:
        """Return ``values @ weights + bias`` of these functions' values."""
        parts = {part: rows @ weights for part, rows in self.weights.items()}
        return Affine(parts, self.bias @ weights + bias)


class HeadEvidence:
    """Tensors of shape (batch, columns), by name."""

    def __init__(self) -> None:
        self._tensors: dict[str, Tensor] = {}
        self._starts: dict[str, int] = {}
        self._joined: Tensor | None = None
        self.width = 0

    def add(self, part: str, tensor: Tensor, width: int) -> None:
        """Put a tensor beside those that are there."""
        self._tensors[part], self._starts[part] = tensor, self.width
        self.width += width

    def column(self, part: str, column: int = 0) -> int:
        """Return the place of a part's column in the whole."""
        return self._starts[part] + column

    def joined(self) -> Tensor:
        """Return all columns, of shape (batch, width); nothing may be added afterwards."""
        if self._joined is None:
            tensors = list(self._tensors.values())
            self._joined = tensors[0].graph.concat(tensors, axis=1)
        return self._joined

    def affine(self, functions: Affine) -> Tensor:
        """Evaluate affine functions, of shape (batch, n_functions)."""
        whole = np.zeros((self.width, len(functions.bias)))
        for part, weights in functions.weights.items():
            start = self._starts[part]
            whole[start : start + len(weights)] = weights
        return self.joined().affine(whole, functions.bias)


@dataclass(frozen=True, slots=True)
class Branch:
    """A combination and the logits that it reads, channel by channel."""

    combination: Combination
    logits: Affine

    @property
    def models(self) -> list[OutcomeStack]:
        """The outcomes, cheap first."""
        cheap, frontier = self.combination.cheap, self.combination.frontier
        return [cheap, frontier] if frontier else [cheap]

    def stack(self) -> Affine:
        """Return ``slope * (weights . logits + intercept) + intercept`` of each outcome."""
        models, width = self.models, len(self.models)
        weights, bias = np.zeros((len(self.logits.bias), width)), np.zeros(width)
        for column, outcome in enumerate(models):
            slope = outcome.calibrator.slope
            # logits stand channel by channel, in each as the outcomes stand here
            weights[column::width, column] = slope * outcome.stack.coefficients
            bias[column] = slope * outcome.stack.intercept + outcome.calibrator.intercept
        return self.logits.then(weights, bias)


def read_outcomes(
    evidence: HeadEvidence, branches: Sequence[Branch], task: Tensor | None, *, n_tasks: int
) -> dict[str, Tensor]:
    """Return the outputs by name, each of shape (batch,).

    Parameters
    ----------
    evidence : HeadEvidence
    branches : sequence of one or two Branch
        For requests without and with a known task.
    task : Tensor or None
        Of shape (batch,), 0 to ``n_tasks``: above 0 the second branch is read, which knows as many
        outcomes as the first.
    """
    # one sigmoid gives the outcomes and, where a gain is read from them, every channel's own
    gains = [branch for branch in branches if branch.combination.gain is not None]
    first = Affine.side_by_side(
        [*(branch.stack() for branch in branches), *(branch.logits for branch in gains)]
    )
    values, width = evidence.affine(first).sigmoid(), len(first.bias)
    n_outcomes = len(branches[0].models)
    columns = np.arange(len(branches) * n_outcomes).reshape(len(branches), n_outcomes)
    joined, total = [values], width
    calibrators = [outcome.calibrator for branch in branches for outcome in branch.models]
    # a calibrator with two knots is the sigmoid alone
    if any(len(calibrator.knots) > 2 for calibrator in calibrators):
        joined.append(pieces(values, width, list(enumerate(calibrators))))
        columns = columns + width
        total += len(calibrators)
    if gains:
        joined.append(_gain_scores(values, width, len(calibrators), gains))
    scores = total + np.arange(len(branches)) if gains else columns[:, 0]
    picked = np.column_stack([scores, columns]).astype(np.int64)
    every = values.graph.concat(joined, axis=1)
    names = ("difficulty_score", "p_cheap_fails", "p_frontier_fails")[: n_outcomes + 1]
    places = picked[0].tolist()
    if len(branches) > 1 and task is not None:
        by_task = values.graph.constant(picked[[0] + [1] * n_tasks])
        every, places = every.take_along(by_task.take(task), axis=1), list(range(len(names)))
    return {name: every.take(place, axis=1) for name, place in zip(names, places, strict=True)}


def read_familiarity(
    familiarity: Familiarity, evidence: HeadEvidence, *, topic: int | None, wording: int | None
) -> Tensor:
    """Return the percentile of the smaller of the measures' percentiles, of shape (batch,).

    Parameters
    ----------
    familiarity : Familiarity
    evidence : HeadEvidence
    topic, wording : int or None
        Columns with the cosine and with the mean log share of pairs above that of the rarest.
    """
    maps = []
    if familiarity.topic and topic is not None:
        maps.append((topic, familiarity.topic[1]))
    if familiarity.wording and wording is not None:
        common, percentile = familiarity.wording
        above_rarest = percentile.knots - common.log_share.min()
        maps.append((wording, Percentile(above_rarest, percentile.values)))
    shares = pieces(evidence.joined(), evidence.width, maps)
    least = shares.min(1) if len(maps) > 1 else shares
    return pieces(least, 1, [(0, familiarity.joint)]).squeeze(1)


def pieces(
    columns: Tensor, width: int, maps: Sequence[tuple[int, Calibrator | Percentile]]
) -> Tensor:
    """Return piecewise-linear maps that start at 0, each of a column; of shape (batch, n_maps).

    A piece adds its height times the share of it that the value has passed, which is cut to [0, 1].
    """
    n_pieces = [len(line.knots) - 1 for _, line in maps]
    scale, start = np.zeros((width, sum(n_pieces))), np.zeros(sum(n_pieces))
    heights = np.zeros((sum(n_pieces), len(maps)))
    begin = 0
    for row, ((column, line), number) in enumerate(zip(maps, n_pieces, strict=True)):
        here, length = slice(begin, begin + number), np.diff(line.knots)
        scale[column, here], start[here] = 1.0 / length, -line.knots[:-1] / length
        heights[here, row] = np.diff(line.values)
        begin += number
    return columns.affine(scale, start).clip(0, 1) @ heights.astype(np.float32)


def _gain_scores(values: Tensor, width: int, start: int, branches: Sequence[Branch]) -> Tensor:
    """Return a score for each branch; from column ``start`` on, ``values`` holds the probabilities
    of each one's channels.
    """
    weights, bias = np.zeros((width, len(branches))), np.zeros(len(branches))
    for column, branch in enumerate(branches):
        size = len(branch.logits.bias)
        weights[start : start + size, column], bias[column] = _gain(branch.combination)
        start += size
    return values.affine(weights, bias).sigmoid()


def _gain(combination: Combination) -> tuple[FloatArray, float]:
    """Return weights and bias of the score's logit.

    Its probabilities are P(cheap fails) and, where known, P(frontier fails) of each channel in
    turn. Without a head for the frontier model its probability counts as 1/2, as in the model.
    """
    gain, both = combination.gain, combination.frontier is not None
    assert gain is not None
    slope = 2.0 * combination.score_calibrator.slope
    weights: FloatArray = slope * np.kron(gain.weights, np.array([1.0, -1.0] if both else [1.0]))
    constant = gain.intercept - (0.0 if both else 0.5 * gain.weights.sum())
    return weights, slope * constant + combination.score_calibrator.intercept
