"""What one channel learned: its state, a head for each outcome, and one for the gain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from difficulty.channels import Channel
from difficulty.channels.gains import GainTarget
from difficulty.channels.heads import LinearHead, Matrix, fit_head
from difficulty.model.labelled import LabelledTokens

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FittedChannel:
    """What one channel learned: its state and a head for each outcome that is known."""

    state: Any
    cheap: LinearHead | None
    frontier: LinearHead | None
    gain: LinearHead | None = None

    @property
    def heads(self) -> list[LinearHead]:
        """The heads of outcomes there are, cheap first."""
        return [head for head in (self.cheap, self.frontier) if head]

    def logits(self, channel: Channel, prepared: Matrix) -> tuple[FloatArray | float, ...]:
        """Return logits of both outcomes, 0 for an outcome without a head, and the gain, NaN
        without one.
        """
        return self.logits_of(channel.transform(prepared, self.state))

    def logits_of(self, vectors: Matrix) -> tuple[FloatArray | float, ...]:
        """Return the same of vectors."""
        return (
            self.cheap.logits(vectors) if self.cheap else 0.0,
            self.frontier.logits(vectors) if self.frontier else 0.0,
            self.gain.logits(vectors) if self.gain else np.nan,
        )


def fit_heads(
    channel: Channel,
    prepared: Matrix,
    data: LabelledTokens,
    rows: NDArray[np.intp],
    state: Any,
    start: FittedChannel | None,
    earlier: Any = None,
    beside: FittedChannel | None = None,
) -> FittedChannel:
    """Fit a channel's heads on some rows; from a start they begin with its heads, ``earlier`` is
    the channel's state of a fit on all rows, and ``beside`` what the channel that it stands beside
    learned of the same rows.
    """
    outcomes, gain = data.outcomes[rows], None
    if channel.knows_gain and not (channel.knows_failures and np.isnan(outcomes.gain).all()):
        groups = np.unique(data.group_codes[rows], return_inverse=True)[1]
        target = GainTarget(outcomes.gain, outcomes.weight, groups)
        state, gain = channel.fit_gain(prepared[rows], state, target, earlier)
    if not channel.knows_failures:
        return FittedChannel(state, None, None, gain)
    vectors = channel.transform(prepared[rows], state)

    def fitted(failure: FloatArray, which: Literal["cheap", "frontier"]) -> LinearHead:
        head = fit_head(
            vectors,
            failure,
            outcomes.weight,
            strength=channel.strength,
            start=getattr(start, which) if start else None,
            begin=getattr(beside, which) if beside else None,
        )
        return channel.stored(head, state)

    cheap = fitted(outcomes.cheap_failure, "cheap")
    frontier = None
    if not np.isnan(outcomes.frontier_failure).all():
        frontier = fitted(outcomes.frontier_failure, "frontier")
    return FittedChannel(state, cheap, frontier, gain)


def widened(fitted: FittedChannel, n: int) -> FittedChannel:
    """Return the heads with ``n`` more columns, of which they know nothing."""

    def wider(head: LinearHead) -> LinearHead:
        return replace(head, coefficients=np.r_[head.coefficients, np.zeros(n)])

    return FittedChannel(
        fitted.state, *(wider(head) if head else None for head in (fitted.cheap, fitted.frontier))
    )
