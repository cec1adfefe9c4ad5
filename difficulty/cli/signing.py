"""Signatures: ``sign``, ``verify``, and the options that say which signer is trusted."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from difficulty.bundle.signature import SigningKey, opened, sign_bundle
from difficulty.bundle.store import Trust, load_trust
from difficulty.cli.console import BundlePath, JsonFlag, print_json, print_result, say, warn
from difficulty.errors import InvalidValueError, SigningKeyError
from difficulty.text import quantity_text

if TYPE_CHECKING:
    from difficulty.stages.verify import Verification

TrustPath = Annotated[
    Path | None,
    typer.Option(
        "--trust",
        envvar="DIFFICULTY_TRUST",
        help="Trust file (TOML) in place of the three options above.",
    ),
]
_MOST_DIFFERENCES = 10
_PASSWORD = "DIFFICULTY_SIGNING_PASSWORD"


def sign(
    bundle: BundlePath,
    key: Annotated[
        Path,
        typer.Option(
            help="PEM file of an elliptic-curve private key; its password:"
            " DIFFICULTY_SIGNING_PASSWORD, or you are asked."
        ),
    ],
    certificate: Annotated[
        Path | None, typer.Option(help="PEM file of the signing certificate of that key.")
    ] = None,
    chain: Annotated[
        list[Path] | None,
        typer.Option(
            help="PEM file of a certificate between the signing one and its root; repeat for more."
        ),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--overwrite", "--replace", help="Put the signature in the place of another."),
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Sign a bundle with a private key, or with a certificate and its key. Needs no network; the
    key is kept nowhere.

    Example: difficulty sign bundles/support-1 --key private.pem
    """
    signer = sign_bundle(bundle, build_key(key, certificate, chain or ()), replace=replace)
    content = {"bundle": str(bundle), "signer": signer._asdict()}
    print_result(content, f"signed {bundle} with {signer}", json=json)


def build_key(
    private_key: Path, certificate: Path | None = None, chain: Sequence[Path] = ()
) -> SigningKey:
    """Return the key to sign with; its password is asked for when it is needed."""
    if chain and certificate is None:
        raise SigningKeyError(
            "a certificate chain needs the signing certificate too: got none. Pass --certificate."
        )
    return SigningKey(
        private_key=private_key,
        ask_password=_ask_password,
        certificate=certificate,
        chain=tuple(chain),
    )


def open_key(private_key: Path | None) -> SigningKey | None:
    """Return the key of ``--sign-key``, tried before long work; may ask for its password."""
    return opened(build_key(private_key)) if private_key else None


def _ask_password() -> str:
    # The environment first: a job has no terminal.
    if _PASSWORD in os.environ:
        return os.environ[_PASSWORD]
    if not sys.stdin.isatty():  # a job that waits for an answer would wait for good
        raise SigningKeyError(
            "the private key is encrypted and there is no terminal to ask for its password. Set"
            f" {_PASSWORD}."
        )
    return str(typer.prompt("Password of the private key", hide_input=True, err=True))


def build_trust(
    file: Path | None,
    keys: Sequence[Path] = (),
    certificates: Sequence[Path] = (),
    subjects: Sequence[str] = (),
) -> Trust | None:
    """Return whose signature is required; options count before the file."""
    if not (keys or certificates or subjects):
        return load_trust(file) if file else None
    if subjects and not certificates:
        raise InvalidValueError(
            "--subject", subjects, rule="stand beside --certificate: a key has no subject"
        )
    return Trust(
        public_keys=tuple(keys), certificates=tuple(certificates), subjects=tuple(subjects)
    )


def verify(
    bundle: BundlePath,
    public_key: Annotated[
        list[Path] | None,
        typer.Option(
            "--public-key", help="PEM file of a key that may have signed; repeat for more."
        ),
    ] = None,
    certificate: Annotated[
        list[Path] | None,
        typer.Option(
            "--certificate",
            help="PEM file of a root or intermediate that the signing certificate must lead to;"
            " repeat for more.",
        ),
    ] = None,
    subject: Annotated[
        list[str] | None,
        typer.Option(
            "--subject",
            help="Subject the signing certificate may have: CN=release,O=Example; repeat for more.",
        ),
    ] = None,
    trust: TrustPath = None,
    json: JsonFlag = False,
) -> None:
    """Check a bundle: every file's hash, its signature, then its golden vectors on this machine.
    Exit code 1 when a vector is not reproduced.

    Without one of --public-key, --certificate and --trust the signature is not checked, only named.

    Example: difficulty verify bundles/support-1 --public-key release.pem
    """
    from difficulty.stages.verify import verify

    required = build_trust(trust, public_key or (), certificate or (), subject or ())
    result = verify(bundle, trust=required)
    if json:
        print_json(
            {
                "bundle": result.bundle.label,
                "files": len(result.bundle.manifest.files),
                "golden": result.golden,
                "signer": result.signer._asdict() if result.signer else None,
                "signature_checked": result.signature_checked,
                "passed": result.passed,
                "differences": result.differences,
                "warnings": result.warnings,
            }
        )
    else:
        _print_verification(result)
    if not result.passed:
        raise typer.Exit(1)


def _print_verification(result: Verification) -> None:
    bundle, differences = result.bundle, result.differences
    n = len(bundle.manifest.files)
    say(f"{bundle.label}: {quantity_text(n, 'file matches its hash', 'files match their hashes')}")
    if result.signer is None:
        say("not signed")
    elif result.signature_checked:
        say(f"signed by {result.signer}")
    else:
        say(f"says it is signed by {result.signer}; not checked, name a --public-key")
    for difference in differences[:_MOST_DIFFERENCES]:
        say(f"  {difference}")
    outcome = "all reproduced" if result.passed else f"{len(differences)} differences"
    say(f"{quantity_text(result.golden, 'golden vector')}: {outcome}")
    for warning in result.warnings:
        warn(warning)
