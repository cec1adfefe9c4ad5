"""``policy.json``: the router's rule with its numbers, and how the threshold was chosen."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["Chosen", "Exploration", "Fallback", "Policy", "ValidatorRule"]

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class ValidatorRule(BaseModel):
    """One check of the cheap model's answers; see :mod:`difficulty.runtime.validators`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    check: str = Field(min_length=1)
    """Name of a validator: ``json``, ``non_empty``, ..."""
    tasks: tuple[str, ...] = ()
    """Tasks whose answers are checked; empty for every request, also those without a task."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The validator's own options."""


class Fallback(BaseModel):
    """When the frontier model is asked after the cheap one answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    on_validation_failure: bool = True
    on_call_failure: bool = True
    """Whether the frontier model is called when the cheap one times out, is rate-limited or fails."""
    validators: tuple[ValidatorRule, ...] = ()
    """What an answer has to pass; without any, no answer fails."""
    streaming: Literal["pass", "buffer"] = "pass"
    """Streamed cheap answers: ``pass`` sends them on as they come, unchecked; ``buffer`` holds them back until they are checked."""
    catch_rate: Share | None = None
    """Share of the cheap model's failures that validation catches, as expected figures reckon with it. ``None``: not known."""


class Exploration(BaseModel):
    """What is tried beside the rule, so that the log can teach; off by default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epsilon: float = Field(default=0.0, ge=0.0, le=0.5)
    """Probability with which a scored request takes the other route."""
    shadow: Share = 0.0
    """Share of the requests that are also sent to the other model, outside the request's time; nobody sees that answer."""
    seed: int = Field(default=0, ge=0)
    """Chance is a hash of this and of the request's id."""


class Chosen(BaseModel):
    """How the threshold was chosen, and what was expected of it then."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    objective: str
    """As the user wrote it: ``share=0.3``."""
    calibration_data: str
    """Hash of the texts of the calibration rows."""
    n: int = Field(ge=0)
    """Number of calibration rows the threshold was chosen on."""
    expected: dict[str, Any]
    """``frontier_share``, ``quality``, ``gap_recovered``, ``cost``, ``risk`` and ``fallback_share``, each with value, low, high, n."""
    assumed: tuple[str, ...] = ()
    """What these expectations rest on, a sentence each."""
    guarantee: str | None = None
    """What is promised for a finite number of samples, and with which confidence."""


class Policy(BaseModel):
    """The router's rule; see :mod:`difficulty.runtime.rule` for how it is applied."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cheap_model: str = Field(min_length=1)
    frontier_model: str = Field(min_length=1)
    max_cheap_tokens: int = Field(default=256, ge=0)
    """Easy tasks shorter than this are sent to the cheap model without scoring; 0 switches that off."""
    easy_tasks: tuple[str, ...] = ()
    hard_tasks: tuple[str, ...] = ()
    threshold: Share
    """Frontier when ``difficulty_score > threshold``."""
    task_thresholds: dict[str, Share] = Field(default_factory=dict)
    """Thresholds of single tasks, in place of ``threshold``."""
    min_familiarity: Share = 0.0
    """Requests less familiar than this go to the frontier model; 0 switches that off."""
    fallback: Fallback = Fallback()
    exploration: Exploration = Exploration()
    on_error: Literal["frontier"] = "frontier"
    """Where a request goes that cannot be scored."""
    review_date: date
    chosen: Chosen

    @model_validator(mode="after")
    def _tasks_are_easy_or_hard(self) -> Policy:
        both = sorted({*self.easy_tasks} & {*self.hard_tasks})
        if both:
            raise ValueError(f"a task is easy or hard, not both: got {', '.join(both)}")
        return self
