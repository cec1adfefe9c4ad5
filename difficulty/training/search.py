"""Search: choose features, heads and regularisation by nested folds of the fit samples, in a
bounded time.

Candidates are tried from simple to rich, those with the recipe's own settings first, and judged by
scores with everything inside the fold (see :mod:`difficulty.model.nested`). The simplest candidate
within one standard error of the best is chosen. Its figure was picked as the best of many and is
therefore optimistic: what a run reports is measured on the test samples, which nothing here sees.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.channels import Channel
from difficulty.channels.embedding import EmbeddingChannel
from difficulty.diagnostics.learning_curve import HeldOut
from difficulty.encoders.base import Encoder
from difficulty.errors import (
    EncoderNotFoundError,
    MissingExtraError,
    RecipeError,
    TooFewSamplesError,
    UndefinedMetricError,
)
from difficulty.metrics import Resampling, percentile_interval, rank_within
from difficulty.metrics.arrays import FloatArray
from difficulty.model.combination import Target, fold_numbers
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.labelled import LabelledTokens
from difficulty.model.nested import NestedLogits, nested_logits, nested_scores
from difficulty.recipe import FeatureSettings, Recipe
from difficulty.training.candidates import (
    Candidate,
    CandidateChoice,
    candidates_of,
    simplest_near_best,
)
from difficulty.training.diagnosis import held_out_of
from difficulty.training.run import CandidateRecord, RecipesCompared, SearchRecord

Builder = Callable[[Recipe, Encoder, LabelledTokens], DifficultyModel]
"""Returns the unfitted model of a recipe, for some fit samples."""
N_DRAWS = 200
_SLOWER_THAN_EMBEDDINGS = 3.0
"""Channels that learn something of the embeddings first, a guess or centres, take about so many
times as long as those that do not.
"""
_PROBE = 32
"""Requests that an encoder embeds to see how long all would take."""
_NOTE = (
    "These figures chose the recipe, and the best of several is partly luck: they are optimistic."
    " The figures to report are those of the test samples, which the search did not see."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """The chosen recipe, its encoder, and what run.json says of the search."""

    recipe: Recipe
    encoder: Encoder
    report: SearchRecord


def search(
    recipe: Recipe,
    encoder: Encoder,
    *,
    read: Callable[[Encoder], LabelledTokens],
    build: Builder,
    target: Target,
    find: Callable[[FeatureSettings], Encoder] | None = None,
    clock: Callable[[], float] = time.monotonic,
    progress: Callable[[str], None] | None = None,
) -> Searched:
    """Try candidates and choose one.

    The same seed gives the same choice, as long as there is time for the same candidates.

    Parameters
    ----------
    recipe : Recipe
        With a section ``search``.
    encoder : Encoder
        The one that its features name.
    read : callable
        From an encoder to the fit samples, tokenized for it; no other samples are used.
    build : callable
        From recipe, encoder and fit samples to an unfitted model.
    target : {"benefit", "failure"}
        Candidates are judged by APGR, or by the AUROC of the cheap model's failures.
    find : callable, optional
        From features to the encoder that they name; needed where the recipe lists further encoders.
    clock : callable, default time.monotonic
        Seconds, for the time bound.
    progress : callable, optional
        Told which candidate is tried.

    Raises
    ------
    RecipeError
        If the recipe lists further encoders and ``find`` is missing, or switches off all features.
    TooFewSamplesError
        If the figure is undefined on the fit samples.
    """
    assert recipe.search
    began = clock()
    fit = read(encoder)
    bench = Bench(
        fold=fold_numbers(
            list(fit.groups), folds=recipe.search.folds, rng=np.random.default_rng(recipe.seed)
        ),
        held_out=held_out_of(fit, target=target),
        read=lambda other: fit if other is encoder else read(other),
        build=build,
        find=_finder(recipe, encoder, find),
        clock=clock,
        seed=recipe.seed,
    )
    names_tasks = build(recipe, encoder, fit).tasks is not None
    candidates = candidates_of(recipe, tasks=names_tasks)
    missing = _missing(bench, candidates)
    candidates = [each for each in candidates if each.recipe.features.encoder not in missing]
    tried = _try(
        bench,
        candidates,
        until=began + 60.0 * recipe.search.minutes,
        say=progress or (lambda _: None),
    )
    try:
        choice = simplest_near_best(
            [judged.value for judged in tried], [judged.draws for judged in tried]
        )
    except UndefinedMetricError as error:
        raise TooFewSamplesError(
            f"a search cannot judge by these fit samples: {error} Add labels, or leave search out."
        ) from error
    names = {judged.candidate.name for judged in tried}
    untried = [candidate.name for candidate in candidates if candidate.name not in names]
    report = SearchRecord(
        figure=bench.held_out.figure,
        seed=recipe.seed,
        **recipe.search.as_dict(),
        samples=len(fit),
        seconds=clock() - began,
        chosen=tried[choice.chosen].candidate.name,
        best=tried[choice.best].candidate.name,
        tried=tuple(_records(tried, choice)),
        untried=tuple(untried),
        note=_NOTE,
        missing=tuple(missing.values()),
        compared=_compared(tried, tasks=names_tasks),
    )
    chosen = tried[choice.chosen].candidate.recipe
    return Searched(recipe=chosen, encoder=bench.encoder(chosen), report=report)


def _try(
    bench: Bench, candidates: Sequence[Candidate], *, until: float, say: Callable[[str], None]
) -> list[Tried]:
    """Judge candidates, all with the recipe's own settings before any other, as long as they fit in
    the time; the simplest always.
    """
    tried: dict[int, Tried] = {}
    order = sorted(
        range(len(candidates)),
        key=lambda place: bool(candidates[place].changed.keys() - {"encoder"}),
    )
    for number, place in enumerate(order, 1):
        candidate, left = candidates[place], until - bench.clock()
        if tried and (left <= 0.0 or bench.expected_seconds(candidate) > left):
            continue  # a later one may share more and still fit
        say(f"candidate {number} of {len(candidates)}: {candidate.name}")
        tried[place] = bench.judge(candidate)
    return [tried[place] for place in sorted(tried)]


def _missing(bench: Bench, candidates: Sequence[Candidate]) -> dict[str, str]:
    """Return the further encoders that cannot be had here, each with the reason."""
    missing = {}
    for candidate in candidates:
        name = candidate.recipe.features.encoder
        if "encoder" in candidate.changed and name not in missing:
            try:
                bench.encoder(candidate.recipe)
            except (MissingExtraError, EncoderNotFoundError) as error:
                missing[name] = f"{name}: {error}"
    return missing


def _compared(tried: Sequence[Tried], *, tasks: bool) -> RecipesCompared | None:
    """Return how what ``accurate`` reads does beside what ``fast`` reads, where both were tried."""
    judged = {
        name: next((each for each in tried if each.candidate.is_like(name, tasks=tasks)), None)
        for name in ("fast", "accurate")
    }
    fast, accurate = judged.values()
    if fast is None or accurate is None:
        return None
    return RecipesCompared(
        first="fast",
        second="accurate",
        first_value=fast.value,
        second_value=accurate.value,
        ahead=accurate.value - fast.value,
        standard_error=float(np.nanstd(accurate.draws - fast.draws, ddof=1)),
    )


def _finder(
    recipe: Recipe, encoder: Encoder, find: Callable[[FeatureSettings], Encoder] | None
) -> Callable[[FeatureSettings], Encoder]:
    """Return how encoders are found: the recipe's own is there already."""
    assert recipe.search
    if recipe.search.encoders and find is None:
        raise RecipeError(
            "search.encoders needs a way to find encoders: got none for"
            f" {', '.join(recipe.search.encoders)}. Pass find."
        )
    return lambda features: (
        encoder if features.encoder == recipe.features.encoder or find is None else find(features)
    )


