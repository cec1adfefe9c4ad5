"""List the published versions of a name, newest first, and which are champion and challenger.

Example: difficulty versions support --registry registry
"""

from __future__ import annotations

from difficulty.cli.console import JsonFlag, out, print_json
from difficulty.cli.registered import BundleName, RegistryAddress

_WIDTH = 120
"""Of the table, also where no terminal says how wide it is: wrapped names cannot be copied."""


def command(name: BundleName, registry: RegistryAddress, json: JsonFlag = False) -> None:
    """Run versions."""
    from rich.table import Table
    from rich.text import Text

    from difficulty.bundle.registry import open_registry

    opened = open_registry(registry)
    aliases = {alias: version.number for alias, version in sorted(opened.aliases(name).items())}
    versions = sorted(opened.versions(name), key=lambda version: version.number, reverse=True)
    if json:
        rows = [
            {
                "version": version.number,
                "bundle": version.bundle,
                "bundle_sha256": version.digest,
                "published": version.published.isoformat(),
                "aliases": [alias for alias, number in aliases.items() if number == version.number],
                "tags": dict(version.tags),
            }
            for version in versions
        ]
        print_json({"name": name, "aliases": aliases, "versions": rows})
        return
    table = Table(
        "version",
        "bundle",
        "published",
        "alias",
        "objective",
        "threshold",
        "signed",
        box=None,
        pad_edge=False,
    )
    for version in versions:
        named = ", ".join(alias for alias, number in aliases.items() if number == version.number)
        signed = {"true": "yes", "false": "no"}.get(version.tags.get("signed", ""), "")
        told = [version.tags.get(tag, "") for tag in ("objective", "threshold")]
        cells = (
            str(version.number),
            version.bundle,
            f"{version.published:%Y-%m-%d %H:%M}",
            named,
            *told,
            signed,
        )
        table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in cells))
    out.print(table, width=_WIDTH, crop=False)
