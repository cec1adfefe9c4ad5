"""Validators of structure: ``json``, ``json_schema`` and ``tool_call``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NoReturn

from difficulty.answers.answer import Answer, Asked, ToolCall
from difficulty.errors import InvalidValueError, MissingExtraError
from difficulty.gateway.validators import Verdict
from difficulty.gateway.validators.texts import search

_LONGEST = 1_000_000
_SHORT = 100_000  # characters that are parsed in a millisecond or two
_FENCE = re.compile(r"```[^\n]*\n(.*)```", re.DOTALL)
_ASKS_FOR_JSON = ("json_object", "json_schema")


class JsonText:
    """Fail answers that are not one JSON value.

    Parameters
    ----------
    only_when_asked : bool
        Say nothing of requests whose ``response_format`` does not ask for JSON.
    fenced : bool
        Accept a Markdown code fence around it.
    """

    def __init__(self, *, only_when_asked: bool = False, fenced: bool = False) -> None:
        self.only_when_asked = only_when_asked
        self.fenced = fenced

    def is_quick(self, answer: Answer, asked: Asked) -> bool:
        """Return whether there is little to parse."""
        return _is_short(answer)

    def __call__(self, answer: Answer, asked: Asked) -> Verdict | None:
        """Return whether the text parses; ``None`` for tool calls without text."""
        if not applies(answer, asked, only_when_asked=self.only_when_asked):
            return None
        try:
            parse_json(answer.text, fenced=self.fenced)
        except ValueError as error:
            return Verdict(False, str(error))
        return Verdict(True)


def _is_short(answer: Answer) -> bool:
    written = len(answer.text) + sum(len(call.arguments) for call in answer.tool_calls)
    return written <= _SHORT


def exceeds(value: object, limit: int) -> bool:
    """Return whether a value takes more characters in JSON than ``limit``, about; looks at no more
    of it than that.
    """
    parts, left = [value], limit
    while parts and left >= 0:
        part = parts.pop()
        left -= 2
        if isinstance(part, str):
            left -= len(part)
        elif isinstance(part, int):
            left -= part.bit_length() // 3
        elif isinstance(part, Mapping | list | tuple):
            left -= len(part)
            if left >= 0:
                parts += [*part, *part.values()] if isinstance(part, Mapping) else part
    return left < 0


def applies(answer: Answer, asked: Asked, *, only_when_asked: bool) -> bool:
    """Return whether an answer has to be JSON."""
    if answer.tool_calls and not answer.text:
        return False
    return not only_when_asked or asked.response_format.get("type") in _ASKS_FOR_JSON


def parse_json(text: str, *, fenced: bool = False) -> Any:
    """Return the value of strict JSON.

    Raises
    ------
    ValueError
        If it is none; the message holds nothing of the text.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"longer than {_LONGEST:,} characters")
    if fenced and (fence := _FENCE.fullmatch(text.strip())):
        text = fence[1]
    try:
        return json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        # Without its cause, which holds the text.
        raise ValueError(f"not JSON at character {error.pos}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


class JsonSchema:
    """Fail answers that do not conform to a JSON schema (draft 2020-12): the policy's, or else that
    of the request's ``response_format``; requests without one are not judged. ``fenced`` as in
    :class:`JsonText`.
    """

    def __init__(self, *, schema: Mapping[str, Any] | None = None, fenced: bool = False) -> None:
        self._kind = _build_validator_class()
        self.fenced = fenced
        self._own = None if schema is None else self._compile(schema)

    def is_quick(self, answer: Answer, asked: Asked) -> bool:
        """Return whether there is nothing to check: a schema's price is known when it is paid."""
        has_schema = self._own is not None or client_schema(asked) is not None
        return not (has_schema and applies(answer, asked, only_when_asked=False))

    def __call__(self, answer: Answer, asked: Asked) -> Verdict | None:
        """Return whether the text conforms."""
        if not applies(answer, asked, only_when_asked=False):
            return None
        validator = self._own
        if validator is None:
            schema = client_schema(asked)
            if schema is None:
                return None
            validator = self._compile(schema)
        try:
            value = parse_json(answer.text, fenced=self.fenced)
        except ValueError as error:
            return Verdict(False, str(error))
        problem = next(validator.iter_errors(value), None)
        return (
            Verdict(True)
            if problem is None
            # How deep, not where: keys are the client's and the model's words.
            else Verdict(False, f"{problem.validator}, {len(problem.absolute_path)} levels down")
        )

    def _compile(self, schema: Mapping[str, Any]) -> Any:
        from jsonschema.exceptions import SchemaError
        from referencing import Registry

        try:
            self._kind.check_schema(schema)
        except SchemaError as error:
            raise InvalidValueError(
                "schema", dict(schema), rule="be a JSON schema", hint=f"{error.message:.200}"
            ) from error
        return self._kind(schema, registry=Registry())  # an empty one: no reference is fetched


def client_schema(asked: Asked) -> Mapping[str, Any] | None:
    """Return the schema that a request brings."""
    named = asked.response_format.get("json_schema")
    schema = named.get("schema") if isinstance(named, Mapping) else None
    return schema if isinstance(schema, Mapping) else None


@lru_cache(maxsize=1)
def _build_validator_class() -> Any:
    """Return the validator of the draft with its two pattern keywords on the clock."""
    try:
        from jsonschema import Draft202012Validator, ValidationError
        from jsonschema.validators import extend
    except ImportError as error:
        raise MissingExtraError(
            "the json_schema validator", package="jsonschema", extra="gateway"
        ) from error

    # Patterns come with requests, and Python's own matcher may take exponential time over one.
    def pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
        if validator.is_type(instance, "string") and not search(pattern, instance):
            yield ValidationError("the pattern does not match")

    def pattern_properties(
        validator: Any, patterns: Mapping[str, Any], instance: Any, schema: Any
    ) -> Iterator[Any]:
        if validator.is_type(instance, "object"):
            for expression, part in patterns.items():
                for key, value in instance.items():
                    if search(expression, key):
                        yield from validator.descend(value, part, path=key, schema_path=expression)

    return extend(
        Draft202012Validator, {"pattern": pattern, "patternProperties": pattern_properties}
    )


_TYPES: dict[str, Any] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: (
        not isinstance(value, bool)  # True is an int to Python, and none to JSON
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

    def is_quick(self, answer: Answer, asked: Asked) -> bool:
        """Return whether there is little to parse, and little to hold each call against."""
        return _is_short(answer) and (
            not answer.tool_calls or not exceeds(asked.tools, _SHORT // len(answer.tool_calls))
        )

    def __call__(self, answer: Answer, asked: Asked) -> Verdict | None:
        """Return whether every call fits; ``None`` where none was made or wanted."""
        offered = {
            str(tool["function"].get("name")): tool["function"]
            for tool in asked.tools
            if isinstance(tool.get("function"), Mapping)
        }
        if not answer.tool_calls:
            choice = asked.tool_choice
            is_required = choice == "required" or isinstance(choice, Mapping)
            if not (offered and is_required):
                return None
            return Verdict(False, "no tool call, though one was required")
        problem = next(
            filter(None, (_find_problem(call, offered) for call in answer.tool_calls)), ""
        )
        return Verdict(not problem, problem)


def _find_problem(call: ToolCall, offered: Mapping[str, Any]) -> str:
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
    return _find_mismatch(arguments, parameters) if isinstance(parameters, Mapping) else ""


def _find_mismatch(arguments: dict[str, Any], parameters: Mapping[str, Any]) -> str:
    required, properties = parameters.get("required") or (), parameters.get("properties") or {}
    missing = [name for name in required if name not in arguments]
    if missing:
        return "a required argument is missing"
    if parameters.get("additionalProperties") is False and {*arguments} - {*properties}:
        return "an unknown argument"
    for name, value in arguments.items():
        schema = properties.get(name)
        if isinstance(schema, Mapping) and not _fits(value, schema):
            return "an argument has another type"
    return ""


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type") or ()
    listed = [kinds] if isinstance(kinds, str) else kinds
    checks = [_TYPES[kind] for kind in listed if kind in _TYPES]
    if checks and not any(check(value) for check in checks):
        return False
    return "enum" not in schema or value in schema["enum"]
