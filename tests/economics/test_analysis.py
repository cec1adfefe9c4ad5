"""One worked example with round numbers, and what each answer or missing part changes in it.

1,000 requests: each reads 1,000 tokens and writes 1,000. The frontier model takes 1 and 3 USD a
million: 4 USD per 1,000 requests. Half of the requests are kept. The cheap model gets four of five
of those right, the frontier model all; validation catches half of the failures.
"""

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from difficulty.economics.analysis import Setting, analyse
from difficulty.economics.conditions import Answers
from difficulty.economics.prices import (
    Aggregator,
    CloudGpu,
    Hosting,
    OwnGpu,
    PriceList,
    ScorerHosting,
    Team,
    TokenPrice,
    TrafficShape,
)
from difficulty.economics.usage import Arrivals, Requests, Volume
from difficulty.errors import InvalidValueError
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.metrics import Resampling
from difficulty.traffic.outcomes import Outcomes
from tests.economics.test_costs import tokens
from tests.economics.test_hosting import MACHINE

N = 1000
NO_OUTCOMES = Outcomes(
    cheap_quality=np.zeros(0),
    frontier_quality=np.zeros(0),
    preferred_gain=np.zeros(0),
    weight=np.zeros(0),
)
MILLION = Volume(1e6, 1e6)
TEAM = {
    "hours_per_month": 5,
    "usd_per_hour": 60,
    "labels_per_month": 100,
    "usd_per_label": 1,
    "judge_calls_per_month": 1000,
    "usd_per_judge_call": 0.2,
    "setup_hours": 50,
}
AGGREGATOR = Aggregator(input=0.1, output=0.3, usd_per_month=0, cold_start_seconds=0)
CLOUD = CloudGpu(**MACHINE, gpus_per_replica=1, usd_per_gpu_hour=1, cold_start_seconds=60)
OWN = OwnGpu(
    **MACHINE,
    gpus_per_replica=1,
    usd_per_gpu=36e4,
    months=36,
    watts_per_gpu=0,
    usd_per_kwh=0,
    power_overhead=1,
)
PRICES = PriceList(
    date=date(2026, 11, 1),
    cheap=TokenPrice(input=0.1, output=0.3),
    frontier=TokenPrice(input=1.0, output=3.0),
    hosting=Hosting(aggregator=AGGREGATOR),
    scorer=ScorerHosting(milliseconds_per_request=0, cores=0, usd_per_core_hour=1),
    team=Team(**TEAM),
    traffic=TrafficShape(peak_to_mean=1.0, active_hours_per_month=730.0),
)


def requests(*, cheap=None, frontier=None, kept=None):
    """Return the requests of the example."""
    place = np.arange(N)
    outcomes = Outcomes(
        cheap_quality=(place % 5 > 0).astype(float) if cheap is None else cheap,
        frontier_quality=np.ones(N) if frontier is None else frontier,
        preferred_gain=np.full(N, np.nan),
        weight=np.ones(N),
    )
    kept = (place % 10 < 5).astype(float) if kept is None else kept
    return Requests(
        scored=ScoredTraffic(
            difficulty_score=np.zeros(N),
            outcomes=outcomes,
            groups=place.astype(str),
            tasks=[None] * N,
            cheap_cost=np.full(N, np.nan),
            frontier_cost=np.full(N, np.nan),
        ),
        tokens=tokens(*([1e3] * N,) * 3),
        plans={"keep_cheap": 1.0 - kept},
    )


def economics(prices=PRICES, *, asked=None, volume=MILLION, arrivals=None, today=None, **answers):
    setting = Setting(
        plan="keep_cheap",
        keep_cheap=0.5,
        answers=Answers(**{"catch_rate": 0.5} | answers),
        volume=volume,
        arrivals=arrivals or Arrivals(None, None, 0.0),
        today=today or date(2026, 11, 20),
    )
    return analyse(asked or requests(), prices, setting, Resampling(200))


def state(made, name):
    return {condition.name: condition.state for condition in made.conditions}[name]


