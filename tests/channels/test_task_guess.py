"""The task, guessed from the text."""

import numpy as np
import pytest

from difficulty.channels.task_guess import TaskGuessChannel
from tests.fakes import load_encoder, random_ids


@pytest.fixture
def encoder(tmp_path):
    return load_encoder(tmp_path / "encoder")


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
    with_task, without_task = (
        channel.transform(channel.prepare(ids, tasks), state) for tasks in (["code"] * 40, None)
    )
    assert with_task.tolist() == without_task.tolist()


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
