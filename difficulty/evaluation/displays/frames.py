"""Figures as pandas frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from difficulty.errors import MissingExtraError, UnknownNameError

if TYPE_CHECKING:
    from pandas import DataFrame

    from difficulty.evaluation.result import Evaluation
    from difficulty.records import Estimate

Rows = Iterable[Mapping[str, Any]]


def frame_of(rows: Rows, *, index: str | None = None) -> DataFrame:
    """Return rows as a frame.

    Raises
    ------
    MissingExtraError
        If pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingExtraError("a frame", package="pandas", extra="plot") from error
    frame = pandas.DataFrame(list(rows))
    return frame.set_index(index) if index and len(frame) else frame


def evaluation_frame(evaluation: Evaluation, part: str) -> DataFrame:
    """Return a part of an evaluation as a frame; see :meth:`Evaluation.to_frame`."""
    if part not in _PARTS:
        raise UnknownNameError("part of an evaluation", part, _PARTS)
    rows, index = _PARTS[part]
    return frame_of(rows(evaluation), index=index)


def _overall(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for figure, estimate in evaluation.overall.items():
        yield {"figure": figure, **_cells(estimate)}


def _slices(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for kind, parts in evaluation.slices.items():
        for name, figures in parts.items():
            for figure, estimate in figures.items():
                yield {"kind": kind, "slice": name, "figure": figure, **_cells(estimate)}


def _baselines(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for name, figures in evaluation.baselines.items():
        for figure, estimate in figures.items():
            yield {"baseline": name, "figure": figure, **_cells(estimate)}


def _curve(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    if evaluation.curve is None:
        return
    for place, threshold in enumerate(evaluation.curve.threshold):
        row: dict[str, Any] = {"threshold": threshold}
        for name, band in evaluation.curve.figures.items():
            row |= {
                name: band.value[place],
                f"{name}_low": band.low[place],
                f"{name}_high": band.high[place],
            }
        yield row


def _calibration(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for name, bins in evaluation.calibration.items():
        for place, predicted in enumerate(bins.predicted):
            estimate = bins.observed.at(place)
            yield {"probability": name, "predicted": predicted, **_cells(estimate)}


def _cells(estimate: Estimate) -> dict[str, Any]:
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.n,
        "note": estimate.note,
    }


_PARTS: dict[str, tuple[Callable[[Evaluation], Rows], str | None]] = {
    "overall": (_overall, "figure"),
    "slices": (_slices, None),
    "baselines": (_baselines, None),
    "curve": (_curve, None),
    "calibration": (_calibration, None),
}
