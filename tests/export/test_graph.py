"""The graph in ONNX Runtime gives what the model gives in Python."""

from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from difficulty.channels.embedding import EmbeddingChannel
from difficulty.channels.ngrams import NgramChannel
from difficulty.errors import InvalidValueError
from difficulty.export.graph import build_graph, task_ids
from difficulty.model.difficulty import DifficultyModel
from difficulty.tokens import pad
from tests.fakes import (
    UNKNOWN,
    VOCABULARY,
    CountChannel,
    fit_model,
    labelled_tokens,
    load_encoder,
    random_ids,
)

TOLERANCE = 1e-5
NASTY = [[], [0], [7], [7, 7], [7] * 40, [0, 0, 0], [1, 2] * 20, [199, 0, 199], list(range(200))]

MODELS = {
    "benefit": {},
    "failure": {"target": "failure"},
    "cheap outcomes alone": {"target": "failure", "frontier": False},
    "piecewise": {"n_calibration": 1_100},
    "piecewise failure": {"n_calibration": 1_100, "target": "failure"},
    "tasks": {"tasks": True},
    "tasks, piecewise failure": {"tasks": True, "n_calibration": 1_300, "target": "failure"},
    "tasks guessed": {"tasks": True, "guess": True},
    "presence": {"weighting": "presence", "n_calibration": 1_100},
    "presence, tasks": {"weighting": "presence", "tasks": True},
    "presence, cheap outcomes alone": {
        "weighting": "presence",
        "target": "failure",
        "frontier": False,
    },
    "length": {"length": True},
    "length, tasks": {"length": True, "tasks": True, "n_calibration": 1_100},
    "length, cheap outcomes alone": {"length": True, "target": "failure", "frontier": False},
    "tasks guessed, none told": {
        "tasks": True,
        "guess": True,
        "channel": False,
        "n_calibration": 1_100,
    },
    "tasks, cheap outcomes alone": {"tasks": True, "target": "failure", "frontier": False},
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return load_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module", params=MODELS, ids=str)
def pair(request, encoder):
    """A fitted model and a session on its graph."""
    model = fit_model(encoder, **MODELS[request.param])
    return model, session_of(model)


def session_of(model):
    return ort.InferenceSession(
        build_graph(model).SerializeToString(), providers=["CPUExecutionProvider"]
    )


def run(session, ids, *, more_padding=0, padding_id=0):
    """Return the outputs by name; ``more_padding`` columns are added, and padding holds
    ``padding_id``.
    """
    rows, mask = pad(ids)
    rows, mask = (np.pad(one, ((0, 0), (0, more_padding))) for one in (rows, mask))
    rows = np.where(mask == 1, rows, padding_id)
    names = [one.name for one in session.get_outputs()]
    return dict(
        zip(names, session.run(names, {"input_ids": rows, "attention_mask": mask}), strict=True)
    )


def outputs_of(model, ids, tasks=None):
    scores = model.predict(ids, tasks)
    return scores.by_name()


def assert_same(found, expected, tolerance=TOLERANCE):
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name].dtype == np.float32
        assert found[name] == pytest.approx(values, abs=tolerance), name


def test_graph_agrees_on_requests_it_has_not_seen(pair):
    model, session = pair
    ids = random_ids(np.random.default_rng(3), 300, longest=60)
    assert_same(run(session, ids), outputs_of(model, ids))


def test_graph_agrees_on_empty_short_and_repetitive_requests(pair):
    model, session = pair
    assert_same(run(session, NASTY), outputs_of(model, NASTY))
    for row in NASTY:
        assert_same(run(session, [row]), outputs_of(model, [row]))


def test_graph_reads_the_task_from_the_first_id(pair):
    """The task's id stands before the text's; a graph without tasks has no ids for them."""
    model, session = pair
    found, ids = task_ids(model), [*NASTY, *random_ids(np.random.default_rng(9), 60)]
    tasks = [
        ["easy", "hard", "middle", None][row % 4] if found else None for row in range(len(ids))
    ]
    read = [
        ids_ if task is None else [found[task], *ids_]
        for ids_, task in zip(ids, tasks, strict=True)
    ]
    assert sorted(found.values()) == list(range(len(VOCABULARY), len(VOCABULARY) + len(found)))
    assert_same(run(session, read), outputs_of(model, ids, tasks))


@settings(max_examples=60)
@given(
    ids=st.lists(
        st.lists(st.sampled_from([0, 1, 2, 3, 150, 199]), max_size=12), min_size=1, max_size=4
    )
)
def test_graph_agrees_on_whatever_comes(pair, ids):
    model, session = pair
    assert_same(run(session, ids), outputs_of(model, ids))


