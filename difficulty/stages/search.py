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
from dataclasses import dataclass

import numpy as np

from difficulty.encoders.base import Encoder
from difficulty.errors import RecipeError, TooFewSamplesError, UndefinedMetricError
from difficulty.evaluation.choice import Choice, simplest_near_best
from difficulty.metrics import percentile_interval
from difficulty.model.combination import Target
from difficulty.model.labelled import LabelledTokens
from difficulty.model.stacking import fold_numbers
from difficulty.recipe import FeatureSettings, Recipe
from difficulty.stages.bench import Bench, Builder, Tried
from difficulty.stages.candidates import Candidate, candidates_of
from difficulty.training.diagnosis import held_out_of
from difficulty.training.record import CandidateRecord, SearchRecord

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
        read=lambda one: fit if one is encoder else read(one),
        build=build,
        find=_finder(recipe, encoder, find),
        clock=clock,
        seed=recipe.seed,
    )
    candidates = candidates_of(recipe, tasks=build(recipe, encoder, fit).tasks is not None)
    tried = _try(
        bench,
        candidates,
        until=began + 60.0 * recipe.search.minutes,
        say=progress or (lambda _: None),
    )
    try:
        choice = simplest_near_best([one.value for one in tried], [one.draws for one in tried])
    except UndefinedMetricError as error:
        raise TooFewSamplesError(
            f"a search cannot judge by these fit samples: {error} Add labels, or leave search out."
        ) from error
    names = {one.candidate.name for one in tried}
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


def _records(tried: Sequence[Tried], choice: Choice) -> Iterator[CandidateRecord]:
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
