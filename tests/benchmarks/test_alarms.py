import numpy as np
import pytest

from benchmarks.alarms import CHANGES, KINDS, as_markdown, changed, delays, quiet_quarters
from benchmarks.lib.alarm_traffic import START, Stream
from difficulty.alarms import Promises


@pytest.mark.parametrize("kind", KINDS)
def test_stream_is_seeded_and_has_about_the_volume_that_was_asked(kind):
    stream = Stream(volume=50.0, **KINDS[kind])
    first, again = (stream.draw(14, np.random.default_rng(3)) for _ in range(2))
    assert all(
        (first[name] == again[name])[first["tokens"] > 0].any() for name in ("route", "task")
    )
    np.testing.assert_array_equal(first["difficulty_score"], again["difficulty_score"])
    assert 300 < len(first["day"]) < 1100


def test_stated_probabilities_are_right_and_the_promise_is_just_kept():
    stream = Stream(volume=50.0, groups="none", labelled=1.0)
    drawn, promises = stream.draw(2000, np.random.default_rng(5)), stream.promises()
    cheap = drawn["route"] == "cheap"
    failed = 1.0 - drawn["cheap_quality"][cheap]
    assert failed.mean() == pytest.approx(drawn["p_cheap_fails"][cheap].mean(), abs=0.01)
    assert failed.mean() == pytest.approx(promises.risk, abs=0.01)


@pytest.mark.parametrize("name", CHANGES)
def test_nothing_is_changed_before_its_day(name):
    stream = Stream(volume=50.0)
    usual, moved = (
        stream.draw(10, np.random.default_rng(1), change, at=5) for change in (None, CHANGES[name])
    )
    before = moved["day"] < START + 5
    same = [
        np.array_equal(usual[column][before], moved[column][before])
        for column in ("task", "route", "tokens")
        if len(usual["day"]) == len(moved["day"])
    ]
    assert all(same)


def test_page_tells_quarters_changes_and_june():
    row = changed("a validator refuses all", "none", 50, 1)
    june = delays(
        lambda rng: Stream(volume=50.0, groups="none").draw(33, rng, {"refuse": "all"}, at=31),
        Promises(),
        at=31,
        n=1,
    )
    assert row["which"]["validators"] == june["which"]["validators"] == 1
    page = as_markdown(
        {
            "rate": 0.05,
            "command": "x",
            "repeats": 1,
            "quiet": [quiet_quarters("alone", 50, 1)],
            "changed": [row],
            "june": {"trained": 1, "questions": 2, "rows": [{"known": "nothing"} | june]},
        }
    )
    assert "In 0 of 1 quiet quarters any alarm rose" in page
    assert "| a validator refuses all | none | 50 |" in page
    assert "| nothing | 100.0% [2.5%, 100.0%] |" in page
