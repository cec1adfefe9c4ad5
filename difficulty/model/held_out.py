"""Samples held out of fine-tuning, chosen by the name of their group alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def held_out(groups: Sequence[str], share: float) -> NDArray[np.bool_]:
    """Return, for each request, whether its group is held out; adding requests changes no other
    group's lot.

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
