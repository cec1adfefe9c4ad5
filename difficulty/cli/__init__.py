"""The command line: a file for each group of commands; each command parses, calls one stage and
prints. Nothing else in the package prints. Another command is a function, and a line in
``app.COMMANDS``.
"""

from difficulty.cli.app import main

__all__ = ["main"]
