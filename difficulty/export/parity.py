"""The parity gate: the shipped scorer must give what the Python model gives, on every calibration
request and the tricky texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import ParityError
from difficulty.model.combination import Scores
from difficulty.recipe import ExportSettings

FloatArray = NDArray[np.float64]
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityReport:
    """How far the shipped scorer is from the Python model.

    Attributes
    ----------
    n : int
        Number of requests compared.
    max_difference : float
        Largest difference of any output on any request.
    flips : int
        Requests routed differently, farther from the threshold than the tolerance; where the
        encoder was made int8, all of them.
    encoder : str or None
        How the encoder was made int8, where it was.
    """

    n: int
    max_difference: float
    flips: int = 0
    encoder: str | None = None

    def joined(self, other: ParityReport) -> ParityReport:
        """Return the report on the requests of both."""
        largest = max(self.max_difference, other.max_difference)
        return replace(
            self, n=self.n + other.n, max_difference=largest, flips=self.flips + other.flips
        )


def compare(
    names: Sequence[str],
    python: Scores,
    shipped: dict[str, NDArray[np.float32]],
    settings: ExportSettings,
) -> ParityReport:
    """Compare every output on every request.

    Parameters
    ----------
    names : sequence of n str
        What to call the requests in the error.
    python, shipped
        Outputs of the Python model, and of the graph by name.

    Raises
    ------
    ParityError
        If any difference is above the tolerance or not a number; the message names the worst
        requests.
    """
    differences = [
        shipped[output].astype(np.float64) - expected
        for output, expected in python.by_name().items()
    ]
    return _checked(names, differences, settings, what="scorer")


def compare_early(
    names: Sequence[str],
    python: FloatArray,
    shipped: NDArray[np.floating],
    settings: ExportSettings,
) -> ParityReport:
    """Compare the early score on every request.

    Raises
    ------
    ParityError
        As :func:`compare`.
    """
    return _checked(names, [shipped.astype(np.float64) - python], settings, what="early graph")


def _checked(
    names: Sequence[str], differences: Sequence[FloatArray], settings: ExportSettings, *, what: str
) -> ParityReport:
    """Return the report, or refuse."""
    worst = np.zeros(len(names))
    for difference in differences:
        # what is no number is farther off than anything
        worst = np.maximum(worst, np.where(np.isnan(difference), np.inf, np.abs(difference)))
    largest = float(worst.max(initial=0.0))
    if largest > settings.max_score_difference:
        listed = ", ".join(f"{names[i]} ({worst[i]:.2g})" for i in np.argsort(-worst)[:_SHOWN])
        raise ParityError(
            f"the exported {what} must stay within {settings.max_score_difference:g} of the Python"
            f" model: got {largest:.3g}. Worst requests: {listed}. Nothing was shipped."
        )
    return ParityReport(n=len(names), max_difference=largest)


def check_flips(
    names: Sequence[str],
    python: FloatArray,
    shipped: FloatArray,
    *,
    threshold: float | FloatArray,
    report: ParityReport,
    settings: ExportSettings,
) -> ParityReport:
    """Count decisions that differ, and refuse when they are more than the recipe allows;
    ``threshold`` is one for all or one each.

    A request within the tolerance of the threshold may fall on either side and is not counted.

    Raises
    ------
    ParityError
        If more decisions flip than ``max_flips`` allows.
    """
    clear = np.abs(python - threshold) > settings.max_score_difference
    flipped = np.flatnonzero(clear & ((python > threshold) != (shipped > threshold)))
    if len(flipped) > settings.max_flips * len(names):
        listed = ", ".join(names[i] for i in flipped[:_SHOWN])
        raise ParityError(
            f"the exported scorer may flip at most {settings.max_flips:g} of the decisions: got"
            f" {len(flipped)} of {len(names):,}. First: {listed}. Nothing was shipped."
        )
    return replace(report, flips=len(flipped))
