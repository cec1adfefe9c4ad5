"""Build, wait or unsure: from the saving's interval and the conditions to one answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from difficulty.economics.drawn import interval
from difficulty.economics.options import Answers, Option
from difficulty.economics.result import Condition, Verdict
from difficulty.metrics.arrays import FloatArray


def verdict_of(
    best: Option | None,
    volume: FloatArray,
    conditions: Sequence[Condition],
    answers: Answers,
    *,
    share: float,
) -> Verdict:
    """Return the answer.

    ``wait`` where a condition under which it does not pay holds, or the whole interval of the
    saving is at or below 0; ``build`` where the whole interval is above 0; ``unsure`` else. A
    tolerated loss of quality decides about quality alone: then it must be kept to for sure, and
    hard reasoning is told but does not decide.
    """
    shape = best.shape if best else None
    state = {condition.name: condition.state for condition in conditions}
    tolerated = answers.max_quality_loss is not None
    holding = [
        name
        for name, value in state.items()
        if value == "holds" and not (name == "hard_reasoning" and tolerated)
    ]
    saved = f"with the simplest {share:.0%} on the cheap model {saved_text(best, volume)}"
    if holding:
        return Verdict("wait", shape, f"{_holds(holding)}; {saved}")
    if best is None:
        return Verdict("unsure", None, saved)
    low, high = interval(best.net.at(volume))
    if high <= 0.0:
        return Verdict("wait", shape, saved)
    if tolerated and state["quality_loss"] != "does not hold":
        return Verdict(
            "unsure",
            shape,
            f"whether the tolerated loss of quality is kept to is not sure; {saved}",
        )
    return Verdict("build" if low > 0.0 else "unsure", shape, saved)


def saved_text(best: Option | None, volume: FloatArray) -> str:
    """Return what an option saves a month, in words."""
    if best is None:
        return "no way to host is left that has a price"
    net, even = best.net.at(volume), float(best.net.break_even()[0])
    after = "after the cost to keep it"
    if np.isnan(net[0]):
        point = (
            f"it breaks even at {even:,.0f} requests a month"
            if np.isfinite(even)
            else "no break-even can be given"
        )
        return f"the saving with {best.shape} {after} is not known; {point}"
    low, high = interval(net)
    if high < 0.0:
        return f"{best.shape} loses {-net[0]:,.0f} [{-high:,.0f}, {-low:,.0f}] USD a month {after}"
    return f"{best.shape} saves {net[0]:,.0f} [{low:,.0f}, {high:,.0f}] USD a month {after}"


def _holds(names: Sequence[str]) -> str:
    return (
        f"{', '.join(name.replace('_', ' ') for name in names)}"
        f" {'holds' if len(names) == 1 else 'hold'}"
    )
