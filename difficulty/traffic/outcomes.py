"""What is known of both models on each request, as arrays in which NaN means unknown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import InvalidValueError

__all__ = ["Outcomes"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Outcomes of n requests.

    Attributes
    ----------
    cheap_quality, frontier_quality : ndarray of shape (n,)
        Quality in [0, 1]; a request that only has ``cheap_passed`` counts as 1 or 0, one that only has a preference as the win
        rate of either answer (1, 0.5 or 0). NaN where unknown.
    preferred_gain : ndarray of shape (n,)
        1 where the frontier answer was preferred, 0 for a tie, -1 where the cheap one was. NaN where nobody voted.
    weight : ndarray of shape (n,)
        Sample weights, above 0.
    """

    cheap_quality: FloatArray
    frontier_quality: FloatArray
    preferred_gain: FloatArray
    weight: FloatArray

    def __post_init__(self) -> None:
        sizes = {len(self.cheap_quality), len(self.frontier_quality), len(self.preferred_gain), len(self.weight)}
        if len(sizes) != 1:
            raise InvalidValueError("outcomes", sorted(sizes), rule="have one length")

    def __len__(self) -> int:
        return len(self.cheap_quality)

    def __getitem__(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Outcomes:
        """Return the outcomes of some rows."""
        return Outcomes(
            cheap_quality=self.cheap_quality[rows],
            frontier_quality=self.frontier_quality[rows],
            preferred_gain=self.preferred_gain[rows],
            weight=self.weight[rows],
        )

    @property
    def cheap_failure(self) -> FloatArray:
        """1 - cheap quality: what ``p_cheap_fails`` predicts. NaN where unknown."""
        return 1.0 - self.cheap_quality

    @property
    def frontier_failure(self) -> FloatArray:
        """1 - frontier quality: what ``p_frontier_fails`` predicts. NaN where unknown."""
        return 1.0 - self.frontier_quality

    @property
    def gain(self) -> FloatArray:
        """Frontier quality minus cheap quality, in [-1, 1]; the preference where a quality is unknown. NaN where neither is known."""
        difference = self.frontier_quality - self.cheap_quality
        return np.where(np.isnan(difference), self.preferred_gain, difference)
