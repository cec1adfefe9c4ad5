"""What LiteLLM's own logs show of a decision: tags, and the metadata of its spend logs."""

import asyncio

import pytest

from difficulty.gateway.settings import build_gateway, parse_settings
from tests.bundle.conftest import SAVED

handlers = pytest.importorskip("difficulty.integrations.litellm", exc_type=ImportError)
PRICES = {
    "date": "2026-11-28",
    "cheap_input": 0.1,
    "cheap_output": 0.2,
    "frontier_input": 2.0,
    "frontier_output": 8.0,
}
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


def logged(handler, metadata, tags=()):
    """Return a row of LiteLLM's logs after the hook, when the request is over."""
    handler.flow.visits._open.clear()
    row = {
        "litellm_params": {"metadata": metadata},
        "standard_logging_object": {"request_tags": list(tags)},
    }
    assert asyncio.run(handler.async_logging_hook(row, ANSWER, "acompletion")) == (row, ANSWER)
    return row


def test_route_and_reason_are_tags_of_the_row(handler):
    """Tags of the client stay, those in our name do not; the request, by whose tags LiteLLM may
    choose deployments, keeps its own.
    """
    metadata = decided(handler, "classify", tags=["team-a"])["metadata"]
    row = logged(handler, metadata, ["team-a", "difficulty:route=frontier"])
    assert row["standard_logging_object"]["request_tags"] == [
        "team-a",
        "difficulty:route=cheap",
        "difficulty:reason=easy_task",
    ]
    assert metadata["tags"] == ["team-a"]
    row = logged(handler, {"difficulty": {"route": "cheap"}}, ["team-a"])  # a mark of a client's
    assert row["standard_logging_object"]["request_tags"] == ["team-a"]
    assert "spend_logs_metadata" not in row["litellm_params"]["metadata"]


def test_score_is_among_the_metadata_of_spend(handler):
    """What a client put there stays, but not in our name."""
    sent = {"team": "a", "difficulty": {"saving_usd": 1_000.0}}
    metadata = decided(handler, "classify", spend_logs_metadata=sent)["metadata"]
    noted = metadata["spend_logs_metadata"]["difficulty"]
    assert (noted["route"], noted["bundle"]) == ("cheap", "bundle-format-1")
    assert not {"difficulty_score", "saving_usd"} & set(noted)
    assert metadata["spend_logs_metadata"]["team"] == "a"
    noted = decided(handler, "other")["metadata"]["spend_logs_metadata"]["difficulty"]
    assert 0 < noted["difficulty_score"] < 1


def test_saving_is_what_the_frontier_model_would_have_cost_more(handler):
    """By hand: 1,000 and 500 tokens cost USD 0.006 there and 0.0002 here. A call after this one,
    with the request's own metadata, did not save that.
    """
    for task, saving in (("classify", 0.0058), ("multi-step planning", None)):
        metadata = decided(handler, task)["metadata"]
        row = logged(handler, metadata)
        noted = row["litellm_params"]["metadata"]["spend_logs_metadata"]["difficulty"]
        assert noted.get("saving_usd") == (saving and pytest.approx(saving))
        assert noted["route"] == ("cheap" if saving else "frontier")
        assert "saving_usd" not in metadata["spend_logs_metadata"]["difficulty"]


def test_second_call_is_told_from_the_first(handler):
    """The frontier model after a cheap answer that would not do, or a shadow: no saving."""
    mark = handlers.Mark(route="cheap", reason="easy_task", call="fallback")
    row = logged(handler, {"difficulty": mark, "spend_logs_metadata": {"difficulty": {"id": "a"}}})
    assert row["standard_logging_object"]["request_tags"] == [
        "difficulty:route=cheap",
        "difficulty:reason=easy_task",
        "difficulty:call=fallback",
    ]
    assert row["litellm_params"]["metadata"]["spend_logs_metadata"] == {"difficulty": {"id": "a"}}


def test_saving_of_a_stream_that_nobody_counted_is_not_known(handler):
    row = {"litellm_params": {"metadata": decided(handler, "classify")["metadata"]}}
    whole = {**ANSWER, "usage": {"prompt_tokens": 0, "completion_tokens": 0}}
    asyncio.run(handler.async_logging_hook(row, whole, "acompletion"))
    noted = row["litellm_params"]["metadata"]["spend_logs_metadata"]["difficulty"]
    assert "saving_usd" not in noted


def test_spend_logs_of_the_proxy_have_the_place():
    types = pytest.importorskip("litellm.proxy._types")
    assert "spend_logs_metadata" in types.SpendLogsMetadata.__annotations__
