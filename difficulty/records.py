"""The frozen records that travel through the package; each refuses values that break its rule.

Missing is never zero: an outcome that is not known is ``None`` here and NaN in arrays.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from difficulty.errors import InvalidValueError
from difficulty.form import Form, Record, Rule, Share
from difficulty.routes import Route

_Counts = Any
"""A number, or an array of numbers: this room knows no numpy."""
Preference = Literal["cheap", "tie", "frontier"]
OUTCOMES = ("cheap_quality", "frontier_quality", "cheap_passed", "preference")
"""Fields of a sample that say what became of it; of unlabelled traffic none is known."""
ANSWERS = ("cheap_answer", "frontier_answer")
"""Fields of a sample that hold what the models answered."""
TOKEN_COUNTS = ("prompt_tokens", "cheap_tokens", "frontier_tokens", "cached_tokens")
COSTS = ("cheap_cost_usd", "frontier_cost_usd")
"""Fields of a sample that hold what was billed for each model's answer."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a request; ``content`` is plain text (see :mod:`difficulty.text` for how parts
    become text).
    """

    role: str
    content: str
    marks: str = ""
    """What it has beside text, see :mod:`difficulty.views.marks`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A request with what is known of its outcomes; the fields are those of the traffic contract in
    ``docs/traffic.md``.
    """

    id: str
    messages: tuple[Message, ...]
    task: str | None = None
    group: str | None = None
    timestamp: datetime | None = None
    cheap_model: str | None = None
    frontier_model: str | None = None
    cheap_quality: float | None = None
    frontier_quality: float | None = None
    cheap_passed: bool | None = None
    preference: Preference | None = None
    prompt_tokens: int | None = None
    cheap_tokens: int | None = None
    frontier_tokens: int | None = None
    cached_tokens: int | None = None
    """Of the prompt's tokens, those that the provider read from its cache."""
    cheap_cost_usd: float | None = None
    """What was billed for the cheap model's answer, in USD; 0 where it came from the gateway's own
    cache.
    """
    frontier_cost_usd: float | None = None
    route: Route | None = None
    propensity: float | None = None
    measured_by: str | None = None
    """What the outcomes were measured by: ``exact``, ``tests``, ``judge:NAME``, ``votes``,
    ``validators:NAMES``; a word of the user's own is kept.
    """
    cheap_answer: str | None = None
    """What the cheap model answered: text, or the assistant message as JSON text; an empty string
    is an empty answer.
    """
    frontier_answer: str | None = None
    tools: tuple[Mapping[str, Any], ...] | None = None
    """Tools that the request offered, as its body has them."""
    inclusion: float | None = None
    """Probability with which the request was chosen for labelling."""
    weight: float = 1.0
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Columns this package does not know, kept as they came."""

    def __post_init__(self) -> None:
        if not self.id:
            raise InvalidValueError("id", self.id, rule="be a non-empty string")
        if not any(message.content.strip() for message in self.messages):
            raise InvalidValueError(
                "messages",
                [m.role for m in self.messages],
                rule="hold some text to score",
                hint="Images and audio alone cannot be scored.",
            )
        for name in ("cheap_quality", "frontier_quality"):
            _check(
                getattr(self, name), name, "be in [0, 1] or null", lambda value: 0.0 <= value <= 1.0
            )
        self._check_counts()
        _check(
            self.propensity,
            "propensity",
            "be in (0, 1] or null: the probability of the route taken",
            lambda value: 0.0 < value <= 1.0,
        )
        # A probability without its route says nothing of either model.
        if self.propensity is not None and self.route is None:
            raise InvalidValueError(
                "propensity", self.propensity, rule="stand beside the route that was taken with it"
            )
        _check(
            self.inclusion,
            "inclusion",
            "be in (0, 1] or null: the probability with which the request was chosen",
            lambda value: 0.0 < value <= 1.0,
        )
        _check(
            self.weight,
            "weight",
            "be a finite number above 0",
            lambda value: 0.0 < value < math.inf,
        )
        if self.preference is not None and self.preference not in get_args(Preference):
            raise InvalidValueError(
                "preference", self.preference, rule="be 'cheap', 'tie', 'frontier' or null"
            )
        if self.route is not None and self.route not in get_args(Route):
            raise InvalidValueError("route", self.route, rule="be 'cheap', 'frontier' or null")

    def _check_counts(self) -> None:
        """Refuse token counts and bills that cannot be."""
        for name in TOKEN_COUNTS:
            _check(getattr(self, name), name, "be 0 or more, or null", lambda value: value >= 0)
        for name in COSTS:
            _check(
                getattr(self, name),
                name,
                "be a finite number of USD, 0 or more, or null",
                lambda value: 0.0 <= value < math.inf,
            )
        if (self.cached_tokens or 0) > (self.prompt_tokens or math.inf):
            raise InvalidValueError(
                "cached_tokens",
                self.cached_tokens,
                rule="be a part of prompt_tokens",
                hint="Where a bill counts them apart, prompt_tokens is the sum.",
            )

    @property
    def has_outcome(self) -> bool:
        """Whether anything is known of what either model did."""
        return any(getattr(self, name) is not None for name in OUTCOMES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate(Record):
    """A number with its interval: the form of every figure in ``metrics.json``."""

    value: float | None
    """``None`` when the metric is undefined on this data; ``note`` says why."""
    low: float | None = None
    high: float | None = None
    n: int = 0
    """Number of samples behind the value."""
    note: str = ""

    def as_dict(self, *, without: Container[str] = ()) -> dict[str, Any]:
        """Return the JSON form; ``note`` appears only when there is one."""
        # By name, because slots make the class anew and a bare super() knows only the first one.
        return super(Estimate, self).as_dict(without=without if self.note else {"note"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPoint(Record):
    """Where a check sends answers of the cheap model on: when ``answer_score > threshold``."""

    threshold: float
    kind: Literal["check", "both"]
    """``check``: the request's score sends nothing; ``both``: it sends what is above its own
    threshold.
    """
    request_threshold: float | None
    """Threshold of the request's score where no check can count; ``None``: its own."""
    on_unknown: Literal["pass", "escalate"] = "pass"
    """What becomes of an answer that was not checked."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OperatingPoint(Record):
    """A threshold with what to expect of it; a request goes to the frontier model when
    ``difficulty_score > threshold``, or after its answer was checked (``answer``).
    """

    threshold: float
    objective: str
    """How it was chosen, as written by the user: ``"share=0.3"``."""
    frontier_share: Estimate
    """Share of requests sent to the frontier model, in [0, 1]."""
    quality: Estimate
    """Mean quality of the routed answers, in the label source's unit [0, 1]."""
    gap_recovered: Estimate
    """Share of the gap between cheap and frontier quality that routing recovers (PGR)."""
    cost: Estimate
    """USD per 1,000 requests; value ``None`` without prices or token counts."""
    risk: Estimate = Estimate(value=None)
    """Share of the kept requests that the cheap model fails without being caught, in [0, 1]."""
    fallback_share: Estimate = Estimate(value=None)
    """Share of the requests that are kept, caught failing, and answered by the frontier model after
    all, in [0, 1].
    """
    escalated_share: Estimate | None = None
    """Share of the requests that are sent on after the check of their answer, a part of
    ``frontier_share``; ``None``: answers are not checked.
    """
    answer: AnswerPoint | None = None
    """``None``: answers are not checked."""
    task_thresholds: Mapping[str, float] = field(default_factory=dict)
    """Thresholds of single tasks, in place of ``threshold``."""
    guarantee: str | None = None
    """What is promised for a finite number of samples, and with which confidence."""
    assumed: tuple[str, ...] = ()
    """What the figures rest on, a sentence each."""
    n_to_halve: int | None = None
    """About how many samples would make every interval half as wide."""

    def __post_init__(self) -> None:
        for value in (self.threshold, *self.task_thresholds.values()):
            if not 0.0 <= value <= 1.0:
                # Up to 100 a percentage was meant.
                hint = f"Pass {value / 100:g}, not a percentage." if 1.0 < value <= 100.0 else ""
                raise InvalidValueError(
                    "threshold", value, rule="be a probability in [0, 1]", hint=hint
                )


