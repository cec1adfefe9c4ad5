"""The journey made small: a part of the sample traffic, an encoder over its words, a recipe that
trains in half a second.
"""

import gzip
import json
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace

from difficulty.encoders.base import StaticEncoder, quantise_rows
from difficulty.recipe import parse_recipe
from difficulty.stages.ingest import ingest
from difficulty.stages.ship import ship
from difficulty.stages.train import train
from difficulty.training.shipped import find_encoder
from tests.fakes import write_card, write_transformer

SAMPLE = Path(__file__).parents[1] / "data" / "sample.jsonl.gz"
ROWS = 800
RECIPE = {
    "name": "small",
    "folds": 2,
    "calibration": "split",  # promises can be chosen on a run of so few labels
    "answer": False,  # half of the time of a training; tests of the check ask for it
    "features": {"ngrams": {"buckets": 1024}, "embedding": {"strength": 0.1}},
    "policy": {"easy_tasks": ["classify"], "hard_tasks": ["multi-step planning"]},
}
DRAWS = 20
"""Bootstrap draws: enough to have intervals."""


def forget(monkeypatch, package):
    """Make a package one that is not installed, whatever was imported of it so far."""
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)


class Journey(NamedTuple):
    """Where everything lies; tests that change a file copy it first."""

    source: Path
    traffic: Path
    encoder: Path
    recipe_file: Path
    run: Path
    bundle: Path


def sample_rows(n=ROWS):
    """Return the first rows of the sample traffic."""
    with gzip.open(SAMPLE, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line, _ in zip(file, range(n), strict=False)]


def write_rows(path, rows):
    """Write JSON lines and return the path; lone surrogates stay."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="ascii")
    return path


def write_word_encoder(folder, rows, *, n_words=1200, dim=12):
    """Write an encoder whose tokens are the most frequent words of some rows, with random
    vectors.
    """
    words = Counter(
        word
        for row in rows
        for message in row["messages"]
        for word in message["content"].lower().split()
    )
    vocabulary = {"[UNK]": 0} | {
        word: number for number, (word, _) in enumerate(words.most_common(n_words), 1)
    }
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = Lowercase(), Whitespace()
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    table, scale = quantise_rows(np.random.default_rng(0).normal(size=(len(vocabulary), dim)))
    np.savez(folder / "table.npz", table=table, scale=scale)
    write_card(folder, format=1)
    return folder


def recipe_of(encoder, **changes):
    """Return the small recipe with an encoder's path and some top-level changes."""
    form = {**RECIPE, **changes}
    return parse_recipe(
        {**form, "features": {"encoder": str(encoder), **form["features"]}}, name="small.toml"
    )


def write_recipe(path, encoder, *, extra=""):
    """Write the small recipe as TOML; ``extra`` is added at the top."""
    path.write_text(
        f'name = "small"\nfolds = 2\ncalibration = "split"\nanswer = false\n{extra}\n'
        f'[features]\nencoder = "{encoder}"\n'
        "[features.ngrams]\nbuckets = 1024\n[features.embedding]\nstrength = 0.1\n"
        '[policy]\neasy_tasks = ["classify"]\nhard_tasks = ["multi-step planning"]\n'
    )
    return path


def train_on(traffic, out, encoder, **changes):
    """Train the small recipe and return run and evaluation."""
    return train(
        traffic,
        out,
        recipe=recipe_of(encoder, **changes),
        encoder=StaticEncoder.load(encoder),
        draws=DRAWS,
    )


def train_with_transformer(journey, folder, form, **encoder):
    """Train a recipe in ``folder`` with a small transformer over the journey's words, and return
    the run's folder.
    """
    words = Tokenizer.from_file(str(journey.encoder / "tokenizer.json")).get_vocab()
    path = write_transformer(folder / "encoder", vocabulary=words, max_tokens=32, **encoder)
    recipe = parse_recipe(
        {**form, "features": {**form["features"], "encoder": str(path)}}, name="tiny"
    )
    found = find_encoder(recipe.features, cache=folder / "kept")
    train(
        journey.traffic,
        folder / "run",
        recipe=recipe,
        encoder=found,
        more_labels=False,
        unseen_tasks=False,
        draws=DRAWS,
    )
    return folder / "run"


def make_journey(folder):
    """Walk the whole way once."""
    rows = sample_rows()
    source = write_rows(folder / "sample.jsonl", rows)
    traffic, run, bundle = folder / "traffic.parquet", folder / "run", folder / "small-1"
    ingest([source], traffic)
    encoder = write_word_encoder(folder / "encoder", rows)
    train_on(traffic, run, encoder)
    ship(run, bundle, draws=DRAWS)
    return Journey(
        source, traffic, encoder, write_recipe(folder / "small.toml", encoder), run, bundle
    )


def timeless_metrics(folder):
    """Return the metrics of a run or bundle without what two of the same differ in: the time of
    training, and the name.
    """
    form = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    lineage = {
        name: value for name, value in form["lineage"].items() if name not in ("trained", "name")
    }
    return form | {"lineage": lineage}
