"""Combining the channels' heads: weights by out-of-fold logits, calibrators by held-out ones.

Probabilities are combined by logistic regression on the heads' logits, with weights of 0 or more.
The gain is not the difference of the two combined probabilities: which head tells failures apart is
not which head tells gains apart, and scaling each outcome on its own blows up the noisier one (on
RouteLLM MMLU the difference of separately scaled outcomes has APGR 0.681, the combination below
0.693). So the gain is regressed, with weights of 0 or more, on each head's own difference ``P(cheap
fails) - P(frontier fails)``.

Weights of the outcomes shrink towards 1 for the first head and 0 for the others, as if
``_PRIOR_SAMPLES`` samples had said so: with few labels the simplest head decides alone. Without
that, noise decides: a head that knows little is wrong more often than right out of fold, because
what is left out of its training is what is asked, and free weights turn it round (on 200 labels of
RouteLLM MMLU the AUROC of P(cheap fails) fell from 0.66 to 0.56).

Weights of the gain shrink towards shares that are given beforehand, as if ``_SHARED_SAMPLES``
samples had said so: fitted ones earn their way. Of ten rules on sixteen sets of channels shares
were the best or level with it on all nine sets with text alone; fitted weights paid with 10,000
rows.

Channels that learn their heads on embeddings have to earn their shares: what one says of requests
that it did not see has to go with their gains by one standard error, or its share is 0
(:meth:`Shares.as_shown`). A few hundred labels do not always carry heads on hundreds of columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize, nnls
from scipy.special import expit

from difficulty.channels.heads import LinearHead, fit_head
from difficulty.channels.shards import is_many
from difficulty.metrics.coded_names import codes_of, pick_names
from difficulty.model.calibration import Calibrator, fit_calibrator
from difficulty.model.logits import Logits, Moments, in_parts, variance_of
from difficulty.traffic.outcomes import Outcomes

FloatArray = NDArray[np.float64]
Target = Literal["benefit", "failure"]
Calibration = Literal["split", "cross"]
_PRIOR_SAMPLES = 1_500.0
"""What weights that were fitted before are worth."""
_SHARED_SAMPLES = 10_000.0
"""What shares that were given beforehand are worth."""
_MULTIPLE_SAMPLES, _LEAST_MULTIPLE = 100.0, 0.1
"""What it is worth that the one number which scales all shares is 1, and the least that it is."""

_SHOWN = 1.0
"""Standard errors above 0 that what an earned share rests on has to be."""
FOLDS_OF_MANY = 2
_TINY = 1e-12
"""What keeps a channel that always says the same from making a matrix singular."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Outputs of a scorer for n requests, each an ndarray of shape (n,)."""

    difficulty_score: FloatArray
    p_cheap_fails: FloatArray
    p_frontier_fails: FloatArray | None
    familiarity: FloatArray | None = None

    def first(self, n: int) -> Scores:
        """Return the scores of the first ``n`` requests."""
        return self.at(slice(n))

    def at(self, rows: NDArray[np.intp] | slice) -> Scores:
        """Return the scores of some requests."""
        frontier, familiarity = self.p_frontier_fails, self.familiarity
        return Scores(
            difficulty_score=self.difficulty_score[rows],
            p_cheap_fails=self.p_cheap_fails[rows],
            p_frontier_fails=None if frontier is None else frontier[rows],
            familiarity=None if familiarity is None else familiarity[rows],
        )

    @classmethod
    def joined(cls, parts: Sequence[Scores]) -> Scores:
        """Return the scores of some requests and of others after them."""

        def column(name: str) -> FloatArray:
            return np.concatenate([getattr(part, name) for part in parts])

        first = parts[0]
        return cls(
            difficulty_score=column("difficulty_score"),
            p_cheap_fails=column("p_cheap_fails"),
            p_frontier_fails=None if first.p_frontier_fails is None else column("p_frontier_fails"),
            familiarity=None if first.familiarity is None else column("familiarity"),
        )

    def where(self, chosen: NDArray[np.bool_], other: Scores) -> Scores:
        """Return these scores for chosen requests and the other ones else, without familiarity."""
        frontier = other.p_frontier_fails
        if frontier is not None and self.p_frontier_fails is not None:
            frontier = np.where(chosen, self.p_frontier_fails, frontier)
        return Scores(
            difficulty_score=np.where(chosen, self.difficulty_score, other.difficulty_score),
            p_cheap_fails=np.where(chosen, self.p_cheap_fails, other.p_cheap_fails),
            p_frontier_fails=frontier,
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
class OutOfFold:
    """Scores of the samples that heads learned from, each by heads that did not see its fold, and
    the fold of each, of shape (n,).

    Combination weights and calibrators are those of the whole model. Scores of different folds come
    from different heads: rank them inside each fold. Those of ``calibration="cross"`` have lost the
    offsets between the folds' heads and can be laid side by side.
    """

    scores: Scores
    fold: NDArray[np.int64]

    def first(self, n: int) -> OutOfFold:
        """Return those of the first ``n`` samples."""
        return OutOfFold(self.scores.first(n), self.fold[:n])


@dataclass(frozen=True, slots=True)
class GainWeights:
    """``gain = differences @ weights + intercept``, in quality units."""

    weights: FloatArray
    intercept: float

    def __call__(self, differences: FloatArray) -> FloatArray:
        """Return the expected gain; ``differences`` has shape (n_requests, n_heads)."""
        return np.asarray(differences @ self.weights + self.intercept, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class OutcomeStack:
    """Combination of the channels' logits of one outcome, and its calibration."""

    stack: LinearHead
    calibrator: Calibrator = field(default_factory=Calibrator)

    def probability(self, logits: FloatArray) -> FloatArray:
        """Return calibrated probabilities; ``logits`` has shape (n_requests, n_channels)."""
        return self.calibrator(self.stack.logits(logits))

    def calibrated(
        self, logits: FloatArray, failure: FloatArray, weight: FloatArray, *, spread: bool
    ) -> OutcomeStack:
        """Return the same combination, calibrated on requests that the heads did not see."""
        logits = self.stack.logits(logits)
        return OutcomeStack(self.stack, fit_calibrator(logits, failure, weight, spread=spread))


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """From the channels' logits to the outputs.

    Attributes
    ----------
    cheap, frontier : OutcomeStack
        ``frontier`` is ``None`` when no frontier outcome is known.
    gain : GainWeights or None
        For target ``benefit``; for ``failure`` the score is P(cheap fails).
    score_calibrator : Calibrator
        Maps twice the gain to ``difficulty_score``.
    """

    cheap: OutcomeStack
    frontier: OutcomeStack | None
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

        def outcome(model: OutcomeStack) -> OutcomeStack:
            return replace(
                model, stack=replace(model.stack, coefficients=wide(model.stack.coefficients))
            )

        return replace(
            self,
            cheap=outcome(self.cheap),
            frontier=outcome(self.frontier) if self.frontier else None,
            gain=replace(self.gain, weights=wide(self.gain.weights)) if self.gain else None,
        )

    def calibrated(
        self, logits: Logits, outcomes: Outcomes, *, spread: bool = False
    ) -> Combination:
        """Return the same combination, calibrated on requests that the heads did not see;
        ``spread`` as in :func:`~difficulty.model.calibration.fit_calibrator`.
        """
        weight = outcomes.weight
        cheap = self.cheap.calibrated(logits.cheap, outcomes.cheap_failure, weight, spread=spread)
        frontier = (
            self.frontier.calibrated(
                logits.frontier, outcomes.frontier_failure, weight, spread=spread
            )
            if self.frontier
            else None
        )
        if self.gain is None:
            return replace(self, cheap=cheap, frontier=frontier)
        doubled = 2.0 * self.gain(logits.differences)
        calibrator = fit_calibrator(
            doubled, (1.0 + outcomes.gain) / 2.0, weight, pieces=False, spread=spread
        )
        return replace(self, cheap=cheap, frontier=frontier, score_calibrator=calibrator)


def mean_of(first: Combination, second: Combination, *, share: float = 0.5) -> Combination:
    """Return the combination between two that read the same channels and know the same outcomes;
    the second has a share of it. It is not calibrated.
    """

    def mean(values: Sequence[FloatArray | float]) -> FloatArray:
        return np.average(np.asarray(values), axis=0, weights=[1.0 - share, share])

    def outcome(left: OutcomeStack, right: OutcomeStack) -> OutcomeStack:
        stacks = left.stack, right.stack
        return OutcomeStack(
            LinearHead(
                mean([stack.coefficients for stack in stacks]),
                float(mean([stack.intercept for stack in stacks])),
            )
        )

    frontier = gain = None
    if first.frontier and second.frontier:
        frontier = outcome(first.frontier, second.frontier)
    if first.gain and second.gain:
        gains = first.gain, second.gain
        gain = GainWeights(
            mean([gain.weights for gain in gains]), float(mean([gain.intercept for gain in gains]))
        )
    return Combination(cheap=outcome(first.cheap, second.cheap), frontier=frontier, gain=gain)


def fit_combination(
    logits: Logits,
    outcomes: Outcomes,
    *,
    target: Target,
    start: GainWeights | None = None,
    prior: FloatArray | None = None,
    shares: Shares | None = None,
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
    shares : Shares, optional
        What the gain's weights shrink towards otherwise.
    """
    weight = outcomes.weight

    def outcome(of_heads: FloatArray, failure: FloatArray) -> OutcomeStack:
        return OutcomeStack(fit_outcome_stack(of_heads, failure, weight, prior=prior))

    frontier = gain = None
    if not np.isnan(outcomes.frontier_failure).all():
        frontier = outcome(logits.frontier, outcomes.frontier_failure)
    if target == "benefit":
        known = outcomes.gain
        if is_many(int((~np.isnan(known)).sum())):
            gain = _fit_gain_of_many(logits, known, weight, start=start, shares=shares)
        else:
            gain = fit_gain_weights(logits.differences, known, weight, start=start, shares=shares)
    cheap = outcome(logits.cheap, outcomes.cheap_failure)
    return Combination(cheap=cheap, frontier=frontier, gain=gain)


def fit_outcome_stack(
    logits: FloatArray,
    failure: FloatArray,
    weight: FloatArray,
    *,
    prior: FloatArray | None = None,
    samples: float = _PRIOR_SAMPLES,
) -> LinearHead:
    """Fit weights for the heads' logits of one outcome by penalised logistic regression.

    Parameters
    ----------
    logits : ndarray of shape (n_requests, n_heads)
        Each head's logits, out of fold; the simplest head first.
    failure, weight : ndarray of shape (n_requests,)
        Outcome in [0, 1], NaN where unknown; sample weights.
    prior : ndarray of shape (n_heads,), optional
        Weights to shrink towards, instead of 1 for the first head alone.
    samples : float, default 1500
        How many samples that is worth.
    """
    with_outcome = ~np.isnan(failure)
    everywhere = bool(with_outcome.all())
    x = logits if everywhere else logits[with_outcome]
    y, w = (each if everywhere else each[with_outcome] for each in (failure, weight))
    if len(np.unique(y)) < 2:
        return fit_head(logits, failure, weight, strength=1.0)
    rate = np.average(y, weights=w)
    towards = np.eye(1, x.shape[1])[0] if prior is None else prior
    # what so many samples would tell of each weight: the curvature of the loss at their rate
    variance = x.var(axis=0) if x.dtype == np.float64 else variance_of(x)
    information = samples * rate * (1.0 - rate) * variance

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        away = parameters[:-1] - towards
        misfit, pulled, total = 0.5 * np.dot(information, away**2), information * away, 0.0
        for rows in in_parts(len(x)):
            part = x[rows].astype(np.float64, copy=False)
            z = part @ parameters[:-1] + parameters[-1]
            residual = w[rows] * (expit(z) - y[rows])
            misfit += np.dot(w[rows], np.logaddexp(0.0, z) - y[rows] * z)
            pulled, total = pulled + part.T @ residual, total + residual.sum()
        return float(misfit), np.append(pulled, total)

    bounds = [(0.0, None)] * x.shape[1] + [(None, None)]
    start = np.append(towards, 0.0)
    fitted = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return LinearHead(fitted[:-1], float(fitted[-1]))


def _fit_gain_of_many(
    logits: Logits,
    gain: FloatArray,
    weight: FloatArray,
    *,
    start: GainWeights | None,
    shares: Shares | None,
) -> GainWeights:
    """Return what :func:`fit_gain_weights` returns, by moments: of many requests the design would
    be a large part of the memory.
    """
    moments = Moments.of(logits, gain, weight)
    fallback, samples = start or GainWeights(np.eye(1, len(moments.x))[0], 0.0), _PRIOR_SAMPLES
    if shares and not start:
        fallback, samples = shares.scaled(moments), _SHARED_SAMPLES
    prior = samples * np.diag(moments.squares) / moments.weight
    root = cholesky(moments.squares + np.diag(np.maximum(prior, _TINY)))
    wanted = moments.products + prior * fallback.weights
    weights = nnls(root, solve_triangular(root, wanted, trans="T"))[0]
    if not weights.any():
        return fallback
    return GainWeights(weights, float(moments.y - moments.x @ weights))


def fit_gain_weights(
    differences: FloatArray,
    gain: FloatArray,
    weight: FloatArray,
    *,
    start: GainWeights | None = None,
    shares: Shares | None = None,
) -> GainWeights:
    """Fit non-negative weights for the heads' differences by penalised least squares.

    Parameters
    ----------
    differences : ndarray of shape (n_requests, n_heads)
        Each head's P(cheap fails) - P(frontier fails), out of fold; the simplest head first.
    gain, weight : ndarray of shape (n_requests,)
        Frontier minus cheap quality, NaN where unknown; sample weights.
    start : GainWeights, optional
        Weights to shrink towards, instead of 1 for the first head alone.
    shares : Shares, optional
        What they shrink towards where there is no ``start``.

    Returns
    -------
    GainWeights
        Those it shrinks towards when nothing is learned (no known gain, or no head with a positive
        weight).
    """
    with_gain = ~np.isnan(gain)
    x, y, w = differences[with_gain], gain[with_gain], weight[with_gain]
    fallback, samples = (
        start or GainWeights(np.eye(1, differences.shape[1])[0], 0.0),
        _PRIOR_SAMPLES,
    )
    if shares and not start:
        fallback, samples = shares.weights(x, y, w), _SHARED_SAMPLES
    if len(y) < 2:
        return fallback
    x_mean, y_mean = np.average(x, axis=0, weights=w), np.average(y, weights=w)
    prior = np.sqrt(samples * np.average((x - x_mean) ** 2, axis=0, weights=w))
    root = np.sqrt(w)
    # the prior as more rows: each says what it would have a weight be
    design = np.vstack([root[:, None] * (x - x_mean), np.diag(prior)])
    weights = nnls(design, np.r_[root * (y - y_mean), prior * fallback.weights])[0]
    return GainWeights(weights, float(y_mean - x_mean @ weights)) if weights.any() else fallback


@dataclass(frozen=True, slots=True)
class Shares:
    """How much each channel counts as long as labels say nothing else.

    Attributes
    ----------
    shares : ndarray of shape (n_channels,)
        At least one above 0.
    by_deviation : bool
        Whether they are shares of the order that the score makes, each channel divided by its
        deviation first, or of the gain itself.
    earned : ndarray of shape (n_channels,), bool, optional
        Which channels count only where labels show that they know something; default: none.
    """

    shares: FloatArray
    by_deviation: bool
    earned: NDArray[np.bool_] | None = None

    def as_shown(
        self, logits: Logits, outcomes: Outcomes, fold: NDArray[np.int64], groups: Sequence[str]
    ) -> Shares:
        """Return the shares, 0 for a channel that has to earn its own and does not: what it says
        out of fold has no covariance with the gain that is one standard error above 0.

        Nothing is taken away where fewer than two groups tell, nor from all channels.

        Parameters
        ----------
        logits : Logits
            Of n requests, each by heads that did not see it.
        outcomes : Outcomes
        fold : ndarray of shape (n,)
            Which heads those are; differences between folds say nothing.
        groups : sequence of n str
            Requests of one group are one piece of evidence.
        """
        rows = np.flatnonzero(~np.isnan(outcomes.gain))
        group = codes_of(pick_names(groups, rows))
        if self.earned is None or not self.earned.any() or group.max(initial=0) < 1:
            return self
        gain, weight, fold = outcomes.gain[rows], outcomes.weight[rows], fold[rows]
        numbers = np.unique(fold)

        def centred(values: FloatArray) -> FloatArray:
            """Return values without the means of their folds."""
            for number in numbers:
                inside = fold == number
                values[inside] -= np.average(values[inside], weights=weight[inside])
            return values

        pulled = weight * centred(gain)
        # a column at a time: of many requests all of them are a large part of the memory
        evidence = np.column_stack(
            [
                np.bincount(group, weights=centred(logits.difference(column)[rows]) * pulled)
                for column in range(len(self.shares))
            ]
        )
        shown = evidence.sum(axis=0) >= _SHOWN * np.sqrt((evidence**2).sum(axis=0))
        shares = np.where(self.earned & ~shown, 0.0, self.shares)
        return replace(self, shares=shares) if shares.any() else self

    def scaled(self, moments: Moments) -> GainWeights:
        """Return what :meth:`weights` returns, by moments of many requests."""
        weights = self.shares / self.shares.sum()
        deviation = np.sqrt(np.diag(moments.squares) / moments.weight)
        if self.by_deviation and deviation.any():
            scaled = np.divide(weights, deviation, out=np.zeros_like(weights), where=deviation > 0)
            weights = scaled / scaled.sum() if scaled.any() else weights
        squared = float(weights @ moments.squares @ weights)
        prior = _MULTIPLE_SAMPLES * squared / moments.weight
        total = squared + prior
        multiple = (float(weights @ moments.products) + prior) / total if total > 0 else 1.0
        weights = max(multiple, _LEAST_MULTIPLE) * weights
        return GainWeights(weights, float(moments.y - moments.x @ weights))

    def weights(self, x: FloatArray, y: FloatArray, w: FloatArray) -> GainWeights:
        """Return weights of the channels' differences, scaled to the gain as a whole.

        Parameters
        ----------
        x : ndarray of shape (n, n_channels)
            Differences, out of fold.
        y, w : ndarray of shape (n,)
            Gains and sample weights.
        """
        weights = self.shares / self.shares.sum()
        if len(y) < 2:
            return GainWeights(weights, 0.0)
        x_mean, y_mean = np.average(x, axis=0, weights=w), np.average(y, weights=w)
        away, rest = x - x_mean, y - y_mean
        deviation = np.sqrt(np.average(away**2, axis=0, weights=w))
        if self.by_deviation and deviation.any():
            scaled = np.divide(weights, deviation, out=np.zeros_like(weights), where=deviation > 0)
            weights = scaled / scaled.sum() if scaled.any() else weights
        blend = away @ weights
        prior = _MULTIPLE_SAMPLES * np.average(blend**2, weights=w)
        total = np.dot(w, blend**2) + prior
        multiple = (np.dot(w, blend * rest) + prior) / total if total > 0 else 1.0
        weights = max(multiple, _LEAST_MULTIPLE) * weights
        return GainWeights(weights, float(y_mean - x_mean @ weights))


def folds_of(n: int, wanted: int) -> int:
    """Return how many folds ``n`` requests are dealt to where so many are wanted: of many no more
    than ``FOLDS_OF_MANY``, as heads that saw half of those say nearly what heads that saw all do.
    """
    return min(wanted, FOLDS_OF_MANY) if is_many(n) else wanted


def fold_numbers(
    groups: Sequence[str], *, folds: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return a fold for each request; requests of one group share it, and folds hold about as many
    groups each.
    """
    index = codes_of(groups)
    order = rng.permutation(int(index.max()) + 1 if len(index) else 0)
    return np.asarray(order[index] % folds, dtype=np.int64)
