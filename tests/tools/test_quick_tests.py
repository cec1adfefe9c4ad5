"""Which tests the quick loop chooses."""

import subprocess

import pytest

from tests.conftest import REPOSITORY
from tools.quick_tests import ALWAYS, changed_files, choose_tests, read_imports

IMPORTS = {
    "tests/evaluation/test_slices.py": {"difficulty.evaluation.slices", "tests.journey"},
    "tests/metrics/test_curve.py": {"difficulty.metrics", "difficulty.metrics.curve"},
    "tests/report/test_plot.py": {"difficulty.report.plot", "difficulty.metrics.curve"},
    "tests/benchmarks/test_judge.py": {"benchmarks.lib.judge"},
    "tests/test_docs.py": {"difficulty.form"},
    "tests/test_form.py": {"difficulty.form"},
    "tests/test_repository.py": set(),
}


@pytest.mark.parametrize(
    ("changed", "chosen"),
    [
        ("difficulty/metrics/curve.py", ["tests/metrics/", "tests/report/test_plot.py"]),
        ("difficulty/metrics/__init__.py", ["tests/metrics/"]),
        ("difficulty/form.py", ["tests/test_docs.py", "tests/test_form.py"]),
        ("tests/journey.py", ["tests/evaluation/test_slices.py"]),
        ("tests/report/test_plot.py", ["tests/report/"]),
        ("tests/test_form.py", ["tests/test_form.py"]),
        ("docs/metrics.md", ["tests/test_docs.py"]),
        ("README.md", ["tests/test_docs.py"]),
        ("benchmarks/lib/judge.py", ["tests/benchmarks/"]),
        ("difficulty/report/templates/report.html", ["tests/report/"]),
    ],
)
def test_change_chooses_the_tests_of_its_room_and_those_that_import_it(changed, chosen):
    assert choose_tests([changed], IMPORTS) == sorted([*chosen, ALWAYS])


@pytest.mark.parametrize("changed", [[], ["Makefile"], ["pipelines/fast.toml"]])
def test_change_without_tests_chooses_all(changed):
    assert choose_tests(changed, IMPORTS) == []


def test_every_test_is_read_with_what_it_imports():
    imports = read_imports(REPOSITORY)
    assert "tools.quick_tests" in imports["tests/tools/test_quick_tests.py"]
    assert imports["tests/test_form.py"] >= {"difficulty.form", "difficulty.form.Form"}


def test_changes_are_those_of_the_branch_of_the_working_tree_and_new_files(tmp_path):
    """What went on in main meanwhile is none of them."""

    def git(*words):
        subprocess.run(["git", "-C", tmp_path, *words], check=True, capture_output=True)

    def write(name, text="1\n"):
        (tmp_path / name).write_text(text)
        git("add", name)

    git("init", "--initial-branch", "main")
    git("config", "user.name", "a tester")
    git("config", "user.email", "tester@example.org")
    write("old.py")
    write("both.py")
    git("commit", "--message", "first")
    git("checkout", "-b", "branch")
    write("committed.py")
    git("commit", "--message", "on the branch")
    git("checkout", "main")
    write("elsewhere.py")
    git("commit", "--message", "meanwhile")
    git("checkout", "branch")
    (tmp_path / "old.py").write_text("2\n")
    (tmp_path / "new.py").write_text("1\n")
    assert changed_files(tmp_path, "main") == ["committed.py", "new.py", "old.py"]
    assert changed_files(tmp_path, "no-such-commit") == ["new.py", "old.py"]
