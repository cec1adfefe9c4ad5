"""The application: its commands, and how errors become exit codes 0, 1 (the answer is no) and 2
(bad input).
"""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from rich.logging import RichHandler
from typer.core import TyperGroup

from difficulty import __version__
from difficulty.cli.console import complain, err, say
from difficulty.errors import DifficultyError, MissingExtraError
from difficulty.storage import FULL, on_urls

SECTIONS = {
    "begin": {"demo": "demo", "start": "labelling"},
    "traffic and its labels": {
        "ingest": "ingest",
        "label": "labels.label",
        "outcomes": "labelling",
        "split": "watching.upkeep",
    },
    "from labels to a bundle": {
        "train": "train",
        "evaluate": "evaluate",
        "ship": "ship",
        "thresholds": "thresholds",
        "economics": "evaluate",
    },
    "decide": {
        "score": "scoring",
        "route": "scoring",
        "check": "scoring",
        "serve": "serving",
        "new-key": "serving",
        "litellm-config": "serving",
        "layout": "serving",
    },
    "versions of a bundle": {
        "policy": "deploying",
        "sign": "signing",
        "verify": "signing",
        "publish": "publishing",
        "promote": "publishing",
        "rollback": "publishing",
        "versions": "publishing",
        "fetch": "publishing",
    },
    "a router in service": {
        "monitor": "watching.monitoring",
        "replay": "watching.replaying",
        "recalibrate": "watching.upkeep",
        "retrain": "watching.upkeep",
    },
}
"""Parts of the help: each command and the module of this room that holds it, as a function of the
command's name.
"""
COMMANDS = {name: place for part in SECTIONS.values() for name, place in part.items()}
HELP = "Learned difficulty scores for routing LLM requests between a cheap and a frontier model."
EPILOG = (
    "Begin with 'difficulty demo', or with 'difficulty start LOG'. 'difficulty COMMAND --help' has"
    " every option and an example."
)
# 128 + SIGINT, as shells count.
_INTERRUPTED = 130
_WHOLE = 500
"""Longer than any first sentence: none is cut off."""


class _Sections(TyperGroup):
    """Help in parts: a stranger looks for a task, not for a name among thirty."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each part's commands with the whole first sentence of their help."""
        for title, part in SECTIONS.items():
            rows = [(name, self.commands[name].get_short_help_str(_WHOLE)) for name in part]
            with formatter.section(f"Commands: {title}"):
                formatter.write_dl(rows)


def build_app() -> typer.Typer:
    """Return the application with every command."""
    app = typer.Typer(
        cls=_Sections,
        help=HELP,
        epilog=EPILOG,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        # Errors are told by main; what it does not know keeps Python's own traceback.
        pretty_exceptions_enable=False,
    )
    app.callback()(_common)
    for name, place in COMMANDS.items():
        # Every module is imported for the help; what costs time is imported in the functions.
        module = import_module(f"difficulty.cli.{place}")
        # Inside a command every path is local: what is a URL is copied in, and out.
        app.command(name)(on_urls(getattr(module, name.replace("-", "_"))))
    return app


def main() -> None:
    """Run the command line."""
    # Only here: the library owns a logger and sets no logging up.
    logging.basicConfig(
        level=logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=err, show_path=False, show_time=False)],
    )
    # Rows that cannot be scored are in the output, with their errors.
    logging.getLogger("difficulty.runtime").setLevel(logging.ERROR)
    try:
        build_app()()  # usage errors and typer.Exit become exit codes in here
    except DifficultyError as error:
        _stop(str(error), code=error.exit_code)
    except ModuleNotFoundError as error:
        # An extra that is not installed; of our own modules it would be a bug.
        package = (error.name or "").partition(".")[0]
        if package in ("", "difficulty"):
            raise
        _stop(str(MissingExtraError("this command", package=package, extra="train")), code=2)
    except OSError as error:
        what = f"{error.filename or 'a file'}: {error.strerror or error}"
        advice = "Free some space" if error.errno in FULL else "Check the path and its permissions"
        _stop(f"{what}. {advice}.", code=2)
    except SystemExit as stopped:
        if stopped.code == _INTERRUPTED:  # Ctrl-C: scratch folders are gone by now
            err.print("stopped; nothing was written")
        raise


def _stop(message: str, *, code: int) -> NoReturn:
    complain("error", message)
    sys.exit(code)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"difficulty {__version__}")
        raise typer.Exit


def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Take the options that come before a command."""
