"""Label sources: where outcomes are learned from, and how their raw columns become those of the
traffic contract.

A source takes the raw rows of all files, in order, and gives rows of the contract: what reaches
Parquet are contract columns. To add one, write a module with a class that has the three members of
:class:`LabelSource` and add one line to ``LABELS``; another package registers it as an entry point
of group ``difficulty.label_sources``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from difficulty.errors import InvalidValueError, UnknownNameError
from difficulty.plugins import resolve
from difficulty.traffic.readers import RawRow


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """Counts and rates of one source; unknown ones are ``None``."""

    source: str
    counts: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def rounded(value: float, digits: int = 4) -> float | None:
    """Return a number for a report; ``None`` for NaN, which JSON has no word for."""
    return None if math.isnan(value) else round(value, digits)


LABELS = {
    "annotators": "difficulty.traffic.labels.annotators:Annotators",
    "gap": "difficulty.traffic.labels.rowwise:GapMargin",
    "halves": "difficulty.traffic.labels.halves:Halves",
    "judge": "difficulty.traffic.labels.judge:JudgeScores",
    "preference": "difficulty.traffic.labels.rowwise:Preferences",
    "validation": "difficulty.traffic.labels.rowwise:Validation",
}
_NEXT_OPTION = re.compile(r",(?=\w+=)")  # a comma inside a value, as in scale=1,10, is not one


class LabelSource(Protocol):
    """From raw columns to outcomes; one object reads one ingest."""

    options: ClassVar[Mapping[str, Callable[[str], Any]]]
    """Options that may be written after the name, each with what reads its text; they are keyword
    arguments of the class.
    """

    def rows(self, rows: Iterable[RawRow]) -> Iterator[RawRow]:
        """Yield rows of the contract; a row that breaks a rule goes on with its ``problem``."""

    def report(self) -> SourceReport:
        """Return what was found, when all rows have been read."""


def find_labels(text: str) -> LabelSource:
    """Return the label source written as ``name`` or ``name:option=value,option=value``.

    Parameters
    ----------
    text : str
        For example ``judge:scale=1,10``.

    Raises
    ------
    UnknownNameError
        If there is no such source, or it has no such option.
    InvalidValueError
        If an option is not written so, has a value that cannot be, or is missing.
    """
    # The options read their own text, so a new source needs no code here.
    name, _, rest = text.partition(":")
    source = resolve(name.strip(), LABELS, kind="label source")
    options: dict[str, Any] = {}
    for part in _NEXT_OPTION.split(rest) if rest else []:
        option, equals, value = part.partition("=")
        if not equals:
            subject, rule = f"option of label source {name!r}", "be written as option=value"
            hint = "For example: judge:scale=1,10."
            raise InvalidValueError(subject, part, rule=rule, hint=hint)
        if option not in source.options:
            raise UnknownNameError(f"{name} option", option, source.options)
        options[option] = source.options[option](value)
    return source(**options)  # type: ignore[no-any-return]
