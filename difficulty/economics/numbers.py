"""How figures of money and volume are written for people: the console and the report say the
same.
"""

from __future__ import annotations

from difficulty.records import Estimate


def estimate_text(estimate: Estimate | None, *, ends: bool = True) -> str:
    """Return an estimate as ``1,234 [1,100, 1,400]``; ``unknown`` without a value, ``never`` where
    none is reached.
    """
    if estimate is None:
        return ""
    if estimate.value is None:
        return "unknown" if estimate.note.startswith("unknown") else "never"
    low, high = estimate.low, estimate.high
    if not ends or low == high:
        return _number(estimate.value)
    return f"{_number(estimate.value)} [{_end(low)}, {_end(high)}]"


def _end(value: float | None) -> str:
    return "none" if value is None else _number(value)


def _number(value: float) -> str:
    size = abs(value)
    if size >= 1000.0 or value == 0.0:
        return f"{value:,.0f}"
    if size >= 1.0:
        return f"{value:.1f}" if size >= 100.0 else f"{value:.2f}"
    return f"{value:.4f}" if size >= 0.001 else f"{value:.1g}"
