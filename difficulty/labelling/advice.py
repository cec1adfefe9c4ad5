"""Whether more labels are worth their price: what the score gains by them, and how much narrower
intervals become.

The score is trained on what is labelled so far, as ``difficulty train`` would with recipe ``fast``,
and on parts of it; the learning curve through those says what twice and four times as many would
bring. The model is thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from difficulty.diagnostics.learning_curve import LearningCurve
from difficulty.encoders.base import Encoder
from difficulty.errors import TooFewSamplesError, TrafficError
from difficulty.form import Record
from difficulty.metrics.arrays import effective_samples
from difficulty.metrics.bootstrap import group_codes
from difficulty.recipe import LabelSettings, Recipe
from difficulty.text import quantity_text
from difficulty.tokens import RequestTokenizer
from difficulty.traffic.logged import weigh_logged
from difficulty.traffic.outcomes import Outcomes
from difficulty.traffic.stored.tokenized import tokenize
from difficulty.traffic.table import Traffic
from difficulty.training.assemble import (
    build_model,
    calibration_of,
    known_tasks,
    knows_numbers,
    labelled,
)
from difficulty.training.diagnosis import measure_curve
from difficulty.training.material import check_outcomes, choose_target
from difficulty.training.shipped import find_encoder, find_recipe
from difficulty.training.view_learning import learn_view

AdviceVerdict = Literal["go on", "stop", "cannot tell"]
_NORMAL = 1.96
_ENOUGH = 200
"""Labels below which training refuses, or hardly begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelAdvice(Record):
    """What more labels would bring."""

    _also: ClassVar[tuple[str, ...]] = ("verdict", "sentence")

    labels: int
    """Requests with a label."""
    effective: float
    """The number of equally weighted ones that they are worth."""
    gap: float | None
    """Mean quality by which the frontier model is better, weighted; ``None``: not known."""
    gap_error: float | None
    """Half of its 95 % interval, groups counted once."""
    curve: LearningCurve | None = None
    """``None`` where nothing can be trained yet, or where it was not asked for."""
    problem: str = ""
    """Why nothing can be trained yet."""

    @property
    def verdict(self) -> AdviceVerdict:
        """Go on where twice as many labels raise the score's figure, stop where they bring next to
        nothing; go on too where there are too few to train.
        """
        if self.problem:
            return "go on" if self.labels < _ENOUGH else "cannot tell"
        if self.curve is None:
            return "cannot tell"
        known: dict[str, AdviceVerdict] = {"rises": "go on", "flat": "stop"}
        return known.get(self.curve.verdict, "cannot tell")

    @property
    def sentence(self) -> str:
        """The advice in words."""
        begin = {"go on": "Go on.", "stop": "Stop here.", "cannot tell": "Go on or stop: both fit."}
        parts = [begin[self.verdict]]
        if self.problem:
            parts.append(
                f"{quantity_text(self.labels, 'label does', 'labels do')} not carry a"
                f" training yet: {self.problem}"
            )
        elif self.curve:
            parts.append(self.curve.sentence)
        if self.gap is not None and self.gap_error is not None:
            parts.append(
                f"The frontier model is better by {self.gap:.3f}, give or take"
                f" {self.gap_error:.3f}; with twice as many labels give or take"
                f" {self.gap_error / np.sqrt(2.0):.3f}."
            )
        return " ".join(parts)


def advise(
    traffic: Traffic,
    *,
    seed: int = 0,
    recipe: Recipe | None = None,
    encoder: Encoder | None = None,
    train: bool = True,
) -> LabelAdvice:
    """Return what more labels would bring.

    Parameters
    ----------
    traffic : Traffic
        Labelled requests, unlabelled ones beside them; with ``inclusion`` where they were chosen.
    seed : int
        Of the parts that the curve is measured on.
    recipe : Recipe, optional
        How the score is trained; ``fast`` when not given.
    encoder : Encoder, optional
        The one that the recipe names; found by its name when not given.
    train : bool
        Whether to measure the learning curve, which takes twice as long as training.
    """
    weighed, _ = weigh_logged(traffic, LabelSettings(accept_selection_bias=True))
    outcomes = weighed.outcomes
    known = ~np.isnan(outcomes.gain) | ~np.isnan(outcomes.cheap_quality)
    picked = weighed.select(known)
    gap, error = _gap_of(picked.outcomes, picked.split_groups)
    advice = LabelAdvice(
        labels=len(picked),
        effective=round(effective_samples(picked.outcomes.weight), 1),
        gap=gap,
        gap_error=error,
    )
    if not train:
        return advice
    try:
        curve = _curve_of(picked, recipe or find_recipe("fast"), encoder, seed)
    except (TooFewSamplesError, TrafficError) as problem:
        return replace(advice, problem=str(problem))
    return replace(advice, curve=curve)


def _gap_of(outcomes: Outcomes, groups: Sequence[str]) -> tuple[float | None, float | None]:
    """Return the weighted mean gain and half of its interval; groups are drawn as a whole."""
    rows = np.flatnonzero(~np.isnan(outcomes.gain))
    if len(rows) < 2:
        return None, None
    gain, weight = outcomes.gain[rows], outcomes.weight[rows]
    mean = float(np.average(gain, weights=weight))
    codes = group_codes(np.asarray(groups)[rows])
    sums = np.bincount(codes, weights=weight * (gain - mean))
    if (n := len(sums)) < 2:
        return mean, None
    error = np.sqrt((sums**2).sum() * n / (n - 1)) / weight.sum()
    return mean, float(_NORMAL * error)


def _curve_of(picked: Traffic, recipe: Recipe, encoder: Encoder | None, seed: int) -> LearningCurve:
    """Train as ``train`` does, and measure; the test samples are held out."""
    splits = picked.splits(recipe.split.fractions, recipe.seed)
    target = choose_target(recipe.target, picked.outcomes, splits)
    check_outcomes(picked.outcomes, splits, target)
    encoder = encoder or find_encoder(recipe.features)
    view = learn_view(recipe, picked, np.flatnonzero(splits == "fit"))
    limit = recipe.text.max_tokens
    tokenizer = RequestTokenizer.from_file(encoder.tokenizer_path, max_tokens=limit)
    tokens = tokenize(picked, view=view, tokenizer=tokenizer)
    fit, calibration, test = (
        labelled(picked, tokens, splits == split) for split in ("fit", "calibration", "test")
    )
    how = calibration_of(recipe, len(fit) + len(calibration))
    learned = fit.joined(calibration) if how == "cross" else fit
    model = build_model(
        recipe,
        encoder,
        target,
        tasks=known_tasks(recipe, learned),
        numbers=knows_numbers(recipe, learned),
        calibration=how,
    ).fit(fit, calibration)
    held_out = test if how == "cross" else calibration.joined(test)
    return measure_curve(model, learned, held_out, labels=len(picked), seed=seed)
