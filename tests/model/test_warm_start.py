from dataclasses import replace

import numpy as np
import pytest

from difficulty.metrics import auroc
from difficulty.model.continuing import continued
from tests.fakes import fit_model, labelled_tokens, with_tasks


def failing_where(data, p_fails):
    """Return the requests with other outcomes of the cheap model."""
    rng = np.random.default_rng(8)
    return replace(
        data,
        outcomes=replace(
            data.outcomes, cheap_quality=(rng.random(len(data)) > p_fails).astype(float)
        ),
    )


def another_pair(n, *, seed):
    """Return requests whose cheap model fails half as often as the fakes' one, on the same kinds of
    requests.
    """
    data = labelled_tokens(n, seed=seed)
    return failing_where(data, np.array([np.mean(row) for row in data.ids]) / 400)


def test_warm_start_knows_more_of_a_like_pair_than_the_same_labels_alone():
    start = fit_model(n=1_500)
    fit, calibration, unseen = (
        another_pair(60, seed=11),
        another_pair(40, seed=12),
        another_pair(1_500, seed=13),
    )
    warm = continued(start, target="failure").fit(fit, calibration)
    cold = fit_model(n=60, target="failure")
    cold.fit(fit, calibration)
    failed = unseen.outcomes.cheap_failure
    warm_auroc, cold_auroc = (
        auroc(model.predict(unseen.ids).difficulty_score, failed) for model in (warm, cold)
    )
    assert warm_auroc > cold_auroc + 0.05


def test_warm_start_keeps_what_the_channels_learned_of_the_texts_and_changes_nothing_of_the_start():
    start = fit_model()
    before = start.predict([[5, 6, 7]]).difficulty_score
    warm = continued(start, target="benefit").fit(
        another_pair(100, seed=4), another_pair(60, seed=5)
    )
    assert warm.fitted_["ngrams"].state is start.fitted_["ngrams"].state
    assert (
        warm.fitted_["ngrams"].cheap.coefficients.shape
        == start.fitted_["ngrams"].cheap.coefficients.shape
    )
    assert start.predict([[5, 6, 7]]).difficulty_score == before
    assert warm.predict([[5, 6, 7]]).difficulty_score != pytest.approx(before, abs=1e-3)


def test_warm_start_learns_tasks_that_the_start_did_not_know():
    """Their columns come after the old ones, which keep their places in the exported graph."""
    start = fit_model(tasks=True)
    fit, calibration = (with_tasks(labelled_tokens(200, seed=seed), seed=seed) for seed in (21, 22))
    fit, calibration = (
        replace(data, tasks=["new" if task == "hard" else task for task in data.tasks])
        for data in (fit, calibration)
    )
    warm = continued(start, target="benefit", tasks=["easy", "middle", "new"]).fit(fit, calibration)
    score = warm.predict([[5, 6, 7]] * 3, ["easy", "middle", "new"]).difficulty_score
    assert score[2] > score[1] > score[0]
