import numpy as np
import pytest

from difficulty.errors import UndefinedMetricError
from difficulty.training.candidates import simplest_near_best


def test_choice_is_the_simplest_within_one_standard_error_of_the_difference():
    """By hand: in two draws the differences to the best stand 0.04 apart, so their deviation is
    0.028: 0.03 is too far behind.
    """
    best = np.array([0.60, 0.70])
    far, near = best - [0.02, 0.06], best - [0.0, 0.04]
    choice = simplest_near_best([0.62, 0.63, 0.65], [far, near, best])
    assert choice.standard_error == pytest.approx([0.0283, 0.0283, 0.0], abs=1e-4)
    assert (choice.best, choice.chosen) == (2, 1)
    assert choice.behind == pytest.approx([0.03, 0.02, 0.0])


def test_choice_is_the_best_where_no_simpler_one_is_near():
    """What moves all candidates alike is no reason to doubt the best."""
    best = np.array([0.5, 0.6, 0.7])
    assert simplest_near_best([0.58, 0.6], [best - 0.02, best]).chosen == 1


def test_choice_leaves_out_draws_in_which_a_figure_is_undefined():
    draws = np.array([0.6, 0.7, np.nan, 0.8])
    choice = simplest_near_best([0.65, 0.7], [draws, np.array([0.7, 0.7, 0.1, 0.9])])
    assert choice.standard_error[0] == pytest.approx(np.std([0.1, 0.0, 0.1], ddof=1))


@pytest.mark.parametrize(("values", "draws"), [([np.nan], [0.5, 0.6]), ([0.5], [np.nan, 0.6])])
def test_choice_needs_figures(values, draws):
    with pytest.raises(UndefinedMetricError, match="choosing needs a figure of every candidate"):
        simplest_near_best(values, [np.array(draws)])
