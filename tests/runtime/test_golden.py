import json
from dataclasses import replace

import pytest

from difficulty.errors import BundleError
from difficulty.export.parity import golden_requests
from difficulty.runtime.golden import check_golden, golden_rows


def with_golden(bundle, rows):
    return replace(
        bundle,
        files={
            **bundle.files,
            "golden.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode(),
        },
    )


def rows_of(bundle):
    return [json.loads(line) for line in bundle.files["golden.jsonl"].split(b"\n") if line]


def changed(bundle, name, **fields):
    """Return the bundle with one golden vector changed."""
    rows = rows_of(bundle)
    (row,) = [row for row in rows if row["id"] == name]
    row |= fields
    return with_golden(bundle, rows)


def test_fresh_golden_vectors_are_reproduced(small, router):
    assert check_golden(small, router) == []
    assert [row["id"] for row in rows_of(small)] == [request["id"] for request in golden_requests()]


def test_golden_row_holds_what_another_runtime_needs(router):
    (row,) = golden_rows(
        router,
        [
            {
                "id": "a",
                "messages": [{"role": "user", "content": "Plan the move"}],
                "task": "code",
                "given_tokens": 9,
            }
        ],
    )
    assert row["input_ids"] == [
        router.scorer.task_ids["code"],
        *router.scorer.encode("Plan the move").ids,
    ]
    assert (row["id"], row["task"], row["tokens"], row["tokens_source"]) == (
        "a",
        "code",
        9,
        "request",
    )
    assert row["difficulty_score"] == router.scorer.score("Plan the move", "code").difficulty_score


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("input_ids", [1, 2, 3], "expected [1, 2, 3]"),
        ("route", "nowhere", "expected 'nowhere'"),
        ("reason", "hard_task", "expected 'hard_task'"),
        ("threshold", 0.123, "expected 0.123"),
        ("tokens", 99, "expected 99"),
        ("truncated", None, "expected None"),
        ("difficulty_score", None, "expected None within 0.0001"),
        ("p_frontier_fails", 2.0, "expected 2.0 within 0.0001"),
        ("familiarity", 0.5, "expected 0.5 within 0.0001"),
    ],
)
def test_changed_golden_vector_is_found(small, router, field, value, shown):
    (difference,) = check_golden(changed(small, "german", **{field: value}), router)
    assert difference.startswith(f"german: {field} is ")
    assert difference.endswith(shown)


def test_score_may_differ_by_the_tolerance_and_no_more(small, router):
    (row,) = [row for row in rows_of(small) if row["id"] == "plain"]
    within, beyond = (
        changed(small, "plain", difficulty_score=row["difficulty_score"] + step)
        for step in (9e-5, 1.1e-4)
    )
    assert check_golden(within, router) == []
    assert len(check_golden(beyond, router)) == 1


def test_no_golden_vectors_prove_nothing(small, router):
    with pytest.raises(BundleError, match=r"golden\.jsonl must hold golden vectors: got none"):
        check_golden(with_golden(small, []), router)
