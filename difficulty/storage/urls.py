"""Which paths are URLs, and how messages name what was copied in or is to be copied out."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from difficulty.errors import UnknownNameError

SCHEMES = (
    "abfs",
    "abfss",
    "adl",
    "az",
    "file",
    "ftp",
    "gcs",
    "gs",
    "hdfs",
    "hf",
    "http",
    "https",
    "memory",
    "s3",
    "s3a",
    "sftp",
    "smb",
    "ssh",
    "webhdfs",
)
"""Kinds of storage, as fsspec names them."""
_SAME = {"s3a": "s3", "gcs": "gs", "abfss": "abfs", "az": "abfs", "ssh": "sftp"}
# A path made of 's3://bucket/key' has one slash left. Two letters at least: 'C:/' is a drive.
_URL = re.compile(r"([a-z][a-z0-9+.-]+):/+(.*)", re.DOTALL)
_NAMED: dict[str, str] = {}
"""Local folders of copies, each with the URL that it stands for."""


def url_of(path: str | Path) -> str | None:
    """Return the URL that a path is, with its two slashes; ``None`` for a local path.

    Raises
    ------
    UnknownNameError
        If it looks like one of a storage that is not known.
    """
    match = _URL.fullmatch(os.fspath(path))
    if match is None or Path(f"{match[1]}:").exists():
        return None
    scheme, rest = match.groups()
    if scheme not in SCHEMES:
        raise UnknownNameError("storage", f"{scheme}://", [f"{name}://" for name in SCHEMES])
    return f"{scheme}:///{rest}" if scheme == "file" else f"{scheme}://{rest}"


def place_of(url: str) -> str:
    """Return a URL by which the place it names can be told from others: some schemes have several
    names.
    """
    scheme, _, rest = url.partition("://")
    return f"{_SAME.get(scheme, scheme)}://{rest.rstrip('/')}"


def local_path(url: str) -> Path | None:
    """Return the path of a ``file://`` URL; ``None`` for any other."""
    scheme, _, rest = url.partition("://")
    return Path(unquote(rest.removeprefix("localhost"))) if scheme == "file" else None


def parent_of(url: str) -> str:
    """Return the URL of the folder that something lies in."""
    return url.rstrip("/").rpartition("/")[0]


def name_of(url: str) -> str:
    """Return the last part of a URL, as a file of this machine may be called."""
    # What a web server's addresses ask for is no part of a name.
    last = url.rstrip("/").rpartition("/")[2]
    return last.partition("?")[0] if url.startswith("http") else last


def name_copies(folder: Path, url: str) -> None:
    """Have messages say ``url`` where they would say ``folder``, until :func:`forget_copies`."""
    _NAMED[str(folder)] = url


def forget_copies(folder: Path) -> None:
    """Forget the names of copies below a folder."""
    for place in [place for place in _NAMED if place.startswith(str(folder))]:
        del _NAMED[place]


def named(text: str) -> str:
    """Return a text with the URLs of what was copied, in place of where the copies lie."""
    if _NAMED:
        # The longest first: a copy may lie in the folder of another.
        for place in sorted(_NAMED, key=len, reverse=True):
            text = text.replace(place, _NAMED[place])
    return text
