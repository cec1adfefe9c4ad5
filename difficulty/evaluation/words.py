"""Figures as people read them, for the verdict and the pages alike."""

from __future__ import annotations

import math
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


def why_no_range(estimate: Estimate) -> str:
    """Return why a figure that has a value has no range."""
    return estimate.note.removeprefix("no interval: ") or "none was worked out"


def usd(amount: Estimate | float | None) -> str:
    """Return money as ``USD 0.48``, ``USD 1,255 (1,096 to 1,408)``; ``unknown`` without a value."""
    figure = amount if isinstance(amount, Estimate) else Estimate(value=amount)
    text = usd_number(figure)
    return text if figure.value is None else f"USD {text}"


def usd_number(amount: Estimate | None) -> str:
    """Return USD without the word, for columns that say it."""
    if amount is None or amount.value is None:
        return UNKNOWN
    value, low, high = amount.value, amount.low, amount.high
    # Of exact amounts both ends are the value, and say nothing.
    if low is None or high is None or low == high:
        return _fixed(value, _decimals(value))
    decimals = _decimals(value, low, high)
    low_text, high_text = (_fixed(end, decimals) for end in (low, high))
    return f"{_fixed(value, decimals)} ({low_text} to {high_text})"


def _decimals(*amounts: float) -> int:
    """Return none from 100 up, cents below, and two digits of what is less than ten cents."""
    largest = max(map(abs, amounts))
    if largest >= 100.0:
        return 0
    if largest >= 0.095 or largest < 5e-7:
        return 2
    return 1 - math.floor(math.log10(largest))


def _fixed(amount: float, decimals: int) -> str:
    # Adding 0.0 makes an amount of -0.0 one without a sign.
    return f"{round(amount, decimals) + 0.0:,.{decimals}f}"


def count_text(count: float) -> str:
    """Return a large number as ``3.7 million``, others with their digits."""
    if count < 1e6:
        return f"{count:,.0f}"
    return f"{count / 1e6:,.1f}".removesuffix(".0") + " million"


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
