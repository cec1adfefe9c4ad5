"""The times of a check: each part has some, and the page says them."""

from benchmarks.answer_latency import as_page, measure
from difficulty.runtime import Router
from tests.answer_checks import write_with_check
from tests.bundle.conftest import SAVED


def test_every_part_takes_time_and_the_page_has_it(tmp_path):
    write_with_check(SAVED, tmp_path / "words-1")
    found = measure(Router.load(tmp_path / "words-1"), rounds=3, tokens=(20, 40))
    assert found["check"]["p50"] > found["facts"]["p10"] > 0
    assert found["latex"]["4096"]["p50"] > 0
    page = as_page({"bundles": {"words-1": found}})
    assert any(line.startswith("| words-1 |") for line in page)
    assert any(line.startswith("| 65,536 |") for line in page)
