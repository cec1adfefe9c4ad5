"""Which of two routers is better, and whether that can be told: a gain counts where its range
leaves 0 out, and a loss that may hide in the noise keeps a winner from being named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal

from difficulty.evaluation.comparison import Paired
from difficulty.evaluation.words import as_percent, usd
from difficulty.form import Record
from difficulty.records import Estimate

PairAnswer = Literal["prefer_a", "prefer_b", "trade_off", "unsure", "no_difference"]
PAIR_ANSWERS: Final[Mapping[PairAnswer, str]] = {
    "prefer_a": "A is better",
    "prefer_b": "B is better",
    "trade_off": "Each has its price",
    "unsure": "No clear winner",
    "no_difference": "No difference shown",
}
"""Answers as people read them."""
COMPARED: Final = (
    "quality", "answers_worse", "cost", "frontier_share", "risk", "gap_recovered",
    "calls_avoided", "apgr",
)  # fmt: skip
"""Figures of the comparison."""
BEARABLE: Final = 0.01
"""How far the range of what is not a gain may reach below 0 for a winner: of quality in shares, of
money as a share of A's cost.
"""
_LEVEL: Final = 0.05
# What answers are worth, and what they cost: the first that is known, and whether more is better.
_WORTH: Final = (("quality", 1.0), ("answers_worse", -1.0), ("risk", -1.0))
_PRICE: Final = (("cost", -1.0), ("frontier_share", -1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonVerdict(Record):
    """Which of two bundles is better, B against A."""

    answer: PairAnswer
    sentence: str
    """By how much, in one or two sentences."""
    worth: str
    """Figure by which the answers were compared; empty where none is known."""
    price: str
    """The same of what they cost."""

    @property
    def word(self) -> str:
        """The answer as people read it."""
        return PAIR_ANSWERS[self.answer]


def judge_pair(figures: Mapping[str, Paired]) -> ComparisonVerdict:
    """Return the verdict on B, the challenger of ``figures``, against A, the champion."""
    worth, price = _first_known(figures, _WORTH), _first_known(figures, _PRICE)
    gains = {
        name: _towards_b(figures[name].difference, sign) for name, sign in (worth, price) if name
    }
    if not worth[0]:
        sentence = "Which answers are better is not known: add outcomes of both models."
        return ComparisonVerdict(answer="unsure", sentence=sentence, worth="", price=price[0])
    better = [name for name, gain in gains.items() if is_clear(gain) and _value(gain) > 0.0]
    worse = [name for name, gain in gains.items() if is_clear(gain) and _value(gain) < 0.0]
    answer: PairAnswer = "no_difference"
    if better and worse:
        answer = "trade_off"
    elif better:
        answer = "prefer_b" if _bears(figures, gains, better, 1.0) else "unsure"
    elif worse:
        answer = "prefer_a" if _bears(figures, gains, worse, -1.0) else "unsure"
    elif not all(
        _bears(figures, {name: gains[name]}, [], side) for name in gains for side in (1.0, -1.0)
    ):
        # Nothing is shown, and the ranges are too wide to say that nothing is there.
        answer = "unsure"
    told = [_say(name, figures[name].difference) for name in gains]
    sentence = f"{'; '.join(told)}."
    return ComparisonVerdict(
        answer=answer,
        sentence=f"{sentence[:1].upper()}{sentence[1:]}",
        worth=worth[0],
        price=price[0],
    )


def is_clear(difference: Estimate, *, among: int = 1) -> bool:
    """Return whether a difference is beyond the noise: its range, widened for ``among`` differences
    that are looked at together (Bonferroni), leaves 0 out.
    """
    value, low, high = difference.value, difference.low, difference.high
    if value is None or low is None or high is None:
        return False
    normal = NormalDist()
    wider = normal.inv_cdf(1.0 - _LEVEL / (2.0 * among)) / normal.inv_cdf(1.0 - _LEVEL / 2.0)
    return value - wider * (value - low) > 0.0 or value + wider * (high - value) < 0.0


def _first_known(
    figures: Mapping[str, Paired], names: tuple[tuple[str, float], ...]
) -> tuple[str, float]:
    known = (
        (name, sign)
        for name, sign in names
        if name in figures and figures[name].difference.value is not None
    )
    return next(known, ("", 1.0))


def _towards_b(difference: Estimate, sign: float) -> Estimate:
    """Return a difference of which more is better for B."""
    if sign > 0.0 or difference.value is None:
        return difference
    low, high = (None if end is None else -end for end in (difference.high, difference.low))
    return Estimate(value=-difference.value, low=low, high=high, n=difference.n)


def _value(estimate: Estimate) -> float:
    return estimate.value or 0.0


def _bears(
    figures: Mapping[str, Paired], gains: Mapping[str, Estimate], shown: list[str], side: float
) -> bool:
    """Return whether no loss of the better side may hide in what is not shown."""
    for name, gain in gains.items():
        if name in shown:
            continue
        worst = gain.low if side > 0.0 else gain.high
        if worst is None:
            return False
        unit = abs(figures[name].champion.value or 1.0) if name == "cost" else 1.0
        if side * worst < -BEARABLE * unit:
            return False
    return True


def _say(name: str, difference: Estimate) -> str:
    """Return a difference in words, B against A; none where none is shown."""
    value = _value(difference)
    noun, more, less, shown = _WORDS[name]
    if not is_clear(difference):
        if difference.value == difference.low == difference.high == 0.0:
            return f"{noun} is the same"
        return f"no difference shown in {noun}, B minus A is {shown(difference)}"
    size = Estimate(
        value=abs(value),
        low=difference.low if value >= 0.0 else _minus(difference.high),
        high=difference.high if value >= 0.0 else _minus(difference.low),
    )
    return f"B {more if value >= 0.0 else less} by {shown(size)}"


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def _per_1000(size: Estimate) -> str:
    return f"{usd(size)} per 1,000 requests"


_WORDS: Final = {
    "quality": ("quality", "has better answers", "has worse answers", as_percent),
    "answers_worse": (
        "answers that get worse",
        "makes more answers worse",
        "makes fewer answers worse",
        as_percent,
    ),
    "risk": ("risk", "fails more kept requests", "fails fewer kept requests", as_percent),
    "cost": ("cost", "costs more", "costs less", _per_1000),
    "frontier_share": ("the share sent", "sends more", "sends less", as_percent),
}
"""A figure, what B does where it has more of it, where less, and how its size is written."""
