"""Encoders: what turns token ids into one unit vector a request, kept as a folder that is checked
when it is read.

Every encoder folder holds ``encoder.json`` (format, kind, hashes, origin) and ``tokenizer.json``;
the rest depends on the kind: ``static`` adds a token table,
``transformer`` an ONNX graph (:mod:`~difficulty.encoders.transformer`). Another kind is a class
with ``load(folder)`` and a line in ``ENCODERS``, or an entry point of the group
``difficulty.encoders``.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from difficulty.errors import EncoderError, InvalidValueError
from difficulty.plugins import resolve
from difficulty.tokens import check_ids, flattened

if TYPE_CHECKING:
    from difficulty.tensors import RequestTensors, Tensor

ENCODER_FORMAT = 1
TUNED_HEADS = "heads.npz"
"""Of a fine-tuned encoder, in its folder."""
ENCODERS = {
    "static": "difficulty.encoders.base:StaticEncoder",
    "transformer": "difficulty.encoders.transformer:TransformerEncoder",
}
FloatArray = NDArray[np.float64]


class Encoder(Protocol):
    """Token ids to unit vectors."""

    @property
    def dim(self) -> int:
        """Length of an embedding."""

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids."""

    @property
    def tokenizer_path(self) -> Path:
        """The ``tokenizer.json`` whose ids are read; the encoder's folder holds it."""

    @property
    def digest(self) -> str:
        """sha256 of everything that decides the vectors, in hexadecimal."""

    def encode(self, ids: Sequence[Sequence[int]]) -> FloatArray:
        """Return embeddings of shape (n_requests, dim), each of length 1; a request without tokens
        may be all zero.

        Raises
        ------
        EncoderError
            If the ids are not of its tokenizer.
        """

    def export(self, requests: RequestTensors) -> Tensor:
        """Add the encoder to a graph; return its unit vectors, of shape (batch, dim)."""


def load_encoder(folder: Path) -> Encoder:
    """Read an encoder folder of any kind and check its hashes.

    Raises
    ------
    EncoderError
        If a file is missing or damaged, its hash differs, or the format is unknown.
    UnknownNameError
        If the kind is unknown.
    """
    kind = read_card(folder).get("kind", "static")
    encoder: Encoder = resolve(kind, ENCODERS, kind="encoder").load(folder)
    return encoder


