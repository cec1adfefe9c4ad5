"""The command line: one file a command, each parses, calls one stage and prints. Nothing else in
the package prints.
"""

from difficulty.cli.app import main

__all__ = ["main"]
