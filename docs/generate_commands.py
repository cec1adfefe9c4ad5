"""Write ``docs/commands.md`` from the help of every command.

Run ``python docs/generate_commands.py`` to write the page, and ``python docs/generate_commands.py
--check`` to be told, by exit code 1, that it is not up to date.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from typer.testing import CliRunner

from difficulty.cli.app import COMMANDS, build_app

PAGE = Path(__file__).with_name("commands.md")
WIDTH = 130
HEAD = """# Commands

This page is written by `python docs/generate_commands.py` from the help of the commands. Do not
edit it by hand.

Every command prints its help with `--help`. Exit codes: 0 it worked; 1 the input was fine and the
answer is no, for example an objective that cannot be reached or a bundle whose golden vectors are
not reproduced; 2 the input was wrong, and one sentence on standard error says what to do; 130
interrupted by Ctrl-C, 143 ended by SIGTERM. A command that fails leaves nothing half-written, and
none replaces a file that is there already unless `--overwrite` says so; runs and bundles are never
replaced.
"""


def main() -> None:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(
        description="Write docs/commands.md from the help of every command."
    )
    parser.add_argument(
        "--check", action="store_true", help="fail when the page is not up to date; write nothing"
    )
    page = commands_page()
    if not parser.parse_args().check:
        PAGE.write_text(page, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page:
        sys.exit(
            "docs/commands.md is not what the commands say. Run: python docs/generate_commands.py"
        )


def commands_page() -> str:
    """Return the page in Markdown."""
    sections = [f"\n## {name}\n\n```text\n{command_help(name)}\n```\n" for name in COMMANDS]
    return HEAD + "".join(sections)


def command_help(name: str) -> str:
    """Return what ``difficulty NAME --help`` prints, whatever the width of this terminal."""
    environment = {"MLFLOW_TRACKING_URI": None, "NO_COLOR": "1"}
    result = CliRunner().invoke(
        build_app(), [name, "--help"], prog_name="difficulty", env=environment, terminal_width=WIDTH
    )
    return "\n".join(line.rstrip() for line in result.output.strip().split("\n"))


if __name__ == "__main__":
    main()
