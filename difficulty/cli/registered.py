"""Options that say which registry."""

from __future__ import annotations

from typing import Annotated

import typer

RegistryAddress = Annotated[
    str,
    typer.Option(
        "--registry",
        envvar="DIFFICULTY_REGISTRY",
        help="A folder, or the address of an MLflow server or store: http://..., sqlite:///...",
    ),
]
BundleName = Annotated[str, typer.Argument(help="Name that bundles are published under.")]
