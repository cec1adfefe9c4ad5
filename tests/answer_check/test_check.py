import dataclasses

import numpy as np
import onnxruntime as ort
import pytest

from difficulty.answer_check.answer_graph import build_answer_graph
from difficulty.answer_check.answer_record import record_of
from difficulty.answer_check.check import AnswerCheck
from difficulty.answer_check.saved_check import load_check, save_check
from difficulty.answers.facts import FACTS
from difficulty.errors import RunError, TooFewSamplesError
from difficulty.metrics.ranking import auroc
from difficulty.tokens import pad
from tests.answer_check.answers import VOCABULARY, made_answers


def fitted(data, *, calibration=None, **choices):
    choices = {"target": "benefit", "form": "full"} | choices
    return AnswerCheck(vocabulary_size=VOCABULARY, **choices).fit(data, calibration)


@pytest.fixture(scope="module")
def learned():
    return made_answers(500)


@pytest.fixture(scope="module")
def check(learned):
    return fitted(learned)


def test_check_knows_more_than_the_request(check):
    """On answers that it did not see, and out of fold."""
    new = made_answers(2_000, seed=1)
    scores = check.predict(new.answered)
    request = auroc(new.answered.request[:, 0], new.failure)
    assert auroc(scores.p_answer_fails, new.failure) > request + 0.03
    assert abs(scores.p_answer_fails.mean() - new.failure.mean()) < 0.04


def test_score_sets_the_frontier_model_against_the_answer(check):
    answered = made_answers(50, seed=2).answered
    scores = check.predict(answered)
    expected = (1.0 + scores.p_answer_fails - answered.request[:, 1]) / 2.0
    np.testing.assert_allclose(scores.answer_score, expected)


def test_score_of_target_failure_is_the_probability(learned):
    scores = fitted(learned, target="failure", form="lean").predict(learned.answered)
    np.testing.assert_array_equal(scores.answer_score, scores.p_answer_fails)


def test_out_of_fold_scores_know_no_noise():
    """Facts that say nothing: in fold a check would seem to know a lot."""
    noise = made_answers(300, seed=3, signal=0.0)
    check = fitted(noise)
    request = auroc(noise.answered.request[:, 0], noise.failure)
    assert auroc(check.out_of_fold_.p_answer_fails, noise.failure) < request + 0.02
    assert auroc(check.predict(noise.answered).p_answer_fails, noise.failure) > request


@pytest.mark.parametrize("n", [60, 120])
def test_few_labels_lose_nothing_on_noise(n):
    new = made_answers(3_000, seed=9, signal=0.0)
    request = auroc(new.answered.request[:, 0], new.failure)
    lost = [
        request
        - auroc(
            fitted(made_answers(n, seed=seed, signal=0.0)).predict(new.answered).p_answer_fails,
            new.failure,
        )
        for seed in range(4)
    ]
    assert np.mean(lost) < 0.05


def test_fewer_labels_are_refused():
    with pytest.raises(TooFewSamplesError, match="at least 60 answers .*: got 59"):
        fitted(made_answers(59))


def test_unknown_outcomes_teach_nothing_and_are_scored(learned):
    outcomes = learned.outcomes
    hidden = np.arange(len(learned)) % 3 == 0
    quality = np.where(hidden, np.nan, outcomes.cheap_quality)
    check = fitted(
        dataclasses.replace(learned, outcomes=dataclasses.replace(outcomes, cheap_quality=quality))
    )
    assert np.isfinite(check.out_of_fold_.answer_score).all()
    known = fitted(
        dataclasses.replace(
            learned,
            answered=learned.answered.at(np.flatnonzero(~hidden)),
            outcomes=outcomes[~hidden],
            groups=[one for one, gone in zip(learned.groups, hidden, strict=True) if not gone],
        )
    )
    np.testing.assert_allclose(check.heads_.facts.coefficients, known.heads_.facts.coefficients)


def test_calibration_samples_of_their_own_make_the_level(learned):
    """Half of the failures of the calibration samples are taken away."""
    other = made_answers(400, seed=4)
    quality = np.maximum(other.outcomes.cheap_quality, np.arange(400) % 2)
    outcomes = dataclasses.replace(other.outcomes, cheap_quality=quality)
    check = fitted(learned, calibration=dataclasses.replace(other, outcomes=outcomes))
    mean = check.predict(other.answered).p_answer_fails.mean()
    assert mean == pytest.approx(1.0 - quality.mean(), abs=0.02)


