"""The tutorial and the README are walked with a table of one's own, command by command."""

import csv
import re
import shlex

import pytest
from typer.testing import CliRunner

from difficulty.cli.app import build_app
from tests.conftest import REPOSITORY
from tests.journey import sample_rows

pytestmark = pytest.mark.long
START = (REPOSITORY / "docs" / "start.md").read_text(encoding="utf-8")
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def commands(page):
    """Return the indented command lines, as words."""
    return [
        shlex.split(line, comments=True)
        for line in re.findall(r"^    (difficulty .*)$", page, flags=re.MULTILINE)
    ]


def python_of(page):
    """Return the fenced Python of a page."""
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    return block


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """A folder in which the page was followed, with 900 rows in a table of other names."""
    folder = tmp_path_factory.mktemp("start")
    with (folder / "requests.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["prompt", "team", "cheap_score", "frontier_score"])
        for row in sample_rows(900):
            scores = (row.get("cheap_quality"), row.get("frontier_quality"))
            table.writerow([row["messages"][-1]["content"], row["task"], *scores])
    app = build_app()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in commands(START):
            if ">" in words:  # the shell's part: the proposal goes into a file, and is corrected
                done = CliRunner().invoke(app, words[1 : words.index(">")])
                proposal = done.stdout.replace("[columns]", '[columns]\ntask = "team"')
                (folder / words[-1]).write_text(proposal, encoding="utf-8")
            else:
                done = CliRunner().invoke(app, words[1:])
            assert done.exit_code == 0, (words, done.output)
    return folder


def test_page_has_at_most_eight_commands():
    assert len(commands(START)) <= 7  # and one that installs
    assert "pip install" in START


def test_readme_has_the_commands_of_the_page():
    assert commands(README) == commands(START)


def test_report_begins_with_the_decision(walked):
    assert re.search(
        r"Switch on|Keep testing|Do not switch on", (walked / "report" / "report.md").read_text()
    )


@pytest.mark.parametrize("page", [README, START], ids=["README", "start"])
def test_python_of_the_pages_runs_on_the_bundle(walked, page, monkeypatch):
    monkeypatch.chdir(walked)
    names = {}
    exec(python_of(page), names)
    assert names["decision"].route in ("cheap", "frontier")
    assert names["decision"].reason != "scorer_error"


def test_readme_is_short():
    assert len(README.splitlines()) <= 110
    assert len(README.split()) <= 900
