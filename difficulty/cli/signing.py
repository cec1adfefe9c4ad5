"""Signatures: ``sign``, ``verify``, and the options that say which signer is trusted."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from difficulty.bundle.signature import SigningKey
from difficulty.bundle.trust import Trust, load_trust
from difficulty.cli.console import JsonFlag, err, out, print_json
from difficulty.errors import InvalidValueError, SigningKeyError

if TYPE_CHECKING:
    from difficulty.stages.verify import Verification


def sign(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    key: Annotated[
        Path,
        typer.Option(
            help=(
                "PEM file of an elliptic-curve private key; its password:"
                " DIFFICULTY_SIGNING_PASSWORD, or you are asked."
            )
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
        bool, typer.Option("--replace", help="Put the signature in the place of another.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Sign a bundle with a private key, or with a certificate and its key. Needs no network; the
    key is kept nowhere.

    Example: difficulty sign bundles/support-1 --key private.pem
    """
    from difficulty.bundle.signature import sign_bundle
    from difficulty.cli.signing import given_key

    signer = sign_bundle(bundle, given_key(key, certificate, chain), replace=replace)
    if json:
        print_json({"bundle": str(bundle), "signer": signer._asdict()})
    else:
        out.print(f"signed {bundle} with {signer}", markup=False)


PublicKeyPaths = Annotated[
    list[Path] | None,
    typer.Option("--public-key", help="PEM file of a key that may have signed; repeat for more."),
]
CertificatePaths = Annotated[
    list[Path] | None,
    typer.Option(
        "--certificate",
        help=(
            "PEM file of a root or intermediate that the signing certificate must lead to; repeat"
            " for more."
        ),
    ),
]
Subjects = Annotated[
    list[str] | None,
    typer.Option(
        "--subject",
        help="Subject the signing certificate may have: CN=release,O=Example; repeat for more.",
    ),
]
TrustPath = Annotated[
    Path | None,
    typer.Option(
        "--trust",
        envvar="DIFFICULTY_TRUST",
        help="Trust file (TOML) in place of the three options above.",
    ),
]


def given_trust(
    keys: list[Path] | None,
    certificates: list[Path] | None,
    subjects: list[str] | None,
    file: Path | None,
) -> Trust | None:
    """Return whose signature is required; ``None`` when none is. Options count before the file,
    which a variable may have named.
    """
    if not (keys or certificates or subjects):
        return load_trust(file) if file else None
    if subjects and not certificates:
        raise InvalidValueError(
            "--subject", subjects, rule="stand beside --certificate: a key has no subject"
        )
    return Trust(
        public_keys=tuple(keys or ()),
        certificates=tuple(certificates or ()),
        subjects=tuple(subjects or ()),
    )


_SHOWN = 10


def verify(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    public_key: PublicKeyPaths = None,
    certificate: CertificatePaths = None,
    subject: Subjects = None,
    trust: TrustPath = None,
    json: JsonFlag = False,
) -> None:
    """Check a bundle: every file's hash, its signature, then its golden vectors on this machine.
    Exit code 1 when a vector is not reproduced.

    Without one of --public-key, --certificate and --trust the signature is not checked, only named.

    Example: difficulty verify bundles/support-1 --public-key release.pem
    """
    from difficulty.stages.verify import verify

    found = verify(bundle, trust=given_trust(public_key, certificate, subject, trust))
    manifest = found.bundle.manifest
    if json:
        form: dict[str, Any] = {
            "bundle": f"{manifest.name}-{manifest.version}",
            "files": len(manifest.files),
            "golden": found.golden,
        }
        form |= {
            "signer": found.signer._asdict() if found.signer else None,
            "signature_checked": found.signature_checked,
        }
        print_json(
            {
                **form,
                "passed": found.passed,
                "differences": found.differences,
                "warnings": found.warnings,
            }
        )
    else:
        out.print(
            f"{manifest.name}-{manifest.version}: {len(manifest.files)} files match their hashes"
        )
        out.print(_signature(found), markup=False)
        for difference in found.differences[:_SHOWN]:
            out.print(f"  {difference}", markup=False)
        out.print(
            f"{found.golden} golden vectors: "
            + ("all reproduced" if found.passed else f"{len(found.differences)} differences")
        )
        for warning in found.warnings:
            err.print(f"warning: {warning}", markup=False)
    if not found.passed:
        raise typer.Exit(1)


def _signature(found: Verification) -> str:
    if found.signer is None:
        return "not signed"
    return (
        f"signed by {found.signer}"
        if found.signature_checked
        else f"says it is signed by {found.signer}; not checked, name a --public-key"
    )


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
