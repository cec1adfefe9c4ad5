"""A cache of embeddings on disk, shared by runs: one SQLite file for each encoder, named by its
digest.

A vector is found by the hash of the token ids that the encoder read, so a request counts as known
whatever traffic it came in. Each batch is one transaction: what was computed before a crash stays.
The file holds hashes and vectors, no texts; vectors still say something of the texts, so keep it
where the traffic may be kept.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import EncoderError

Vector = NDArray[np.float32]
_MOST_KEYS = 500
_WAIT_S = 60.0


def key_of(ids: Sequence[int]) -> bytes:
    """Return the key of the token ids that an encoder reads."""
    return hashlib.sha256(np.asarray(ids, dtype="<i8").tobytes()).digest()[:16]


class VectorCache(Protocol):
    """Vectors by key."""

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Vector]:
        """Return those that are known."""

    def add(self, vectors: Mapping[bytes, Vector]) -> None:
        """Keep some."""


class MemoryCache:
    """Vectors kept for the life of a process."""

    def __init__(self) -> None:
        self._vectors: dict[bytes, Vector] = {}

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Vector]:
        """Return those that are known."""
        return {key: self._vectors[key] for key in keys if key in self._vectors}

    def add(self, vectors: Mapping[bytes, Vector]) -> None:
        """Keep some."""
        self._vectors.update(vectors)


class DiskCache:
    """Vectors kept in a file; processes may share it.

    Parameters
    ----------
    folder : Path
        Where the file lies; made when needed.
    digest : str
        The encoder's digest.
    dim : int
        Length of its vectors.

    Raises
    ------
    EncoderError
        If the folder cannot be made, or the file is damaged or holds vectors of another length.
    """

    def __init__(self, folder: Path, *, digest: str, dim: int) -> None:
        self.path = folder / f"embeddings-{digest[:16]}.sqlite"
        self.dim = dim
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EncoderError(
                f"embedding cache folder {str(folder)!r} cannot be made ({error}). Name another"
                " one."
            ) from error
        with self._open() as store:
            store.execute("CREATE TABLE IF NOT EXISTS about (dim INTEGER NOT NULL)")
            store.execute(
                "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)"
                " WITHOUT ROWID"
            )
            store.execute(
                "INSERT INTO about SELECT ? WHERE NOT EXISTS (SELECT * FROM about)", (dim,)
            )
            found = store.execute("SELECT dim FROM about").fetchone()[0]
        if found != dim:
            raise EncoderError(
                f"embedding cache {str(self.path)!r} holds vectors of {found} numbers, the encoder"
                f" gives {dim}. Remove the file, or name another cache folder."
            )

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Vector]:
        """Return those that are known."""
        found: dict[bytes, Vector] = {}
        with self._open() as store:
            for start in range(0, len(keys), _MOST_KEYS):
                some = keys[start : start + _MOST_KEYS]
                marks = ",".join("?" * len(some))
                for key, vector in store.execute(
                    f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some
                ):
                    found[key] = np.frombuffer(vector, dtype="<f4")
        return found

    def add(self, vectors: Mapping[bytes, Vector]) -> None:
        """Keep some, in one transaction."""
        rows = [(key, np.asarray(vector, dtype="<f4").tobytes()) for key, vector in vectors.items()]
        with self._open() as store:
            store.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection of this thread; what was done is committed at the end."""
        try:
            with closing(sqlite3.connect(self.path, timeout=_WAIT_S)) as store, store:
                yield store
        except sqlite3.DatabaseError as error:
            raise EncoderError(
                f"embedding cache {str(self.path)!r} cannot be used ({error}). Remove the file; it"
                " is made again."
            ) from error
