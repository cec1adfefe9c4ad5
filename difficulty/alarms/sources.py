"""What is read of requests, and how: a source is a row of ``SOURCES``.

A source takes columns of decisions to values of which daily sums are kept. Where values can be any
number, the columns of the sums are the shares of requests above fixed cuts, fine enough that the
deciles of any traffic are near some of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.metrics.arrays import FloatArray
from difficulty.traffic.outcomes import measures_form

Decisions = Mapping[str, NDArray[Any]]
"""Columns of n decisions by name: floats with NaN for unknown, words as objects with None."""

SHARES = np.arange(1, 64) / 64
COUNTS = np.power(2.0, np.arange(0, 41) / 2)
DOLLARS = np.power(10.0, np.arange(-42, 13) / 6)
BANDS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of a stated probability, inside which it is held against outcomes."""
LARGEST_WEIGHT = 4.0
"""Of 1 / propensity; the rule's own route has at most 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuts:
    """Numbers of which the shares above ``cuts`` are kept."""

    needs: tuple[str, ...]
    cuts: FloatArray
    unit: str = ""

    def read(self, decisions: Decisions) -> FloatArray:
        """Return the numbers, of shape (n,)."""
        return np.asarray(decisions[self.needs[0]], dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Words of which the shares are kept."""

    needs: tuple[str, ...]
    read: Callable[[Decisions], NDArray[np.object_]]
    """Returns the words, of shape (n,); ``None`` where the request says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """Numbers in [0, 1] that are averaged."""

    needs: tuple[str, ...]
    columns: tuple[str, ...]
    read: Callable[[Decisions], FloatArray]
    """Returns shape (n, K); a row is unknown where its first column is NaN."""


Source = Cuts | Words | Values


def _word(name: str, *, absent: str | None = None) -> Words:
    def read(decisions: Decisions) -> NDArray[np.object_]:
        words = np.asarray(decisions[name], dtype=object)
        said = _is_said(words)
        # Where nobody ever says it, it is not known, which is not a word.
        return _where(said, words, absent if said.any() else None)

    return Words(needs=(name,), read=read)


def _refused(decisions: Decisions) -> NDArray[np.object_]:
    """Return which validator refused each cheap answer; "passed" where none did."""
    passed = np.asarray(decisions["cheap_passed"], dtype=np.float64)
    names = decisions.get("failed_validator")
    refused = np.full(len(passed), "refused", dtype=object)
    if names is not None:
        names = np.asarray(names, dtype=object)
        said = _is_said(names)
        refused[said] = "refused by " + names[said]
    refused[passed == 1.0] = "passed"
    return _where(~np.isnan(passed), refused, None)


def _is_said(words: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Return where there is a word: neither None, nor NaN, nor empty."""
    return np.asarray((words != None) & (words != "") & (words == words), dtype=bool)  # noqa: E711


def _where(
    said: NDArray[np.bool_], words: NDArray[np.object_], absent: str | None
) -> NDArray[np.object_]:
    chosen = np.full(len(words), absent, dtype=object)
    chosen[said] = words[said]
    return chosen


def _is_frontier(decisions: Decisions) -> FloatArray:
    routes = np.asarray(decisions["route"], dtype=object)
    return np.where(routes == "frontier", 1.0, np.where(routes == "cheap", 0.0, np.nan))[:, None]


def _off(side: str) -> Values:
    """Return how far stated probabilities are from what happened: (1 + failed - p) / 2, overall and
    inside bands of p. Which requests are judged may depend on the request, not on the answer; so
    what the frontier model does after a cheap answer failed is left out.
    """

    def read(decisions: Decisions) -> FloatArray:
        stated = np.asarray(decisions[f"p_{side}_fails"], dtype=np.float64)
        off = 1.0 - _quality(decisions, side) - stated
        if side == "frontier":
            off[_noticed(decisions)] = np.nan
        inner = np.digitize(stated, BANDS[1:-1])
        bands = [np.where(inner == band, off, 0.0) for band in range(len(BANDS) - 1)]
        values = (1.0 + np.stack([off, *bands], axis=1)) / 2.0
        values[np.isnan(off), 0] = np.nan
        return values

    return Values(
        needs=(f"p_{side}_fails", f"{side}_quality"),
        columns=(
            "all stated probabilities",
            *(f"{low:g} to {high:g}" for low, high in zip(BANDS[:-1], BANDS[1:], strict=True)),
        ),
        read=read,
    )


def _quality(decisions: Decisions, side: str) -> FloatArray:
    """Return a model's quality where something measured it that tells right from wrong."""
    quality = np.asarray(decisions[f"{side}_quality"], dtype=np.float64)
    measures = decisions.get("measured_by")
    if measures is None:
        return quality
    known = np.flatnonzero(~np.isnan(quality))
    by_form = [isinstance(name, str) and measures_form(name) for name in measures[known]]
    quality = quality.copy()
    quality[known[np.array(by_form, dtype=bool)]] = np.nan
    return quality


