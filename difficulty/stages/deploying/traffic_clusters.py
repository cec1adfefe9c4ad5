"""Kinds of the training traffic, for ``kinds.json``: clusters of requests by their words, with what
came of them.

Requests are clustered by the vectors by which routers find the nearest kind
(:mod:`difficulty.bundle.traffic_kinds`), so that a kind's figures are those of just the requests
that it would be named for. Outcomes play no part in it, so their means are as unbiased as those of
any slice.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from difficulty.bundle.traffic_kinds import (
    DIM,
    KINDS_FORMAT,
    LEAST_GROUPS,
    KindFigure,
    TrafficKind,
    TrafficKinds,
    packed,
    standard,
    word_vectors,
)
from difficulty.channels.neighbours import unit_centres
from difficulty.metrics.bootstrap import group_codes
from difficulty.metrics.intervals import share_interval, support_of
from difficulty.traffic.outcomes import Outcomes

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

MOST_CLUSTERS = 24
"""What a person can look through, and 33 kB of a bundle."""
_MOST_REQUESTS = 20_000
_MOST_TASKS = 3
_LEAST_SHARE = 0.05
"""Of a kind's requests, for a task to be named."""
_LEAST_SPREAD = 0.05
_CLOSE = 0.05


def cluster_traffic(
    ids: Sequence[Sequence[int]],
    *,
    scripts: Sequence[str | None],
    tasks: Sequence[str | None],
    groups: Sequence[str],
    outcomes: Outcomes,
    seed: int = 0,
) -> TrafficKinds | None:
    """Return the kinds of some requests; ``None`` where they have fewer than 20 groups.

    Parameters
    ----------
    ids : sequence of sequences of int, length n
        Token ids of the texts, without a task's.
    scripts, tasks, groups : sequences, length n
        The script of each text, its task and its group.
    outcomes : Outcomes
        Of the n requests.
    seed : int
        Of the clustering.
    """
    if len({*groups}) < LEAST_GROUPS:
        return None
    codes = group_codes(groups)
    raw = word_vectors(ids)
    mean, spread = scale_of(raw)
    vectors = standard(raw, mean, spread)
    centres = unit_centres(vectors, most=MOST_CLUSTERS, seed=seed)
    centres, nearest = _large_enough(vectors, centres.astype(np.float16).astype(float), codes)
    lengths = np.asarray([len(row) for row in ids], dtype=np.float64)
    closeness = (vectors * centres[nearest]).sum(axis=1)
    kinds = []
    for place in range(len(centres)):
        rows = np.flatnonzero(nearest == place)
        kinds.append(
            TrafficKind(
                n=len(rows),
                groups=len(np.unique(codes[rows])),
                share=len(rows) / len(ids),
                tasks=_common_tasks([tasks[row] for row in rows.tolist()]),
                script=_commonest([scripts[row] for row in rows.tolist()]),
                tokens=tuple(np.quantile(lengths[rows], (0.1, 0.5, 0.9)).round(1).tolist()),
                closeness=round(float(np.quantile(closeness[rows], _CLOSE)), 4),
                **_figures(outcomes[rows], codes[rows]),
            )
        )
    return TrafficKinds(
        format=KINDS_FORMAT,
        n=len(ids),
        dim=DIM,
        mean=packed(mean, "<f4"),
        spread=packed(spread, "<f4"),
        centres=packed(centres, "<f2"),
        kinds=tuple(kinds),
    )


def clustered_rows(n: int, *, seed: int = 0) -> IntArray:
    """Return which of n requests are clustered: at most 20,000, as more would make the same
    kinds.
    """
    if n <= _MOST_REQUESTS:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, _MOST_REQUESTS, replace=False))


def scale_of(raw: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and spread of hashed counts, each of shape (DIM,), as routers read them."""
    spread = np.sqrt(np.maximum(raw.std(axis=0), _LEAST_SPREAD))
    mean, spread = (
        each.astype(np.float32).astype(np.float64) for each in (raw.mean(axis=0), spread)
    )
    return mean, spread


def _large_enough(
    vectors: FloatArray, centres: FloatArray, codes: IntArray
) -> tuple[FloatArray, IntArray]:
    """Return the centres that enough groups are nearest to, and the nearest of each request: the
    one with the fewest groups is given up, and its requests go to others, until all have enough.
    """
    while True:
        nearest = np.argmax(vectors @ centres.T, axis=1)
        sizes = np.array([len(np.unique(codes[nearest == place])) for place in range(len(centres))])
        if sizes.min() >= LEAST_GROUPS or len(centres) == 1:
            return centres, nearest
        centres = np.delete(centres, int(np.argmin(sizes)), axis=0)


def _common_tasks(tasks: Sequence[str | None]) -> dict[str, float]:
    """Return the most frequent tasks with their shares, of those that are no single request's."""
    counts = Counter(task for task in tasks if task is not None)
    return {
        task: count / len(tasks)
        for task, count in counts.most_common(_MOST_TASKS)
        if count >= LEAST_GROUPS and count >= _LEAST_SHARE * len(tasks)
    }


def _commonest(scripts: Sequence[str | None]) -> str | None:
    script, count = Counter(scripts).most_common(1)[0]
    return script if 2 * count >= len(scripts) else None


def _figures(outcomes: Outcomes, codes: IntArray) -> dict[str, KindFigure | None]:
    # A gain lies in [-1, 1]; as a win rate it is a share, which has an exact interval.
    graded = outcomes.graded()
    wins = _figure((1.0 + outcomes.gain) / 2.0, outcomes.weight, codes)
    gain = wins and replace(
        wins,
        value=_rounded(2.0 * wins.value - 1.0),
        low=None if wins.low is None else _rounded(2.0 * wins.low - 1.0),
        high=None if wins.high is None else _rounded(2.0 * wins.high - 1.0),
    )
    cheap = _figure(graded.cheap_quality, outcomes.weight, codes)
    frontier = _figure(graded.frontier_quality, outcomes.weight, codes)
    return {"cheap_quality": cheap, "frontier_quality": frontier, "gain": gain}


def _figure(values: FloatArray, weight: FloatArray, codes: IntArray) -> KindFigure | None:
    """Return the mean of what is known; ``None`` where fewer groups than a kind needs are."""
    rows = np.flatnonzero(np.isfinite(values) & (weight > 0))
    if len(np.unique(codes[rows])) < LEAST_GROUPS:
        return None
    values, weight, codes = values[rows], weight[rows], group_codes(codes[rows])
    mean = float(np.average(values, weights=weight))
    support = support_of(weight, weight * (values - mean), codes)
    low, high = (None, None)
    if support is not None:
        is_whole = bool(np.isin(values, (0.0, 1.0)).all())
        ends = share_interval(mean, replace(support, unit=1.0, whole=is_whole))
        low, high = (_rounded(end) for end in ends)
    return KindFigure(value=_rounded(mean), low=low, high=high, n=len(rows))


def _rounded(value: float) -> float:
    return round(float(value), 4)


def kinds_bytes(kinds: TrafficKinds) -> bytes:
    """Return the content of ``kinds.json``."""
    return (json.dumps(kinds.as_dict(), separators=(",", ":")) + "\n").encode("ascii")
