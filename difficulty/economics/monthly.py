"""The figures of the economics, by name: of the traffic as it is, of a plan, and of each way to
host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from difficulty.economics.basis import Figure, Month
from difficulty.economics.conditions import Flow, Option
from difficulty.economics.hosting import Load
from difficulty.metrics.arrays import FloatArray, divide

_MILLION = 1e6
# Names as Basis knows them: a figure's note says which of these are assumed or missing.
_MONTH = ("requests_per_month",)
_PRICED = ("frontier_prices", "prompt_tokens", "frontier_tokens")
_SERVED = ("prompt_tokens", "cheap_tokens")
_PEAK = ("peak_to_mean", "active_hours")
_BOTH = ("outcomes", "frontier_outcomes")
_NEVER = "no volume pays"


@dataclass(frozen=True, slots=True, eq=False)
class Means:
    """Means over requests, each an array of shape (1 + n_draws,), with the number of requests
    behind it.
    """

    drawn: Mapping[str, FloatArray]
    n: Mapping[str, int]

    def __getitem__(self, name: str) -> FloatArray:
        return self.drawn[name]

    def below(self, plan: str) -> Means:
        """Return the means of a plan, under their own names."""
        start = f"{plan}."
        names = [name for name in self.drawn if name.startswith(start)]
        return Means(
            {name.removeprefix(start): self.drawn[name] for name in names},
            {name.removeprefix(start): self.n[name] for name in names},
        )

    def spend(self, name: str, by_tokens: FloatArray) -> tuple[FloatArray, int | None]:
        """Return the mean that bills say, with its number of requests; without bills, the one by
        tokens.
        """
        return (self.drawn[name], self.n[name]) if name in self.drawn else (by_tokens, None)

    def figure(self, name: str, *needs: str) -> Figure:
        """Return a mean as a figure."""
        return Figure(self.drawn[name], self.n[name], needs)


def overall_figures(means: Means, month: Month) -> dict[str, Figure]:
    """Return the traffic as it is: every request on the frontier model."""
    reading, writing = _frontier(means["prompt_tokens"], means["frontier_tokens"], month)
    volume, n = month.volume, min(means.n["prompt_tokens"], means.n["frontier_tokens"])
    spend, n_billed = means.spend("frontier_cost", reading + writing)
    n_spend = n if n_billed is None else n_billed
    scorer = volume * month.scorer_per_request + month.scorer_fixed
    team = month.team
    return {
        "requests_per_month": Figure(volume, 0, _MONTH),
        "prompt_tokens": means.figure("prompt_tokens", "prompt_tokens"),
        "frontier_tokens": means.figure("frontier_tokens", "frontier_tokens"),
        "cheap_tokens": means.figure("cheap_tokens", "cheap_tokens"),
        "input_tokens_per_month": Figure(
            volume * means["prompt_tokens"], n, (*_MONTH, "prompt_tokens")
        ),
        "output_tokens_per_month": Figure(
            volume * means["frontier_tokens"], n, (*_MONTH, "frontier_tokens")
        ),
        "frontier_input_spend": Figure(
            volume * reading, n, (*_MONTH, "frontier_prices", "prompt_tokens")
        ),
        "frontier_output_spend": Figure(
            volume * writing, n, (*_MONTH, "frontier_prices", "frontier_tokens")
        ),
        "frontier_spend": Figure(volume * spend, n_spend, (*_MONTH, *_PRICED)),
        "frontier_cost": Figure(1000.0 * spend, n_spend, _PRICED),
        "gain_free_share": means.figure("gain_free_share", *_BOTH),
        "cheap_passing_share": means.figure("cheap_passing_share", "outcomes"),
        "scorer_cost": Figure(scorer, 0, (*_MONTH, "scorer")),
        "keep_cost": Figure(month.constant(month.keep), 0, ("team",)),
        "setup_cost": Figure(month.constant(team.setup_usd if team else np.nan), 0, ("team",)),
    }


def plan_figures(plan: Means, month: Month) -> dict[str, Figure]:
    """Return what a plan does to a month, whatever the hosting."""
    volume, spend = month.volume, _spend(plan, month)
    n = plan.n["kept_frontier_tokens"]
    paid = ("score", *_PRICED)
    caught = ("score", "catch_rate")
    figures = {
        "kept_share": plan.figure("kept_share", "score"),
        "input_tokens_per_month": Figure(
            volume * plan["kept_prompt_tokens"], n, (*_MONTH, "score", "prompt_tokens")
        ),
        "output_tokens_per_month": Figure(
            volume * plan["kept_frontier_tokens"], n, (*_MONTH, "score", "frontier_tokens")
        ),
        "frontier_spend": Figure(volume * spend, n, (*_MONTH, *paid)),
        "cheap_quality": plan.figure("cheap_quality", "score", "outcomes"),
        "frontier_quality": plan.figure("frontier_quality", "score", "frontier_outcomes"),
        "caught_share": plan.figure("caught_share", *caught, "outcomes"),
        "quality_after": plan.figure("quality_after", *caught, *_BOTH),
        "quality_loss": Figure(_loss(plan), plan.n["quality_lost"], (*caught, *_BOTH)),
        "fallback_cost": Figure(
            volume * _fallback(plan, spend), n, (*_MONTH, *paid, "catch_rate", "outcomes")
        ),
        "saved_before_hosting": Figure(
            1000.0 * _saved(plan, month), n, (*paid, "catch_rate", "outcomes", "scorer")
        ),
    }
    if month.team and month.team.usd_per_lost_answer is not None:
        lost = volume * _loss(plan) * month.team.usd_per_lost_answer
        figures["lost_answers_cost"] = Figure(
            lost, plan.n["quality_lost"], (*_MONTH, *caught, *_BOTH)
        )
    return figures


def hosting_figures(option: Option, plan: Means, month: Month) -> dict[str, Figure]:
    """Return the figures of one way to host, their names beginning with its own."""
    volume, hosted, n = month.volume, option.hosted, plan.n["kept_cheap_tokens"]
    served = ("score", *_SERVED, *(_PEAK if hosted.busy is not None else ("aggregator",)))
    saved = (
        *_MONTH,
        *served,
        "frontier_prices",
        "frontier_tokens",
        "catch_rate",
        "outcomes",
        "scorer",
    )
    cost, net = hosted.cost.at(volume), option.net.at(volume)
    figures = {
        "cost": Figure(cost, n, (*_MONTH, *served)),
        "cost_per_1000_kept": Figure(
            1000.0 * divide(cost, volume * plan["kept_share"], total=np.zeros(len(volume))),
            n,
            (*_MONTH, *served),
        ),
        "saving": Figure(option.saving.at(volume), n, saved),
        "net_saving": Figure(net, n, (*saved, "team")),
        # Break-even is itself a volume, so it does not rest on that of the month.
        "break_even": Figure(option.net.break_even(), n, (*saved[1:], "team"), _NEVER),
        "payback_months": Figure(_payback(net, month), n, (*saved, "team"), "it never pays back"),
        "cold_start_seconds": Figure(
            month.constant(hosted.cold_start_seconds), 0, ("active_hours",)
        ),
    }
    if hosted.busy is not None:
        replicas = hosted.cost.replicas(volume)
        figures["replicas"] = Figure(replicas, n, (*_MONTH, *served))
        figures["utilisation"] = Figure(hosted.busy * volume / replicas, n, (*_MONTH, *served))
        figures["warm_cost"] = Figure(month.constant(hosted.warm_cost), 0, ("active_hours",))
    return {f"{option.shape}_{name}": figure for name, figure in figures.items()}


def flow_of(plan: Means, month: Month) -> Flow:
    """Return what a plan moves from one model to the other."""
    load = Load(
        prompt_tokens=plan["kept_prompt_tokens"],
        cheap_tokens=plan["kept_cheap_tokens"],
        peak_to_mean=month.peak_to_mean,
        active_hours=month.active_hours,
    )
    return Flow(
        load=load, saved_per_request=_saved(plan, month), fixed=month.scorer_fixed, keep=month.keep
    )


def _frontier(
    prompt: FloatArray, answer: FloatArray, month: Month
) -> tuple[FloatArray, FloatArray]:
    """Return USD for what the frontier model reads and writes."""
    price = month.prices.frontier
    reads, writes = (price.input, price.output) if price else (np.nan, np.nan)
    return prompt * reads / _MILLION, answer * writes / _MILLION


def _spend(plan: Means, month: Month) -> FloatArray:
    """Return the kept requests' price on the frontier model, in USD a request of all."""
    reading, writing = _frontier(plan["kept_prompt_tokens"], plan["kept_frontier_tokens"], month)
    return plan.spend("kept_frontier_cost", reading + writing)[0]


def _fallback(plan: Means, spend: FloatArray) -> FloatArray:
    """Return USD a request of all for frontier calls after caught answers."""
    # The caught share of a spend of 0 is undefined, and costs nothing.
    return np.where(spend == 0.0, 0.0, spend * plan["caught_spend_share"])


def _loss(plan: Means) -> FloatArray:
    """Return by how much the mean quality over all requests falls."""
    # Nothing kept loses nothing: the mean over no requests is undefined there.
    return np.where(plan["kept_share"] == 0.0, 0.0, plan["kept_share"] * plan["quality_lost"])


def _saved(plan: Means, month: Month) -> FloatArray:
    """Return USD a request of all: the frontier price less fallbacks, scorer, lost answers."""
    spend = _spend(plan, month)
    saved = spend - _fallback(plan, spend) - month.scorer_per_request
    price = month.team.usd_per_lost_answer if month.team else None
    return saved if price is None else saved - price * _loss(plan)


def _payback(net: FloatArray, month: Month) -> FloatArray:
    # A loss never pays the setup back.
    setup = month.team.setup_usd if month.team else np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.isnan(net), np.nan, np.where(net > 0.0, setup / net, np.inf))
