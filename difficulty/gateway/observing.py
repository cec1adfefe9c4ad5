"""In front of models without a bundle: every request goes where it went before, and is logged."""

from __future__ import annotations

from datetime import date
from typing import cast

from difficulty.bundle.policy import Chosen, Fallback, Policy
from difficulty.needs import Needs
from difficulty.request import Messages
from difficulty.routes import Held, Route
from difficulty.runtime.answer_checker import AnswerChecker
from difficulty.runtime.decision import Decision
from difficulty.runtime.rule import Reason

NO_BUNDLE = "none"
"""Stands in the log where the version of a bundle does."""
# Not one of the rule's reasons: no rule was asked.
_OBSERVED = cast(Reason, "observed")


class Observer:
    """Take the place of a router, and send every request to one model.

    No answer is checked and nothing falls back: without a bundle nothing says how. The propensity
    of the route is 1, as the other one is never taken.

    Parameters
    ----------
    route : str
        Which of the two models that is.
    model : str
        Its name in the log.
    """

    answers: AnswerChecker | None = None

    def __init__(self, route: Route, model: str) -> None:
        self.route = route
        self.policy = Policy(
            cheap_model=model if route == "cheap" else "cheap",
            frontier_model=model if route == "frontier" else "frontier",
            max_cheap_tokens=0,
            threshold=0.0 if route == "frontier" else 1.0,
            fallback=Fallback(on_validation_failure=False, on_call_failure=False),
            review_date=date.max,
            chosen=Chosen(objective="observe", calibration_data=NO_BUNDLE, n=0, expected={}),
        )
        self._model = model

    @property
    def current(self) -> Observer:
        """Itself, which nothing replaces."""
        return self

    def decide(
        self,
        messages: Messages,
        task: str | None = None,
        *,
        tokens: int | None = None,
        tools: object = None,
        checked: bool = True,
        held: Held | None = None,
        needs: Needs | None = None,
    ) -> Decision:
        """Return the same route for every request; arguments as those of ``Router.decide``."""
        return Decision(
            route=self.route,
            model=self._model,
            reason=_OBSERVED,
            difficulty_score=None,
            p_cheap_fails=None,
            p_frontier_fails=None,
            familiarity=None,
            threshold=self.policy.threshold,
            fallback=None,
            task=task if isinstance(task, str) else None,
            tokens=tokens,
            tokens_source=None if tokens is None else "request",
            truncated=False,
            bundle_version=NO_BUNDLE,
        )
