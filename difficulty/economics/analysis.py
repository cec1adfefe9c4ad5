"""Does routing pay? Requests, plans, prices and answers to every figure of the economics."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

import numpy as np

from difficulty.economics.basis import Basis, Month, interval, month_of
from difficulty.economics.conditions import (
    Answers,
    Condition,
    Flow,
    Option,
    Premises,
    barred_shapes,
    best_option,
    check_conditions,
    options_of,
)
from difficulty.economics.monthly import (
    Means,
    flow_of,
    hosting_figures,
    overall_figures,
    plan_figures,
)
from difficulty.economics.prices import SHAPE_WORDS, PriceList, Shape
from difficulty.economics.usage import Arrivals, Requests, Volume, plan_columns, request_ratios
from difficulty.evaluation.figures import ratios_at
from difficulty.evaluation.parts import Ratios, drawn
from difficulty.evaluation.tradeoff import known_or_none
from difficulty.form import Record
from difficulty.metrics.arrays import FloatArray
from difficulty.metrics.bootstrap import GroupDraws, Resampling
from difficulty.records import Estimate

FORMAT = 2
"""Of ``economics.json``; raised when a name changes its meaning. Format 1 had one plan, ``share``,
beside which a bundle's ``policy`` stood.
"""
POLICY, KEEP_CHEAP = "policy", "keep_cheap"
"""Plans: what a bundle's policy keeps, and a share of the requests, the simplest ones."""
# Plans stand beside ``overall`` by their names, and one plan is named ``keep_cheap`` too.
_WRITTEN_AS = {"keep_cheap": "keep_cheap_share"}
Answer = Literal["build", "wait", "unsure"]
# Conditions that stand against it, as reasons.
_WHY = {
    "low_volume": "too few requests a month",
    "no_price_gap": "nothing is saved at any volume",
    "hard_reasoning": "more is kept on the cheap model than it answers as well",
    "cold_starts": "no request may wait for a cold start",
    "compliance": "where requests may go, nothing pays",
    "quality_loss": "quality falls by more than is tolerated",
}
_POINTS = 61
# Requests a month to draw where neither the volume nor a break-even is known.
_DEFAULT = 1e6
_BEYOND = 2.0
_FURTHER = 1.25
_FAR_POINTS = 48
"""To about 40,000 times what is drawn."""


@dataclass(frozen=True, slots=True)
class PayVerdict(Record):
    """The answer, and why."""

    answer: Answer
    shape: Shape | None
    """The way to host that saves most of those that are allowed."""
    text: str


@dataclass(frozen=True, slots=True)
class SavingCurve(Record):
    """Saving a month by requests a month, in USD, each of shape (n_volumes,); ``None`` throughout
    where it is unknown.
    """

    value: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class BreakEvenPlot(Record):
    """The break-even plot: ascending requests a month, and a curve for each way to host."""

    volumes: tuple[float, ...]
    curves: Mapping[Shape, SavingCurve]
    measure: Literal["net_saving", "saving"]
    """``saving`` is without the cost to keep it, where that is not known."""
    far_volumes: tuple[float, ...] = ()
    """Larger volumes than are drawn, for whoever has as many requests."""
    far_curves: Mapping[Shape, SavingCurve] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Economics(Record):
    """Whether routing pays, with every figure behind it, in the order of ``economics.json``."""

    verdict: PayVerdict
    plan: str
    """The plan that the verdict is about."""
    keep_cheap: float | None
    """Share of the requests that the plan ``keep_cheap`` keeps on the cheap model."""
    prices_date: date
    overall: Mapping[str, Estimate]
    """Figures of the traffic as it is today."""
    plans: Mapping[str, Mapping[str, Estimate]]
    """``policy``, with a bundle: its rule; ``keep_cheap``, where it was asked for: the simplest
    requests are kept. Names that begin with a way to host are its figures.
    """
    barred: Mapping[Shape, str]
    """Ways to host that an answer excludes, and why."""
    conditions: tuple[Condition, ...]
    assumed: Mapping[str, str]
    """Sentences by the names that notes use."""
    missing: Mapping[str, str]
    """The same of what is missing."""
    notes: tuple[str, ...]
    plot: BreakEvenPlot

    def as_dict(self, *, without: Container[str] = ()) -> dict[str, Any]:
        """Return exactly what ``economics.json`` holds: plans stand beside ``overall``."""
        written: dict[str, Any] = {"format": FORMAT}
        for name, value in super().as_dict(without=without).items():
            written |= value if name == "plans" else {_WRITTEN_AS.get(name, name): value}
        return written


