"""The validators that a policy names, built once and run on each answer.

Other packages add validators through entry points of the group ``difficulty.validators``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from difficulty.answers.answer import Answer, Asked
from difficulty.errors import BundleError, DifficultyError, MissingExtraError
from difficulty.events import Check
from difficulty.plugins import resolve
from difficulty.routes import ValidatorRule


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


logger = logging.getLogger("difficulty.runtime")

VALIDATORS = {
    "arithmetic": "difficulty.gateway.validators.worked_maths:WorkedMaths",
    "json": "difficulty.gateway.validators.structured:JsonText",
    "json_schema": "difficulty.gateway.validators.structured:JsonSchema",
    "non_empty": "difficulty.gateway.validators.texts:NonEmpty",
    "python": "difficulty.gateway.validators.texts:PythonFunction",
    "refusal": "difficulty.gateway.validators.texts:Refusal",
    "regex": "difficulty.gateway.validators.texts:Pattern",
    "tool_call": "difficulty.gateway.validators.structured:OfferedTool",
    "tool_facts": "difficulty.gateway.validators.tool_facts:ToolFacts",
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
