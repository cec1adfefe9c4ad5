"""From a recipe to the model that is to be fitted, with its encoder fine-tuned where it says so,
and from traffic to what it is fitted on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from difficulty.channels import Channel, channels_of, task_channels_of
from difficulty.channels.heads import LinearHead
from difficulty.channels.tuned import TunedChannel, TunedPart, held_out, part_of
from difficulty.encoders.base import Encoder, TuningData
from difficulty.encoders.transformer import TransformerEncoder
from difficulty.errors import RecipeError
from difficulty.metrics.coded_names import count_names, pick_names
from difficulty.model.combination import Calibration, Target
from difficulty.model.continuing import speaking_of
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.labelled import LabelledTokens
from difficulty.recipe import FinetuneSettings, Recipe
from difficulty.text import quantity_text
from difficulty.thresholds.policy_curve import parse_objective
from difficulty.tokens import NumberedIds, TokenRows
from difficulty.traffic.stored.splits import SplitNames
from difficulty.traffic.stored.tokenized import Tokenized
from difficulty.traffic.table import Traffic


def build_model(
    recipe: Recipe,
    encoder: Encoder,
    target: Target,
    *,
    tasks: Sequence[str] = (),
    numbers: bool = False,
    tuned: Channel | None = None,
    calibration: Calibration = "split",
) -> DifficultyModel:
    """Return the unfitted model of a recipe; ``tasks`` are those it is to know, ``numbers`` whether
    it reads numbers of requests, ``tuned`` its fine-tuned encoder where it has one, ``calibration``
    what the recipe's comes to.
    """
    features = recipe.features if numbers else replace(recipe.features, numbers=False)
    channels = channels_of(features, encoder, tasks, ready=[tuned] if tuned else [])
    channels = speaking_of(channels, target)
    return DifficultyModel(
        channels,
        task_channels=speaking_of(task_channels_of(channels, tasks), target),
        target=target,
        folds=recipe.folds,
        rng=np.random.default_rng(recipe.seed),
        calibration=calibration,
    )


CROSS_BELOW = 2_000
"""Labels from which ``calibration = "auto"`` means ``split``: the slope of the probabilities is
right then either way, and thresholds can be promised.
"""


def calibration_of(recipe: Recipe, n: int) -> Calibration:
    """Return how a recipe calibrates with ``n`` labelled fit and calibration samples.

    A promise has to be shown on samples that nothing learned from, so with an objective that gives
    one heads keep off the calibration samples.

    Raises
    ------
    RecipeError
        If the recipe has both ``cross`` and an objective that gives a promise.
    """
    promises = parse_objective(recipe.policy.objective).promises
    if recipe.calibration == "cross" and promises:
        raise RecipeError(
            f"recipe {recipe.name!r} wants a promise, policy.objective ="
            f' {recipe.policy.objective!r}, which needs calibration = "split": got "cross", where'
            " heads learn from the samples that would have to show it. Change one of them."
        )
    if recipe.calibration != "auto":
        return recipe.calibration
    return "split" if promises or recipe.needs_split or n >= CROSS_BELOW else "cross"


def known_tasks(recipe: Recipe, data: LabelledTokens) -> list[str]:
    """Return the tasks with enough samples to learn from, by name; none where there is only one or
    the recipe wants none.
    """
    settings = recipe.features.tasks
    if not settings or data.tasks is None:
        return []
    # Requests without an outcome teach nothing of their task.
    counts = count_names(data.tasks, data.outcomes.known)
    frequent = sorted(
        task for task, n in counts.items() if task is not None and n >= settings.least_samples
    )
    return frequent if len(frequent) > 1 else []


def knows_numbers(recipe: Recipe, data: LabelledTokens) -> bool:
    """Return whether enough samples offer functions to learn from the numbers of those, if the
    recipe wants that.

    With fewer the model is the one that reads no numbers, to the bit.
    """
    settings = recipe.features.numbers
    return bool(settings and _n_offering(data) >= settings.least_samples)


def number_notes(recipe: Recipe, data: LabelledTokens) -> tuple[str, ...]:
    """Return what is to be said of requests that offer functions: nothing where none does."""
    settings, n = recipe.features.numbers, _n_offering(data)
    if not settings or not n:
        return ()
    if n < settings.least_samples:
        return (
            f"{quantity_text(n, 'sample offers', 'samples offer')} functions, fewer than"
            f" {settings.least_samples}: what requests"
            " offer is not read",
        )
    return (
        f"{n:,} of {len(data):,} samples offer functions: the score reads how many and how well"
        " they fit the question, so give the router the tools of each request",
    )


def _n_offering(data: LabelledTokens) -> int:
    if isinstance(data.ids, TokenRows):
        return len(data.ids.numbers)
    return sum(isinstance(row, NumberedIds) for row in data.ids)


def labelled(traffic: Traffic, tokens: Tokenized, chosen: NDArray[np.bool_]) -> LabelledTokens:
    """Return some requests as models are fitted on them."""
    rows = np.flatnonzero(chosen)
    picked = tokens.at(rows)
    # What measured them is of no use here, and eight bytes a request.
    outcomes = replace(traffic.outcomes, measured_by=None, by_verdict=None)
    return LabelledTokens(
        ids=picked.ids,
        outcomes=outcomes[rows],
        groups=pick_names(traffic.split_groups, rows),
        tasks=picked.tasks,
    )


def learned_rows(splits: SplitNames, how: Calibration) -> NDArray[np.intp]:
    """Return the places of the samples that heads learn from, those to fit first."""
    parts = ["fit", "calibration"] if how == "cross" else ["fit"]
    return np.concatenate([np.flatnonzero(splits == part) for part in parts])


def tune(
    recipe: Recipe,
    encoder: Encoder,
    fit: LabelledTokens,
    cache: Path,
    *,
    progress: Callable[[str], None],
) -> TunedChannel:
    """Return the channel of a fine-tuned encoder.

    Parameters
    ----------
    recipe : Recipe
        With a section ``features.finetune``.
    encoder : Encoder
        What the recipe's encoder was converted to; the fit samples are tokenized with its
        tokenizer.
    fit : LabelledTokens
        The samples that heads learn from.
    cache : Path
        Where unfinished and finished encoders are kept.
    progress : callable
        Told what is being done, in a few words.

    Raises
    ------
    RecipeError
        If the encoder is none that can be trained.
    """
    from difficulty.encoders.finetune import finetune

    features = recipe.features
    if not features.finetune or not isinstance(encoder, TransformerEncoder):
        raise RecipeError(
            f"features.finetune needs a sentence-transformers encoder: got {features.encoder!r}."
            ' Name one under features.encoder, for example "all-MiniLM-L6-v2".'
        )
    settings, outcomes = features.finetune, fit.outcomes

    def tuned(
        unseen: NDArray[np.bool_], settings: FinetuneSettings, which: str = ""
    ) -> tuple[TunedPart, int]:
        """Return an encoder that did not see some samples, with its heads, and its epochs."""
        data = TuningData(
            ids=fit.ids,
            failure=np.stack([outcomes.cheap_failure, outcomes.frontier_failure], axis=1),
            gain=outcomes.gain,
            weight=outcomes.weight,
            unseen=unseen,
            tasks=fit.tasks or [None] * len(fit),
        )
        trained = finetune(
            features.encoder,
            data,
            cache,
            settings=settings,
            frame=encoder.frame,
            precision=features.transformer.precision,
            seed=recipe.seed,
            progress=lambda text: progress(which + text),
        )
        cheap, frontier = (
            LinearHead(trained.weights[:, column], float(trained.bias[column])) for column in (0, 1)
        )
        unknown = np.isnan(outcomes.frontier_failure).all()
        return TunedPart(trained.encoder, (cheap, None if unknown else frontier)), trained.epochs

    if not settings.folds:
        share = settings.held_out
        (whole, heads), _ = tuned(held_out(fit.groups, share), settings)
        return TunedChannel(whole, held_out=share, heads=heads)
    part = part_of(fit.groups, settings.folds)
    trainings = f" of {settings.folds + 1}: "
    parts, epochs = zip(
        *(
            tuned(part == number, settings, f"encoder {number + 1}{trainings}")
            for number in range(settings.folds)
        ),
        strict=True,
    )
    # the last sees all samples, so what was best for the others says when it is done
    done = replace(settings, epochs=max(1, round(float(np.mean(epochs)))))
    none = np.zeros(len(fit), dtype=np.bool_)
    (whole, heads), _ = tuned(none, done, f"encoder {settings.folds + 1}{trainings}")
    return TunedChannel(whole, held_out=0.0, heads=heads, parts=parts)