def break_even_plot(options: Mapping[Shape, Option], volume: FloatArray) -> BreakEvenPlot:
    """Return the curves from no request to twice the month's volume, or the first break-even where
    that is more.

    The bands hold 95 % of the draws at each volume. Where the cost to keep it is unknown the curves
    are without it.
    """
    # One measure for all: a curve after the team's cost beside one before it would mislead.
    net = all(not np.isnan(option.net.cost.fixed).any() for option in options.values())
    savings = {shape: option.net if net else option.saving for shape, option in options.items()}
    even = [float(saving.break_even()[0]) for saving in savings.values()]
    first = min((mark for mark in even if np.isfinite(mark)), default=0.0)
    top = max(first, float(volume[0])) if np.isfinite(volume[0]) else first
    # Evenly spaced volumes: savings are straight lines between the steps of replicas.
    volumes = np.linspace(0.0, _BEYOND * (top or _DEFAULT), _POINTS)
    # A step of replicas is ever less of a saving, so that they may lie further apart.
    far = volumes[-1] * _FURTHER ** np.arange(1, _FAR_POINTS + 1)

    def curves_at(volumes: FloatArray) -> dict[Shape, SavingCurve]:
        return {
            shape: _curve(np.stack([saving.at(at) for at in volumes]))
            for shape, saving in savings.items()
        }

    return BreakEvenPlot(
        tuple(map(float, volumes)),
        curves_at(volumes),
        "net_saving" if net else "saving",
        tuple(map(float, far)),
        curves_at(far),
    )


def _curve(values: FloatArray) -> SavingCurve:
    """Return value and band from values of shape (n_volumes, 1 + n_draws)."""
    # As in metrics.bootstrap, so that bands and intervals of the same draws agree.
    low, high = np.quantile(values[:, 1:], [0.025, 0.975], axis=1, method="weibull")
    return SavingCurve(*map(known_or_none, (values[:, 0], low, high)))


def verdict_of(
    best: Option | None,
    volume: FloatArray,
    conditions: Sequence[Condition],
    answers: Answers,
    *,
    plan: str,
) -> PayVerdict:
    """Return the answer.

    ``wait`` where a condition under which it does not pay holds, or the whole interval of the
    saving is at or below 0; ``build`` where the whole interval is above 0; ``unsure`` else. A
    tolerated loss of quality decides about quality alone: then it must be kept to for sure, and
    hard reasoning is told but does not decide. ``plan`` says what is judged.
    """
    shape = best.shape if best else None
    state = {condition.name: condition.state for condition in conditions}
    tolerated = answers.max_quality_loss is not None
    holding = [
        name
        for name, value in state.items()
        if value == "holds" and not (name == "hard_reasoning" and tolerated)
    ]
    saved = f"{plan} {saved_text(best, volume)}"
    if holding:
        return PayVerdict("wait", shape, f"{'; '.join(_WHY[name] for name in holding)}: {saved}")
    if best is None:
        return PayVerdict("unsure", None, saved)
    low, high = interval(best.net.at(volume))
    if high <= 0.0:
        return PayVerdict("wait", shape, saved)
    if tolerated and state["quality_loss"] != "does not hold":
        return PayVerdict(
            "unsure",
            shape,
            f"whether the tolerated loss of quality is kept to is not sure; {saved}",
        )
    return PayVerdict("build" if low > 0.0 else "unsure", shape, saved)


def saved_text(best: Option | None, volume: FloatArray) -> str:
    """Return what an option saves a month, in words."""
    if best is None:
        return "no way to host is left that has a price"
    net, even = best.net.at(volume), float(best.net.break_even()[0])
    after = "after the cost to keep it"
    hosting = SHAPE_WORDS[best.shape]
    if np.isnan(net[0]):
        point = (
            f"it breaks even at {even:,.0f} requests a month"
            if np.isfinite(even)
            else "no break-even can be given"
        )
        return f"the saving with {hosting} {after} is not known; {point}"
    low, high = interval(net)
    if high < 0.0:
        loses = f"{hosting} {_verb(best.shape, 'lose')}"
        lost = f"{loses} USD {_ranged(-net[0], -high, -low)} a month {after}"
        if not np.isfinite(even):
            return lost
        return f"{lost}; it breaks even at about {even:,.0f} requests a month"
    return f"{hosting} {_verb(best.shape, 'save')} USD {_ranged(net[0], low, high)} a month {after}"


