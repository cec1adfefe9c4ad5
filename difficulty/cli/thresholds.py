"""Choose a bundle's threshold again on new labelled traffic, without training, and write the next version.

Example: difficulty thresholds bundles/support-1 traffic.parquet --objective share=0.2 -o bundles/support-2
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from difficulty.cli.console import JsonFlag, OutPath, out, print_json, steps

__all__ = ["command"]


def command(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    traffic: Annotated[Path, typer.Argument(help="File written by 'difficulty ingest'; not the traffic the bundle is later judged by.")],
    out_path: OutPath,
    objective: Annotated[str, typer.Option(help="share=X: at most X to the frontier model; quality=X: recover X of the quality gap.")],
    prices: Annotated[Path | None, typer.Option(help="Price list (TOML), for the expected cost.")] = None,
    json: JsonFlag = False,
) -> None:
    """Run thresholds."""
    from rich.table import Table

    from difficulty.economics import load_prices
    from difficulty.evaluation import as_text
    from difficulty.stages.thresholds import rechoose

    price_list = load_prices(prices) if prices else None
    with steps() as say:
        say("choosing the threshold")
        result = rechoose(bundle, traffic, out_path, objective=objective, prices=price_list)
    if json:
        print_json({"bundle": str(out_path), "old": result.old.as_dict(), "new": result.new.as_dict()})
        return
    table = Table("", f"old ({result.old.objective})", f"new ({result.new.objective})", box=None, pad_edge=False)
    table.add_row("threshold", f"{result.old.threshold:.6g}", f"{result.new.threshold:.6g}")
    for name in ("frontier_share", "quality", "gap_recovered", "cost"):
        table.add_row(name.replace("_", " "), as_text(getattr(result.old, name)), as_text(getattr(result.new, name)))
    out.print(table)
    out.print(f"wrote {out_path}", markup=False)
