"""Static embeddings: one vector a token, summed and brought to unit length.

An encoder folder holds ``encoder.json`` (format, dimension, hashes, origin), ``table.npz`` (int8 rows and one float32 scale a
row) and ``tokenizer.json``. ``models/`` has the default one and the script that makes it. Loading checks the hashes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import EncoderError, InvalidValueError

__all__ = ["ENCODER_FORMAT", "StaticEncoder", "quantise_rows"]

ENCODER_FORMAT = 1
FloatArray = NDArray[np.float64]


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
            raise InvalidValueError("encoder table", (self.table.shape, self.scale.shape), rule="have one scale a row")

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return int(self.table.shape[1])

    @classmethod
    def load(cls, folder: Path) -> StaticEncoder:
        """Read an encoder folder and check its hashes.

        Raises
        ------
        EncoderError
            If a file is missing or damaged, its hash differs, or the format is unknown.
        """
        hashes = _read_hashes(folder)
        digest = hashlib.sha256()
        for name in ("table.npz", "tokenizer.json"):
            digest.update(_read_checked(folder / name, hashes.get(name)))
        with np.load(folder / "table.npz", allow_pickle=False) as arrays:
            return cls(table=arrays["table"], scale=arrays["scale"], tokenizer_path=folder / "tokenizer.json", digest=digest.hexdigest())

    def encode(self, ids: Sequence[Sequence[int]]) -> FloatArray:
        """Return embeddings of shape (n_requests, dim), each of length 1; a request without tokens is all zero."""
        sums = np.zeros((len(ids), self.dim))
        for index, row in enumerate(ids):
            tokens = np.asarray(row, dtype=np.int64)
            sums[index] = self.scale[tokens].astype(np.float64) @ self.table[tokens]
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        unit: FloatArray = np.divide(sums, lengths, out=np.zeros_like(sums), where=lengths > 0)
        return unit


def quantise_rows(vectors: NDArray[np.floating[Any]]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return int8 rows and their float32 scales; the largest entry of each row becomes 127."""
    largest = np.abs(vectors).max(axis=1, initial=0.0)
    scale = np.where(largest > 0, largest / 127.0, 1.0).astype(np.float32)
    return np.rint(vectors / scale[:, None]).astype(np.int8), scale


def _read_hashes(folder: Path) -> dict[str, Any]:
    """Return the hashes that ``encoder.json`` gives for the other files."""
    path = folder / "encoder.json"
    if not path.is_file():
        raise EncoderError(f"no encoder at {str(folder)!r}: encoder.json is missing. Name a folder made by models/build_static.py.")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        found = card["format"]
        hashes = dict(card["sha256"]) if found == ENCODER_FORMAT else {}
    except (ValueError, KeyError, TypeError) as error:
        raise EncoderError(f"encoder file {str(path)!r} cannot be read ({error}). Restore the folder or build it again.") from error
    if found != ENCODER_FORMAT:
        raise EncoderError(f"encoder format {found!r} is not the one this version reads ({ENCODER_FORMAT}). Build it again.")
    return hashes


def _read_checked(path: Path, expected: str | None) -> bytes:
    if not path.is_file():
        raise EncoderError(f"encoder file {str(path)!r} is missing. Restore the folder or build it again.")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise EncoderError(f"encoder file {str(path)!r} was changed: its sha256 is {found}, expected {expected}. Restore the folder.")
    return content
