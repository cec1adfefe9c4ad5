"""Two bundles on the same requests: every figure of both with their paired difference, overall and
by slice, and which is better.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from difficulty.evaluation.comparison import Contender, Paired, compare_pair
from difficulty.evaluation.decision.pair_verdict import COMPARED, ComparisonVerdict, judge_pair
from difficulty.evaluation.figures import columns_of
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.evaluation.slices import slice_rows, too_small
from difficulty.evaluation.tradeoff import known_or_none
from difficulty.form import Record
from difficulty.metrics.bootstrap import Resampling

FORMAT: Final = 1
_OF_SLICES: Final = ("quality", "answers_worse", "cost", "frontier_share", "risk")
_MOST_SLICES: Final = 30
"""Slices of one kind, the largest."""
_OF_SCORERS: Final = ("familiarity",)
"""Kinds of slices that each bundle cuts in its own way."""
_ENDS: Final = ("quality", "cost", "frontier_share")

PairedFigures = Mapping[str, Paired]


@dataclass(frozen=True, kw_only=True)
class SideBySide(Record):
    """What ``compare.json`` holds; of each pair B is the challenger and A the champion, and
    differences are B minus A.
    """

    a: str
    """Name of the bundle."""
    b: str
    traffic: str
    """Name of the traffic file."""
    requests: int
    """Requests that neither bundle was made from."""
    verdict: ComparisonVerdict
    figures: PairedFigures
    slices: Mapping[str, Mapping[str, PairedFigures]]
    """Kind of slice, then slice, then figure."""
    small: Mapping[str, str]
    """``kind: slice`` and why it is too small to judge."""
    ends: Mapping[str, Mapping[str, float | None]]
    """``all_cheap`` and ``all_frontier``, then figure."""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def as_dict(self, *, without: Container[str] = ()) -> dict[str, Any]:
        """Return exactly what ``compare.json`` holds."""
        return {"format": FORMAT, **super().as_dict(without=without)}

    @property
    def n_slices(self) -> int:
        """How many slices are looked at together."""
        return sum(map(len, self.slices.values()))


def set_side_by_side(
    a: Contender, b: Contender, resampling: Resampling, *, names: tuple[str, str], traffic: str
) -> SideBySide:
    """Compare two routers on the same requests, overall and slice by slice.

    Parameters
    ----------
    a, b : Contender
        On the same requests, in the same order, with the same outcomes.
    resampling : Resampling
        Draws are lowered for very many requests.
    names : pair of str
        Of the bundles.
    traffic : str
        Name of the file.
    """
    figures = compare_pair(b, a, resampling, names=COMPARED)
    slices: dict[str, dict[str, PairedFigures]] = {}
    small: dict[str, str] = {}
    needed = a.scored.needed
    for kind, parts in slice_rows(a.scored).items():
        if kind in _OF_SCORERS:
            continue
        slices[kind] = {}
        for name, rows in list(parts.items())[:_MOST_SLICES]:
            pairs = compare_pair(b.at(rows), a.at(rows), resampling, names=_OF_SLICES)
            slices[kind][name] = pairs
            part = needed[rows]
            if why := too_small(len(rows), int(np.nansum(part)), int(np.nansum(1.0 - part))):
                small[f"{kind}: {name}"] = why
    return SideBySide(
        a=names[0],
        b=names[1],
        traffic=traffic,
        requests=len(a.scored),
        verdict=judge_pair(figures),
        figures=figures,
        slices=slices,
        small=small,
        ends={"all_cheap": _end(a.scored, 0.0), "all_frontier": _end(a.scored, 1.0)},
    )


def with_notes(result: SideBySide, notes: list[str], warnings: list[str]) -> SideBySide:
    """Return a comparison with what is to be known of its traffic."""
    return replace(result, notes=tuple(notes), warnings=tuple(warnings))


def _end(scored: ScoredTraffic, sent: float) -> dict[str, float | None]:
    """Return the figures with every request on one model."""
    rows, weight = np.arange(len(scored)), scored.outcomes.weight
    columns = columns_of(scored.unchecked, _ENDS)
    routes = np.full(len(scored), sent)
    values = [float(columns[name].at(routes, rows).value(weight)) for name in _ENDS]
    return dict(zip(_ENDS, known_or_none(values), strict=True))


def side_by_side_text(result: SideBySide) -> str:
    """Return ``compare.json`` as text."""
    return json.dumps(result.as_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
