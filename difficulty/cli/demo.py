"""``difficulty demo``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from difficulty.cli.console import out, say, say_figures, say_report, say_sentence, steps
from difficulty.cli.ingest import print_summary
from difficulty.cli.scoring import print_decision, print_verdict_on
from difficulty.cli.ship import print_shipped
from difficulty.cli.train import print_run
from difficulty.storage import refuse_existing
from difficulty.text import quantity_text

if TYPE_CHECKING:
    from difficulty.economics.prices import PriceList
    from difficulty.recipe import Recipe
    from difficulty.runtime import Router

_REQUESTS = (
    (
        "Which label fits this ticket: billing, delivery or login? 'I was charged twice in May.'",
        "classify",
    ),
    ("Reply in one sentence: what is a purchase order?", "question answering"),
    (
        "Compare three carriers on price, speed and emissions for 14 lanes, state each assumption,"
        " then write the contract terms.",
        None,
    ),
    (
        "Plan the move of our warehouse to Lyon in four phases with owners, risks and a rollback.",
        "multi-step planning",
    ),
)

_ASKED = "A crate holds 12 boxes of 23 pens. How many pens are in the crate?"
_ANSWERS = ("12 * 23 = 276, so the answer is 276.", "12 * 23 = 296, so the answer is 296.")

_REQUESTS_A_MONTH = 2_000_000
"""What the made-up team of the example prices would send."""
_EASY, _HARD = ("classify", "extract", "summarize"), ("multi-step planning",)
"""The tasks of the rule: what the company of the sample traffic knows of its requests."""


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
    from difficulty.runtime import Router
    from difficulty.stages.verify import verify
    from difficulty.training.shipped import find_recipe, shipped_file

    refuse_existing(out_path, what="demo folder")
    recipe = find_recipe("fast")
    prices = load_price_list(shipped_file("data/prices.example.toml"), both_models=True)
    traffic, run, bundle, report = (
        out_path / name for name in ("traffic.parquet", "run", "sample-1", "report")
    )
    # Each step calls the function that the command of that name calls.
    _ingest(shipped_file("data/sample.jsonl.gz"), traffic)
    _train(traffic, run, recipe)
    _ship(run, bundle, recipe, prices)
    _announce(f"verify {bundle}")
    say(f"{quantity_text(verify(bundle).golden, 'golden vector')} reproduced")
    _evaluate(bundle, traffic, report, prices)
    router = Router.load(bundle)
    _route(router, bundle)
    _check_answers(router)
    say(f"\nreport for people: {report / 'report.html'}")
    say(
        "The sample is synthetic: its figures say nothing about real models. Next: your own"
        " traffic, see docs/traffic.md."
    )


def _ingest(sample: Path, traffic: Path) -> None:
    from difficulty.stages.ingest import ingest

    _announce(f"ingest data/sample.jsonl.gz -o {traffic}")
    print_summary(ingest([sample], traffic))


def _train(traffic: Path, run: Path, recipe: Recipe) -> None:
    from difficulty.stages.train import train
    from difficulty.training.shipped import find_encoder

    # What takes minutes and a first look does not need is left out: the demo ends within one.
    _announce(f"train {traffic} -o {run} --no-more-labels --no-unseen-tasks")
    with steps() as show:
        trained, evaluation = train(
            traffic,
            run,
            recipe=recipe,
            encoder=find_encoder(recipe.features),
            more_labels=False,
            unseen_tasks=False,
            progress=show,
        )
    print_run(trained, evaluation, details=False)


def _ship(run: Path, bundle: Path, recipe: Recipe, prices: PriceList) -> None:
    from difficulty.stages.ship import ship

    easy, hard = (
        " ".join(f"--{kind}-task {quote(task)}" for task in tasks)
        for kind, tasks in (("easy", _EASY), ("hard", _HARD))
    )
    _announce(f"ship {run} -o {bundle} {easy} {hard} --prices data/prices.example.toml")
    rules = replace(recipe.policy, easy_tasks=_EASY, hard_tasks=_HARD)
    with steps() as show:
        shipped = ship(run, bundle, policy=rules, prices=prices.per_token, progress=show)
    print_shipped(shipped, details=False)


def _evaluate(bundle: Path, traffic: Path, report: Path, prices: PriceList) -> None:
    from difficulty.economics.usage import Volume
    from difficulty.report.figures_table import decision_text
    from difficulty.stages.evaluate import evaluate_scorer

    _announce(
        f"evaluate {bundle} {traffic} -o {report} --prices data/prices.example.toml"
        f" --requests-per-month {_REQUESTS_A_MONTH}"
    )
    with steps() as show:
        show("judging")
        volume = Volume(_REQUESTS_A_MONTH, _REQUESTS_A_MONTH)
        judged = evaluate_scorer(bundle, traffic, report, prices=prices, volume=volume)
    assert judged.evaluation.verdict is not None  # of a bundle there is one
    say_sentence(decision_text(judged.evaluation.verdict))
    say_figures(judged.evaluation)
    say_report(report, judged.written, judged.evaluation)


def _route(router: Router, bundle: Path) -> None:
    from difficulty.request import Request, RequestRow
    from difficulty.runtime.service import route_rows

    _announce(f"route {bundle} ...")
    rows = [
        RequestRow(str(number), Request(text, task))
        for number, (text, task) in enumerate(_REQUESTS, 1)
    ]
    for (text, task), decision in zip(_REQUESTS, route_rows(router, rows), strict=True):
        say(f"{text}  [task: {task}]" if task else text)
        say("  ", end="")
        print_decision(decision, router.policy)


def _check_answers(router: Router) -> None:
    out.print(
        "\nwhat the cheap model answers is checked: router.check(request, answer)", style="bold"
    )
    say(_ASKED)
    for answer in _ANSWERS:
        print_verdict_on(answer, router.check(_ASKED, answer), router.policy)


def _announce(command: str) -> None:
    """Print the command that does the same as what follows."""
    out.print(f"\n$ difficulty {command}", style="bold", markup=False)
