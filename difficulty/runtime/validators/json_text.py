"""Validator ``json``: the answer is JSON."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from difficulty.runtime.validators.answer import Answer, Asked, Verdict

_LONGEST = 1_000_000


class JsonText:
    """Fail answers that are not one JSON value.

    Parameters
    ----------
    only_when_asked : bool, default False
        Say nothing of requests whose ``response_format`` does not ask for JSON.
    fenced : bool, default False
        Accept a Markdown code fence around it.
    """

    def __init__(self, *, only_when_asked: bool = False, fenced: bool = False) -> None:
        self.only_when_asked = only_when_asked
        self.fenced = fenced

    def __call__(self, answer: Answer, asked: Asked) -> Verdict | None:
        """Return whether the text parses; ``None`` for tool calls without text."""
        if not applies(answer, asked, only_when_asked=self.only_when_asked):
            return None
        try:
            parse_json(answer.text, fenced=self.fenced)
        except ValueError as error:
            return Verdict(False, str(error))
        return Verdict(True)


def applies(answer: Answer, asked: Asked, *, only_when_asked: bool) -> bool:
    """Return whether an answer has to be JSON."""
    if answer.tool_calls and not answer.text:
        return False
    return not only_when_asked or asked.response_format.get("type") in (
        "json_object",
        "json_schema",
    )


def parse_json(text: str, *, fenced: bool = False) -> Any:
    """Return the value of strict JSON.

    Raises
    ------
    ValueError
        If it is none; the message holds nothing of the text.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"longer than {_LONGEST:,} characters")
    if (
        fenced
        and (inner := text.strip()).startswith("```")
        and inner.endswith("```")
        and "\n" in inner
    ):
        text = inner.partition("\n")[2].removesuffix("```")
    try:
        return json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON at character {error.pos}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
