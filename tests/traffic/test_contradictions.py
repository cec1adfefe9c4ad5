"""Equal requests with other outcomes: counted, kept, and on one side of every split."""

import json

import pytest

from difficulty.records import Message, Sample
from difficulty.stages.ingest import ingest
from difficulty.traffic.duplicates import comparable_text
from difficulty.traffic.summary import Contradictions, request_outcomes
from difficulty.traffic.table import Traffic


def count(*samples):
    """Return how many samples contradict an earlier one."""
    found = Contradictions()
    for number, fields in enumerate(samples):
        text, system = fields.pop("text", "Hello"), fields.pop("system", "")
        messages = (*([Message("system", system)] if system else []), Message("user", text))
        samples = [Sample(id=str(number), messages=messages, **fields)]
        found.add(request_outcomes(samples, [comparable_text([("user", text)])]))
    return found.count


@pytest.mark.parametrize(
    ("second", "contradicts"),
    [
        ({"cheap_quality": 1.0}, False),
        ({"cheap_quality": 0.5}, True),
        ({"cheap_quality": 0.5, "text": "  HELLO "}, True),
        ({"frontier_quality": 0.0}, False),
        ({"cheap_quality": 0.5, "text": "Hello you"}, False),
        ({"cheap_quality": 0.5, "system": "Other tools"}, False),
        ({"cheap_quality": 0.5, "cheap_model": "another"}, False),
    ],
)
def test_contradiction_is_equal_text_and_models_with_another_outcome(second, contradicts):
    assert count({"cheap_quality": 1.0}, second) == contradicts


def test_contradiction_is_seen_against_what_was_known_first():
    """The second row adds a frontier outcome, the third contradicts that, the fourth contradicts
    nothing.
    """
    rows = [
        {"cheap_quality": 1.0},
        {"frontier_quality": 1.0},
        {"frontier_quality": 0.0},
        {"cheap_quality": 1.0, "frontier_quality": 1.0},
    ]
    assert count(*rows) == 1


def test_contradictions_are_counted_kept_and_never_split(tmp_path):
    rows = [{"prompt": f"request number {n // 2}", "cheap_quality": n % 2} for n in range(400)]
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = ingest([source], tmp_path / "out.parquet", near_duplicates=False)
    assert (summary.kept, summary.exact_duplicates, summary.contradictions) == (400, 200, 200)
    splits = Traffic.read(tmp_path / "out.parquet").splits().reshape(-1, 2)
    assert (splits[:, 0] == splits[:, 1]).all()
    assert {*splits.ravel().tolist()} == {"fit", "calibration", "test"}


def test_contradictions_of_mmlu_are_the_known_ones(routellm, tmp_path):
    """Four questions stand in clinical_knowledge and college_medicine with another verdict."""
    summary = ingest([routellm], tmp_path / "mmlu.parquet", near_duplicates=False)
    assert (summary.exact_duplicates, summary.contradictions) == (105, 4)
