"""``difficulty evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from difficulty.cli.console import CachePath, JsonFlag, OutPath, out, print_json, steps
from difficulty.storage import DEFAULT_CACHE

if TYPE_CHECKING:
    from difficulty.stages.evaluate import Judgement


def evaluate(
    scorer: Annotated[Path, typer.Argument(help="Run or bundle folder.")],
    traffic: Annotated[Path, typer.Argument(help="File written by 'difficulty ingest'.")],
    out_path: OutPath,
    prices: Annotated[
        Path | None,
        typer.Option(help="Price list (TOML), for cost; with ways to host, also whether it pays."),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Bootstrap draws of the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    cache: CachePath = DEFAULT_CACHE,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Exit with 1 when an honesty check finds an error or a warning."
        ),
    ] = False,
    show_texts: Annotated[
        bool, typer.Option("--show-texts", help="Show texts of the worst mistakes in the report.")
    ] = False,
    economics: Annotated[
        Path | None,
        typer.Option(
            help="economics.json of 'difficulty economics -o', shown in the report instead."
        ),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Judge a run or a bundle on labelled traffic: every figure with its interval, by slice and
    beside baselines, and a report of it.

    Example: difficulty evaluate bundles/support-1 traffic.parquet -o report
    """
    from difficulty.economics import load_price_list
    from difficulty.evaluation.findings import failing
    from difficulty.metrics import Resampling
    from difficulty.stages.evaluate import evaluate_scorer

    price_list = load_price_list(prices, both_models=True) if prices else None
    with steps() as say:
        say("reading")
        result = evaluate_scorer(
            scorer,
            traffic,
            out_path,
            prices=price_list,
            cache=cache,
            resampling=Resampling(draws, seed),
            show_texts=show_texts,
            economics=economics,
            progress=say,
        )
    if json:
        print_json(
            {
                "judged": result.judged,
                "left_out": result.left_out,
                "note": result.note,
                **result.evaluation.as_dict(),
            }
        )
    else:
        _print(result, out_path)
    if strict and failing(result.evaluation.findings):
        raise typer.Exit(1)


def _print(result: Judgement, out_path: Path) -> None:
    """Print the tables, and what was written where."""
    from difficulty.report.console import evaluation_table

    out.print(f"{result.judged:,} samples judged. {result.note}")
    out.print(evaluation_table(result.evaluation))
    out.print(f"wrote {', '.join(str(out_path / name) for name in result.written)}", markup=False)
