"""The application: its commands, and how errors become exit codes 0, 1 (the answer is no) and 2
(bad input).
"""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from importlib import import_module
from socket import gaierror
from typing import Annotated, Any, NoReturn, TextIO, cast

import typer
from rich.logging import RichHandler
from typer import BadParameter
from typer.core import TyperGroup

from difficulty import __version__
from difficulty.cli.console import complain, err, say
from difficulty.errors import DifficultyError, MissingExtraError, UnsupportedSystemError
from difficulty.storage import FULL, on_urls

SECTIONS = {
    "begin": {"demo": "demo", "start": "labelling", "doctor": "setup.doctor"},
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
        "compare": "evaluate",
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
# 128 + SIGINT and 128 + SIGTERM, as shells count.
_INTERRUPTED, _ENDED = 130, 143
_KEPT = {
    "train": "stopped; no run was written. Finished parts of a large training are kept: --resume",
    "score": "stopped; no scores were written. Finished parts of a job are kept: --resume",
    "label": "stopped; what was bought is kept, and the same command goes on",
}
"""What is to be said of commands that go on where they were stopped."""
_WHOLE = 500
"""Longer than any first sentence: none is cut off."""
OBJECTIVES = """\b
Objectives, one of:
  share=0.3          at most 30 % of the requests go to the frontier model
  cost=2.5           1,000 requests cost at most USD 2.50; needs --prices
  quality=0.9        at least 90 % of the quality gap is recovered
  mean_quality=0.85  the answers have a mean quality of at least 0.85
  utility=0.02       the best balance where a right answer is worth USD 0.02
  risk=0.2           the cheap model fails at most 20 % of what it keeps
  missed=0.05        at most 5 % of what it keeps needed the frontier model
The last two are promises with confidence 90 %; risk=0.2,delta=0.05 asks for 95 %."""
EPILOGS = {"ship": OBJECTIVES, "thresholds": OBJECTIVES, "recalibrate": OBJECTIVES}
"""What stands below the options of a command."""
_TYPES = {"path": "PATH", "str": "TEXT", "int": "N", "float": "X", "bool": "yes|no"}
"""What help calls the kind of a value, by Python's word for it."""
_BAD_NUMBER = {
    "valid integer": "it must be a whole number",
    "valid number": "it must be a number",
    "greater than or equal to": "it must be at least",
    "less than or equal to": "it must be at most",
    "greater than": "it must be above",
    "less than": "it must be below",
}
"""How a refusal of a number is told, by a part of what the parser says."""


_PROGRAM = "difficulty"
_UsageError: Any = BadParameter.__base__
"""What options and arguments are refused with; typer names no more of its parts than needed."""


class _Sections(TyperGroup):
    """Help in parts: a stranger looks for a task, not for a name among thirty. Neither help nor
    refusals hold words of Python.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        parameter: Any
        for parameter in (each for name in self.commands for each in self.commands[name].params):
            # An instance's own method: typer offers no other way for arguments.
            vars(parameter)["display_type"] = partial(_type_word, parameter.display_type)

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Read what stands before the command; what is refused is told first."""
        with _told_first():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for; what is refused is told first, in plain words."""
        with _told_first(ctx):
            return super().invoke(ctx)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each part's commands with the whole first sentence of their help."""
        for title, part in SECTIONS.items():
            rows = [(name, self.commands[name].get_short_help_str(_WHOLE)) for name in part]
            with formatter.section(f"Commands: {title}"):
                formatter.write_dl(rows)


@contextmanager
def _told_first(ctx: Any = None) -> Iterator[None]:
    """Tell what is wrong with options and arguments as any other error, and last where help is: of
    the command, which the parser does not always say.
    """
    try:
        yield
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # the help itself
            raise
        if isinstance(error, BadParameter):
            error.message = _in_plain_words(error.message)
        asked = ctx.invoked_subcommand if ctx else None
        place = error.ctx.command_path if error.ctx else " ".join(filter(None, [_PROGRAM, asked]))
        _stop(f"{error.format_message().rstrip('.')}. See: {place} -h", code=error.exit_code)


def build_app() -> typer.Typer:
    """Return the application with every command."""
    app = typer.Typer(
        cls=_Sections,
        help=HELP,
        epilog=EPILOG,
        no_args_is_help=True,
        add_completion=True,
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
        command = on_urls(getattr(module, name.replace("-", "_")), hold=holding)
        app.command(name, epilog=EPILOGS.get(name))(command)
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
        with _ending_cleanly(), _without_warnings():
            _run()
    except SystemExit as stopped:
        # Ctrl-C, or whoever started it: scratch folders are gone by now.
        if stopped.code in (_INTERRUPTED, _ENDED):
            name = sys.argv[1] if len(sys.argv) > 1 else ""
            err.print(_KEPT.get(name, "stopped; nothing was written"))
        raise


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Show none of what libraries warn their callers of, unless Python was asked for it. Filters
    would not do: scikit-learn empties them for a moment, and others fit in threads meanwhile.
    """
    before = warnings.showwarning
    if not sys.warnoptions:
        warnings.showwarning = lambda *_, **__: None
    try:
        yield
    finally:
        warnings.showwarning = before


class _Terminated(SystemExit):
    """Somebody ended the process with SIGTERM."""


@contextmanager
def _ending_cleanly() -> Iterator[None]:
    """Have SIGTERM unwind what runs, as Ctrl-C does, so that no scratch folder stays; a second one
    ends at once. Commands that serve or watch take it in their own way.
    """
    begun_by = os.getpid()

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if os.getpid() != begun_by:  # a child that inherited this has nothing to put away
            os.kill(os.getpid(), signal.SIGTERM)
            return
        raise _Terminated(_ENDED)

    try:
        before = signal.signal(signal.SIGTERM, end)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run() -> None:
    """Run the command that was asked for; errors end it with a sentence and their exit code."""
    try:
        # Named, so that completion is written for `difficulty`, also by `python -m difficulty`.
        build_app()(prog_name="difficulty")  # usage errors and typer.Exit become exit codes here
    except DifficultyError as error:
        _stop(str(error), code=error.exit_code)
    except ModuleNotFoundError as error:
        # An extra that is not installed; of our own modules it would be a bug.
        package = (error.name or "").partition(".")[0]
        if package in ("", "difficulty"):
            raise
        _stop(str(_missing(package)), code=2)
    except OSError as error:
        _stop(_tell_of_system(error), code=2)


@contextmanager
def holding() -> Iterator[Callable[[], None]]:
    """Hold back what is printed on standard output; give what drops it. Of an output that is still
    on its way nothing may say that it was written.
    """
    held = _HeldOutput(sys.stdout)
    try:
        with redirect_stdout(cast(TextIO, held)):
            yield held.drop
    except (KeyboardInterrupt, _Terminated):  # while it is copied out, most likely
        held.drop()
        raise
    finally:
        held.pass_on()


class _HeldOutput:
    """Standard output that waits; for whoever asks, it is the terminal or the pipe behind it."""

    def __init__(self, behind: TextIO) -> None:
        self._behind = behind
        self._texts: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._behind, name)

    def write(self, text: str) -> int:
        """Keep a text."""
        self._texts.append(text)
        return len(text)

    def flush(self) -> None:
        """Keep waiting."""

    def drop(self) -> None:
        """Forget what was printed."""
        self._texts.clear()

    def pass_on(self) -> None:
        """Print what was held back."""
        self._behind.write("".join(self._texts))
        self._behind.flush()


def _tell_of_system(error: OSError) -> str:
    """Return what the operating system refused, and what to do."""
    what = f"{error.filename or 'a file'}: {error.strerror or error}"
    if error.errno in FULL:
        return f"{what}. Free some space."
    if isinstance(error, gaierror):  # of a name that no network knows, and of no file
        return f"a host's name must be known to the network: {error.strerror}. Check --host."
    return f"{what}. Check the path and its permissions."


def _type_word(display_type: Callable[[Any], object], ctx: Any) -> str:
    """Return the kind of a value for people: ``PATH`` for ``<list[path]>``."""
    word = str(display_type(ctx))
    plain = re.sub(r"[<>]|list\[|\]| range", "", word).lower()
    return _TYPES.get(plain, word)


def _in_plain_words(message: str) -> str:
    for part, words in _BAD_NUMBER.items():
        _, found, rest = message.partition(part)
        if message.startswith("Input should be") and found:
            return f"{words}{rest.partition(',')[0]}"
    return message


def _missing(package: str) -> DifficultyError:
    """Return what to say of a module that is not there."""
    from difficulty.stages.setup.installation import extra_of

    if package in sys.stdlib_module_names:  # Python's own, on another system
        return UnsupportedSystemError("this command", module=package)
    return MissingExtraError("this command", package=package, extra=extra_of(package))


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
