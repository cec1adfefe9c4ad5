from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from difficulty.channels.embedding import EmbeddingChannel
from difficulty.channels.heads import LinearHead
from difficulty.channels.ngrams import NgramChannel
from difficulty.channels.task_columns import TaskChannel
from difficulty.errors import InvalidValueError, TooFewSamplesError
from difficulty.metrics import auroc
from difficulty.model.combination import Combination, GainWeights, OutcomeStack
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.fitted_channel import FittedChannel
from difficulty.model.labelled import LabelledTokens
from tests.fakes import (
    UNKNOWN,
    VOCABULARY,
    CountChannel,
    fit_model,
    labelled_tokens,
    load_encoder,
    random_ids,
    with_tasks,
)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return load_encoder(tmp_path_factory.mktemp("encoder"))


def with_outcomes(data, **changes):
    return replace(data, outcomes=replace(data.outcomes, **changes))


def by_hand(target="benefit"):
    """A model without fitting: the cheap model fails with logit(0.2) + tokens - 1, the frontier
    model with 0.1.
    """
    model = DifficultyModel([CountChannel()], target=target)
    cheap, frontier = (
        LinearHead(np.array([1.0]), logit(0.2) - 1.0),
        LinearHead(np.array([0.0]), logit(0.1)),
    )
    same = LinearHead(np.array([1.0]), 0.0)
    model.fitted_ = {"count": FittedChannel(None, cheap, frontier)}
    gain = GainWeights(np.array([1.5]), 0.05) if target == "benefit" else None
    model.without_task_ = Combination(
        cheap=OutcomeStack(same), frontier=OutcomeStack(same), gain=gain
    )
    model.familiarity_ = None
    return model


def test_score_of_benefit_by_hand():
    """P(cheap fails) 0.2 and P(frontier fails) 0.1 make a gain of 1.5 * 0.1 + 0.05 = 0.2, and the
    score sigmoid(2 * 0.2).
    """
    scores = by_hand().predict([[5]])
    assert scores.p_cheap_fails == pytest.approx([0.2])
    assert scores.p_frontier_fails == pytest.approx([0.1])
    assert scores.difficulty_score == pytest.approx([expit(0.4)])


def test_score_of_failure_by_hand():
    scores = by_hand("failure").predict([[5], [5, 5]])
    assert scores.difficulty_score == pytest.approx([0.2, expit(logit(0.2) + 1)])
    assert scores.p_cheap_fails.tolist() == scores.difficulty_score.tolist()


@pytest.mark.parametrize("target", ["benefit", "failure"])
def test_fitted_model_ranks_requests_it_has_not_seen(encoder, target):
    model = fit_model(encoder, target=target)
    fresh = labelled_tokens(1_000, seed=5)
    scores = model.predict(fresh.ids)
    best = auroc([np.mean(row) for row in fresh.ids], fresh.outcomes.cheap_failure)
    assert auroc(scores.p_cheap_fails, fresh.outcomes.cheap_failure) > 0.5 + 0.6 * (best - 0.5)
    assert auroc(scores.difficulty_score, fresh.outcomes.cheap_failure) > 0.5 + 0.6 * (best - 0.5)
    assert scores.p_cheap_fails.mean() == pytest.approx(
        fresh.outcomes.cheap_failure.mean(), abs=0.05
    )
    assert scores.p_frontier_fails.mean() == pytest.approx(0.1, abs=0.05)


def test_expected_score_of_benefit_is_half_of_one_plus_the_gain(encoder):
    """The score is a win rate with ties half, so its mean on fresh traffic is that of (1 + gain) /
    2.
    """
    fresh = labelled_tokens(1_000, seed=5)
    score = fit_model(encoder, n=600, n_calibration=600).predict(fresh.ids).difficulty_score
    assert score.mean() == pytest.approx((1 + fresh.outcomes.gain.mean()) / 2, abs=0.03)


def test_same_seed_gives_the_same_model(encoder):
    ids = random_ids(np.random.default_rng(0), 20)
    one, other = fit_model(encoder).predict(ids), fit_model(encoder).predict(ids)
    assert one.difficulty_score.tolist() == other.difficulty_score.tolist()