UsdPerMillion = Annotated[
    float, Rule("be 0 or more USD per million tokens", lambda price: 0 <= price < math.inf)
]


@dataclass(frozen=True, kw_only=True)
class Prices(Form):
    """What the two models cost, in USD per million tokens, on a date."""

    date: str
    """ISO date of the price list."""
    cheap_input: UsdPerMillion
    cheap_output: UsdPerMillion
    frontier_input: UsdPerMillion
    frontier_output: UsdPerMillion
    cheap_cached_input: UsdPerMillion | None = None
    """Prompt tokens that the provider reads from its cache; ``None``: priced as other input."""
    frontier_cached_input: UsdPerMillion | None = None
    cached_share: Share = 0.0
    """Share of the prompt tokens that come from the cache, of calls that do not say it."""

    def cost(
        self, route: Route, prompt: _Counts, completion: _Counts, *, cached: _Counts = 0
    ) -> _Counts:
        """Return the USD of a call, or of many.

        Parameters
        ----------
        route : {"cheap", "frontier"}
            The model that answered.
        prompt, completion : float or ndarray of shape (n,)
            Tokens read and written.
        cached : float or ndarray of shape (n,)
            Tokens of the prompt that came from the provider's cache.
        """
        if route == "cheap":
            full, kept, answer = self.cheap_input, self.cheap_cached_input, self.cheap_output
        else:
            full, kept = self.frontier_input, self.frontier_cached_input
            answer = self.frontier_output
        reused = full if kept is None else kept
        return ((prompt - cached) * full + cached * reused + completion * answer) / 1e6

    def cold_cost(self, route: Route, tokens: float) -> float | None:
        """Return the USD that prompt tokens cost more than they would from a cache, on the model of
        a route; ``None`` where the price of cached ones is not known.
        """
        full, kept = (
            (self.cheap_input, self.cheap_cached_input)
            if route == "cheap"
            else (self.frontier_input, self.frontier_cached_input)
        )
        return None if kept is None else float(tokens * (full - kept) / 1e6)


def _check(value: Any, subject: str, rule: str, holds: Any) -> None:
    """Refuse ``value`` unless it is ``None`` or a number for which ``holds``."""
    if value is None:
        return
    # To Python True is 1; as an outcome or a count it is a mistake.
    if isinstance(value, bool) or not isinstance(value, int | float) or not holds(value):
        raise InvalidValueError(subject, value, rule=rule)