def _verb(shape: Shape, stem: str) -> str:
    return stem if shape in ("own", "cloud") else f"{stem}s"


def _ranged(value: float, low: float, high: float) -> str:
    """Return ``950 (788 to 1,123)``; no range where nothing is left to chance."""
    ends = "" if low == high else f" ({low:,.0f} to {high:,.0f})"
    return f"{value:,.0f}{ends}"


OLD_AFTER_DAYS = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is asked, beside requests and prices."""

    plan: str
    """The plan that the verdict is about."""
    keep_cheap: float | None
    """Share of the requests that the plan ``keep_cheap`` keeps, in (0, 1]."""
    answers: Answers
    volume: Volume | None
    """Requests a month as the user says; without, the price list's."""
    arrivals: Arrivals
    """What the times of the requests say."""
    basis: Basis = Basis()
    """What was assumed, or is missing, so far."""
    notes: tuple[str, ...] = ()
    today: date


def analyse(
    requests: Requests, prices: PriceList, setting: Setting, resampling: Resampling
) -> Economics:
    """Return the economics of routing requests that training did not see.

    One plan decides, the others stand beside it. Figures that need more than the price list has are
    unknown and say what is missing.
    """
    resampling, prices = resampling.affordable(len(requests.scored)), prices.blended()
    # One stream for both: the volume is drawn after the groups.
    rng = resampling.generator()
    draws = resampling.of(requests.scored.groups, rng=rng)
    means = _means(requests, prices, setting.answers, draws)
    basis = _with_outcomes(_with_catch_rate(setting, checked=requests.checked), means)
    month = month_of(
        prices, setting.arrivals, volume=setting.volume, basis=basis, chance=rng.random(len(draws))
    )
    flows = {plan: flow_of(means.below(plan), month) for plan in requests.plans}
    options = {plan: _options(flow, month, setting.answers) for plan, flow in flows.items()}
    main = options[setting.plan]
    barred = barred_shapes(main, setting.answers)
    best = best_option(main, barred, month.volume)
    conditions = check_conditions(
        _facts(means, month, setting, flows[setting.plan], main, best, checked=requests.checked),
        setting.answers,
    )
    return Economics(
        verdict=verdict_of(
            best,
            month.volume,
            conditions,
            setting.answers,
            plan=_plan_words(setting.plan, means, month.basis, checked=requests.checked),
        ),
        plan=setting.plan,
        keep_cheap=setting.keep_cheap,
        prices_date=prices.date,
        overall=month.basis.estimates(overall_figures(means, month)),
        plans={plan: _plan(means.below(plan), options[plan], month) for plan in requests.plans},
        barred=barred,
        conditions=conditions,
        assumed=month.basis.assumed,
        missing=month.basis.missing,
        notes=(
            *setting.notes,
            *_beside(options, means, month, setting, checked=requests.checked),
            *_notes(prices, setting, len(draws)),
        ),
        plot=break_even_plot(main, month.volume),
    )


def _means(requests: Requests, prices: PriceList, answers: Answers, draws: GroupDraws) -> Means:
    """Return means over all requests and, below each plan's name, over those it keeps."""
    catch_rate = answers.catch_rate or 0.0
    rows, ratios = np.arange(len(requests.scored)), request_ratios(requests, prices.frontier)
    for plan, sent in requests.plans.items():
        columns = plan_columns(
            requests, catch_rate=catch_rate, frontier=prices.frontier, checked=plan == POLICY
        )
        figures = ratios_at(columns, sent, rows)
        ratios |= {f"{plan}.{name}": figure for name, figure in figures.items()}
    part = Ratios.of(rows, ratios)
    points, resampled = drawn(part, draws, requests.scored.outcomes.weight)
    # The value first, then the draws: every array of the economics has the shape (1 + n_draws,).
    values = {name: np.append(points[name], resampled[name]) for name in ratios}
    if catch_rate == 0.0:  # nothing is caught, also of requests with unknown outcomes
        values |= {
            f"{plan}.{name}": np.zeros(1 + len(draws))
            for plan in requests.plans
            for name in ("caught_share", "caught_spend_share")
            if not (plan == POLICY and requests.checked)
        }
    return Means(values, part.n)


def _with_catch_rate(setting: Setting, *, checked: bool) -> Basis:
    if setting.answers.catch_rate is not None:
        return setting.basis
    found = (
        "validation catches no failure beside those that the check of answers sends on"
        if checked
        else "no failure of the cheap model is caught, so nothing falls back"
    )
    sentence = f"{found}; say what validation catches with --catch-rate"
    return setting.basis.with_(assumed={"catch_rate": sentence})


