"""What commands share: the two consoles, output for machines and people, and options."""

from __future__ import annotations

import json
import logging
import re
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.text import Text

from difficulty.errors import OutputExistsError, UnknownNameError
from difficulty.kinds import PathKind, free_name, kind_of
from difficulty.storage import named, refuse_existing
from difficulty.text import one_line, visible

if TYPE_CHECKING:
    from difficulty.engine import Engine
    from difficulty.evaluation import Evaluation
    from difficulty.integrations.mlflow import MlflowTracker
    from difficulty.thresholds.ways import WayWanted


class _PlainConsole(Console):
    """A console that shows control characters and never sends them: names of tasks, models and
    files, and messages about them, come from data.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield what is printed; what rich itself sends to move the cursor is marked as such."""
        for text, style, control in super().render(renderable, options):
            # Where a copy lies is nobody's matter: its URL is what was typed.
            yield Segment(text if control else visible(named(text)), style, control)


# Nothing is wrapped or coloured by guess: paths and ids are to be copied, and piped.
out = _PlainConsole(highlight=False, emoji=False, soft_wrap=True)
err = _PlainConsole(stderr=True, highlight=False, emoji=False, soft_wrap=True)

_EVERY_SECONDS = 60.0
"""Between lines of progress where there is no terminal."""
_LOCAL_STORE_FILE = "mlflow.db"
_LOCAL_STORE = f"sqlite:///{_LOCAL_STORE_FILE}"
TABLE_WIDTH = 120
"""Of wide tables where no terminal says how wide it is: wrapped names cannot be copied, and wrapped
intervals not compared.
"""


def _read_draws(draws: int) -> int:
    from difficulty.metrics.bootstrap import enough_draws

    return enough_draws(draws, subject="--draws")


JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
OutPath = Annotated[Path, typer.Option("--out", "-o", help="Where to write.", show_default=False)]
RowsPath = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Where to write JSON lines; default: standard output."),
]
DetailsFlag = Annotated[
    bool,
    typer.Option(
        "--details", help="Print every table too; default: the result and what to do about it."
    ),
]
OverwriteFlag = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is at -o already; default: refuse.")
]
InputPath = Annotated[
    Path | None,
    typer.Option(
        "--input",
        help="JSON lines, Parquet, CSV or a saved dataset with messages or prompt; - for standard"
        " input (JSON lines).",
    ),
]
CachePath = Annotated[
    Path,
    typer.Option(
        "--cache",
        envvar="DIFFICULTY_CACHE",
        show_default="~/.cache/difficulty",
        help="Where converted encoders and embeddings are kept.",
    ),
]
BundlePath = Annotated[Path, typer.Argument(help="Bundle folder.")]
TrafficPath = Annotated[Path, typer.Argument(help="File written by 'difficulty ingest'.")]
PricesPath = Annotated[Path | None, typer.Option(help="Price list (TOML), for the expected cost.")]
KeyPath = Annotated[
    Path | None, typer.Option(help="Sign with this private key (PEM), as 'difficulty sign' does.")
]
RequestText = Annotated[str | None, typer.Argument(help="A request.")]
Draws = Annotated[
    int,
    typer.Option(
        help="Bootstrap draws of the intervals, 40 or more.", callback=_read_draws, metavar="N"
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of the draws.")]

EngineName = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="local|ray",
        help="Spread the work over processes of this machine, or over a Ray cluster.",
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help="Where Ray runs, or auto; default: a Ray of its own on this machine.",
    ),
]
EngineWorkers = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, help="Processes or Ray workers of --engine; default: one a processor."
    ),
]

OBJECTIVE_HELP = "What the threshold is chosen by, such as share=0.3; all are listed below."
OBJECTIVE_METAVAR = "NAME=X"
PER_TASK_HELP = (
    "Meet the objective in each task, each with its own threshold; rare tasks borrow from the"
    " whole."
)
ANSWER_METAVAR = "auto|off|check|both"
ANSWER_HELP = (
    "Whether answers of the cheap model are checked, where that was learned: auto, by what it"
    " costs; off; check, every answer; both, after the highest scores were sent at once."
)
WAIT_USD_HELP = (
    "What a user's wait for a second answer costs you, in USD a request; counts where a check of"
    " answers is weighed against none."
)
CATCH_RATE_HELP = (
    "Share of the cheap model's failures that your validation catches; quality, risk and cost then"
    " reckon with the fallback."
)


