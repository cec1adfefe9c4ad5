"""The difficulty model: channels, one head an outcome on each, their combination, and calibration.

Fitting goes in this order, and nothing later changes what came before:

1. heads on every channel, on the fit rows; out-of-fold predictions of the same rows, folds by group;
2. combination weights, on the out-of-fold predictions;
3. calibrators, on the calibration rows, which share no group with the fit rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from difficulty.model.calibration import Calibrator, fit_calibrator
from difficulty.model.channels import Channel
from difficulty.model.heads import LinearHead, Matrix, fit_head
from difficulty.model.labelled import LabelledTokens
from difficulty.model.stacking import GainWeights, fit_gain_weights, fit_outcome_stack, fold_numbers

__all__ = ["DifficultyModel", "FittedChannel", "OutcomeModel", "Scores", "Target"]

FloatArray = NDArray[np.float64]
Target = Literal["benefit", "failure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Outputs of a scorer for n requests, each an ndarray of shape (n,)."""

    difficulty_score: FloatArray
    p_cheap_fails: FloatArray
    p_frontier_fails: FloatArray | None


@dataclass(frozen=True, slots=True)
class FittedChannel:
    """What one channel learned: its state and a head for each outcome that is known."""

    state: Any
    cheap: LinearHead
    frontier: LinearHead | None


@dataclass(frozen=True, slots=True)
class OutcomeModel:
    """Combination of the channels' logits of one outcome, and its calibration."""

    stack: LinearHead
    calibrator: Calibrator = field(default_factory=Calibrator)

    def probability(self, logits: FloatArray) -> FloatArray:
        """Return calibrated probabilities; ``logits`` has shape (n_requests, n_channels)."""
        return self.calibrator(self.stack.logits(logits))


