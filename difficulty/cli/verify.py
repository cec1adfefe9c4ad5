"""Check a bundle: every file's hash, then its golden vectors on this machine. Exit code 1 when a vector is not reproduced.

Example: difficulty verify bundles/support-1
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from difficulty.cli.console import JsonFlag, err, out, print_json

__all__ = ["command"]

_SHOWN = 10


def command(bundle: Annotated[Path, typer.Argument(help="Bundle folder.")], json: JsonFlag = False) -> None:
    """Run verify."""
    from difficulty.stages.verify import verify

    found = verify(bundle)
    manifest = found.bundle.manifest
    if json:
        form = {"bundle": f"{manifest.name}-{manifest.version}", "files": len(manifest.files), "golden": found.golden}
        print_json({**form, "passed": found.passed, "differences": found.differences, "warnings": found.warnings})
    else:
        out.print(f"{manifest.name}-{manifest.version}: {len(manifest.files)} files match their hashes")
        for difference in found.differences[:_SHOWN]:
            out.print(f"  {difference}", markup=False)
        out.print(f"{found.golden} golden vectors: " + ("all reproduced" if found.passed else f"{len(found.differences)} differences"))
        for warning in found.warnings:
            err.print(f"warning: {warning}", markup=False)
    if not found.passed:
        raise typer.Exit(1)
