"""Slices."""

import dataclasses

import numpy as np
import pytest

from difficulty.evaluation import evaluate
from difficulty.evaluation.slices import MOST_SLICES, OTHER, by_tokens, slice_rows, too_small
from difficulty.metrics import Resampling

from .conftest import scored_of


def rows_of(scored, kind):
    return {name: rows.tolist() for name, rows in slice_rows(scored)[kind].items()}


def test_tasks_are_slices_largest_first():
    scored = scored_of([0.1] * 4, [0] * 4, [1] * 4, tasks=["code", "extract", None, "extract"])
    assert rows_of(scored, "task") == {"extract": [1, 3], "(none)": [2], "code": [0]}


def test_a_kind_without_names_is_left_out(four):
    assert "task" not in slice_rows(dataclasses.replace(four, tasks=[None] * 4))


def test_a_kind_of_one_slice_is_left_out(four):
    """It would repeat the figures of all."""
    assert "task" not in slice_rows(dataclasses.replace(four, tasks=["code"] * 4))


def test_token_bands_meet_without_overlap():
    scored = scored_of([0.1] * 5, [0] * 5, [1] * 5, n_tokens=np.array([0, 63, 64, 4095, 4096]))
    assert by_tokens(scored) == ["0-63", "0-63", "64-255", "1024-4095", "4096+"]


def test_further_labels_are_slices(four):
    scored = dataclasses.replace(four, labels={"script": ["Latin", "Latin", "Cyrillic", None]})
    assert rows_of(scored, "script") == {"Latin": [0, 1], "(none)": [3], "Cyrillic": [2]}


def test_very_many_names_are_bounded():
    """The rarest are judged together; no request is lost."""
    n = MOST_SLICES + 50
    parts = rows_of(
        scored_of([0.1] * n, [0] * n, [1] * n, tasks=[f"task {i}" for i in range(n)]), "task"
    )
    assert len(parts) == MOST_SLICES
    assert len(parts[OTHER]) == 51
    assert sorted(row for rows in parts.values() for row in rows) == list(range(n))


@pytest.mark.parametrize(
    ("sizes", "words"),
    [((49, 20, 29), "49 requests"), ((100, 5, 95), "5 requests needed"), ((100, 50, 50), "")],
)
def test_small_slices_are_marked_with_the_reason(sizes, words):
    assert words in too_small(*sizes)
    assert bool(too_small(*sizes)) == bool(words)


def test_a_slice_has_the_figures_of_its_requests_alone(many):
    """Whatever the other requests do."""
    result = evaluate(many, Resampling(20))
    code = np.array([task == "code" for task in many.tasks])
    arrays = (
        "difficulty_score",
        "p_cheap_fails",
        "p_frontier_fails",
        "outcomes",
        "groups",
        "n_tokens",
        "cheap_cost",
        "frontier_cost",
    )
    alone = dataclasses.replace(
        many,
        **{name: getattr(many, name)[code] for name in arrays},
        tasks=["code"] * int(code.sum()),
    )
    expected = evaluate(alone, Resampling(20)).overall
    got = result.slices["task"]["code"]
    assert {name: part.value for name, part in got.items()} == pytest.approx(
        {name: part.value for name, part in expected.items()}
    )
    assert got["apgr"].n == code.sum()


def test_small_slices_are_kept_and_marked(many):
    tasks = ["rare"] * 3 + many.tasks[3:]
    rare = evaluate(dataclasses.replace(many, tasks=tasks), Resampling(20)).slices["task"]["rare"]
    assert rare["frontier_share"].value is not None
    assert rare["frontier_share"].note.startswith("too few to judge: 3 requests")
