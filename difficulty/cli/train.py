"""``difficulty train``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from difficulty.cli.console import CachePath, JsonFlag, OutPath, err, out, print_json, steps
from difficulty.storage import DEFAULT_CACHE

if TYPE_CHECKING:
    from difficulty.evaluation import Evaluation
    from difficulty.stages.train import Tracker
    from difficulty.training.record import SearchRecord
    from difficulty.training.run import Run


def train(
    traffic: Annotated[Path, typer.Argument(help="File written by 'difficulty ingest'.")],
    out_path: OutPath,
    recipe: Annotated[
        str | None, typer.Option(help="A shipped recipe's name, or a TOML file; default: fast.")
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Run of another model pair to start from, with its recipe unless --recipe is given."
            )
        ),
    ] = None,
    more_labels: Annotated[bool, typer.Option(help="Measure what more labels would bring.")] = True,
    unseen_tasks: Annotated[
        bool,
        typer.Option(help="Leave tasks out in turn, to recommend a --min-familiarity for 'ship'."),
    ] = True,
    target: Annotated[
        str | None, typer.Option(help="benefit, failure or auto; default: the recipe's.")
    ] = None,
    accept_selection_bias: Annotated[
        bool,
        typer.Option(
            "--accept-selection-bias",
            help="Learn from outcomes seen only where a policy without propensities chose to look.",
        ),
    ] = False,
    teacher: Annotated[
        Path | None,
        typer.Option(help="Run that recipe distilled learns from, trained on the same traffic."),
    ] = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option(help="JSON lines of requests without labels, for the teacher to judge."),
    ] = None,
    cache: CachePath = DEFAULT_CACHE,
    tracking: Annotated[bool, typer.Option(help="Record the run in MLflow.")] = True,
    tracking_uri: Annotated[
        str,
        typer.Option(
            envvar="MLFLOW_TRACKING_URI",
            help="Where MLflow records; by default a file in this folder.",
        ),
    ] = "sqlite:///mlflow.db",
    experiment: Annotated[str, typer.Option(help="MLflow experiment.")] = "difficulty",
    json: JsonFlag = False,
) -> None:
    """Fit a difficulty model on ingested traffic and judge it on held-out requests.

    Example: difficulty train traffic.parquet -o runs/first
    """
    from difficulty.recipe import parse_recipe
    from difficulty.stages.train import train
    from difficulty.training.run import Run
    from difficulty.training.shipped import find_encoder, find_recipe

    start = Run.read(start_from) if start_from else None
    chosen = start.recipe if start and not recipe else find_recipe(recipe or "fast")
    if target:
        chosen = parse_recipe({**chosen.as_dict(), "target": target}, name="--target")
    if accept_selection_bias:
        labels = replace(chosen.labels, accept_selection_bias=True)
        chosen = replace(chosen, labels=labels)
    tracker = _tracker(tracking_uri, experiment) if tracking else None
    with steps() as say:
        say("finding the encoder")
        encoder = (
            start.encoder
            if start and not recipe
            else find_encoder(chosen.features, cache=cache, progress=_embedding(say))
        )
        run, evaluation = train(
            traffic,
            out_path,
            recipe=chosen,
            encoder=encoder,
            find=partial(find_encoder, cache=cache, progress=_embedding(say)),
            start=start,
            teacher=Run.read(teacher) if teacher else None,
            unlabelled=unlabelled,
            cache=cache,
            more_labels=more_labels,
            unseen_tasks=unseen_tasks,
            tracker=tracker,
            progress=say,
        )
    record = run.record
    if json:
        form: dict[str, Any] = {
            "run": str(run.folder),
            "target": run.model.target,
            "samples": record.samples.as_dict(),
            "metrics": evaluation.as_dict(),
        }
        for name in ("reading", "familiarity", "search"):
            form[name] = part.as_dict() if (part := getattr(record, name)) else None
        curve = run.learning_curve
        print_json(form | {"learning_curve": curve.as_dict() if curve else None})
        return
    _print_run(run, evaluation, start_from)


def _print_run(run: Run, evaluation: Evaluation, start_from: Path | None) -> None:
    """Print what became of the samples, the test figures, and what is to be known of them."""
    from difficulty.report.console import evaluation_table

    record, samples = run.record, run.record.samples
    out.print(
        f"target {run.model.target}; {samples.fit:,} fit, {samples.calibration:,}"
        f" calibration, {samples.test:,} test samples"
    )
    if samples.aside:
        seen = f", or seen by {start_from}" if start_from else ""
        out.print(
            f"{samples.aside:,} samples set aside: near-duplicates of samples in two splits{seen}",
            markup=False,
        )
    for note in record.logged.notes if record.logged else ():
        err.print(f"warning: {note}", markup=False)
    if record.search:
        out.print(search_table(record.search))
    out.print(evaluation_table(evaluation))
    if curve := run.learning_curve:
        out.print(curve.sentence, markup=False)
    if record.familiarity:
        out.print(record.familiarity.sentence, markup=False)
    if record.labels and any(record.labels.suspicious.as_dict().values()):
        suspicious = record.labels.suspicious
        out.print(
            f"suspicious labels: {suspicious.task:,} samples by their task, {suspicious.region:,}"
            f" by region, {suspicious.row:,} by themselves: suspicious.jsonl"
        )
    out.print(f"wrote {run.folder}", markup=False)


def _embedding(say: Callable[[str], None]) -> Callable[[int, int], None]:
    return lambda done, total: say(f"embedding: {done:,} of {total:,} requests")


def _tracker(uri: str, experiment: str) -> Tracker:
    from difficulty.integrations.mlflow import MlflowTracker

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table it makes
    return MlflowTracker(
        uri, experiment=experiment, artifacts=Path("mlruns") if uri.startswith("sqlite:") else None
    )


def search_table(report: SearchRecord, *, most: int = 8) -> RenderableType:
    """Return a search's report as a table of the best candidates and the chosen one, with a line on
    what was left untried.

    Parameters
    ----------
    report : SearchRecord
    most : int, default 8
        Candidates shown.
    """
    ranked = sorted(report.tried, key=lambda entry: entry.behind_best)
    shown = [entry for place, entry in enumerate(ranked) if place < most or entry.chosen]
    figure = report.figure.upper()
    table = Table(
        "tried",
        f"inner {figure}",
        "behind the best (standard error)",
        title="search",
        title_justify="left",
    )
    for entry in shown:
        value = f"{entry.value:.3f} [{entry.low:.3f}, {entry.high:.3f}]"
        behind = (
            "best"
            if entry.name == report.best
            else f"{entry.behind_best:.3f} ({entry.standard_error:.3f})"
        )
        name = f"{entry.name}{'  <- chosen' if entry.chosen else ''}"
        table.add_row(Text(name), Text(value), behind, style="bold" if entry.chosen else None)
    tried, untried = len(ranked), report.untried
    counted = (
        f"{tried} candidates tried in {report.seconds:.0f} s; chosen is the simplest within one"
        " standard error of the best."
    )
    missed = (
        f" Left untried for want of time ({report.minutes:g} minutes): {len(untried)}, see"
        " run.json."
        if untried
        else ""
    )
    return Group(table, Text(counted + missed), Text(report.note))