def _with_outcomes(basis: Basis, means: Means) -> Basis:
    """Say which outcomes no request has."""
    missing = {}
    if np.isnan(means["cheap_passing_share"][0]):
        missing["outcomes"] = (
            "outcomes of the cheap model: cheap_quality in the traffic (checks of the form alone,"
            " measured_by validators, are none)"
        )
    if np.isnan(means["gain_free_share"][0]):
        missing["frontier_outcomes"] = (
            "outcomes of the frontier model: frontier_quality or preference in the traffic"
        )
    return basis.with_(missing=missing)


def _options(flow: Flow, month: Month, answers: Answers) -> dict[Shape, Option]:
    return options_of(flow, month.prices.hosting, keep_warm=bool(answers.latency_critical))


def _facts(
    means: Means,
    month: Month,
    setting: Setting,
    flow: Flow,
    options: dict[Shape, Option],
    best: Option | None,
    *,
    checked: bool,
) -> Premises:
    by_gain = not np.isnan(means["gain_free_share"][0])
    figures = {
        name: figure.drawn
        for name, figure in plan_figures(means.below(setting.plan), month).items()
    }
    return Premises(
        volume=month.volume,
        share=_kept_in_the_end(means.below(setting.plan), setting.plan, checked=checked),
        quality_loss=figures["quality_loss"],
        gain_free_share=means["gain_free_share" if by_gain else "cheap_passing_share"],
        gain_free_words=(
            "get no better answer from the frontier model" if by_gain else "pass on the cheap model"
        ),
        options=options,
        relaxed=options_of(flow, month.prices.hosting, keep_warm=False),
        best=best,
    )


def _kept_in_the_end(plan: Means, name: str, *, checked: bool) -> FloatArray:
    """Return the share of the requests whose cheap answer the user gets; what validation catches is
    counted as before there were checks.
    """
    kept = plan["kept_share"]
    return kept * (1.0 - plan["caught_share"]) if checked and name == POLICY else kept


def _plan(plan: Means, options: Mapping[Shape, Option], month: Month) -> dict[str, Estimate]:
    figures = plan_figures(plan, month)
    for option in options.values():
        figures |= hosting_figures(option, plan, month)
    return month.basis.estimates(figures)


def _plan_words(plan: str, means: Means, basis: Basis, *, checked: bool) -> str:
    """Return a plan for people, with the share that it keeps; ``checked``: whether the policy's
    check sends answers on.
    """
    kept = means.below(plan)["kept_share"][0]
    if plan == POLICY and checked:
        sent_on = means.below(plan)["caught_share"][0]
        return (
            f"with the bundle's policy, {100.0 * kept:.0f} % on the cheap model first,"
            f" {100.0 * sent_on:.0f} % of them sent on after it,"
        )
    if plan == POLICY:
        return f"with the bundle's policy, {100.0 * kept:.0f} % on the cheap model,"
    if "score" in basis.assumed:
        return f"with {100.0 * kept:.0f} % on the cheap model, taken at random,"
    return f"with the simplest {100.0 * kept:.0f} % on the cheap model,"


def _beside(
    options: Mapping[str, Mapping[Shape, Option]],
    means: Means,
    month: Month,
    setting: Setting,
    *,
    checked: bool,
) -> list[str]:
    """Say what the other plans would save, as the verdict is about the main one alone."""
    said = []
    for plan in [plan for plan in options if plan != setting.plan]:
        barred = barred_shapes(options[plan], setting.answers)
        best = best_option(options[plan], barred, month.volume)
        if best is not None and not np.isnan(best.net.at(month.volume)[0]):
            words = _plan_words(plan, means, month.basis, checked=checked)
            said.append(f"For comparison: {words} {saved_text(best, month.volume)}.")
    return said


def _notes(prices: PriceList, setting: Setting, n_draws: int) -> tuple[str, ...]:
    notes = [
        "Savings are against sending every request to the frontier model.",
        (
            f"Intervals hold 95 % of {n_draws:,} bootstrap draws of whole groups, and of the range"
            " of requests a month."
        ),
    ]
    age = (setting.today - prices.date).days
    if age > OLD_AFTER_DAYS:
        notes.append(
            f"The price list is {age} days old (of {prices.date.isoformat()}): check its prices."
        )
    return tuple(notes)
