"""Embeddings of an encoder that was fine-tuned on the fit samples, read by the heads that it was
tuned with.

The encoder saw the outcomes of the fit samples, so what it says of them is worth nothing for
judging or combining it; only samples of held-out groups count there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.channels.embedding import EncoderChannel
from difficulty.channels.heads import LinearHead
from difficulty.encoders.base import Encoder


class TunedChannel(EncoderChannel):
    """Embeddings and the heads that were trained with them.

    Parameters
    ----------
    encoder : Encoder
    held_out : float
        Share of the groups that the encoder did not see.
    heads : pair of LinearHead, optional
        Of the cheap and of the frontier model; the second may be ``None``. Needed to fit a model,
        not to load one.
    """

    name = "tuned"
    read_with_task = True
    knows_outcomes = True

    def __init__(
        self,
        encoder: Encoder,
        *,
        held_out: float,
        strength: float = 1.0,
        heads: tuple[LinearHead, LinearHead | None] | None = None,
    ) -> None:
        super().__init__(encoder, strength=strength)
        self.held_out = held_out
        self.heads = heads

    def settings(self) -> dict[str, Any]:
        """Return the share that was held out."""
        return {"held_out": self.held_out}

    def unseen(self, groups: Sequence[str]) -> NDArray[np.bool_]:
        """Return, for each request, whether the encoder did not see its group."""
        return held_out(groups, self.held_out)


def held_out(groups: Sequence[str], share: float) -> NDArray[np.bool_]:
    """Return, for each request, whether its group is held out of fine-tuning.

    The name of the group alone decides: adding requests changes no other group's lot.

    Parameters
    ----------
    groups : sequence of n str
    share : float
        Share of the groups, in [0, 1].
    """
    lots = [
        int.from_bytes(hashlib.sha256(f"held out:{group}".encode()).digest()[:8], "little") / 2**64
        for group in groups
    ]
    return np.array(lots) < share
