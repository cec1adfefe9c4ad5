"""Recipes with a fine-tuned encoder: what is refused."""

import pytest

from difficulty.encoders.base import load_encoder
from difficulty.errors import RecipeError
from difficulty.recipe import parse_recipe
from difficulty.stages.train import train
from difficulty.training.run import Run
from difficulty.training.shipped import find_recipe

OFF = {"embedding": False, "finetune": {}}


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"finetune": {}}, r"embedding and neighbours set to false: finetune takes their place"),
        (
            {**OFF, "neighbours": {}},
            r"embedding and neighbours set to false: finetune takes their place",
        ),
        (
            {**OFF, "ngrams": False},
            r"must hold ngrams beside finetune: they score the samples that the encoder saw",
        ),
        (
            {**OFF, "finetune": {"held_out": 0}},
            r"features\.finetune\.held_out must be above 0: got 0",
        ),
        (
            {**OFF, "finetune": {"epoch": 3}},
            r"features\.finetune\.epoch is not a field .* Perhaps 'epochs' is meant",
        ),
    ],
    ids=["embedding", "neighbours", "no n-grams", "nothing held out", "misspelt"],
)
def test_recipe_refuses(features, message):
    with pytest.raises(RecipeError, match=f"mine.toml: .*{message}"):
        parse_recipe({"name": "mine", "features": features}, name="mine.toml")


def test_shipped_recipe_starts_from_the_encoder_that_accurate_reads():
    """With the heads on embeddings switched off, as it must be."""
    tuned, accurate = find_recipe("finetuned").features, find_recipe("accurate").features
    assert (tuned.encoder, tuned.encoder_sha256) == (accurate.encoder, accurate.encoder_sha256)
    assert tuned.finetune
    assert (tuned.embedding, tuned.neighbours) == (False, False)


def recipe_of(encoder, **changes):
    form = {
        "name": "tuned",
        "folds": 2,
        "features": {"encoder": str(encoder), "ngrams": {"buckets": 1024}, **OFF},
    }
    return parse_recipe({**form, **changes}, name="tuned.toml")


def test_static_encoder_cannot_be_tuned(journey, tmp_path):
    with pytest.raises(
        RecipeError,
        match=r"needs a sentence-transformers encoder: got '.*'\. Name one under features\.encoder",
    ):
        train(
            journey.traffic,
            tmp_path / "run",
            recipe=recipe_of(journey.encoder),
            encoder=load_encoder(journey.encoder),
            draws=5,
        )
    assert list(tmp_path.iterdir()) == []


def test_tuned_encoder_cannot_start_from_another_run(journey, tmp_path):
    start = Run.read(journey.run)
    with pytest.raises(
        RecipeError,
        match=r"a fine-tuned encoder cannot start from another run\. Leave out --start-from",
    ):
        train(
            tmp_path / "no traffic",
            tmp_path / "run",
            recipe=recipe_of(journey.encoder),
            encoder=start.encoder,
            start=start,
        )
