import numpy as np
import pytest

from difficulty.alarms import COLUMNS, DailySummaries, summarise
from difficulty.alarms.sources import SHARES
from difficulty.errors import InvalidValueError
from tests.alarms.logs import DAY, log


def day(*numbers):
    return DAY + np.array(numbers)


def test_group_counts_once_a_day_with_the_mean_of_its_requests():
    """Group a: one of two above 0.5; group b: one of one; the request without a group: none."""
    summaries = summarise(
        {
            "day": day(0, 0, 0, 0),
            "group": np.array(["a", "a", "b", None], dtype=object),
            "difficulty_score": np.array([0.9, 0.1, 0.8, 0.2]),
        }
    )
    sums, column = summaries.sums["scores"], int(np.flatnonzero(SHARES == 0.5)[0])
    assert sums.groups.tolist() == [3.0]
    assert sums.requests.tolist() == [4.0]
    assert sums.total[0, column] == pytest.approx(1.5)
    assert sums.squares[0, column] == pytest.approx(1.25)
    assert summaries.largest_group.tolist() == [2.0]


def test_sums_are_those_of_the_table_of_groups():
    """Against the plain way, groups by columns, on groups of many sizes."""
    rng = np.random.default_rng(0)
    n = 400
    days, groups, score = rng.integers(0, 3, n), rng.integers(0, 40, n), rng.random(n)
    sums = summarise({"day": DAY + days, "group": groups, "difficulty_score": score}).sums["scores"]
    for number in range(3):
        means = np.array(
            [
                (score[(days == number) & (groups == group), None] > SHARES).mean(axis=0)
                for group in np.unique(groups[days == number])
            ]
        )
        np.testing.assert_allclose(sums.total[number], means.sum(axis=0), atol=1e-9)
        np.testing.assert_allclose(sums.squares[number], (means**2).sum(axis=0), atol=1e-9)


def test_words_are_counted_and_what_nobody_says_is_not_watched():
    summaries = summarise(
        {
            "day": day(0, 0, 0),
            "group": np.array(["a", "a", "b"], dtype=object),
            "task": np.array(["code", "chat", "code"], dtype=object),
            "script": np.array([None, "", None], dtype=object),
        }
    )
    sums = summaries.sums["tasks"]
    assert sums.columns == ("code", "chat")
    assert sums.total[0].tolist() == [1.5, 0.5]
    assert sums.squares[0].tolist() == [1.25, 0.25]
    assert "scripts" not in summaries.sums


def test_refusal_names_the_validator_where_one_is_known():
    """An answer that was not checked says nothing."""
    sums = summarise(
        {
            "day": day(0, 0, 0, 0),
            "cheap_passed": np.array([1.0, 0.0, 0.0, np.nan]),
            "failed_validator": np.array([None, "json", None, None], dtype=object),
        }
    ).sums["refusals"]
    assert set(sums.columns) == {"passed", "refused by json", "refused"}
    assert sums.groups.tolist() == [3.0]


def test_request_without_a_task_says_so_where_others_have_one():
    sums = summarise({"day": day(0, 0), "task": np.array(["code", None], dtype=object)}).sums[
        "tasks"
    ]
    assert set(sums.columns) == {"code", "no task"}


def test_days_without_traffic_are_there_with_nothing():
    summaries = summarise({"day": day(0, 4), "tokens": np.array([10.0, 20.0])})
    assert summaries.requests.tolist() == [1.0, 0.0, 0.0, 0.0, 1.0]
    assert summaries.sums["length"].groups.tolist() == [1.0, 0.0, 0.0, 0.0, 1.0]
    assert summaries.requests_a_month(slice(0, 5)) == pytest.approx(12.0)


def test_parts_of_a_log_are_joined_to_what_the_whole_is():
    whole = log(days=6, volume=30)
    late = whole["day"] >= DAY + 2
    parts = [
        summarise({name: values[rows] for name, values in whole.items()}) for rows in (late, ~late)
    ]
    joined, at_once = DailySummaries.joined(parts), summarise(whole)
    np.testing.assert_array_equal(joined.days, at_once.days)
    for name, sums in at_once.sums.items():
        order = [joined.sums[name].columns.index(column) for column in sums.columns]
        np.testing.assert_allclose(joined.sums[name].total[:, order], sums.total)
        np.testing.assert_allclose(joined.sums[name].squares[:, order], sums.squares)
        np.testing.assert_array_equal(joined.sums[name].groups, sums.groups)
    for name, amounts in at_once.amounts.items():
        np.testing.assert_allclose(joined.amounts[name], amounts)


