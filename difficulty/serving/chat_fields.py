"""What a chat request may hold: which fields, of which kinds, to the parts of its messages.

A fault that is found here is the client's, and is told before anything is decided: behind this the
SDK and the providers would each say it in words of their own, or fail.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any, NamedTuple

from difficulty.errors import name_kind
from difficulty.serving.call_bodies import RefusedError

OURS = frozenset({"model", "stream", "stream_options", "metadata", "store"})
"""Fields that are read here and go to no model."""
_ROLES = ("assistant", "developer", "function", "system", "tool", "user")


class FieldRule(NamedTuple):
    """What the value of a field must be."""

    rule: str
    holds: Callable[[Any], bool]


def _is_of(*kinds: type) -> Callable[[Any], bool]:
    # By the class itself: a truth value is no number.
    return lambda value: type(value) in kinds


def _is_listed(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(holds, value))


def _is_tool(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return False
    return value["type"] != "function" or _is_function(value.get("function"))


def _is_function(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return False
    return isinstance(value.get("parameters"), dict | None)


def _is_format(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return False
    return value["type"] != "json_schema" or isinstance(value.get("json_schema"), dict)


def _is_choice(value: Any) -> bool:
    return isinstance(value, str) or _is_named(value, "type")


def _is_named(value: Any, name: str) -> bool:
    return isinstance(value, dict) and isinstance(value.get(name), str)


_TEXT = FieldRule("be a text", _is_of(str))
_NUMBER = FieldRule("be a number", _is_of(int, float))
_WHOLE = FieldRule("be a whole number", _is_of(int))
_TRUTH = FieldRule("be true or false", _is_of(bool))
_OBJECT = FieldRule("be an object", _is_of(dict))
RULES: Mapping[str, FieldRule] = {
    "audio": _OBJECT,
    "frequency_penalty": _NUMBER,
    "function_call": FieldRule(
        "be a text, or an object with a name",
        lambda value: isinstance(value, str) or _is_named(value, "name"),
    ),
    "functions": FieldRule("be a list of functions, each with a name", _is_listed(_is_function)),
    "logit_bias": FieldRule(
        "be an object of numbers",
        lambda value: isinstance(value, dict) and all(map(_NUMBER.holds, value.values())),
    ),
    "logprobs": _TRUTH,
    "max_completion_tokens": _WHOLE,
    "max_tokens": _WHOLE,
    "metadata": _OBJECT,
    "modalities": FieldRule("be a list of texts", _is_listed(_TEXT.holds)),
    "n": FieldRule("be a whole number from 1 to 128", lambda n: type(n) is int and 1 <= n <= 128),
    "parallel_tool_calls": _TRUTH,
    "prediction": _OBJECT,
    "presence_penalty": _NUMBER,
    "prompt_cache_key": _TEXT,
    "reasoning_effort": FieldRule("be a text, or an object", _is_of(str, dict)),
    "response_format": FieldRule(
        "be an object with a type, and with a json_schema where the type says so", _is_format
    ),
    "safety_identifier": _TEXT,
    "seed": _WHOLE,
    "service_tier": _TEXT,
    "stop": FieldRule(
        "be a text, or a list of texts",
        lambda value: isinstance(value, str) or _is_listed(_TEXT.holds)(value),
    ),
    "store": _TRUTH,
    "stream": _TRUTH,
    "stream_options": _OBJECT,
    "temperature": _NUMBER,
    "thinking": FieldRule("be an object", _is_of(dict, bool)),
    "tool_choice": FieldRule("be a text, or an object with a type", _is_choice),
    "tools": FieldRule(
        "be a list of tools, each an object with a type, and a function's with its name and, where"
        " it has any, parameters",
        _is_listed(_is_tool),
    ),
    "top_logprobs": _WHOLE,
    "top_p": _NUMBER,
    "user": _TEXT,
    "verbosity": _TEXT,
    "web_search_options": _OBJECT,
}
"""By field; of a field that the operator let pass beside these nothing is known."""


def check_chat(
    content: Any, models: Collection[str], passed_on: Collection[str], parts: Collection[str] = ()
) -> dict[str, Any]:
    """Return the body of a chat request.

    Parameters
    ----------
    content : object
        What came.
    models : collection of str
        Names that are routed.
    passed_on : collection of str
        Fields that go to the models, beside :data:`OURS`.
    parts : collection of str
        Types of the parts of a user's message that models take; none: any.

    Raises
    ------
    RefusedError
        If it is none, names another model, has a field that goes to no model, or one of another
        kind than its rule says.
    """
    if not isinstance(content, dict):
        raise _bad(f"a chat request must be a JSON object: got {name_kind(content)}")
    model = content.get("model")
    if not isinstance(model, str) or model not in models:
        raise RefusedError(
            HTTPStatus.NOT_FOUND,
            f"model must be {' or '.join(models)}: the route is decided here",
            code="model_not_found",
            param="model",
            closes=False,
        )
    _check_messages(content.get("messages"), parts)
    # Unsaid is not the same as null to some models.
    body = {name: value for name, value in content.items() if value is not None}
    for name, value in body.items():
        if name not in passed_on and name not in OURS:
            near = get_close_matches(name, [*passed_on, *OURS], n=1)
            hint = f" Did you mean {near[0]}?" if near else " The operator may add it by --pass-on."
            raise _bad(f"a field of {len(name)} characters goes to no model.{hint}")
        rule = RULES.get(name)
        if rule is not None and not rule.holds(value):
            raise _bad(f"{name} must {rule.rule}: got {name_kind(value)}", name)
    return body


def _check_messages(messages: Any, parts: Collection[str]) -> None:
    if not isinstance(messages, list) or not messages:
        came = "an empty list" if messages == [] else name_kind(messages)
        raise _bad(f"messages must be a list of objects, at least one: got {came}", "messages")
    for number, message in enumerate(messages):
        place = f"messages[{number}]"
        if not isinstance(message, dict):
            raise _bad(f"{place} must be an object: got {name_kind(message)}", "messages")
        role, calls = message.get("role"), message.get("tool_calls")
        if role not in _ROLES:
            came = "another text" if isinstance(role, str) else name_kind(role)
            raise _bad(f"{place}.role must be one of {', '.join(_ROLES)}: got {came}", "messages")
        _check_content(message.get("content"), role, place, parts if role == "user" else ())
        if calls is not None:
            _check_calls(calls, f"{place}.tool_calls")
        if role == "tool" and not isinstance(message.get("tool_call_id"), str):
            came = name_kind(message.get("tool_call_id"))
            raise _bad(f"{place}.tool_call_id must be a text: got {came}", "messages")


def _check_content(content: Any, role: str, place: str, parts: Collection[str]) -> None:
    if isinstance(content, str) or (content is None and role == "assistant"):
        return
    if not isinstance(content, list) or not content:
        came = "an empty list" if content == [] else name_kind(content)
        raise _bad(f"{place}.content must be a text, or a list of parts: got {came}", "messages")
    for number, part in enumerate(content):
        _check_part(part, f"{place}.content[{number}]", parts)


def _check_part(part: Any, place: str, parts: Collection[str]) -> None:
    if not isinstance(part, dict):
        raise _bad(f"{place} must be an object: got {name_kind(part)}", "messages")
    kind = part.get("type")
    if not isinstance(kind, str):
        raise _bad(f"{place}.type must be a text: got {name_kind(kind)}", "messages")
    if parts and kind not in parts:
        known = ", ".join(sorted(parts))
        raise _bad(f"{place}.type must be one of {known}: got another text", "messages")
    if kind == "text" and not isinstance(part.get("text"), str):
        raise _bad(f"{place}.text must be a text: got {name_kind(part.get('text'))}", "messages")
    if kind == "image_url":
        image = part.get("image_url")
        if not isinstance(image, str) and not _is_named(image, "url"):
            rule = "must be an object with a url, which is a text"
            raise _bad(f"{place}.image_url {rule}: got {name_kind(image)}", "messages")


def _check_calls(calls: Any, place: str) -> None:
    if not isinstance(calls, list):
        raise _bad(f"{place} must be a list of calls: got {name_kind(calls)}", "messages")
    for number, call in enumerate(calls):
        here, form = f"{place}[{number}]", call if isinstance(call, dict) else {}
        if form.get("type") == "custom" and isinstance(form.get("custom"), dict):
            continue
        function = form.get("function")
        if not isinstance(form.get("id"), str) or not _is_function(function):
            rule = "must be an object with an id, and a function with its name"
            raise _bad(f"{here} {rule}", "messages")
        # As some servers wrote it, and their clients send it back.
        arguments = function.get("arguments", "") if isinstance(function, dict) else None
        if not isinstance(arguments, str | dict):
            came = name_kind(arguments)
            raise _bad(f"{here}.function.arguments must be a text: got {came}", "messages")


def _bad(error: str, param: str | None = None) -> RefusedError:
    return RefusedError(
        HTTPStatus.BAD_REQUEST, error, code="invalid_request_error", param=param, closes=False
    )
