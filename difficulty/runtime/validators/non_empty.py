"""Validator ``non_empty``: the answer says something."""

from __future__ import annotations

from difficulty.runtime.validators.answer import Answer, Asked, Verdict


class NonEmpty:
    """Fail answers without text and without tool calls; with ``whole``, those cut off by the token
    limit too.
    """

    def __init__(self, *, whole: bool = False) -> None:
        self.whole = whole

    def __call__(self, answer: Answer, asked: Asked) -> Verdict:
        """Return whether the answer says something."""
        if not answer.text.strip() and not answer.tool_calls:
            return Verdict(False, "empty")
        return (
            Verdict(False, "cut off by the token limit")
            if self.whole and answer.finish_reason == "length"
            else Verdict(True)
        )
