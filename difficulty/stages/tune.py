"""Fine-tune the encoder of a recipe on the fit samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from difficulty.channels.heads import LinearHead
from difficulty.channels.tuned import TunedChannel, held_out
from difficulty.encoders.base import Encoder
from difficulty.encoders.transformer import TransformerEncoder
from difficulty.errors import RecipeError
from difficulty.model.labelled import LabelledTokens
from difficulty.recipe import Recipe


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
    cache : Path
        Where unfinished and finished encoders are kept.
    progress : callable
        Told what is being done, in a few words.

    Raises
    ------
    RecipeError
        If the encoder is none that can be trained.
    """
    from difficulty.encoders.finetune import TuningData, TuningSettings, finetune

    features = recipe.features
    if not features.finetune or not isinstance(encoder, TransformerEncoder):
        raise RecipeError(
            f"features.finetune needs a sentence-transformers encoder: got {features.encoder!r}."
            ' Name one under features.encoder, for example "all-MiniLM-L6-v2".'
        )
    outcomes, share = fit.outcomes, features.finetune.held_out
    unseen = held_out(fit.groups, share)
    data = TuningData(
        ids=fit.ids,
        failure=np.stack([outcomes.cheap_failure, outcomes.frontier_failure], axis=1),
        gain=outcomes.gain,
        weight=outcomes.weight,
        unseen=unseen,
        tasks=fit.tasks or [None] * len(fit),
    )
    tuned = finetune(
        features.encoder,
        data,
        cache,
        settings=TuningSettings(**features.finetune.as_dict(without={"held_out"})),
        frame=encoder.frame,
        precision=features.transformer.precision,
        seed=recipe.seed,
        progress=progress,
    )
    cheap, frontier = (
        LinearHead(tuned.weights[:, column], float(tuned.bias[column])) for column in (0, 1)
    )
    unknown = np.isnan(outcomes.frontier_failure).all()
    return TunedChannel(tuned.encoder, held_out=share, heads=(cheap, None if unknown else frontier))
