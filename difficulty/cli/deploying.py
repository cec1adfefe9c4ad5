"""Settings of a bundle that is in service: ``difficulty policy``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from difficulty.cli.console import BundlePath, JsonFlag, KeyPath, print_json, say
from difficulty.cli.signing import open_key
from difficulty.text import one_line


def policy(
    bundle: BundlePath,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting and its value in TOML, repeated: epsilon=0.05, streaming=buffer,"
            " 'validators=[{check=\"json\"}]'. Without any the policy is printed.",
        ),
    ] = None,
    out_path: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Where to write, as <name>-<version>.", show_default=False
        ),
    ] = None,
    sign_key: KeyPath = None,
    json: JsonFlag = False,
) -> None:
    """Change settings of the deployment in a bundle's policy (validators, exploration, streaming,
    easy and hard tasks, review date, ...), without training, and write the next version.

    Example: difficulty policy bundles/support-1 --set shadow=0.05 -o bundles/support-2
    """
    from difficulty.bundle import read_bundle
    from difficulty.stages.deploying.deployed_policy import SETTINGS, change_policy, flat_policy

    if not settings:
        if out_path is not None:
            raise typer.BadParameter("write it with --set KEY=VALUE", param_hint="'--out'")
        held = read_bundle(bundle).policy
        if json:
            print_json(held.as_dict())
            return
        for name, value in flat_policy(held).items():
            # Lists and forms of settings are one value, which --set takes.
            say(one_line(f"{name} = {value}") + ("  (--set)" if name in SETTINGS else ""))
        return
    if out_path is None:
        raise typer.BadParameter("name the new bundle: <name>-<version>", param_hint="'--out'")
    change = change_policy(bundle, settings, out_path, sign_with=open_key(sign_key))
    if json:
        content = {"bundle": str(out_path), "diff": list(change.diff), "notes": list(change.notes)}
        print_json(content)
        return
    for line in (*change.diff, *change.notes, f"wrote {out_path}"):
        say(one_line(line))
