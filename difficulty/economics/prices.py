"""Price lists: dated TOML files that the user edits.

Two sections are enough for the cost of requests: ``[cheap]`` and ``[frontier]``. Economics reads
further ones, see :mod:`difficulty.economics.sections`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from difficulty.economics.sections import Hosting, Scorer, Team, TokenPrice, TrafficShape
from difficulty.errors import FieldError
from difficulty.form import Form, read_toml
from difficulty.records import Prices

_ADVICE = "docs/economics.md says what to write; write 0 for what costs nothing."


@dataclass(frozen=True, kw_only=True)
class PriceList(Form):
    """A whole price list; what a file does not have is ``None``."""

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
            cheap_input=self.cheap.input,
            cheap_output=self.cheap.output,
            frontier_input=self.frontier.input,
            frontier_output=self.frontier.output,
        )

    @property
    def compares_hosting(self) -> bool:
        """Whether it says more than what tokens cost: ways to host, or what routing costs."""
        return self.hosting != Hosting() or self.team is not None


def load_prices(path: Path) -> Prices:
    """Read what the two models cost: ``date``, ``[cheap]`` and ``[frontier]``.

    The sections that economics reads may stand in the file and are checked as well.

    Raises
    ------
    InvalidValueError
        If the file is missing or no TOML.
    FieldError
        If a price is missing or negative, the date is missing, or a key is unknown.
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
        If the file is missing or no TOML.
    FieldError
        If a price is missing or negative, the date is missing, or a key is unknown.
    """
    prices = PriceList.parse_from(path.name, read_toml(path, "price list"), advice=_ADVICE)
    for model in ("cheap", "frontier") if both_models else ():
        if getattr(prices, model) is None:
            raise FieldError("is missing", where=(model,), file=path.name, advice=_ADVICE)
    return prices
