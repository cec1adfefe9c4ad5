"""The validators that a policy names, built once and run on each answer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from difficulty.errors import BundleError, DifficultyError, MissingExtraError
from difficulty.events import Check
from difficulty.plugins import resolve
from difficulty.route import ValidatorRule
from difficulty.runtime.validators.answer import Answer, Asked, Validator, Verdict

logger = logging.getLogger("difficulty.runtime")

VALIDATORS = {
    "json": "difficulty.runtime.validators.json_text:JsonText",
    "json_schema": "difficulty.runtime.validators.json_schema:JsonSchema",
    "non_empty": "difficulty.runtime.validators.non_empty:NonEmpty",
    "python": "difficulty.runtime.validators.python:PythonFunction",
    "refusal": "difficulty.runtime.validators.refusal:Refusal",
    "regex": "difficulty.runtime.validators.regex:Pattern",
    "tool_call": "difficulty.runtime.validators.tool_call:OfferedTool",
}


class _Rule(NamedTuple):
    name: str
    tasks: frozenset[str]
    validator: Validator


class Checker:
    """Run a policy's validators.

    Parameters
    ----------
    rules : sequence of ValidatorRule
        Of the policy.
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
        self._rules = [
            _Rule(rule.check, frozenset(rule.tasks), _build(rule, allowed)) for rule in rules
        ]
        self.slow = any(rule.check == "python" for rule in rules)
        """Whether checks may take their time, so that an event loop should not wait for them."""

    def __bool__(self) -> bool:
        return bool(self._rules)

    def __call__(self, answer: Answer, asked: Asked) -> tuple[Check, ...]:
        """Return what each validator says that has something to say; one that fails itself knows
        nothing of the answer.
        """
        found = []
        for rule in self._rules:
            if rule.tasks and asked.task not in rule.tasks:
                continue
            try:
                verdict: Verdict | None = rule.validator(answer, asked)
            except Exception as error:
                logger.warning("validator %s failed: %s", rule.name, error)
                found.append(Check(name=rule.name, passed=None, detail=type(error).__name__))
            else:
                found += (
                    [Check(name=rule.name, passed=verdict.passed, detail=verdict.detail)]
                    if verdict
                    else []
                )
        return tuple(found)


def _build(rule: ValidatorRule, allowed: Sequence[str]) -> Validator:
    options = rule.options | ({"allowed": allowed} if rule.check == "python" else {})
    try:
        return resolve(rule.check, VALIDATORS, kind="validator")(**options)  # type: ignore[no-any-return]
    except MissingExtraError:
        raise
    except (DifficultyError, TypeError) as error:
        raise BundleError(
            f"policy.json: validator {rule.check!r} cannot be built: {error} Correct the policy's"
            " validators."
        ) from error
