"""Write a bundle as the folder that another serving system expects: an MLflow model, a Triton model
repository, a container's files.

Example: difficulty layout bundles/support-1 --for mlflow -o served/support
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from difficulty.cli.console import JsonFlag, OutPath, out, print_json
from difficulty.cli.trusted import TrustPath, given_trust


def command(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    layout: Annotated[
        str, typer.Option("--for", help="What will serve it: mlflow, triton or container.")
    ],
    out_path: OutPath,
    trust: TrustPath = None,
    json: JsonFlag = False,
) -> None:
    """Run layout."""
    from difficulty.stages.layout import lay_out

    next_step = lay_out(bundle, layout, out_path, trust=given_trust(None, None, None, trust))
    if json:
        print_json({"layout": layout, "path": str(out_path), "serve": next_step})
    else:
        out.print(f"wrote {out_path}\nserve it with: {next_step}", markup=False)
