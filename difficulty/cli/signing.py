"""Options that say what a bundle is signed with."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from difficulty.bundle.signature import SigningKey
from difficulty.errors import SigningKeyError

_VARIABLE = "DIFFICULTY_SIGNING_PASSWORD"


def given_key(
    private_key: Path, certificate: Path | None = None, chain: list[Path] | None = None
) -> SigningKey:
    """Return the key to sign with; its password comes from ``DIFFICULTY_SIGNING_PASSWORD``, or is
    asked for at a terminal.
    """
    if chain and certificate is None:
        raise SigningKeyError(
            "a certificate chain needs the signing certificate too: got none. Pass --certificate."
        )
    return SigningKey(
        private_key=private_key,
        ask_password=_password,
        certificate=certificate,
        chain=tuple(chain or ()),
    )


def _password() -> str:
    if _VARIABLE in os.environ:
        return os.environ[_VARIABLE]
    if not sys.stdin.isatty():
        raise SigningKeyError(
            "the private key is encrypted and there is no terminal to ask for its password. Set"
            f" {_VARIABLE}."
        )
    return str(typer.prompt("Password of the private key", hide_input=True, err=True))
