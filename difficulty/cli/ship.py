"""``difficulty ship``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from difficulty.cli.console import CachePath, JsonFlag, OutPath, out, print_json, steps
from difficulty.cli.options import CATCH_RATE_HELP, OBJECTIVE_HELP, PER_TASK_HELP
from difficulty.errors import RunError
from difficulty.storage import DEFAULT_CACHE

if TYPE_CHECKING:
    from difficulty.export.parity import ParityReport
    from difficulty.recipe import PolicySettings
    from difficulty.records import Estimate, OperatingPoint
    from difficulty.stages.ship import Shipped
    from difficulty.training.run import Run


def ship(
    run: Annotated[Path, typer.Argument(help="Run folder written by 'difficulty train'.")],
    out_path: OutPath,
    objective: Annotated[
        str | None, typer.Option(help=f"{OBJECTIVE_HELP} Default: the recipe's.")
    ] = None,
    cheap_model: Annotated[
        str | None, typer.Option(help="Name of the cheap model to call; default: the traffic's.")
    ] = None,
    frontier_model: Annotated[
        str | None, typer.Option(help="Name of the frontier model to call; default: the traffic's.")
    ] = None,
    easy_task: Annotated[
        list[str] | None,
        typer.Option(
            help="Task that stays cheap when short; repeat for more. Default: the recipe's."
        ),
    ] = None,
    hard_task: Annotated[
        list[str] | None,
        typer.Option(help="Task that always goes to the frontier model; repeat for more."),
    ] = None,
    max_cheap_tokens: Annotated[
        int | None, typer.Option(min=0, help="Easy tasks shorter than this are not scored.")
    ] = None,
    min_familiarity: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE|recommended",
            help=(
                "Requests less familiar than this go to the frontier model; 0 = off; recommended:"
                " training's. Default: the recipe's."
            ),
        ),
    ] = None,
    per_task: Annotated[
        bool | None, typer.Option("--per-task/--one-threshold", help=PER_TASK_HELP)
    ] = None,
    catch_rate: Annotated[float | None, typer.Option(min=0, max=1, help=CATCH_RATE_HELP)] = None,
    prices: Annotated[
        Path | None, typer.Option(help="Price list (TOML), for the expected cost.")
    ] = None,
    allow_no_signal: Annotated[
        bool,
        typer.Option(
            "--allow-no-signal", help="Ship even a score that routes no better than chance might."
        ),
    ] = False,
    early: Annotated[
        bool | None,
        typer.Option(
            "--early/--no-early",
            help=(
                "Let a small graph decide what is far from the threshold. Default: the recipe's,"
                " which is off."
            ),
        ),
    ] = None,
    int8: Annotated[
        bool | None,
        typer.Option(
            "--int8/--no-int8",
            help=(
                "Make an encoder with float32 weights int8, as far as decisions stay the same."
                " Default: the recipe's, which is off."
            ),
        ),
    ] = None,
    sign_key: Annotated[
        Path | None,
        typer.Option(help="Sign with this private key (PEM), as 'difficulty sign' does."),
    ] = None,
    cache: CachePath = DEFAULT_CACHE,
    json: JsonFlag = False,
) -> None:
    """Export a run to ONNX, check it against the Python model, choose the threshold and write the
    bundle that routers load.

    Example: difficulty ship runs/first -o bundles/support-1 --objective quality=0.9
    """
    from difficulty.bundle.signature import opened
    from difficulty.cli.signing import given_key
    from difficulty.early_exit.cut_offs import exit_sentences
    from difficulty.economics import load_prices
    from difficulty.stages.ship import ship
    from difficulty.training.run import Run

    price_list = load_prices(prices) if prices else None
    finished = Run.read(run)
    least = _min_familiarity(finished, min_familiarity)
    given = {
        "easy_tasks": easy_task,
        "hard_tasks": hard_task,
        "max_cheap_tokens": max_cheap_tokens,
        "min_familiarity": least,
    }
    given |= {"per_task": per_task, "catch_rate": catch_rate}
    policy = _policy(finished, given)
    key = opened(given_key(sign_key)) if sign_key else None  # may ask for a password
    with steps() as say:
        shipped = ship(
            run,
            out_path,
            objective=objective,
            policy=policy,
            models=(cheap_model, frontier_model),
            prices=price_list,
            allow_no_signal=allow_no_signal,
            early=early,
            int8=int8,
            cache=cache,
            sign_with=key,
            progress=say,
        )
    parity, advice = shipped.parity, finished.record.familiarity
    if json:
        print_json(
            {
                "bundle": str(out_path),
                "point": shipped.point.as_dict(),
                "parity": {
                    "n": parity.n,
                    "max_difference": parity.max_difference,
                    "flips": parity.flips,
                    "encoder": parity.encoder,
                },
                "test": {
                    name: estimate.as_dict()
                    for name, estimate in shipped.evaluation.overall.items()
                },
                "familiarity": advice.as_dict() if advice else None,
                "early": _early_form(shipped),
            }
        )
        return
    print_parity(parity)
    print_point(shipped.point, shipped.evaluation.overall)
    for sentence in (*exit_sentences(shipped.evaluation.early, judged="test"), *shipped.notes):
        out.print(sentence, markup=False)
    if advice:
        out.print(advice.sentence, markup=False)
    out.print(f"wrote {out_path}", markup=False)


def _early_form(shipped: Shipped) -> dict[str, Any]:
    """Return what early exit does to the test samples, and what is to be known of it."""
    figures = shipped.evaluation.early
    test = {
        kind: {name: estimate.as_dict() for name, estimate in part.items()}
        for kind, part in figures.items()
    }
    return {"test": test, "notes": list(shipped.notes)}


def print_parity(parity: ParityReport) -> None:
    """Print how far the exported graph is from the Python model."""
    out.print(
        f"graph against Python model: largest difference {parity.max_difference:.1e} on"
        f" {parity.n:,} requests, {parity.flips} flips"
    )
    if parity.encoder:
        out.print(f"encoder: {parity.encoder}", markup=False)


def print_point(point: OperatingPoint, test: Mapping[str, Estimate] | None = None) -> None:
    """Print an operating point: what was expected when it was chosen and, where known, what the
    test samples say.
    """
    from rich.table import Table

    from difficulty.report.wording import as_text
    from difficulty.thresholds.point import EXPECTED

    out.print(f"threshold {point.threshold:.6g}, chosen by {point.objective}", markup=False)
    for task, threshold in point.task_thresholds.items():
        out.print(f"  {task}: threshold {threshold:.6g}", markup=False)
    table = Table(
        "", "expected (calibration)", *(["test"] if test else []), box=None, pad_edge=False
    )
    for name in EXPECTED:
        if name != "fallback_share" or point.fallback_share.value is not None:
            label = "cost, USD per 1,000" if name == "cost" else name.replace("_", " ")
            table.add_row(
                label, as_text(getattr(point, name)), *([as_text(test.get(name))] if test else [])
            )
    out.print(table)
    print_promise(point)


def print_promise(point: OperatingPoint) -> None:
    """Print what is guaranteed of a point, what it rests on, and how many samples would tell
    more.
    """
    if point.guarantee:
        out.print(f"guaranteed: {point.guarantee}", markup=False)
    out.print(f"assumed: {'; '.join(point.assumed)}", markup=False)
    if point.n_to_halve:
        out.print(f"about {point.n_to_halve:,} samples would make these intervals half as wide")


def _min_familiarity(run: Run, given: str | None) -> float | str | None:
    """Return the least familiarity that was asked for; ``recommended`` stands for the run's
    recommendation.
    """
    if given != "recommended":
        return given
    advice = run.record.familiarity
    if not advice:
        raise RunError(
            "a recommended min_familiarity needs a run in which tasks were left out:"
            f" {str(run.folder)!r} is none. Train without --no-unseen-tasks, or pass a number."
        )
    return advice.recommended


def _policy(run: Run, given: Mapping[str, Any]) -> PolicySettings | None:
    """Return the recipe's policy with what the command line changes; ``None`` for no change."""
    from difficulty.recipe import parse_recipe

    changes = {name: value for name, value in given.items() if value is not None}
    recipe = run.recipe.as_dict()
    return (
        parse_recipe({**recipe, "policy": {**recipe["policy"], **changes}}, name="options").policy
        if changes
        else None
    )