def test_two_parts_of_one_day_are_refused():
    part = summarise({"day": day(0, 1)})
    with pytest.raises(InvalidValueError, match="must be in one part of the log alone"):
        DailySummaries.joined([part, part])


def test_no_decisions_are_no_days():
    empty = summarise({name: np.zeros(0, dtype="datetime64[D]") for name in ("day",)})
    assert len(empty.days) == 0
    assert len(DailySummaries.joined([]).days) == 0
    assert len(DailySummaries.joined([empty, summarise({"day": day(3)})]).days) == 1


def test_decision_without_a_time_is_left_out():
    dates = np.array([DAY, np.datetime64("NaT"), DAY], dtype="datetime64[D]")
    assert summarise({"day": dates, "tokens": np.ones(3)}).requests.tolist() == [2.0]


def test_columns_that_differ_in_length_are_refused():
    with pytest.raises(InvalidValueError, match="must have the same length"):
        summarise({"day": day(0), "tokens": np.ones(2)})
    with pytest.raises(InvalidValueError, match="must have a column 'day'"):
        summarise({"tokens": np.ones(2)})


def test_of_more_groups_than_are_summed_a_part_is_taken():
    """Requests are all counted; what is summed is a part of the groups, whole ones."""
    n = 300
    summaries = summarise(
        {
            "day": np.repeat(DAY, n),
            "group": np.repeat(np.arange(n // 3), 3),
            "tokens": np.full(n, 8.0),
        },
        most_groups=20,
    )
    assert summaries.requests.tolist() == [300.0]
    assert summaries.sums["length"].groups.tolist() == [20.0]
    assert summaries.sums["length"].requests.tolist() == [60.0]


def test_outcomes_that_only_checked_the_form_are_no_outcomes():
    values = {
        "day": day(0, 0),
        "route": np.array(["cheap", "cheap"], dtype=object),
        "p_cheap_fails": np.array([0.25, 0.25]),
        "cheap_quality": np.array([0.0, 1.0]),
        "measured_by": np.array(["exact", "validators:json"], dtype=object),
    }
    sums = summarise(values).sums
    assert sums["risk"].requests.tolist() == [1.0]
    # (1 + 1 - 0.25) / 2
    assert sums["cheap_calibration"].total[0, 0] == pytest.approx(0.875)


def test_frontier_answers_after_a_refusal_are_no_picture_of_that_model():
    values = {
        "day": day(0, 0),
        "route": np.array(["frontier", "cheap"], dtype=object),
        "fallback": np.array([None, "validation"], dtype=object),
        "p_frontier_fails": np.array([0.25, 0.25]),
        "frontier_quality": np.array([1.0, 0.0]),
    }
    sums = summarise(values).sums["frontier_calibration"]
    assert sums.requests.tolist() == [1.0]
    # (1 + 0 - 0.25) / 2
    assert sums.total[0, 0] == pytest.approx(0.375)


def test_promise_counts_what_stays_with_the_cheap_model():
    """One that fails, one that fails and is noticed, one that is escalated, one of the frontier."""
    values = {
        "day": day(0, 0, 0, 0),
        "route": np.array(["cheap", "cheap", "cheap", "frontier"], dtype=object),
        "cheap_quality": np.zeros(4),
        "fallback": np.array([None, "validation", None, None], dtype=object),
        "escalated": np.array([np.nan, np.nan, 1.0, np.nan]),
    }
    sums = summarise(values).sums
    assert sums["risk"].total[0, 0] == 2.0
    assert sums["unnoticed_risk"].total[0, 0] == 1.0
    assert sums["unnoticed_risk"].groups.tolist() == [2.0]


def test_quality_of_the_rule_is_weighted_by_propensity():
    """Of four requests one was explored: it says nothing of the rule, the others 4 / 3 as much."""
    values = {
        "day": day(0, 0, 0, 0),
        "route": np.array(["cheap", "cheap", "cheap", "frontier"], dtype=object),
        "policy_route": np.array(["cheap"] * 4, dtype=object),
        "propensity": np.array([0.75, 0.75, 0.75, 0.25]),
        "cheap_quality": np.array([1.0, 0.0, 1.0, np.nan]),
        "frontier_quality": np.array([np.nan, np.nan, np.nan, 0.0]),
    }
    sums = summarise(values).sums["lost_quality"]
    assert sums.total[0, 0] * 4.0 / 4.0 == pytest.approx(1.0 / 3.0)


def test_every_column_that_is_read_is_one_of_the_table_of_decisions():
    assert "day" in COLUMNS
    assert len(set(COLUMNS)) == len(COLUMNS)