class DifficultyModel:
    """Predict how much a request needs the frontier model.

    Parameters
    ----------
    channels : sequence of Channel
        Kinds of vectors, the simplest first.
    target : {"benefit", "failure"}, default "benefit"
        What ``difficulty_score`` means: ``(1 + expected gain) / 2``, or P(cheap model fails).
    folds : int, default 5
        Folds of the out-of-fold predictions that combine the channels.
    rng : numpy.random.Generator, optional
        Deals groups to folds.

    Attributes
    ----------
    fitted_ : dict of str to FittedChannel
    cheap_, frontier_ : OutcomeModel
        ``frontier_`` is ``None`` when no frontier outcome is known.
    gain_ : GainWeights or None
        For target ``benefit``.
    score_calibrator_ : Calibrator or None
        Maps twice the gain to ``difficulty_score``; for target ``benefit``.
    """

    def __init__(
        self, channels: Sequence[Channel], *, target: Target = "benefit", folds: int = 5, rng: np.random.Generator | None = None
    ) -> None:
        self.channels = list(channels)
        self.target = target
        self.folds = folds
        self.rng = rng

    def fit(self, fit: LabelledTokens, calibration: LabelledTokens) -> DifficultyModel:
        """Fit heads and combination on ``fit``, calibrators on ``calibration``; the two share no group."""
        outcomes = fit.outcomes
        prepared = [channel.prepare(fit.ids) for channel in self.channels]
        rows = np.arange(len(fit))
        self.fitted_ = {c.name: self._fit_channel(c, p, fit, rows) for c, p in zip(self.channels, prepared, strict=True)}
        cheap, frontier = self._out_of_fold(prepared, fit)
        self.cheap_ = OutcomeModel(fit_outcome_stack(cheap, outcomes.cheap_failure, outcomes.weight))
        self.frontier_ = self._frontier_stack(frontier, fit)
        self.gain_: GainWeights | None = None
        if self.target == "benefit":
            self.gain_ = fit_gain_weights(expit(cheap) - expit(frontier), outcomes.gain, outcomes.weight)
        self.score_calibrator_: Calibrator | None = Calibrator() if self.gain_ else None
        self._calibrate(calibration)
        return self

    def predict(self, ids: Sequence[Sequence[int]]) -> Scores:
        """Return the scores of tokenized requests."""
        return self._scores(*self._logits(ids))

    def _scores(self, cheap: FloatArray, frontier: FloatArray) -> Scores:
        p_cheap = self.cheap_.probability(cheap)
        p_frontier = self.frontier_.probability(frontier) if self.frontier_ else None
        if self.gain_ is None or self.score_calibrator_ is None:
            return Scores(difficulty_score=p_cheap, p_cheap_fails=p_cheap, p_frontier_fails=p_frontier)
        score = self.score_calibrator_(2.0 * self.gain_(expit(cheap) - expit(frontier)))
        return Scores(difficulty_score=score, p_cheap_fails=p_cheap, p_frontier_fails=p_frontier)

    def _fit_channel(self, channel: Channel, prepared: Matrix, data: LabelledTokens, rows: NDArray[np.intp]) -> FittedChannel:
        state = channel.fit(prepared[rows])
        vectors = channel.transform(prepared[rows], state)
        outcomes = data.outcomes[rows]
        cheap = fit_head(vectors, outcomes.cheap_failure, outcomes.weight, strength=channel.strength)
        if np.isnan(outcomes.frontier_failure).all():
            return FittedChannel(state, cheap, None)
        frontier = fit_head(vectors, outcomes.frontier_failure, outcomes.weight, strength=channel.strength)
        return FittedChannel(state, cheap, frontier)

    def _out_of_fold(self, prepared: list[Matrix], data: LabelledTokens) -> tuple[FloatArray, FloatArray]:
        """Return logits of shape (n, n_channels) for both outcomes, each predicted without the request's own fold."""
        rng = self.rng or np.random.default_rng(0)
        fold = fold_numbers(list(data.groups), folds=self.folds, rng=rng)
        cheap = np.zeros((len(data), len(self.channels)))
        frontier = np.zeros_like(cheap)
        for number in np.unique(fold):
            inside, outside = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
            for column, (channel, matrix) in enumerate(zip(self.channels, prepared, strict=True)):
                fitted = self._fit_channel(channel, matrix, data, outside)
                vectors = channel.transform(matrix[inside], fitted.state)
                cheap[inside, column] = fitted.cheap.logits(vectors)
                frontier[inside, column] = fitted.frontier.logits(vectors) if fitted.frontier else 0.0
        return cheap, frontier

    def _frontier_stack(self, logits: FloatArray, data: LabelledTokens) -> OutcomeModel | None:
        failure = data.outcomes.frontier_failure
        if np.isnan(failure).all():
            return None
        return OutcomeModel(fit_outcome_stack(logits, failure, data.outcomes.weight))

    def _calibrate(self, data: LabelledTokens) -> None:
        outcomes, weight = data.outcomes, data.outcomes.weight
        cheap, frontier = self._logits(data.ids)
        stack = self.cheap_.stack
        self.cheap_ = OutcomeModel(stack, fit_calibrator(stack.logits(cheap), outcomes.cheap_failure, weight))
        if self.frontier_:
            stack = self.frontier_.stack
            self.frontier_ = OutcomeModel(stack, fit_calibrator(stack.logits(frontier), outcomes.frontier_failure, weight))
        if self.gain_:
            gain = self.gain_(expit(cheap) - expit(frontier))
            self.score_calibrator_ = fit_calibrator(2.0 * gain, (1.0 + outcomes.gain) / 2.0, weight, pieces=False)

    def _logits(self, ids: Sequence[Sequence[int]]) -> tuple[FloatArray, FloatArray]:
        """Return the heads' logits of both outcomes, each of shape (n_requests, n_channels); 0 where there is no head."""
        cheap = np.zeros((len(ids), len(self.channels)))
        frontier = np.zeros_like(cheap)
        for column, channel in enumerate(self.channels):
            fitted = self.fitted_[channel.name]
            vectors = channel.transform(channel.prepare(ids), fitted.state)
            cheap[:, column] = fitted.cheap.logits(vectors)
            if fitted.frontier:
                frontier[:, column] = fitted.frontier.logits(vectors)
        return cheap, frontier
