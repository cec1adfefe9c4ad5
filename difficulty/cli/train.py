"""``difficulty train``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from difficulty.cli.console import (
    CachePath,
    DetailsFlag,
    EngineName,
    EngineWorkers,
    ExperimentName,
    JsonFlag,
    OutPath,
    RayAddress,
    TrackingFlag,
    TrackingUri,
    TrafficPath,
    chosen_engine,
    open_tracker,
    print_json,
    say,
    say_figures,
    say_remedy,
    say_report,
    say_sentence,
    say_ship,
    say_tracked,
    show_table,
    steps,
    tracked_entry,
    warn,
)
from difficulty.storage import DEFAULT_CACHE
from difficulty.text import quantity_text

if TYPE_CHECKING:
    from difficulty.evaluation import Evaluation
    from difficulty.recipe import Recipe
    from difficulty.training.run import Run, SearchRecord


def train(
    traffic: TrafficPath,
    out_path: OutPath,
    recipe: Annotated[
        str | None, typer.Option(help="A shipped recipe's name, or a TOML file; default: fast.")
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Run of another model pair to start from, with its recipe unless --recipe is"
                " given. On requests that it saw, answered by another cheap model, the check of"
                " answers is carried over."
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
        typer.Option(
            help="JSON lines or Parquet of requests without labels, for the teacher to judge."
        ),
    ] = None,
    cache: CachePath = DEFAULT_CACHE,
    engine: EngineName = None,
    address: RayAddress = None,
    workers: EngineWorkers = None,
    spread_heads: Annotated[
        bool,
        typer.Option(
            "--spread-heads",
            help="Have --engine hold the n-grams of 32,768 requests or more while heads are"
            " fitted on them; see docs/ray.md.",
        ),
    ] = False,
    spread_tuning: Annotated[
        bool,
        typer.Option(
            "--spread-tuning",
            help="Have the workers of --engine ray fine-tune the encoder together, each with a"
            " part of every batch; see docs/ray.md.",
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on from the parts that a training of the same traffic left when it was"
            " stopped.",
        ),
    ] = False,
    tracking: TrackingFlag = None,
    tracking_uri: TrackingUri = None,
    experiment: ExperimentName = "difficulty",
    details: DetailsFlag = False,
    json: JsonFlag = False,
) -> None:
    """Fit a difficulty model on ingested traffic and judge it on held-out requests.

    Example: difficulty train traffic.parquet -o runs/first
    """
    from difficulty.channels.ngram_products import fitting_on
    from difficulty.channels.shards import LARGE
    from difficulty.encoders.finetune import tuning_on
    from difficulty.engine import open_engine
    from difficulty.stages.train import train
    from difficulty.training.run import Run
    from difficulty.training.shipped import find_encoder, find_recipe

    if spread_heads and engine is None:
        raise typer.BadParameter("is for --engine", param_hint="--spread-heads")
    if spread_tuning and engine != "ray":
        raise typer.BadParameter("is for --engine ray", param_hint="--spread-tuning")
    start = Run.read(start_from) if start_from else None
    from_start = start if not recipe else None  # a recipe of its own has an encoder of its own
    chosen = _change_recipe(
        from_start.recipe if from_start else find_recipe(recipe or "fast"),
        target=target,
        accept_selection_bias=accept_selection_bias,
    )
    # Before training takes its time: a store that cannot be used is said at once.
    tracker = open_tracker(tracking, tracking_uri, experiment, begins=True)
    # Large traffic is read by a process a core, whatever engine embeds it.
    with (
        chosen_engine(engine, address, workers) as spread,
        open_engine() as local,
        fitting_on(spread if spread_heads else None),
        tuning_on(spread if spread_tuning else None),
        steps() as show,
    ):
        show("finding the encoder")
        find = partial(find_encoder, cache=cache, progress=_show_embedding(show), engine=spread)
        run, evaluation = train(
            traffic,
            out_path,
            recipe=chosen,
            encoder=from_start.encoder if from_start else find(chosen.features),
            find=find,
            start=start,
            teacher=Run.read(teacher) if teacher else None,
            unlabelled=unlabelled,
            cache=cache,
            more_labels=more_labels,
            unseen_tasks=unseen_tasks,
            tracker=tracker,
            engine=spread or local,
            resume=resume,
            progress=show,
        )
    if spread_heads and run.record.samples.fit < LARGE:
        warn(
            f"--spread-heads did nothing: heads are spread from {LARGE:,} fit samples on, and there"
            f" are {run.record.samples.fit:,}"
        )
    if json:
        print_json(_entries(run, evaluation) | {"tracking": tracked_entry(tracker)})
    else:
        print_run(run, evaluation, start_from, details=details)
        say_tracked(tracker)
        _say_step(run, traffic)


def _change_recipe(recipe: Recipe, *, target: str | None, accept_selection_bias: bool) -> Recipe:
    """Return a recipe with what the command line changes."""
    from difficulty.recipe import parse_recipe

    if target:
        recipe = parse_recipe({**recipe.as_dict(), "target": target}, name="--target")
    if accept_selection_bias:
        recipe = replace(recipe, labels=replace(recipe.labels, accept_selection_bias=True))
    return recipe


def _entries(run: Run, evaluation: Evaluation) -> dict[str, Any]:
    """Return what ``--json`` prints of a run."""
    record = run.record
    parts = {
        "reading": record.reading,
        "familiarity": record.familiarity,
        "search": record.search,
        "learning_curve": run.learning_curve,
    }
    return {
        "run": str(run.folder),
        "target": run.model.target,
        "samples": record.samples.as_dict(),
        "metrics": evaluation.as_dict(),
        **{name: part.as_dict() if part else None for name, part in parts.items()},
    }


def print_run(
    run: Run, evaluation: Evaluation, start_from: Path | None = None, *, details: bool
) -> None:
    """Print how good the score is, the figures that say so, and what would make it better; all
    tables with ``details``.
    """
    from difficulty.evaluation.decision.order import order_text
    from difficulty.report.figures_table import evaluation_table

    record, samples = run.record, run.record.samples
    say_sentence(order_text(evaluation.overall))
    say_sentence(
        f"target {run.model.target}; {samples.fit:,} fit, {samples.calibration:,} calibration,"
        f" {quantity_text(samples.test, 'test sample')}"
    )
    if samples.aside:
        again = record.start is not None and record.start.asks_again
        seen = f", or seen by {start_from}{' and to be tested on' * again}" if start_from else ""
        say_sentence(
            f"{quantity_text(samples.aside, 'sample')} set aside: equal texts, or nearly equal"
            f" ones, stand in two splits{seen}"
        )
    if record.start and record.start.asks_again:
        say_sentence(
            f"{quantity_text(record.start.seen, 'request is', 'requests are')} known to"
            f" {start_from} with another cheap model:"
            " the score was learned anew, the check of answers starts from that run's; the test"
            " samples are new to both"
        )
    for note in record.logged.notes if record.logged else ():
        warn(note)
    if record.search:
        if details:
            show_table(search_table(record.search))
        else:
            _say_search(record.search)
    if details:
        show_table(evaluation_table(evaluation))
    else:
        say_figures(evaluation)
        signal = record.signal
        if signal and signal.verdict == "clear" and _is_chance(evaluation):
            say_sentence(
                f"On all {quantity_text(signal.n, 'sample')} scored without having been seen it can"
                f" (p = {signal.p_value:.2g}): the test samples alone are too few to show it"
            )
    for sentence in _learned(run, details=details):
        say_sentence(sentence)
    if details:
        say(f"wrote {run.folder}")
    else:
        say_report(run.folder, ("metrics.json",), evaluation)


def _is_chance(evaluation: Evaluation) -> bool:
    """Return whether the test samples alone do not tell the score from chance."""
    return any(finding.name == "no_signal" for finding in evaluation.findings)


def _say_step(run: Run, traffic: Path) -> None:
    """Print what comes next: shipping, or what brings a signal where there is none to ship."""
    from difficulty.evaluation.decision.remedies import remedy_of
    from difficulty.stages.deploying.shippable import check_carries_signal

    record = run.record
    if record.signal is None or record.signal.verdict != "none":
        say_ship(run.folder)
    elif check_carries_signal(run):
        say_ship(run.folder, "what is shipped rests on the check of answers alone")
    else:
        models = {"CHEAP": record.cheap_model, "FRONTIER": record.frontier_model}
        say_remedy(remedy_of("no_signal").command, models, traffic=traffic)


def _learned(run: Run, *, details: bool) -> Iterator[str]:
    """Yield what else was learned, and what would make the score better."""
    record, tasks = run.record, run.recipe.features.tasks
    if tasks and run.model.tasks is None:
        yield (
            f"fewer than two tasks with {tasks.least_samples:,} samples: the score reads the text"
            " alone"
        )
    # With details it stands among the notes.
    if record.signal and not details:
        yield from (f"warning: {note}" for note in record.signal.notes)
    if record.answer:
        yield record.answer.sentence
    if run.learning_curve:
        yield run.learning_curve.sentence
    # Where nothing is to be set, shipping says so.
    if record.familiarity and (details or record.familiarity.recommended):
        yield record.familiarity.sentence
    suspicious = record.labels.suspicious if record.labels else None
    if suspicious and any(suspicious.as_dict().values()):
        alone = f", {suspicious.row:,} by themselves" if suspicious.row else ""
        yield (
            f"suspicious labels: {quantity_text(suspicious.task, 'sample')} by their task,"
            f" {suspicious.region:,}"
            f" by region{alone}: suspicious.jsonl"
        )


def _say_search(search: SearchRecord) -> None:
    """Print what the search chose, in a sentence."""
    chosen = next((candidate for candidate in search.tried if candidate.chosen), None)
    value = f" with an inner {search.figure.upper()} of {chosen.value:.3f}" if chosen else ""
    untried = f"; {len(search.untried)} untried for want of time" if search.untried else ""
    say_sentence(
        f"search: {search.chosen}{value}, of {quantity_text(len(search.tried), 'candidate')}"
        " tried in"
        f" {search.seconds:.0f} s{untried}"
    )


def _show_embedding(show: Callable[[str], None]) -> Callable[[int, int], None]:
    return lambda done, total: show(f"embedding: {done:,} of {total:,} requests")


def search_table(search: SearchRecord, *, most: int = 8) -> RenderableType:
    """Return the ``most`` best candidates, the chosen one, and what was left untried."""
    ranked = sorted(search.tried, key=lambda candidate: candidate.behind_best)
    table = Table(
        "tried",
        f"inner {search.figure.upper()}",
        "behind the best (standard error)",
        title="search",
        title_justify="left",
    )
    for place, candidate in enumerate(ranked):
        if place >= most and not candidate.chosen:
            continue
        value = f"{candidate.value:.3f} [{candidate.low:.3f}, {candidate.high:.3f}]"
        behind = (
            "best"
            if candidate.name == search.best
            else f"{candidate.behind_best:.3f} ({candidate.standard_error:.3f})"
        )
        mark, style = ("  <- chosen", "bold") if candidate.chosen else ("", None)
        table.add_row(Text(f"{candidate.name}{mark}"), Text(value), behind, style=style)
    text = (
        f"{quantity_text(len(ranked), 'candidate')} tried in {search.seconds:.0f} s; chosen is"
        " the simplest within"
        " one standard error of the best."
    )
    if compared := search.compared:
        text += (
            f" What recipe {compared.first} reads has {compared.first_value:.3f}, what"
            f" {compared.second} reads {compared.second_value:.3f}: {compared.ahead:+.3f}"
            f" (standard error {compared.standard_error:.3f})."
        )
    for reason in search.missing:
        text += f" Not tried, for it is not there: encoder {reason}"
    if search.untried:
        text += (
            f" Left untried for want of time ({search.minutes:g} minutes): {len(search.untried)},"
            " see run.json."
        )
    return Group(table, Text(text), Text(search.note))
