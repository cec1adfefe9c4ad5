"""``manifest.json``: what a bundle is, and the hash of every other file in it.

``BUNDLE_FORMAT`` is raised when a reader of the old number would misread a bundle: another meaning
of a field, a new required file. A new optional field does not raise it: a reader that does not know
it refuses the bundle and names the field. Readers refuse numbers above their own and keep reading
the older ones; a saved bundle of each old number stays under test.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, Literal

from difficulty.form import Form, Sha256, above, at_least, non_empty

BUNDLE_FORMAT = 1
UNSEALED = "0" * 64


@dataclass(frozen=True, kw_only=True)
class FileEntry(Form):
    """Size and hash of one file."""

    sha256: Sha256
    bytes: Annotated[int, at_least(0)]


@dataclass(frozen=True, kw_only=True)
class Manifest(Form):
    """What a bundle is; the fields are specified in ``docs/bundle.md``."""

    format: int = BUNDLE_FORMAT
    name: Annotated[str, non_empty]
    version: Annotated[str, non_empty]
    created: datetime
    target: Literal["benefit", "failure"]
    outputs: tuple[str, ...]
    """Outputs of ``scorer.onnx``, in order."""
    text_view: int
    max_chars: Annotated[int, at_least(2)]
    max_tokens: Annotated[int, at_least(1)]
    task_ids: dict[str, int] = field(default_factory=dict)
    """Id that stands before the text's where the request's task is known; not counted in
    ``max_tokens``.
    """
    score_tolerance: Annotated[float, above(0)]
    """How far another runtime's scores may be from ``golden.jsonl``."""
    cheap_model: str | None = None
    frontier_model: str | None = None
    training_data: str
    """Hash of the labelled traffic, as ``difficulty ingest`` reports it."""
    split: dict[str, Any]
    """Seed and shares of the split, so that evaluation can find the test rows again."""
    recipe: dict[str, Any]
    libraries: dict[str, str]
    files: dict[str, FileEntry]
    sha256: Sha256 = UNSEALED
    """Of the manifest itself, these 64 digits being zeros."""


def seal(content: bytes) -> bytes:
    """Put its own hash into the bytes of a manifest whose ``sha256`` is ``UNSEALED``."""
    before, _, after = content.rpartition(UNSEALED.encode())
    return before + sha256(content).hexdigest().encode() + after


def is_sealed(content: bytes, seal: str) -> bool:
    """Return whether the bytes of a manifest are those that ``seal`` was taken of."""
    return (
        content.count(seal.encode()) == 1
        and sha256(content.replace(seal.encode(), UNSEALED.encode())).hexdigest() == seal
    )
