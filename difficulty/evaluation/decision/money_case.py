"""What the economics of a policy say, as the decision weighs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from difficulty.evaluation.words import count_text, usd
from difficulty.form import Record
from difficulty.records import Estimate

_ABSENT = Estimate(value=None, note="it was not evaluated")


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyCase(Record):
    """What the economics of the policy say (docs/economics.md)."""

    answer: Literal["build", "wait", "unsure"]
    text: str
    requests_per_month: Estimate
    net_saving: Estimate
    """USD a month after the cost to keep it, with the best way to host."""
    keep_cost: Estimate
    """USD a month."""
    break_even: Estimate
    """Requests a month."""

    @classmethod
    def of(cls, economics: Mapping[str, Any]) -> Self:
        """Return what ``economics.json`` says of the plan that it is about."""
        said, overall = economics["verdict"], economics["overall"]
        hosted = economics[economics["plan"]]

        def figure(part: Mapping[str, Any], name: str) -> Estimate:
            return Estimate(**part[name]) if name in part else _ABSENT

        return cls(
            answer=said["answer"],
            text=said["text"],
            requests_per_month=figure(overall, "requests_per_month"),
            net_saving=figure(hosted, f"{said['shape']}_net_saving"),
            keep_cost=figure(overall, "keep_cost"),
            break_even=figure(hosted, f"{said['shape']}_break_even"),
        )

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return what :meth:`as_dict` wrote."""
        figures = ("requests_per_month", "net_saving", "keep_cost", "break_even")
        return cls(
            answer=content["answer"],
            text=content["text"],
            **{name: Estimate(**content[name]) for name in figures},
        )

    @property
    def sentence(self) -> str:
        """What the economics say; where the volume is too low, in what it saves and costs."""
        if (gross := self._too_little) is not None:
            month, keep = self.requests_per_month.value or 0.0, self.keep_cost.value or 0.0
            verb, amount = ("saves", gross) if gross >= 0.0 else ("loses", -gross)
            return (
                f"At {month:,.0f} requests a month the router {verb} {usd(amount)} and costs"
                f" {usd(keep)} to run."
            )
        return f"{self.text[:1].upper()}{self.text[1:]}."

    @property
    def brief(self) -> str:
        """The same in few words; empty where the volume is not what stands against it."""
        if (gross := self._too_little) is None:
            return ""
        verb, amount = ("Saves", gross) if gross >= 0.0 else ("Loses", -gross)
        even = self.break_even.value
        pays = "" if even is None else f": it pays from {count_text(even)} requests"
        return f"{verb} {usd(amount)} and costs {usd(self.keep_cost)} a month{pays}."

    @property
    def _too_little(self) -> float | None:
        """USD a month before the cost to keep it, where a larger volume would pay."""
        known = (self.net_saving.value, self.keep_cost.value, self.requests_per_month.value)
        net, keep, month = known
        if net is None or keep is None or month is None or net >= 0.0:
            return None
        even = self.break_even.value
        return net + keep if even is None or even > month else None

    @property
    def lever(self) -> str:
        """What would change it."""
        if self.requests_per_month.value is None and self.break_even.value is not None:
            return "Say how many requests a month come: --requests-per-month."
        if self.net_saving.value is None and self.net_saving.note:
            return (
                f"The saving is {self.net_saving.note}: put it into the traffic or the price list"
                " (docs/economics.md)."
            )
        if self.keep_cost.value is None:
            return "Say what it costs to keep the router: [team] in the price list."
        even, month = self.break_even.value, self.requests_per_month.value
        if even is None or month is None or even <= month:
            return "See the conditions of 'difficulty economics' for what stands against it."
        return f"It pays from about {count_text(even)} requests a month on."

    @property
    def remedy(self) -> str:
        """Name of the short reason and the command that go with :attr:`lever`."""
        if self.requests_per_month.value is None:
            return "volume_unknown"
        if self.net_saving.value is None:
            return "uncounted"
        return "keeping_unknown" if self.keep_cost.value is None else "does_not_pay"
