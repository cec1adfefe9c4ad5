"""Heads on an answer, stacked on what the scorer says of its request, and calibrated.

The target is P(the answer fails | request, answer). ``answer_score`` sets P(the frontier model
fails | request) against it, which the scorer knows already: an answer that fails is worth the
frontier model only where that does better.

Heads, each out of fold: n-grams of the answer, a linear head and small networks on its facts, and
in the full form trees on its facts. The stack is a logistic regression on their logits and on that
of the request, with weights of 0 or more that shrink to the request's alone as if
``_PRIOR_SAMPLES`` samples had said so: 60 labels then lose nothing, and 1,000 are free. Of four
public sets with 900 to 1,300 answers, a prior that grows with the labels lost .01 of the gap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from difficulty.answer_check.answered import Answered, AnswerScores, LabelledAnswers
from difficulty.answer_check.fact_heads import (
    FactScaling,
    Network,
    fit_network,
    grow_trees,
    tree_values,
)
from difficulty.channels.heads import LinearHead, fit_head, fit_ridge
from difficulty.channels.ngrams import NgramChannel
from difficulty.channels.tree_arrays import TreeArrays, follow
from difficulty.engine.threads import in_threads
from difficulty.errors import TooFewSamplesError
from difficulty.metrics.coded_names import pick_names
from difficulty.model.calibration import Calibrator, fit_calibrator
from difficulty.model.combination import Target, fit_outcome_stack, fold_numbers, folds_of

FloatArray = NDArray[np.float64]
Form = Literal["lean", "full"]
LEAST_LABELS = 60
"""Answers with a known outcome that learning needs."""
EDGE = 1e-4
"""What the scorer says of a request is cut to this far from 0 and 1, whose logits are infinite."""
_PRIOR_SAMPLES = 40.0
_WORDS_STRENGTH, _FACTS_STRENGTH = 3.0, 0.02
_SURROGATE_PENALTY = 10.0
_BUCKETS = 16_384
MOST_ROWS = 16_384
"""Answers that heads on facts learn from, every so many of more; n-grams learn from all."""
_BLOCK = 16_384
"""Answers whose facts are standardised at a time."""


@dataclass(frozen=True, slots=True)
class AnswerHeads:
    """What was learned of some answers, a logit each.

    Attributes
    ----------
    idf : ndarray
        Of the n-grams of answers.
    words : LinearHead
    scaling : FactScaling
    facts : LinearHead
        On standardised facts.
    network : Network
    trees : TreeArrays or None
        In the full form.
    """

    idf: FloatArray
    words: LinearHead
    scaling: FactScaling
    facts: LinearHead
    network: Network
    trees: TreeArrays | None

    def logits(self, ngrams: NgramChannel, answered: Answered) -> FloatArray:
        """Return a column a head, of shape (n, 3 or 4)."""
        if len(answered) > _BLOCK:
            starts = range(0, len(answered), _BLOCK)
            rows = np.arange(len(answered))
            return np.concatenate(
                [self.logits(ngrams, answered.at(rows[at : at + _BLOCK])) for at in starts]
            )
        vectors = self.scaling(answered.facts)
        words = ngrams.transform(ngrams.prepare(answered.ids), self.idf)
        columns = [
            self.words.logits(words),
            self.facts.logits(vectors),
            self.network.logits(vectors),
        ]
        if self.trees is not None:
            columns.append(follow(tree_values(answered.facts), self.trees))
        return np.column_stack(columns)


class AnswerCheck:
    """Predict how likely an answer of the cheap model fails, and how much that is worth.

    Parameters
    ----------
    vocabulary_size : int
        Number of token ids.
    target : {"benefit", "failure"}
        ``answer_score`` is ``(1 + P(answer fails) - P(frontier fails)) / 2``, or P(answer fails).
    form : {"full", "lean"}, default "full"
        With trees, or without.
    folds : int, default 5
    seed : int, default 0
        Deals groups to folds.
    start : AnswerCheck, optional
        A fitted check of another cheap model on the same kind of requests: what it says takes the
        request's place in the stack, so that without labels this check says the same.

    Attributes
    ----------
    heads_ : AnswerHeads or None
        ``None`` with too few labels, beside a ``start`` only.
    stack_ : LinearHead
        Weights of the start's or the request's logit, then of each head's.
    calibrator_ : Calibrator
    means_ : ndarray of shape (2,)
        Of ``p_cheap_fails`` and ``p_frontier_fails``, for requests of which they are not known.
    surrogate_ : ndarray of shape (n_facts,)
        How a linear model in place of the check moves its logit with a deviation of each fact.
    out_of_fold_ : AnswerScores
        Scores of the answers that were learned from, each by heads, stack and calibrator that did
        not see its fold; there after ``fit`` only.
    """

    heads_: AnswerHeads | None
    stack_: LinearHead
    calibrator_: Calibrator
    means_: FloatArray
    surrogate_: FloatArray
    out_of_fold_: AnswerScores

    def __init__(
        self,
        *,
        vocabulary_size: int,
        target: Target,
        form: Form = "full",
        folds: int = 5,
        seed: int = 0,
        start: AnswerCheck | None = None,
    ) -> None:
        self.vocabulary_size = vocabulary_size
        self.target = target
        self.form = form
        self.folds = folds
        self.seed = seed
        self.start = start

    @property
    def ngrams(self) -> NgramChannel:
        """The n-grams of answers."""
        return NgramChannel(self.vocabulary_size, buckets=_BUCKETS)

    def fit(
        self, learned: LabelledAnswers, calibration: LabelledAnswers | None = None
    ) -> AnswerCheck:
        """Fit heads, stack and calibrator.

        Parameters
        ----------
        learned : LabelledAnswers
            What heads learn from. What the scorer says of these requests must be by heads that did
            not see them.
        calibration : LabelledAnswers, optional
            What the calibrator learns from; they share no group with the others. Without, it
            learns from out-of-fold logits of ``learned``.

        Raises
        ------
        TooFewSamplesError
            If fewer than ``LEAST_LABELS`` outcomes are known, and there is no ``start``.
        """
        known = ~np.isnan(learned.failure)
        if known.sum() < LEAST_LABELS and self.start is None:
            raise TooFewSamplesError(
                f"a check of answers needs at least {LEAST_LABELS} answers with a known outcome:"
                f" got {int(known.sum()):,}. Add cheap_answer to labelled traffic."
            )
        self.means_ = _means(learned.answered.request)
        fold = fold_numbers(
            learned.groups,
            folds=folds_of(len(learned), self.folds),
            rng=np.random.default_rng(self.seed),
        )
        enough = known.sum() >= LEAST_LABELS
        self.heads_ = self._fit_heads(learned, np.arange(len(learned))) if enough else None
        logits = self._out_of_fold(learned, fold)
        self.stack_ = self._fit_stack(logits, learned)
        judged, read = learned, logits
        if calibration is not None and (~np.isnan(calibration.failure)).any():
            judged, read = calibration, self._columns(calibration.answered)
        self.calibrator_ = self._calibrate(self.stack_.logits(read), judged, read is logits)
        self.out_of_fold_ = self._cross_fitted(logits, learned, fold)
        self.surrogate_ = self._surrogate(learned)
        return self

    def predict(self, answered: Answered) -> AnswerScores:
        """Return the scores of answers."""
        return self._scores(self.calibrator_(self.logits(answered)), answered)

    def logits(self, answered: Answered) -> FloatArray:
        """Return what is calibrated, of shape (n,)."""
        return self.stack_.logits(self._columns(answered))

    def _request(self, answered: Answered) -> NDArray[np.float32]:
        """Return what the scorer says of the requests, its mean where it says nothing."""
        said = answered.request
        return np.where(np.isnan(said), self.means_.astype(np.float32), said)

    def _scores(self, p_fails: FloatArray, answered: Answered) -> AnswerScores:
        if self.target == "failure":
            return AnswerScores(answer_score=p_fails, p_answer_fails=p_fails)
        frontier = self._request(answered)[:, 1].astype(np.float64)
        return AnswerScores(answer_score=(1.0 + p_fails - frontier) / 2.0, p_answer_fails=p_fails)

    def _columns(self, answered: Answered) -> FloatArray:
        """Return what the stack reads, of shape (n, 1 + number of heads)."""
        request = self._request(answered)
        if self.start:
            earlier, read = self.start, replace(answered, request=request)
            calibrator = earlier.calibrator_
            first = calibrator.slope * earlier.logits(read) + calibrator.intercept
        else:
            first = logit(request[:, 0].astype(np.float64).clip(EDGE, 1.0 - EDGE))
        if self.heads_ is None:
            return first[:, None]
        return np.column_stack([first, self.heads_.logits(self.ngrams, answered)])

    def _fit_heads(self, learned: LabelledAnswers, rows: NDArray[np.intp]) -> AnswerHeads:
        """Return what is learned from some rows."""
        rows = rows[~np.isnan(learned.failure[rows])]
        answered = learned.answered.at(rows)
        failure, weight = learned.failure[rows], learned.outcomes.weight[rows]
        ngrams = self.ngrams
        counts = ngrams.prepare(answered.ids)
        idf = ngrams.fit(counts)
        head = fit_head(ngrams.transform(counts, idf), failure, weight, strength=_WORDS_STRENGTH)
        facts, failure, weight = _thinned(answered.facts, failure, weight)
        scaling = FactScaling.of(facts)
        vectors = scaling(facts)
        return AnswerHeads(
            idf,
            head,
            scaling,
            fit_head(vectors, failure, weight, strength=_FACTS_STRENGTH),
            fit_network(vectors, failure, weight),
            grow_trees(facts, failure, weight) if self.form == "full" else None,
        )

    def _out_of_fold(self, learned: LabelledAnswers, fold: NDArray[np.int64]) -> FloatArray:
        """Return what the stack reads, each answer by heads that did not see its fold; heads of
        each fold are brought to one mean, since one that did not see a fold with many failures
        expects fewer of them.
        """
        columns = self._columns(learned.answered)
        if self.heads_ is None:
            return columns

        def predict(number: int) -> tuple[NDArray[np.intp], FloatArray]:
            inside, outside = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
            heads = self._fit_heads(learned, outside)
            return inside, heads.logits(self.ngrams, learned.answered.at(inside))

        for inside, said in in_threads(predict, np.unique(fold).tolist()):
            columns[inside, 1:] = said
        whole = columns[:, 1:].mean(axis=0)
        for number in np.unique(fold):
            columns[fold == number, 1:] += whole - columns[fold == number, 1:].mean(axis=0)
        return columns

    def _fit_stack(self, columns: FloatArray, learned: LabelledAnswers) -> LinearHead:
        if self.heads_ is None:
            return LinearHead(np.ones(1), 0.0)
        return fit_outcome_stack(
            columns, learned.failure, learned.outcomes.weight, samples=_PRIOR_SAMPLES
        )

    def _calibrate(self, logits: FloatArray, judged: LabelledAnswers, spread: bool) -> Calibrator:
        return fit_calibrator(logits, judged.failure, judged.outcomes.weight, spread=spread)

    def _cross_fitted(
        self, columns: FloatArray, learned: LabelledAnswers, fold: NDArray[np.int64]
    ) -> AnswerScores:
        """Return scores by a stack and a calibrator that did not see the answer's fold."""
        p_fails = np.zeros(len(learned))
        for number in np.unique(fold):
            inside, outside = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
            others = LabelledAnswers(
                answered=learned.answered.at(outside),
                outcomes=learned.outcomes[outside],
                groups=pick_names(learned.groups, outside),
            )
            stack = self._fit_stack(columns[outside], others)
            calibrator = self._calibrate(stack.logits(columns[outside]), others, True)
            p_fails[inside] = calibrator(stack.logits(columns[inside]))
        return self._scores(p_fails, learned.answered)

    def _surrogate(self, learned: LabelledAnswers) -> FloatArray:
        rows, weight = _thinned(np.arange(len(learned)), learned.outcomes.weight)
        answered = learned.answered.at(rows)
        scaling = FactScaling.of(answered.facts)
        vectors = scaling(answered.facts)[:, : len(scaling.mean)]
        logits = self.logits(answered) * self.calibrator_.slope
        return fit_ridge(vectors, logits, weight, penalty=_SURROGATE_PENALTY).coefficients


def _thinned(*columns: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Return every so many rows of some arrays, at most ``MOST_ROWS``."""
    step = 1 + (len(columns[0]) - 1) // MOST_ROWS if len(columns[0]) else 1
    return tuple(column[::step] for column in columns)


def _means(request: NDArray[np.float32]) -> FloatArray:
    """Return the mean of both columns where they are known; 1/2 where they never are."""
    known = ~np.isnan(request)
    sums = np.where(known, request, 0.0).sum(axis=0, dtype=np.float64)
    return np.where(known.any(axis=0), sums / np.maximum(known.sum(axis=0), 1), 0.5)
