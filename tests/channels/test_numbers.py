"""Numbers of requests: what heads and trees read of them, and that the graph reads the same."""

from dataclasses import replace

import numpy as np
import pytest

from difficulty.channels import describe, load_channel, task_channels_of
from difficulty.channels.ngrams import NgramChannel
from difficulty.channels.numbers import NumbersChannel
from difficulty.channels.trees import TreeChannel
from difficulty.conversation.request_numbers import NUMBERS, NumberedIds, numbers_of
from difficulty.errors import BundleError
from difficulty.export.graph import build_graph
from difficulty.metrics import auroc
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.saved_model import load_model, save_model
from difficulty.recipe import FeatureSettings, NumberSettings, Recipe, TreeSettings
from difficulty.runtime.session import Graph, load_session
from difficulty.training.assemble import build_model, knows_numbers, number_notes
from tests.export.test_graph import NASTY
from tests.fakes import VOCABULARY, labelled_tokens, load_encoder, load_transformer, with_tasks

TASKS = ["easy", "hard", "middle"]
OUTPUTS = ("difficulty_score", "p_cheap_fails", "p_frontier_fails")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return load_encoder(tmp_path_factory.mktemp("encoder"))


def offering(data, *, seed=0, share=0.7):
    """Return samples of which some offer functions; those that offer many fail more often."""
    rng = np.random.default_rng(seed)
    numbers = np.floor(rng.gamma(1.0, 4.0, (len(data), len(NUMBERS)))).astype(np.float32)
    ids = [
        NumberedIds(row, own) if offers else row
        for row, own, offers in zip(data.ids, numbers, rng.random(len(data)) < share, strict=True)
    ]
    failed = numbers[:, 0] > 3
    quality = np.where(rng.random(len(data)) < 0.9, ~failed, failed).astype(float)
    return replace(data, ids=ids, outcomes=replace(data.outcomes, cheap_quality=quality))


def fitted(encoder, *, n=400):
    fit, calibration = (
        offering(with_tasks(labelled_tokens(size, seed=seed), seed=seed + 2), seed=seed)
        for size, seed in ((n, 0), (200, 1))
    )
    channels = [
        NgramChannel(len(VOCABULARY), buckets=512, weighting="presence"),
        TreeChannel(encoder, TASKS, components=3, numbers=True),
        NumbersChannel(),
    ]
    model = DifficultyModel(
        channels, task_channels=task_channels_of(channels, TASKS), rng=np.random.default_rng(7)
    )
    return model.fit(fit, calibration)


@pytest.fixture(scope="module")
def model(encoder):
    return fitted(encoder)


def graph_of(model, **choices):
    session = load_session(build_graph(model).SerializeToString())
    return Graph(session, "scorer.onnx", OUTPUTS, ("familiarity",), most_tokens=64, **choices)


def fresh(n=300):
    rng = np.random.default_rng(5)
    data = offering(labelled_tokens(n, seed=6), seed=8)
    rows = [*NASTY, *data.ids]
    # far beyond what training saw, nothing at all, and some numbers unknown
    rows += [NumberedIds([5], np.full(len(NUMBERS), value, np.float32)) for value in (0, 1e30)]
    some = np.where(rng.random(len(NUMBERS)) < 0.5, np.nan, 2.0).astype(np.float32)
    return [*rows, NumberedIds([5, 6], some)]


def test_vectors_by_hand():
    channel = NumbersChannel()
    known = np.array([[0.0] * 25, [np.e - 1] * 25, [np.nan] * 25])
    state = channel.fit(known)
    assert state[0] == pytest.approx(0.5)
    assert state[1] == pytest.approx(0.5)
    far = np.array([[1e30] * 25])
    vectors = channel.transform(np.vstack([known, far]), state)
    assert vectors[:, 0].tolist() == pytest.approx([-1.0, 1.0, 0.0, 4.0])
    assert vectors[:, -1].tolist() == [0.0, 0.0, 1.0, 0.0]


def test_nothing_known_teaches_nothing():
    channel = NumbersChannel()
    unknown = channel.prepare([[5], [6]])
    assert np.isnan(unknown).all()
    vectors = channel.transform(unknown, channel.fit(unknown))
    assert vectors.tolist() == [[0.0] * 25 + [1.0]] * 2


