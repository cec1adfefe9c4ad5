import ast
import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.table import Table

from difficulty import __version__
from difficulty.cli import console
from difficulty.cli.app import COMMANDS
from difficulty.cli.console import show_table
from difficulty.cli.ship import say_published
from difficulty.evaluation.decision.remedies import LABEL
from difficulty.evaluation.verdict import ANSWERS
from difficulty.stages import verify as verify_module
from tests.conftest import REPOSITORY
from tests.journey import forget

MAIN = "from difficulty.cli import main; main()"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(run, command):
    result = run(command, "--help", code=0)
    assert f"Example: difficulty {command} " in result.out
    assert "--json" in result.out or command == "demo"
    assert result.err == ""


def test_version_is_the_packages(run):
    assert run("--version", code=0).out == f"difficulty {__version__}\n"


@pytest.mark.parametrize("command", [(), ("route",)])
def test_short_option_for_help_is_the_long_one(run, command):
    assert run(*command, "-h", code=0).out == run(*command, "--help", code=0).out


def test_completion_is_for_the_command_by_its_name():
    """Also where ``python -m difficulty`` printed it: no shell completes three words."""
    started = subprocess.run(
        [sys.executable, "-m", "difficulty", "--show-completion", "bash"],
        capture_output=True,
        text=True,
        check=True,
        # The shell is named: what started the tests is none.
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )
    assert "_DIFFICULTY_COMPLETE=complete_bash" in started.stdout
    assert "-F _difficulty_completion difficulty" in started.stdout


def test_help_names_every_command(run):
    result = run("--help", code=0)
    assert all(f"\n  {command} " in result.out for command in COMMANDS)


def test_help_is_in_parts_and_cuts_no_sentence_off(run):
    result = run("--help", code=0)
    assert "\nCommands: decide:\n  score " in result.out
    # Of ends of lines; the usage and the list of settings have theirs.
    assert not any(line.endswith("...") for line in result.out.splitlines()[1:])
    assert "Begin with 'difficulty demo'" in result.out


def test_a_wide_table_is_not_wrapped_where_there_is_no_terminal(capsys):
    """In a pipe rich takes 80 columns, and breaks intervals and names."""
    table = Table(*(["heading"] * 5), box=None)
    table.add_row(*(["0.123 [0.100, 0.200]"] * 5))
    show_table(table)
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["route"], "Missing argument 'bundle'"),
        (["route", "b"], "pass either a text or --input FILE"),
        (["route", "b", "text", "--input", "f.jsonl"], "pass either a text or --input FILE"),
        (["score", "b", "--input", "f.jsonl", "-o", "s.xlsx"], "-o must name a file of JSON lines"),
        (["route", "b", "--input", "f.jsonl", "-o", "s.parquet"], "got a name with .parquet"),
        (["route", "b", "text", "--colour"], "No such option: --colour"),
        (["train", "t.parquet"], "Missing option"),
        (["train", "t.parquet", "-o"], "requires an argument. See: difficulty train -h"),
        (["evaluate", "r", "t", "-o", "x", "--draws", "39"], "--draws must be 40 or more: got 39"),
        (["evaluate", "r", "t", "-o", "x", "--draws", "many"], "Invalid value for '--draws'"),
        (["fly"], "No such command 'fly'"),
    ],
)
def test_wrong_usage_exits_with_2(run, arguments, complaint):
    result = run(*arguments, code=2)
    assert complaint in result.err
    assert result.out == ""


def test_no_command_shows_the_help(run):
    result = run()
    assert "Commands: " in result.out + result.err


def test_path_that_cannot_be_written_is_one_line(run, journey, tmp_path):
    (tmp_path / "file").write_text("x")
    result = run(
        "evaluate",
        journey.run,
        journey.traffic,
        "-o",
        tmp_path / "file" / "report",
        "--draws",
        40,
        code=2,
    )
    assert result.complaint.startswith(
        f"error: {tmp_path / 'file' / 'report'}: Not a directory. Check the path"
    )