@contextmanager
def chosen_engine(
    name: str | None, address: str | None, workers: int | None
) -> Iterator[Engine | None]:
    """Give the engine that the options name, or none where they name none."""
    if name is None:
        if address is not None or workers is not None:
            option = "--address" if address is not None else "--workers"
            raise typer.BadParameter("is for --engine", param_hint=option)
        yield None
        return
    from difficulty.engine import open_engine

    with open_engine(name, address=address, workers=workers) as engine:
        yield engine


TrackingFlag = Annotated[
    bool | None,
    typer.Option(
        "--tracking/--no-tracking",
        help="Record it in MLflow, or do not. Default: where MLflow is installed, and for evaluate"
        " and ship where it has a store already.",
    ),
]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        envvar="MLFLOW_TRACKING_URI",
        help=f"Where MLflow records; default: {_LOCAL_STORE}, a file in this folder.",
    ),
]
ExperimentName = Annotated[str, typer.Option(help="MLflow experiment.")]


def open_tracker(
    tracking: bool | None, uri: str | None, experiment: str, *, begins: bool = False
) -> MlflowTracker | None:
    """Return what records a step; ``None`` where nothing is to. Called before the work: a store
    that cannot be used is said at once.

    Parameters
    ----------
    tracking : bool or None
        As asked; ``None``: where MLflow is there and has, or is given, a place.
    begins : bool
        Whether a store is made in this folder where none is given.
    """
    if tracking is None:
        has_place = begins or uri is not None or Path(_LOCAL_STORE_FILE).is_file()
        tracking = has_place and (uri is not None or find_spec("mlflow") is not None)
    if not tracking:
        return None
    from difficulty.integrations.mlflow import MlflowTracker

    # MLflow logs each table that it makes in a new store.
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    place = uri or _LOCAL_STORE
    # A local store keeps artifacts in this folder, a server in a place of its own.
    artifacts = Path("mlruns") if place.startswith("sqlite:") else None
    return MlflowTracker(place, experiment=experiment, artifacts=artifacts)


def say_tracked(tracker: MlflowTracker | None) -> None:
    """Print where a step was recorded, and how to leave that out, in one line."""
    recorded = tracker.recorded if tracker else None
    if recorded is None:
        return
    is_local = recorded.uri.startswith("sqlite:")
    files = ", files in mlruns" if is_local else ""
    look = f"; look: mlflow ui --backend-store-uri {recorded.uri}" if is_local else ""
    say(
        f"recorded in MLflow as run {recorded.run_id}, '{recorded.name}' (experiment"
        f" {recorded.experiment} at {recorded.uri}{files}); --no-tracking leaves it out{look}"
    )


def tracked_entry(tracker: MlflowTracker | None) -> dict[str, Any] | None:
    """Return where a step was recorded, for machines."""
    recorded = tracker.recorded if tracker else None
    return dict(recorded._asdict()) if recorded else None


def refuse_output(path: Path, *, source: Path | None, overwrite: bool) -> None:
    """Refuse a file to write that is there already, or that is what is read."""
    refuse_existing(path, overwrite=overwrite)
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise OutputExistsError(
            f"the output must not be what is read: got {str(path)!r} for both. Choose another name."
        )


def refuse_report(folder: Path, *names: str, overwrite: bool) -> None:
    """Refuse a folder in which a file to write is there already, and one that is no report's."""
    kind = kind_of(folder)
    if kind in (PathKind.RUN, PathKind.BUNDLE, PathKind.REGISTRY, PathKind.ENCODER):
        raise OutputExistsError(
            f"{str(folder)!r} is {kind}, and stays as it was written. Choose another folder."
        )
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(
            f"a folder is written, and {str(folder)!r} is a file. Choose another name."
        )
    refuse_existing(*(folder / name for name in names), overwrite=overwrite)


def say(text: str, *, end: str = "\n") -> None:
    """Print text as it is: names and paths may hold what rich takes for markup."""
    out.print(text, markup=False, end=end)


