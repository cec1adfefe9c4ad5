"""The validator ``arithmetic``: worked maths judged by rules, before anything was learned."""

from __future__ import annotations

from difficulty.answers.answer import Answer, Asked
from difficulty.answers.arithmetic import find_faults, hand_score
from difficulty.answers.pair import Pair
from difficulty.errors import InvalidValueError
from difficulty.gateway.validators import Verdict


class WorkedMaths:
    """Fail worked maths that does not add up, or does not end in its answer.

    Parameters
    ----------
    threshold : float, default 0.5
        Fail where the score is above; a wrong step alone scores 0.6, and so does an answer that is
        not the last result.
    """

    def __init__(self, *, threshold: float = 0.5) -> None:
        if isinstance(threshold, bool) or not isinstance(threshold, int | float):
            raise InvalidValueError("threshold", threshold, rule="be a number in [0, 1]")
        if not 0 <= threshold <= 1:
            raise InvalidValueError("threshold", threshold, rule="be a number in [0, 1]")
        self.threshold = threshold

    def is_quick(self, answer: Answer, asked: Asked) -> bool:
        """Return true: long texts are cut before they are read."""
        return True

    def __call__(self, answer: Answer, asked: Asked) -> Verdict | None:
        """Return whether the score is at most the threshold; ``None`` without a step."""
        pair = Pair(asked, answer)
        if not pair.steps:
            return None
        score = hand_score(pair)
        if score <= self.threshold:
            return Verdict(True)
        faults = [finding for finding, extent in find_faults(pair).items() if extent]
        return Verdict(False, f"score {score:.2f}: {', '.join(faults)}")
