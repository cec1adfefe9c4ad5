"""Sign a bundle with a private key, or with a certificate and its key. Needs no network; the key is
kept nowhere.

Example: difficulty sign bundles/support-1 --key private.pem
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from difficulty.cli.console import JsonFlag, out, print_json


def command(
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
    """Run sign."""
    from difficulty.bundle.signature import sign_bundle
    from difficulty.cli.signing import given_key

    signer = sign_bundle(bundle, given_key(key, certificate, chain), replace=replace)
    if json:
        print_json({"bundle": str(bundle), "signer": signer._asdict()})
    else:
        out.print(f"signed {bundle} with {signer}", markup=False)
