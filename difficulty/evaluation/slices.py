"""Slices: the same figures for each task, each band of length, and each further label the caller
gives.

To add a kind of slice that follows from what :class:`Judged` holds, write a function and add its
line to ``SLICERS``. A kind that needs more (script of the text, source, conversation depth) comes
in as ``Judged.labels``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from difficulty.evaluation.judged import Judged
from difficulty.metrics.arrays import IntArray
from difficulty.records import Estimate

Slicer = Callable[[Judged], Sequence[str | None]]

OTHER = "(other)"
NO_NAME = "(none)"
MOST_SLICES = 200
"""Slices of one kind; the smallest beyond them are judged together as ``(other)``."""
LEAST_REQUESTS = 50
LEAST_OUTCOMES = 10

_BANDS = (64, 256, 1024, 4096)
_BAND = re.compile(r"(\d+(?:\.\d+)?)(?:-\d|\+|$)")
_TOO_FEW = "too few to judge"


def by_task(judged: Judged) -> Sequence[str | None]:
    """Return each request's task."""
    return judged.tasks


def by_tokens(judged: Judged) -> Sequence[str | None]:
    """Return each request's band of length in tokens: 0-63, 64-255, 256-1023, 1024-4095, 4096+."""
    starts = (0, *_BANDS)
    names = [f"{low}-{high - 1}" for low, high in zip(starts, _BANDS, strict=False)] + [
        f"{_BANDS[-1]}+"
    ]
    return [names[band] for band in np.searchsorted(_BANDS, judged.n_tokens, side="right")]


SLICERS: dict[str, Slicer] = {"task": by_task, "tokens": by_tokens}


def slice_rows(judged: Judged) -> dict[str, dict[str, IntArray]]:
    """Return, for each kind of slice, each slice's requests; largest slice first.

    Beside named requests, unnamed ones are the slice ``(none)``. A kind in which all requests are
    in one slice is left out: it would repeat the figures of all.
    """
    kinds = {kind: slicer(judged) for kind, slicer in SLICERS.items()} | dict(judged.labels)
    return {kind: _rows_by_name(names) for kind, names in kinds.items() if len(set(names)) > 1}


def too_small(n_requests: int, n_needed: int, n_not_needed: int) -> str:
    """Return why a slice is too small to judge, or an empty string.

    It needs 50 requests and, of those that needed the frontier model and of those that did not, 10
    each.
    """
    if n_requests < LEAST_REQUESTS:
        return f"{_TOO_FEW}: {n_requests} requests (about {LEAST_REQUESTS} are needed)"
    if min(n_needed, n_not_needed) < LEAST_OUTCOMES:
        return (
            f"{_TOO_FEW}: {n_needed} requests needed the frontier model, {n_not_needed} did not"
            f" ({LEAST_OUTCOMES} each are needed)"
        )
    return ""


def is_too_small(estimates: Mapping[str, Estimate]) -> bool:
    """Return whether the figures of a slice bear the mark of :func:`too_small`."""
    return any(estimate.note.startswith(_TOO_FEW) for estimate in estimates.values())


def in_order(
    parts: Sequence[tuple[str, Mapping[str, Estimate]]],
) -> list[tuple[str, Mapping[str, Estimate]]]:
    """Return slices that are all bands of a number, such as ``0.05-0.20`` or ``4096+``, from the
    lowest; others as they are.
    """
    starts = [_BAND.match(name) for name, _ in parts]
    if not all(starts):
        return list(parts)
    return [
        part
        for _, part in sorted(
            zip(starts, parts, strict=True), key=lambda pair: float(pair[0][1]) if pair[0] else 0.0
        )
    ]


def _rows_by_name(names: Sequence[str | None]) -> dict[str, IntArray]:
    """Return the requests of each name, most frequent name first."""
    filled = [NO_NAME if name is None else name for name in names]
    ranked = [
        name for name, _ in sorted(Counter(filled).items(), key=lambda item: (-item[1], item[0]))
    ]
    if len(ranked) > MOST_SLICES:
        ranked = [*ranked[: MOST_SLICES - 1], OTHER]
    code = {name: index for index, name in enumerate(ranked)}
    codes = np.array([code.get(name, len(ranked) - 1) for name in filled])
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(ranked)))
    return dict(zip(ranked, np.split(order, ends[:-1]), strict=True))
