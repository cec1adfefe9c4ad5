"""Compare a name's challenger with its champion on the same labelled traffic, and promote it if the
gate of its recipe holds.

The traffic must be newer than what either was made from. Exit code 1 when the gate does not hold,
or another process was first.

Example: difficulty promote support recent.parquet --registry registry
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from difficulty.cli.console import JsonFlag, out, print_json, steps
from difficulty.cli.registered import BundleName, RegistryAddress
from difficulty.cli.trusted import TrustPath, given_trust

if TYPE_CHECKING:
    from difficulty.stages.promote import Comparison, Promotion


def command(
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
    """Run promote."""
    from difficulty.bundle.registry import open_registry
    from difficulty.cli.shipped import find_recipe
    from difficulty.economics import load_prices
    from difficulty.stages.promote import promote

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
