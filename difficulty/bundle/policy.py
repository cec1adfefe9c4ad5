"""``policy.json``: the router's rule with its numbers, and how the threshold was chosen."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["Chosen", "Fallback", "Policy"]

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Fallback(BaseModel):
    """When the frontier model is asked after the cheap one answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    on_validation_failure: bool = True
    catch_rate: Share | None = None
    """Share of the cheap model's failures that validation catches, as expected figures reckon with it. ``None``: not known."""


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
