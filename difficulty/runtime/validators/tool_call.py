"""Validator ``tool_call``: the answer calls a tool that was offered, with arguments that it
takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from difficulty.runtime.validators.answer import Answer, Asked, ToolCall, Verdict
from difficulty.runtime.validators.json_text import parse_json

_TYPES: dict[str, Any] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: (
        not isinstance(value, bool)
        and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}


class OfferedTool:
    """Fail calls of tools that were not offered, and calls whose arguments are no JSON object, lack
    a required one or have another type.

    Of the tool's schema the names, ``required``, and the ``type`` and ``enum`` of the arguments
    themselves are read; what is inside nested arguments is not. An answer without a call fails only
    where ``tool_choice`` asked for one.
    """

    def __call__(self, answer: Answer, asked: Asked) -> Verdict | None:
        """Return whether every call fits; ``None`` where none was made or wanted."""
        offered = {
            str(tool["function"].get("name")): tool["function"]
            for tool in asked.tools
            if isinstance(tool.get("function"), Mapping)
        }
        if not answer.tool_calls:
            wanted = offered and (
                asked.tool_choice == "required" or isinstance(asked.tool_choice, Mapping)
            )
            return Verdict(False, "no tool call, though one was required") if wanted else None
        for call in answer.tool_calls:
            if problem := _problem(call, offered):
                return Verdict(False, problem)
        return Verdict(True)


def _problem(call: ToolCall, offered: Mapping[str, Any]) -> str:
    """Return what is wrong with a call, or an empty string."""
    if call.name not in offered:
        return "a tool that was not offered"
    try:
        arguments = parse_json(call.arguments or "{}")
    except ValueError as error:
        return f"arguments are {error}"
    if not isinstance(arguments, dict):
        return "arguments are no object"
    parameters = offered[call.name].get("parameters")
    return _mismatch(arguments, parameters) if isinstance(parameters, Mapping) else ""


def _mismatch(arguments: dict[str, Any], parameters: Mapping[str, Any]) -> str:
    required, properties = parameters.get("required") or (), parameters.get("properties") or {}
    missing = [name for name in required if name not in arguments]
    if missing:
        return f"required argument {missing[0]!r:.60} is missing"
    if parameters.get("additionalProperties") is False and (
        unknown := sorted({*arguments} - {*properties})
    ):
        return f"unknown argument {unknown[0]!r:.60}"
    for name, value in arguments.items():
        form = properties.get(name)
        if isinstance(form, Mapping) and not _fits(value, form):
            return f"argument {name!r:.60} has another type"
    return ""


def _fits(value: Any, form: Mapping[str, Any]) -> bool:
    kinds = form.get("type")
    known = [
        _TYPES[kind]
        for kind in ([kinds] if isinstance(kinds, str) else kinds or ())
        if kind in _TYPES
    ]
    if known and not any(fits(value) for fits in known):
        return False
    return "enum" not in form or value in form["enum"]
