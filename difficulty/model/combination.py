"""Combining the channels' heads: weights fitted on out-of-fold logits, calibrators on held-out
ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from difficulty.model.calibration import Calibrator, fit_calibrator
from difficulty.model.heads import LinearHead
from difficulty.model.stacking import GainWeights, fit_gain_weights, fit_outcome_stack
from difficulty.traffic.outcomes import Outcomes

FloatArray = NDArray[np.float64]
Target = Literal["benefit", "failure"]


@dataclass(frozen=True, slots=True)
class Logits:
    """The channels' logits of both outcomes, arrays of shape (n_requests, n_channels); 0 where
    there is no head.
    """

    cheap: FloatArray
    frontier: FloatArray

    def __getitem__(self, key: tuple[NDArray[np.intp] | slice, list[int]]) -> Logits:
        """Return some requests and some channels."""
        rows, columns = key
        return Logits(self.cheap[rows][:, columns], self.frontier[rows][:, columns])

    @property
    def differences(self) -> FloatArray:
        """Each channel's P(cheap fails) - P(frontier fails)."""
        return np.asarray(expit(self.cheap) - expit(self.frontier), dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Outputs of a scorer for n requests, each an ndarray of shape (n,)."""

    difficulty_score: FloatArray
    p_cheap_fails: FloatArray
    p_frontier_fails: FloatArray | None
    familiarity: FloatArray | None = None

    def first(self, n: int) -> Scores:
        """Return the scores of the first ``n`` requests."""
        return Scores(
            difficulty_score=self.difficulty_score[:n],
            p_cheap_fails=self.p_cheap_fails[:n],
            p_frontier_fails=None if self.p_frontier_fails is None else self.p_frontier_fails[:n],
            familiarity=None if self.familiarity is None else self.familiarity[:n],
        )

    def by_name(self) -> dict[str, NDArray[np.floating]]:
        """Return the outputs there are, named as in the graph and in its order."""
        named: dict[str, NDArray[np.floating]] = {
            "difficulty_score": self.difficulty_score,
            "p_cheap_fails": self.p_cheap_fails,
        }
        if self.p_frontier_fails is not None:
            named["p_frontier_fails"] = self.p_frontier_fails
        return named if self.familiarity is None else named | {"familiarity": self.familiarity}


@dataclass(frozen=True, slots=True)
class OutcomeModel:
    """Combination of the channels' logits of one outcome, and its calibration."""

    stack: LinearHead
    calibrator: Calibrator = field(default_factory=Calibrator)

    def probability(self, logits: FloatArray) -> FloatArray:
        """Return calibrated probabilities; ``logits`` has shape (n_requests, n_channels)."""
        return self.calibrator(self.stack.logits(logits))

    def calibrated(
        self, logits: FloatArray, failure: FloatArray, weight: FloatArray
    ) -> OutcomeModel:
        """Return the same combination, calibrated on held-out requests."""
        return OutcomeModel(self.stack, fit_calibrator(self.stack.logits(logits), failure, weight))


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """From the channels' logits to the outputs.

    Attributes
    ----------
    cheap, frontier : OutcomeModel
        ``frontier`` is ``None`` when no frontier outcome is known.
    gain : GainWeights or None
        For target ``benefit``; for ``failure`` the score is P(cheap fails).
    score_calibrator : Calibrator
        Maps twice the gain to ``difficulty_score``.
    """

    cheap: OutcomeModel
    frontier: OutcomeModel | None
    gain: GainWeights | None
    score_calibrator: Calibrator = field(default_factory=Calibrator)

    def scores(self, logits: Logits) -> Scores:
        """Return the outputs."""
        p_cheap = self.cheap.probability(logits.cheap)
        p_frontier = self.frontier.probability(logits.frontier) if self.frontier else None
        score = (
            p_cheap
            if self.gain is None
            else self.score_calibrator(2.0 * self.gain(logits.differences))
        )
        return Scores(difficulty_score=score, p_cheap_fails=p_cheap, p_frontier_fails=p_frontier)

    def among(self, columns: list[int], n: int) -> Combination:
        """Return the same combination, reading ``columns`` of the logits of n channels."""

        def wide(weights: FloatArray) -> FloatArray:
            among = np.zeros(n)
            among[columns] = weights
            return among

        def outcome(model: OutcomeModel) -> OutcomeModel:
            return replace(
                model, stack=replace(model.stack, coefficients=wide(model.stack.coefficients))
            )

        return replace(
            self,
            cheap=outcome(self.cheap),
            frontier=outcome(self.frontier) if self.frontier else None,
            gain=replace(self.gain, weights=wide(self.gain.weights)) if self.gain else None,
        )

    def calibrated(self, logits: Logits, outcomes: Outcomes) -> Combination:
        """Return the same combination, calibrated on held-out requests."""
        weight = outcomes.weight
        cheap = self.cheap.calibrated(logits.cheap, outcomes.cheap_failure, weight)
        frontier = (
            self.frontier.calibrated(logits.frontier, outcomes.frontier_failure, weight)
            if self.frontier
            else None
        )
        if self.gain is None:
            return replace(self, cheap=cheap, frontier=frontier)
        doubled = 2.0 * self.gain(logits.differences)
        calibrator = fit_calibrator(doubled, (1.0 + outcomes.gain) / 2.0, weight, pieces=False)
        return replace(self, cheap=cheap, frontier=frontier, score_calibrator=calibrator)


def mean_of(first: Combination, second: Combination) -> Combination:
    """Return the combination half way between two that read the same channels and know the same
    outcomes; it is not calibrated.
    """

    def outcome(one: OutcomeModel, other: OutcomeModel) -> OutcomeModel:
        stacks = one.stack, other.stack
        return OutcomeModel(
            LinearHead(
                np.mean([stack.coefficients for stack in stacks], axis=0),
                float(np.mean([stack.intercept for stack in stacks])),
            )
        )

    gains = [one.gain for one in (first, second) if one.gain]
    gain = (
        GainWeights(
            np.mean([one.weights for one in gains], axis=0),
            float(np.mean([one.intercept for one in gains])),
        )
        if gains
        else None
    )
    frontier = (
        outcome(first.frontier, second.frontier) if first.frontier and second.frontier else None
    )
    return Combination(cheap=outcome(first.cheap, second.cheap), frontier=frontier, gain=gain)


def fit_combination(
    logits: Logits,
    outcomes: Outcomes,
    *,
    target: Target,
    start: GainWeights | None = None,
    prior: FloatArray | None = None,
) -> Combination:
    """Fit the weights on out-of-fold logits; nothing is calibrated yet.

    Parameters
    ----------
    logits : Logits
    outcomes : Outcomes
    target : {"benefit", "failure"}
    start : GainWeights, optional
        What the gain's weights shrink towards; default: the first channel alone.
    prior : ndarray of shape (n_channels,), optional
        The same of each outcome's weights.
    """
    weight = outcomes.weight
    no_frontier = np.isnan(outcomes.frontier_failure).all()
    frontier = (
        None
        if no_frontier
        else OutcomeModel(
            fit_outcome_stack(logits.frontier, outcomes.frontier_failure, weight, prior=prior)
        )
    )
    return Combination(
        cheap=OutcomeModel(
            fit_outcome_stack(logits.cheap, outcomes.cheap_failure, weight, prior=prior)
        ),
        frontier=frontier,
        gain=fit_gain_weights(logits.differences, outcomes.gain, weight, start=start)
        if target == "benefit"
        else None,
    )
