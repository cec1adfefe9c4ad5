"""``difficulty thresholds``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from difficulty.cli.console import JsonFlag, OutPath, out, print_json, steps
from difficulty.cli.options import CATCH_RATE_HELP, OBJECTIVE_HELP, PER_TASK_HELP
from difficulty.cli.ship import print_promise

_WIDTH = 120
"""Of the table, also where no terminal says how wide it is: wrapped intervals cannot be
compared.
"""


def thresholds(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    traffic: Annotated[
        Path,
        typer.Argument(
            help=(
                "File written by 'difficulty ingest'; not the traffic the bundle is later"
                " judged by."
            )
        ),
    ],
    out_path: OutPath,
    objective: Annotated[str, typer.Option(help=OBJECTIVE_HELP)],
    per_task: Annotated[bool, typer.Option("--per-task", help=PER_TASK_HELP)] = False,
    catch_rate: Annotated[
        float | None, typer.Option(min=0, max=1, help=f"{CATCH_RATE_HELP} Default: the bundle's.")
    ] = None,
    prices: Annotated[
        Path | None, typer.Option(help="Price list (TOML), for the expected cost.")
    ] = None,
    sign_key: Annotated[
        Path | None,
        typer.Option(help="Sign with this private key (PEM), as 'difficulty sign' does."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Choose a bundle's threshold again on new labelled traffic, without training, and write the
    next version.

    Example: difficulty thresholds bundles/support-1 traffic.parquet --objective share=0.2 -o
    bundles/support-2
    """
    from rich.table import Table
    from rich.text import Text

    from difficulty.bundle.signature import opened
    from difficulty.cli.signing import given_key
    from difficulty.economics import load_prices
    from difficulty.report.wording import as_text
    from difficulty.stages.thresholds import rechoose

    price_list = load_prices(prices) if prices else None
    key = opened(given_key(sign_key)) if sign_key else None  # may ask for a password
    with steps() as say:
        say("choosing the threshold")
        result = rechoose(
            bundle,
            traffic,
            out_path,
            objective=objective,
            per_task=per_task,
            catch_rate=catch_rate,
            prices=price_list,
            sign_with=key,
        )
    old, new = result.old, result.new
    if json:
        moved = {name: estimate.as_dict() for name, estimate in result.changes.items()}
        print_json(
            {
                "bundle": str(out_path),
                "old": old.as_dict(),
                "new": new.as_dict(),
                "change": moved,
                "notes": list(result.notes),
            }
        )
        return
    table = Table(
        "", f"old ({old.objective})", f"new ({new.objective})", "change", box=None, pad_edge=False
    )
    table.add_row(
        "threshold",
        f"{old.threshold:.6g}",
        f"{new.threshold:.6g}",
        f"{new.threshold - old.threshold:+.6g}",
    )
    for task in sorted({*old.task_thresholds, *new.task_thresholds}):
        before, after = (point.task_thresholds.get(task, point.threshold) for point in (old, new))
        table.add_row(Text(f"  {task}"), f"{before:.6g}", f"{after:.6g}", f"{after - before:+.6g}")
    for name, change in result.changes.items():
        cells = (
            as_text(getattr(old, name)),
            as_text(getattr(new, name)),
            as_text(change, signed=True),
        )
        table.add_row(name.replace("_", " "), *cells)
    out.print(table, width=_WIDTH, crop=False)
    print_promise(new)
    for sentence in result.notes:
        out.print(sentence, markup=False)
    out.print(f"wrote {out_path}", markup=False)
