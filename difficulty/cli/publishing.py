"""Bundles in a registry: ``publish``, ``promote``, ``rollback``, ``versions``, ``fetch``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from difficulty.cli.console import (
    BundlePath,
    JsonFlag,
    OutPath,
    command_text,
    print_json,
    print_result,
    say,
    say_next,
    show_table,
    steps,
    warn,
)
from difficulty.cli.signing import TrustPath, build_trust
from difficulty.text import quantity_text

if TYPE_CHECKING:
    from difficulty.bundle.registry import Version
    from difficulty.stages.promote import Comparison, Promotion

BundleName = Annotated[str, typer.Argument(help="Name that bundles are published under.")]
RegistryAddress = Annotated[
    str,
    typer.Option(
        "--registry",
        envvar="DIFFICULTY_REGISTRY",
        help="A folder, or the address of an MLflow server or store: http://..., sqlite:///...;"
        " or, to read alone, the URL of a copy of a folder: s3://...",
    ),
]


def publish(
    bundle: BundlePath,
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

    opened = open_registry(registry)
    version = publish(bundle, name, opened, trust=build_trust(trust), training_run=training_run)
    # The first champion is compared with nothing.
    traffic = ("TRAFFIC",) if "champion" in opened.aliases(name) else ()
    next_step = command_text("promote", name, *traffic, "--registry", registry)
    print_result(
        {
            "name": name,
            "version": version.number,
            "bundle": version.bundle,
            "bundle_sha256": version.digest,
            "next": next_step,
        },
        f"published {bundle} as {version} of {name}, its challenger now",
        json=json,
    )
    if not json:
        say_next(next_step)


def promote(
    name: BundleName,
    registry: RegistryAddress,
    traffic: Annotated[
        Path | None,
        typer.Argument(
            help="File written by 'difficulty ingest'; not needed for the first champion."
        ),
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(
            help="What 'difficulty replay --bundle' wrote of the challenger on the champion's log:"
            " in place of traffic, or beside it."
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

    with steps() as show:
        promotion = promote(
            name,
            open_registry(registry),
            traffic,
            replay_path=replay,
            settings=find_recipe(recipe).promotion if recipe else None,
            trust=build_trust(trust),
            prices=load_prices(prices) if prices else None,
            progress=show,
        )
    if json:
        print_json(_promotion_entries(promotion))
    else:
        _print_promotion(name, promotion)
        _say_what_follows(name, promotion, registry)
    if not promotion.promoted:
        raise typer.Exit(1)


def _promotion_entries(promotion: Promotion) -> dict[str, Any]:
    champion, comparison = promotion.champion, promotion.comparison
    entries: dict[str, Any] = {
        "name": promotion.challenger.name,
        "promoted": promotion.promoted,
        "challenger": promotion.challenger.number,
        "champion_before": champion.number if champion else None,
    }
    if comparison:
        figures = {figure: pair.as_dict() for figure, pair in comparison.figures.items()}
        entries |= {"n": comparison.n, "refusals": comparison.refusals, "notes": comparison.notes}
        entries["warnings"] = comparison.warnings
        entries["figures"] = figures
    return entries


def _print_promotion(name: str, promotion: Promotion) -> None:
    challenger = promotion.challenger
    if promotion.comparison is None:
        say(f"{challenger} is the first champion of {name}: there was nothing to compare it with")
        return
    _print_comparison(promotion.comparison)
    for refusal in promotion.comparison.refusals:
        say(f"  {refusal}")
    verdict = (
        f"is the champion of {name} now, in place of"
        if promotion.promoted
        else f"is not promoted; champion of {name} stays"
    )
    say(f"{challenger} {verdict} {promotion.champion}")


def _say_what_follows(name: str, promotion: Promotion, registry: str) -> None:
    if not promotion.promoted:
        same = command_text("promote", name, "TRAFFIC", "--registry", registry)
        say_next(same, "with newer or more traffic; the champion stays until the gate holds")
        return
    watch = command_text("monitor", "LOG", "--bundle", "BUNDLE", "-o", "seen")
    back = command_text("rollback", name, "--registry", registry)
    if promotion.champion:
        say(f"to go back: {back}")
    say_next(watch, "once it has decided requests, watch it:")


def _print_comparison(comparison: Comparison) -> None:
    from rich.table import Table

    from difficulty.report.wording import difference_text, figure_text, label_of

    table = Table("", "challenger", "champion", "difference", box=None, pad_edge=False)
    for figure, pair in comparison.figures.items():
        sides = (figure_text(figure, side) for side in (pair.challenger, pair.champion))
        table.add_row(label_of(figure), *sides, difference_text(figure, pair.difference))
    show_table(table)
    say(f"{quantity_text(comparison.n, 'sample')}; {'; '.join(comparison.notes)}")
    for sentence in comparison.warnings:
        warn(sentence)


def rollback(name: BundleName, registry: RegistryAddress, json: JsonFlag = False) -> None:
    """Make the champion before the present one the champion again: scorer, calibration and
    thresholds, as one bundle.

    Example: difficulty rollback support --registry registry
    """
    from difficulty.bundle.registry import open_registry

    left, back = open_registry(registry).roll_back(name)
    print_result(
        {"name": name, "left": left.number, "champion": back.number, "bundle": back.bundle},
        f"{back} is the champion of {name} again, in place of {left}",
        json=json,
    )


def versions(name: BundleName, registry: RegistryAddress, json: JsonFlag = False) -> None:
    """List the published versions of a name, newest first, and which are champion and challenger.

    Example: difficulty versions support --registry registry
    """
    from difficulty.bundle.registry import open_registry

    opened = open_registry(registry)
    aliases = {alias: version.number for alias, version in sorted(opened.aliases(name).items())}
    newest_first = sorted(opened.versions(name), key=lambda version: -version.number)
    # An alias names one version, a version may bear both.
    named = {
        version.number: [alias for alias, number in aliases.items() if number == version.number]
        for version in newest_first
    }
    if not json:
        _print_versions(newest_first, named)
        return
    rows = [
        {
            "version": version.number,
            "bundle": version.bundle,
            "bundle_sha256": version.digest,
            "published": version.published.isoformat(),
            "aliases": named[version.number],
            "tags": dict(version.tags),
        }
        for version in newest_first
    ]
    print_json({"name": name, "aliases": aliases, "versions": rows})


def _print_versions(versions: list[Version], named: dict[int, list[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    headings = ("version", "bundle", "published", "alias", "objective", "threshold", "signed")
    table = Table(*headings, box=None, pad_edge=False)
    for version in versions:
        tags = version.tags
        cells = (
            str(version.number),
            version.bundle,
            f"{version.published:%Y-%m-%d %H:%M}",
            ", ".join(named[version.number]),
            tags.get("objective", ""),
            tags.get("threshold", ""),
            {"true": "yes", "false": "no"}.get(tags.get("signed", ""), ""),
        )
        table.add_row(*(Text(cell, overflow="fold") for cell in cells))
    show_table(table)


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

    version = fetch(reference, open_registry(registry), out_path, trust=build_trust(trust))
    print_result(
        {
            "name": version.name,
            "version": version.number,
            "bundle": version.bundle,
            "path": str(out_path),
        },
        f"wrote {version} of {version.name} to {out_path}",
        json=json,
    )
