import json
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from difficulty.alarms import WATCHERS, Promises, summarise, watch
from difficulty.alarms.watching import RATE
from difficulty.errors import InvalidValueError
from tests.alarms.logs import DAY, log

PROMISES = Promises(frontier_share=(0.28, 0.32), risk=0.27)
FIRST = date(2026, 1, 5)


def watched(promises=PROMISES, *, without=(), **options):
    decisions = log(**options)
    kept = {name: values for name, values in decisions.items() if name not in without}
    return watch(summarise(kept), promises, bundle="bundles/b-1")


def by_name(result):
    return {alarm.name: alarm for alarm in result.alarms}


@pytest.fixture(scope="module")
def quiet():
    return watched(days=70)


def test_no_alarm_stands_on_quiet_traffic(quiet):
    assert quiet.standing == ()
    assert quiet.reference == (FIRST, FIRST + timedelta(days=27))
    assert {alarm.name for alarm in quiet.alarms} | set(quiet.idle) == set(WATCHERS)


def test_parts_of_the_rate_are_those_of_the_weights_and_add_up(quiet):
    """By the union bound the chance of any false alarm is the sum of what each is allowed."""
    total = sum(watcher.weight for watcher in WATCHERS.values())
    for alarm in quiet.alarms:
        assert 1.0 / alarm.threshold == pytest.approx(RATE * WATCHERS[alarm.name].weight / total)
    assert sum(1.0 / alarm.threshold for alarm in quiet.alarms) <= RATE


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tasks", {"hard": 2.0}),
        ("validators", {"refused": 1.0}),
        ("share", {"frontier": 0.7}),
        ("calibration", {"fails": 0.5}),
        ("promise", {"fails": 0.5}),
        ("cost", {"price": 4.0}),
        ("cheap_model", {"model": "small-2"}),
    ],
)
def test_change_raises_the_alarm_that_is_about_it(name, change):
    """It says since when, how sure, what was found and expected, and what to do."""
    result = watched(days=49, volume=60, at=31, **change)
    alarm = by_name(result)[name]
    assert alarm.standing
    assert abs((alarm.since - FIRST).days - 31) <= 2
    assert alarm.crossed >= FIRST + timedelta(days=31)
    assert alarm.evidence >= alarm.threshold
    assert alarm.found != alarm.expected
    assert alarm.answer.startswith("difficulty ")
    assert "bundles/b-1" in alarm.answer
    assert "quiet traffic" in alarm.odds or "read from the log" in alarm.odds
    assert json.loads(json.dumps(alarm.as_dict() | {"since": "", "crossed": ""}))
    assert result.alarms[0].standing


def test_money_of_an_alarm_is_the_change_of_a_request_times_a_month():
    """Each cheap call costs 0.003 USD more, 70 % are cheap, 60 requests a day."""
    alarm = by_name(watched(days=49, volume=60, at=31, price=4.0))["cost"]
    assert alarm.usd_a_month == pytest.approx(0.7 * 0.003 * 60 * 30, rel=0.1)
    assert "USD a month more" in alarm.cost


def test_alarm_that_rose_does_not_depend_on_what_came_later():
    """A look at an earlier day says what it said then."""
    whole = log(days=49, volume=60, at=31, refused=1.0)
    crossed = by_name(watch(summarise(whole), PROMISES))["validators"].crossed
    until = whole["day"] <= np.datetime64(crossed)
    then = {name: values[until] for name, values in whole.items()}
    assert by_name(watch(summarise(then), PROMISES))["validators"].crossed == crossed
    before = whole["day"] < np.datetime64(crossed)
    earlier = {name: values[before] for name, values in whole.items()}
    assert not by_name(watch(summarise(earlier), PROMISES))["validators"].standing


def test_alarm_outlives_the_end_of_its_quarter_and_falls_when_all_is_as_before():
    """Refusals of three weeks at the end of the first quarter; then the validator is mended."""
    decisions = log(days=28 + 91 + 40, volume=30, at=28 + 70, refused=1.0)
    mended = log(days=28 + 91 + 40, volume=30, seed=1)
    after = decisions["day"] >= DAY + 28 + 91
    decisions = {
        name: np.where(after, mended[name], values)
        if name in ("cheap_passed", "failed_validator")
        else values
        for name, values in decisions.items()
    }
    cheap = decisions["route"] == "cheap"
    # Routes of the two logs differ; what is not known of one is not a refusal.
    decisions["cheap_passed"] = np.where(cheap, decisions["cheap_passed"], np.nan)

    def standing(days):
        until = decisions["day"] < DAY + days
        log_then = {name: values[until] for name, values in decisions.items()}
        return by_name(watch(summarise(log_then), PROMISES))["validators"].standing

    assert standing(28 + 91)
    assert standing(28 + 91 + 10)
    assert not standing(28 + 91 + 35)


