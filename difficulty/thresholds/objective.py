"""An objective as the user writes it, and what choosing by it gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from difficulty.errors import InvalidValueError, UnknownNameError
from difficulty.plugins import resolve
from difficulty.thresholds import OBJECTIVES
from difficulty.thresholds.policy_curve import PolicyCurve

_EXAMPLES = "For example: share=0.3 or quality=0.9, with options: risk=0.2,delta=0.05."


class Choice(NamedTuple):
    """A threshold, and what is promised of it."""

    threshold: float
    guarantee: str | None = None
    """What holds for a finite number of samples, and with which confidence."""
    assumed: tuple[str, ...] = ()
    """What the guarantee rests on, a sentence each."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A named objective with its number and options."""

    name: str
    value: float
    options: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return ",".join(
            f"{name}={value:g}" for name, value in ((self.name, self.value), *self.options.items())
        )

    @property
    def promises(self) -> bool:
        """Whether what it finds holds with a stated confidence."""
        return "delta" in _options_of(self._find)

    def find(self, curve: PolicyCurve) -> Choice:
        """Return the choice on a curve.

        Raises
        ------
        NotAttainableError
            If no threshold meets it; the message names the nearest point.
        """
        chosen = self._find(curve, self.value, **self.options)
        return chosen if isinstance(chosen, Choice) else Choice(chosen)

    @property
    def _find(self) -> Callable[..., float | Choice]:
        find: Callable[..., float | Choice] = resolve(self.name, OBJECTIVES, kind="objective")
        return find


def parse_objective(text: str) -> Objective:
    """Return the objective written as ``name=number``, for example ``share=0.3``, perhaps with
    options: ``risk=0.2,delta=0.05``.

    Raises
    ------
    InvalidValueError
        If it is not written so.
    UnknownNameError
        If there is no objective of that name, or it has no such option.
    """
    parts = [part.partition("=") for part in text.split(",")]
    name = parts[0][0].strip()
    if parts[0][1]:
        options = _options_of(resolve(name, OBJECTIVES, kind="objective"))
        for option, _, _ in parts[1:]:
            if option.strip() not in options:
                raise UnknownNameError(f"option of the objective {name}", option.strip(), options)
    try:
        numbers = [float(number) for _, _, number in parts]
    except ValueError:
        raise InvalidValueError(
            "objective", text, rule="be written as name=number", hint=_EXAMPLES
        ) from None
    return Objective(
        name,
        numbers[0],
        {
            option.strip(): number
            for (option, _, _), number in zip(parts[1:], numbers[1:], strict=True)
        },
    )


def _options_of(find: Callable[..., object]) -> list[str]:
    """Return the names of the options of an objective: its keyword-only parameters."""
    return [
        name
        for name, parameter in inspect.signature(find).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
