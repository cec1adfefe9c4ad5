"""Spans of OpenInference and of OpenTelemetry's GenAI conventions as traffic."""

from tests.traffic.formats.examples import read_example, sample_of, told


def test_spans_of_four_conventions_are_read_from_one_export():
    found, rows = read_example("spans-otlp.jsonl")
    assert found == "openinference"
    open_, gen, events, llmetry = (sample_of(rows[place]) for place in (0, 1, 3, 4))
    assert [message.role for message in open_.messages] == ["system", "user"]
    assert open_.messages[1].content == "Book a room."
    assert '"arguments": "{\\"room\\": 7}"' in open_.frontier_answer
    assert (open_.prompt_tokens, open_.cached_tokens, open_.frontier_tokens) == (120, 100, 9)
    assert (open_.frontier_cost_usd, open_.frontier_model) == (0.004, "big-1")
    assert open_.tools == ({"type": "function", "function": {"name": "book"}},)
    assert [message.content for message in gen.messages] == ["You are a clerk.", "Is it raining?"]
    assert (gen.cheap_model, gen.cheap_answer) == ("small-1", "Yes.")
    assert (gen.prompt_tokens, gen.cached_tokens, gen.cheap_tokens) == (30, 16, 2)
    assert (events.messages[0].content, events.cheap_answer) == ("And tomorrow?", "Sun.")
    assert (events.cheap_quality, events.measured_by) == (1.0, "judge:correctness")
    # A stream without a count, though it wrote something.
    assert (events.prompt_tokens, events.cheap_tokens) == (12, None)
    assert (llmetry.messages[0].content, llmetry.frontier_answer) == ("Name a sea.", "The Baltic.")
    assert (llmetry.prompt_tokens, llmetry.frontier_tokens) == (5, 3)
    assert open_.timestamp.year == 2026


def test_other_spans_are_left_out_and_unknown_schemas_refused_by_name():
    _, rows = read_example("spans-otlp.jsonl")
    chain, failed, newer, silent = (told(rows)[place] for place in (2, 5, 6, 7))
    assert chain == "a span of kind 'CHAIN', no call of a model"
    assert failed == "a span that ended in an error: the model gave no answer"
    assert "got 'https://opentelemetry.io/schemas/2.0.0'" in newer
    assert silent.endswith("Let the instrumentation capture message content.")


def test_attributes_may_be_nested_or_columns():
    """As Phoenix writes them: objects in objects, or a column an attribute."""
    found, (nested, columns) = read_example("spans-flat.jsonl")
    assert found == "openinference"
    first, second = sample_of(nested), sample_of(columns)
    assert (first.id, first.cheap_answer, first.cheap_quality) == ("a1", '{"c": "a-t"}', 0.0)
    assert first.measured_by == "feedback"
    assert (second.id, second.frontier_answer, second.prompt_tokens) == ("a2", "d-o-g", 4)
