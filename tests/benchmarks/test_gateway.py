"""What the plugin adds: percentiles worked by hand, both classifiers on a few requests, and the
page.
"""

import asyncio
import importlib
import json

import pytest

pytest.importorskip("litellm", exc_type=ImportError)
gateway = importlib.import_module("benchmarks.gateway")  # what it lacks beside litellm is a fault

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_added_is_the_difference_of_percentiles():
    found = gateway.compared({gateway.THEIRS: [1.0, 2.0, 3.0], gateway.HOOK: [2.0, 4.0, 6.0]})
    assert found["requests"] == 3
    assert found["ms"][gateway.HOOK] == pytest.approx(
        {"p50": 4.0, "p99": 5.96, "added_p50": 2.0, "added_p99": 2.98}
    )
    assert found["ms"][gateway.THEIRS]["added_p50"] == 0.0


def test_every_classifier_answers_and_the_warm_up_is_left_out(journey):
    """The classifiers assert themselves that it was they who answered, and no fallback of the auto
    router.
    """
    row = {
        "messages": [
            {"role": "user", "content": "Reply in one sentence: what is a purchase order?"}
        ],
        "task": None,
        "prompt_tokens": 10,
    }
    taken = asyncio.run(gateway.in_process(journey.bundle, [row] * (gateway.WARM_UP + 3)))
    assert {name: len(times) for name, times in taken.items()} == {
        gateway.THEIRS: 3,
        gateway.HOOK: 3,
        gateway.ALONE: 3,
    }
    assert min(min(times) for times in taken.values()) > 0


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [([1.9, 1.9, 5.5], "yes"), ([2.5, 2.5, 3.0], "no"), ([1.0, 1.0, 9.0], "no")],
)
def test_page_says_whether_the_plugin_adds_too_much(ours, verdict):
    """LiteLLM's own takes 1 ms: ours may take 2 at p50 and 6 at p99."""
    found = gateway.compared({gateway.THEIRS: [1.0] * 3, gateway.HOOK: ours})
    results = {
        "date": "2026-11-27",
        "machine": "test",
        "python": "3",
        "in_process": found,
        "through_proxy": found,
    }
    page = gateway.as_markdown(json.loads(json.dumps(results)))
    assert f"at most 1 ms at p50 and 5 ms at p99: {verdict}." in page
    assert page.count("| LiteLLM's heuristic | 1.000 | 1.000 | +0.000 | +0.000 |") == 2