@pytest.mark.parametrize("padding_id", [0, 7, 199])
def test_padding_changes_nothing(pair, padding_id):
    """Neither how much there is of it nor the id that stands there."""
    _, session = pair
    ids = [*NASTY, *random_ids(np.random.default_rng(4), 20)]
    assert_same(run(session, ids, more_padding=9, padding_id=padding_id), run(session, ids), 1e-6)


def test_order_of_the_batch_changes_nothing(pair):
    _, session = pair
    ids = random_ids(np.random.default_rng(5), 50)
    order = np.random.default_rng(6).permutation(50)
    straight = run(session, ids)
    assert_same(
        run(session, [ids[row] for row in order]),
        {name: values[order] for name, values in straight.items()},
        1e-6,
    )


def knots_of(model):
    """Return how many knots the calibrators of both outcomes have."""
    combination = model.without_task_
    outcomes = (combination.cheap, combination.frontier)
    return [len(outcome.calibrator.knots) for outcome in outcomes]


def test_cases_cover_what_they_name(encoder):
    """One model is calibrated in pieces, another is not; the target failure says the score is
    P(cheap fails).
    """
    plain, pieces = fit_model(encoder), fit_model(encoder, n_calibration=1_100)
    assert (
        len(plain.without_task_.cheap.calibrator.knots)
        == len(plain.without_task_.frontier.calibrator.knots)
        == 2
    )
    assert len(pieces.without_task_.cheap.calibrator.knots) > 2
    session = session_of(fit_model(encoder, target="failure", frontier=False))
    found = run(session, NASTY)
    assert list(found) == ["difficulty_score", "p_cheap_fails", "familiarity"]
    assert found["difficulty_score"].tolist() == found["p_cheap_fails"].tolist()


def test_one_outcome_in_pieces_and_the_other_not(encoder):
    """The frontier model is known for few calibration requests, so only the cheap one gets
    pieces.
    """
    calibration = labelled_tokens(1_100, seed=1)
    few = np.where(np.arange(1_100) < 200, calibration.outcomes.frontier_quality, UNKNOWN)
    calibration = replace(calibration, outcomes=replace(calibration.outcomes, frontier_quality=few))
    model = DifficultyModel([NgramChannel(len(VOCABULARY), buckets=512)]).fit(
        labelled_tokens(), calibration
    )
    assert (
        len(model.without_task_.cheap.calibrator.knots)
        > len(model.without_task_.frontier.calibrator.knots)
        == 2
    )
    assert_same(run(session_of(model), NASTY), outputs_of(model, NASTY))


@pytest.mark.parametrize("name", ["ngrams", "embedding"])
def test_graph_of_one_channel_agrees(encoder, name):
    channel = {
        "ngrams": NgramChannel(len(VOCABULARY), buckets=64),
        "embedding": EmbeddingChannel(encoder, strength=0.1),
    }[name]
    model = DifficultyModel([channel]).fit(labelled_tokens(), labelled_tokens(seed=1))
    ids = [*NASTY, *random_ids(np.random.default_rng(8), 50)]
    assert_same(run(session_of(model), ids), outputs_of(model, ids))


def test_graph_of_votes_alone_agrees(encoder):
    """The gain is learned from preferences while no frontier outcome is known."""
    data = labelled_tokens(frontier=False)
    votes = replace(
        data,
        outcomes=replace(data.outcomes, preferred_gain=2.0 * data.outcomes.cheap_failure - 1.0),
    )
    model = DifficultyModel(
        [NgramChannel(len(VOCABULARY), buckets=64), EmbeddingChannel(encoder)]
    ).fit(votes, votes)
    assert model.without_task_.gain is not None
    assert_same(run(session_of(model), NASTY), outputs_of(model, NASTY))


def test_graph_has_the_inputs_and_outputs_of_the_contract(encoder):
    session = session_of(fit_model(encoder))
    assert [(one.name, one.type, len(one.shape)) for one in session.get_inputs()] == [
        ("input_ids", "tensor(int64)", 2),
        ("attention_mask", "tensor(int64)", 2),
    ]
    assert [(one.name, one.type, len(one.shape)) for one in session.get_outputs()] == [
        (name, "tensor(float)", 1)
        for name in ("difficulty_score", "p_cheap_fails", "p_frontier_fails", "familiarity")
    ]


def test_channel_that_cannot_be_exported_is_refused():
    data = labelled_tokens(60)
    channels = [NgramChannel(len(VOCABULARY), buckets=64), CountChannel()]
    with pytest.raises(
        InvalidValueError,
        match=r"channel must be one that can be exported: got 'count'\. Give its class",
    ):
        build_graph(DifficultyModel(channels).fit(data, data))


def test_channels_that_do_not_know_the_vocabulary_are_refused():
    data = labelled_tokens(60)
    with pytest.raises(InvalidValueError, match=r"know the vocabulary: got \['count'\]"):
        build_graph(DifficultyModel([CountChannel()]).fit(data, data))