def test_missing_package_is_named_with_its_extra(run, journey, monkeypatch):
    loads_it = ("difficulty.export", "difficulty.stages.exporting", "difficulty.stages.ship")
    for name in [name for name in sys.modules if name.startswith(loads_it)]:
        monkeypatch.delitem(sys.modules, name)
    forget(monkeypatch, "onnx")
    result = run("ship", journey.run, "-o", "b-1", code=2)
    assert (
        result.complaint
        == "error: this command needs the package 'onnx', which is not installed. Run: pip install"
        f" -e '{REPOSITORY}[train]'"
    )


def test_what_libraries_warn_of_is_not_shown(run, journey, monkeypatch):
    """Nor where one of them has emptied the filters."""
    verify = verify_module.verify

    def warned(*arguments, **options):
        warnings.resetwarnings()
        warnings.warn("use another name", FutureWarning, stacklevel=1)
        return verify(*arguments, **options)

    monkeypatch.setattr(verify_module, "verify", warned)
    with warnings.catch_warnings(record=True) as shown:
        assert run("verify", journey.bundle, code=0).err == ""
    assert shown == []


def test_interrupt_says_that_nothing_was_written(run, journey, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(verify_module, "verify", interrupted)
    assert run("verify", journey.bundle, code=130).complaint == "stopped; nothing was written"


@pytest.mark.parametrize(("ending", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_is_ended_leaves_no_hidden_part(run, journey, tmp_path, monkeypatch, ending, code):
    """Neither Ctrl-C nor SIGTERM, as an orchestrator sends it, leaves a scratch folder."""
    seen = []

    def ended(self):
        seen.extend(tmp_path.glob(".t.parquet-*.part"))
        os.kill(os.getpid(), ending)
        yield from ()

    before = signal.getsignal(signal.SIGTERM)
    # In the background a shell has it ignored.
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr("difficulty.traffic.duplicates.Grouper.place_all", ended)
    try:
        said = run("ingest", journey.source, "-o", "t.parquet", code=code).complaint
    finally:
        signal.signal(signal.SIGINT, interrupt)
    assert said == "stopped; nothing was written"
    assert len(seen) == 1
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("command", "kept"), [("train", "parts"), ("label", "was bought")])
def test_what_goes_on_later_says_what_is_kept(run, monkeypatch, command, kept):
    monkeypatch.setattr("difficulty.cli.app.build_app", lambda: lambda prog_name: sys.exit(143))
    said = run(command, code=143).complaint
    assert said.startswith("stopped; ")
    assert kept in said


def shell(*arguments, **options):
    """Run the real command line."""
    return subprocess.run(
        [sys.executable, "-c", MAIN, *map(str, arguments)],
        capture_output=True,
        timeout=60,
        check=False,
        **options,
    )


def test_process_keeps_results_and_complaints_apart(journey, tmp_path):
    """A pipe gets JSON lines and nothing else; errors go to standard error and into the exit
    code.
    """
    good = shell(
        "score",
        journey.bundle,
        "--input",
        "-",
        cwd=tmp_path,
        input=b'{"id": "a", "prompt": "Hello"}\n{oops\n',
    )
    assert (good.returncode, good.stderr, good.stdout.count(b"\n")) == (0, b"", 2)
    bad = shell("verify", tmp_path, cwd=tmp_path)
    assert (bad.returncode, bad.stdout) == (2, b"")
    assert bad.stderr.startswith(b"error: bundle ")
    assert bad.stderr.count(b"\n") == 1


def test_reader_that_stops_early_causes_no_traceback(journey, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"prompt": "Hello"}\n' * 3000)
    command = [
        sys.executable,
        "-c",
        MAIN,
        "route",
        journey.bundle,
        "--input",
        tmp_path / "in.jsonl",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline().startswith(b'{"id": "1"')
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()
    process.wait(60)
    assert b"Traceback" not in complaint


def test_output_survives_a_terminal_without_unicode(journey, tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    result = shell(
        "route",
        journey.bundle,
        "--input",
        "-",
        cwd=tmp_path,
        input='{"id": "é:b:", "prompt": "日本"}\n'.encode(),
        env=environment,
    )
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.startswith(b'{"id": "\\u00e9:b:", ')


@pytest.mark.parametrize(
    ("answer", "command"),
    [("switch_on", "publish"), ("keep_testing", "evaluate"), ("do_not_switch_on", "evaluate")],
)
def test_next_command_after_ship_follows_the_verdict(capsys, answer, command):
    verdict = SimpleNamespace(answer=answer, word=ANSWERS[answer], against=())
    say_published(Path("bundles/support-1"), verdict=verdict)
    named, remark, said = capsys.readouterr().out.splitlines()
    assert named.startswith("to fill in: ")
    assert said.startswith(f"next: difficulty {command} bundles/support-1")
    assert (ANSWERS[answer].lower() in remark) == (command == "evaluate")


_SPELT_OUT = re.compile(
    rf"(?<!['`\w])difficulty (?:{'|'.join(COMMANDS)}) (?!is )[^'`]*?"
    r"(?:--?[a-z-]+ \S+|[A-Z]{2,}|\{\})[.,;](?=\s|$)"
    r"|Run: (?:difficulty [a-z-]+|\{\})[.,;](?=\s|$)"
)
"""A command that is not in quotes, and a mark behind its last word: it would be pasted with it."""


def _texts(path):
    """Yield the line and the text of each string of a module, what is put in written as {}."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = (one.value if isinstance(one, ast.Constant) else "{}" for one in node.values)
            yield node.lineno, "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def test_no_mark_sticks_to_a_command_that_is_to_be_copied():
    """Wherever a message spells a command out it stands in quotes, or at the end of its line; and
    what comes next is printed in one place, that prints the command alone.
    """
    stuck, places = [], []
    for path in sorted((REPOSITORY / "difficulty").rglob("*.py")):
        for line, text in _texts(path):
            where = f"{path.relative_to(REPOSITORY)}:{line}"
            if "\n\n" not in text and _SPELT_OUT.search(text):
                stuck.append(where)
            if re.search(r"^next: |\nnext: ", text):
                places.append(path.name)
    assert stuck == []
    assert {*places} == {"console.py"}


@pytest.mark.parametrize("left", [True, False])
def test_labels_are_bought_for_requests_that_have_none(monkeypatch, tmp_path, capsys, left):
    """Of traffic whose rows all have outcomes the next command is about new requests, and says so;
    names that nobody knows are explained before it.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "holds_unlabelled", lambda traffic: left)
    (tmp_path / "labelled.parquet").touch()
    console.say_remedy(LABEL, {"CHEAP": "small", "FRONTIER": None}, traffic=Path("t.parquet"))
    named, *remark, said = capsys.readouterr().out.splitlines()
    what = "t.parquet" if left else "UNLABELLED"
    assert said.startswith(f"next: difficulty label {what} --cheap small --frontier FRONTIER ")
    assert "-o labelled-2.parquet" in said
    assert (remark == ["every row of t.parquet has its outcome: label others"]) is not left
    assert said.endswith(" -o labelled-2.parquet")
    assert ("UNLABELLED is new requests" in named) is not left
    assert "FRONTIER is the frontier model" in named


def test_next_bundle_has_a_name_of_its_own(tmp_path):
    assert console.next_bundle(Path("bundles/support-2")) == "bundles/support-3"
    (tmp_path / "a-3").mkdir()
    assert console.next_bundle(tmp_path / "a-2") == str(tmp_path / "a-4")
    assert console.next_bundle(Path("support")) == "support-2"
