"""``difficulty demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from difficulty.cli.console import out, steps
from difficulty.cli.ingest import print_summary
from difficulty.cli.scoring import print_decision
from difficulty.cli.ship import print_parity, print_point

_REQUESTS = (
    (
        "Which label fits this ticket: billing, delivery or login? 'I was charged twice in May.'",
        "classify",
    ),
    ("Reply in one sentence: what is a purchase order?", "question answering"),
    (
        (
            "Compare three carriers on price, speed and emissions for 14 lanes, state each"
            " assumption, then write the contract terms."
        ),
        None,
    ),
    (
        "Plan the move of our warehouse to Lyon in four phases with owners, risks and a rollback.",
        "multi-step planning",
    ),
)


def demo(
    out_path: Annotated[
        Path, typer.Option("--out", "-o", help="Folder to write; must not exist.")
    ] = Path("demo-out"),
) -> None:
    """The whole journey on the shipped sample traffic: ingest, train, ship, evaluate, verify and
    route, in under a minute.

    Example: difficulty demo -o demo-out
    """
    from difficulty.economics import load_price_list
    from difficulty.errors import RunError
    from difficulty.report.console import evaluation_table
    from difficulty.request import Request, RequestRow
    from difficulty.runtime import Router
    from difficulty.runtime.service import route_rows
    from difficulty.stages.evaluate import evaluate_scorer
    from difficulty.stages.ingest import ingest
    from difficulty.stages.ship import ship
    from difficulty.stages.train import train
    from difficulty.stages.verify import verify
    from difficulty.training.shipped import find_encoder, find_recipe, shipped_file

    if out_path.exists():
        raise RunError(
            f"demo folder {str(out_path)!r} exists already. Remove it, or choose another with -o."
        )
    recipe, prices = (
        find_recipe("fast"),
        load_price_list(shipped_file("data/prices.example.toml"), both_models=True),
    )
    traffic, run, bundle, report = (
        out_path / name for name in ("traffic.parquet", "run", "sample-1", "report")
    )

    _say(f"difficulty ingest data/sample.jsonl.gz -o {traffic}")
    print_summary(ingest([shipped_file("data/sample.jsonl.gz")], traffic))

    _say(f"difficulty train {traffic} -o {run} --no-more-labels --no-unseen-tasks")
    with steps() as say:
        encoder = find_encoder(recipe.features)
        _, evaluation = train(
            traffic,
            run,
            recipe=recipe,
            encoder=encoder,
            more_labels=False,
            unseen_tasks=False,
            progress=say,
        )
    out.print(evaluation_table(evaluation))

    _say(f"difficulty ship {run} -o {bundle} --prices data/prices.example.toml")
    with steps() as say:
        shipped = ship(run, bundle, prices=prices.per_token, progress=say)
    print_parity(shipped.parity)
    print_point(shipped.point, shipped.evaluation.overall)

    _say(f"difficulty verify {bundle}")
    out.print(f"{verify(bundle).golden} golden vectors reproduced")

    _say(f"difficulty evaluate {bundle} {traffic} -o {report} --prices data/prices.example.toml")
    with steps() as say:
        say("judging")
        evaluate_scorer(bundle, traffic, report, prices=prices)
    out.print(
        "judged on the test samples: what the threshold does, what it saves and how sure that is"
        " stands in the report"
    )

    _say(f"difficulty route {bundle} ...")
    rows = [
        RequestRow(str(number), Request(text, task))
        for number, (text, task) in enumerate(_REQUESTS, 1)
    ]
    for row, decision in zip(rows, route_rows(Router.load(bundle), rows), strict=True):
        out.print(
            f"{row.request.messages}"
            + (f"  [task: {row.request.task}]" if row.request.task else ""),
            markup=False,
        )
        out.print("  ", end="")
        print_decision(decision)
    out.print(f"\nreport for people: {report / 'report.html'}", markup=False)
    out.print(
        "The sample is synthetic: its figures say nothing about real models. Next: your own"
        " traffic, see docs/traffic.md."
    )


def _say(command: str) -> None:
    out.print(f"\n$ {command}", style="bold", markup=False)
