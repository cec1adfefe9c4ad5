"""The validators that a policy names, built once and run on each answer.

Other packages add validators through entry points of the group ``difficulty.validators``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

from difficulty.errors import BundleError, DifficultyError, MissingExtraError
from difficulty.events import Check
from difficulty.plugins import resolve
from difficulty.routes import ValidatorRule


class ToolCall(NamedTuple):
    """A call that the model asks for."""

    name: str
    arguments: str
    """JSON text, as the model wrote it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of a model."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None

    @classmethod
    def of(cls, response: Mapping[str, Any]) -> Answer:
        """Read the first choice of an OpenAI chat completion; without one, an empty answer."""
        choices = response.get("choices")
        first = choices[0] if isinstance(choices, Sequence) and choices else None
        if not isinstance(first, Mapping):
            return cls()
        message = _mapping(first.get("message"))
        calls = message.get("tool_calls")
        return cls(
            _read_text(message.get("content")),
            tuple(map(_read_tool_call, calls)) if isinstance(calls, Sequence) else (),
            first.get("finish_reason"),
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """What the request asked for, as far as validators need it."""

    task: str | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: Any = None
    response_format: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, request: Mapping[str, Any], *, task: str | None = None) -> Asked:
        """Read an OpenAI chat completion request; what is malformed counts as not given."""
        tools = request.get("tools")
        offered = tools if isinstance(tools, Sequence) else ()
        return cls(
            task,
            tuple(tool for tool in offered if isinstance(tool, Mapping)),
            request.get("tool_choice"),
            _mapping(request.get("response_format")),
        )


class Verdict(NamedTuple):
    """What a validator says."""

    passed: bool
    detail: str = ""
    """Why not, without the user's text."""


class Validator(Protocol):
    """A check of answers."""

    def __call__(self, answer: Answer, asked: Asked) -> Verdict | None:
        """Return the verdict; ``None`` where this check has nothing to say of such an answer."""


@runtime_checkable
class BoundedValidator(Protocol):
    """A validator that knows how long it takes; any other may take for ever."""

    def is_quick(self, answer: Answer, asked: Asked) -> bool:
        """Return whether an event loop may wait for the verdict: a few milliseconds at most."""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _read_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        return "".join(
            part["text"]
            for part in content
            if isinstance(part, Mapping) and isinstance(part.get("text"), str)
        )
    return ""


def _read_tool_call(call: Any) -> ToolCall:
    function = _mapping(_mapping(call).get("function"))
    return ToolCall(str(function.get("name") or ""), str(function.get("arguments") or ""))


logger = logging.getLogger("difficulty.runtime")

VALIDATORS = {
    "json": "difficulty.gateway.validators.structured:JsonText",
    "json_schema": "difficulty.gateway.validators.structured:JsonSchema",
    "non_empty": "difficulty.gateway.validators.texts:NonEmpty",
    "python": "difficulty.gateway.validators.texts:PythonFunction",
    "refusal": "difficulty.gateway.validators.texts:Refusal",
    "regex": "difficulty.gateway.validators.texts:Pattern",
    "tool_call": "difficulty.gateway.validators.structured:OfferedTool",
}


class _Rule(NamedTuple):
    rule: ValidatorRule
    tasks: frozenset[str]
    validator: Validator


class Checker:
    """Run a policy's validators.

    Parameters
    ----------
    rules : sequence of ValidatorRule
    allowed : sequence of str
        Packages whose functions ``python`` validators may call: a bundle alone cannot make a router
        run code.

    Raises
    ------
    BundleError
        If a rule names an unknown validator, or gives it options that it does not take.
    MissingExtraError
        If a validator needs a package that is not installed.
    """

    def __init__(self, rules: Sequence[ValidatorRule], *, allowed: Sequence[str] = ()) -> None:
        self.allowed = tuple(allowed)
        self._rules = [_Rule(rule, frozenset(rule.tasks), _build(rule, allowed)) for rule in rules]

    def __len__(self) -> int:
        return len(self._rules)

    def __call__(self, answer: Answer, asked: Asked) -> tuple[Check, ...]:
        """Return what each validator says; one that fails itself knows nothing of the answer."""
        checks = (self.run(number, answer, asked) for number in self.numbers(asked))
        return tuple(check for check in checks if check is not None)

    def numbers(self, asked: Asked) -> list[int]:
        """Return which rules are for a request."""
        return [
            number
            for number, rule in enumerate(self._rules)
            if not rule.tasks or asked.task in rule.tasks
        ]

    def rule(self, number: int) -> ValidatorRule:
        """Return a rule."""
        return self._rules[number].rule

    def is_quick(self, number: int, answer: Answer, asked: Asked) -> bool:
        """Return whether an event loop may wait for a rule's verdict."""
        validator = self._rules[number].validator
        return isinstance(validator, BoundedValidator) and validator.is_quick(answer, asked)

    def run(self, number: int, answer: Answer, asked: Asked) -> Check | None:
        """Return what one rule says; ``None`` where it has nothing to say."""
        name, validator = self._rules[number].rule.check, self._rules[number].validator
        try:
            verdict = validator(answer, asked)
        except Exception as error:
            # By its type alone: the message may hold the user's text.
            logger.warning("validator %s failed (%s)", name, type(error).__name__)
            return Check(name=name, passed=None, detail=type(error).__name__)
        return verdict and Check(name=name, passed=verdict.passed, detail=verdict.detail)


def _build(rule: ValidatorRule, allowed: Sequence[str]) -> Validator:
    # Last, so that the policy cannot allow itself a package.
    options = rule.options | ({"allowed": allowed} if rule.check == "python" else {})
    try:
        validator: Validator = resolve(rule.check, VALIDATORS, kind="validator")(**options)
    except MissingExtraError:
        raise
    except (DifficultyError, TypeError) as error:
        raise BundleError(
            f"policy.json: validator {rule.check!r} cannot be built: {error} Correct the policy's"
            " validators."
        ) from error
    return validator
