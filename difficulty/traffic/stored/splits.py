"""Which side of a split a sample is on: a hash of its key decides, so adding samples moves none."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import InvalidValueError

SPLITS = ("fit", "calibration", "test")
ASIDE = "aside"
"""The split of samples that none may use."""


def assign_splits(
    split_groups: Sequence[str],
    near_groups: Sequence[Sequence[str]],
    *,
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
    seed: int = 0,
) -> NDArray[np.str_]:
    """Return the split of each sample: a hash of its key, so adding samples moves none of the old
    ones.

    Parameters
    ----------
    split_groups : sequence of str, length n
        Key of each sample; samples with one key share a split.
    near_groups : sequence of sequences of str, length n
        Other keys each sample is tied to; a sample whose keys fall in different splits is set
        aside, used by none.
    fractions : tuple of 3 floats, default (0.6, 0.2, 0.2)
        Expected shares of the keys in fit, calibration and test; they sum to 1.
    seed : int, default 0
        Another seed gives other splits.

    Returns
    -------
    ndarray of str of shape (n,)
        ``"fit"``, ``"calibration"``, ``"test"`` or ``"aside"``.
    """
    if len(fractions) != len(SPLITS) or min(fractions) < 0 or abs(sum(fractions) - 1.0) > 1e-9:
        raise InvalidValueError(
            "fractions",
            fractions,
            rule="be three shares that sum to 1",
            hint="Pass for example (0.6, 0.2, 0.2).",
        )
    if len(split_groups) != len(near_groups):
        raise InvalidValueError(
            "split_groups and near_groups",
            (len(split_groups), len(near_groups)),
            rule="have one length",
        )

    @cache
    def side(key: str) -> str:
        return _side(_unit(key, seed), fractions)

    return np.array(
        [
            side(key) if all(side(other) == side(key) for other in others) else ASIDE
            for key, others in zip(split_groups, near_groups, strict=True)
        ],
        dtype="U11",
    )


def _side(position: float, fractions: tuple[float, float, float]) -> str:
    if position < fractions[0]:
        return SPLITS[0]
    # Without a test split the sum of the others may round to just under 1.
    return SPLITS[1] if position < fractions[0] + fractions[1] or not fractions[2] else SPLITS[2]


def _unit(key: str, seed: int) -> float:
    """Return the place of a key in [0, 1): 52 bits of its hash, which a float holds exactly."""
    # The seed inside the hash: another seed gives unrelated splits, not shifted ones.
    digest = sha256(f"{seed}:{key}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 12) / 2**52
