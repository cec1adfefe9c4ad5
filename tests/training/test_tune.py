"""Recipes with a fine-tuned encoder: what is refused."""

from pathlib import Path

import numpy as np
import pytest

from difficulty.encoders.base import load_encoder
from difficulty.encoders.finetune import Tuned
from difficulty.errors import RecipeError
from difficulty.recipe import parse_recipe
from difficulty.stages.train import train
from difficulty.training.assemble import tune
from difficulty.training.run import Run
from difficulty.training.shipped import find_recipe
from tests.fakes import labelled_tokens, load_transformer

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
        ({**OFF, "finetune": {"folds": 1}}, r"must hold folds = 0 or at least 2: got 1"),
        (
            {**OFF, "finetune": {"epoch": 3}},
            r"features\.finetune\.epoch is not a field .* Perhaps 'epochs' is meant",
        ),
    ],
    ids=["embedding", "neighbours", "no n-grams", "nothing held out", "one fold", "misspelt"],
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


def tuned_by(monkeypatch, encoder, folds):
    """Return the channel of a recipe, and what each training was asked to do; none is done."""
    asked = []

    def finetune(source, data, cache, *, settings, progress, **_):
        asked.append((data.unseen, settings.epochs))
        progress("step")
        return Tuned(encoder, np.zeros((encoder.dim, 2)), np.zeros(2), len(asked))

    monkeypatch.setattr("difficulty.encoders.finetune.finetune", finetune)
    recipe = parse_recipe(
        {"name": "tuned", "features": {**OFF, "finetune": {"folds": folds}}}, name="tuned.toml"
    )
    told = []
    channel = tune(recipe, encoder, labelled_tokens(300), Path("cache"), progress=told.append)
    return channel, asked, told


def test_recipe_with_folds_trains_an_encoder_without_each_and_one_with_all(monkeypatch, tmp_path):
    """The last is trained for as many epochs as were best for the others, 1 and 2: two."""
    channel, asked, told = tuned_by(monkeypatch, load_transformer(tmp_path), 2)
    (first, _), (second, _), (whole, epochs) = asked
    assert (first ^ second).all()
    assert not whole.any()
    assert epochs == round(1.5)
    assert told == [f"encoder {number} of 3: step" for number in (1, 2, 3)]
    assert (channel.held_out, len(channel.parts), channel.knows_outcomes) == (0.0, 2, False)


def test_recipe_without_folds_trains_one_encoder(monkeypatch, tmp_path):
    channel, asked, told = tuned_by(monkeypatch, load_transformer(tmp_path), 0)
    ((unseen, _),) = asked
    assert 0.05 < unseen.mean() < 0.3
    assert told == ["step"]
    assert (channel.held_out, channel.parts, channel.knows_outcomes) == (0.15, (), True)


@pytest.mark.parametrize(("folds", "needs"), [(0, "features.finetune"), (2, None)])
def test_heads_may_learn_from_calibration_samples_where_all_have_a_score(folds, needs):
    recipe = parse_recipe(
        {"name": "tuned", "features": {**OFF, "finetune": {"folds": folds}}}, name="tuned.toml"
    )
    assert recipe.needs_split == needs
