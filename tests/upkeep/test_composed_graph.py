import numpy as np
import onnxruntime
import pytest

from difficulty.errors import InvalidValueError
from difficulty.tensors import GraphBuilder
from difficulty.upkeep.composed_graph import (
    check_as_before,
    maps_of,
    recalibrated_check,
    recalibrated_scorer,
)
from difficulty.upkeep.logit_map import LogitMap

FIRST, SECOND = LogitMap(1.4, -0.3), LogitMap(0.7, 0.9)
P = np.array([0.0, 1e-6, 0.02, 0.3, 0.5, 0.9, 0.9999, 1.0], dtype=np.float32)


def scorer_graph():
    """Return a graph with the outputs p and 1 - p of its input."""
    graph = GraphBuilder()
    p = graph.input("p", np.float32, ["batch"])
    graph.output(graph("Identity", p), "difficulty_score", ["batch"])
    graph.output(p * -1.0 + 1.0, "p_cheap_fails", ["batch"])
    return graph.build("scorer").SerializeToString()


def answer_graph(n_facts=3):
    """Return a graph that gives back the features that it read."""
    graph = GraphBuilder()
    features = graph.input("features", np.float32, ["batch", n_facts + 2])
    graph.output(features * 1.0, "read", ["batch", n_facts + 2])
    return graph.build("answer").SerializeToString()


def run(content, **inputs):
    session = onnxruntime.InferenceSession(content)
    names = [item.name for item in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


def test_outputs_are_mapped_and_others_stay():
    mapped = run(recalibrated_scorer(scorer_graph(), {"difficulty_score": FIRST}), p=P)
    assert mapped["difficulty_score"] == pytest.approx(FIRST(P.astype(float)), abs=2e-6)
    assert (mapped["p_cheap_fails"] == 1.0 - P).all()
    assert (np.diff(mapped["difficulty_score"]) >= 0).all()


def test_a_second_map_takes_the_place_of_both():
    """The graph does not grow, and gives what one map after the other gives."""
    once = recalibrated_scorer(scorer_graph(), {"difficulty_score": FIRST})
    twice = recalibrated_scorer(once, {"difficulty_score": SECOND, "p_cheap_fails": FIRST})
    again = recalibrated_scorer(twice, {"difficulty_score": FIRST})
    assert len(again) == len(twice)
    inside = P[2:6]
    wanted = SECOND(FIRST(inside.astype(float)))
    assert run(twice, p=inside)["difficulty_score"] == pytest.approx(wanted, abs=2e-6)
    maps = maps_of(twice)
    assert maps["difficulty_score"].slope == pytest.approx(SECOND.after(FIRST).slope)
    assert maps["p_cheap_fails"].shift == pytest.approx(FIRST.shift)
    assert maps_of(scorer_graph()) == {}


def test_no_change_changes_no_byte_of_meaning():
    content = recalibrated_scorer(scorer_graph(), {"difficulty_score": LogitMap()})
    assert maps_of(content) == {}
    assert (run(content, p=P)["difficulty_score"] == P).all()


def test_what_is_no_number_stays_none():
    content = recalibrated_scorer(scorer_graph(), {"difficulty_score": FIRST})
    score = run(content, p=np.array([np.nan, 0.5], dtype=np.float32))["difficulty_score"]
    assert np.isnan(score[0])
    assert not np.isnan(score[1])


def test_unknown_output_is_refused():
    with pytest.raises(InvalidValueError, match="be one of"):
        recalibrated_scorer(scorer_graph(), {"p_frontier_fails": FIRST})


def test_check_of_answers_reads_what_it_learned_from():
    """Also after a second recalibration; unknown columns stay unknown."""
    p = np.array([0.1, 0.5, 0.8], dtype=np.float32)
    maps = {"p_cheap_fails": FIRST}
    content = check_as_before(answer_graph(), maps)
    rows = np.column_stack([np.eye(3), FIRST(p.astype(float)), np.full(3, np.nan)])
    read = run(content, features=rows.astype(np.float32))["read"]
    assert read[:, :3] == pytest.approx(np.eye(3))
    assert read[:, 3] == pytest.approx(p, abs=1e-6)
    assert np.isnan(read[:, 4]).all()
    both = {"p_cheap_fails": SECOND, "p_frontier_fails": FIRST}
    content = check_as_before(content, both)
    rows[:, 3], rows[:, 4] = SECOND(rows[:, 3]), FIRST(p.astype(float))
    read = run(content, features=rows.astype(np.float32))["read"]
    assert read[:, 3:] == pytest.approx(np.column_stack([p, p]), abs=2e-6)
    assert check_as_before(answer_graph(), {"difficulty_score": FIRST}) == answer_graph()


def test_probability_of_an_answer_moves_and_its_score_stays():
    """What the check's threshold is compared with means what it did, also after a second map."""
    graph = GraphBuilder()
    features = graph.input("features", np.float32, ["batch", 5])
    p = features.cut(0, 1)
    graph.output(p.squeeze(1), "p_answer_fails", ["batch"])
    graph.output(p.squeeze(1), "answer_score", ["batch"])
    before = check_as_before(
        graph.build("answer").SerializeToString(),
        {"p_cheap_fails": SECOND, "p_frontier_fails": SECOND},
    )
    said = np.tile(P[2:6, np.newaxis], (1, 5))
    after = run(recalibrated_check(before, FIRST), features=said)
    assert after["p_answer_fails"] == pytest.approx(FIRST(P[2:6].astype(float)), abs=2e-6)
    assert after["answer_score"] == pytest.approx(P[2:6])
    twice = recalibrated_check(recalibrated_check(before, FIRST), SECOND)
    wanted = SECOND(FIRST(P[2:6].astype(float)))
    assert run(twice, features=said)["p_answer_fails"] == pytest.approx(wanted, abs=2e-6)
