"""Write a published bundle into a new folder, byte for byte, and check it.

Example: difficulty fetch support@champion -o bundles/support --registry registry
"""

from __future__ import annotations

from typing import Annotated

import typer

from difficulty.cli.console import JsonFlag, OutPath, out, print_json
from difficulty.cli.registered import RegistryAddress
from difficulty.cli.trusted import TrustPath, given_trust


def command(
    reference: Annotated[
        str,
        typer.Argument(
            metavar="NAME[@WHICH]",
            help="WHICH: champion (default), challenger or a version number.",
        ),
    ],
    out_path: OutPath,
    registry: RegistryAddress,
    trust: TrustPath = None,
    json: JsonFlag = False,
) -> None:
    """Run fetch."""
    from difficulty.bundle.registry import open_registry
    from difficulty.stages.promote import fetch

    version = fetch(
        reference, open_registry(registry), out_path, trust=given_trust(None, None, None, trust)
    )
    if json:
        print_json(
            {
                "name": version.name,
                "version": version.number,
                "bundle": version.bundle,
                "path": str(out_path),
            }
        )
    else:
        out.print(f"wrote {version} of {version.name} to {out_path}", markup=False)
