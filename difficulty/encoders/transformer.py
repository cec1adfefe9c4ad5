"""Transformer encoders as an ONNX graph: what a sentence-transformers encoder becomes, in training
and in the bundle alike.

An encoder folder of this kind holds ``encoder.onnx`` (inputs ``input_ids`` and ``attention_mask``,
int64; output ``embedding``, float32 unit vectors), ``tokenizer.json`` without special tokens, and
in ``encoder.json`` what stands around the text's ids:

    kind        "transformer"
    prefix      ids before the text, for example [CLS]; suffix: ids after it
    max_tokens  most ids the encoder reads, prefix and suffix included; longer ones keep both ends

Training embeds with the very graph that is shipped, so nothing shifts when a scorer goes out.
Making such a folder needs torch (:mod:`~difficulty.encoders.sentence`), using one does not.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from difficulty.encoders.base import Encoder, FloatArray, read_card, read_files
from difficulty.engine import Engine
from difficulty.errors import EncoderError, InvalidValueError
from difficulty.tokens import check_ids, pad

if TYPE_CHECKING:
    from difficulty.tensors import RequestTensors, Tensor

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
            stored = store.execute("SELECT dim FROM about").fetchone()[0]
        if stored != dim:
            raise EncoderError(
                f"embedding cache {str(self.path)!r} holds vectors of {stored} numbers, the encoder"
                f" gives {dim}. Remove the file, or name another cache folder."
            )

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Vector]:
        """Return those that are known."""
        vectors: dict[bytes, Vector] = {}
        with self._open() as store:
            for start in range(0, len(keys), _MOST_KEYS):
                chunk = keys[start : start + _MOST_KEYS]
                marks = ",".join("?" * len(chunk))
                for key, vector in store.execute(
                    f"SELECT key, vector FROM vectors WHERE key IN ({marks})", chunk
                ):
                    vectors[key] = np.frombuffer(vector, dtype="<f4")
        return vectors

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


ENCODER_FILES = ("encoder.onnx", "tokenizer.json")
_BATCH_TOKENS = 8_192
_CALL_TOKENS = 512
"""What is made of so many fits into a processor's cache: of 2,048 each takes a quarter longer."""
_MOST_ROWS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What an encoder reads of a request.

    Attributes
    ----------
    prefix, suffix : tuple of int
        Ids around the text's.
    max_tokens : int
        Most ids in all.
    """

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    max_tokens: int

    def __post_init__(self) -> None:
        if self.room < 2:
            raise InvalidValueError(
                "max_tokens of an encoder",
                self.max_tokens,
                rule="leave room for two tokens of text",
            )

    @property
    def room(self) -> int:
        """Most ids of the text."""
        return self.max_tokens - len(self.prefix) - len(self.suffix)

    @property
    def head(self) -> int:
        """Ids that are kept from the start of a text that is too long."""
        return self.room - self.room // 2

    def __call__(self, ids: Sequence[int]) -> list[int]:
        """Return the ids that the encoder reads."""
        text = (
            list(ids)
            if len(ids) <= self.room
            else [*ids[: self.head], *ids[len(ids) - self.room // 2 :]]
        )
        return [*self.prefix, *text, *self.suffix]

    def export(self, requests: RequestTensors) -> tuple[Tensor, Tensor]:
        """Return the ids that the encoder reads and their mask: a call, done to a batch.

        Of column ``p`` of the result, ``place = p - len(prefix)`` is the place in what is kept of
        the text: that id of the text, the task's id skipped, or where the text is too long and
        the place past the head, as many ids later as are left out.
        """
        before, after = len(self.prefix), len(self.suffix)
        tokens = requests.ids.shape().take([1])
        width = tokens + [before + after]
        columns = requests.graph.constant(list(range(self.max_tokens)))
        place = (requests.graph("Slice", columns, [0], width) - [before]).widen(0)
        length = requests.mask.sum(1, keepdims=True).cast(np.int64)
        kept = length.at_most([self.room])
        left_out = (length - kept) * (place >= [self.head]).cast(np.int64)
        source = place + left_out
        if requests.task:
            has_task = (requests.task > 0).cast(np.int64)
            source = source + has_task.widen(1)
        last = tokens - [1]
        ids = requests.ids.take_along(source.at_most(last).at_least([0]), axis=1)
        ids = (place < kept).where(ids, [0])
        for number, token in enumerate(self.suffix):
            ids = place.equals(kept + [number]).where([token], ids)
        for number, token in enumerate(self.prefix):
            ids = place.equals([number - before]).where([token], ids)
        return ids, (place < kept + [after]).cast(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerEncoder:
    """Token ids to unit vectors through an ONNX graph.

    Attributes
    ----------
    graph : bytes
        The ONNX graph.
    session : onnxruntime.InferenceSession
        The graph, ready to run.
    frame : Frame
    dim, vocabulary_size : int
    tokenizer_path : Path
    digest : str
        sha256 of graph, tokenizer and frame, in hexadecimal.
    cache : VectorCache
        Where vectors are kept; by default for the life of the encoder.
    progress : callable, optional
        Told how many requests are embedded, and of how many.
    engine : Engine, optional
        Where the graph is run; by default here, with a thread for each processor.
    """

    graph: bytes
    session: ort.InferenceSession
    frame: Frame
    dim: int
    vocabulary_size: int
    tokenizer_path: Path
    digest: str
    cache: VectorCache = field(default_factory=MemoryCache)
    progress: Callable[[int, int], None] | None = None
    engine: Engine | None = None

    @classmethod
    def load(cls, folder: Path) -> TransformerEncoder:
        """Read an encoder folder and check its hashes.

        Raises
        ------
        EncoderError
            If a file is missing or damaged, its hash differs, or the format is unknown.
        """
        contents, digest = read_files(folder, ENCODER_FILES)
        card = read_card(folder)
        try:
            frame = Frame(
                prefix=tuple(card["prefix"]),
                suffix=tuple(card["suffix"]),
                max_tokens=int(card["max_tokens"]),
            )
            dim, vocabulary = int(card["dim"]), int(card["vocabulary"])
        except (KeyError, TypeError, ValueError) as error:
            raise EncoderError(
                f"encoder.json in {str(folder)!r} lacks or spoils {error}. Convert the encoder"
                " again."
            ) from error
        return cls(
            graph=contents["encoder.onnx"],
            session=_session(contents["encoder.onnx"]),
            frame=frame,
            dim=dim,
            vocabulary_size=vocabulary,
            tokenizer_path=folder / "tokenizer.json",
            digest=_with_frame(digest, frame),
        )

    @property
    def token_vectors(self) -> FloatArray | None:
        """The vectors of tokens that the graph starts from, of shape (vocabulary, width); ``None``
        where it looks none up.
        """
        return _token_vectors(self.graph)

    def using(
        self,
        *,
        cache: VectorCache | None = None,
        progress: Callable[[int, int], None] | None = None,
        engine: Engine | None = None,
    ) -> TransformerEncoder:
        """Return the same encoder with another cache or engine, or told where progress goes."""
        return replace(
            self,
            cache=cache or self.cache,
            progress=progress or self.progress,
            engine=engine or self.engine,
        )

    def with_graph(self, graph: bytes) -> TransformerEncoder:
        """Return an encoder that reads the same ids by another graph, with no vectors kept yet."""
        digest = key_of([*sha256(graph).digest()]).hex() + self.digest[:32]
        return replace(
            self, graph=graph, session=_session(graph), digest=digest, cache=MemoryCache()
        )

    def encode(self, ids: Sequence[Sequence[int]]) -> FloatArray:
        """Return embeddings of shape (n_requests, dim), each of length 1; only what the cache does
        not hold is computed.

        Raises
        ------
        EncoderError
            If the ids are not of its tokenizer.
        """
        check_ids(ids, vocabulary=self.vocabulary_size, tokenizer=self.tokenizer_path)
        framed = {key_of(row): row for row in map(self.frame, ids)}
        vectors = self.cache.find(list(framed))
        missing = [key for key in framed if key not in vectors]
        batches = list(_batches(missing, framed))
        computed = self._computed([framed[key] for key in keys] for keys in batches)
        for keys, rows in zip(batches, computed, strict=True):
            batch = dict(zip(keys, rows, strict=True))
            self.cache.add(batch)
            vectors |= batch
            if self.progress:
                self.progress(len(vectors), len(framed))
        embeddings = np.zeros((len(ids), self.dim))
        for place, row in enumerate(ids):
            embeddings[place] = vectors[key_of(self.frame(row))]
        return embeddings

    def export(self, requests: RequestTensors) -> Tensor:
        """Add the encoder to a graph; return its unit vectors, of shape (batch, dim)."""
        ids, mask = self.frame.export(requests)
        return requests.graph.inline(self.graph, input_ids=ids, attention_mask=mask)

    def _computed(self, batches: Iterable[list[list[int]]]) -> Iterator[NDArray[np.float32]]:
        if self.engine is not None:
            return self.engine.map_blocks(partial(_open_graph, self.graph), batches)
        return map(partial(_run, self.session), batches)


def _run(session: ort.InferenceSession, rows: list[list[int]]) -> NDArray[np.float32]:
    size = max(1, _CALL_TOKENS // max(1, max(map(len, rows))))
    parts = []
    for start in range(0, len(rows), size):
        input_ids, mask = pad(rows[start : start + size])
        parts += session.run(["embedding"], {"input_ids": input_ids, "attention_mask": mask})
    return np.concatenate(parts, dtype=np.float32)


def _open_graph(graph: bytes) -> Callable[[list[list[int]]], NDArray[np.float32]]:
    # One thread: there is a worker for each processor.
    return partial(_run, _session(graph, threads=1))


@lru_cache(maxsize=2)
def _token_vectors(graph: bytes) -> FloatArray | None:
    """Return what a graph takes rows of by ``input_ids``; of int8 weights, rows times scales."""
    model = onnx.load_from_string(graph)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    product: FloatArray | None = None
    for node in model.graph.node:
        if node.op_type == "Gather" and node.input[1] == "input_ids" and node.input[0] in constants:
            rows = onnx.numpy_helper.to_array(constants[node.input[0]]).astype(np.float64)
            product = rows if product is None else product * rows
    return product


def kept_on_disk(
    encoder: Encoder,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
    engine: Engine | None = None,
) -> Encoder:
    """Return the encoder; one that is slow keeps its embeddings in a folder, shared by runs, says
    how far it is, and computes them on the engine.
    """
    if not isinstance(encoder, TransformerEncoder):
        return encoder
    return encoder.using(
        cache=DiskCache(folder, digest=encoder.digest, dim=encoder.dim),
        progress=progress,
        engine=engine,
    )


def _batches(keys: list[bytes], rows: dict[bytes, list[int]]) -> Iterator[list[bytes]]:
    """Yield keys in batches of like length, the longest first."""
    left = sorted(keys, key=lambda key: -len(rows[key]))
    start = 0
    while start < len(left):
        size = max(1, min(_MOST_ROWS, _BATCH_TOKENS // max(1, len(rows[left[start]]))))
        yield left[start : start + size]
        start += size


def _with_frame(digest: str, frame: Frame) -> str:
    return (
        key_of([*bytes.fromhex(digest), frame.max_tokens, *frame.prefix, -1, *frame.suffix]).hex()
        + digest[:32]
    )


def _session(graph: bytes, *, threads: int = 0) -> ort.InferenceSession:
    """Return a session; 0 threads are one for each processor."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # a waiting thread leaves the core to others
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own classes, none of them public
        raise EncoderError(
            f"encoder.onnx cannot be loaded ({error}). Convert the encoder again."
        ) from error
