"""Price lists: dated TOML files that the user edits.

Two sections are enough for the cost of requests: ``[cheap]`` and ``[frontier]``. Economics reads
the others too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import FieldError
from difficulty.form import Form, Share, above, at_least, at_most, finite, read_toml
from difficulty.metrics.arrays import FloatArray
from difficulty.records import Prices, UsdPerMillion

if TYPE_CHECKING:
    from difficulty.traffic.table import Bill, Tokens

Shape = Literal["own", "cloud", "aggregator", "dedicated"]
SHAPE_WORDS: Final[Mapping[Shape, str]] = {
    "own": "own GPUs",
    "cloud": "rented GPUs",
    "aggregator": "hosting by an aggregator",
    "dedicated": "a dedicated endpoint",
}
"""Ways to host the cheap model, as a sentence names them."""
SHAPES: tuple[Shape, ...] = get_args(Shape)
# 365 days of 24 hours in 12 months.
HOURS_A_MONTH = 730.0

Amount = Annotated[float, finite, at_least(0)]
Positive = Annotated[float, finite, above(0)]
Count = Annotated[int, at_least(0)]


@dataclass(frozen=True, kw_only=True)
class Machine(Form):
    """What one replica of the cheap model serves."""

    input_tokens_per_second: Positive
    """Prompt tokens that a replica reads a second, with no answer to write."""
    output_tokens_per_second: Positive
    """Answer tokens that a replica writes a second, over all requests in its batch."""
    max_utilisation: Annotated[float, above(0), at_most(1)]
    """How full a replica may be at the busiest time before another is needed."""
    min_replicas: Count
    """Replicas that run whatever the traffic; 0: none in hours without traffic."""
    usd_per_month: Amount
    """Fixed cost beside the machines: rack, network, licences, people who run it."""


@dataclass(frozen=True, kw_only=True)
class OwnGpu(Machine):
    """Own GPUs: bought once, powered always."""

    gpus_per_replica: Annotated[int, at_least(1)]
    usd_per_gpu: Amount
    """Purchase price with the GPU's part of the server."""
    months: Positive
    """Months over which the purchase is written off."""
    watts_per_gpu: Amount
    """Mean draw with the GPU's part of the server."""
    usd_per_kwh: Amount
    power_overhead: Annotated[float, finite, at_least(1)]
    """Power of the room over power of the machines (PUE)."""


@dataclass(frozen=True, kw_only=True)
class CloudGpu(Machine):
    """GPUs rented by the hour."""

    gpus_per_replica: Annotated[int, at_least(1)]
    usd_per_gpu_hour: Amount
    cold_start_seconds: Amount
    """How long the first request waits where no replica runs."""


@dataclass(frozen=True, kw_only=True)
class Dedicated(Machine):
    """An endpoint for this team alone, run by a host."""

    usd_per_endpoint_hour: Amount
    cold_start_seconds: Amount


