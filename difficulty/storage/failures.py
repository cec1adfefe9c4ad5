"""What a storage's library raised, in one plain sentence: no such host, refused, not allowed, not
there, or busy. Libraries raise what they like, often a missing file for whatever went wrong, so the
errors that an error came from are read too.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from difficulty.errors import DifficultyError, MissingExtraError, StorageError, StorageNotFoundError

_PASSING: Final = {
    errno.EIO,
    errno.EBUSY,
    errno.EAGAIN,
    errno.ETIMEDOUT,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.ECONNABORTED,
    errno.EPIPE,
    errno.EREMOTEIO,
}
"""Errors of a store that is busy, or of the way to it: asked again, most of them pass."""
_PACKAGES: Final = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "az": "adlfs",
    "adl": "adlfs",
    "hf": "huggingface_hub",
    "http": "aiohttp",
    "https": "aiohttp",
    "sftp": "paramiko",
    "ssh": "paramiko",
    "smb": "smbprotocol",
    "hdfs": "pyarrow",
}
_IN_EXTRA: Final = ("fsspec", "s3fs", "aiohttp")
_CREDENTIALS: Final = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "s3a": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS",
    "abfs": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "hf": "HF_TOKEN",
}
_DENIED, _ABSENT = (401, 403, 407), (404, 410)
_FTP: Final = {"530": 403, "532": 403, "550": 404, "421": 503}
"""Answers of an FTP server, and what a web server says of the same."""


def told_by(error: Exception, *, url: str, scheme: str, tries: int = 1) -> DifficultyError:
    """Return an error of a storage's library as one of ours, in a sentence without its type.

    Parameters
    ----------
    error : Exception
    url : str
        What was asked for.
    scheme : str
        Of ``url``.
    tries : int
        How often an error that may pass was met.
    """
    if isinstance(error, OSError) and error.filename is not None and error.errno:
        local = error.errno in (errno.ENOSPC, errno.EDQUOT)
        if local:
            return StorageError(f"{error.filename}: {error.strerror}. Free some space.")
    if isinstance(error, ImportError):
        return missing_package(scheme, error)
    return (
        _unreached(error, url, scheme)
        or _denied(error, url, scheme)
        or _absent(error, url, scheme)
        or _failed(error, url, tries)
    )


def missing_package(scheme: str, error: ImportError) -> MissingExtraError:
    """Return the error that names the package which reads URLs of a scheme."""
    package = "fsspec" if error.name == "fsspec" else _PACKAGES.get(scheme, "fsspec")
    extra = "remote" if package in _IN_EXTRA else None
    return MissingExtraError(f"reading and writing {scheme}://", package=package, extra=extra)


def is_bucket_absent(error: BaseException | None) -> bool:
    """Return whether not even the bucket of an object is there."""
    said = str(error).lower()  # a name may have the word bucket in it
    return any(f"{word} does not exist" in said for word in ("bucket", "container"))


def is_passing(error: BaseException) -> bool:
    """Return whether an error may be gone a moment later."""
    if (status := _status(error)) is not None:
        return status == 429 or status >= 500
    if isinstance(error, FileNotFoundError) and _is_refused(error):
        return True
    if isinstance(error, FileNotFoundError | PermissionError | FileExistsError | IsADirectoryError):
        return False
    if isinstance(error, TimeoutError | ConnectionError):
        return True
    if isinstance(error, OSError) and error.errno in _PASSING:
        return True
    return type(error).__name__ in (
        "ClientPayloadError",
        "ServerDisconnectedError",
        "ClientConnectorError",
        "EndpointConnectionError",
        "ConnectionClosedError",
        "ResponseStreamingError",
        "IncompleteReadError",
    )


def _unreached(error: Exception, url: str, scheme: str) -> StorageError | None:
    """Say that the host was not found, refused, or is not whom it says."""
    hint = _endpoint_hint(scheme)
    if any(isinstance(each, socket.gaierror) for each in _chain(error)):
        host = urlsplit(url).hostname if scheme in ("http", "https", "ftp", "sftp") else None
        named = f"no host {host!r} was found" if host else "its host was not found"
        return StorageError(
            f"{url!r} cannot be reached: {named}. Check the address{hint}, and the network."
        )
    if _is_refused(error):
        return StorageError(
            f"{url!r} cannot be reached: the connection was refused. Check the address{hint}, and"
            " whether its server runs."
        )
    if any(isinstance(each, ssl.SSLError) for each in _chain(error)):
        return StorageError(
            f"{url!r} cannot be reached: its certificate was not accepted. Check the address"
            f"{hint}, and the certificates that this computer trusts."
        )
    return None


def _denied(error: Exception, url: str, scheme: str) -> StorageError | None:
    """Say that credentials are missing, or do not do."""
    names = f"{type(error).__name__} {error}".lower()  # some say it by their name alone
    settings = _CREDENTIALS.get(scheme, "")
    if _status(error) is None and ("credential" in names or "authenticat" in names):
        return StorageError(
            f"{url!r} needs credentials: none were found. Set {settings or 'those of its storage'}."
        )
    if isinstance(error, PermissionError) or _status(error) in _DENIED:
        return StorageError(
            f"{url!r} may not be used with these credentials: access was denied. Check whose they"
            f" are and what they allow{f' ({settings})' if settings else ''}."
        )
    return None


def _absent(error: Exception, url: str, scheme: str) -> StorageNotFoundError | None:
    """Say that nothing is there."""
    status = _status(error)
    if status not in _ABSENT and not (status is None and isinstance(error, FileNotFoundError)):
        return None
    bucket = " Its bucket does not exist." if is_bucket_absent(error) else ""
    return StorageNotFoundError(
        f"nothing lies at {url!r}.{bucket} Check the address{_endpoint_hint(scheme)}."
    )


def _failed(error: Exception, url: str, tries: int) -> StorageError:
    """Say what the storage said."""
    again = f" after {tries} tries" if is_passing(error) and tries > 1 else ""
    status, said = _status(error), str(error).strip(" .:")
    if isinstance(error, TimeoutError) or (isinstance(error, OSError) and not said):
        said = "no answer came in time"
    elif status is not None:
        said = f"its server answered {status}"
    return StorageError(
        f"{url!r} could not be read or written{again}: {said or 'no reason was given':.300}."
        " Run the command again."
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_refused(error: BaseException) -> bool:
    return any(
        isinstance(each, OSError) and each.errno == errno.ECONNREFUSED for each in _chain(error)
    )


def _status(error: BaseException) -> int | None:
    """Return what a server answered, as a web server's status; ``None``: it is not known."""
    for each in _chain(error):
        status = getattr(each, "status", None)
        if isinstance(status, int):
            return status
        if type(each).__module__ == "ftplib" and (code := _FTP.get(str(each)[:3])):
            return code
    return None


def _endpoint_hint(scheme: str) -> str:
    return ", and AWS_ENDPOINT_URL where it is not Amazon's" if scheme in ("s3", "s3a") else ""
