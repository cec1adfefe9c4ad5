"""Logs of a policy with a hunch, drawn from traffic whose outcomes are all known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from difficulty.traffic.table import SCHEMA, Traffic, pa

__all__ = ["Policy", "with_columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Guesses how the cheap model will do, and then tosses a coin.

    Attributes
    ----------
    right : float
        How often the guess is right, whatever the outcome; nothing in the request explains when it
        is not.
    easy, hard : float
        Probability of the cheap route where the guess is that the cheap answer will do, and where
        it will not.
    """

    right: float = 0.75
    easy: float = 0.9
    hard: float = 0.15

    def log(self, table: pa.Table, rng: np.random.Generator, *, propensity: bool = True) -> Traffic:
        """Return traffic as this policy would have logged it: route, its propensity if it was
        written down, and one outcome each.
        """
        cheap, frontier = (
            table.column(f"{model}_quality").to_numpy() for model in ("cheap", "frontier")
        )
        seems_easy = (cheap >= 0.5) == (rng.random(len(cheap)) < self.right)
        p_cheap = np.where(seems_easy, self.easy, self.hard)
        called = rng.random(len(cheap)) < p_cheap
        taken = np.where(called, p_cheap, 1.0 - p_cheap)
        return Traffic(
            with_columns(
                table,
                route=pa.array(np.where(called, "cheap", "frontier")),
                propensity=pa.array(taken, mask=np.full(len(taken), not propensity)),
                cheap_quality=pa.array(cheap, mask=~called),
                frontier_quality=pa.array(frontier, mask=called),
            )
        )


def with_columns(table: pa.Table, **columns: pa.Array | NDArray[np.float64]) -> pa.Table:
    """Return a table of traffic with some columns in place of its own."""
    for name, values in columns.items():
        place = SCHEMA.get_field_index(name)
        table = table.set_column(
            place, SCHEMA.field(place), pa.array(values, type=SCHEMA.field(place).type)
        )
    return table
