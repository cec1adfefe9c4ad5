"""What is decided on a request, and what is known of it on the way there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from difficulty.bundle import Policy
from difficulty.form import Record
from difficulty.needs import NOTHING, Needs
from difficulty.needs.takers import BOTH, Takers, Taking
from difficulty.request import Request
from difficulty.routes import Held, Route
from difficulty.runtime.rule import Reason, Ruling, threshold_of
from difficulty.runtime.scorer import Score, describe

TokensSource = Literal["request", "tokenizer", "estimate"]
ScoredBy = Literal["scorer", "early"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Decision(Record):
    """Where a request goes, and why."""

    route: Route
    model: str
    """Name of the model to call."""
    reason: Reason
    difficulty_score: float | None
    """What was compared with the threshold; ``None`` where no score was needed or had."""
    p_cheap_fails: float | None
    p_frontier_fails: float | None
    familiarity: float | None
    threshold: float
    fallback: str | None
    """Model to call when the cheap answer fails validation; ``None`` for none."""
    task: str | None
    tokens: int | None
    tokens_source: TokensSource | None
    """Who counted; an estimate where the request is too long to tokenize whole."""
    truncated: bool
    """Whether the scorer saw less than the whole request."""
    bundle_version: str
    scored_by: ScoredBy | None = None
    """``early`` where the small graph was sure; the other outputs are ``None`` then."""
    masked_share: float = 0.0
    """Share of the request that the text view left out as context; the kinds are the view's."""
    held_on: Route | None = None
    """The route that the request's session was on, where the policy has ``stick``; ``None``: none
    was, or its cache had gone cold.
    """
    switch_cost_usd: float | None = None
    """What leaving that route costs in cold prompt caches: paid where ``route`` is the other one,
    spared with reason ``stick``; ``None``: not known, or nothing was held.
    """
    can_take: Takers = "both"
    """Which models can take the request; ``neither`` is told in the log and counted."""
    ineligible: tuple[str, ...] = ()
    """Why one of them cannot, with reason ``ineligible``: ``cheap.image``, ..."""
    error: str | None = None
    """Why the request could not be scored, with reason ``scorer_error``."""


@dataclass(slots=True)
class Look:
    """What is known of a request on its way to a decision."""

    request: Request
    policy: Policy
    ids: Sequence[int] = field(default_factory=list)
    held: Held | None = None  # the session, where the policy keeps its model.
    needs: Needs = NOTHING
    taking: Taking = BOTH
    with_task: bool = False  # whether the scorer knows the task.
    tokens: int | None = None
    source: TokensSource | None = None
    truncated: bool = False
    masked_share: float = 0.0
    verdict: Ruling | None = None
    score: Score | None = None
    early_score: float | None = None  # where it was enough to decide by.
    error: BaseException | None = None

    @property
    def is_open(self) -> bool:
        """Whether a score is needed, and one can be had."""
        return self.verdict is None and self.error is None

    @property
    def task(self) -> str | None:
        """The task, where it is one."""
        task = self.request.task
        # As a plain string, whatever a class of the caller's makes of itself.
        return str.__str__(task) if isinstance(task, str) else None


def build_decision(look: Look, verdict: Ruling, score: Score | None, *, version: str) -> Decision:
    """Return the decision that a verdict makes of what is known of a request; ``version`` is the
    bundle's.
    """
    cheap = verdict.route == "cheap"
    scored_by: ScoredBy | None = (
        "scorer" if score else None if look.early_score is None else "early"
    )
    policy = look.policy
    falls_back = policy.fallback.on_validation_failure or policy.answer is not None
    falls_back = falls_back and cheap and look.taking.takers == "both"
    return Decision(
        route=verdict.route,
        model=policy.cheap_model if cheap else policy.frontier_model,
        reason=verdict.reason,
        difficulty_score=score.difficulty_score if score else look.early_score,
        p_cheap_fails=score.p_cheap_fails if score else None,
        p_frontier_fails=score.p_frontier_fails if score else None,
        familiarity=score.familiarity if score else None,
        threshold=threshold_of(policy, look.task),
        fallback=policy.frontier_model if falls_back else None,
        task=look.task,
        tokens=look.tokens,
        tokens_source=look.source,
        truncated=look.truncated,
        masked_share=look.masked_share,
        bundle_version=version,
        scored_by=scored_by,
        held_on=look.held.route if look.held else None,
        switch_cost_usd=look.held.switch_cost_usd if look.held else None,
        can_take=look.taking.takers,
        ineligible=look.taking.rules,
        error=None if look.error is None else describe(look.error),
    )