def test_start_says_what_it_said_until_labels_say_more(check):
    new = made_answers(30, seed=5)
    carried = fitted(new, start=check)
    assert carried.heads_ is None
    nobody = fitted(
        new.__class__(
            answered=new.answered.at(np.arange(0)), outcomes=new.outcomes[np.arange(0)], groups=[]
        ),
        start=check,
    )
    expected = check.calibrator_.slope * check.logits(new.answered) + check.calibrator_.intercept
    np.testing.assert_allclose(nobody.logits(new.answered), expected)


def test_start_helps_where_labels_are_few(check):
    few, new = made_answers(80, seed=6), made_answers(3_000, seed=7)
    alone, started = (
        auroc(fitted(few, **kind).predict(new.answered).p_answer_fails, new.failure)
        for kind in ({}, {"start": check})
    )
    assert started > alone + 0.02


@pytest.mark.parametrize("form", ["full", "lean"])
@pytest.mark.parametrize("target", ["benefit", "failure"])
@pytest.mark.parametrize("started", [False, True])
def test_graph_says_the_same(learned, check, form, target, started):
    """With unknown facts, unknown probabilities, answers without a token, and pieces."""
    check = fitted(
        made_answers(1_200, seed=8), form=form, target=target, start=check if started else None
    )
    assert len(check.calibrator_.knots) > 2
    answered = made_answers(300, seed=10).answered
    answered.request[::5] = np.nan
    answered.facts[::7, 3] = np.nan
    answered.facts[::11] = np.nan
    answered = dataclasses.replace(
        answered, ids=[[] if row % 13 == 0 else ids for row, ids in enumerate(answered.ids)]
    )
    session = ort.InferenceSession(build_answer_graph(check).SerializeToString())
    ids, mask = pad(answered.ids)
    request, request_mask = pad([[1, 2, 3]] * len(answered))
    found = session.run(
        ["p_answer_fails", "answer_score"],
        {
            "input_ids": request,
            "attention_mask": request_mask,
            "answer_ids": ids,
            "answer_mask": mask,
            "features": answered.features,
        },
    )
    expected = check.predict(answered)
    np.testing.assert_allclose(found[0], expected.p_answer_fails, atol=1e-5)
    np.testing.assert_allclose(found[1], expected.answer_score, atol=1e-5)


def test_check_is_read_again_as_it_was(check, tmp_path):
    started = fitted(made_answers(70, seed=11), start=check, form="lean")
    save_check(started, tmp_path)
    answered = made_answers(40, seed=12).answered
    again = load_check(tmp_path)
    np.testing.assert_array_equal(
        again.predict(answered).answer_score, started.predict(answered).answer_score
    )
    assert (again.form, again.start.form) == ("lean", "full")


def test_folder_without_a_check_has_none(tmp_path):
    assert load_check(tmp_path) is None


def test_check_on_other_facts_is_refused(check, tmp_path):
    save_check(check, tmp_path)
    path = tmp_path / "answer_check.json"
    path.write_text(path.read_text().replace(FACTS[3], "another"))
    with pytest.raises(RunError, match="Train again"):
        load_check(tmp_path)


def test_damaged_check_is_refused(check, tmp_path):
    save_check(check, tmp_path)
    (tmp_path / "answer_check.npz").write_bytes(b"nothing")
    with pytest.raises(RunError, match="Train again"):
        load_check(tmp_path)


def test_record_says_how_far_it_can_be_believed(learned, check):
    record = record_of(check, learned)
    assert (record.answers, record.labels, record.started) == (500, 500, False)
    assert 0.1 < record.skill < 0.6
    assert record.slope == pytest.approx(1.0, abs=0.35)
    by_name = {fact.name: fact for fact in record.facts}
    never, sometimes, always = (by_name[FACTS[place]] for place in (2, 1, 3))
    assert (never.known, never.mean, never.high) == (0.0, None, None)
    assert sometimes.known == pytest.approx(0.7, abs=0.06)
    assert always.low < -1.5 < 1.5 < always.high
    assert always.weight > abs(sometimes.weight)


def test_same_answers_give_the_same_check(learned, check):
    again = fitted(learned)
    np.testing.assert_array_equal(
        again.predict(learned.answered).answer_score, check.predict(learned.answered).answer_score
    )
