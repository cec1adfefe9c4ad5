"""Means over sets: what a method is worth where nobody knows beforehand which traffic will come.

Sets count alike, however many requests they have. In each bootstrap draw every set is drawn again
and the mean taken; sets of the same requests (three pairs of models on the same tool calls) share
their draws, so that luck with the requests counts once. A method that tells the task is, on a set
with one task, the one that reads the text alone; the mean gain of the task is then the same for
all requests, and has what a random order has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.lib.judge import Judged
from benchmarks.lib.protocol import BROKEN, Estimate, FloatArray
from difficulty.metrics import percentile_interval

PLAIN = ("length", "task_mean", "tfidf", "minilm_lr", "knn100", "blend")
"""References that a router has to beat: a few lines of code each."""
_WITHOUT = f"apgr_without_{BROKEN}"
_ENDS = ("oracle", "random")


def means_of(sets: Mapping[str, Judged]) -> list[dict[str, Any]]:
    """Return the means over all sets, over all with the broken subject left out, and over those
    sets that other projects' routers were run on, of all methods that every such set has.
    """
    names = list(sets)
    with_peers = [name for name in names if _peers(sets[name])]
    found = [_means(sets, names, "all sets")]
    if any(_WITHOUT in draws for judged in sets.values() for draws in judged.apgr.values()):
        found.append(_means(sets, names, f"all sets, MMLU without {BROKEN}", without=True))
    if 1 < len(with_peers) < len(names):
        found.append(_means(sets, with_peers, "sets with scores of other projects' routers"))
    return found


def _means(
    sets: Mapping[str, Judged], names: Sequence[str], title: str, *, without: bool = False
) -> dict[str, Any]:
    """Return mean APGR of each method, and that of ours minus each plain reference's."""
    methods = dict.fromkeys(name for one in names for name in sets[one].figures["methods"])
    drawn: dict[str, FloatArray] = {}
    for method in methods:
        # the value itself stands before the draws, so that both are averaged as one
        rows = [_apgr(sets[one], method, without=without) for one in names]
        if all(row is not None for row in rows):
            drawn[method] = np.mean([row for row in rows if row is not None], axis=0)
    known = {
        method: next(
            sets[one].figures["methods"][method]
            for one in names
            if method in sets[one].figures["methods"]
        )
        for method in drawn
    }
    ours = [method for method in drawn if known[method]["kind"] == "ours"]
    others = [method for method in drawn if method not in ours and method not in _ENDS]
    plain = [method for method in PLAIN if method in drawn]
    return {
        "title": title,
        "sets": list(names),
        "methods": {
            method: {key: known[method][key] for key in ("title", "kind")}
            | {"apgr": _estimate(values, len(names))}
            for method, values in drawn.items()
        },
        "best_plain": max(plain, key=lambda method: drawn[method][0]) if plain else None,
        "differences": {
            one: {other: _estimate(drawn[one] - drawn[other], len(names)) for other in others}
            for one in ours
        },
    }


def _apgr(judged: Judged, method: str, *, without: bool) -> FloatArray | None:
    """Return the value and its draws on one set; of a method that was not run nothing."""
    methods = judged.figures["methods"]
    name = method if method in methods else method.removesuffix("_task")
    if name not in methods or "apgr" not in methods[name]:
        return None
    what = _WITHOUT if without and _WITHOUT in methods[name] else "apgr"
    return np.concatenate([[methods[name][what]["value"]], judged.apgr[name][what]])


def _estimate(values: FloatArray, n: int) -> dict[str, Any]:
    return asdict(Estimate(float(values[0]), *percentile_interval(values[1:]), n=n))


def _peers(judged: Judged) -> list[str]:
    methods = judged.figures["methods"]
    return [name for name, one in methods.items() if one["kind"] == "peer" and "apgr" in one]
