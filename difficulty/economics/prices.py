"""Price lists: dated TOML files that the user edits."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

from difficulty.errors import InvalidValueError
from difficulty.records import Prices

__all__ = ["load_prices"]


def load_prices(path: Path) -> Prices:
    """Read a price list: ``date``, and ``input`` and ``output`` in USD per million tokens under ``[cheap]`` and ``[frontier]``.

    Raises
    ------
    InvalidValueError
        If the file is missing or no TOML, a price is missing or negative, the date is missing, or a key is unknown.
    """
    form = _read(path)
    _check_keys(path.name, form, {"date", "cheap", "frontier"})
    for model in ("cheap", "frontier"):
        section = form[model]
        if not isinstance(section, dict):
            raise InvalidValueError(f"{path.name}: {model}", section, rule="be a section with input and output")
        _check_keys(f"{path.name}: {model}", section, {"input", "output"})
    return Prices(
        date=_iso_date(path.name, form["date"]),
        cheap_input=form["cheap"]["input"],
        cheap_output=form["cheap"]["output"],
        frontier_input=form["frontier"]["input"],
        frontier_output=form["frontier"]["output"],
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidValueError("price list", str(path), rule="be a readable TOML file", hint=f"{error}.") from error


def _check_keys(subject: str, form: dict[str, Any], wanted: set[str]) -> None:
    if set(form) != wanted:
        raise InvalidValueError(subject, sorted(form), rule=f"have the keys {', '.join(sorted(wanted))} and no others")


def _iso_date(name: str, value: object) -> str:
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError:
        raise InvalidValueError(f"{name}: date", value, rule="be a date like 2026-11-01", hint="A price list needs its date.") from None