def say_sentence(text: str | Text) -> None:
    """Print a sentence for people: on a terminal a line ends between words, elsewhere nowhere.

    Not for a command or a path, which are to be copied.
    """
    out.print(text, markup=False, soft_wrap=not out.is_terminal)


def say_figures(evaluation: Evaluation) -> None:
    """Print about ten figures with their ranges, and what changes what one should do."""
    from difficulty.report.figures_table import key_table, remark_lines

    show_table(key_table(evaluation))
    say_aim(evaluation)
    for line in remark_lines(evaluation):
        say_sentence(line)


def say_aim(evaluation: Evaluation) -> None:
    """Print what became of what the threshold was chosen for."""
    if evaluation.verdict and evaluation.verdict.aim:
        say_sentence(evaluation.verdict.aim.text)


def say_report(folder: Path, names: Sequence[str], evaluation: Evaluation) -> None:
    """Print where the report is, and that there is more to read."""
    from difficulty.report.figures_table import count_left

    page = "report.html" if "report.html" in names else names[0]
    others = ", ".join(name for name in names if name != page)
    beside = f", beside it {others}" if others else ""
    left = count_left(evaluation)
    notes = f" and {left} more {'note' if left == 1 else 'notes'}" if left else ""
    say(f"report: {folder / page}{beside}; --details prints every table{notes}")


def show_table(table: RenderableType) -> None:
    """Print a table: as wide as the terminal, or as it needs where there is none."""
    if out.is_terminal:
        out.print(table)
        return
    # rich takes a width only where it is below the console's own, which is 80 in a pipe.
    wide = max(out.width, TABLE_WIDTH)
    # Sentences between tables stay whole lines, as everywhere in a pipe.
    plain = _PlainConsole(file=out.file, width=wide, highlight=False, emoji=False, soft_wrap=True)
    plain.print(table)


def warn(text: str) -> None:
    """Print a warning on standard error."""
    complain("warning", text)


def complain(what: str, text: str) -> None:
    """Print an error or a warning on one line of standard error, whatever names it holds."""
    err.print(f"{what}: {one_line(text)}", markup=False)


def print_json(content: Any) -> None:
    """Print JSON, in ASCII: it passes through every terminal, and lone surrogates survive."""
    say(json.dumps(content, default=str))


def command_text(*words: object) -> str:
    """Return a command as it is typed, on one line."""
    return one_line(shlex.join(map(str, ("difficulty", *words))))


def say_next(command: str, remark: str = "") -> None:
    """Print the command that comes next, alone at the end of its line so that it can be copied;
    before it what the names in it stand for, and what is to be said of it, on a line of its own.
    """
    say_names(command, remark)
    if remark:
        say(remark)
    say(f"next: {command}")


def say_names(*commands: str) -> None:
    """Print what names in capitals stand for that a command still holds."""
    # The lab's words, which a command without such a name does not wait for.
    if any(map(re.compile(r"\b[A-Z]{2,}\b|prices\.toml").search, commands)):
        from difficulty.evaluation.decision.remedies import explain_names

        if names := explain_names(*commands):
            say_sentence(f"to fill in: {names}")


def say_ship(run: Path, remark: str = "") -> None:
    """Print how a run becomes a bundle."""
    bundle = free_version(Path("bundles") / f"{run.resolve().name}-1")
    say_next(command_text("ship", run, "-o", bundle, "--objective", "share=0.3"), remark)


def say_remedy(
    command: str, places: Mapping[str, str | None], *, traffic: Path | None = None, remark: str = ""
) -> None:
    """Print a command that mends what stands against a score as the one that comes next, with what
    is known of its names.

    Parameters
    ----------
    command : str
        Of :mod:`difficulty.evaluation.decision.remedies`.
    places : mapping of str to str or None
        ``BUNDLE``, ``RUN``, ``CHEAP`` and the like, as far as they are known.
    traffic : Path, optional
        What was trained on or judged.
    remark : str
        What is to be said of it.
    """
    from difficulty.evaluation.decision.remedies import LABEL, fill

    names = {name: place for name, place in places.items() if place}
    names["NEXT_RUN"] = free_name("runs/first")
    if "BUNDLE" in names:
        names["NEXT"] = next_bundle(Path(names["BUNDLE"]))
    if traffic is not None:
        names["TRAFFIC"] = str(traffic)
        if command == LABEL and holds_unlabelled(traffic):
            names["UNLABELLED"] = str(traffic)
        elif command == LABEL:
            whole = f"every row of {one_line(str(traffic))} has its outcome: label others"
            remark = f"{remark}; {whole}" if remark else whole
    command = command.replace("labelled.parquet", free_name("labelled.parquet"))
    say_next(fill(command, names), remark)


