"""The index of the benchmarks names what is there."""

import re

from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "benchmarks"
INDEX = (FOLDER / "README.md").read_text(encoding="utf-8")
PROGRAMS = {path.stem for path in FOLDER.glob("*.py")}


def test_index_has_a_row_and_a_command_for_every_program():
    assert set(re.findall(r"^\| `(\w+)` \|", INDEX, flags=re.MULTILINE)) == PROGRAMS
    commands = re.findall(r"\| `(?!python )(\w+) [^`]*` \|$", INDEX, flags=re.MULTILINE)
    assert {*commands} == PROGRAMS


def test_index_links_every_result_and_nothing_that_is_not_there():
    results = {path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("results/*.md")}
    assert set(re.findall(r"\((results/[^)]+)\)", INDEX)) == results


def test_pictures_and_figures_belong_to_a_result_that_is_there():
    """What is left of a result that was removed would look like a newer one."""
    pages = {path.stem for path in FOLDER.glob("results/*.md")}
    assert [
        path.name
        for path in FOLDER.glob("results/*")
        if not any(path.name.startswith(page) for page in pages)
    ] == []


def test_programs_can_be_run_and_the_library_cannot():
    """What only others import lies in ``benchmarks/lib``."""
    running = {path for path in FOLDER.rglob("*.py") if "__main__" in path.read_text("utf-8")}
    assert {path.stem for path in running if path.parent == FOLDER} == PROGRAMS
    assert [path for path in running if path.parent.name == "lib"] == []
