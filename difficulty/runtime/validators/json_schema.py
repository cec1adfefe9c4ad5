"""Validator ``json_schema``: the answer is JSON of a schema. The one module that names jsonschema.

A schema may come from the client, so it is not trusted: nothing is fetched for it, and its patterns
are matched with a time limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from difficulty.errors import InvalidValueError, MissingExtraError
from difficulty.runtime.validators.answer import Answer, Asked, Verdict
from difficulty.runtime.validators.json_text import applies, parse_json
from difficulty.runtime.validators.regex import search


class JsonSchema:
    """Fail answers that do not conform to a JSON schema (draft 2020-12).

    Parameters
    ----------
    schema : mapping, optional
        Default: the schema in the request's ``response_format``; requests without one are not
        judged.
    fenced : bool, default False
        Accept a Markdown code fence around the JSON.
    """

    def __init__(self, *, schema: Mapping[str, Any] | None = None, fenced: bool = False) -> None:
        self._kind = _validator_class()
        self.fenced = fenced
        self._own = None if schema is None else self._validator(schema)

    def __call__(self, answer: Answer, asked: Asked) -> Verdict | None:
        """Return whether the text conforms."""
        if not applies(answer, asked, only_when_asked=False):
            return None
        validator = self._own
        if validator is None:
            schema = _asked_schema(asked)
            if schema is None:
                return None
            validator = self._validator(schema)
        try:
            value = parse_json(answer.text, fenced=self.fenced)
        except ValueError as error:
            return Verdict(False, str(error))
        problem = next(validator.iter_errors(value), None)
        return (
            Verdict(True)
            if problem is None
            else Verdict(False, f"{problem.validator} at {problem.json_path:.100}")
        )

    def _validator(self, schema: Mapping[str, Any]) -> Any:
        from jsonschema.exceptions import SchemaError
        from referencing import Registry

        try:
            self._kind.check_schema(schema)
        except SchemaError as error:
            raise InvalidValueError(
                "schema", dict(schema), rule="be a JSON schema", hint=f"{error.message:.200}"
            ) from error
        return self._kind(
            schema, registry=Registry()
        )  # an empty registry: references are not fetched


def _asked_schema(asked: Asked) -> Mapping[str, Any] | None:
    form = asked.response_format.get("json_schema")
    schema = form.get("schema") if isinstance(form, Mapping) else None
    return schema if isinstance(schema, Mapping) else None


@lru_cache(maxsize=1)
def _validator_class() -> Any:
    """Return the validator of the draft with its two pattern keywords on the clock."""
    try:
        from jsonschema import Draft202012Validator, ValidationError
        from jsonschema.validators import extend
    except ImportError as error:
        raise MissingExtraError(
            "the json_schema validator", package="jsonschema", extra="gateway"
        ) from error

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
