"""Embeddings, as they are or under something else."""

import pytest

from difficulty.channels.embedding import EmbeddingChannel
from difficulty.channels.neighbours import NeighbourChannel
from difficulty.channels.ngrams import NgramChannel
from difficulty.channels.task_guess import TaskGuessChannel
from tests.fakes import VOCABULARY, load_encoder


@pytest.fixture
def encoder(tmp_path):
    return load_encoder(tmp_path / "encoder")


def test_embeddings_are_found_where_there_are_some(encoder):
    ids = [[1, 2], [3]]
    expected = encoder.encode(ids)
    for channel in (
        EmbeddingChannel(encoder),
        NeighbourChannel(encoder),
        TaskGuessChannel(encoder, ["a", "b"]),
    ):
        assert channel.embeddings(channel.prepare(ids)) == pytest.approx(expected)
    ngrams = NgramChannel(len(VOCABULARY))
    assert ngrams.embeddings(ngrams.prepare(ids)) is None
