"""``difficulty economics``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from difficulty.cli.console import JsonFlag, out, print_json, steps


def economics(
    traffic: Annotated[Path, typer.Option(help="File written by 'difficulty ingest'.")],
    prices: Annotated[
        Path, typer.Option(help="Price list (TOML); data/prices.example.toml is one to fill in.")
    ],
    bundle: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Bundle whose score says which requests are simplest; default: requests are taken"
                " at random."
            )
        ),
    ] = None,
    share: Annotated[
        float,
        typer.Option(help="Share of the requests to keep on the cheap model, the simplest ones."),
    ] = 0.3,
    requests_per_month: Annotated[
        str | None,
        typer.Option(
            metavar="N|LOW-HIGH",
            help="Requests a month. Default: the price list's, else what the timestamps give.",
        ),
    ] = None,
    catch_rate: Annotated[
        float | None,
        typer.Option(
            help=(
                "Share of the cheap model's failures that validation catches. Default: the"
                " policy's."
            )
        ),
    ] = None,
    latency_critical: Annotated[
        bool | None,
        typer.Option(
            "--latency-critical/--not-latency-critical",
            help="Whether no request may wait for a cold start.",
        ),
    ] = None,
    compliance: Annotated[
        Literal["own-hardware", "own-cloud", "any"] | None,
        typer.Option(help="Where requests to the cheap model may go."),
    ] = None,
    max_quality_loss: Annotated[
        float | None, typer.Option(help="Fall of the mean quality that is tolerated, in [0, 1].")
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Bootstrap draws of the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    out_path: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for economics.json.", show_default=False),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Say whether routing pays for this team: spend today, savings under four ways to host,
    break-even, and when it does not pay.

    Example: difficulty economics --traffic traffic.parquet --prices prices.toml --bundle
    bundles/support-1 --requests-per-month 200000-300000
    """
    from difficulty.economics import load_price_list
    from difficulty.economics.conditions import Answers
    from difficulty.economics.usage import parse_volume
    from difficulty.metrics import Resampling
    from difficulty.report.console import economics_table
    from difficulty.stages.economics import Question, weigh_up, write_economics

    answers = Answers(
        catch_rate=catch_rate,
        latency_critical=latency_critical,
        compliance=compliance,
        max_quality_loss=max_quality_loss,
    )
    volume = parse_volume(requests_per_month) if requests_per_month else None
    question = Question(
        share=share, volume=volume, answers=answers, resampling=Resampling(draws, seed)
    )
    with steps() as say:
        say("weighing up")
        made = weigh_up(traffic, load_price_list(prices), question, bundle_path=bundle)
    if out_path is not None:
        out_path.mkdir(parents=True, exist_ok=True)
        write_economics(made, out_path / "economics.json")
    if json:
        print_json(made.as_dict())
    else:
        out.print(economics_table(made))
        if out_path is not None:
            out.print(f"wrote {out_path / 'economics.json'}", markup=False)
    if made.verdict.answer != "build":
        raise typer.Exit(1)
