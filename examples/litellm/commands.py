"""Commands of ``difficulty`` as the example runs them: shown first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from examples.litellm.proxy import ROOT

__all__ = ["difficulty", "say"]


def difficulty(*words: object, may_say_no: bool = False) -> str:
    """Run a command of ``difficulty``, show it, and return what it printed.

    Raises
    ------
    RuntimeError
        If it failed; with its words.
    """
    say(" ".join(["difficulty", *(str(word) for word in words)]))
    program = [str(Path(sys.executable).with_name("difficulty")), *map(str, words)]
    ran = subprocess.run(program, capture_output=True, text=True, cwd=ROOT, check=False)
    if ran.returncode not in ((0, 1) if may_say_no else (0,)):
        raise RuntimeError(f"exit code {ran.returncode}:\n{ran.stdout}{ran.stderr}")
    return ran.stdout


def say(text: str) -> None:
    """Show what is done next."""
    print(f"$ {text}", flush=True)
