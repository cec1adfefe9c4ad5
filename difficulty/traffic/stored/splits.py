"""Which side of a split a sample is on: a hash of its key decides, so adding samples moves none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, lru_cache
from hashlib import sha256
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from difficulty.errors import InvalidValueError

SPLITS = ("fit", "calibration", "test")
ASIDE = "aside"
"""The split of samples that none may use."""
_NAMES = (*SPLITS, ASIDE)
_KEYS_KEPT = 1 << 16


class Splits:
    """The split of each of many samples, a byte each; compared with a name it is a mask, as an
    array of names would be.
    """

    def __init__(self, codes: NDArray[np.uint8]) -> None:
        self.codes = codes

    def __len__(self) -> int:
        return len(self.codes)

    def __eq__(self, name: object) -> NDArray[np.bool_]:  # type: ignore[override]
        return np.asarray(self.codes == _code_of(name), dtype=np.bool_)

    def __ne__(self, name: object) -> NDArray[np.bool_]:  # type: ignore[override]
        return np.asarray(self.codes != _code_of(name), dtype=np.bool_)

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, rows: Any) -> Any:
        """Return the split of a sample, or those of some."""
        picked = self.codes[rows]
        return Splits(picked) if isinstance(picked, np.ndarray) else _NAMES[int(picked)]

    def __iter__(self) -> Iterator[str]:
        return (_NAMES[code] for code in self.codes.tolist())

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(np.array(_NAMES)[self.codes], dtype=dtype)


SplitNames: TypeAlias = "NDArray[np.str_] | Splits"


def _code_of(name: object) -> int:
    return _NAMES.index(name) if name in _NAMES else len(_NAMES)


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
    if len(split_groups) != len(near_groups):
        raise InvalidValueError(
            "split_groups and near_groups",
            (len(split_groups), len(near_groups)),
            rule="have one length",
        )

    find = _finder(fractions, seed, cache)
    return np.array(
        [find(key, others) for key, others in zip(split_groups, near_groups, strict=True)],
        dtype="U11",
    )


def splits_of_blocks(
    blocks: Iterable[Sequence[Sequence[Any]]], *, fractions: tuple[float, float, float], seed: int
) -> Splits:
    """Return the same of many samples, of which keys and other keys come block by block."""
    find = _finder(fractions, seed, lru_cache(maxsize=_KEYS_KEPT))
    parts = [
        np.array([_code_of(find(*pair)) for pair in zip(*block, strict=True)], dtype=np.uint8)
        for block in blocks
    ]
    return Splits(np.concatenate([np.zeros(0, np.uint8), *parts]))


def _finder(
    fractions: tuple[float, float, float],
    seed: int,
    keep: Callable[[Callable[[str], str]], Callable[[str], str]],
) -> Callable[[str, Sequence[str]], str]:
    """Return what finds a split by a key and others; sides of keys are kept as ``keep`` says."""
    if len(fractions) != len(SPLITS) or min(fractions) < 0 or abs(sum(fractions) - 1.0) > 1e-9:
        raise InvalidValueError(
            "fractions",
            fractions,
            rule="be three shares that sum to 1",
            hint="Pass for example (0.6, 0.2, 0.2).",
        )

    @keep
    def side(key: str) -> str:
        return _side(_unit(key, seed), fractions)

    def find(key: str, others: Sequence[str]) -> str:
        own = side(key)
        return own if all(side(other) == own for other in others) else ASIDE

    return find


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
