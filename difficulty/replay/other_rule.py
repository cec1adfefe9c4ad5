"""Where another threshold sends the requests of a log, by what the log holds.

What a rule decides before the score (easy and hard tasks, unfamiliar requests, a gateway's own
rule, requests that could not be scored) stays where it was. A request that early exit decided has
no score of the full scorer: where another threshold sends it is not known from the log. Nor is it
where the request went on with a session that keeps its model: another threshold would have put that
session on another model before, and the log does not say of all steps whose they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import InvalidValueError
from difficulty.metrics.arrays import FloatArray

BY_SCORE = ("above_threshold", "within_threshold")
"""Reasons of decisions that a threshold moves."""
IN_SESSION = "stick"
"""Reason of those that a session kept, whatever the threshold said."""
EXPLORED = (*BY_SCORE, IN_SESSION, "unfamiliar")
"""Reasons of decisions that exploration may turn."""


def cut_at(
    columns: Mapping[str, NDArray[Any]],
    threshold: float | None,
    task_thresholds: Mapping[str, float] | None = None,
) -> FloatArray:
    """Return 1 where the threshold sends a request to the frontier model, 0 where it keeps it, NaN
    where that is not known; shape (n,).

    Parameters
    ----------
    columns : mapping of str to ndarray of shape (n,)
        ``policy_route``, ``reason``, ``difficulty_score``, ``p_cheap_fails``, ``threshold``,
        ``task``, and ``held_on`` where there are sessions.
    threshold : float or None
        None: requests keep their own.
    task_thresholds : mapping of str to float, optional
        Of single tasks, in place of it.
    """
    tasks = task_thresholds or {}
    for subject, value in {"threshold": threshold, **tasks}.items():
        if value is not None and not 0.0 <= value <= 1.0:
            raise InvalidValueError(
                subject,
                value,
                rule="be a probability in [0, 1]",
                hint="Pass 0.7, not a percentage.",
            )
    named = (columns["policy_route"] == "frontier").astype(np.float64)
    score, own = columns["difficulty_score"], columns["threshold"]
    common = own if threshold is None else np.full(len(own), threshold)
    cut = np.array(
        [tasks.get(task or "", cut) for task, cut in zip(columns["task"], common, strict=True)],
        dtype=np.float64,
    )
    moves = np.isin(columns["reason"].astype(str), (*BY_SCORE, IN_SESSION)) & (cut != own)
    sent = np.where(moves, (score > cut).astype(np.float64), named)
    unscored = np.isnan(score) | np.isnan(columns["p_cheap_fails"])
    return np.where(moves & (unscored | in_session(columns)), np.nan, sent)


def in_session(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Return which requests went on with a session that keeps its model; shape (n,)."""
    if "held_on" not in columns:
        return np.zeros(len(columns["reason"]), dtype=bool)
    return np.array([route is not None for route in columns["held_on"].tolist()], dtype=bool)