def read_card(folder: Path) -> dict[str, Any]:
    """Return ``encoder.json``, its format checked."""
    path = folder / "encoder.json"
    if not path.is_file():
        raise EncoderError(
            f"no encoder at {str(folder)!r}: encoder.json is missing. Name an encoder folder, or"
            " one of sentence-transformers."
        )
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        number, _ = card["format"], dict(card["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise EncoderError(
            f"encoder file {str(path)!r} cannot be read ({error}). Restore the folder or build it"
            " again."
        ) from error
    if number != ENCODER_FORMAT:
        raise EncoderError(
            f"encoder format {number!r} is not the one this version reads ({ENCODER_FORMAT}). Build"
            " it again."
        )
    return card


def read_files(folder: Path, names: Iterable[str]) -> tuple[dict[str, bytes], str]:
    """Return the content of some files of an encoder folder, their hashes checked against the card,
    and one digest of them all.
    """
    hashes, digest, contents = read_card(folder)["sha256"], hashlib.sha256(), {}
    for name in names:
        contents[name] = _read_checked(folder / name, hashes.get(name))
        digest.update(contents[name])
    return contents, digest.hexdigest()


def write_card(folder: Path, names: Iterable[str], **fields: Any) -> None:
    """Write ``encoder.json`` beside the files it names, with their hashes and some more fields."""
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    card = {"format": ENCODER_FORMAT, **fields, "sha256": hashes}
    (folder / "encoder.json").write_text(
        json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def _read_checked(path: Path, expected: str | None) -> bytes:
    if not path.is_file():
        raise EncoderError(
            f"encoder file {str(path)!r} is missing. Restore the folder or build it again."
        )
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != expected:
        raise EncoderError(
            f"encoder file {str(path)!r} was changed: its sha256 is {digest}, expected {expected}."
            " Restore the folder."
        )
    return content


_TINY = 1e-12
_MANY = 256
"""Requests from which on making the whole table wide is paid by reading them in one product."""
_ROWS = 4_096
"""Requests that are read at a time."""
_HALF = 4
"""Bits of half a byte."""
_LARGEST_OF_HALF, _SHIFT = 7, 8
"""Largest entry of a table that takes half a byte, and what makes all of them positive."""


def _to_unit(sums: FloatArray) -> FloatArray:
    """Return rows brought to length 1; those of zeros stay."""
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    unit: FloatArray = np.divide(sums, lengths, out=np.zeros_like(sums), where=lengths > 0)
    return unit


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticEncoder:
    """Token ids to unit vectors.

    Attributes
    ----------
    table : ndarray of shape (vocabulary, dim), int8
    scale : ndarray of shape (vocabulary,), float32
        Token ``i`` has the vector ``table[i] * scale[i]``. Entries of -7 to 7 take half a byte each
        in a graph.
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

    @property
    def token_vectors(self) -> FloatArray:
        """The vector of each token, of shape (vocabulary, dim): an embedding is their mean."""
        return np.asarray(self.table * self.scale[:, None], dtype=np.float64)

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

        Raises
        ------
        EncoderError
            If the ids are not of its tokenizer.
        """
        check_ids(ids, vocabulary=self.vocabulary_size, tokenizer=self.tokenizer_path)
        (flat, ends), scale = flattened(ids), self.scale.astype(np.float64)
        if len(ids) < _MANY:
            unit = np.zeros((len(ids), self.dim))
            for index, (start, end) in enumerate(itertools.pairwise(ends.tolist())):
                tokens = flat[start:end]
                unit[index] = scale[tokens] @ self.table[tokens]
            return _to_unit(unit)
        table, unit = self.table.astype(np.float64), np.empty((len(ids), self.dim))
        for start in range(0, len(ids), _ROWS):
            own = ends[start : start + _ROWS + 1]
            among = flat[own[0] : own[-1]]
            shape = (len(own) - 1, self.vocabulary_size)
            tokens = sp.csr_array((scale[among], among, own - own[0]), shape=shape)
            unit[start : start + _ROWS] = _to_unit(tokens @ table)
        return unit

    def export(self, requests: RequestTensors) -> Tensor:
        """Add the encoder to a graph; return its unit vectors, of shape (batch, dim)."""
        scale = requests.graph.constant(requests.table(self.scale)).take(requests.rows)
        # the sum of the token vectors is their mean, once brought to unit length
        total = (scale @ self._export_vectors(requests)).squeeze(1)
        return total / total.norm(1).at_least(_TINY)

    def _export_vectors(self, requests: RequestTensors) -> Tensor:
        """Return the unscaled vectors of all tokens, float32 of shape (batch, tokens, dim); two
        numbers a byte where all of them fit into four bits.
        """
        graph, rows, table = requests.graph, requests.rows.squeeze(1), self.table
        if self.dim % 2 or np.abs(table.astype(np.int64)).max(initial=0) > _LARGEST_OF_HALF:
            return graph.constant(requests.table(table)).take(rows).cast(np.float32)
        # past the vocabulary stand zeros, which are no zero here: their scale is
        shifted = (table + _SHIFT).astype(np.uint8)
        first, second = np.hsplit(shifted, 2)
        packed = graph.constant(requests.table((first << _HALF) | second)).take(rows)
        pair = [
            packed.shifted(_HALF, "RIGHT"),
            packed.shifted(_HALF, "LEFT").shifted(_HALF, "RIGHT"),
        ]
        return graph.concat(pair, axis=2).cast(np.float32) - float(_SHIFT)


def quantise_rows(
    vectors: NDArray[np.floating[Any]], *, bits: Literal[4, 8] = 8
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return rows of small integers and their float32 scales.

    Parameters
    ----------
    vectors : ndarray of shape (n, dim)
    bits : {4, 8}, default 8
        At 8 the largest entry of each row becomes 127 or -127. At 4 integers are -7 to 7, and the
        scale of a row is the one of 19 with the least squared error: cutting the few largest
        entries leaves the others finer steps.
    """
    largest = np.abs(vectors).max(axis=1, initial=0.0)
    steps = 127.0 if bits == 8 else float(_LARGEST_OF_HALF)
    whole = np.where(largest > 0, largest / steps, 1.0)
    table, scale = np.zeros(vectors.shape, dtype=np.int8), np.zeros(len(vectors), dtype=np.float32)
    least = np.full(len(vectors), np.inf)
    for part in [1.0] if bits == 8 else np.linspace(0.55, 1.0, 19):
        tried = (whole * part).astype(np.float32)
        rounded = np.clip(np.rint(vectors / tried[:, None]), -steps, steps)
        error = ((rounded * tried[:, None] - vectors) ** 2).sum(axis=1)
        better = error < least
        table[better], scale[better] = rounded[better], tried[better]
        least[better] = error[better]
    return table, scale


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningData:
    """n requests to train on.

    Attributes
    ----------
    ids : sequence of n sequences of int
        Token ids of the text, as the encoder's own tokenizer gives them without special tokens.
    failure : ndarray of shape (n, 2)
        Failure of the cheap and of the frontier model in [0, 1], NaN where unknown.
    gain, weight : ndarray of shape (n,)
        Frontier minus cheap quality, NaN where unknown; sample weights.
    unseen : ndarray of shape (n,), bool
        Requests that are held out.
    tasks : sequence of n str or None
    """

    ids: Sequence[Sequence[int]]
    failure: FloatArray
    gain: FloatArray
    weight: FloatArray
    unseen: NDArray[np.bool_]
    tasks: Sequence[str | None]

    @property
    def digest(self) -> str:
        """sha256 of everything that training reads, in hexadecimal."""
        digest = hashlib.sha256(
            json.dumps(
                [[list(map(int, row)) for row in self.ids], self.unseen.tolist(), list(self.tasks)]
            ).encode()
        )
        for array in (self.failure, self.gain, self.weight):
            digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
        return digest.hexdigest()

    @property
    def rows(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Places of the requests to train on and of those held out, of all with an outcome."""
        labelled = ~np.isnan(self.failure).all(axis=1)
        return np.flatnonzero(labelled & ~self.unseen), np.flatnonzero(labelled & self.unseen)
