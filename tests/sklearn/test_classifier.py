"""The classifier where scikit-learn takes an estimator."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.metrics import brier_score_loss
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import (
    check_estimator,
    check_estimator_cloneable,
    check_estimator_repr,
    check_estimator_tags_renamed,
    check_get_params_invariance,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
    check_valid_tag_types,
)

import difficulty
from difficulty.encoders.base import StaticEncoder
from difficulty.errors import InvalidValueError, TooFewSamplesError, UnknownNameError
from difficulty.sklearn import DifficultyClassifier, near_groups
from tests.journey import sample_rows


@pytest.fixture(scope="module")
def small(journey):
    """What trains in a tenth of a second."""
    recipe = {"folds": 2, "features": {"encoder": "own", "ngrams": {"buckets": 256}}}
    return {"recipe": recipe, "encoder": StaticEncoder.load(journey.encoder)}


@pytest.fixture(scope="module")
def samples():
    """Texts, and whether the cheap model failed them: the longer, the more often."""
    texts = [row["messages"][-1]["content"] for row in sample_rows(400)]
    lengths = np.array([len(text) for text in texts])
    noise = np.random.default_rng(0).random(len(texts))
    return texts, np.where(noise < 0.15, noise < 0.075, lengths > np.median(lengths))


@pytest.fixture(scope="module")
def fitted(small, samples):
    texts, failed = samples
    return DifficultyClassifier(**small).fit(texts[:300], failed[:300])


def test_classifier_tells_which_texts_fail(fitted, samples):
    texts, failed = (part[300:] for part in samples)
    fails = fitted.predict_proba(texts)
    assert fails.shape == (100, 2)
    assert fails.sum(axis=1) == pytest.approx(np.ones(100))
    assert fitted.score(texts, failed) > 0.7
    assert np.array_equal(fitted.predict(texts), fails[:, 1] > 0.5)


def test_classes_keep_their_names(small, samples):
    texts, failed = samples
    named = np.where(failed, "hard", "easy")
    classifier = DifficultyClassifier(**small, threshold=0.9).fit(texts, named)
    assert classifier.classes_.tolist() == ["easy", "hard"]
    fails = classifier.predict_proba(texts[:9])[:, 1]
    assert classifier.predict(texts[:9]).tolist() == np.where(fails > 0.9, "hard", "easy").tolist()


def test_the_same_data_make_the_same_model(fitted, small, samples):
    texts, failed = samples
    again = clone(fitted).fit(texts[:300], failed[:300])
    assert np.array_equal(again.predict_proba(texts), fitted.predict_proba(texts))
    other = DifficultyClassifier(**small, random_state=7).fit(texts[:300], failed[:300])
    assert not np.array_equal(other.predict_proba(texts), fitted.predict_proba(texts))


def test_messages_count_as_their_texts(fitted):
    messages = [{"role": "user", "content": "Plan the move."}]
    ours = fitted.predict_proba([messages, "Plan the move."])
    assert ours[0] == pytest.approx(ours[1])


def test_classifier_is_cross_validated_with_groups(small, samples):
    texts, failed = samples
    folds = GroupKFold(2)
    fails = cross_val_predict(
        DifficultyClassifier(**small),
        texts,
        failed,
        cv=folds,
        groups=near_groups(texts),
        method="predict_proba",
    )
    assert fails.shape == (400, 2)
    assert brier_score_loss(failed, fails[:, 1]) < 0.25


def test_classifier_is_searched_inside_a_pipeline(small, samples):
    texts, failed = samples
    steps = [
        ("trim", FunctionTransformer(lambda each: [text[:200] for text in each])),
        ("score", DifficultyClassifier(**small)),
    ]
    grid = {"score__recipe": [small["recipe"], {**small["recipe"], "calibration": "split"}]}
    search = GridSearchCV(Pipeline(steps), grid, cv=2, scoring="neg_brier_score")
    search.fit(texts[:200], failed[:200])
    assert search.best_score_ > -0.25
    assert search.predict(texts[:3]).dtype == bool


def test_weights_and_groups_are_learned_by(small, samples, fitted):
    texts, failed = (part[:300] for part in samples)
    weighted = DifficultyClassifier(**small).fit(
        texts, failed, sample_weight=np.where(failed, 5.0, 1.0), groups=np.arange(300) // 3
    )
    more, less = (each.predict_proba(texts)[:, 1].mean() for each in (weighted, fitted))
    assert more > less


def test_classifier_survives_a_pickle(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    assert again.predict_proba(["text"]) == pytest.approx(fitted.predict_proba(["text"]))


@pytest.mark.parametrize(
    "check",
    [
        check_estimator_cloneable,
        check_estimator_tags_renamed,
        check_valid_tag_types,
        check_estimator_repr,
        check_no_attributes_set_in_init,
        check_parameters_default_constructible,
        check_get_params_invariance,
        check_set_params,
    ],
)
def test_checks_of_scikit_learn_that_take_texts(check):
    check("DifficultyClassifier", DifficultyClassifier())


def test_checks_of_scikit_learn_pass_over_arrays():
    """Its other checks send numbers; the tags say that texts are wanted."""
    with pytest.warns(SkipTestWarning, match="requires input"):
        check_estimator(DifficultyClassifier())


def test_nearly_equal_texts_are_one_group():
    texts = [
        "Write a letter to our landlord about the broken heating in the office on the third floor.",
        "Reply in one sentence: what is a purchase order?",
        "write a letter to our landlord about the broken heating in the office on the third floor",
        "Reply in one sentence: what is a purchase order?",
    ]
    assert near_groups(texts).tolist() == [0, 1, 0, 1]
    assert near_groups(texts, groups=["a", "a", "b", "c"]).tolist() == [0, 0, 0, 0]


def test_errors_say_what_is_wrong(small, samples, fitted):
    texts, failed = samples
    classifier = DifficultyClassifier(**small)
    with pytest.raises(NotFittedError):
        classifier.predict(["text"])
    with pytest.raises(InvalidValueError, match="y must hold two classes"):
        classifier.fit(texts, np.zeros(len(texts)))
    with pytest.raises(InvalidValueError, match="must have one entry for each of the 3 texts"):
        classifier.fit(texts[:3], [True, False])
    with pytest.raises(TooFewSamplesError, match="training needs"):
        classifier.fit(texts[:20], failed[:20])
    with pytest.raises(InvalidValueError, match="X must be a list of texts"):
        fitted.predict_proba("one text")
    with pytest.raises(InvalidValueError, match="a text must be a string or a list of messages"):
        fitted.predict_proba([3])
    with pytest.raises(InvalidValueError, match="tasks must have one entry"):
        fitted.predict_proba(["a", "b"], tasks=["x"])
    with pytest.raises((UnknownNameError, ValueError), match="unknown recipe 'fats'"):
        DifficultyClassifier(recipe="fats").fit(texts, failed)


def test_estimator_is_public():
    assert difficulty.sklearn.DifficultyClassifier is DifficultyClassifier
