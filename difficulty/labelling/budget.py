"""Money that is never passed: the worst case of a call is held before it goes out, and what it was
billed takes its place once that is known.
"""

from __future__ import annotations

from difficulty.errors import InvalidValueError


class Budget:
    """What may be spent, what was, and what calls under way may still cost, in USD.

    Parameters
    ----------
    limit_usd : float
        Above 0.
    spent_usd : float, default 0
        By earlier runs on the same budget.
    """

    def __init__(self, limit_usd: float, *, spent_usd: float = 0.0) -> None:
        if not 0.0 < limit_usd < float("inf"):
            raise InvalidValueError(
                "the budget",
                limit_usd,
                rule="be a number of USD above 0",
                hint="Without money, judge answers that are there: see 'difficulty outcomes'.",
            )
        self.limit_usd = limit_usd
        self.spent_usd = spent_usd
        self.held_usd = 0.0

    @property
    def left_usd(self) -> float:
        """What is neither spent nor held."""
        return self.limit_usd - self.spent_usd - self.held_usd

    def hold(self, usd: float) -> bool:
        """Set money aside; ``False`` where it is not there, and nothing is."""
        if usd > max(0.0, self.left_usd):  # what costs nothing may always be done
            return False
        self.held_usd += usd
        return True

    def release(self, usd: float) -> None:
        """Give back what was held."""
        self.held_usd = max(0.0, self.held_usd - usd)

    def settle(self, held_usd: float, billed_usd: float) -> None:
        """Put a bill in the place of what was held for it."""
        self.release(held_usd)
        self.spent_usd += billed_usd


class Purse:
    """What is held for one request, from which its calls are paid.

    A request whose money runs out half-way is paid for and not labelled; so all of its calls are
    held before the first goes out. One that ``borrows`` takes what is missing from the budget.
    """

    def __init__(self, budget: Budget, held_usd: float, *, borrows: bool = True) -> None:
        self._budget, self._left, self._borrows = budget, held_usd, borrows

    def take(self, usd: float) -> bool:
        """Set money aside for a call, from the purse first; ``False`` where both are empty."""
        missing = max(0.0, usd - self._left)
        if (missing and not self._borrows) or not self._budget.hold(missing):
            return False
        self._left -= usd - missing
        return True

    def settle(self, taken_usd: float, billed_usd: float) -> None:
        """Put a bill in the place of what was taken for it."""
        self._budget.settle(taken_usd, billed_usd)

    def close(self) -> None:
        """Give back what was not needed."""
        self._budget.release(self._left)
        self._left = 0.0
