"""Small stand-ins that need no download: a tokenizer of 200 words, a static encoder over it, traffic that it can learn from."""

import hashlib
import json
from dataclasses import replace

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from difficulty.features.static import StaticEncoder, quantise_rows
from difficulty.model.channels import NgramChannel, NgramTaskChannel, EmbeddingChannel, TaskGuessChannel
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.labelled import LabelledTokens
from difficulty.traffic.outcomes import Outcomes

VOCABULARY = {"[UNK]": 0, **{f"w{number}": number for number in range(1, 200)}}
"""Word ``w7`` has id 7; anything else is 0."""

UNKNOWN = np.nan


def word_tokenizer():
    """Return a tokenizer of words."""
    tokenizer = Tokenizer(WordLevel(VOCABULARY, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    return tokenizer


def write_encoder(folder, *, dim=8, seed=0):
    """Write an encoder folder with random vectors and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    table, scale = quantise_rows(np.random.default_rng(seed).normal(size=(len(VOCABULARY), dim)))
    np.savez(folder / "table.npz", table=table, scale=scale)
    word_tokenizer().save(str(folder / "tokenizer.json"))
    write_card(folder, format=1)
    return folder


def write_card(folder, **entries):
    """Write ``encoder.json`` with the hashes of what lies in the folder."""
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("table.npz", "tokenizer.json")}
    (folder / "encoder.json").write_text(json.dumps({"sha256": hashes} | entries))


def load_encoder(folder, **choices):
    """Write an encoder folder and return the encoder in it."""
    return StaticEncoder.load(write_encoder(folder, **choices))


def random_ids(rng, n, *, longest=30):
    """Return n requests of 1 to ``longest`` token ids."""
    return [rng.integers(0, len(VOCABULARY), rng.integers(1, longest + 1)).tolist() for _ in range(n)]


def labelled_tokens(n=300, *, seed=0, frontier=True):
    """Return requests whose cheap model fails the more, the larger their ids are on average; the frontier model fails one in ten."""
    rng = np.random.default_rng(seed)
    ids = [rng.integers(low, low + 100, rng.integers(3, 20)).tolist() for low in rng.integers(0, 100, n)]
    p_fails = np.array([np.mean(row) for row in ids]) / 200
    known = np.ones(n) if frontier else np.full(n, UNKNOWN)
    outcomes = Outcomes(
        cheap_quality=(rng.random(n) > p_fails).astype(float),
        frontier_quality=(rng.random(n) > 0.1) * known,
        preferred_gain=np.full(n, UNKNOWN),
        weight=np.ones(n),
    )
    return LabelledTokens(ids=ids, outcomes=outcomes, groups=[f"g{number // 2}" for number in range(n)])


def with_tasks(data, *, seed=0):
    """Return the requests with a task for nine in ten, on which alone the cheap model's failures depend."""
    rng = np.random.default_rng(seed)
    tasks = rng.choice(["easy", "middle", "hard"], len(data))
    p_fails = np.select([tasks == "easy", tasks == "middle"], [0.1, 0.4], 0.8)
    outcomes = replace(data.outcomes, cheap_quality=(rng.random(len(data)) > p_fails).astype(float))
    told = [str(task) if known else None for task, known in zip(tasks, rng.random(len(data)) < 0.9, strict=True)]
    return replace(data, outcomes=outcomes, tasks=told)


def fit_model(encoder=None, *, n=300, n_calibration=150, target="benefit", frontier=True, tasks=False, channel=True, guess=False):
    """Return a model fitted on made-up traffic: n-grams and, with an encoder, static embeddings.

    With ``tasks`` the traffic has them, and the model a channel for them unless ``channel`` is False; with ``guess`` the embeddings
    are read as a guess of the task.
    """
    dense = TaskGuessChannel(encoder, ["easy", "hard"]) if guess else encoder and EmbeddingChannel(encoder, strength=0.1)
    channels = [NgramChannel(len(VOCABULARY), buckets=512), *([dense] if dense else [])]
    fit, calibration = labelled_tokens(n, frontier=frontier), labelled_tokens(n_calibration, seed=1, frontier=frontier)
    if tasks:
        fit, calibration = with_tasks(fit, seed=2), with_tasks(calibration, seed=3)
    task_channels = [NgramTaskChannel(channels[0], ["easy", "hard", "middle"])] if tasks and channel else []
    model = DifficultyModel(channels, task_channels=task_channels, target=target, rng=np.random.default_rng(7))
    return model.fit(fit, calibration)


class LengthChannel:
    """A channel that nothing but the model knows: one column, the number of tokens."""

    name = "length"
    strength = 1.0

    def prepare(self, ids, tasks=None):
        """Return the number of tokens."""
        return np.array([[float(len(row))] for row in ids]).reshape(-1, 1)

    def fit(self, prepared):
        """Learn nothing."""

    def transform(self, prepared, state):
        """Return the column as it is."""
        return prepared