def holds_unlabelled(traffic: Path) -> bool:
    """Return whether any row of traffic lacks an outcome of a model, so that it can be labelled."""
    import numpy as np

    from difficulty.traffic.table import Traffic

    return bool(np.isnan(Traffic.read(traffic).outcomes.gain).any())


def next_bundle(bundle: Path) -> str:
    """Return a free name for the version after a bundle: ``support-3`` for ``support-2``."""
    stem, _, number = bundle.name.rpartition("-")
    after = f"{stem}-{int(number) + 1}" if stem and number.isdecimal() else f"{bundle.name}-2"
    return free_version(bundle.with_name(after))


def free_version(bundle: Path) -> str:
    """Return the name of a bundle, or of the first version after it that is not there."""
    stem, _, number = bundle.name.rpartition("-")
    version = int(number)
    while (path := bundle.with_name(f"{stem}-{version}")).exists():
        version += 1
    return str(path)


def bundle_name(bundle: Path) -> str:
    """Return the name that a bundle of a folder like ``support-2`` is published under."""
    name = bundle.resolve().name
    stem, _, number = name.rpartition("-")
    return stem if stem and number.isdecimal() else name


def print_result(content: Mapping[str, Any], text: str, *, json: bool) -> None:
    """Print what a command did, for machines or for people."""
    print_json(content) if json else say(text)


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """Show what is being done, with a spinner and the time, where there is a terminal."""
    with _progress() as show:
        yield show


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """Show a running count, where :func:`steps` shows something."""
    with _progress(what) as show:
        yield lambda n: show(f"{what}: {n:,}")


@contextmanager
def counting_rows(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show how many rows are done, of how many, how fast and for how long yet: all the time on a
    terminal, a line a minute elsewhere.
    """
    begun = told = monotonic()
    before: int | None = None

    def describe(n: int, of: int | None) -> str:
        nonlocal before
        # What an earlier run has done counts for no speed.
        before = n if before is None else before
        rate = (n - before) / max(monotonic() - begun, 1e-9)
        left = f", {(of - n) / rate / 60:.1f} minutes left" if of and rate else ""
        return f"{what}: {n:,}{f' of {of:,}' if of else ''} rows, {rate:,.0f} a second{left}"

    def tell(n: int, of: int | None) -> None:
        nonlocal told
        text = describe(n, of)
        if monotonic() - told >= _LINE_S:
            told = monotonic()
            err.print(text, markup=False)

    if not err.is_terminal:
        yield tell
        return
    with _progress(what) as show:
        yield lambda n, of: show(describe(n, of))


_LINE_S = 60.0
"""Between two lines of progress in a pipe."""


@contextmanager
def _progress(first: str = "starting") -> Iterator[Callable[[str], None]]:
    if not err.is_terminal:  # a log would hold every step of the spinner
        yield _once_a_minute()
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(first)
        yield lambda text: progress.update(task, description=text)


def _once_a_minute() -> Callable[[str], None]:
    """Return what prints a step on a line of its own, a minute or more after the last line."""
    begun = told = time.monotonic()

    def show(text: str) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= _EVERY_SECONDS:
            told = now
            complain(f"{now - begun:,.0f} s", text)

    return show


def shown(value: float | None) -> str:
    """Return a number for people; unknown is not zero."""
    return "unknown" if value is None else f"{value:.3f}"


def read_answer(text: str, wait_usd: float) -> WayWanted:
    """Return the options ``--answer`` and ``--wait-usd``.

    Raises
    ------
    UnknownNameError
        If it is none of its words.
    """
    from difficulty.thresholds.ways import AnswerOption, WayWanted

    if text not in get_args(AnswerOption):
        raise UnknownNameError("answer", text, get_args(AnswerOption))
    return WayWanted(cast("AnswerOption", text), wait_usd)
