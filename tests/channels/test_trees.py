"""Trees: what they read of tokens, what they learn, and that the graph follows them alike."""

import json
from dataclasses import replace

import numpy as np
import pytest

from difficulty.channels import describe, load_channel, task_channels_of
from difficulty.channels.gains import GainTarget, leave_one_out, task_means
from difficulty.channels.ngrams import NgramChannel
from difficulty.channels.task_guess import TaskGuessChannel
from difficulty.channels.trees import N_KINDS, TreeChannel, kinds_of_tokens
from difficulty.export.graph import build_graph
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.saved_model import load_model, save_model
from difficulty.recipe import FeatureSettings, NgramSettings, Recipe, TreeSettings
from difficulty.training.assemble import build_model
from tests.export.test_graph import NASTY, assert_same, outputs_of, run, session_of
from tests.fakes import (
    VOCABULARY,
    labelled_tokens,
    load_encoder,
    load_transformer,
    random_ids,
    with_tasks,
)

TASKS = ["easy", "hard", "middle"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return load_encoder(tmp_path_factory.mktemp("encoder"))


def fitted(encoder, *, tasks=True, n=600):
    """Return a model with every head of the gain."""
    fit, calibration = labelled_tokens(n), labelled_tokens(200, seed=1)
    if tasks:
        fit, calibration = with_tasks(fit, seed=2), with_tasks(calibration, seed=3)
    known = TASKS if tasks else []
    channels = [
        NgramChannel(len(VOCABULARY), buckets=512, weighting="presence", mean_penalty=5.0),
        *([TaskGuessChannel(encoder, known)] if tasks else []),
        TreeChannel(encoder, known, components=3),
    ]
    model = DifficultyModel(
        channels, task_channels=task_channels_of(channels, known), rng=np.random.default_rng(7)
    )
    return model.fit(fit, calibration)


@pytest.fixture(scope="module")
def model(encoder):
    return fitted(encoder)


def test_kinds_of_tokens_by_hand(tmp_path):
    path = tmp_path / "tokenizer.json"
    words = ["[UNK]", "what", "##123", "?", "extraordinary", "é", "▁not"]
    path.write_text(json.dumps({"model": {"vocab": {one: n for n, one in enumerate(words)}}}))
    table = kinds_of_tokens(path, len(words) + 1)
    assert table.shape == (len(words) + 1, N_KINDS)
    assert table[:, 0].tolist() == [5, 4, 3, 1, 13, 1, 3, 0]
    set_columns = [np.flatnonzero(row[1:-1]).tolist() for row in table]
    # a question word; continuing, a number, a long one; a sign, "?"; a long word; no ASCII, letter
    assert set_columns[1:] == [[16], [0, 1, 2], [3, 4], [22], [13, 14], [15], []]
    assert table[:, -1].tolist() == np.rint(12 * np.log1p(np.arange(8))).tolist()


def test_beginning_and_end_are_48_tokens(encoder):
    channel = TreeChannel(encoder, components=2)
    sums = channel.prepare([list(range(100)), [5, 6], []]).toarray()[:, : 2 + 3 * N_KINDS]
    kinds = kinds_of_tokens(encoder.tokenizer_path, len(VOCABULARY)).astype(int)
    expected = np.concatenate([kinds[:100].sum(0), kinds[:48].sum(0), kinds[52:100].sum(0)])
    assert sums[0, 1:-1].tolist() == expected.tolist()
    assert sums[1, 1:-1].tolist() == np.tile(kinds[5:7].sum(0), 3).tolist()
    assert sums[2].tolist() == [0.0] * (1 + 3 * N_KINDS) + [-1.0]


def test_means_of_tasks_by_hand():
    """Gains 1, 0, 1 and one unknown; the prior is ten samples of the mean, 2/3."""
    target = GainTarget(np.array([1.0, 0.0, 1.0, np.nan]), np.ones(4), np.arange(4))
    classes = np.array([0, 0, 1, 1])
    means, mean = task_means(target, classes, 2)
    assert mean == pytest.approx(2 / 3)
    assert means == pytest.approx([(1 + 20 / 3) / 12, (1 + 20 / 3) / 11])
    others = leave_one_out(target, classes, 2)
    assert others[:3] == pytest.approx([(0 + 20 / 3) / 11, (1 + 20 / 3) / 11, (0 + 20 / 3) / 10])
    assert np.isnan(others[3])


def test_trees_learn_what_linear_heads_cannot(encoder):
    """The frontier model is needed where the request is long and begins with a large id."""
    rng = np.random.default_rng(0)
    ids = random_ids(rng, 1_500, longest=40)
    gain = np.array([float(len(row) > 20) * (np.mean(row) > 100) for row in ids])
    channel = TreeChannel(encoder, components=3)
    prepared = channel.prepare(ids)
    target = GainTarget(gain[:1_000], np.ones(1_000), np.arange(1_000))
    state, head = channel.fit_gain(prepared[:1_000], channel.fit(prepared[:1_000]), target)
    said = head.logits(channel.transform(prepared[1_000:], state))
    assert np.corrcoef(said, gain[1_000:])[0, 1] > 0.85


def test_gains_that_nobody_knows_are_none(encoder, tmp_path):
    """Each request's outcome is known of one model only, as in logged traffic."""
    data = with_tasks(labelled_tokens(300), seed=2)
    cheap = np.where(np.arange(300) % 2, np.nan, data.outcomes.cheap_quality)
    frontier = np.where(np.arange(300) % 2, data.outcomes.frontier_quality, np.nan)
    outcomes = replace(data.outcomes, cheap_quality=cheap, frontier_quality=frontier)
    data = replace(data, outcomes=outcomes)
    channels = [
        NgramChannel(len(VOCABULARY), buckets=64, mean_penalty=1.0),
        TaskGuessChannel(encoder, TASKS),
        TreeChannel(encoder, TASKS, components=2),
    ]
    model = DifficultyModel(channels, task_channels=task_channels_of(channels, TASKS))
    save_model(model.fit(data, data), tmp_path)
    again = load_model(tmp_path, encoder=encoder)
    assert_same(run(session_of(again), NASTY), outputs_of(model, NASTY))


def test_failures_alone_need_no_channel_of_the_gain(encoder):
    features = FeatureSettings(
        ngrams=NgramSettings(mean_penalty=1.0), trees=TreeSettings(components=2)
    )
    recipe = Recipe(name="failures", features=features)
    names = {
        target: [one.name for one in build_model(recipe, encoder, target, tasks=TASKS).all_channels]
        for target in ("failure", "benefit")
    }
    own = ["ngrams", "task guess"]
    assert names["failure"] == [*own, "ngrams+task"]
    beside = ["ngrams+task", "trees+mean", "ngrams+mean"]
    assert sorted(names["benefit"]) == sorted([*own, "trees", *beside])


@pytest.mark.parametrize("n", [0, 1, 79], ids=str)
def test_few_gains_grow_no_tree(encoder, n):
    """They say the mean, or nothing."""
    ids = random_ids(np.random.default_rng(0), 100)
    gain = np.where(np.arange(100) < n, np.arange(100) % 2, np.nan)
    channel = TreeChannel(encoder, TASKS, components=2)
    prepared = channel.prepare(ids)
    target = GainTarget(gain, np.ones(100), np.arange(100))
    state, head = channel.fit_gain(prepared, channel.fit(prepared), target)
    expected = np.nanmean(gain) if n else 0.0
    assert head.logits(channel.transform(prepared, state)) == pytest.approx(expected)


def test_graph_follows_the_trees(model):
    assert len(model.fitted_["trees"].state["plain.starts"]) > 10
    assert len(model.fitted_["trees"].state["beside.starts"]) > 10
    session = session_of(model)
    ids = [*NASTY, *random_ids(np.random.default_rng(9), 2_000, longest=140)]
    assert_same(run(session, ids), outputs_of(model, ids))
    read = [[len(VOCABULARY) + row % 3, *one] for row, one in enumerate(ids)]
    told = [TASKS[row % 3] for row in range(len(ids))]
    assert_same(run(session, read), outputs_of(model, ids, told))
    assert_same(run(session, NASTY, more_padding=60, padding_id=7), outputs_of(model, NASTY))


def test_graph_without_tasks_follows_the_trees(encoder):
    model = fitted(encoder, tasks=False)
    ids = [*NASTY, *random_ids(np.random.default_rng(9), 500, longest=140)]
    assert_same(run(session_of(model), ids), outputs_of(model, ids))


def test_graph_of_another_encoder_follows_the_trees(tmp_path):
    """Its embedding is no mean of token vectors: components are read from the embedding."""
    model = fitted(load_transformer(tmp_path / "encoder"))
    ids = [*NASTY, *random_ids(np.random.default_rng(9), 300)]
    assert_same(run(session_of(model), ids), outputs_of(model, ids), 1e-3)


def test_graph_says_which_operators_it_needs(model):
    graph = build_graph(model)
    assert [(one.domain, one.version) for one in graph.opset_import] == [
        ("", 17),
        ("ai.onnx.ml", 3),
    ]
    assert sum(node.op_type == "TreeEnsembleRegressor" for node in graph.graph.node) == 1


def test_saved_model_scores_alike(model, encoder, tmp_path):
    save_model(model, tmp_path)
    again = load_model(tmp_path, encoder=encoder)
    ids = random_ids(np.random.default_rng(3), 50)
    for tasks in (None, [TASKS[row % 3] for row in range(50)]):
        for name, values in outputs_of(model, ids, tasks).items():
            np.testing.assert_array_equal(outputs_of(again, ids, tasks)[name], values)


def test_channel_is_loaded_as_it_was_saved(encoder):
    channel = load_channel(describe(TreeChannel(encoder, TASKS, components=5)), encoder)
    assert (channel.tasks, channel.components) == (tuple(TASKS), 5)


def test_same_traffic_grows_the_same_trees(model, encoder):
    again = fitted(encoder)
    for name, fitted_channel in model.fitted_.items():
        if isinstance(fitted_channel.state, dict):
            for key, one in fitted_channel.state.items():
                np.testing.assert_array_equal(one, again.fitted_[name].state[key])


def test_trees_of_a_transformer_read_the_token_vectors_that_its_graph_starts_from(tmp_path):
    """By hand: its table, in float32 as in int8; components are integers a token, so the graph
    takes the turns that Python takes.
    """
    transformer = load_transformer(tmp_path)
    table = transformer.token_vectors
    assert table.shape[0] == transformer.vocabulary_size
    features = FeatureSettings(trees=TreeSettings(components=3))
    channel = TreeChannel.from_features(features, transformer, TASKS)
    assert channel.by_token
    assert load_channel(describe(channel), transformer).by_token
    state = channel.fit(channel.prepare(random_ids(np.random.default_rng(5), 50)))
    assert state["components"].shape == (transformer.vocabulary_size, 3)
    assert state["components"].dtype == np.int8


def test_trees_of_a_transformer_from_before_read_its_embedding(tmp_path):
    """Their settings do not say by what components are read."""
    transformer = load_transformer(tmp_path)
    channel = TreeChannel(transformer, TASKS, components=3)
    entry = describe(channel)
    assert "by_token" not in entry
    assert not load_channel(entry, transformer).by_token
    state = channel.fit(channel.prepare(random_ids(np.random.default_rng(5), 50)))
    assert state["components"].shape == (transformer.dim, 3)


def test_graph_follows_trees_on_token_vectors_of_a_transformer(tmp_path):
    transformer = load_transformer(tmp_path)
    fit, calibration = (with_tasks(labelled_tokens(n, seed=n), seed=n) for n in (600, 200))
    channels = [
        NgramChannel(len(VOCABULARY), buckets=512, weighting="presence", mean_penalty=5.0),
        TreeChannel(transformer, TASKS, components=3, by_token=True),
    ]
    model = DifficultyModel(
        channels, task_channels=task_channels_of(channels, TASKS), rng=np.random.default_rng(7)
    ).fit(fit, calibration)
    ids = random_ids(np.random.default_rng(5), 200, longest=60)
    assert_same(run(session_of(model), ids), outputs_of(model, ids), 1e-5)
