"""The early graph in ONNX Runtime gives what the student gives in Python."""

import numpy as np
import onnxruntime as ort
import pytest

from difficulty.channels.embedding import EmbeddingChannel
from difficulty.early_exit import build_early_graph, fit_early, load_early, save_early
from difficulty.errors import InvalidValueError
from difficulty.export.graph import task_ids
from difficulty.model.difficulty import DifficultyModel
from difficulty.tokens import pad
from tests.channels.test_tuned import CALIBRATION, FIT, TASKS, tuned_model
from tests.export.test_graph import MODELS, NASTY
from tests.fakes import (
    fit_model,
    labelled_tokens,
    load_encoder,
    load_transformer,
    random_ids,
    with_tasks,
)

TOLERANCE = 1e-5


@pytest.fixture(scope="module", params=MODELS, ids=str)
def student(request, tmp_path_factory):
    """A fitted model, its student, and a session on the student's graph."""
    model = fit_model(load_encoder(tmp_path_factory.mktemp("encoder")), **MODELS[request.param])
    data = with_tasks(labelled_tokens())
    early = fit_early(model, data.ids, data.tasks)
    graph = build_early_graph(model, early).SerializeToString()
    return model, early, ort.InferenceSession(graph, providers=["CPUExecutionProvider"])


def run(session, ids, *, more_padding=0):
    rows, mask = (np.pad(one, ((0, 0), (0, more_padding))) for one in pad(ids))
    (scores,) = session.run(["early_score"], {"input_ids": rows, "attention_mask": mask})
    return scores


def test_graph_gives_the_early_scores_of_python(student):
    model, early, session = student
    ids = [*NASTY, *random_ids(np.random.default_rng(1), 50)]
    np.testing.assert_allclose(run(session, ids), early.predict(model, ids), atol=TOLERANCE)
    np.testing.assert_allclose(
        run(session, ids, more_padding=9), early.predict(model, ids), atol=TOLERANCE
    )


def test_graph_reads_the_task_that_stands_before_the_text(student):
    model, early, session = student
    known, ids = task_ids(model), [row for row in NASTY if row]
    for task, number in known.items():
        told = early.predict(model, ids, [task] * len(ids))
        np.testing.assert_allclose(
            run(session, [[number, *row] for row in ids]), told, atol=TOLERANCE
        )
    assert (early.with_task is not None) == bool(known)


def test_student_is_nearer_to_the_score_than_its_mean(student):
    """The requests are new to both."""
    model, early, _ = student
    ids = random_ids(np.random.default_rng(2), 200)
    score = model.predict(ids).difficulty_score
    assert np.mean((early.predict(model, ids) - score) ** 2) < 0.5 * np.var(score)


def test_saved_student_is_the_same(student, tmp_path):
    model, early, _ = student
    save_early(early, tmp_path / "early.npz")
    found = load_early(tmp_path / "early.npz")
    ids, tasks = random_ids(np.random.default_rng(3), 20), ["easy", None] * 10
    assert found.predict(model, ids, tasks).tolist() == early.predict(model, ids, tasks).tolist()


def test_model_without_ngrams_has_no_student(tmp_path):
    encoder = load_encoder(tmp_path / "encoder")
    data = labelled_tokens()
    model = DifficultyModel([EmbeddingChannel(encoder)], folds=2).fit(
        data, labelled_tokens(100, seed=1)
    )
    with pytest.raises(
        InvalidValueError, match="first channel must be ngrams, for a student to read"
    ):
        fit_early(model, data.ids, None)


@pytest.mark.parametrize("target", ["benefit", "failure"])
@pytest.mark.parametrize("tasks", [False, True], ids=["no tasks", "tasks"])
def test_what_the_ngram_heads_add_is_taken_over_as_it_is(target, tasks):
    """Where a model reads nothing but n-grams there is no rest to guess, so the student gives the
    model's own score.
    """
    model = fit_model(None, target=target, tasks=tasks)
    data = with_tasks(labelled_tokens())
    early = fit_early(model, data.ids, data.tasks)
    ids = random_ids(np.random.default_rng(4), 40)
    told = [None, "easy", "hard", "middle"] * 10 if tasks else None
    np.testing.assert_allclose(
        early.predict(model, ids, told), model.predict(ids, told).difficulty_score, atol=1e-6
    )


def test_student_of_a_tuned_model_is_exported(tmp_path):
    model = tuned_model(
        load_transformer(tmp_path / "encoder"),
        with_tasks(FIT),
        with_tasks(CALIBRATION, seed=1),
        tasks=TASKS,
    )
    early = fit_early(model, with_tasks(FIT).ids, with_tasks(FIT).tasks)
    session = ort.InferenceSession(
        build_early_graph(model, early).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    ids = random_ids(np.random.default_rng(5), 20)
    for task, number in task_ids(model).items():
        told = early.predict(model, ids, [task] * len(ids))
        np.testing.assert_allclose(
            run(session, [[number, *row] for row in ids]), told, atol=TOLERANCE
        )
    np.testing.assert_allclose(run(session, ids), early.predict(model, ids), atol=TOLERANCE)
    assert early.with_task is not None
