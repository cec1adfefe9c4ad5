"""How far each probability is off, with what says whether chance explains it: figures that are not
made by drawing groups, because a draw adds chance of its own.
"""

from __future__ import annotations

import numpy as np

from difficulty.evaluation.parts import N_BINS, codes_at, known_rows, suffix_of
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.metrics.bootstrap import GroupDraws
from difficulty.metrics.intervals import LEAST_EVENTS
from difficulty.metrics.probability import expected_calibration_error
from difficulty.metrics.recalibration import chance_of, debiased_error, recalibration
from difficulty.records import Estimate

_NO_SLOPE = (
    f"fewer than {LEAST_EVENTS} requests failed, or did not, or the probabilities hardly differ"
)


def reliability(scored: ScoredTraffic, rows: np.ndarray, draws: GroupDraws) -> dict[str, Estimate]:
    """Return the figures of each probability of which an outcome is known.

    ``ece`` and ``calibration_error`` have no interval: near 0 none would hold the truth.
    """
    figures: dict[str, Estimate] = {}
    for name, (_, failure) in scored.failures.items():
        picked = known_rows(rows, failure)
        if len(picked):
            figures |= _figures(scored, name, picked, codes_at(draws, picked))
    return figures


def _figures(
    scored: ScoredTraffic, name: str, rows: np.ndarray, codes: np.ndarray | None
) -> dict[str, Estimate]:
    probability, failure = (column[rows] for column in scored.failures[name])
    weight, n, suffix = scored.outcomes.weight[rows], len(rows), suffix_of(name)
    if codes is not None:
        codes = np.unique(codes, return_inverse=True)[1]
    grouped = {"weight": weight, "codes": codes}
    found = recalibration(probability, failure, **grouped)
    plain = {
        "ece": expected_calibration_error(probability, failure, n_bins=N_BINS, weight=weight),
        "calibration_error": debiased_error(probability, failure, n_bins=N_BINS, **grouped),
        "calibration_p": chance_of(probability, failure, **grouped),
    }
    figures = {f"{key}{suffix}": Estimate(value=value, n=n) for key, value in plain.items()}
    for key in ("slope", "intercept"):
        end = None if found is None else getattr(found, key)
        figures[f"calibration_{key}{suffix}"] = (
            Estimate(value=None, n=n, note=_NO_SLOPE)
            if end is None
            else Estimate(value=end.value, low=end.low, high=end.high, n=n)
        )
    return figures
