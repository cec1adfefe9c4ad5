"""Price lists: dated TOML files that the user edits.

Two sections are enough for the cost of requests: ``[cheap]`` and ``[frontier]``. Economics reads
further ones, see :mod:`difficulty.economics.sections`.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from difficulty.economics.sections import Hosting, Scorer, Team, TrafficShape
from difficulty.errors import InvalidValueError
from difficulty.records import Prices

_MODELS = ("cheap", "frontier")
_SECTIONS: dict[str, type[BaseModel]] = {
    "hosting": Hosting,
    "scorer": Scorer,
    "team": Team,
    "traffic": TrafficShape,
}
_KEYS = {"date", *_MODELS}


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrice:
    """What a model costs, in USD per million tokens."""

    reading: float
    writing: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """A whole price list; what a file does not have is ``None``."""

    name: str
    """Of the file, for messages."""
    date: date
    cheap: TokenPrice | None = None
    frontier: TokenPrice | None = None
    hosting: Hosting = Hosting()
    scorer: Scorer | None = None
    team: Team | None = None
    traffic: TrafficShape = TrafficShape()

    @property
    def per_token(self) -> Prices | None:
        """What the two models cost; ``None`` where either is not known."""
        if self.cheap is None or self.frontier is None:
            return None
        return Prices(
            date=self.date.isoformat(),
            cheap_input=self.cheap.reading,
            cheap_output=self.cheap.writing,
            frontier_input=self.frontier.reading,
            frontier_output=self.frontier.writing,
        )

    @property
    def compares_hosting(self) -> bool:
        """Whether the list says more than what tokens cost: ways to host, or what routing costs to
        keep.
        """
        return self.hosting != Hosting() or self.team is not None


def load_prices(path: Path) -> Prices:
    """Read what the two models cost: ``date``, and ``input`` and ``output`` in USD per million
    tokens under ``[cheap]`` and ``[frontier]``.

    The sections that economics reads may stand in the file and are checked as well.

    Raises
    ------
    InvalidValueError
        If the file is missing or no TOML, a price is missing or negative, the date is missing, or a
        key is unknown.
    """
    prices = load_price_list(path, both_models=True).per_token
    assert prices is not None  # both were needed
    return prices


def load_price_list(path: Path, *, both_models: bool = False) -> PriceList:
    """Read a price list with all its sections.

    Parameters
    ----------
    path : Path
        A TOML file.
    both_models : bool
        Whether ``[cheap]`` and ``[frontier]`` must be there; the date must be in any case.

    Raises
    ------
    InvalidValueError
        If the file is missing or no TOML, a price is missing or negative, the date is missing, or a
        key is unknown.
    """
    form = _read(path)
    _check_keys(path.name, form, _KEYS if both_models else {"date"})
    parts: dict[str, Any] = {
        model: _token_price(path.name, model, form[model]) for model in _MODELS if model in form
    }
    parts |= {
        name: _section(path.name, name, kind, form[name])
        for name, kind in _SECTIONS.items()
        if name in form
    }
    return PriceList(name=path.name, date=_iso_date(path.name, form["date"]), **parts)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidValueError(
            "price list", str(path), rule="be a readable TOML file", hint=f"{error}."
        ) from error


def _check_keys(name: str, form: dict[str, Any], needed: set[str]) -> None:
    optional = sorted({*_KEYS, *_SECTIONS} - needed)
    if not needed <= set(form) <= {*needed, *optional}:
        rule = f"have the keys {', '.join(sorted(needed))} and no others than {', '.join(optional)}"
        raise InvalidValueError(name, sorted(form), rule=rule)


def _token_price(name: str, model: str, section: Any) -> TokenPrice:
    if not isinstance(section, dict):
        raise InvalidValueError(
            f"{name}: {model}", section, rule="be a section with input and output"
        )
    if set(section) != {"input", "output"}:
        raise InvalidValueError(
            f"{name}: {model}", sorted(section), rule="have the keys input, output and no others"
        )
    for kind, price in section.items():
        if (
            isinstance(price, bool)
            or not isinstance(price, int | float)
            or not 0 <= price < math.inf
        ):
            raise InvalidValueError(
                f"{name}: price {model}_{kind}", price, rule="be 0 or more USD per million tokens"
            )
    return TokenPrice(reading=section["input"], writing=section["output"])


def _section(name: str, section: str, kind: type[BaseModel], form: Any) -> Any:
    try:
        return kind.model_validate(form)
    except ValidationError as error:
        problem = error.errors()[0]
        inner, key = _place(form, problem["loc"])
        where = f"{name}: " + ".".join([section, *inner])
        if problem["type"] == "missing":
            rule = f"have the key {key}"
            raise InvalidValueError(
                where, sorted(problem["input"]), rule=rule, hint="Write 0 for what costs nothing."
            ) from error
        if problem["type"] == "extra_forbidden":
            raise InvalidValueError(
                where, key, rule="have no keys but those of docs/economics.md"
            ) from error
        rule = (
            "be a section"
            if problem["type"] == "model_type"
            else problem["msg"].removeprefix("Value error, ").removeprefix("Input should ")
        )
        raise InvalidValueError(
            f"{where}.{key}" if key else where, problem["input"], rule=rule
        ) from error


def _place(form: Any, location: tuple[int | str, ...]) -> tuple[list[str], str]:
    """Return the sections that a problem lies in and the key it is of; pydantic's names for the
    kinds of a union are left out.
    """
    inner: list[str] = []
    for part in location[:-1]:
        if not isinstance(form.get(part), dict):
            return inner, str(part)
        inner.append(str(part))
        form = form[part]
    return inner, str(location[-1]) if location else ""


def _iso_date(name: str, value: object) -> date:
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise InvalidValueError(
            f"{name}: date",
            value,
            rule="be a date like 2026-11-01",
            hint="A price list needs its date.",
        ) from None
