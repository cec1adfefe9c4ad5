"""Figures as people read them, for the verdict and the pages alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from difficulty.records import Estimate

UNKNOWN: Final = "unknown"


def as_percent(estimate: Estimate | None) -> str:
    """Return a share as ``69.7 % (67.8 to 71.6)``, in the digits of a figure such as 0.697."""
    if estimate is None or estimate.value is None:
        return UNKNOWN
    if estimate.low is None or estimate.high is None:
        return f"{_percent(estimate.value)} %"
    return f"{_percent(estimate.value)} % ({_percent(estimate.low)} to {_percent(estimate.high)})"


def _percent(share: float) -> str:
    # Rounded as a share first: a tie such as 0.6965 then falls as it does in the tables.
    return f"{100.0 * round(share, 3):.1f}"


def complement(estimate: Estimate) -> Estimate:
    """Return one minus an estimate, its interval turned round."""
    value, low, high = (
        None if part is None else 1.0 - part
        for part in (estimate.value, estimate.high, estimate.low)
    )
    return Estimate(value=value, low=low, high=high, n=estimate.n, note=estimate.note)


def measures_text(measured_by: Mapping[str, int]) -> str:
    """Return what outcomes were measured by, with the requests: ``exact (1,200), judge:x (30)``."""
    named = [f"{name or 'not said'} ({n:,})" for name, n in measured_by.items()]
    return ", ".join(named[:5]) + (f" and {len(named) - 5} more" if len(named) > 5 else "")
