"""The three figures that a decision to route is about: money, answers that get worse, and frontier
calls that are not made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Self

from difficulty.form import Record
from difficulty.records import Estimate

if TYPE_CHECKING:
    from difficulty.evaluation.result import Evaluation

_ABSENT: Final = Estimate(value=None, note="it was not evaluated")
_NO_VOLUME: Final = "the requests a month are not known: pass --requests-per-month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stakes(Record):
    """What the owner of the budget has to know, each figure with its 95 % interval."""

    usd_per_month: Estimate
    """USD saved a month, against the frontier model for everything."""
    requests_per_month: Estimate
    """The volume that ``usd_per_month`` is of."""
    is_net: bool
    """Whether what it costs to host, score and keep the router is taken off."""
    saved_cost: Estimate
    """USD saved on 1,000 requests, by prices of tokens alone."""
    answers_worse: Estimate
    """Share of all requests that get a worse answer than the frontier model's."""
    calls_avoided: Estimate
    """Share of all requests for which the frontier model is never called."""

    @classmethod
    def of(
        cls,
        evaluation: Evaluation,
        *,
        net_saving: Estimate | None = None,
        requests_per_month: Estimate | None = None,
    ) -> Self:
        """Return the figures of an evaluation.

        Parameters
        ----------
        evaluation : Evaluation
        net_saving, requests_per_month : Estimate, optional
            As the economics have them, where they were looked at.
        """
        saved, avoided, worse = (
            evaluation.overall.get(name, _ABSENT)
            for name in ("saved_cost", "calls_avoided", "answers_worse")
        )
        volume = requests_per_month or Estimate(value=None, note=_NO_VOLUME)
        is_net = net_saving is not None and net_saving.value is not None
        month = net_saving if is_net and net_saving else _times(saved, volume)
        return cls(
            usd_per_month=month,
            requests_per_month=volume,
            is_net=is_net,
            saved_cost=saved,
            answers_worse=worse,
            calls_avoided=avoided,
        )

    @property
    def is_known(self) -> bool:
        """Whether any of the three figures is."""
        money = (self.usd_per_month, self.saved_cost)
        three = (*money, self.answers_worse, self.calls_avoided)
        return any(estimate.value is not None for estimate in three)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return what :meth:`as_dict` wrote."""
        estimates = (field.name for field in fields(cls) if field.name != "is_net")
        return cls(
            is_net=bool(content["is_net"]),
            **{name: Estimate(**content[name]) for name in estimates},
        )


def _times(saved: Estimate, volume: Estimate) -> Estimate:
    """Return USD a month from USD per 1,000 requests; a range of volumes widens the interval."""
    if saved.value is None or volume.value is None:
        return Estimate(value=None, n=saved.n, note=saved.note or volume.note or _NO_VOLUME)
    corners = [
        cost * requests / 1000.0
        for cost in (saved.low, saved.high)
        for requests in (volume.low, volume.high)
        if cost is not None and requests is not None
    ]
    return Estimate(
        value=saved.value * volume.value / 1000.0,
        low=min(corners, default=None),
        high=max(corners, default=None),
        n=saved.n,
    )
