"""How well a score orders requests, in the words that every command and page uses: better than
chance, not to be told from chance, or worse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from difficulty.evaluation.words import why_no_range
from difficulty.records import Estimate

# Of APGR and of AUROC alike.
CHANCE: Final = 0.5
_ABSENT = Estimate(value=None, note="it was not evaluated")
_UNTOLD: Final = "The score cannot be told from chance"


def order_text(overall: Mapping[str, Estimate]) -> str:
    """Say how well the score orders requests, by APGR or else AUROC; ``overall`` are the figures of
    an evaluation.
    """
    figures = {name: overall.get(name, _ABSENT) for name in ("apgr", "auroc")}
    known = ((name, figure) for name, figure in figures.items() if figure.value is not None)
    name, figure = next(known, ("", _ABSENT))
    if figure.value is None:
        return f"How well the score orders requests is unknown: {figures['auroc'].note}."
    text = f"{name.upper()} {figure.value:.3f}"
    if figure.low is None or figure.high is None:
        return (
            f"{_UNTOLD}: {text} has no range ({why_no_range(figure)}), and chance has {CHANCE:g}."
        )
    text = f"{text} ({figure.low:.3f} to {figure.high:.3f}), where chance has {CHANCE:g}."
    if figure.low > CHANCE:
        return f"The score orders requests better than chance: {text}"
    if figure.high < CHANCE:
        return f"The score orders requests worse than chance: {text}"
    return f"{_UNTOLD}: {text}"
