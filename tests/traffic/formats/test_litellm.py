"""Spend logs of LiteLLM as traffic."""

import pytest

from difficulty.errors import TrafficError
from difficulty.traffic.formats import find_format
from difficulty.traffic.reading.dialect import ReadOptions
from tests.traffic.formats.examples import EXAMPLES, read_example, sample_of, told


@pytest.mark.parametrize("name", ["litellm-1.106.jsonl", "litellm-1.106.json", "litellm-1.106.csv"])
def test_a_spend_log_is_read_as_it_was_billed(name):
    """Of 16,111 prompt tokens 15,872 came from the provider's cache: the bill is 0.009161 USD, and
    an answer from LiteLLM's own cache costs nothing, whatever its token columns repeat.
    """
    found, rows = read_example(name)
    assert found == "litellm"
    first, hit, streamed, free = map(sample_of, rows[:4])
    assert (first.id, first.frontier_model, first.frontier_answer) == (
        "req-1", "big-1", "Two of them.",
    )  # fmt: skip
    assert (first.prompt_tokens, first.cached_tokens, first.frontier_tokens) == (16111, 15872, 2)
    assert first.frontier_cost_usd == 0.009161
    assert (first.frontier_quality, first.measured_by, first.task) == (1.0, "feedback", "invoices")
    assert (first.cheap_model, first.cheap_cost_usd, first.cheap_answer) == (None, None, None)
    assert (hit.cheap_cost_usd, hit.frontier_cost_usd) == (0.0, 0.0)
    assert (hit.prompt_tokens, hit.cached_tokens, hit.frontier_tokens) == (None, None, None)
    assert hit.extra["cache_hit"] is True
    assert (streamed.cheap_answer, streamed.cheap_quality) == ("Rechnung", 0.0)
    assert (streamed.prompt_tokens, streamed.cheap_tokens, streamed.cheap_cost_usd) == (None,) * 3
    assert [tool["type"] for tool in streamed.tools] == ["function"]
    # LiteLLM writes 0 where it knows no price: 25 tokens were not free.
    assert (free.prompt_tokens, free.cheap_tokens, free.cheap_cost_usd) == (20, 5, None)


def test_what_is_no_answer_of_the_two_models_is_left_out_by_name():
    _, rows = read_example("litellm-1.106.jsonl")
    embedding, failed, third, silent = told(rows[4:])
    assert embedding == "its call_type 'aembedding' is no chat"
    assert failed == "its status is 'failure': the model gave no answer"
    assert third == "its model 'third-1' is neither --cheap nor --frontier"
    assert silent.endswith("Let LiteLLM keep them: general_settings.store_prompts_in_spend_logs.")


def test_models_must_be_named_and_are_told():
    _, layout, (file,) = find_format(EXAMPLES / "litellm-1.106.json", options=ReadOptions())
    with pytest.raises(TrafficError, match=r"models 'big-1' \(2\), 'small-1' \(2\) in"):
        list(layout.rows(file))


def test_hashed_keys_and_addresses_are_not_kept():
    _, rows = read_example("litellm-1.106.jsonl")
    assert "hashed-key" not in repr(rows[0].fields)
