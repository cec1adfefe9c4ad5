"""From the channels' logits to calibrated outcomes and the score, for requests with and without a
known task in one go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from difficulty.export.builder import GraphBuilder
from difficulty.export.evidence import Affine, Evidence, pieces
from difficulty.model.combination import Combination, OutcomeModel
from difficulty.model.stacking import GainWeights

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Branch:
    """A combination and the logits that it reads, channel by channel."""

    combination: Combination
    logits: Sequence[Affine]

    @property
    def models(self) -> list[OutcomeModel]:
        """The outcomes, cheap first."""
        combination = self.combination
        return (
            [combination.cheap, combination.frontier]
            if combination.frontier
            else [combination.cheap]
        )


def outcomes(
    graph: GraphBuilder,
    evidence: Evidence,
    branches: Sequence[Branch],
    task: str | None,
    *,
    n_tasks: int,
) -> dict[str, str]:
    """Return the outputs by name, each of shape (batch,).

    Parameters
    ----------
    branches : sequence of one or two Branch
        For requests without and with a known task.
    task : str or None
        Tensor of shape (batch,), 0 to ``n_tasks``: above 0 the second branch is read, which knows
        as many outcomes as the first.
    """
    logits = [Affine.side_by_side(branch.logits) for branch in branches]
    stacks = [_stack(branch, found) for branch, found in zip(branches, logits, strict=True)]
    gains = [
        (branch, found)
        for branch, found in zip(branches, logits, strict=True)
        if branch.combination.gain is not None
    ]
    first = Affine.side_by_side([*stacks, *(found for _, found in gains)])
    values, width = graph("Sigmoid", evidence.affine(graph, first)), len(first.bias)
    n_outcomes = len(branches[0].models)
    columns = [
        [branch * n_outcomes + outcome for outcome in range(n_outcomes)]
        for branch in range(len(branches))
    ]
    joined, total = [values], width
    calibrators = [one.calibrator for branch in branches for one in branch.models]
    if any(len(one.knots) > 2 for one in calibrators):
        joined.append(pieces(graph, values, width, list(enumerate(calibrators))))
        columns = [[width + column for column in row] for row in columns]
        total += len(calibrators)
    if gains:
        joined.append(_gain_scores(graph, values, width, len(calibrators), gains))
    scores = [total + number if gains else row[0] for number, row in enumerate(columns)]
    picked = np.array(
        [[score, *row] for score, row in zip(scores, columns, strict=True)], dtype=np.int64
    )
    every = graph("Concat", *joined, axis=1) if len(joined) > 1 else values
    names = ("difficulty_score", "p_cheap_fails", "p_frontier_fails")[: n_outcomes + 1]
    if len(branches) == 1 or task is None:
        return {
            name: _column(graph, every, column)
            for name, column in zip(names, picked[0], strict=True)
        }
    by_task = picked[[0] + [1] * n_tasks]
    chosen = graph("GatherElements", every, graph("Gather", graph.constant(by_task), task), axis=1)
    return {name: _column(graph, chosen, column) for column, name in enumerate(names)}


def _column(graph: GraphBuilder, values: str, column: int) -> str:
    return graph("Gather", values, graph.constant(np.int64(column)), axis=1)


def _stack(branch: Branch, logits: Affine) -> Affine:
    """Return ``slope * (weights . logits + intercept) + intercept`` of each outcome; logits are
    channel by channel.
    """
    models, width = branch.models, len(branch.models)
    weights, bias = np.zeros((len(logits.bias), width)), np.zeros(width)
    for column, outcome in enumerate(models):
        slope = outcome.calibrator.slope
        weights[column::width, column] = slope * outcome.stack.coefficients
        bias[column] = slope * outcome.stack.intercept + outcome.calibrator.intercept
    return logits.then(weights, bias)


def _gain_scores(
    graph: GraphBuilder, values: str, width: int, start: int, gains: Sequence[tuple[Branch, Affine]]
) -> str:
    """Return a score for each branch; from column ``start`` on, ``values`` holds the probabilities
    of each one's channels.
    """
    weights, bias = np.zeros((width, len(gains))), np.zeros(len(gains))
    for column, (branch, logits) in enumerate(gains):
        found, bias[column] = _gain(branch.combination, branch.combination.gain)
        weights[start : start + len(found), column] = found
        start += len(logits.bias)
    return graph("Sigmoid", graph.affine(values, weights, bias))


def _gain(combination: Combination, gain: GainWeights | None) -> tuple[FloatArray, float]:
    """Return weights and bias of the score's logit.

    Its probabilities are P(cheap fails) and, where known, P(frontier fails) of each channel in
    turn. Without a head for the frontier model its probability counts as 1/2, as in the model.
    """
    assert gain is not None
    slope, both = 2.0 * combination.score_calibrator.slope, combination.frontier is not None
    weights: FloatArray = slope * np.kron(gain.weights, np.array([1.0, -1.0] if both else [1.0]))
    constant = gain.intercept - (0.0 if both else 0.5 * gain.weights.sum())
    return weights, slope * constant + combination.score_calibrator.intercept
