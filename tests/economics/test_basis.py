import numpy as np
import pytest

from difficulty.economics.basis import Basis, Counted, Figure, fill_tokens
from difficulty.economics.prices import TrafficShape
from tests.economics.test_costs import tokens

COUNTED = Counted(np.array([10.0, 20.0]), "by hand")
NONE = [np.nan, np.nan]


def test_known_counts_are_kept_and_assume_nothing():
    own = tokens([1, 2], [3, np.nan], [5, 6])
    filled, basis = fill_tokens(
        own, COUNTED, TrafficShape(prompt_tokens=9, cheap_tokens=9, frontier_tokens=9)
    )
    assert all(
        np.array_equal(one, other, equal_nan=True)
        for one, other in zip(filled[:3], own[:3], strict=True)
    )
    assert filled.cached is own.cached
    assert basis == Basis()


def test_prompts_without_a_count_are_counted():
    filled, basis = fill_tokens(
        tokens([1, np.nan], [3, 4], [5, 6]), COUNTED, TrafficShape(prompt_tokens=9)
    )
    assert filled.prompt.tolist() == [1, 20]
    assert basis.assumed == {"prompt_tokens": "tokens of 50% of the requests are counted by hand"}


def test_price_list_tells_what_no_request_does():
    filled, basis = fill_tokens(
        tokens(NONE, NONE, [5, 6]), COUNTED, TrafficShape(prompt_tokens=7, cheap_tokens=8)
    )
    assert (filled.prompt.tolist(), filled.cheap.tolist()) == ([7, 7], [8, 8])
    assert set(basis.assumed) == {"prompt_tokens", "cheap_tokens"}


def test_answers_of_one_model_stand_in_for_the_others():
    filled, basis = fill_tokens(tokens([1, 2], NONE, [5, 6]), COUNTED, TrafficShape())
    assert filled.cheap.tolist() == [5, 6]
    assert basis.assumed == {
        "cheap_tokens": "the cheap model's answers are as long as the frontier model's"
    }


def test_answers_that_nobody_counted_are_missing():
    filled, basis = fill_tokens(tokens([1, 2], NONE, NONE), COUNTED, TrafficShape())
    assert np.isnan(filled.cheap).all()
    assert set(basis.missing) == {"cheap_tokens", "frontier_tokens"}


@pytest.mark.parametrize(
    ("drawn", "value", "high", "note"),
    [
        ([2.0, 1.0, 3.0], 2.0, 3.0, "assumed: a"),
        ([np.nan] * 3, None, None, "unknown, as this is missing: b"),
        ([np.inf, 1.0, np.inf], None, None, "none will do; assumed: a"),
        (
            [2.0, *[1.0] * 10, *[np.inf] * 10],
            2.0,
            None,
            "no upper end: in some draws none will do; assumed: a",
        ),
    ],
)
def test_estimate_says_what_it_rests_on(drawn, value, high, note):
    made = Basis({"a": "A.", "other": "O."}, {"b": "B."}).estimate(
        Figure(np.array(drawn), 7, ("a", "b"), "none will do")
    )
    assert (made.value, made.high, made.n, made.note) == (value, high, 7, note)
