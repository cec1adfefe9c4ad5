from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from difficulty.economics.usage import Arrivals, Volume, draw_volume, parse_volume
from difficulty.errors import InvalidValueError

START = datetime(2026, 6, 1, tzinfo=UTC)


def times(n, *, hours):
    """Return n moments at equal distances over some hours."""
    return [START + timedelta(hours=hours * number / (n - 1)) for number in range(n)]


def test_volume_of_a_month_by_hand():
    """400 requests of their own group in 730 hours: 400 plus or minus 1.96 x 20."""
    found = Arrivals.of(times(400, hours=730), [str(number) for number in range(400)])
    assert found.volume == pytest.approx((400 - 39.2, 400 + 39.2))
    assert found.days == pytest.approx(730 / 24)


def test_large_groups_make_the_volume_unsure():
    """Of 400 requests in 4 groups of 100 little is known: 400 plus or minus 1.96 x 200."""
    found = Arrivals.of(times(400, hours=730), [str(number // 100) for number in range(400)])
    assert found.volume == pytest.approx((400 - 392, 400 + 392))


def test_peak_is_the_busiest_hour_and_weekday():
    """All requests at ten on Mondays: 24 times the mean hour of the day, and 7 times that of the
    week.
    """
    moments = [
        START + timedelta(days=7 * (number % 5), hours=10, seconds=number) for number in range(300)
    ]
    assert Arrivals.of(moments, ["a"] * 300).peak_to_mean == pytest.approx(24 * 7)
    assert Arrivals.of(
        times(5001, hours=7 * 24 * 10 - 1), ["a"] * 5001
    ).peak_to_mean == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("moments", [[None] * 3, times(300, hours=100), [START]])
def test_too_little_time_tells_nothing(moments):
    found = Arrivals.of(moments, ["a"] * len(moments))
    assert (found.volume, found.peak_to_mean) == (None, None)


def test_few_requests_tell_no_peak():
    found = Arrivals.of([*times(20, hours=730), None], ["a"] * 21)
    assert found.peak_to_mean is None
    assert found.volume is not None


@pytest.mark.parametrize(
    ("text", "volume"),
    [("50000", (5e4, 5e4)), ("50_000-200,000", (5e4, 2e5)), (" 2e6 ", (2e6, 2e6)), ("5-5", (5, 5))],
)
def test_volume_is_read(text, volume):
    assert parse_volume(text) == Volume(*volume)


@pytest.mark.parametrize("text", ["", "0", "-5", "many", "200-100", "1-2-3", "inf", "nan", "1-nan"])
def test_volume_that_is_none_is_refused(text):
    with pytest.raises(
        InvalidValueError,
        match="requests per month must be a number above 0 or a range like 50000-200000",
    ):
        parse_volume(text)


def test_draws_fill_the_range_around_its_middle():
    drawn = draw_volume(Volume(100.0, 300.0), np.random.default_rng(0).random(500))
    assert drawn[0] == 200.0
    assert 100.0 <= drawn[1:].min() < 110.0
    assert 290.0 < drawn[1:].max() <= 300.0
    assert np.isnan(draw_volume(None, np.zeros(3))).all()