def test_worked_example():
    """4,000 USD a month. Half of it is kept: 2,000, less fallbacks for 10 % of those, 200, less
    500,000 x 0.0004 for the cheap model, 200.

    That saves 1,600; keeping it costs 300 + 100 + 200 = 600. A request saves 0.0016: break-even at
    375,000. The set-up of 3,000 is paid back in three months. Of the quality 0.2 x 0.5 of half the
    requests is lost.
    """
    made = economics()
    overall = {
        "frontier_spend": 4000,
        "frontier_input_spend": 1000,
        "frontier_output_spend": 3000,
        "frontier_cost": 4,
        "keep_cost": 600,
    }
    assert {name: made.overall[name].value for name in overall} == pytest.approx(overall)
    plan = {
        "kept_share": 0.5, "frontier_spend": 2000, "fallback_cost": 200, "caught_share": 0.1,
        "cheap_quality": 0.8, "quality_after": 0.9,
        "quality_loss": 0.05, "input_tokens_per_month": 5e8, "aggregator_cost": 200,
        "aggregator_cost_per_1000_kept": 0.4,
        "aggregator_saving": 1600, "aggregator_net_saving": 1000, "aggregator_break_even": 375_000,
        "aggregator_payback_months": 3,
    }  # fmt: skip
    assert {name: made.plans["keep_cheap"][name].value for name in plan} == pytest.approx(plan)
    assert (made.verdict.answer, made.verdict.shape) == ("build", "aggregator")
    assert made.verdict.text.startswith(
        "with the simplest 50 % on the cheap model, hosting by an aggregator saves USD 1,000 ("
    )
    assert (made.assumed, list(made.missing)) == ({}, ["hosting"])


def test_intervals_hold_the_value_and_widen_with_the_range_of_the_volume():
    sure, unsure = (
        economics(volume=volume).plans["keep_cheap"]["aggregator_net_saving"]
        for volume in (MILLION, Volume(5e5, 1.5e6))
    )
    assert sure.low < sure.value < sure.high
    assert unsure.value == pytest.approx(sure.value)
    assert unsure.high - unsure.low > 2 * (sure.high - sure.low)


def test_plot_crosses_zero_at_the_break_even():
    """It begins with the cost to keep it, and ends at twice the volume of the month."""
    plot = economics().plot
    curve = plot.curves["aggregator"]
    assert plot.measure == "net_saving"
    assert (plot.volumes[0], plot.volumes[-1]) == (0.0, 2e6)
    assert np.interp([0.0, 375_000, 1e6], plot.volumes, curve.value) == pytest.approx(
        [-600.0, 0.0, 1000.0], abs=1e-6
    )
    far = plot.far_curves["aggregator"]
    assert plot.far_volumes[0] > plot.volumes[-1]
    assert np.interp(2e9, plot.far_volumes, far.value) == pytest.approx(2e9 * 1.6e-3 - 600.0)
    assert all(
        low <= value <= high
        for part in (curve, far)
        for value, low, high in zip(part.value, part.low, part.high, strict=True)
    )


@pytest.mark.parametrize(
    ("volume", "answer", "low_volume"),
    [(1e5, "wait", "holds"), (375_000, "unsure", "unknown"), (1e6, "build", "does not hold")],
)
def test_verdict_follows_the_interval_of_the_saving(volume, answer, low_volume):
    made = economics(volume=Volume(volume, volume))
    assert (made.verdict.answer, state(made, "low_volume")) == (answer, low_volume)
    assert ("loses" in made.verdict.text) == (answer == "wait")


def test_no_price_gap_is_wait():
    """A cheap model at the frontier model's price saves nothing, at any volume."""
    same = Aggregator(input=1.0, output=3.0, usd_per_month=0, cold_start_seconds=0)
    made = economics(replace(PRICES, hosting=Hosting(aggregator=same)), volume=None)
    assert (made.verdict.answer, state(made, "no_price_gap")) == ("wait", "holds")
    assert made.plans["keep_cheap"]["aggregator_break_even"].note == "no volume pays"


def test_free_frontier_model_is_wait():
    made = economics(replace(PRICES, frontier=TokenPrice(input=0.0, output=0.0)))
    assert made.plans["keep_cheap"]["fallback_cost"].value == 0.0
    assert made.verdict.answer == "wait"


