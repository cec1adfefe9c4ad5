"""A transformer encoder inside the scorer's graph: framed and run there as it is in Python."""

import itertools

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from difficulty.errors import InvalidValueError
from difficulty.export.graph import build_graph, task_ids
from difficulty.tensors import GraphBuilder, RequestTensors
from difficulty.tokens import pad
from tests.fakes import VOCABULARY, fit_dense_model, load_transformer, random_ids

TOLERANCE = 1e-5
ROOM = 13
"""Ids of a text that the frame of 16 leaves room for."""
TEXTS = {
    "empty": [],
    "short": [5, 6, 7],
    "exactly full": list(range(20, 20 + ROOM)),
    "one too long": list(range(20, 21 + ROOM)),
    "too long": list(range(199, 100, -1)),
}
TASKS = ["easy", None, "hard", "not known", "middle"]
FRAMES = {
    "both sides": {},
    "no suffix": {"suffix": ()},
    "nothing around": {"prefix": (), "suffix": ()},
    "more around than text": {
        "prefix": (4, 5, 6, 7, 8),
        "suffix": (9, 10, 11, 12),
        "max_tokens": 11,
    },
    "int8": {"rows": 1_200, "int8": True},
}


@pytest.fixture(scope="module", params=FRAMES, ids=str)
def encoder(request, tmp_path_factory):
    return load_transformer(tmp_path_factory.mktemp("encoder"), **FRAMES[request.param])


@pytest.fixture(scope="module")
def framed(encoder):
    """The session of a graph that is the encoder alone, without tasks."""
    return session_of_encoder(encoder), encoder


def session_of_encoder(encoder, *, n_tasks=0):
    graph = GraphBuilder()
    requests = RequestTensors(graph, vocabulary=encoder.vocabulary_size, n_tasks=n_tasks)
    graph.output(encoder.export(requests), "embedding", ["batch", encoder.dim])
    return ort.InferenceSession(
        graph.build("test").SerializeToString(), providers=["CPUExecutionProvider"]
    )


def run(session, ids, *, more_padding=0, padding_id=0):
    rows, mask = (np.pad(one, ((0, 0), (0, more_padding))) for one in pad(ids))
    return session.run(
        None, {"input_ids": np.where(mask == 1, rows, padding_id), "attention_mask": mask}
    )[0]


@pytest.mark.parametrize(
    "padding",
    [{}, {"more_padding": 1}, {"more_padding": 40, "padding_id": 199}],
    ids=["none", "one", "much"],
)
def test_graph_frames_texts_of_every_length(framed, padding):
    session, encoder = framed
    texts = [*TEXTS.values(), *random_ids(np.random.default_rng(0), 30)]
    assert run(session, texts, **padding) == pytest.approx(encoder.encode(texts), abs=TOLERANCE)
    for text in TEXTS.values():
        assert run(session, [text], **padding) == pytest.approx(
            encoder.encode([text]), abs=TOLERANCE
        )


@settings(max_examples=40)
@given(
    ids=st.lists(st.lists(st.integers(0, len(VOCABULARY) - 1), max_size=30), min_size=1, max_size=4)
)
def test_graph_frames_whatever_comes(framed, ids):
    session, encoder = framed
    assert run(session, ids) == pytest.approx(encoder.encode(ids), abs=TOLERANCE)


def test_task_in_first_place_is_no_part_of_the_text(encoder):
    """Such a row begins with an id past the vocabulary; others of the batch with the text."""
    session = session_of_encoder(encoder, n_tasks=2)
    texts = [text for text in TEXTS.values() for _ in range(2)]
    task = len(VOCABULARY) + 1
    rows = [[task, *text] if number % 2 else text for number, text in enumerate(texts)]
    assert run(session, rows) == pytest.approx(encoder.encode(texts), abs=TOLERANCE)


@pytest.fixture(scope="module", params=[True, False], ids=["tasks known", "no tasks"])
def pair(request, tmp_path_factory):
    """A model that reads embeddings in every way, and the session of its graph."""
    model = fit_dense_model(
        load_transformer(tmp_path_factory.mktemp("encoder"), rows=1_200, int8=True),
        with_task=request.param,
    )
    return model, ort.InferenceSession(
        build_graph(model).SerializeToString(), providers=["CPUExecutionProvider"]
    )


def assert_agrees(pair, texts, tasks, **padding):
    model, session = pair
    found = task_ids(model)
    read = [
        [found[task], *text] if task in found else text
        for text, task in zip(texts, tasks, strict=True)
    ]
    rows, mask = (np.pad(one, ((0, 0), (0, padding.get("more", 0)))) for one in pad(read))
    names = [one.name for one in session.get_outputs()]
    outputs = dict(
        zip(names, session.run(names, {"input_ids": rows, "attention_mask": mask}), strict=True)
    )
    expected = model.predict(texts, tasks).by_name()
    assert list(outputs) == list(expected)
    for name, values in expected.items():
        assert outputs[name] == pytest.approx(values, abs=TOLERANCE), name


@pytest.mark.parametrize(("text", "task"), list(itertools.product(TEXTS, TASKS)))
def test_model_and_graph_agree_on_a_request_alone_and_padded(pair, text, task):
    assert_agrees(pair, [TEXTS[text]], [task])
    assert_agrees(pair, [TEXTS[text]], [task], more=20)


def test_model_and_graph_agree_on_a_mixed_batch(pair):
    """Every text with every task, in one padded batch."""
    texts, tasks = zip(*itertools.product(TEXTS.values(), TASKS), strict=True)
    assert_agrees(pair, texts, tasks)
    assert_agrees(pair, texts, tasks, more=3)


def test_model_and_graph_agree_on_requests_they_have_not_seen(pair):
    rng = np.random.default_rng(3)
    texts = random_ids(rng, 200, longest=40)
    assert_agrees(pair, texts, rng.choice(np.array(TASKS, dtype=object), 200).tolist())


def test_task_changes_the_score_where_it_was_learned_from(tmp_path):
    """Or the agreement above would say nothing of tasks."""
    model = fit_dense_model(load_transformer(tmp_path))
    assert sorted(task_ids(model).values()) == [200, 201, 202]
    score = {
        task: model.predict([TEXTS["short"]], [task]).difficulty_score[0]
        for task in ("easy", "hard", None, "not known")
    }
    assert abs(score["easy"] - score["hard"]) > 0.1
    assert score[None] == score["not known"]


def test_encoder_of_another_opset_is_refused(tmp_path):
    model = fit_dense_model(load_transformer(tmp_path, opset=16), with_task=False)
    with pytest.raises(
        InvalidValueError,
        match=r"opset of an inlined graph must be 17: got 16\. Convert the encoder again",
    ):
        build_graph(model)
