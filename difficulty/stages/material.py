"""What a model is trained on: traffic read, weighted, split, checked and tokenized, with what a
teacher says of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.encoders.base import Encoder
from difficulty.errors import RecipeError
from difficulty.model.combination import Target
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.labelled import LabelledTokens
from difficulty.recipe import FeatureSettings, Recipe
from difficulty.stages.assemble import build_model, known_tasks, labelled
from difficulty.stages.checks import check_outcomes, target_of
from difficulty.stages.distil import check_teacher, taught, with_unlabelled
from difficulty.stages.run import Run
from difficulty.stages.scoring import Tokenized, tokenize
from difficulty.stages.search import search
from difficulty.stages.start import check_start, without_seen
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer
from difficulty.traffic.logged import LoggedReport, weigh_logged
from difficulty.traffic.table import Traffic

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a model is trained on.

    Attributes
    ----------
    recipe : Recipe
        As given, or what a search chose.
    encoder : Encoder
        The one that the recipe names.
    traffic : Traffic
        All samples, logged ones weighted.
    data_hash : str
        Of the traffic as it was read.
    splits : ndarray of shape (n,)
        Split of each sample.
    target : {"benefit", "failure"}
    tokens : Tokenized
        Token ids of all samples.
    fit, calibration : LabelledTokens
        The two splits that are learned from; unlabelled requests that a teacher judged stand after
        the fit samples.
    logged : LoggedReport or None
        How logged samples were weighted.
    searched : dict or None
        What a search tried.
    start, teacher : Run or None
    """

    recipe: Recipe
    encoder: Encoder
    traffic: Traffic
    data_hash: str
    splits: NDArray[np.str_]
    target: Target
    tokenizer: RequestTokenizer
    tokens: Tokenized
    fit: LabelledTokens
    calibration: LabelledTokens
    logged: LoggedReport | None = None
    searched: dict[str, Any] | None = None
    start: Run | None = None
    teacher: Run | None = None

    @property
    def fit_ids(self) -> list[str]:
        """Ids of the fit samples that have labels."""
        return self.traffic.select(self.splits == "fit").ids

    @property
    def n_unlabelled(self) -> int:
        """Number of requests without labels among the fit samples."""
        return len(self.fit) - int((self.splits == "fit").sum())

    def rows(self, split: str) -> NDArray[np.intp]:
        """Return the places of a split's samples."""
        return np.flatnonzero(self.splits == split)


def gather(
    traffic_path: Path,
    recipe: Recipe,
    encoder: Encoder,
    *,
    find: Callable[[FeatureSettings], Encoder] | None,
    start: Run | None,
    teacher: Run | None,
    unlabelled: Path | None,
    progress: Progress,
) -> Material:
    """Read traffic and make it what a recipe's model is trained on; the parameters are those of
    :func:`~difficulty.stages.train.train`.
    """
    if start and recipe.features.finetune:
        raise RecipeError(
            "a fine-tuned encoder cannot start from another run. Leave out --start-from, or use"
            " another recipe."
        )
    if start:
        check_start(start, recipe, encoder)
    progress("reading traffic")
    read = Traffic.read(traffic_path)
    check_teacher(recipe, teacher, read, unlabelled)
    traffic, logged = weigh_logged(read, recipe.labels)
    splits = traffic.splits(recipe.split.fractions, recipe.seed)
    splits = without_seen(splits, traffic, start) if start else splits
    target = target_of(recipe.target, traffic.outcomes, splits)
    check_outcomes(traffic.outcomes, splits, target)
    recipe, encoder, searched = _search(
        recipe, encoder, find, traffic, splits == "fit", target=target, progress=progress
    )
    progress(f"tokenizing {len(traffic):,} requests")
    tokenizer = RequestTokenizer.from_file(
        encoder.tokenizer_path, max_tokens=recipe.text.max_tokens
    )
    tokens = tokenize(traffic, view=_view(recipe), tokenizer=tokenizer)
    fit, calibration = (
        labelled(traffic, tokens, splits == split) for split in ("fit", "calibration")
    )
    if teacher:
        progress("asking the teacher")
        fit = _taught(recipe, fit, traffic, splits, teacher, unlabelled, tokenizer)
    return Material(
        recipe=recipe,
        encoder=encoder,
        traffic=traffic,
        data_hash=read.data_hash,
        splits=splits,
        target=target,
        tokenizer=tokenizer,
        tokens=tokens,
        fit=fit,
        calibration=calibration,
        logged=logged,
        searched=searched,
        start=start,
        teacher=teacher,
    )


def _view(recipe: Recipe) -> TextView:
    return TextView(recipe.text.view, max_chars=recipe.text.max_chars)


def _taught(
    recipe: Recipe,
    fit: LabelledTokens,
    traffic: Traffic,
    splits: NDArray[np.str_],
    teacher: Run,
    unlabelled: Path | None,
    tokenizer: RequestTokenizer,
) -> LabelledTokens:
    """Return the fit samples with the teacher's opinion, and the unlabelled requests it judged."""
    assert recipe.distil  # check_teacher has seen to it
    share, names = recipe.distil.share, traffic.select(splits == "fit").ids
    fit = taught(fit, names, teacher.out_of_fold, share=share, target=teacher.model.target)
    if unlabelled is None:
        return fit
    return with_unlabelled(
        fit,
        unlabelled,
        teacher,
        view=_view(recipe),
        tokenizer=tokenizer,
        kept_out=traffic,
        share=share,
    )[0]


def _search(
    recipe: Recipe,
    encoder: Encoder,
    find: Callable[[FeatureSettings], Encoder] | None,
    traffic: Traffic,
    chosen: NDArray[np.bool_],
    *,
    target: Target,
    progress: Progress,
) -> tuple[Recipe, Encoder, dict[str, Any] | None]:
    """Return recipe and encoder as they are, or what a search chose by the fit samples, with its
    report; others are not even tokenized.
    """
    if not recipe.search:
        return recipe, encoder, None
    fitted, groups = (
        traffic.select(chosen),
        [traffic.split_groups[row] for row in np.flatnonzero(chosen)],
    )

    def read(encoder: Encoder) -> LabelledTokens:
        tokenizer = RequestTokenizer.from_file(
            encoder.tokenizer_path, max_tokens=recipe.text.max_tokens
        )
        tokens = tokenize(fitted, view=_view(recipe), tokenizer=tokenizer)
        return replace(
            labelled(fitted, tokens, np.ones(len(fitted), dtype=np.bool_)), groups=groups
        )

    def build(recipe: Recipe, encoder: Encoder, fit: LabelledTokens) -> DifficultyModel:
        return build_model(recipe, encoder, target, tasks=known_tasks(recipe, fit))

    found = search(
        recipe, encoder, read=read, build=build, target=target, find=find, progress=progress
    )
    return found.recipe, found.encoder, found.report
