"""The bench that candidates are judged on: same samples, same folds, same draws; what they share is
computed once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.channels import Channel
from difficulty.channels.embedding import EmbeddingChannel
from difficulty.diagnostics.learning_curve import HeldOut
from difficulty.encoders.base import Encoder
from difficulty.metrics import affordable_draws, rank_within
from difficulty.metrics.arrays import FloatArray
from difficulty.metrics.bootstrap import weight_blocks
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.labelled import LabelledTokens
from difficulty.model.nested import NestedLogits, nested_logits, nested_scores
from difficulty.recipe import FeatureSettings, Recipe
from difficulty.stages.candidates import Candidate

Builder = Callable[[Recipe, Encoder, LabelledTokens], DifficultyModel]
"""Returns the unfitted model of a recipe, for some fit samples."""
N_DRAWS = 200
_SLOWER_THAN_EMBEDDINGS = 3.0
"""Channels that learn something of the embeddings first, a guess or centres, take about so many
times as long as those that do not.
"""
_PROBE = 32
"""Requests that an encoder embeds to see how long all would take."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tried:
    """A candidate that was judged.

    Attributes
    ----------
    candidate : Candidate
    value : float
        Mean of ``without_task`` and ``with_task``; where the candidate reads no tasks they are the
        same.
    without_task, with_task : float
        The figure as if no task were known, and when tasks are read where they are known.
    draws : ndarray of shape (n_draws,)
        ``value`` in each bootstrap draw.
    seconds : float
    """

    candidate: Candidate
    value: float
    without_task: float
    with_task: float
    draws: FloatArray
    seconds: float


class Bench:
    """Judges candidates by nested folds of the fit samples.

    Parameters
    ----------
    fold : ndarray of shape (n,)
        Fold of each fit sample.
    held_out : HeldOut
        What happened to the fit samples, and the figure.
    read : callable
        From an encoder to the n fit samples, tokenized for it.
    build : callable
        From recipe, encoder and fit samples to an unfitted model.
    find : callable
        From features to the encoder that they name.
    clock : callable
        Seconds.
    seed : int
        Of the draws.
    """

    def __init__(
        self,
        *,
        fold: NDArray[np.int64],
        held_out: HeldOut,
        read: Callable[[Encoder], LabelledTokens],
        build: Builder,
        find: Callable[[FeatureSettings], Encoder],
        clock: Callable[[], float],
        seed: int,
    ) -> None:
        self.fold = fold
        self.held_out = held_out
        self.read, self.build, self.find, self.clock = read, build, find, clock
        self.seed = seed
        self._encoders: dict[str, tuple[Encoder, LabelledTokens]] = {}
        self._logits: dict[tuple[Any, ...], NestedLogits] = {}
        self._seconds_of: dict[str, float] = {}
        self._embedding: dict[str, float] = {}
        self._judging = 0.0

    def encoder(self, recipe: Recipe) -> Encoder:
        """Return the encoder of a candidate's recipe."""
        return self._prepared(recipe)[0]

    def expected_seconds(self, candidate: Candidate) -> float:
        """Return how long a candidate is expected to take: fitting its new channels, judging, and
        embedding with a new encoder.
        """
        new = [
            channel
            for channel in self._model(candidate).all_channels
            if self._key(candidate, channel) not in self._logits
        ]
        return (
            sum(map(self._fitting_seconds, new))
            + self._judging
            + self._embedding_seconds(candidate)
        )

    def judge(self, candidate: Candidate) -> Tried:
        """Return the figure of a candidate, fitting the channels that no candidate before it
        had.
        """
        began = self.clock()
        model, data = self._model(candidate), self._prepared(candidate.recipe)[1]
        logits = {
            channel.name: self._logits_of(candidate, channel, data)
            for channel in model.all_channels
        }
        fitted = self.clock()
        scores = nested_scores(model, logits, data, self.fold)
        without_task, draws = self._figure(scores.without_task)
        with_task, draws_with_task = without_task, draws
        if scores.with_task is not None:
            with_task, draws_with_task = self._figure(scores.with_task)
        done = self.clock()
        self._judging = max(self._judging, done - fitted)
        return Tried(
            candidate=candidate,
            value=(without_task + with_task) / 2.0,
            without_task=without_task,
            with_task=with_task,
            draws=(draws + draws_with_task) / 2.0,
            seconds=done - began,
        )

    def _figure(self, score: FloatArray) -> tuple[float, FloatArray]:
        """Return the figure and its bootstrap draws, which are the same for every score."""
        known = np.flatnonzero(~np.isnan(self.held_out.outcome))
        statistic = self.held_out.statistic(rank_within(score, self.fold), known)
        weight, n_draws = self.held_out.weight, affordable_draws(len(score), N_DRAWS)
        blocks = weight_blocks(
            self.held_out.groups, n_draws=n_draws, rng=np.random.default_rng(self.seed)
        )
        return float(statistic(weight)), np.concatenate(
            [statistic(block * weight) for block in blocks]
        )

    def _logits_of(
        self, candidate: Candidate, channel: Channel, data: LabelledTokens
    ) -> NestedLogits:
        key = self._key(candidate, channel)
        if key not in self._logits:
            began = self.clock()
            self._logits[key] = nested_logits(channel, data, self.fold)
            self._seconds_of[channel.name] = max(
                self._seconds_of.get(channel.name, 0.0), self.clock() - began
            )
        return self._logits[key]

    def _key(self, candidate: Candidate, channel: Channel) -> tuple[Any, ...]:
        """Return what a channel's logits depend on."""
        encoder = candidate.recipe.features.encoder
        return encoder, channel.name, channel.strength, repr(channel.settings())

    def _fitting_seconds(self, channel: Channel) -> float:
        """Return how long a channel is expected to take: as its kind did, else by what it stands
        beside or by embeddings, else as the slowest.
        """
        known, plain = self._seconds_of, channel.name.removesuffix("+task")
        if channel.name in known:
            return known[channel.name]
        if channel.is_light and plain in known:
            return known[plain]  # columns of tasks cost nothing beside n-grams
        if EmbeddingChannel.name in known:
            return _SLOWER_THAN_EMBEDDINGS * known[EmbeddingChannel.name]
        return max(known.values(), default=0.0)

    def _embedding_seconds(self, candidate: Candidate) -> float:
        """Return how long a new encoder needs for all samples, from some of them; embeddings are
        made once and count as 0 after.
        """
        name = candidate.recipe.features.encoder
        if any(key[0] == name for key in self._logits):
            return 0.0
        if name not in self._embedding:
            encoder, data = self._prepared(candidate.recipe)
            some = data.ids[:: max(1, len(data) // _PROBE)]
            began = self.clock()
            encoder.encode(some)
            self._embedding[name] = (self.clock() - began) * len(data) / len(some)
        return self._embedding[name]

    def _model(self, candidate: Candidate) -> DifficultyModel:
        return self.build(candidate.recipe, *self._prepared(candidate.recipe))

    def _prepared(self, recipe: Recipe) -> tuple[Encoder, LabelledTokens]:
        """Return a recipe's encoder and the samples tokenized for it."""
        name = recipe.features.encoder
        if name not in self._encoders:
            encoder = self.find(recipe.features)
            self._encoders[name] = encoder, self.read(encoder)
        return self._encoders[name]
