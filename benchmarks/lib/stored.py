"""Scores on disk, kept under a key of everything that decides them, so that a run computes only
what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path

import numpy as np

from benchmarks.peers.exchange import Problem

Arrays = dict[str, np.ndarray]


def stored(path: Path, key: str, make: Callable[[Path], None]) -> Arrays:
    """Return the arrays of ``path`` if they were made under ``key``, else make them: ``make``
    writes ``.npz`` to the path that it gets.
    """
    if path.exists():
        arrays = _read(path)
        if str(arrays.pop("key")) == key:
            return arrays
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part.npz")
    make(scratch)
    arrays = _read(scratch)
    np.savez_compressed(scratch, key=np.array(key), **arrays)
    scratch.replace(path)
    return arrays


def digest_of_problem(problem: Problem) -> str:
    """Return a hash of everything that a method is given."""
    arrays = (problem.embeddings, problem.cheap, problem.frontier, problem.fold)
    return digest_of(
        [*problem.texts, *problem.tasks],
        *(np.ascontiguousarray(array).tobytes() for array in arrays),
    )


def digest_of(texts: Iterable[str], *contents: bytes) -> str:
    """Return one hash of texts and bytes, each with its length."""
    digest = sha256()
    for content in (*(text.encode() for text in texts), *contents):
        digest.update(len(content).to_bytes(8, "big"))
        digest.update(content)
    return digest.hexdigest()


def _read(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
