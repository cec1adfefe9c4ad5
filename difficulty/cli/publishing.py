"""Bundles in a registry: ``publish``, ``promote``, ``rollback``, ``versions``, ``fetch``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from difficulty.cli.console import JsonFlag, OutPath, out, print_json, steps
from difficulty.cli.options import BundleName, RegistryAddress
from difficulty.cli.signing import TrustPath, given_trust

if TYPE_CHECKING:
    from difficulty.stages.promote import Comparison, Promotion


def publish(
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
    """Check a bundle in full and publish it in a registry, as the challenger of a name.

    Example: difficulty publish bundles/support-2 --name support --registry registry
    """
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


def promote(
    name: BundleName,
    registry: RegistryAddress,
    traffic: Annotated[
        Path | None,
        typer.Argument(
            help="File written by 'difficulty ingest'; not needed for the first champion."
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Recipe whose [promotion] section is the gate; default: the challenger's own."
        ),
    ] = None,
    prices: Annotated[Path | None, typer.Option(help="Price list (TOML), for the costs.")] = None,
    trust: TrustPath = None,
    json: JsonFlag = False,
) -> None:
    """Compare a name's challenger with its champion on the same labelled traffic, and promote it if
    the gate of its recipe holds.

    The traffic must be newer than what either was made from. Exit code 1 when the gate does not
    hold, or another process was first.

    Example: difficulty promote support recent.parquet --registry registry
    """
    from difficulty.bundle.registry import open_registry
    from difficulty.economics import load_prices
    from difficulty.stages.promote import promote
    from difficulty.training.shipped import find_recipe

    with steps() as say:
        done = promote(
            name,
            open_registry(registry),
            traffic,
            settings=find_recipe(recipe).promotion if recipe else None,
            trust=given_trust(None, None, None, trust),
            prices=load_prices(prices) if prices else None,
            progress=say,
        )
    if json:
        print_json(_form(done))
    else:
        _print(name, done)
    if not done.promoted:
        raise typer.Exit(1)


def _form(done: Promotion) -> dict[str, object]:
    form: dict[str, object] = {
        "name": done.challenger.name,
        "promoted": done.promoted,
        "challenger": done.challenger.number,
        "champion_before": done.champion.number if done.champion else None,
    }
    if comparison := done.comparison:
        form |= {"n": comparison.n, "refusals": comparison.refusals, "notes": comparison.notes}
        form["figures"] = {figure: pair.as_dict() for figure, pair in comparison.figures.items()}
    return form


def _print(name: str, done: Promotion) -> None:
    if done.comparison is None:
        out.print(
            f"{done.challenger} is the first champion of {name}: there was nothing to compare it"
            " with",
            markup=False,
        )
        return
    _print_comparison(done.comparison)
    for refusal in done.comparison.refusals:
        out.print(f"  {refusal}", markup=False)
    verdict = (
        f"is the champion of {name} now, in place of"
        if done.promoted
        else f"is not promoted; champion of {name} stays"
    )
    out.print(f"{done.challenger} {verdict} {done.champion}", markup=False)


def _print_comparison(comparison: Comparison) -> None:
    from rich.table import Table

    from difficulty.report.wording import as_text

    table = Table("", "challenger", "champion", "difference", box=None, pad_edge=False)
    for figure, pair in comparison.figures.items():
        label = "cost, USD per 1,000" if figure == "cost" else figure.replace("_", " ")
        table.add_row(
            label, as_text(pair.challenger), as_text(pair.champion), as_text(pair.difference)
        )
    out.print(table)
    out.print(f"{comparison.n:,} samples; " + "; ".join(comparison.notes), markup=False)


def rollback(name: BundleName, registry: RegistryAddress, json: JsonFlag = False) -> None:
    """Make the champion before the present one the champion again: scorer, calibration and
    thresholds, as one bundle.

    Example: difficulty rollback support --registry registry
    """
    from difficulty.bundle.registry import open_registry

    left, back = open_registry(registry).roll_back(name)
    if json:
        print_json(
            {"name": name, "left": left.number, "champion": back.number, "bundle": back.bundle}
        )
    else:
        out.print(f"{back} is the champion of {name} again, in place of {left}", markup=False)


_WIDTH = 120
"""Of the table, also where no terminal says how wide it is: wrapped names cannot be copied."""


def versions(name: BundleName, registry: RegistryAddress, json: JsonFlag = False) -> None:
    """List the published versions of a name, newest first, and which are champion and challenger.

    Example: difficulty versions support --registry registry
    """
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


def fetch(
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
    """Write a published bundle into a new folder, byte for byte, and check it.

    Example: difficulty fetch support@champion -o bundles/support --registry registry
    """
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
