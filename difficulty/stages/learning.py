"""How much more labels would be worth: the learning curve of a fitted model, from parts of its fit
samples.
"""

from __future__ import annotations

import numpy as np

from difficulty.diagnostics.learning_curve import HeldOut, LearningCurve, learning_curve, parts_of
from difficulty.model.combination import Target
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.labelled import LabelledTokens

CURVE_DRAWS = 500


def measured_curve(
    model: DifficultyModel,
    fit: LabelledTokens,
    held_out: LabelledTokens,
    *,
    labels: int,
    seed: int,
    n_draws: int = CURVE_DRAWS,
) -> LearningCurve:
    """Return the learning curve of a fitted model; it takes about half as long as fitting did.

    Parameters
    ----------
    model : DifficultyModel
        Fitted on ``fit``.
    fit, held_out : LabelledTokens
        What its heads were fitted on, and requests that they did not see. Calibration requests may
        be among them: calibration does not change the order of requests.
    labels : int
        Labelled requests in all.
    seed, n_draws : int
        Of the parts and the bootstrap.
    """
    parts = parts_of(fit.groups, rng=np.random.default_rng(seed))
    of_parts = model.scores_of_parts(
        [rows for of_size in parts for rows in of_size], fit, held_out.ids, held_out.tasks
    )
    scores = [[next(of_parts) for _ in of_size] for of_size in parts]
    scores.append([model.predict(held_out.ids, held_out.tasks).difficulty_score])
    sizes = [round(np.mean([len(rows) for rows in of_size])) for of_size in parts] + [len(fit)]
    judged = held_out_of(held_out, target=model.target)
    return learning_curve(
        sizes, scores, judged, labels=labels, rng=np.random.default_rng(seed), n_draws=n_draws
    )


def held_out_of(data: LabelledTokens, *, target: Target) -> HeldOut:
    """Return what scores of labelled requests are judged by: APGR for the target ``benefit``, the
    AUROC of failures for ``failure``.
    """
    outcomes, groups = data.outcomes, np.asarray(data.groups)
    if target == "benefit":
        return HeldOut(figure="apgr", outcome=outcomes.gain, weight=outcomes.weight, groups=groups)
    failure = outcomes.cheap_failure
    failed = np.where(np.isnan(failure), np.nan, (failure > 0.5).astype(np.float64))
    return HeldOut(figure="auroc", outcome=failed, weight=outcomes.weight, groups=groups)