def test_score_of_a_request_does_not_depend_on_its_neighbours(encoder):
    model, ids = fit_model(encoder), random_ids(np.random.default_rng(0), 20)
    together = model.predict(ids).difficulty_score
    assert together == pytest.approx([model.predict([row]).difficulty_score[0] for row in ids])


@pytest.mark.parametrize("target", ["benefit", "failure"])
def test_request_without_tokens_has_a_score(encoder, target):
    score = fit_model(encoder, target=target).predict([[], [7]]).difficulty_score
    assert np.all((score > 0) & (score < 1))


def test_no_request_gives_no_score(encoder):
    assert fit_model(encoder).predict([]).difficulty_score.shape == (0,)


def test_unknown_frontier_outcomes_leave_that_output_out(encoder):
    scores = fit_model(encoder, target="failure", frontier=False).predict([[1, 2]])
    assert scores.p_frontier_fails is None
    assert scores.difficulty_score.tolist() == scores.p_cheap_fails.tolist()


def test_unknown_outcomes_are_not_failures(encoder):
    """Requests with nothing known of the cheap model change nothing in its head."""
    data = labelled_tokens(300)
    known = np.arange(300) % 3 > 0
    masked = with_outcomes(
        data, cheap_quality=np.where(known, data.outcomes.cheap_quality, UNKNOWN)
    )
    heads = [
        DifficultyModel([EmbeddingChannel(encoder)])
        .fit(one, labelled_tokens(50, seed=1))
        .fitted_["embedding"]
        .cheap
        for one in (masked, data[np.flatnonzero(known)])
    ]
    assert heads[0].coefficients == pytest.approx(heads[1].coefficients, rel=1e-3, abs=1e-6)
    assert heads[0].intercept == pytest.approx(heads[1].intercept, rel=1e-3)


def test_votes_alone_teach_the_gain():
    """Where nothing but a preference is known of the frontier model, the score still follows it."""
    data, calibration = (
        with_outcomes(
            one,
            frontier_quality=np.full(len(one), UNKNOWN),
            preferred_gain=2.0 * one.outcomes.cheap_failure - 1.0,
        )
        for one in (labelled_tokens(600), labelled_tokens(600, seed=1))
    )
    scores = (
        DifficultyModel([NgramChannel(len(VOCABULARY), buckets=512)])
        .fit(data, calibration)
        .predict(calibration.ids)
    )
    assert scores.p_frontier_fails is None
    assert auroc(scores.difficulty_score, calibration.outcomes.cheap_failure) > 0.55
    assert scores.difficulty_score.mean() == pytest.approx(
        (1 + calibration.outcomes.gain.mean()) / 2, abs=0.05
    )


@pytest.mark.parametrize("quality", [0.0, 1.0])
def test_one_class_of_outcome_gives_one_sure_probability(encoder, quality):
    data = with_outcomes(labelled_tokens(200), cheap_quality=np.full(200, quality))
    p_fails = (
        DifficultyModel([EmbeddingChannel(encoder)], target="failure")
        .fit(data, data)
        .predict([[1], [2, 3]])
        .p_cheap_fails
    )
    assert p_fails == pytest.approx([1 - quality, 1 - quality], abs=0.02)


def test_model_without_known_outcomes_is_refused(encoder):
    nothing = with_outcomes(labelled_tokens(50), cheap_quality=np.full(50, UNKNOWN))
    with pytest.raises(TooFewSamplesError, match="a head needs outcomes"):
        DifficultyModel([EmbeddingChannel(encoder)]).fit(nothing, nothing)


def test_labelled_tokens_need_one_outcome_and_group_a_request():
    data = labelled_tokens(4)
    with pytest.raises(InvalidValueError, match="as many ids as outcomes and groups"):
        LabelledTokens(ids=data.ids[:3], outcomes=data.outcomes, groups=data.groups)


def test_labelled_tokens_pick_rows_of_everything():
    picked = labelled_tokens(4)[np.array([3, 0])]
    whole = labelled_tokens(4)
    assert picked.ids == [whole.ids[3], whole.ids[0]]
    assert picked.groups == ["g1", "g0"]
    assert picked.outcomes.cheap_quality.tolist() == whole.outcomes.cheap_quality[[3, 0]].tolist()


