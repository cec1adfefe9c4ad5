"""Check a bundle in full and publish it in a registry, as the challenger of a name.

Example: difficulty publish bundles/support-2 --name support --registry registry
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from difficulty.cli.console import JsonFlag, out, print_json
from difficulty.cli.registered import RegistryAddress
from difficulty.cli.trusted import TrustPath, given_trust


def command(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    name: Annotated[
        str, typer.Option(help="Name to publish it under; routers follow the champion of a name.")
    ],
    registry: RegistryAddress,
    training_run: Annotated[
        str | None,
        typer.Option(
            help="Where training was recorded, such as an MLflow run id, for the lineage."
        ),
    ] = None,
    trust: TrustPath = None,
    json: JsonFlag = False,
) -> None:
    """Run publish."""
    from difficulty.bundle.registry import open_registry
    from difficulty.stages.promote import publish

    version = publish(
        bundle,
        name,
        open_registry(registry),
        trust=given_trust(None, None, None, trust),
        training_run=training_run,
    )
    if json:
        print_json(
            {
                "name": name,
                "version": version.number,
                "bundle": version.bundle,
                "bundle_sha256": version.digest,
            }
        )
    else:
        out.print(f"published {bundle} as {version} of {name}, its challenger now", markup=False)
