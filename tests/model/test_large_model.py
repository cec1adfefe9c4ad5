"""Every kind of channel says in shards what it says on one matrix."""

from dataclasses import replace

import numpy as np
import pytest

from difficulty.channels import descent, shards, task_channels_of
from difficulty.channels.embedding import EmbeddingChannel
from difficulty.channels.length import LengthChannel
from difficulty.channels.neighbours import NeighbourChannel
from difficulty.channels.ngrams import NgramChannel
from difficulty.channels.task_guess import TaskGuessChannel
from difficulty.channels.trees import TreeChannel
from difficulty.encoders.base import StaticEncoder
from difficulty.model import combination
from difficulty.model.continuing import continued
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.nested import nested_logits
from difficulty.tokens import TokenRows, digest_of_tokenizer
from tests.fakes import VOCABULARY, labelled_tokens, with_tasks, write_encoder

TASKS = ["easy", "hard", "middle"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """An encoder, fit and calibration requests, and requests to ask about."""
    encoder = StaticEncoder.load(write_encoder(tmp_path_factory.mktemp("large") / "encoder"))
    digest = digest_of_tokenizer(encoder.tokenizer_path)
    parts = (
        with_tasks(labelled_tokens(n, seed=seed), seed=seed)
        for n, seed in ((300, 0), (150, 1), (120, 2))
    )
    return encoder, *(replace(part, ids=TokenRows(part.ids, digest)) for part in parts)


def channels_of(encoder):
    """Return a channel of each kind that is fitted with the model."""
    return [
        NgramChannel(len(VOCABULARY), buckets=512, weighting="presence", mean_penalty=5.0),
        TaskGuessChannel(encoder, TASKS),
        TreeChannel(encoder, TASKS, components=4),
        EmbeddingChannel(encoder, strength=0.1),
        NeighbourChannel(encoder, centres=8),
        LengthChannel(),
    ]


def fitted(data):
    """Return the model and what it says with and without tasks."""
    encoder, fit, calibration, asked = data
    channels = channels_of(encoder)
    model = DifficultyModel(
        channels,
        task_channels=task_channels_of(channels, TASKS),
        folds=3,
        rng=np.random.default_rng(7),
    ).fit(fit, calibration)
    return model, *model.predict_both(asked.ids, asked.tasks)


@pytest.fixture
def many(monkeypatch):
    """Any number of requests is read in shards of 50."""
    monkeypatch.setattr(shards, "LARGE", 1)
    monkeypatch.setattr(shards, "SHARD_ROWS", 50)
    monkeypatch.setattr(shards, "_BLOCK", 64)
    monkeypatch.setattr(descent, "_GRADIENT", 1e-6)
    monkeypatch.setattr(descent, "_ROUNDING", 0.0)
    monkeypatch.setattr(descent, "_RESIDUAL", 1e-6)
    monkeypatch.setattr(combination, "FOLDS_OF_MANY", 3)


@pytest.fixture(scope="module")
def small(data):
    return fitted(data)


def test_a_model_in_shards_says_the_same(data, small, many):
    """Of scores, probabilities and familiarity, in and out of fold, with a task and without."""
    large = fitted(data)
    for ours, theirs in zip(large[1:], small[1:], strict=True):
        for name, values in theirs.by_name().items():
            assert ours.by_name()[name] == pytest.approx(values, abs=0.02), name
    ours, theirs = (model[0].out_of_fold_ for model in (large, small))
    assert ours.fold.tolist() == theirs.fold.tolist()
    expected = theirs.scores.difficulty_score
    assert ours.scores.difficulty_score == pytest.approx(expected, abs=0.02)


def test_a_model_goes_on_from_another_in_shards(data, small, many):
    _, fit, calibration, asked = data
    model = continued(small[0], target="benefit", tasks=TASKS, folds=3).fit(fit, calibration)
    scores = model.predict(asked.ids, asked.tasks).difficulty_score
    assert np.corrcoef(scores, small[1].difficulty_score)[0, 1] > 0.9


@pytest.mark.parametrize("place", range(6))
def test_nested_logits_are_the_same_in_shards(data, monkeypatch, place):
    """As a search compares its candidates."""
    encoder, fit = data[:2]
    fold = np.array([int(group[1:]) % 3 for group in fit.groups])
    expected = nested_logits(channels_of(encoder)[place], fit, fold)
    monkeypatch.setattr(shards, "LARGE", 1)
    monkeypatch.setattr(descent, "_GRADIENT", 1e-6)
    logits = nested_logits(channels_of(encoder)[place], fit, fold)
    for ours, theirs in ((logits.cheap, expected.cheap), (logits.gain, expected.gain)):
        assert ours == pytest.approx(theirs, abs=0.05, nan_ok=True)