def test_known_task_helps_where_it_says_what_the_text_does_not():
    """Failures depend on the task alone, and the text is noise: only the score with the task can
    rank them.
    """
    model, fresh = fit_model(tasks=True), with_tasks(labelled_tokens(1_000, seed=5))
    with_task, without_task = model.predict(fresh.ids, fresh.tasks), model.predict(fresh.ids)
    assert auroc(with_task.difficulty_score, fresh.outcomes.cheap_failure) > 0.7
    assert auroc(without_task.difficulty_score, fresh.outcomes.cheap_failure) < 0.65


def test_score_never_needs_the_task():
    """Without a task, and with one it does not know, the model is the one that never saw tasks."""
    ids = random_ids(np.random.default_rng(0), 20)
    model, never = fit_model(tasks=True), fit_model(tasks=True, channel=False)
    expected = never.predict(ids).difficulty_score.tolist()
    assert model.predict(ids).difficulty_score.tolist() == expected
    assert model.predict(ids, [None] * 20).difficulty_score.tolist() == expected
    assert model.predict(ids, ["a new task"] * 20).difficulty_score.tolist() == expected
    assert model.predict(ids, ["hard"] * 20).difficulty_score.tolist() != expected


def test_too_few_known_tasks_leave_the_score_with_a_task_out():
    data = labelled_tokens()
    few = replace(data, tasks=["hard"] * 10 + [None] * (len(data) - 10))
    ngrams = NgramChannel(len(VOCABULARY), buckets=64)
    model = DifficultyModel([ngrams], task_channels=[TaskChannel(ngrams, ["hard"])]).fit(few, few)
    assert model.with_task_ is None
    ids = random_ids(np.random.default_rng(0), 5)
    assert (
        model.predict(ids, ["hard"] * 5).difficulty_score.tolist()
        == model.predict(ids).difficulty_score.tolist()
    )


def test_out_of_fold_scores_are_those_of_heads_that_did_not_see_the_fold():
    """Of labels that are pure chance the heads learn each sample by heart; the scores of the fit
    samples must not show it.
    """
    data, calibration = labelled_tokens(400), labelled_tokens(200, seed=1)
    chance = np.random.default_rng(5).permutation(len(data))
    shuffled = replace(data, outcomes=data.outcomes[chance])
    model = DifficultyModel(
        [NgramChannel(len(VOCABULARY), buckets=512, strength=10.0)], rng=np.random.default_rng(7)
    )
    model.fit(shuffled, calibration)
    failed = shuffled.outcomes.cheap_failure > 0.5
    by_heart, honest = (
        model.predict(data.ids).p_cheap_fails,
        model.out_of_fold_.scores.p_cheap_fails,
    )
    assert auroc(by_heart, failed) > 0.9
    assert abs(auroc(honest, failed) - 0.5) < 0.1


def test_out_of_fold_scores_know_the_task_and_keep_groups_in_one_fold():
    model = fit_model(tasks=True)
    data = with_tasks(labelled_tokens(300), seed=2)
    means = [
        model.out_of_fold_.scores.p_cheap_fails[[task == name for task in data.tasks]].mean()
        for name in ("easy", "middle", "hard")
    ]
    assert means == sorted(means)
    assert means[2] - means[0] > 0.3
    folds = {group: set() for group in data.groups}
    for group, fold in zip(data.groups, model.out_of_fold_.fold.tolist(), strict=True):
        folds[group].add(fold)
    assert {len(found) for found in folds.values()} == {1}


def test_score_where_the_task_is_known_is_half_way_between_both():
    """Of the gain, before it is calibrated; the calibrator is monotone, so the order is that of the
    mean.
    """
    model, fresh = fit_model(tasks=True), with_tasks(labelled_tokens(200, seed=5))
    logits = model._logits(
        [channel.prepare(fresh.ids, fresh.tasks) for channel in model.all_channels]
    )
    n = len(model.channels)
    without_task = model.without_task_.gain(logits[slice(None), list(range(n))].differences)
    beside_task = model.beside_task_.gain(logits[slice(None), model._beside_task].differences)
    known = model.tasks.known(fresh.tasks, len(fresh))
    score, without_task, beside_task = (
        model.predict(fresh.ids, fresh.tasks).difficulty_score[known],
        without_task[known],
        beside_task[known],
    )
    assert known.sum() > 100
    assert np.argsort(score).tolist() == np.argsort((without_task + beside_task) / 2).tolist()
    assert np.argsort(score).tolist() != np.argsort(beside_task).tolist()
