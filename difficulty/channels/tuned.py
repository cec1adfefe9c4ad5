"""Embeddings of an encoder that was fine-tuned on the fit samples, read by the heads that it was
tuned with.

The encoder saw the outcomes of the fit samples, so what it says of them is worth nothing for
judging or combining it. Either some groups are held out of it, and only their samples count there;
or further encoders were tuned, each without one part of the groups, and what those say of their
part stands in for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.channels.embedding import EncoderChannel
from difficulty.channels.heads import LinearHead
from difficulty.encoders.base import Encoder


class TunedPart(NamedTuple):
    """An encoder that was tuned without one part of the groups, and its heads."""

    encoder: Encoder
    heads: tuple[LinearHead, LinearHead | None]


class TunedChannel(EncoderChannel):
    """Embeddings and the heads that were trained with them.

    Parameters
    ----------
    encoder : Encoder
    held_out : float
        Share of the groups that the encoder did not see; 0 where there are parts.
    heads : pair of LinearHead, optional
        Of the cheap and of the frontier model; the second may be ``None``. Needed to fit a model,
        not to load one.
    parts : sequence of TunedPart
        Each without the groups that :func:`part_of` gives it. Needed as the heads are.
    """

    name = "tuned"
    read_with_task = True
    share = 2.0
    earns_share = False  # its heads are no richer than what the encoder has learned

    def __init__(
        self,
        encoder: Encoder,
        *,
        held_out: float,
        strength: float = 1.0,
        heads: tuple[LinearHead, LinearHead | None] | None = None,
        parts: Sequence[TunedPart] = (),
    ) -> None:
        super().__init__(encoder, strength=strength)
        self.held_out = held_out
        self.heads = heads
        self.parts = tuple(parts)
        self.knows_outcomes = held_out > 0.0

    def settings(self) -> dict[str, Any]:
        """Return the share that was held out."""
        return {"held_out": self.held_out}

    def unseen(self, groups: Sequence[str]) -> NDArray[np.bool_]:
        """Return, for each request, whether there is a score by an encoder that did not see its
        group.
        """
        if not self.knows_outcomes:
            return np.ones(len(groups), dtype=np.bool_)
        return held_out(groups, self.held_out)

    def logits_unseen(
        self, ids: Sequence[Sequence[int]], groups: Sequence[str]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Return what each part's encoder says of the groups that it did not see; the parts' means
        are made equal, since encoders differ in how often they expect a failure.
        """
        if not self.parts:
            return None
        part = part_of(groups, len(self.parts))
        logits = np.zeros((2, len(groups)))
        for number, (encoder, heads) in enumerate(self.parts):
            rows = np.flatnonzero(part == number)
            vectors = encoder.encode([ids[row] for row in rows.tolist()])
            for outcome, head in enumerate(heads):
                logits[outcome, rows] = head.logits(vectors) if head else 0.0
        means = logits.mean(axis=1, keepdims=True)
        for number in np.unique(part):
            own = logits[:, part == number]
            logits[:, part == number] = own - own.mean(axis=1, keepdims=True) + means
        return logits[0], logits[1]


def held_out(groups: Sequence[str], share: float) -> NDArray[np.bool_]:
    """Return, for each request, whether its group is held out of fine-tuning.

    The name of the group alone decides: adding requests changes no other group's lot.

    Parameters
    ----------
    groups : sequence of n str
    share : float
        Share of the groups, in [0, 1].
    """
    return _lots(groups) < share


def part_of(groups: Sequence[str], n_parts: int) -> NDArray[np.int64]:
    """Return, for each request, the part of ``n_parts`` that its group is in, by its name alone."""
    return np.asarray(_lots(groups) * n_parts, dtype=np.int64)


def _lots(groups: Sequence[str]) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each group."""
    return np.array(
        [
            int.from_bytes(hashlib.sha256(f"held out:{group}".encode()).digest()[:8], "little")
            / 2**64
            for group in groups
        ]
    )
