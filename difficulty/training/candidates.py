"""The recipes that a search tries: few, from simple to rich, each the base recipe with other
features.

A step of the ladder says which kinds of features are read. Every step is tried with the settings
that the recipe has, then with one of them changed at a time; the product of all changes would cost
more and choose no better, since more candidates mean more luck.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from difficulty.errors import UndefinedMetricError
from difficulty.metrics.arrays import FloatArray
from difficulty.recipe import FeatureSettings, NeighbourSettings, Recipe, SearchSettings

_LADDER = (
    ("ngrams",),
    ("embedding",),
    ("ngrams", "tasks"),
    ("ngrams", "embedding"),
    ("ngrams", "trees"),
    ("ngrams", "tasks", "guess"),
    ("ngrams", "tasks", "embedding"),
    ("ngrams", "embedding", "trees"),
    ("ngrams", "embedding", "neighbours"),
    ("ngrams", "tasks", "guess", "trees"),
    ("ngrams", "tasks", "guess", "embedding"),
    ("ngrams", "tasks", "guess", "neighbours"),
    ("ngrams", "tasks", "embedding", "neighbours"),
    ("ngrams", "embedding", "neighbours", "trees"),
    ("ngrams", "tasks", "guess", "embedding", "neighbours"),
    ("ngrams", "tasks", "guess", "embedding", "neighbours", "trees"),
)
_DENSE = {"embedding", "guess", "neighbours"}
_AS_SHIPPED = {
    "fast": (("ngrams", "embedding", "trees"), ("ngrams", "tasks", "guess", "trees")),
    "accurate": (
        ("ngrams", "embedding", "neighbours", "trees"),
        ("ngrams", "tasks", "guess", "embedding", "neighbours", "trees"),
    ),
}
"""Steps that read what a shipped recipe reads, without tasks and with them; ``accurate`` has an
encoder that is slower.
"""
_ROUNDED = 1e-3
"""What the parity gate has to allow an encoder that computes with rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One recipe to try.

    Attributes
    ----------
    features : tuple of str
        Kinds of features that are read.
    changed : dict of str to float or str
        Settings that differ from the base recipe's, by key below ``features``.
    recipe : Recipe
        The base recipe with these features and without a search.
    """

    features: tuple[str, ...]
    changed: dict[str, Any]
    recipe: Recipe

    @property
    def name(self) -> str:
        """What reports call it, for example ``ngrams + tasks, ngrams.strength 0.1``."""
        return ", ".join(
            [" + ".join(self.features), *(f"{key} {value}" for key, value in self.changed.items())]
        )

    def is_like(self, shipped: str, *, tasks: bool) -> bool:
        """Return whether it reads what a shipped recipe, ``fast`` or ``accurate``, reads of traffic
        with or without tasks.
        """
        encoders = {"encoder"} if shipped == "accurate" else set()
        return self.features == _AS_SHIPPED[shipped][tasks] and self.changed.keys() == encoders


def candidates_of(recipe: Recipe, *, tasks: bool) -> list[Candidate]:
    """Return the candidates of a recipe, the simplest first.

    An encoder later in the list of encoders is slower to serve, so it counts as richer than any
    step of the ladder with an earlier one; on a step, the recipe's own settings come first.

    Parameters
    ----------
    recipe : Recipe
        With a section ``search``. What its section ``features`` switches off is not tried,
        neighbours excepted.
    tasks : bool
        Whether the traffic names tasks to learn from.
    """
    assert recipe.search
    candidates = []
    for encoder in dict.fromkeys([recipe.features.encoder, *recipe.search.encoders]):
        other = {} if encoder == recipe.features.encoder else {"encoder": encoder}
        for step in _LADDER:
            if _open(step, recipe, tasks=tasks) and (not other or _DENSE & {*step}):
                candidates += [
                    _candidate(recipe, step, other | change)
                    for change in _changes(step, recipe.features, recipe.search)
                ]
    return candidates


def _open(step: tuple[str, ...], recipe: Recipe, *, tasks: bool) -> bool:
    """Return whether the recipe and the traffic allow all that a step reads."""
    features, search = recipe.features, recipe.search
    allowed = {
        "ngrams": bool(features.ngrams),
        "embedding": bool(features.embedding),
        "tasks": bool(features.tasks) and tasks,
        "guess": bool(features.embedding and features.tasks and features.tasks.guess) and tasks,
        "neighbours": bool(search and search.neighbour_sharpness),
        "trees": bool(features.trees),
    }
    return all(allowed[kind] for kind in step)


def _changes(
    step: tuple[str, ...], features: FeatureSettings, search: SearchSettings
) -> Iterator[dict[str, Any]]:
    """Yield what is changed on a step: first nothing, then one setting at a time."""
    yield {}
    lists = {
        "ngrams.strength": search.ngram_strengths,
        "ngrams.buckets": search.buckets,
        "embedding.strength": search.embedding_strengths,
        "neighbours.sharpness": search.neighbour_sharpness,
    }
    for key, values in lists.items():
        section, name = key.split(".")
        if section in step:
            own = getattr(_section(features, section), name)
            yield from ({key: value} for value in dict.fromkeys(values) if value != own)


def _candidate(recipe: Recipe, step: tuple[str, ...], changed: dict[str, Any]) -> Candidate:
    base = recipe.features
    sections: dict[str, Any] = {"finetune": False}
    if "encoder" in changed:
        sections |= {"encoder": changed["encoder"], "encoder_sha256": None}
    for section in ("ngrams", "embedding", "neighbours", "trees"):
        own = {
            key.split(".")[1]: value
            for key, value in changed.items()
            if key.startswith(f"{section}.")
        }
        sections[section] = replace(_section(base, section), **own) if section in step else False
    if "guess" in step:  # the guess is read where embeddings are: beside them, or in their place
        embedding = sections["embedding"] or _section(base, "embedding")
        sections["embedding"] = replace(embedding, beside_guess="embedding" in step)
    sections["tasks"] = (
        replace(_section(base, "tasks"), guess="guess" in step) if "tasks" in step else False
    )
    # what is no part of a step, the length and channels of other packages, stays as it is
    features, export = replace(base, **sections), recipe.export
    if "encoder" in changed:
        allowed = max(export.max_score_difference, _ROUNDED)
        export = replace(export, max_score_difference=allowed)
    return Candidate(
        features=step,
        changed=changed,
        recipe=replace(recipe, features=features, search=False, export=export),
    )


def _section(features: FeatureSettings, name: str) -> Any:
    """Return a section's settings, for neighbours also where the recipe has none."""
    settings = getattr(features, name)
    return NeighbourSettings() if name == "neighbours" and not settings else settings


