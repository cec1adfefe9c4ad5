"""Columns for the task beside a channel's vectors."""

import pytest

from difficulty.channels import task_channels_of
from difficulty.channels.embedding import EmbeddingChannel
from difficulty.channels.ngrams import NgramChannel
from difficulty.channels.task_columns import TaskChannel
from tests.fakes import VOCABULARY, load_encoder


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
    assert prepared[:, :-2].tolist() == encoder.encode(ids).tolist()
    assert prepared[:, -2:].tolist() == [[0, 1], [0, 0], [0, 0]]
    assert (channel.name, channel.strength) == ("embedding+task", 0.7)
