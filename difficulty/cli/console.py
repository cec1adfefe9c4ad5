"""What commands share: the two consoles, JSON output, and how errors become exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

out = Console(highlight=False, emoji=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
OutPath = Annotated[Path, typer.Option("--out", "-o", help="Where to write.", show_default=False)]

CachePath = Annotated[
    Path,
    typer.Option(
        "--cache",
        envvar="DIFFICULTY_CACHE",
        show_default="~/.cache/difficulty",
        help="Where converted encoders and embeddings are kept.",
    ),
]


def print_json(form: Any) -> None:
    """Print one JSON object, in ASCII: it passes through every terminal, and lone surrogates
    survive.
    """
    out.print(json.dumps(form, default=str), markup=False)


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """Show what is being done, with a spinner and the time, on standard error; nothing where that
    is no terminal.
    """
    if not err.is_terminal:
        yield lambda _: None
        return
    with _progress() as progress:
        task = progress.add_task("starting")
        yield lambda text: progress.update(task, description=text)


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """Show a running count on standard error; nothing where that is no terminal."""
    if not err.is_terminal:
        yield lambda _: None
        return
    with _progress() as progress:
        task = progress.add_task(what)
        yield lambda n: progress.update(task, description=f"{what}: {n:,}")


def shown(value: float | None, *, digits: int = 3) -> str:
    """Return a number for people; unknown is not zero."""
    return "unknown" if value is None else f"{value:.{digits}f}"


def _progress() -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=err, transient=True)
