"""Make the champion before the present one the champion again: scorer, calibration and thresholds,
as one bundle.

Example: difficulty rollback support --registry registry
"""

from __future__ import annotations

from difficulty.cli.console import JsonFlag, out, print_json
from difficulty.cli.registered import BundleName, RegistryAddress


def command(name: BundleName, registry: RegistryAddress, json: JsonFlag = False) -> None:
    """Run rollback."""
    from difficulty.bundle.registry import open_registry

    left, back = open_registry(registry).roll_back(name)
    if json:
        print_json(
            {"name": name, "left": left.number, "champion": back.number, "bundle": back.bundle}
        )
    else:
        out.print(f"{back} is the champion of {name} again, in place of {left}", markup=False)