def _records(tried: Sequence[Tried], choice: CandidateChoice) -> Iterator[CandidateRecord]:
    """Yield what run.json holds of the candidates, the simplest first."""
    for place, judged in enumerate(tried):
        low, high = percentile_interval(judged.draws)
        yield CandidateRecord(
            name=judged.candidate.name,
            features=judged.candidate.features,
            changed=judged.candidate.changed,
            value=judged.value,
            low=low,
            high=high,
            with_task=judged.with_task,
            without_task=judged.without_task,
            behind_best=float(choice.behind[place]),
            standard_error=float(choice.standard_error[place]),
            seconds=judged.seconds,
            chosen=place == choice.chosen,
        )


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


@dataclass(kw_only=True)
class Bench:
    """Judges candidates on the same samples, folds and draws; what they share is computed once."""

    fold: NDArray[np.int64]
    """Of each of the n fit samples."""
    held_out: HeldOut
    """What happened to them, and the figure."""
    read: Callable[[Encoder], LabelledTokens]
    """From an encoder to the fit samples, tokenized for it."""
    build: Builder
    find: Callable[[FeatureSettings], Encoder]
    clock: Callable[[], float]
    seed: int
    """Of the draws."""
    _encoders: dict[str, tuple[Encoder, LabelledTokens]] = field(default_factory=dict)
    _logits: dict[tuple[Any, ...], NestedLogits] = field(default_factory=dict)
    _seconds_of: dict[str, float] = field(default_factory=dict)
    _embedding: dict[str, float] = field(default_factory=dict)
    _judging: float = 0.0

    def encoder(self, recipe: Recipe) -> Encoder:
        """Return the encoder of a candidate's recipe."""
        return self._prepared(recipe)[0]

    def expected_seconds(self, candidate: Candidate) -> float:
        """Return how long fitting its new channels, judging and embedding with a new encoder may
        take.
        """
        new = (
            self._fitting_seconds(channel)
            for channel in self._model(candidate).all_channels
            if self._key(candidate, channel) not in self._logits
        )
        return sum(new) + self._judging + self._embedding_seconds(candidate)

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
        rows = np.flatnonzero(~np.isnan(self.held_out.outcome))
        # heads of different folds differ, so scores are ranked inside each
        statistic = self.held_out.statistic(rank_within(score, self.fold), rows)
        resampling = Resampling(N_DRAWS, self.seed).affordable(len(score))
        draws, weight = resampling.of(self.held_out.groups), self.held_out.weight
        return float(statistic(weight)), draws.values(statistic, weight)

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
        seconds, plain = self._seconds_of, channel.name.removesuffix("+task")
        if channel.name in seconds:
            return seconds[channel.name]
        if channel.is_light and plain in seconds:
            return seconds[plain]  # columns of tasks cost nothing beside n-grams
        if EmbeddingChannel.name in seconds:
            return _SLOWER_THAN_EMBEDDINGS * seconds[EmbeddingChannel.name]
        return max(seconds.values(), default=0.0)

    def _embedding_seconds(self, candidate: Candidate) -> float:
        """Return how long a new encoder needs for all samples, from some of them; embeddings are
        made once and count as 0 after.
        """
        name = candidate.recipe.features.encoder
        if any(key[0] == name for key in self._logits):
            return 0.0
        if name not in self._embedding:
            encoder, data = self._prepared(candidate.recipe)
            probe = data.ids[:: max(1, len(data) // _PROBE)]
            began = self.clock()
            encoder.encode(probe)
            self._embedding[name] = (self.clock() - began) * len(data) / len(probe)
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