@dataclass(frozen=True, slots=True, eq=False)
class CandidateChoice:
    """Which candidate was chosen, and why; arrays of shape (n_candidates,)."""

    best: int
    """Place of the candidate with the highest value."""
    chosen: int
    behind: FloatArray
    """How far each is behind the best."""
    standard_error: FloatArray
    """Of that."""


def simplest_near_best(values: Sequence[float], draws: Sequence[FloatArray]) -> CandidateChoice:
    """Choose the first candidate that is no more than one standard error behind the best.

    The error is that of the difference: candidates are judged on the same samples, and what is luck
    for one is mostly luck for the other.

    Parameters
    ----------
    values : sequence of n_candidates floats
        Figure of each candidate, higher is better, the simplest candidate first.
    draws : sequence of n_candidates arrays of shape (n_draws,)
        The figure in each bootstrap draw; all candidates saw the same draws. NaN where it was
        undefined.

    Raises
    ------
    UndefinedMetricError
        If a value is not a number, or fewer than two draws have one.

    References
    ----------
    Breiman et al. (1984), "Classification and Regression Trees", section 3.4.3 (the
    one-standard-error rule).
    """
    value, drawn = np.asarray(values, dtype=np.float64), np.stack(draws)
    drawn = drawn[:, ~np.isnan(drawn).any(axis=0)]
    if np.isnan(value).any() or drawn.shape[1] < 2:
        raise UndefinedMetricError(
            f"choosing needs a figure of every candidate: got {value.tolist()} and {drawn.shape[1]}"
            " draws with one."
        )
    best = int(value.argmax())
    behind, error = value[best] - value, (drawn[best] - drawn).std(axis=1, ddof=1)
    return CandidateChoice(best, int(np.flatnonzero(behind <= error)[0]), behind, error)
