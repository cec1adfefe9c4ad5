"""The validator ``tool_facts``: tool calls judged by rules, before anything was learned."""

from __future__ import annotations

from difficulty.answers.answer import Answer, Asked
from difficulty.answers.pair import Pair
from difficulty.answers.tools import judge_calls
from difficulty.errors import InvalidValueError
from difficulty.gateway.validators import Verdict

# Characters that are read in a few milliseconds.
_SHORT, _SHORT_SYSTEM = 8_000, 32_768


class ToolFacts:
    """Fail tool calls that do not fit the schemas, or what was asked.

    Parameters
    ----------
    threshold : float, default 0.5
        Fail where the score is above; :func:`difficulty.answers.tools.judge_calls` gives it.
    """

    def __init__(self, *, threshold: float = 0.5) -> None:
        if isinstance(threshold, bool) or not isinstance(threshold, int | float):
            raise InvalidValueError("threshold", threshold, rule="be a number in [0, 1]")
        if not 0 <= threshold <= 1:
            raise InvalidValueError("threshold", threshold, rule="be a number in [0, 1]")
        self.threshold = threshold

    def is_quick(self, answer: Answer, asked: Asked) -> bool:
        """Return whether there is little to read."""
        written = sum(len(call.arguments) for call in answer.tool_calls)
        return written <= _SHORT and len(asked.system) <= _SHORT_SYSTEM

    def __call__(self, answer: Answer, asked: Asked) -> Verdict | None:
        """Return whether the score is at most the threshold; ``None`` where no function is offered,
        and of an answer without a call later in a conversation, where that is the rule.
        """
        judgement = judge_calls(Pair(asked, answer))
        if judgement is None:
            return None
        if not judgement.is_call and (asked.context or asked.tool_choice == "none"):
            return None
        if judgement.score <= self.threshold:
            return Verdict(True)
        findings = ", ".join(judgement.findings) or (
            "fits the question badly" if judgement.is_call else "no call, though a function fits"
        )
        return Verdict(False, f"score {judgement.score:.2f}: {findings}")