def test_lost_answers_and_scorer_are_paid():
    """Of a million answers 50,000 are lost at 0.01 USD; 3.6 s of processor time a request at 0.1
    USD an hour are 100 USD a million.
    """
    team, scorer = (
        Team(**TEAM, usd_per_lost_answer=0.01),
        ScorerHosting(milliseconds_per_request=3600, cores=1, usd_per_core_hour=0.1),
    )
    made = economics(replace(PRICES, team=team, scorer=scorer))
    assert made.plans["keep_cheap"]["lost_answers_cost"].value == pytest.approx(500)
    assert made.overall["scorer_cost"].value == pytest.approx(100 + 73)
    assert made.plans["keep_cheap"]["aggregator_net_saving"].value == pytest.approx(
        1000 - 500 - 173
    )


@pytest.mark.parametrize(
    ("tolerated", "state_", "answer"),
    [(0.1, "does not hold", "build"), (0.05, "unknown", "unsure"), (0.01, "holds", "wait")],
)
def test_quality_loss_is_held_against_what_is_tolerated(tolerated, state_, answer):
    """0.05 is lost, give or take a tenth of it."""
    made = economics(max_quality_loss=tolerated)
    assert (state(made, "quality_loss"), made.verdict.answer) == (state_, answer)


def test_hard_traffic_is_wait_unless_its_loss_is_tolerated():
    """The frontier model is better on nine of ten requests, and half are to be kept."""
    cheap = (np.arange(N) % 10 == 0).astype(float)
    hard = economics(asked=requests(cheap=cheap), volume=Volume(1e8, 1e8))
    assert (state(hard, "hard_reasoning"), hard.verdict.answer) == ("holds", "wait")
    assert (
        economics(
            asked=requests(cheap=cheap), volume=Volume(1e8, 1e8), max_quality_loss=0.5
        ).verdict.answer
        == "build"
    )


def test_compliance_excludes_ways_to_host():
    """Own GPUs cost 10,000 a month and more: what is left does not pay."""
    prices = replace(PRICES, hosting=Hosting(aggregator=AGGREGATOR, own=OWN))
    assert economics(prices).verdict.answer == "build"
    assert state(economics(prices), "compliance") == "unknown"
    assert state(economics(prices, compliance="any"), "compliance") == "does not hold"
    made = economics(prices, compliance="own-hardware")
    assert (state(made, "compliance"), made.verdict.answer, made.verdict.shape) == (
        "holds",
        "wait",
        "own",
    )
    assert made.barred == {"aggregator": "compliance: requests may go to own-hardware only"}
    nothing = economics(compliance="own-hardware")
    assert (state(nothing, "compliance"), nothing.verdict.answer, nothing.verdict.shape) == (
        "holds",
        "wait",
        None,
    )


def test_latency_critical_traffic_pays_for_idle_hours():
    """A GPU for 100 of 730 hours saves money, one that is kept warm for the other 630 does not."""
    traffic = TrafficShape(peak_to_mean=8.0, active_hours_per_month=100.0)
    fast = replace(
        CLOUD, input_tokens_per_second=1e5, output_tokens_per_second=1e5, usd_per_gpu_hour=2.0
    )
    prices = replace(PRICES, hosting=Hosting(cloud=fast), cheap=None, traffic=traffic)
    asked, waits, cannot = (
        economics(prices),
        economics(prices, latency_critical=False),
        economics(prices, latency_critical=True),
    )
    assert [state(made, "cold_starts") for made in (asked, waits, cannot)] == [
        "unknown",
        "does not hold",
        "holds",
    ]
    assert waits.plans["keep_cheap"]["cloud_net_saving"].value - cannot.plans["keep_cheap"][
        "cloud_net_saving"
    ].value == pytest.approx(630 * 2.0)
    assert (waits.verdict.answer, cannot.verdict.answer) == ("build", "wait")