def test_model_learns_from_numbers(model):
    data = offering(labelled_tokens(400, seed=11), seed=12)
    failed = (data.outcomes.cheap_quality < 0.5).astype(float)
    known = np.array([isinstance(row, NumberedIds) for row in data.ids])
    with_numbers, without = (
        model.predict(ids).difficulty_score[known]
        for ids in (data.ids, [list(row) for row in data.ids])
    )
    assert auroc(with_numbers, failed[known]) > 0.75
    assert auroc(without, failed[known]) < 0.6


@pytest.mark.parametrize("kind", ["static", "transformer"])
def test_graph_reads_the_same_numbers(kind, model, tmp_path):
    tolerance = 1e-5
    if kind == "transformer":
        model, tolerance = fitted(load_transformer(tmp_path / "encoder")), 1e-3
    graph, rows = graph_of(model, may_read_numbers=True), fresh()
    assert graph.reads_numbers
    expected, found = model.predict(rows).by_name(), graph.many(rows)
    for name in graph.outputs:
        np.testing.assert_allclose(found[name], expected[name], atol=tolerance)
        one = [graph.one(row)[graph.outputs.index(name)] for row in rows[-20:]]
        np.testing.assert_allclose(one, expected[name][-20:], atol=tolerance)


def test_graph_without_numbers_has_no_such_input(encoder):
    data = labelled_tokens(200)
    channels = [NgramChannel(len(VOCABULARY), buckets=64), TreeChannel(encoder, components=2)]
    model = DifficultyModel(channels).fit(data, data)
    assert not graph_of(model, may_read_numbers=True).reads_numbers
    assert not model.reads_numbers


def test_graph_with_the_input_is_refused_where_none_may_be(model):
    with pytest.raises(BundleError, match=r"must have the inputs \['attention_mask', 'input_ids'"):
        graph_of(model)


def test_saved_model_reads_the_same(model, encoder, tmp_path):
    save_model(model, tmp_path)
    again = load_model(tmp_path, encoder=encoder)
    rows = fresh(50)
    assert again.reads_numbers
    assert again.predict(rows, ["hard"] * len(rows)).difficulty_score.tolist() == (
        model.predict(rows, ["hard"] * len(rows)).difficulty_score.tolist()
    )


def test_trees_of_before_say_nothing_of_numbers(encoder):
    entry = describe(TreeChannel(encoder, components=2))
    assert "numbers" not in entry
    assert not load_channel(entry, encoder).reads_numbers
    assert load_channel(describe(TreeChannel(encoder, numbers=True)), encoder).reads_numbers


def test_recipe_reads_numbers_where_enough_requests_have_some(encoder):
    data = offering(labelled_tokens(200), share=0.5)
    features = FeatureSettings(
        trees=TreeSettings(components=2), numbers=NumberSettings(least_samples=60)
    )
    recipe = Recipe(name="numbers", features=features)
    few = replace(data, ids=[*data.ids[:80], *(list(row) for row in data.ids[80:])])
    none = replace(recipe, features=replace(features, numbers=False))
    assert [knows_numbers(one, rows) for one, rows in ((recipe, data), (recipe, few))] == [1, 0]
    assert not knows_numbers(none, data)
    assert [len(number_notes(*one)) for one in ((none, data), (recipe, labelled_tokens(9)))] == [
        0,
        0,
    ]
    assert "fewer than 60: what requests offer is not read" in number_notes(recipe, few)[0]
    reading = build_model(recipe, encoder, "benefit", numbers=True)
    assert [one.name for one in reading.channels][-1] == "numbers"
    # With too few the model is that of a recipe without the section.
    plain = [build_model(one, encoder, "benefit") for one in (recipe, none)]
    left, right = ([describe(channel) for channel in one.channels] for one in plain)
    assert left == right
    assert not plain[0].reads_numbers


def test_rows_keep_their_numbers(model):
    rows = fresh(20)
    picked = replace(offering(labelled_tokens(20)), ids=rows[-20:])[np.arange(3)]
    assert np.array_equal(numbers_of(picked.ids), numbers_of(rows[-20:-17]), equal_nan=True)
