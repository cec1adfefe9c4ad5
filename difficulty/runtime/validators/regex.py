"""Validator ``regex``: a pattern is found in the answer, or is not. The one module that names the
package regex, for its time limit.
"""

from __future__ import annotations

from typing import Any

from difficulty.errors import InvalidValueError, MissingExtraError
from difficulty.runtime.validators.answer import Answer, Asked, Verdict

_TIMEOUT_S = 0.05


class Pattern:
    """Fail answers in which a pattern is not found, or with ``absent`` those in which it is.

    Matching stops after 50 milliseconds, and nothing is known then.

    Parameters
    ----------
    pattern : str
        Searched for anywhere; begin with ``^`` and end with ``$`` to match the whole answer.
    absent : bool, default False
        Whether the pattern must not be found.
    max_chars : int, default 20_000
        Longer answers fail.
    """

    def __init__(self, *, pattern: str, absent: bool = False, max_chars: int = 20_000) -> None:
        regex = _regex()
        try:
            self._pattern = regex.compile(pattern)
        except regex.error as error:
            raise InvalidValueError(
                "pattern", pattern, rule="be a regular expression", hint=f"{error}."
            ) from error
        self.absent = absent
        self.max_chars = max_chars

    def __call__(self, answer: Answer, asked: Asked) -> Verdict | None:
        """Return whether the answer has the pattern; ``None`` for tool calls without text."""
        if answer.tool_calls and not answer.text:
            return None
        if len(answer.text) > self.max_chars:
            return Verdict(False, f"longer than {self.max_chars:,} characters")
        found = self._pattern.search(answer.text, timeout=_TIMEOUT_S) is not None
        return (
            Verdict(True)
            if found != self.absent
            else Verdict(False, "pattern found" if found else "pattern not found")
        )


def search(pattern: str, text: str) -> bool:
    """Return whether a pattern that is not trusted is found; raises ``TimeoutError`` after 50
    milliseconds.
    """
    return _regex().search(pattern, text, timeout=_TIMEOUT_S) is not None


def _regex() -> Any:
    try:
        import regex
    except ImportError as error:
        raise MissingExtraError("the regex validator", package="regex", extra="gateway") from error
    return regex
