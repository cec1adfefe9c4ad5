"""What an estimator of replay gets: of n requests and k sides how often the other rule takes each,
what was seen there, how probable it was to be seen, and what a model expects.

Sides are columns: cheap and frontier for the mean of all requests, the cheap one alone for a figure
of what stays there. ``taken`` and ``chance`` are probabilities given the request, so ``taken /
chance`` is the weight of the literature (rho, w) with shadow calls and missing labels counted in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import InvalidValueError
from difficulty.metrics.arrays import FloatArray
from difficulty.text import quantity_text


@dataclass(frozen=True, kw_only=True, eq=False)
class Weighed:
    """Outcomes of n requests on k sides.

    Attributes
    ----------
    taken : ndarray of shape (n, k)
        Probability with which the other rule takes the side, in [0, 1].
    chance : ndarray of shape (n, k)
        Probability that the outcome of the side came to be known, in [0, 1]; 0: it could not.
    value : ndarray of shape (n, k)
        The outcome, NaN where it is not known.
    model : ndarray of shape (n, k)
        What was to be expected, from nothing that this request's outcomes went into.
    within : pair of float
        Least and greatest value that an outcome can have.
    """

    taken: FloatArray
    chance: FloatArray
    value: FloatArray
    model: FloatArray
    within: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        for name in ("chance", "value", "model"):
            if getattr(self, name).shape != self.taken.shape:
                raise InvalidValueError(
                    name, getattr(self, name).shape, rule=f"have the shape {self.taken.shape}"
                )
        for name in ("taken", "chance"):
            values = getattr(self, name)
            if outside := values[~((values >= 0.0) & (values <= 1.0))].tolist():
                raise InvalidValueError(name, outside[0], rule="hold probabilities in [0, 1]")
        if (unseen := self.known & (self.chance <= 0.0)).any():
            raise InvalidValueError(
                "chance",
                f"0 for {quantity_text(int(unseen.sum()), 'outcome')}",
                rule="be above 0 where the outcome is known",
                hint="An outcome that could not be seen was: the propensities are not the log's.",
            )

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """Whether the outcome is known, shape (n, k)."""
        return ~np.isnan(self.value)

    @cached_property
    def ratio(self) -> FloatArray:
        """``taken / chance``, shape (n, k); 0 where there is no support."""
        return np.divide(
            self.taken, self.chance, out=np.zeros_like(self.taken), where=self.chance > 0.0
        )

    @cached_property
    def weight(self) -> FloatArray:
        """``ratio`` where the outcome is known, else 0, shape (n, k)."""
        return np.where(self.known, self.ratio, 0.0)

    @cached_property
    def residual(self) -> FloatArray:
        """Outcome minus what was expected, 0 where it is not known, shape (n, k)."""
        return np.where(self.known, self.value - self.model, 0.0)

    @cached_property
    def seen(self) -> FloatArray:
        """The outcome, 0 where it is not known, shape (n, k)."""
        return np.where(self.known, self.value, 0.0)

    @cached_property
    def total(self) -> float:
        """How often the sides are taken in all."""
        return float(self.taken.sum())

    @cached_property
    def denominator(self) -> FloatArray:
        """How often the sides of each request are taken, shape (n,)."""
        return self.over_sides(self.taken)

    @cached_property
    def n_known(self) -> int:
        """Requests of which an outcome is known."""
        return int(self.known.any(axis=1).sum())

    @cached_property
    def unsupported(self) -> FloatArray:
        """Probability that the other rule takes a side whose outcome could not be seen, shape
        (n,).
        """
        return self.over_sides(np.where(self.chance <= 0.0, self.taken, 0.0))

    def over_sides(self, values: FloatArray) -> FloatArray:
        """Return the sums of values of shape (n, k) over the sides, shape (n,)."""
        # Several times as fast as a sum along so short an axis.
        return np.asarray(values @ np.ones(values.shape[1]))

    def without_model(self) -> Weighed:
        """Return the same where nothing is expected of anything."""
        return replace(self, model=np.zeros_like(self.model))

    def at_worst(self, end: int) -> Weighed:
        """Return the same with outcomes that could not be seen at the least (0) or the greatest (1)
        value that they can have.
        """
        unseen = self.chance <= 0.0
        return replace(self, model=np.where(unseen, self.within[end], self.model))
