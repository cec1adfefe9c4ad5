import json

import numpy as np
import pytest

from difficulty.errors import RunError
from difficulty.export.graph import build_graph
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.saved_model import load_model, save_model
from tests.fakes import (
    CountChannel,
    fit_dense_model,
    fit_model,
    labelled_tokens,
    load_encoder,
    load_transformer,
    random_ids,
)

IDS = [[], [5], *random_ids(np.random.default_rng(1), 30)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return load_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def saved(encoder, tmp_path):
    save_model(fit_model(encoder), tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"target": "failure"},
        {"target": "failure", "frontier": False},
        {"n_calibration": 1_100},
        {"tasks": True, "guess": True},
        {"length": True},
    ],
    ids=["benefit", "failure", "cheap only", "piecewise", "tasks", "length"],
)
def test_model_read_back_gives_the_same_scores_to_the_last_bit(encoder, tmp_path, choices):
    model = fit_model(encoder, **choices)
    save_model(model, tmp_path)
    tasks = (["easy", None, "hard"] * len(IDS))[: len(IDS)]
    before, after = (
        one.predict(IDS, tasks).by_name() for one in (model, load_model(tmp_path, encoder=encoder))
    )
    assert {name: values.tolist() for name, values in after.items()} == {
        name: values.tolist() for name, values in before.items()
    }


@pytest.mark.parametrize("with_task", [True, False], ids=["tasks known", "no tasks"])
def test_model_on_a_transformer_is_read_back_whole(tmp_path, with_task):
    """Embeddings as they are, beside the task, as shares of centres and as a guess: settings,
    centres and scores.
    """
    encoder = load_transformer(tmp_path / "encoder")
    model = fit_dense_model(encoder, with_task=with_task)
    save_model(model, tmp_path)
    again = load_model(tmp_path, encoder=encoder)
    names = [channel.name for channel in again.all_channels]
    tasks = ["task guess", "ngrams+task", "embedding+task"] if with_task else []
    assert sorted(names) == sorted(["ngrams", "embedding", "neighbours", "length", *tasks])
    assert names == [channel.name for channel in model.all_channels]
    neighbours = next(channel for channel in again.channels if channel.name == "neighbours")
    assert (neighbours.centres, neighbours.sharpness, neighbours.strength) == (6, 10.0, 0.1)
    assert again.fitted_["neighbours"].state.tolist() == model.fitted_["neighbours"].state.tolist()
    tasks_of_ids = (["easy", None, "hard"] * len(IDS))[: len(IDS)]
    before, after = (one.predict(IDS, tasks_of_ids).by_name() for one in (model, again))
    assert {name: values.tolist() for name, values in after.items()} == {
        name: values.tolist() for name, values in before.items()
    }


def test_model_with_the_same_graph_in_another_frame_is_refused(tmp_path):
    """What the encoder reads of a request decides its vectors as much as its weights do."""
    save_model(fit_dense_model(load_transformer(tmp_path / "encoder"), with_task=False), tmp_path)
    with pytest.raises(
        RunError, match="the model was fitted with encoder [0-9a-f]{12}: got [0-9a-f]{12}"
    ):
        load_model(tmp_path, encoder=load_transformer(tmp_path / "other", max_tokens=17))


def test_model_without_embeddings_needs_no_encoder(tmp_path):
    model = fit_model()
    save_model(model, tmp_path)
    assert (
        load_model(tmp_path).predict(IDS).difficulty_score.tolist()
        == model.predict(IDS).difficulty_score.tolist()
    )


def test_saved_model_can_be_read_without_pickle(saved):
    with np.load(saved / "model.npz", allow_pickle=False) as arrays:
        assert all(array.dtype.kind == "f" for array in arrays.values())


@pytest.mark.parametrize("name", ["model.json", "model.npz"])
def test_model_with_a_missing_file_is_refused(saved, encoder, name):
    (saved / name).unlink()
    with pytest.raises(RunError, match=r"model\.json or model\.npz is missing"):
        load_model(saved, encoder=encoder)


def test_model_of_another_format_is_refused(saved, encoder):
    form = json.loads((saved / "model.json").read_text())
    (saved / "model.json").write_text(json.dumps(form | {"format": 9}))
    with pytest.raises(RunError, match=r"model format 9 is not the one this version reads \(2\)"):
        load_model(saved, encoder=encoder)


@pytest.mark.parametrize("name", ["model.json", "model.npz"])
def test_damaged_model_is_refused(saved, encoder, name):
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(RunError, match=f"{name}.*cannot be read"):
        load_model(saved, encoder=encoder)


def test_model_with_an_array_left_out_is_refused(saved, encoder):
    with np.load(saved / "model.npz") as stored:
        arrays = {
            name: array for name, array in stored.items() if not name.startswith("embedding.cheap")
        }
    np.savez(saved / "model.npz", **arrays)
    with pytest.raises(RunError, match=r"model\.npz lacks the head embedding\.cheap"):
        load_model(saved, encoder=encoder)


def test_model_with_another_encoder_is_refused(saved, tmp_path):
    with pytest.raises(
        RunError, match="the model was fitted with encoder [0-9a-f]{12}: got [0-9a-f]{12}"
    ):
        load_model(saved, encoder=load_encoder(tmp_path / "other", seed=1))
    with pytest.raises(RunError, match="got None"):
        load_model(saved)


def test_model_with_an_unknown_channel_cannot_be_saved(tmp_path):
    data = labelled_tokens(60)
    with pytest.raises(
        RunError,
        match=(
            r"the channel 'count' cannot be saved\. Known: embedding, length, neighbours, ngrams,"
            r" numbers, task guess, trees, tuned"
        ),
    ):
        save_model(DifficultyModel([CountChannel()]).fit(data, data), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_familiarity_without_a_measure_is_refused(saved, encoder):
    """A file that lost its measures is damaged, and says so when it is read."""
    with np.load(saved / "model.npz", allow_pickle=False) as stored:
        kept = {
            name: array
            for name, array in stored.items()
            if not name.startswith(("familiarity.topic", "familiarity.wording"))
        }
    np.savez_compressed(saved / "model.npz", **kept)
    with pytest.raises(RunError, match="familiarity without a measure"):
        load_model(saved, encoder=encoder)


def test_model_of_before_familiarity_knew_lengths_stays_as_it_was(saved, encoder):
    """Without the extent topic and wording decide alone, in Python and in the graph."""
    model = load_model(saved, encoder=encoder)
    assert model.familiarity_ is not None
    assert model.familiarity_.extent is not None
    with np.load(saved / "model.npz", allow_pickle=False) as stored:
        kept = {
            name: array
            for name, array in stored.items()
            if not name.startswith("familiarity.extent")
        }
    np.savez_compressed(saved / "model.npz", **kept)
    old = load_model(saved, encoder=encoder)
    assert old.familiarity_ is not None
    assert old.familiarity_.extent is None
    ids = [[1, 2, 3] * n for n in (1, 5, 60)]
    prepared = old._prepare(ids, None)
    embeddings, pairs, _ = old._known_by(prepared)
    assert old.predict(ids).familiarity == pytest.approx(old.familiarity_(embeddings, pairs))
    assert len(build_graph(old).graph.node) < len(build_graph(model).graph.node)
