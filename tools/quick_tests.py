"""Run the tests that a change touches, in under 90 seconds: ``python -m tools.quick_tests``.

What changed is what git says of the working tree beside the point where the branch left ``main``
(``--since`` names another commit). Chosen are

- the tests of the rooms that changed: ``difficulty/ROOM``, and ``benchmarks``, ``examples``,
  ``models`` and ``tools``, have theirs in ``tests`` under the same name, a module of the ground
  floor in ``tests/test_MODULE.py``, pages in ``tests/test_docs.py``;
- test files that changed, and those that import a module or a helper that changed;
- always the rules of the house, ``tests/test_repository.py``.

Where nothing changed, or nothing that has tests, all are chosen. Tests marked ``slow``, ``process``
or ``long`` are left out. Other options go to pytest: ``-n 2 -k curve``.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import pytest

REPOSITORY = Path(__file__).parents[1]
LEFT_OUT = "not slow and not process and not long"
ALWAYS = "tests/test_repository.py"
PAGES = {".md", ".svg", ".jsonl"}


def main() -> None:
    """Choose the tests, say which, and run them."""
    parser = argparse.ArgumentParser(description="Run the tests that a change touches.")
    parser.add_argument("--since", default="main", help="commit to compare with; default: main")
    arguments, options = parser.parse_known_args()
    places = choose_tests(changed_files(REPOSITORY, arguments.since), read_imports(REPOSITORY))
    print(f"testing {' '.join(places) or 'all rooms'}: {LEFT_OUT}", flush=True)
    sys.exit(pytest.main([*options, "-m", LEFT_OUT, *places]))


def changed_files(repository: Path, since: str) -> list[str]:
    """Return what differs from where the branch left ``since``, and files that are new."""
    base = _git(repository, "merge-base", since, "HEAD") or ["HEAD"]  # a clone may lack main
    differing = _git(repository, "diff", "--name-only", base[0])
    return sorted({*differing, *_git(repository, "ls-files", "--others", "--exclude-standard")})


def _git(repository: Path, *words: str) -> list[str]:
    """Return the lines that git prints, none where it fails."""
    run = subprocess.run(["git", *words], cwd=repository, capture_output=True, text=True)
    return run.stdout.splitlines() if run.returncode == 0 else []


def read_imports(repository: Path) -> dict[str, set[str]]:
    """Return for each file of tests the modules that it imports, by full name."""
    return {
        path.relative_to(repository).as_posix(): _imported(path)
        for path in sorted((repository / "tests").rglob("test_*.py"))
    }


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # what is imported from a package may be one of its modules
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def choose_tests(changed: Iterable[str], imports: Mapping[str, set[str]]) -> list[str]:
    """Return the folders and files of tests to run; empty for all of them.

    Parameters
    ----------
    changed : iterable of str
        Paths in the repository.
    imports : mapping of str to set of str
        Each file of tests and the modules that it imports.
    """
    changed = set(changed)
    modules = {
        path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in changed
        if path.endswith(".py")
    }
    rooms = {place for path in changed for place in _tests_of_room(path, imports)}
    files = {path for path, names in imports.items() if path in changed or names & modules}
    chosen = rooms | {path for path in files if not path.startswith(tuple(rooms))}
    return sorted({*chosen, ALWAYS}) if chosen else []


def _tests_of_room(path: str, imports: Mapping[str, set[str]]) -> set[str]:
    """Return the folder of the tests of a path's room, or the file for one that has no folder."""
    folder, _, inside = path.partition("/")
    if PurePosixPath(path).suffix in PAGES:
        place = "tests/test_docs.py"
    elif folder in ("difficulty", "tests"):
        room, below, _ = inside.partition("/")
        place = f"tests/{room}/" if below else f"tests/test_{room}"
    else:
        place = f"tests/{folder}/"
    return {place} if any(test.startswith(place) for test in imports) else set()


if __name__ == "__main__":
    main()
