"""Judge scores: scale, offset of each judge, joining by request, and what cannot be told."""

import json

import numpy as np
import pytest

from difficulty.stages.ingest import ingest
from difficulty.traffic.labels.judge import JudgeScores, judge_offsets, judge_sets
from difficulty.traffic.readers import RawRow
from difficulty.traffic.table import Traffic


def judged(rows, scale=(1, 10)):
    """Send rows through the source; return its rows and its report."""
    source = JudgeScores(scale=scale)
    return list(
        source.rows([RawRow("in.jsonl", line, row) for line, row in enumerate(rows, start=1)])
    ), source.report()


def score(request, judge, cheap, frontier):
    return {
        "id": request,
        "prompt": request,
        "judge": judge,
        "cheap_score": cheap,
        "frontier_score": frontier,
    }


def test_one_judge_is_only_rescaled():
    """Nobody to compare with: nothing is taken off, and the scores end at 0 and 1."""
    rows, report = judged([score("a", "j", 1, 10), score("b", "j", 5.5, None)])
    assert [
        (row.fields.get("cheap_quality"), row.fields.get("frontier_quality")) for row in rows
    ] == [(0.0, 1.0), (0.5, None)]
    assert report.counts["judges"] == {"j": {"scores": 3, "offset": 0.0}}
    assert report.counts["alpha_as_given"] is None


def test_scale_may_run_downwards():
    rows, _ = judged([score("a", None, 1, 5)], scale=(5, 1))
    assert (rows[0].fields["cheap_quality"], rows[0].fields["frontier_quality"]) == (1.0, 0.0)


def test_offsets_by_hand():
    """One answer, scores 0.4 and 0.8 of two judges: (A + 3) o = b with A = [[1/2, -1/2], [-1/2,
    1/2]], b = [-0.2, 0.2]; o = +-0.05.
    """
    offsets = judge_offsets(np.array([0, 0]), np.array([0, 1]), np.array([0.4, 0.8]), n_judges=2)
    assert offsets == pytest.approx([-0.05, 0.05])


def test_offsets_are_those_of_the_judges_not_of_their_requests():
    """Judge 0 is handed easy answers, judge 1 hard ones; twelve in a hundred are scored by both,
    and judge 1 gives 0.2 more.
    """
    rng = np.random.default_rng(3)
    hard = rng.random(2_000) < 0.5
    value, both = np.where(hard, 0.3, 0.7), rng.random(2_000) < 0.12
    rows = [(n, judge) for n in range(2_000) for judge in (0, 1) if both[n] or judge == hard[n]]
    answers, judges = np.array(rows).T
    scores = value[answers] + 0.2 * judges + rng.normal(0, 0.1, len(rows))
    offsets = judge_offsets(answers, judges, scores, n_judges=2)
    assert offsets[1] - offsets[0] == pytest.approx(0.2, abs=0.03)
    assert (
        scores[judges == 1].mean() - scores[judges == 0].mean() < -0.1
    )  # the plain means say the opposite


def test_offset_is_taken_off_both_answers_and_the_gain_stays():
    """Two judges on forty requests, one 0.2 more generous: the qualities move to the middle, no
    gain changes.
    """
    rng = np.random.default_rng(1)
    truth = rng.uniform(3, 7, (40, 2))
    rows = [
        score(f"r{n}", name, c + shift, f + shift)
        for n, (c, f) in enumerate(truth)
        for name, shift in (("kind", 0.9), ("strict", -0.9))
    ]
    found, report = judged(rows)
    offsets = {name: judge["offset"] for name, judge in report.counts["judges"].items()}
    assert offsets == {
        "kind": pytest.approx(0.1, abs=0.005),
        "strict": pytest.approx(-0.1, abs=0.005),
    }
    quality = np.array(
        [[row.fields["cheap_quality"], row.fields["frontier_quality"]] for row in found]
    )
    assert quality == pytest.approx((truth - 1) / 9, abs=1e-9)
    assert report.counts["alpha_without_offsets"] > 0.99 > report.counts["alpha_as_given"]


