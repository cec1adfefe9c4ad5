"""A block's scores and decisions are those of the router, row by row."""

import json
from itertools import product

import numpy as np
import onnx
import pytest

from difficulty.bundle import read_bundle
from difficulty.errors import InvalidValueError
from difficulty.request import request_row
from difficulty.runtime import Router
from difficulty.runtime.scorer import Scorer
from difficulty.runtime.session import load_session
from difficulty.stages.bulk.block_requests import MOST_BYTES, requests_of
from difficulty.stages.bulk.block_scoring import BLOCK_SCHEMA, BlockScorer, score_block
from difficulty.stages.bulk.unpacked_table import unpack_tables
from difficulty.tensors import GraphBuilder
from difficulty.traffic.table import pa

TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}


def user(text):
    return [{"role": "user", "content": text}]


ROWS = [
    {"id": "a", "messages": user("Which label fits: invoice or complaint?"), "task": "classify"},
    {"id": "b", "messages": user("Plan a trip\nwith two children"), "task": None},
    {"id": "", "messages": [{"role": "system", "content": "Be brief."}, *user("Why?")]},
    {"id": "d", "messages": user("")},
    {"id": "e", "messages": user("Find it"), "tools": json.dumps([TOOL])},
    {"id": "f", "messages": user("Gr\u00fc\u00dfe \u4f60\u597d"), "prompt_tokens": 12},
    {"id": "g", "messages": []},
    {"id": "h", "messages": None},
]
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.large_string())]))),
        ("task", pa.string()),
        ("tools", pa.large_string()),
        ("prompt_tokens", pa.int64()),
    ]
)


@pytest.fixture(scope="module")
def table():
    return pa.Table.from_pylist(ROWS, SCHEMA)


def test_requests_are_those_of_a_request_file(table):
    """The short road of plain rows ends where the long one does."""
    rows = requests_of(pa.concat_tables([table, table]), first_row=5)
    forms = [
        {**row, "tools": json.loads(row["tools"]) if row.get("tools") else None} for row in ROWS
    ]
    expected = [request_row(form, number, noun="row") for number, form in enumerate(forms * 2, 6)]
    assert [row.id for row in rows] == [row.id for row in expected]
    assert [row.problem for row in rows] == [row.problem for row in expected]
    for row, other in zip(rows, expected, strict=True):
        messages = row.request.messages
        asked = user(messages) if isinstance(messages, str) and messages else messages
        assert row.request._replace(messages=asked or []) == other.request._replace(
            messages=[] if other.request.messages == user("") else other.request.messages
        )


def test_scores_and_decisions_are_the_router_s(journey, table):
    router = Router.load(journey.bundle)
    written = score_block(journey.bundle)(table)
    assert written.schema.equals(BLOCK_SCHEMA)
    for row, request in zip(written.to_pylist(), requests_of(table), strict=True):
        decision = router.consider(request.request, early=False)
        assert (row["route"], row["reason"]) == (decision.route, decision.reason)
        assert (row["tokens"], row["threshold"]) == (decision.tokens, decision.threshold)
        if decision.difficulty_score is not None:
            assert row["difficulty_score"] == pytest.approx(decision.difficulty_score, abs=1e-6)
    # What the rule decides has a score all the same; what has no text has none, and says why.
    assert written.column("reason")[0].as_py() == "easy_task"
    assert written.column("difficulty_score")[0].is_valid
    assert [row["error"] is not None for row in written.to_pylist()[-2:]] == [True, True]


