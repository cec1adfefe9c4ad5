"""A channel of another package: installed, named in a recipe, trained, shipped and verified.

No module of this package is edited for it, and none knows its name.
"""

import json

import numpy as np
import pytest

from difficulty.errors import InvalidValueError, RecipeError, RunError, UnknownNameError
from difficulty.model.saved_model import save_model
from difficulty.recipe import parse_recipe
from difficulty.runtime import Router
from difficulty.stages.ship import ship
from difficulty.stages.verify import verify
from difficulty.training.run import Run
from tests.journey import DRAWS, train_on

MODULE = '''
import numpy as np

from difficulty.channels import Channel
from difficulty.channels.embedding import EncoderChannel
from difficulty.channels.task_columns import TaskChannel


class RareChannel(Channel):
    """The share of rare tokens, which are those from an id on, less that of the traffic."""

    name = "rare"

    def __init__(self, *, first=100, strength=1.0):
        self.first, self.strength = first, strength

    def settings(self):
        return {"first": self.first}

    def prepare(self, ids, tasks=None):
        shares = [np.mean(np.asarray(row) >= self.first) if len(row) else 0.0 for row in ids]
        return np.array(shares, dtype=np.float64).reshape(-1, 1)

    def fit(self, prepared):
        return prepared.mean(axis=0)

    def transform(self, prepared, state):
        return prepared - state

    def export_vectors(self, requests, state):
        rare = (requests.ids >= self.first).cast(np.float32) * requests.mask
        tokens = requests.mask.sum(1, keepdims=True).at_least(1)
        return rare.sum(1, keepdims=True) / tokens - float(state[0])


class SquareChannel(EncoderChannel):
    """The squares of the embeddings, also beside a column for each task."""

    name = "squares"

    def __init__(self, encoder, *, strength=0.1):
        super().__init__(encoder, strength=strength)

    def transform(self, prepared, state):
        return prepared**2

    def with_tasks(self, tasks):
        return TaskChannel(self, tasks)

    def export_vectors(self, requests, state):
        return super().export_vectors(requests, state) ** 2


class OtherNameChannel(RareChannel):
    name = "something else"
'''
ENTRY_POINTS = """
[difficulty.channels]
rare = toy_channels:RareChannel
squares = toy_channels:SquareChannel
misnamed = toy_channels:OtherNameChannel
"""
FEATURES = {
    "ngrams": {"buckets": 1024},
    "embedding": {"strength": 0.1},
    "extra": {"squares": {}, "rare": {"first": 200, "strength": 0.5}},
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Another package on the path, with its entry points."""
    site = tmp_path_factory.mktemp("site")
    (site / "toy_channels.py").write_text(MODULE)
    info = site / "toy_channels-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-channels\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        yield site


@pytest.fixture(scope="module")
def run(installed, journey, tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy") / "run"
    return train_on(journey.traffic, folder, journey.encoder, features=FEATURES)[0]


def test_run_has_the_channels_and_their_settings(run):
    channels = {channel.name: channel for channel in Run.read(run.folder).model.all_channels}
    own = ["ngrams", "task guess"]
    assert list(channels) == [*own, "rare", "squares", "ngrams+task", "squares+task"]
    assert (channels["rare"].first, channels["rare"].strength) == (200, 0.5)
    assert run.recipe.features.extra == FEATURES["extra"]
    learned = run.model.fitted_["rare"]
    assert learned.state.shape == (1,)
    assert np.abs(learned.cheap.coefficients).max() > 0


def test_bundle_with_the_channels_is_verified_and_routes(run, tmp_path):
    """The parity gate has compared the graph with the model; routers need not have the package."""
    shipped = ship(run.folder, tmp_path / "toy-1", draws=DRAWS)
    assert shipped.parity.n > 100
    assert verify(tmp_path / "toy-1").passed
    manifest = json.loads((tmp_path / "toy-1" / "manifest.json").read_text())
    assert manifest["recipe"]["features"]["extra"] == FEATURES["extra"]
    router = Router.load(tmp_path / "toy-1")
    texts = ["Plan a trip in three steps.", "yes"]
    scores = [router.scorer.score(text).difficulty_score for text in texts]
    ids = [run.tokenizer.encode(text).ids for text in texts]
    assert scores == pytest.approx(run.model.predict(ids).difficulty_score, abs=1e-4)


def test_search_keeps_the_channels_in_every_candidate(installed, journey, tmp_path):
    search = {"folds": 3, "ngram_strengths": [], "embedding_strengths": []}
    features = FEATURES | {"extra": {"rare": {}}}
    search_run, _ = train_on(
        journey.traffic, tmp_path / "run", journey.encoder, features=features, search=search
    )
    assert search_run.recipe.features.extra == {"rare": {}}
    assert "rare" in search_run.model.fitted_


@pytest.mark.parametrize(
    ("extra", "error", "message"),
    [
        ({"no such kind": {}}, UnknownNameError, r"unknown channel 'no such kind'\. Known: .*rare"),
        ({"ngrams": {}}, RecipeError, "'ngrams', which has a section of its own under features"),
        ({"encoder": {}}, RecipeError, "'encoder', which has a section of its own"),
        ({"rare": {"last": 3}}, RecipeError, r"features\.extra\.rare is not what it takes: .*last"),
        ({"misnamed": {}}, InvalidValueError, "name of a channel must be as registered"),
    ],
    ids=["unknown", "shipped", "taken", "settings", "name"],
)
def test_what_cannot_be_made_is_refused(installed, journey, tmp_path, extra, error, message):
    features = FEATURES | {"extra": extra}
    with pytest.raises(error, match=message):
        train_on(journey.traffic, tmp_path / "run", journey.encoder, features=features)
    assert not (tmp_path / "run").exists()


def test_recipe_without_such_channels_is_written_as_before():
    """The section is left out of recipes in runs and bundles where there is nothing in it."""
    plain = parse_recipe({"name": "plain"}, name="plain.toml").as_dict()
    assert "extra" not in plain["features"]
    assert parse_recipe(plain, name="plain.toml").as_dict() == plain


def test_run_without_the_package_is_refused(run, monkeypatch):
    model = run.model
    monkeypatch.setattr("difficulty.plugins.entry_points", lambda group: [])
    with pytest.raises(UnknownNameError, match="unknown channel '(rare|squares)'"):
        _ = Run.read(run.folder).model
    with pytest.raises(RunError, match=r"the channel 'rare' cannot be saved\. Known: embedding"):
        save_model(model, run.folder)