def test_aggregator_with_cold_starts_is_excluded_where_nobody_can_wait():
    slow = replace(AGGREGATOR, cold_start_seconds=5.0)
    made = economics(replace(PRICES, hosting=Hosting(aggregator=slow)), latency_critical=True)
    assert made.barred == {"aggregator": "latency: a cold start takes 5 seconds"}
    assert (state(made, "cold_starts"), made.verdict.answer) == ("holds", "wait")


def test_without_volume_everything_is_a_function_of_it():
    """The month is unknown; costs of a request, break-even and plot are not."""
    made = economics(volume=None)
    assert (
        made.plans["keep_cheap"]["aggregator_net_saving"].note
        == "unknown, as this is missing: requests_per_month"
    )
    assert made.plans["keep_cheap"]["aggregator_break_even"].value == pytest.approx(375_000)
    assert made.overall["frontier_cost"].value == pytest.approx(4.0)
    assert made.plot.curves["aggregator"].value[0] is not None
    assert made.verdict.answer == "unsure"
    assert "it breaks even at 375,000 requests a month" in made.verdict.text


def test_volume_is_the_answer_else_the_price_list_never_the_times():
    """Labelled traffic is a sample of what comes: its timestamps say nothing of the month."""
    listed = replace(PRICES, traffic=TrafficShape(requests_per_month=(2e6, 4e6)))
    arrivals = Arrivals(Volume(1e3, 3e3), 5.0, 90.0)
    volumes = [
        economics(prices, volume=volume, arrivals=arrivals).overall["requests_per_month"]
        for prices, volume in [(listed, MILLION), (listed, None), (PRICES, None)]
    ]
    assert [volume.value for volume in volumes] == [1e6, 3e6, None]
    assert volumes[2].note == "unknown, as this is missing: requests_per_month"


@pytest.mark.parametrize(
    ("cached_input", "share", "reading", "assumed"),
    [
        (0.5, 0.4, 800, {}),
        (0.5, None, 1000, {"cached_share"}),
        (None, 0.4, 1000, {"cached_input"}),
        (None, None, 1000, set()),
    ],
)
def test_prompt_tokens_from_a_cache_cost_what_the_list_says(cached_input, share, reading, assumed):
    """600 USD for new tokens and 400 x 0.5 for cached ones; what is not said costs full input."""
    made = economics(
        replace(
            PRICES,
            cheap=None if cached_input else PRICES.cheap,
            frontier=TokenPrice(input=1.0, output=3.0, cached_input=cached_input),
            traffic=replace(PRICES.traffic, cached_share=share),
        )
    )
    assert made.overall["frontier_input_spend"].value == pytest.approx(reading)
    assert set(made.assumed) == set(assumed)


def test_missing_sections_are_named_and_the_rest_goes_on():
    made = economics(
        PriceList(date=date(2026, 11, 1), cheap=PRICES.cheap, frontier=PRICES.frontier),
        catch_rate=None,
    )
    assert set(made.missing) == {"hosting", "team"}
    assert set(made.assumed) == {
        "catch_rate",
        "aggregator",
        "peak_to_mean",
        "active_hours",
        "scorer",
    }
    saving = made.plans["keep_cheap"]["aggregator_saving"]
    assert saving.value == pytest.approx(1800)
    assert saving.note == "assumed: aggregator, catch_rate, scorer"
    assert (
        made.plans["keep_cheap"]["aggregator_net_saving"].note
        == "unknown, as this is missing: team"
    )
    assert (made.verdict.answer, made.plot.measure) == ("unsure", "saving")


def test_price_list_with_a_date_alone_still_tells_tokens():
    made = economics(PriceList(date=date(2026, 11, 1)))
    assert made.overall["frontier_spend"].note == "unknown, as this is missing: frontier_prices"
    assert made.overall["input_tokens_per_month"].value == pytest.approx(1e9)
    assert (made.verdict.answer, made.verdict.shape, made.plot.curves) == ("unsure", None, {})


def test_unknown_outcomes_are_not_taken_for_good_ones():
    """With half of the outcomes unknown the others stand for all: as many fallbacks as before."""
    cheap = np.where(np.arange(N) % 20 < 10, (np.arange(N) % 5 > 0).astype(float), np.nan)
    made = economics(asked=requests(cheap=cheap))
    assert made.plans["keep_cheap"]["fallback_cost"].value == pytest.approx(200)
    assert made.plans["keep_cheap"]["aggregator_net_saving"].value == pytest.approx(1000)


