"""Counters, gauges and histograms, read back by Prometheus' own reader."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from difficulty.telemetry.meter import MOST_SERIES, OTHER, Family, Meter
from tests.telemetry.conftest import read_text

ASKED = Family("asked_total", "counter", "Requests\\asked,\nby route.", ("route",))
TOOK = Family("took_seconds", "histogram", "Time.", ("route",), (0.5, 1.0))
NOW = Family("now", "gauge", "State.")


def test_counter_adds_up():
    meter = Meter()
    for route in ("cheap", "frontier", "cheap"):
        meter.add(ASKED, route)
    meter.add(ASKED, "cheap", amount=0.5)
    samples = read_text(meter.text())
    assert samples["asked_total", ("route", "cheap")] == 2.5
    assert samples["asked_total", ("route", "frontier")] == 1


def test_histogram_has_growing_buckets_sum_and_count():
    """A bucket holds its upper end."""
    meter = Meter()
    for value in (0.1, 0.5, 0.7, 9.0, float("nan")):
        meter.observe(TOOK, value, "cheap")
    meter.fill(TOOK, [1, 0, 0], 0.2, "cheap")
    samples = read_text(meter.text())
    counts = [
        samples["took_seconds_bucket", ("le", le), ("route", "cheap")]
        for le in ("0.5", "1", "+Inf")
    ]
    assert counts == [3, 4, 5]
    assert samples["took_seconds_count", ("route", "cheap")] == 5
    assert samples["took_seconds_sum", ("route", "cheap")] == pytest.approx(10.5)


def test_gauge_is_set_and_forgotten():
    meter = Meter()
    meter.put(NOW, 3.0)
    meter.put(NOW, None)
    assert read_text(meter.text()) == {("now",): 3.0}
    meter.clear(NOW)
    assert meter.text() == ""


def test_families_keep_their_kind_and_meaning():
    meter = Meter()
    meter.add(ASKED, "cheap")
    meter.observe(TOOK, 1.0, "cheap")
    families = {each.name: each for each in text_string_to_metric_families(meter.text())}
    assert families["asked"].type == "counter"
    assert families["asked"].documentation == ASKED.meaning
    assert families["took_seconds"].type == "histogram"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_is_a_label(text):
    """Quotes, backslashes and line ends come back as they were."""
    meter = Meter()
    meter.add(ASKED, text)
    assert read_text(meter.text()) == {("asked_total", ("route", text)): 1}


def test_lone_surrogates_become_a_question_mark():
    meter = Meter()
    meter.add(ASKED, "a\ud800b")
    assert ("asked_total", ("route", "a?b")) in read_text(meter.text())


def test_series_are_bounded():
    """Names that others choose cannot fill the memory: what is more is counted together."""
    meter = Meter()
    for number in range(MOST_SERIES + 7):
        meter.add(ASKED, f"route {number}")
    samples = read_text(meter.text())
    assert len(samples) == MOST_SERIES + 1
    assert samples["asked_total", ("route", OTHER)] == 7


def test_threads_count_together():
    meter = Meter()
    threads = [
        threading.Thread(target=lambda: [meter.add(ASKED, "cheap") for _ in range(500)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_text(meter.text())["asked_total", ("route", "cheap")] == 4_000
