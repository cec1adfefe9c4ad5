"""Keys of the service's clients: kept as hashes, read from a file or the environment.

A file has a key a line, ``NAME HASH``; empty lines and lines that begin with # are left out. HASH
is the SHA-256 of the key, 64 hexadecimal digits. ``difficulty new-key`` makes a key and its line.
"""

from __future__ import annotations

import hmac
import logging
import os
import re
import secrets
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from difficulty.errors import FieldError
from difficulty.storage import read_bounded

logger = logging.getLogger("difficulty.serving")

VARIABLE = "DIFFICULTY_API_KEYS"
"""Variable of keys, ``NAME=KEY`` with commas between them."""
_HASH = re.compile("[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
_LARGEST_FILE = 1 << 20
_LEAST_KEY = 16
_LOOK_S = 5.0


class ClientKey(NamedTuple):
    """A client's key."""

    name: str
    digest: str
    """SHA-256, hexadecimal."""


def make_key(name: str) -> tuple[str, ClientKey]:
    """Return a new key, which nobody can guess, and what is kept of it."""
    secret = f"dk-{secrets.token_urlsafe(32)}"
    return secret, ClientKey(_checked_name(name, ("name",)), hash_key(secret))


def add_key(path: Path, key: ClientKey) -> None:
    """Add a key to a file, which is made where there is none; an old key of that name stays, so
    that both work until the old line is removed.
    """
    if path.exists():
        _read_file(path)  # else a line would be added to whatever that is
    with open(path, "a", encoding="utf-8", opener=_open_for_owner) as file:
        file.write(f"{key.name} {key.digest}\n")


def _open_for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def hash_key(secret: str) -> str:
    """Return what is kept of a key. Without salt and stretching: a key is chance, no password."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class ApiKeys:
    """Who may call; a file is read again when it changes, so that keys change without a restart.

    Parameters
    ----------
    path : Path, optional
        File of hashes.
    stated : str, optional
        Of :data:`VARIABLE`.

    Raises
    ------
    FieldError
        If either holds a line that is no key: before the first call.
    """

    def __init__(self, path: Path | None = None, *, stated: str | None = None) -> None:
        self._path = path
        self._stated = _read_stated(stated) if stated else ()
        self._mark, self._looked = _mark_of(path), time.monotonic()
        self._keys = self._join(_read_file(path) if path else ())
        if not self._keys:
            raise FieldError(
                "must hold a key: without one nobody could call",
                file=str(path or VARIABLE),
                advice="Make one with difficulty new-key.",
            )

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, secret: str) -> ClientKey | None:
        """Return the key that a caller showed; ``None`` where it is none."""
        self._look()
        digest, found = hash_key(secret), None
        for key in self._keys:  # all of them: how long it takes tells nothing
            if hmac.compare_digest(digest, key.digest):
                found = key
        return found

    def _look(self) -> None:
        """Take up a changed file; one that is wrong changes nothing."""
        now = time.monotonic()
        if self._path is None or now - self._looked < _LOOK_S:
            return
        self._looked = now
        mark = _mark_of(self._path)
        if mark == self._mark:
            return
        self._mark = mark
        try:
            keys = self._join(_read_file(self._path))
        except (FieldError, OSError) as error:
            logger.warning("the changed file of keys is not taken up: %s", error)
            return
        if keys:
            self._keys = keys
        else:
            logger.warning("the changed file of keys holds none, and is not taken up")

    def _join(self, filed: tuple[ClientKey, ...]) -> tuple[ClientKey, ...]:
        return (*filed, *self._stated)


def _mark_of(path: Path | None) -> object:
    try:
        status = path.stat() if path else None
    except OSError:
        return None
    return status and (status.st_mtime_ns, status.st_size, status.st_ino)


def _read_file(path: Path) -> tuple[ClientKey, ...]:
    text = read_bounded(path, most=_LARGEST_FILE).decode("utf-8", "replace")
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = ("line", number)
        # Never what stands there: it may be a key in the clear.
        if len(words) != 2 or not _HASH.fullmatch(words[1].lower()):
            raise FieldError(
                "must be a name and the SHA-256 of a key, 64 hexadecimal digits",
                where=where,
                file=str(path),
                advice="difficulty new-key makes such a line.",
            )
        keys.append(ClientKey(_checked_name(words[0], where, file=str(path)), words[1].lower()))
    return tuple(keys)


def _read_stated(stated: str) -> tuple[ClientKey, ...]:
    keys = []
    for number, entry in enumerate(filter(None, map(str.strip, stated.split(","))), 1):
        name, _, secret = entry.partition("=")
        where = ("entry", number)
        if len(secret) < _LEAST_KEY:
            raise FieldError(
                f"must be NAME=KEY, and the key have at least {_LEAST_KEY} characters",
                where=where,
                file=VARIABLE,
            )
        keys.append(ClientKey(_checked_name(name, where, file=VARIABLE), hash_key(secret)))
    return tuple(keys)


def _checked_name(name: str, where: tuple[object, ...], *, file: str = "") -> str:
    if not _NAME.fullmatch(name):
        raise FieldError(
            "must begin with a name of letters, digits, - _ . and @, at most 64",
            where=where,
            file=file,
        )
    return name


def read_secret(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the key that a call shows: as a bearer, or as ``x-api-key``."""
    sent = headers.get(b"authorization", b"").decode("latin-1")
    kind, _, secret = sent.partition(" ")
    if kind.lower() == "bearer" and secret.strip():
        return secret.strip()
    plain = headers.get(b"x-api-key")
    return plain.decode("latin-1") if plain else None