def test_without_outcomes_fallbacks_are_unknown():
    nothing = np.full(N, np.nan)
    made = economics(asked=requests(cheap=nothing, frontier=nothing))
    assert made.plans["keep_cheap"]["fallback_cost"].note == "unknown, as this is missing: outcomes"
    assert made.verdict.answer == "unsure"
    assert (
        economics(asked=requests(cheap=nothing, frontier=nothing), catch_rate=0.0).verdict.answer
        == "build"
    )


def test_without_answer_tokens_what_is_read_is_still_known():
    asked = requests()
    nothing = np.full(N, np.nan)
    made = economics(
        asked=replace(asked, tokens=asked.tokens._replace(cheap=nothing, frontier=nothing))
    )
    assert made.overall["frontier_input_spend"].value == pytest.approx(1000)
    assert made.overall["frontier_spend"].value is None
    assert made.verdict.answer == "unsure"


def test_old_prices_are_told():
    assert any("201 days old" in note for note in economics(today=date(2027, 5, 21)).notes)
    assert not any("days old" in note for note in economics(today=date(2027, 4, 30)).notes)


def test_same_seed_gives_the_same_json_without_infinities():
    one, other = economics().as_dict(), economics().as_dict()
    assert one == other
    json.dumps(one, allow_nan=False)
    assert (one["format"], one["keep_cheap_share"]) == (2, 0.5)
    assert one["keep_cheap"]["kept_share"]["value"] == pytest.approx(0.5)
    assert set(one["overall"]["frontier_spend"]) >= {"value", "low", "high", "n"}


@pytest.mark.parametrize(
    "answers", [{"catch_rate": 70.0}, {"max_quality_loss": -0.1}, {"catch_rate": float("nan")}]
)
def test_answers_that_are_no_fractions_are_refused(answers):
    with pytest.raises(InvalidValueError, match="not percentages"):
        Answers(**answers)


def test_bad_requests_and_compliance_are_refused():
    with pytest.raises(
        InvalidValueError, match="compliance must be one of own-hardware, own-cloud, any"
    ):
        Answers(compliance="moon")
    with pytest.raises(InvalidValueError, match="plan 'keep_cheap' must be a probability"):
        requests(kept=np.full(N, 2.0))


@pytest.mark.parametrize("catch_rate", [None, 0.0])
def test_what_the_check_sends_on_is_paid_twice(catch_rate):
    """All of 4,000 USD stays on the cheap model at first, for 400; the check sends 30 % of it on,
    1,200, among them half of the failures. The plan beside it has no check.
    """
    asked = requests()
    scores = np.where(np.arange(N) % 10 < 3, 0.9, 0.1)
    checked = replace(asked.scored, answer_score=scores, answer_threshold=0.5)
    plans = {"policy": np.zeros(N), "keep_cheap": np.full(N, 0.5)}
    setting = Setting(
        plan="policy",
        keep_cheap=0.5,
        answers=Answers(catch_rate=catch_rate),
        volume=MILLION,
        arrivals=Arrivals(None, None, 0.0),
        today=date(2026, 11, 20),
    )
    made = analyse(replace(asked, scored=checked, plans=plans), PRICES, setting, Resampling(50))
    plan = {
        "kept_share": 1.0, "frontier_spend": 4000, "fallback_cost": 1200, "caught_share": 0.3,
        "quality_after": 0.9, "quality_loss": 0.1, "aggregator_cost": 400,
        "aggregator_saving": 2400,
    }  # fmt: skip
    assert {name: made.plans["policy"][name].value for name in plan} == pytest.approx(plan)
    assert made.plans["keep_cheap"]["caught_share"].value == 0.0
    # All are asked of the cheap model, and 70 % stay there: fewer than the 80 % that it gets right.
    assert state(made, "hard_reasoning") == "does not hold"
    assert "100 % on the cheap model first, 30 % of them sent on after it" in made.verdict.text