def _stays(decisions: Decisions) -> NDArray[np.bool_]:
    """Return which requests the cheap model has in the end, whatever validators say."""
    routes = np.asarray(decisions["route"], dtype=object)
    escalated = decisions.get("escalated")
    stays = routes == "cheap"
    if escalated is not None:
        stays &= ~(np.nan_to_num(np.asarray(escalated, dtype=np.float64)) > 0.0)
    return np.asarray(stays, dtype=bool)


def _noticed(decisions: Decisions) -> NDArray[np.bool_]:
    """Return whose cheap answer was followed by the frontier model's."""
    fallback = decisions.get("fallback")
    if fallback is None:
        return np.zeros(len(decisions["route"]), dtype=bool)
    return _is_said(np.asarray(fallback, dtype=object))


def _risk(decisions: Decisions) -> FloatArray:
    failed = 1.0 - _quality(decisions, "cheap")
    return np.where(_stays(decisions), failed, np.nan)[:, None]


def _unnoticed_risk(decisions: Decisions) -> FloatArray:
    return _risk(decisions) * ~_noticed(decisions)[:, None]


def _hidden(decisions: Decisions) -> FloatArray:
    """Return which cheap answers were replaced unjudged, of those that were replaced or judged."""
    judged = ~np.isnan(_quality(decisions, "cheap"))
    hidden = _noticed(decisions) & ~judged
    return np.where(hidden | judged, hidden, np.nan)[:, None]


def _missed(decisions: Decisions) -> FloatArray:
    gain = _quality(decisions, "frontier") - _quality(decisions, "cheap")
    lost = np.where(np.isnan(gain), np.nan, gain > 0.0) * ~_noticed(decisions)
    return np.where(_stays(decisions), lost, np.nan)[:, None]


def _lost_quality(decisions: Decisions) -> FloatArray:
    """Return what the rule's own routes lose, by inverse propensity: weight * (1 - quality)."""
    by_frontier = ~_stays(decisions) | _noticed(decisions)
    sides = [_quality(decisions, side) for side in ("frontier", "cheap")]
    lost = 1.0 - np.where(by_frontier, *sides)
    routes = [np.asarray(decisions[name], dtype=object) for name in ("route", "policy_route")]
    propensity = np.asarray(decisions["propensity"], dtype=np.float64)
    with np.errstate(divide="ignore"):
        weight = np.where(routes[0] == routes[1], np.minimum(1.0 / propensity, LARGEST_WEIGHT), 0.0)
    return (weight * lost / LARGEST_WEIGHT)[:, None]


_KEPT = ("route", "cheap_quality")
SOURCES: Mapping[str, Source] = {
    "scores": Cuts(needs=("difficulty_score",), cuts=SHARES),
    "length": Cuts(needs=("tokens",), cuts=COUNTS, unit="tokens"),
    "familiarity": Cuts(needs=("familiarity",), cuts=SHARES),
    "tasks": _word("task", absent="no task"),
    "scripts": _word("script"),
    "refusals": Words(needs=("cheap_passed",), read=_refused),
    "cheap_names": _word("cheap_model"),
    "frontier_names": _word("frontier_model"),
    "cheap_length": Cuts(needs=("cheap_completion_tokens",), cuts=COUNTS, unit="tokens"),
    "frontier_length": Cuts(needs=("frontier_completion_tokens",), cuts=COUNTS, unit="tokens"),
    "cheap_cost": Cuts(needs=("cheap_cost_usd",), cuts=DOLLARS, unit="USD"),
    "frontier_cost": Cuts(needs=("frontier_cost_usd",), cuts=DOLLARS, unit="USD"),
    "answer_scores": Cuts(needs=("answer_score",), cuts=SHARES),
    "share": Values(needs=("route",), columns=("frontier share",), read=_is_frontier),
    "cheap_calibration": _off("cheap"),
    "frontier_calibration": _off("frontier"),
    "hidden": Values(needs=(*_KEPT, "fallback"), columns=("replaced unjudged",), read=_hidden),
    "risk": Values(needs=_KEPT, columns=("risk",), read=_risk),
    "unnoticed_risk": Values(needs=_KEPT, columns=("unnoticed risk",), read=_unnoticed_risk),
    "missed": Values(needs=(*_KEPT, "frontier_quality"), columns=("missed",), read=_missed),
    "lost_quality": Values(
        needs=(*_KEPT, "policy_route", "propensity", "frontier_quality"),
        columns=("lost quality",),
        read=_lost_quality,
    ),
}
"""What daily sums are kept of, by name."""

AMOUNTS = (
    "cost_usd",
    "cheap_cost_usd",
    "frontier_cost_usd",
    "p_cheap_fails",
    "p_frontier_fails",
    "cheap_completion_tokens",
    "frontier_completion_tokens",
)
"""Columns of which the mean of a day's requests is kept, for what an alarm costs."""
_BESIDE = ("day", "group", "route", "measured_by", "failed_validator", "escalated", "fallback")
COLUMNS = tuple(
    dict.fromkeys(
        [*_BESIDE, *AMOUNTS, *(name for source in SOURCES.values() for name in source.needs)]
    )
)
"""Columns of decisions that are read; only ``day`` must be there."""
