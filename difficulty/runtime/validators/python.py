"""Validator ``python``: a function of your own.

The policy names it, and the router's own settings must allow its package: a bundle alone cannot
make a router run code.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from difficulty.errors import InvalidValueError
from difficulty.runtime.validators.answer import Answer, Asked, Verdict


class PythonFunction:
    """Ask a function ``f(answer, asked)`` that returns true, false, or ``None`` where it has
    nothing to say.

    Parameters
    ----------
    function : str
        ``package.module:name``; the package must be importable where the router runs.
    allowed : sequence of str
        Packages or modules that may be named, from the router's settings.
    """

    def __init__(self, *, function: str, allowed: Sequence[str] = ()) -> None:
        module, _, name = function.partition(":")
        if not name or not module:
            raise InvalidValueError("function", function, rule="be written package.module:name")
        if not any(module == prefix or module.startswith(f"{prefix}.") for prefix in allowed):
            raise InvalidValueError(
                "function",
                function,
                rule=f"be of an allowed package ({', '.join(allowed) or 'none'})",
                hint="Allow it in the router's settings.",
            )
        try:
            found = getattr(import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise InvalidValueError(
                "function", function, rule="be importable here", hint=f"{error}."
            ) from error
        if not callable(found):
            raise InvalidValueError("function", function, rule="be a function")
        self._function = found

    def __call__(self, answer: Answer, asked: Asked) -> Verdict | None:
        """Return what the function says."""
        passed = self._function(answer, asked)
        return (
            None
            if passed is None
            else Verdict(bool(passed), "" if passed else "refused by your function")
        )
