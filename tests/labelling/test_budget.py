"""Money is held before it is spent."""

import pytest

from difficulty.errors import InvalidValueError
from difficulty.labelling.budget import Budget, Purse


def test_what_is_held_cannot_be_held_again():
    budget = Budget(1.0, spent_usd=0.25)
    assert budget.hold(0.5)
    assert not budget.hold(0.5)
    budget.settle(0.5, 0.125)
    assert (budget.spent_usd, budget.held_usd, budget.left_usd) == (0.375, 0.0, 0.625)


def test_purse_pays_from_itself_first_and_gives_back_the_rest():
    budget = Budget(1.0)
    assert budget.hold(0.5)
    purse = Purse(budget, 0.5)
    assert purse.take(0.25)
    purse.settle(0.25, 0.0625)
    assert purse.take(0.5)  # a quarter of its own, a quarter from the budget
    assert budget.held_usd == 0.5
    assert not purse.take(1.0)
    purse.settle(0.5, 0.5)
    purse.close()
    assert (budget.spent_usd, budget.held_usd) == (0.5625, 0.0)


@pytest.mark.parametrize("usd", [0.0, -1.0, float("nan"), float("inf")])
def test_budget_that_is_none_is_refused(usd):
    with pytest.raises(InvalidValueError, match="must be a number of USD above 0"):
        Budget(usd)
