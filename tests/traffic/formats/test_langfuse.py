"""Langfuse's exports as traffic."""

from tests.traffic.formats.examples import read_example, sample_of, told


def test_observations_are_read_with_the_scores_beside_them():
    found, rows = read_example("langfuse-v2")
    assert found == "langfuse"
    judged, rated = sample_of(rows[0]), sample_of(rows[1])
    assert (judged.messages[0].content, judged.frontier_answer) == ("Question 1?", "Answer 1.")
    assert (judged.frontier_quality, judged.measured_by) == (0.75, "judge:quality")
    # What the cache read stands beside the other input.
    assert (judged.prompt_tokens, judged.cached_tokens, judged.frontier_tokens) == (100, 80, 5)
    assert (judged.frontier_cost_usd, judged.task, judged.id) == (0.003, "support", "o1")
    assert (rated.cheap_quality, rated.measured_by) == (0.0, "feedback")
    assert (rated.cheap_cost_usd, rated.cheap_tokens) == (None, None)
    assert rated.extra["scores"] == {"user-feedback": False, "toxicity": 0.1}


def test_a_score_of_a_trace_with_two_generations_judges_neither():
    _, rows = read_example("langfuse-v2")
    for row in rows[3:5]:
        sample = sample_of(row)
        assert (sample.cheap_quality, sample.frontier_quality) == (None, None)
        assert sample.extra["trace_scores"] == {"quality": 1.0}


def test_other_observations_are_left_out_and_unknown_types_refused_by_name():
    _, rows = read_example("langfuse-v2")
    span, unknown, failed = (told(rows)[place] for place in (2, 5, 6))
    assert span == "an observation of type SPAN, no call of a model"
    assert "got 'HOLOGRAM'" in unknown
    assert failed == "an observation of level ERROR: the model gave no answer"


def test_traces_of_the_api_hold_observations_and_scores():
    found, (row,) = read_example("langfuse-traces-v1.json")
    assert found == "langfuse"
    sample = sample_of(row)
    assert (sample.cheap_answer, sample.cheap_quality) == ("Hello.", 1.0)
    assert (sample.prompt_tokens, sample.cheap_tokens, sample.cheap_cost_usd) == (7, 2, 0.0001)
    assert sample.tools == ({"type": "function", "function": {"name": "wave"}},)