def test_flood_of_one_client_is_told_and_is_no_drift():
    """Two thousand requests of one client and one kind a day, beside sixty of all others."""
    usual = log(days=49, volume=60)
    n = 6_000
    flood = {name: np.resize(values[usual["task"] == "code"], n) for name, values in usual.items()}
    flood["day"] = DAY + 40 + np.arange(n) % 3
    flood["group"] = np.full(n, 10**9)
    both = {name: np.concatenate([usual[name], flood[name]]) for name in usual}
    result = watch(summarise(both), PROMISES)
    assert result.standing == ()
    assert [flood.day for flood in result.floods] == [
        FIRST + timedelta(days=d) for d in (40, 41, 42)
    ]
    assert "sent 2,000 requests, 97.1% of the day's" in str(result.floods[0])


def test_month_without_traffic_is_quiet():
    decisions = log(days=90, volume=40)
    away = (decisions["day"] >= DAY + 40) & (decisions["day"] < DAY + 70)
    result = watch(summarise({name: values[~away] for name, values in decisions.items()}), PROMISES)
    assert result.standing == ()
    assert result.floods == ()


def test_log_of_one_route_is_watched_for_what_it_says():
    result = watched(Promises(), days=60, frontier=0.0, at=0)
    assert result.standing == ()
    assert "frontier_model" in result.idle
    assert result.idle["share"] == "the bundle expects no share"
    assert result.idle["promise"] == "the bundle promises no quality"


def test_short_log_is_watched_for_what_needs_no_reference():
    """Promise, calibration and share rest on the bundle alone, so they are watched from day one."""
    result = watched(days=12, volume=200, fails=0.5, at=0)
    assert result.reference is None
    assert {alarm.name for alarm in result.standing} == {"promise", "calibration"}
    assert "first 4 whole weeks, and the log has 12 days" in result.idle["scores"]


def test_failures_that_validators_hide_are_no_better_model():
    """What users did not see they say nothing of, so kept answers fail less often than stated. That
    is no alarm; failing more often is one still.
    """

    def result_of(fails):
        decisions = log(days=40, volume=200, refused=0.0, fails=fails, at=0)
        rng = np.random.default_rng(1)
        failed = decisions["cheap_quality"] == 0.0
        caught = failed & (rng.random(len(failed)) < 0.7)
        decisions["fallback"] = np.where(caught, "validation", None)
        seen = watch(summarise(decisions), Promises())
        decisions["cheap_quality"][caught] = np.nan
        return seen, watch(summarise(decisions), Promises())

    judged, unjudged = result_of(-0.15)
    assert "calibration" in {alarm.name for alarm in judged.standing}
    assert unjudged.standing == ()
    _, worse = result_of(0.6)
    assert {alarm.name for alarm in worse.standing} == {"calibration"}


def test_reference_without_requests_is_no_reference():
    decisions = log(days=60, volume=40)
    late = decisions["day"] >= DAY + 30
    kept = {name: values[late | (np.arange(len(late)) == 0)] for name, values in decisions.items()}
    result = watch(summarise(kept), PROMISES)
    assert result.idle["scores"].endswith("scores of requests, and has 1")
    assert result.standing == ()


def test_empty_log_has_no_alarms():
    result = watch(summarise({"day": np.zeros(0, dtype="datetime64[D]")}), PROMISES)
    assert result.alarms == ()
    assert set(result.idle) == set(WATCHERS)


def test_columns_that_are_missing_are_not_watched():
    result = watched(days=49, without=("task", "tokens", "group"))
    assert {"tasks", "length", "scripts"} <= set(result.idle)


@pytest.mark.parametrize(
    ("options", "rule"),
    [({"rate": 0.0}, "be in \\(0, 1\\)"), ({"reference_weeks": 1}, "be 2 or more")],
)
def test_choices_that_make_no_sense_are_refused(options, rule):
    with pytest.raises(InvalidValueError, match=rule):
        watch(summarise({"day": np.zeros(0, dtype="datetime64[D]")}), PROMISES, **options)


def test_promises_are_read_from_the_policy():
    expected = {
        "frontier_share": {"value": 0.3, "low": 0.27, "high": 0.33, "n": 900},
        "quality": {"value": 0.8, "low": 0.78, "high": 0.82, "n": 900},
    }
    read = Promises.of(objective="risk=0.2,delta=0.05", expected=expected, catch_rate=0.5)
    assert read == Promises(frontier_share=(0.27, 0.33), risk=0.2, quality=0.78, noticed=True)
    assert Promises.of(objective="missed=0.1", expected={}) == Promises(missed=0.1)
    unknown = {"frontier_share": {"value": None, "low": None, "high": None, "n": 0}}
    assert Promises.of(objective="share=0.3", expected=unknown) == Promises()


def test_quality_below_what_was_expected_breaks_the_promise():
    expected = replace(PROMISES, risk=None, quality=0.95)
    result = watched(expected, days=40, volume=200)
    alarm = by_name(result)["promise"]
    assert alarm.standing
    assert alarm.found.startswith("a quality of 0.7") or alarm.found.startswith("a quality of 0.8")
