"""Check a bundle: every file's hash, its signature, then its golden vectors on this machine. Exit
code 1 when a vector is not reproduced.

Without one of --public-key, --certificate and --trust the signature is not checked, only named.

Example: difficulty verify bundles/support-1 --public-key release.pem
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from difficulty.cli.console import JsonFlag, err, out, print_json
from difficulty.cli.trusted import (
    CertificatePaths,
    PublicKeyPaths,
    Subjects,
    TrustPath,
    given_trust,
)

if TYPE_CHECKING:
    from difficulty.stages.verify import Verification


_SHOWN = 10


def command(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    public_key: PublicKeyPaths = None,
    certificate: CertificatePaths = None,
    subject: Subjects = None,
    trust: TrustPath = None,
    json: JsonFlag = False,
) -> None:
    """Run verify."""
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
