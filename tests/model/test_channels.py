"""Channels: what heads read."""

import numpy as np
import pytest

from difficulty.channels import task_channels_of
from difficulty.channels.embedding import EmbeddingChannel
from difficulty.channels.length import LengthChannel
from difficulty.channels.neighbours import NeighbourChannel
from difficulty.channels.ngrams import NgramChannel
from difficulty.channels.task_columns import TaskChannel
from difficulty.channels.task_guess import TaskGuessChannel
from tests.fakes import VOCABULARY, load_encoder, random_ids


@pytest.fixture
def encoder(tmp_path):
    return load_encoder(tmp_path / "encoder")


def test_task_column_stands_beside_n_grams_of_unit_length():
    """The n-grams are those without the task; a task that has no column adds nothing."""
    ngrams = NgramChannel(len(VOCABULARY), buckets=64)
    channel = TaskChannel(ngrams, ["code", "chat"])
    ids = [[1, 2, 3], [4, 5], [1, 9], [7]]
    tasks = ["chat", "unknown", None, "code"]
    prepared = channel.prepare(ids, tasks)
    vectors = channel.transform(prepared, channel.fit(prepared)).toarray()
    plain = ngrams.transform(ngrams.prepare(ids), ngrams.fit(ngrams.prepare(ids))).toarray()
    assert vectors[:, :-2] == pytest.approx(plain)
    assert vectors[:, -2:].tolist() == [[0, 1], [0, 0], [0, 0], [1, 0]]
    assert channel.columns.known(tasks, 4).tolist() == [True, False, False, True]
    assert channel.columns.known(None, 4).tolist() == [False] * 4


def test_task_channel_needs_tasks_and_n_grams(encoder):
    ngrams = NgramChannel(len(VOCABULARY))
    assert task_channels_of([ngrams], []) == []
    assert task_channels_of([EmbeddingChannel(encoder)], ["code"]) == []
    assert [
        channel.columns.tasks
        for channel in task_channels_of([ngrams, EmbeddingChannel(encoder)], ["code"])
    ] == [("code",), ("code",)]


def test_task_column_stands_beside_embeddings(encoder):
    channel = TaskChannel(EmbeddingChannel(encoder, strength=0.7), ["code", "chat"])
    ids = [[1, 2], [3], [4]]
    prepared = channel.prepare(ids, ["chat", None, "unknown"])
    assert channel.transform(prepared, channel.fit(prepared)).tolist() == prepared.tolist()
    assert prepared[:, : channel.dim].tolist() == encoder.encode(ids).tolist()
    assert prepared[:, channel.dim :].tolist() == [[0, 1], [0, 0], [0, 0]]
    assert (channel.name, channel.strength) == ("embedding+task", 0.7)


def test_shares_of_centres_by_hand(encoder):
    """Cosines 1 and 0, sharpness ln 3: shares 3/4 and 1/4."""
    channel = NeighbourChannel(encoder, sharpness=np.log(3))
    assert channel.transform(np.array([[1.0, 0.0]]), np.eye(2))[0] == pytest.approx([0.75, 0.25])


def test_shares_add_up_to_one_and_follow_the_nearest_centre(encoder):
    channel = NeighbourChannel(encoder, centres=7)
    prepared = channel.prepare(random_ids(np.random.default_rng(3), 200))
    centres = channel.fit(prepared)
    shares = channel.transform(prepared, centres)
    assert centres.shape == (7, encoder.dim)
    assert shares.sum(axis=1) == pytest.approx(1.0)
    assert shares.argmax(axis=1).tolist() == (prepared @ centres.T).argmax(axis=1).tolist()
    assert channel.fit(prepared).tolist() == centres.tolist()


def test_guess_finds_the_task_in_the_text(encoder):
    """Requests of one task share their words, and the guess of fresh ones is right far more often
    than chance.
    """
    rng = np.random.default_rng(0)
    tasks = rng.choice(["code", "chat"], 400).tolist()
    ids = [
        rng.integers(1, 40, 12).tolist() if task == "code" else rng.integers(100, 140, 12).tolist()
        for task in tasks
    ]
    channel = TaskGuessChannel(encoder, ["chat", "code"], guess_strength=1.0)
    state = channel.fit(channel.prepare(ids[:300], tasks[:300]))
    guess = channel.transform(channel.prepare(ids[300:]), state)
    assert guess.sum(axis=1) == pytest.approx(1.0)
    assert guess[:, 2].max() == pytest.approx(0.0)
    assert (
        np.mean(guess.argmax(axis=1) == [["chat", "code"].index(task) for task in tasks[300:]])
        > 0.8
    )


def test_guess_reads_the_text_alone(encoder):
    channel = TaskGuessChannel(encoder, ["chat", "code"])
    ids = random_ids(np.random.default_rng(1), 40)
    state = channel.fit(channel.prepare(ids, ["chat", "code"] * 20))
    told, not_told = (
        channel.transform(channel.prepare(ids, tasks), state) for tasks in (["code"] * 40, None)
    )
    assert told.tolist() == not_told.tolist()


@pytest.mark.parametrize(
    "tasks",
    [
        [None] * 6,
        ["code"] * 6,
        ["rare"] * 6,
        ["code", "rare", None] * 2,
        ["chat", "code", "rare"] * 2,
    ],
)
def test_guess_stands_few_or_no_classes(encoder, tasks):
    """Tasks that do not occur among the fit rows are never guessed; without any the guess is even
    over all.
    """
    channel = TaskGuessChannel(encoder, ["chat", "code"])
    ids = random_ids(np.random.default_rng(2), 6)
    guess = channel.transform(channel.prepare(ids), channel.fit(channel.prepare(ids, tasks)))
    assert guess.sum(axis=1) == pytest.approx(1.0)
    seen = {2 if task == "rare" else ["chat", "code"].index(task) for task in tasks if task}
    for number in range(3):
        assert (guess[:, number].max() > 1e-6) == (number in seen or not seen)


def test_embeddings_are_found_where_there_are_some(encoder):
    ids = [[1, 2], [3]]
    expected = encoder.encode(ids)
    for channel in (
        EmbeddingChannel(encoder),
        NeighbourChannel(encoder),
        TaskGuessChannel(encoder, ["a", "b"]),
    ):
        assert embeddings_of(channel, channel.prepare(ids)) == pytest.approx(expected)
    ngrams = NgramChannel(len(VOCABULARY))
    assert embeddings_of(ngrams, ngrams.prepare(ids)) is None


def test_length_by_hand():
    """Logarithms 0, 1 and 2 have mean 1 and standard deviation sqrt(2/3)."""
    channel = LengthChannel()
    prepared = channel.prepare([[0] * 0, [0] * 4, [0] * 9])
    assert prepared.ravel().tolist() == [0, 4, 9]
    state = channel.fit(np.expm1([[0.0], [1.0], [2.0]]))
    assert state == pytest.approx([1.0, np.sqrt(2 / 3)])
    vectors = channel.transform(np.expm1([[1.0], [2.0], [9.0], [0.0]]), state)
    expected = [0.0, np.sqrt(1.5), 3.0, -np.sqrt(1.5)]
    assert vectors == pytest.approx(np.column_stack([expected, np.square(expected) - 1]))


def test_length_of_requests_that_are_all_alike_is_no_division_by_zero():
    channel = LengthChannel()
    prepared = channel.prepare([[1, 2]] * 5)
    assert channel.transform(prepared, channel.fit(prepared)).tolist() == [[0.0, -1.0]] * 5