def test_requests_decided_together_are_decided_as_one_by_one(journey):
    """Whatever the rule looks at: tasks that it names, counts of the caller's, scores."""
    rows = [
        {
            "id": str(place),
            "messages": user(f"{text} {place}"),
            "task": task,
            "prompt_tokens": count,
        }
        for place, (text, task, count) in enumerate(
            product(
                (
                    "Which label fits?",
                    "Plan a trip in detail. " * 30,
                    "Gr\u00fc\u00dfe \u4f60\u597d",
                ),
                (None, "classify", "multi-step planning", "of no rule", ""),
                (None, 3, 100_000, -1, 2**62),
            )
        )
    ]
    block = requests_of(pa.Table.from_pylist(rows, SCHEMA))
    scorer = BlockScorer(read_bundle(journey.bundle))
    together = scorer.score_requests(block)
    alone = scorer.score_rows([*block])
    names = [name for name in BLOCK_SCHEMA.names if name not in BLOCK_SCHEMA.names[1:5]]
    assert together.select(names) == alone.select(names)
    assert len(set(together.column("reason").to_pylist())) > 3
    for name in BLOCK_SCHEMA.names[1:5]:
        first, second = (np.array(each.column(name), float) for each in (together, alone))
        np.testing.assert_allclose(first, second, atol=1e-6)


def test_blocks_do_not_depend_on_how_they_are_cut(journey, table):
    score = score_block(journey.bundle, keep=["prompt_tokens"])
    whole = score(table)
    parts = [score(table.slice(start, 3), first_row=start) for start in range(0, len(table), 3)]
    cut = pa.concat_tables(parts)
    assert cut.drop_columns(BLOCK_SCHEMA.names[1:5]) == whole.drop_columns(BLOCK_SCHEMA.names[1:5])
    for name in BLOCK_SCHEMA.names[1:5]:
        first, second = (np.array(each.column(name).to_pylist(), float) for each in (cut, whole))
        np.testing.assert_allclose(first, second, atol=1e-6)
    assert whole.column("prompt_tokens").to_pylist()[5] == 12


def test_kept_column_with_a_name_of_ours_is_refused(journey):
    with pytest.raises(InvalidValueError, match="'route'.*Rename it"):
        score_block(journey.bundle, keep=["route"])


def test_request_of_many_bytes_is_told_and_the_others_are_scored(journey, table):
    huge = pa.Table.from_pylist([{"id": "x", "messages": user("a" * (MOST_BYTES + 1))}], SCHEMA)
    written = score_block(journey.bundle)(pa.concat_tables([table, huge, table])).to_pylist()
    assert "at most 16,000,000 bytes" in written[len(table)]["error"]
    assert written[len(table)]["difficulty_score"] is None
    assert written[len(table) + 1]["difficulty_score"] == written[0]["difficulty_score"]


def test_unpacked_table_changes_no_bit(journey):
    bundle = read_bundle(journey.bundle)
    content = unpack_tables(bundle.files["scorer.onnx"])
    assert len(content) > len(bundle.files["scorer.onnx"])
    scorer = Scorer.from_bundle(bundle)
    rows = [[number % 97 + 1 for number in range(length)] for length in (1, 5, 5, 40)]
    first = scorer.score_many(rows)
    scorer.graph.session = load_session(content)
    second = scorer.score_many(rows)
    assert all((first[name] == second[name]).all() for name in first)


def test_two_numbers_of_a_byte_are_unpacked_once():
    """As the default encoder is shipped: four bits each, less eight."""
    graph = GraphBuilder()
    table = np.arange(12, dtype=np.uint8).reshape(3, 4) * 21
    packed = graph.constant(table).take(graph.input("rows", np.int64, ["batch", "tokens"]))
    low = packed.shifted(4, "LEFT").shifted(4, "RIGHT")
    pair = graph.concat([packed.shifted(4, "RIGHT"), low], axis=2)
    graph.output((pair.cast(np.float32) - 8.0).sum(1), "out", ["batch", 8])
    content = graph.build("packed").SerializeToString()
    kinds = [node.op_type for node in onnx.load_from_string(unpack_tables(content)).graph.node]
    assert kinds == ["Gather", "ReduceSum"]
    feeds = {"rows": np.array([[2, 0], [1, 1]])}
    first, second = (
        load_session(each).run(None, feeds)[0] for each in (content, unpack_tables(content))
    )
    assert (first == second).all()