@dataclass(frozen=True, kw_only=True)
class TokenPrice(Form):
    """What a model costs, in USD per million tokens."""

    input: UsdPerMillion
    output: UsdPerMillion
    cached_input: UsdPerMillion | None = None
    """Prompt tokens that the provider reads from its cache; ``None``: priced as other input."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cached_input is not None and self.cached_input > self.input:
            raise FieldError(
                f"must be at most the price of other input, {self.input:g}: got"
                f" {self.cached_input:g}",
                where=("cached_input",),
            )

    def reading(self, cached_share: float) -> float:
        """Return USD per million prompt tokens of which a share comes from the cache."""
        reused = self.input if self.cached_input is None else self.cached_input
        return self.input + cached_share * (reused - self.input)


@dataclass(frozen=True, kw_only=True)
class Aggregator(TokenPrice):
    """The cheap model by the token."""

    usd_per_month: Amount
    """Fixed fee."""
    cold_start_seconds: Amount


@dataclass(frozen=True, kw_only=True)
class Hosting(Form):
    """The ways to run the cheap model that are to be compared."""

    own: OwnGpu | None = None
    cloud: CloudGpu | None = None
    aggregator: Aggregator | None = None
    dedicated: Dedicated | None = None


@dataclass(frozen=True, kw_only=True)
class ScorerHosting(Form):
    """What it takes to score every request."""

    milliseconds_per_request: Amount
    """Processor time."""
    cores: Amount
    """Cores kept running for it all month; 0 where it runs inside the gateway."""
    usd_per_core_hour: Amount


@dataclass(frozen=True, kw_only=True)
class Team(Form):
    """What it takes to keep routing: people, labels, judge calls."""

    hours_per_month: Amount
    usd_per_hour: Amount
    labels_per_month: Amount
    usd_per_label: Amount
    judge_calls_per_month: Amount
    usd_per_judge_call: Amount
    setup_hours: Amount
    """Hours to set it up, once; they count in the payback, not in the saving."""
    usd_per_lost_answer: Amount | None = None
    """What it costs when one answer falls from quality 1 to 0; not counted when not given."""

    @property
    def usd_per_month(self) -> float:
        """What keeping it costs a month."""
        labels = (
            self.labels_per_month * self.usd_per_label
            + self.judge_calls_per_month * self.usd_per_judge_call
        )
        return self.hours_per_month * self.usd_per_hour + labels

    @property
    def setup_usd(self) -> float:
        """What setting it up costs, once."""
        return self.setup_hours * self.usd_per_hour


@dataclass(frozen=True, kw_only=True)
class TrafficShape(Form):
    """What is known beside the traffic file; a count stands in where that has none at all."""

    requests_per_month: Positive | tuple[Positive, Positive] | None = None
    """A number, or the ends of a range."""
    peak_to_mean: Annotated[float, finite, at_least(1)] | None = None
    """Traffic of the busiest hour over that of the mean hour of the month."""
    active_hours_per_month: Annotated[float, above(0), at_most(HOURS_A_MONTH)] | None = None
    """Hours in which requests come at all."""
    prompt_tokens: Amount | None = None
    cheap_tokens: Amount | None = None
    frontier_tokens: Amount | None = None
    cached_share: Share | None = None
    """Share of the prompt tokens that the providers read from their caches."""

    def __post_init__(self) -> None:
        super().__post_init__()
        ends = self.requests_per_month
        if isinstance(ends, tuple) and ends[0] > ends[1]:
            problem = f"must go from low to high: got {ends[0]:g}, {ends[1]:g}"
            raise FieldError(problem, where=("requests_per_month",))


_ADVICE = "docs/economics.md says what to write; write 0 for what costs nothing."


@dataclass(frozen=True, kw_only=True)
class PriceList(Form):
    """A whole price list; what a file does not have is ``None``."""

    date: date
    cheap: TokenPrice | None = None
    frontier: TokenPrice | None = None
    judge: TokenPrice | None = None
    """Of the model that judges answers, where labels are bought."""
    hosting: Hosting = Hosting()
    scorer: ScorerHosting | None = None
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
            cheap_cached_input=self.cheap.cached_input,
            frontier_cached_input=self.frontier.cached_input,
            cached_share=self.traffic.cached_share or 0.0,
        )

    def blended(self) -> PriceList:
        """Return the list with what a prompt token costs on average, cached ones among them."""
        share = self.traffic.cached_share
        if not share:
            return self
        hosting = replace(self.hosting, aggregator=_blended(self.hosting.aggregator, share))
        return replace(
            self,
            cheap=_blended(self.cheap, share),
            frontier=_blended(self.frontier, share),
            hosting=hosting,
        )

    @property
    def compares_hosting(self) -> bool:
        """Whether it says more than what tokens cost: ways to host, or what routing costs."""
        return self.hosting != Hosting() or self.team is not None


_Price = TypeVar("_Price", bound=TokenPrice)


def _blended(price: _Price | None, cached_share: float) -> _Price | None:
    return replace(price, input=price.reading(cached_share)) if price else None


def load_prices(path: Path) -> Prices:
    """Read what the two models cost: ``date``, ``[cheap]`` and ``[frontier]``. Other sections are
    checked as well; errors are those of :func:`load_price_list`.
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
    # Economics goes on with what is known; the cost of a request needs both models.
    for model in ("cheap", "frontier") if both_models else ():
        if getattr(prices, model) is None:
            raise FieldError("is missing", where=(model,), file=path.name, advice=_ADVICE)
    return prices


def request_costs(
    tokens: Tokens,
    prices: Prices | None,
    bill: Bill | None = None,
    *,
    counted: NDArray[np.integer] | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return USD per request on the cheap and on the frontier model, arrays of shape (n,): what was
    billed, else tokens by price; NaN where a count or price is unknown too. A prompt without a
    count of its own takes ``counted``, that of the scorer's tokenizer, as in economics.
    """
    unknown = np.full(len(tokens.prompt), np.nan)
    cheap, frontier = bill or (unknown, unknown.copy())
    if prices is None:
        return cheap, frontier
    if counted is not None:
        unread = np.isnan(tokens.prompt)
        tokens = tokens._replace(prompt=np.where(unread, counted, tokens.prompt))
    # What requests say of the cache goes before what the price list says of all of them.
    usual = prices.cached_share * tokens.prompt
    cached = tokens.cached if tokens.cached is not None else usual
    cached = np.where(np.isnan(cached), usual, cached)
    priced = (
        prices.cost("cheap", tokens.prompt, tokens.cheap, cached=cached),
        prices.cost("frontier", tokens.prompt, tokens.frontier, cached=cached),
    )
    return (
        np.where(np.isnan(cheap), priced[0], cheap),
        np.where(np.isnan(frontier), priced[1], frontier),
    )
