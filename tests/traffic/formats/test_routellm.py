import gzip
import json

import pytest

from difficulty.errors import TrafficError
from difficulty.traffic.formats.routellm import RouteLLMFormat


@pytest.fixture
def root(tmp_path):
    """A layout like RouteLLM's with three questions of two benchmarks."""
    evals = tmp_path / "routellm" / "evals"
    (evals / "mmlu" / "responses").mkdir(parents=True)
    (evals / "gsm8k").mkdir()
    (evals / "mmlu" / "responses" / "mmlu_college_physics.csv").write_text(
        'prompt,small,big\n"One\nA. nan",True,False\nnan,False,True\n'
    )
    (evals / "mmlu" / "contaminated_prompts.jsonl").write_text('{"eval_prompt": "One\\nA. nan"}\n')
    (evals / "gsm8k" / "gsm8k_responses.csv").write_text(
        "prompt,small,big,small_response,big_response\nSum?,True,True,4,5\n"
    )
    return tmp_path


def rows(path):
    format_ = RouteLLMFormat()
    return [row.fields for file in format_.files(path) for row in format_.rows(file)]


def test_rows_have_the_columns_of_the_contract(root):
    first, second, third = rows(root)
    assert first == {
        "id": "mmlu-college_physics-00000", "prompt": "One\nA. nan", "task": "college_physics",
        "cheap_model": "small",
        "frontier_model": "big", "cheap_quality": "True", "frontier_quality": "False",
        "measured_by": "exact", "contaminated": True,
        "cheap_answer": None, "frontier_answer": None,
    }  # fmt: skip
    assert (second["id"], second["prompt"], second["contaminated"]) == (
        "mmlu-college_physics-00001",
        "nan",
        False,
    )
    assert (third["id"], third["task"]) == ("gsm8k-00000", "gsm8k")
    assert (third["cheap_answer"], third["frontier_answer"]) == ("4", "5")
    assert not any(name.endswith("_response") for name in third)


@pytest.mark.parametrize(
    ("part", "n_rows"),
    [
        ("", 3),
        ("routellm/evals", 3),
        ("routellm/evals/mmlu", 2),
        ("routellm/evals/mmlu/responses", 2),
        ("routellm/evals/gsm8k", 1),
    ]
    + [
        ("routellm/evals/mmlu/responses/mmlu_college_physics.csv", 2),
        ("routellm/evals/gsm8k/gsm8k_responses.csv", 1),
    ],
)
def test_any_part_of_the_layout_is_read(root, part, n_rows):
    assert len(rows(root / part)) == n_rows


def test_a_table_of_three_models_is_refused(root):
    path = root / "x.csv"
    path.write_text("prompt,a,b,c\nHi,True,True,True\n")
    assert RouteLLMFormat().files(path) == []
    with pytest.raises(
        TrafficError, match=r"a prompt column and two of models: got models \['a', 'b', 'c'\]"
    ):
        list(RouteLLMFormat().rows(path))


def test_ids_and_texts_are_those_of_the_normalised_file(routellm, normalised):
    """The same 14,042 requests, in the same order, with the same outcomes; the option text "nan"
    included.
    """
    with gzip.open(normalised / "routellm_mmlu__mixtral-8x7b__gpt-4-1106.jsonl.gz") as file:
        expected = [json.loads(line) for line in file]
    found = rows(routellm / "routellm/evals/mmlu")
    assert len(found) == 14_042
    assert [(row["id"], row["prompt"], row["task"], row["contaminated"]) for row in found] == [
        (row["id"], row["messages"][0]["content"], row["task"], row["contaminated"])
        for row in expected
    ]
    assert [row["cheap_quality"] == "True" for row in found] == [
        row["cheap_quality"] == 1.0 for row in expected
    ]
