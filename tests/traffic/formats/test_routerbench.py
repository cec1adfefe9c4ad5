"""RouterBench's wide table as traffic."""

import pytest

from difficulty.errors import TrafficError
from difficulty.traffic.reading.dialect import ReadOptions
from difficulty.traffic.reading.named_pair import ModelPair
from difficulty.traffic.rows import parse_row
from tests.traffic.formats.examples import read_example


def test_scores_answers_and_bills_of_two_models():
    found, rows = read_example("routerbench.csv")
    assert found == "routerbench"
    first = parse_row(rows[0].fields, default_id="n").sample
    assert first.messages[0].content == "Who signs?\nA. One\nB. Two\nAnswer:"
    assert (first.cheap_quality, first.frontier_quality) == (1.0, 1.0)
    assert (first.cheap_cost_usd, first.frontier_cost_usd) == (1.5e-5, 3e-4)
    assert (first.cheap_answer, first.frontier_answer) == ("A", "A")
    assert (first.id, first.task, first.measured_by) == ("mmlu-law.val.1", "mmlu-law", "exact")


def test_blanks_are_unknown_never_zero():
    _, rows = read_example("routerbench.csv")
    second = parse_row(rows[1].fields, default_id="n").sample
    assert (second.cheap_quality, second.cheap_cost_usd) == (None, None)
    assert (second.frontier_quality, second.frontier_answer) == (0.75, "Because it's night.")


@pytest.mark.parametrize(
    ("cheap", "said"),
    [
        ("[!b]*", r"must be the cheap one: got 2 \(small-1, mid-1\)"),
        ("none*", "must be the cheap one: got none. Models of the rows: 'small-1', 'mid-1', 'big"),
    ],
)
def test_each_side_is_one_column(cheap, said):
    options = ReadOptions(pair=ModelPair(cheap=(cheap,), frontier=("big-1",)))
    with pytest.raises(TrafficError, match=said):
        read_example("routerbench.csv", options)