def test_judges_that_share_no_answer_are_told_apart_but_not_compared():
    """Two pairs of judges, no answer in common: offsets are 0 on average in either pair, and the
    report says so.
    """
    rows = [
        score(f"x{n}", name, value, value)
        for n in range(10)
        for name, value in (("a", 8), ("b", 6))
    ]
    rows += [
        score(f"y{n}", name, value, value)
        for n in range(10)
        for name, value in (("c", 4), ("d", 2))
    ]
    _, report = judged(rows)
    offset = {name: judge["offset"] for name, judge in report.counts["judges"].items()}
    assert offset["a"] == pytest.approx(-offset["b"])
    assert offset["c"] == pytest.approx(-offset["d"])
    assert offset["a"] == pytest.approx(offset["c"])
    assert any(
        "the 4 judges fall into 2 sets that share no answer" in warning
        for warning in report.warnings
    )


def test_sets_are_joined_through_a_chain():
    answers, judges = np.array([0, 0, 1, 1, 2, 2, 3]), np.array([0, 1, 1, 2, 3, 4, 5])
    assert judge_sets(answers, judges, n_judges=6).tolist() == [0, 0, 0, 1, 1, 2]


def test_judge_seen_once_moves_little():
    """One score far from the others' is mostly noise: of a distance of 0.6 less than a quarter is
    taken for an offset.
    """
    rows = [score(f"r{n}", name, 8, 8) for n in range(30) for name in ("a", "b")] + [
        score("r0", "once", 2.6, None)
    ]
    _, report = judged(rows)
    assert -0.15 < report.counts["judges"]["once"]["offset"] < 0
    assert abs(report.counts["judges"]["a"]["offset"]) < 0.01


def test_offsets_leave_the_mean_score_as_it_was():
    rng = np.random.default_rng(4)
    answers, judges, scores = rng.integers(0, 60, 300), rng.integers(0, 5, 300), rng.random(300)
    offsets = judge_offsets(answers, judges, scores, n_judges=5)
    assert np.abs(offsets).min() > 0
    assert (scores - offsets[judges]).mean() == pytest.approx(scores.mean())


def test_constant_judges_are_named():
    rows = [score(f"r{n}", "parrot", 7, 7) for n in range(5)]
    _, report = judged(rows)
    assert (
        "judge 'parrot' gave the same score to all 10 answers: its scores say nothing"
        in report.warnings
    )


def test_several_rows_of_one_request_become_one_sample(tmp_path):
    """A later row may leave the request out; other text, other models, or a score off the scale
    send a row to the rejects.
    """
    rows = [
        score("a", "j", 1, 10) | {"task": "x", "cheap_model": "s", "frontier_model": "b"},
        {"id": "a", "judge": "k", "cheap_score": 1, "frontier_score": "10"},
        score("a", "l", 1, 10) | {"prompt": "another text"},
        score("a", "l", 1, 10) | {"cheap_model": "t"},
        score("a", "m", 11, 10),
        score("b", "j", 4, None) | {"frontier_quality": 1},
        {"prompt": "no id", "judge": "j", "cheap_score": 10},
        {"prompt": "no id", "judge": "k", "cheap_score": 10},
        score("c", "j", None, 9) | {"frontier_quality": 1},
    ]
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = ingest(
        [source], out := tmp_path / "out.parquet", labels=["judge:scale=1,10"], allow_rejects=True
    )
    assert (summary.rows, summary.kept, summary.joined, sum(summary.rejected.values())) == (
        9,
        4,
        1,
        4,
    )
    traffic = Traffic.read(out)
    assert traffic.ids == ["a", "b", "in-7", "in-8"]
    assert traffic.column("extra")[0] == {"n_judges": 2}
    assert [
        row["line"]
        for row in map(json.loads, (tmp_path / "out.rejects.jsonl").read_text().splitlines())
    ] == [3, 4, 5, 9]
    assert (
        json.loads((tmp_path / "out.summary.json").read_text())["labels"][0]["judges"]["j"][
            "scores"
        ]
        == 4
    )


def test_constant_judges_leave_nothing_to_learn(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text(
        "".join(
            json.dumps(score(f"r{n}", name, 7, 7)) + "\n" for n in range(5) for name in ("a", "b")
        )
    )
    summary = ingest(
        [source], tmp_path / "out.parquet", labels=["judge:scale=1,10"], allow_rejects=True
    )
    assert summary.labels[0]["alpha_as_given"] is None
    assert any(
        "both models do equally well on every sample" in warning for warning in summary.warnings
    )
    assert any(
        "quality 0.666667 on every sample: one class" in warning for warning in summary.warnings
    )
