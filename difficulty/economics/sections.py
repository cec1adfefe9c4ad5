"""The sections of a price list; ``docs/economics.md`` explains each key.

A section is left out or filled in whole: no amount has a default, as unknown is not zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from difficulty.errors import FieldError
from difficulty.form import Form, above, at_least, at_most, finite
from difficulty.records import UsdPerMillion

Shape = Literal["own", "cloud", "aggregator", "dedicated"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
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
class Scorer(Form):
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
    """What is known of the traffic beside the traffic file; a count here stands in only where the
    file has none at all.
    """

    requests_per_month: Positive | tuple[Positive, Positive] | None = None
    """A number, or the ends of a range."""
    peak_to_mean: Annotated[float, finite, at_least(1)] | None = None
    """Traffic of the busiest hour over that of the mean hour of the month."""
    active_hours_per_month: Annotated[float, above(0), at_most(HOURS_A_MONTH)] | None = None
    """Hours in which requests come at all."""
    prompt_tokens: Amount | None = None
    cheap_tokens: Amount | None = None
    frontier_tokens: Amount | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        ends = self.requests_per_month
        if isinstance(ends, tuple) and ends[0] > ends[1]:
            problem = f"must go from low to high: got {ends[0]:g}, {ends[1]:g}"
            raise FieldError(problem, where=("requests_per_month",))
