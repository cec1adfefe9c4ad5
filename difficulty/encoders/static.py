"""Static embeddings: one vector a token, summed and brought to unit length.

An encoder folder holds ``encoder.json`` (format, dimension, hashes, origin), ``table.npz`` (int8
rows and one float32 scale a row) and ``tokenizer.json``. ``models/`` has the default one and the
script that makes it. Loading checks the hashes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from difficulty.encoders.base import FloatArray, read_files
from difficulty.errors import InvalidValueError

if TYPE_CHECKING:
    from difficulty.tensors import RequestTensors, Tensor

_TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticEncoder:
    """Token ids to unit vectors.

    Attributes
    ----------
    table : ndarray of shape (vocabulary, dim), int8
    scale : ndarray of shape (vocabulary,), float32
        Token ``i`` has the vector ``table[i] * scale[i]``.
    tokenizer_path : Path
        The ``tokenizer.json`` whose ids these are.
    digest : str
        sha256 of the table and tokenizer files, in hexadecimal.
    """

    table: NDArray[np.int8]
    scale: NDArray[np.float32]
    tokenizer_path: Path
    digest: str

    def __post_init__(self) -> None:
        if self.table.ndim != 2 or self.scale.shape != (len(self.table),):
            raise InvalidValueError(
                "encoder table", (self.table.shape, self.scale.shape), rule="have one scale a row"
            )

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return int(self.table.shape[1])

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids."""
        return len(self.table)

    @classmethod
    def load(cls, folder: Path) -> StaticEncoder:
        """Read an encoder folder and check its hashes.

        Raises
        ------
        EncoderError
            If a file is missing or damaged, its hash differs, or the format is unknown.
        """
        contents, digest = read_files(folder, ("table.npz", "tokenizer.json"))
        with np.load(io.BytesIO(contents["table.npz"]), allow_pickle=False) as arrays:
            return cls(
                table=arrays["table"],
                scale=arrays["scale"],
                tokenizer_path=folder / "tokenizer.json",
                digest=digest,
            )

    def encode(self, ids: Sequence[Sequence[int]]) -> FloatArray:
        """Return embeddings of shape (n_requests, dim), each of length 1; a request without tokens
        is all zero.
        """
        sums = np.zeros((len(ids), self.dim))
        for index, row in enumerate(ids):
            tokens = np.asarray(row, dtype=np.int64)
            sums[index] = self.scale[tokens].astype(np.float64) @ self.table[tokens]
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        unit: FloatArray = np.divide(sums, lengths, out=np.zeros_like(sums), where=lengths > 0)
        return unit

    def export(self, requests: RequestTensors) -> Tensor:
        """Add the encoder to a graph; return its unit vectors, of shape (batch, dim)."""
        scale, vectors = (
            requests.graph.constant(requests.table(values)).take(requests.rows)
            for values in (self.scale, self.table)
        )
        # the sum of the token vectors is their mean, once brought to unit length
        total = (scale @ vectors.squeeze(1).cast(np.float32)).squeeze(1)
        return total / total.norm(1).at_least(_TINY)


def quantise_rows(
    vectors: NDArray[np.floating[Any]],
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return int8 rows and their float32 scales; the largest entry of each row becomes 127."""
    largest = np.abs(vectors).max(axis=1, initial=0.0)
    scale = np.where(largest > 0, largest / 127.0, 1.0).astype(np.float32)
    return np.rint(vectors / scale[:, None]).astype(np.int8), scale
