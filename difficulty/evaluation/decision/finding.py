"""What an honesty check found: what a reader has to know before trusting the figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Self, get_args

from difficulty.errors import InvalidValueError
from difficulty.form import Record

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""The gravest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Record):
    """Something that a reader has to know before trusting the figures."""

    name: str
    """Name of the check; see ``docs/metrics.md``."""
    severity: Severity
    """``error``: figures mislead, or routing by this score cannot be justified by them.
    ``warning``: they hold with a caveat. ``info``: what could not be checked, or was put right.
    """
    message: str
    """What was found and what to do, in a sentence or two."""
    numbers: Mapping[str, float | int] = field(default_factory=dict)
    """What it rests on."""
    advice: str = ""
    """The end of ``message`` that says what to do; empty where it stands elsewhere."""

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise InvalidValueError(
                "severity", self.severity, rule=f"be one of {', '.join(SEVERITIES)}"
            )

    @classmethod
    def of(
        cls,
        name: str,
        severity: Severity,
        fact: str,
        advice: str,
        numbers: Mapping[str, float | int],
    ) -> Self:
        """Return a finding that says what was found, then what to do."""
        message = f"{fact} {advice}".rstrip()
        return cls(name=name, severity=severity, message=message, numbers=numbers, advice=advice)

    @property
    def fact(self) -> str:
        """What was found alone: of several findings one advice is enough."""
        return self.message.removesuffix(self.advice).rstrip()
