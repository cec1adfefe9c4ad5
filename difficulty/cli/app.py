"""The application: its commands, and how errors become exit codes 0, 1 (the answer is no) and 2 (bad input)."""

from __future__ import annotations

import logging
import sys
from importlib import import_module

import typer
from click.exceptions import ClickException
from rich.logging import RichHandler

from difficulty.cli.console import err
from difficulty.errors import DifficultyError

__all__ = ["build_app", "main"]

COMMANDS = ("demo", "ingest", "train", "evaluate", "ship", "thresholds", "verify", "score", "route")
HELP = "Learned difficulty scores for routing LLM requests between a cheap and a frontier model."


def build_app() -> typer.Typer:
    """Return the application with every command."""
    app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback()(_common)
    for name in COMMANDS:
        module = import_module(f"difficulty.cli.{name}")
        app.command(name, help=module.__doc__)(module.command)
    return app


def main() -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=err, show_path=False, show_time=False)])
    logging.getLogger("difficulty.runtime").setLevel(logging.ERROR)  # rows that cannot be scored are in the output, with their errors
    try:
        code = build_app()(standalone_mode=False)
    except DifficultyError as error:
        err.print(f"error: {error}", markup=False)
        sys.exit(error.exit_code)
    except ClickException as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        err.print("stopped; nothing was written")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)


def _common() -> None:
    """Take no options of its own; present so that every command keeps its name."""
