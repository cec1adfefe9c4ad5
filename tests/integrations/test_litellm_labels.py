"""What LiteLLM's own logs show of a decision: tags, and the metadata of its spend logs."""

import asyncio

import pytest

from difficulty.gateway.settings import build_gateway, parse_settings
from tests.bundle.conftest import SAVED

handlers = pytest.importorskip("difficulty.integrations.litellm", exc_type=ImportError)
PRICES = {"cheap_input": 0.1, "cheap_output": 0.2, "frontier_input": 2.0, "frontier_output": 8.0}
ANSWER = {
    "choices": [{"message": {"role": "assistant", "content": "w1"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1_000, "completion_tokens": 500},
}


@pytest.fixture(scope="module")
def handler():
    settings = parse_settings({"bundle": str(SAVED), "prices": PRICES})
    return handlers.DifficultyHandler(settings, build_gateway(settings))


def decided(handler, task, **metadata):
    """Return a request's body after the decision."""
    body = {
        "model": "auto",
        "messages": [{"role": "user", "content": "w3"}],
        "metadata": {"task": task, **metadata},
    }
    asyncio.run(handler.async_pre_call_hook(None, None, body, "acompletion"))
    return body


def test_route_and_score_are_among_tags_and_spend(handler):
    """Tags of the client stay, those in our name do not."""
    metadata = decided(handler, "classify", tags=["team-a", "difficulty:route=frontier"])[
        "metadata"
    ]
    assert metadata["tags"] == ["team-a", "difficulty:route=cheap", "difficulty:reason=easy_task"]
    noted = metadata["spend_logs_metadata"]["difficulty"]
    assert (noted["route"], noted["bundle"], "difficulty_score" in noted) == (
        "cheap",
        "bundle-format-1",
        False,
    )
    metadata = decided(handler, "other", tags="no list", spend_logs_metadata={"team": "a"})[
        "metadata"
    ]
    assert 0 < metadata["spend_logs_metadata"]["difficulty"]["difficulty_score"] < 1
    assert metadata["spend_logs_metadata"]["team"] == "a"


def test_saving_is_what_the_frontier_model_would_have_cost_more(handler):
    """By hand: 1,000 and 500 tokens cost USD 0.006 there and 0.0002 here."""
    for task, saving in (("classify", 0.0058), ("multi-step planning", None)):
        metadata = decided(handler, task)["metadata"]
        kwargs = {"litellm_params": {"metadata": metadata}}
        hook = handler.async_logging_hook(kwargs, ANSWER, "acompletion")
        assert asyncio.run(hook) == (kwargs, ANSWER)
        noted = metadata["spend_logs_metadata"]["difficulty"]
        assert noted.get("saving_usd") == (saving and pytest.approx(saving))
        assert noted["route"] == ("cheap" if saving else "frontier")


def test_spend_log_of_the_proxy_has_the_labels(handler):
    utils = pytest.importorskip("litellm.proxy.spend_tracking.spend_tracking_utils")
    metadata = decided(handler, "classify")["metadata"]
    written = utils._get_spend_logs_metadata(metadata)
    assert written["spend_logs_metadata"]["difficulty"]["route"] == "cheap"
