import numpy as np
import pytest

from benchmarks.lib import protocol
from benchmarks.lib.protocol import (
    BenchmarkSet,
    apgr,
    calls_for_gap,
    difference,
    draw,
    estimate,
    fold_number,
    inside_task_auroc,
)


def four_requests(**changes):
    """One fold, one task: the frontier model gains on the first and third request."""
    fields = {
        "ids": list("abcd"),
        "cheap": np.array([0.0, 1.0, 0.0, 1.0]),
        "frontier": np.ones(4),
        "fold": np.zeros(4, dtype=np.int64),
        "groups": np.array(list("abcd")),
        "tasks": np.array(["law"] * 4),
    }
    return BenchmarkSet(**fields | changes)


def test_fold_is_a_hash_of_the_key():
    """sha256("mmlu") ends in the hexadecimal digits of a number that leaves 1 when divided by 5."""
    from hashlib import sha256

    assert fold_number("mmlu") == int.from_bytes(sha256(b"mmlu").digest(), "big") % 5
    assert {fold_number(str(n)) for n in range(100)} == set(range(protocol.FOLDS))


def test_apgr_of_a_score_worked_by_hand():
    """Sent in the order a, b, c, d the gap recovered is 1/2, 1/2, 1, 1 at 1/4 ... 1: the area is
    (0.25 + 0.5 + 0.75 + 1) / 4.
    """
    data = four_requests()
    value = apgr(np.array([4.0, 3.0, 2.0, 1.0]), data, data.rows())(np.ones(4))
    assert value == pytest.approx((0.25 + 0.5 + 0.75 + 1.0) / 4)


def test_calls_for_gap_is_the_first_share_that_recovers_it():
    data = four_requests()
    share = calls_for_gap(np.array([4.0, 3.0, 2.0, 1.0]), data, data.rows(), target=0.5)(np.ones(4))
    assert share == pytest.approx(0.25)


def test_scores_are_ranked_inside_their_fold():
    """A fold whose model scores everything higher gains nothing by it."""
    folds = np.array([0, 0, 1, 1])
    data = four_requests(fold=folds)
    score = np.array([2.0, 1.0, 2.0, 1.0])
    statistic, shifted = (
        apgr(values, data, data.rows()) for values in (score, score + 10.0 * folds)
    )
    assert shifted(np.ones(4)) == statistic(np.ones(4)) == pytest.approx(0.75)


def test_rows_leave_a_task_out():
    """Without the task ``maths`` only the first two requests are ranked, the gaining one first:
    APGR 3/4.
    """
    data = four_requests(tasks=np.array(["law", "law", "maths", "maths"]))
    rows = data.rows(without="maths")
    assert rows.tolist() == [0, 1]
    assert apgr(np.array([2.0, 1.0, 0.0, 5.0]), data, rows)(np.ones(4)) == pytest.approx(0.75)


def test_knowing_the_task_alone_is_chance_inside_a_task():
    """The out-of-fold mean of the task: 0.5 among requests of one fold, far below it across
    folds.
    """
    fold = np.array([0, 0, 1, 1])
    data = four_requests(cheap=np.array([0.0, 1.0, 0.0, 0.0]), fold=fold)
    out_of_fold_mean = np.where(fold == 0, 1.0, 0.5)
    inside = inside_task_auroc(out_of_fold_mean, data, data.rows(), pairs_across_folds=False)
    assert inside(np.ones(4)) == pytest.approx(0.5)


def test_inside_task_auroc_is_the_mean_over_tasks():
    """One task in order, one in reverse, one with a single kind of outcome that does not count."""
    data = four_requests(
        ids=list("abcdef"),
        cheap=np.array([0.0, 1.0, 0.0, 1.0, 1.0, 1.0]),
        frontier=np.ones(6),
        fold=np.zeros(6, dtype=np.int64),
        groups=np.array(list("abcdef")),
        tasks=np.array(["law", "law", "maths", "maths", "art", "art"]),
    )
    score = np.array([0.9, 0.1, 0.2, 0.3, 0.5, 0.6])
    assert inside_task_auroc(score, data, data.rows(), pairs_across_folds=True)(
        np.ones(6)
    ) == pytest.approx(0.5)


def test_draws_of_two_methods_are_paired():
    """A method minus itself is 0 in every draw."""
    data = four_requests()
    first = apgr(np.array([4.0, 3.0, 2.0, 1.0]), data, data.rows())
    second = apgr(np.array([1.0, 2.0, 3.0, 4.0]), data, data.rows())
    draws = draw(
        {
            "first": first,
            "second": second,
            "same": difference(first, first),
            "minus": difference(first, second),
        },
        data.groups,
    )
    assert np.nanmax(np.abs(draws["same"])) == 0.0
    np.testing.assert_allclose(draws["minus"], draws["first"] - draws["second"])
    assert np.nanstd(draws["first"]) > 0


def test_estimate_holds_its_value():
    rng = np.random.default_rng(0)
    n = 400
    cheap = (rng.random(n) < 0.6).astype(float)
    fields = {
        "ids": [str(i) for i in range(n)],
        "groups": np.arange(n).astype(str),
        "tasks": np.array(["t"] * n),
    }
    data = four_requests(
        **fields, cheap=cheap, frontier=np.ones(n), fold=np.zeros(n, dtype=np.int64)
    )
    statistic = apgr(rng.random(n) - 0.5 * cheap, data, data.rows())
    found = estimate(
        statistic, draw({"x": statistic}, data.groups, n_draws=200)["x"], n=n, n_rows=n
    )
    assert 0.5 < found.low < found.value < found.high < 1.0
