"""MLflow's server, asked with little patience: by itself MLflow tries for minutes, and prints each
try. Needs no package.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

# In place of MLflow's patience of minutes and of what it prints, while it is asked, where the
# environment says nothing else.
_WHILE_ASKING = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_CONNECT_S = 5.0
_LONGEST = 300
# What requests and urllib3 say in a chain of objects, of which one part is the reason.
_LOST = "failed with exception"
_REASONS = re.compile(
    r"too many \d+ error responses|(?:\w+ )?timed out|Connection (?:refused|reset by peer|aborted)"
    r"|Name or service not known|certificate verify failed"
)
_CREDENTIALS = re.compile(r"//[^/@\s]+@")


@contextmanager
def little_patience() -> Iterator[None]:
    """Have MLflow's client try again only a few times, and print nothing, while the block runs."""
    # Through the environment, for MLflow's client takes none of this as an argument.
    unset = {name: value for name, value in _WHILE_ASKING.items() if name not in os.environ}
    os.environ.update(unset)
    retries = logging.getLogger("urllib3.connectionpool")
    before = retries.level
    retries.setLevel(logging.ERROR)  # each try is a warning of its own
    try:
        yield
    finally:
        retries.setLevel(before)
        for name in unset:
            os.environ.pop(name, None)


def find_silence(uri: str) -> str | None:
    """Return why nothing answers at an address; ``None`` where something listens there, or that
    cannot be told: of a store that is no server, and behind a proxy.
    """
    parts = urlsplit(uri)
    # Behind a proxy the server itself may be out of reach.
    if parts.scheme not in ("http", "https") or any(
        name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in os.environ
    ):
        return None
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=_CONNECT_S).close()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return f"no MLflow server answers at {hide_password(uri)} ({reason})"
    return None


def tell_refusal(error: Exception) -> str:
    """Return what MLflow said of a question, in one line that is not too long."""
    line = " ".join(str(error).split())
    if _LOST in line:
        reason = _REASONS.search(line)
        return f"it did not answer ({reason.group()})" if reason else "it did not answer"
    line = _CREDENTIALS.sub("//", line)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def hide_password(uri: str) -> str:
    """Return an address without the password that may be in it."""
    parts = urlsplit(uri)
    return repr(
        parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.netloc else uri
    )
