"""Laying a bundle out and serving it, as a user does."""

import json
import signal
import subprocess
import sys
import urllib.request

from tests.conftest import REPOSITORY


def test_layout_says_how_to_serve_it(run, journey):
    shown = run("layout", journey.bundle, "--for", "triton", "-o", "repository", code=0)
    assert (
        shown.out == "wrote repository\nserve it with: tritonserver --model-repository repository\n"
    )
    told = json.loads(
        run("layout", journey.bundle, "--for", "container", "-o", "image", "--json", code=0).out
    )
    assert (told["layout"], told["path"]) == ("container", "image")


def test_layout_refuses(run, journey, tmp_path):
    """A layout nobody knows, a folder that exists, no bundle."""
    assert (
        "unknown layout 'tensorrt'"
        in run("layout", journey.bundle, "--for", "tensorrt", "-o", "new", code=2).complaint
    )
    (tmp_path / "old").mkdir()
    assert (
        "folder 'old' exists already"
        in run("layout", journey.bundle, "--for", "triton", "-o", "old", code=2).complaint
    )
    assert (
        "no bundle at 'nowhere'"
        in run("layout", "nowhere", "--for", "triton", "-o", "new", code=2).complaint
    )
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_serve_answers_until_it_is_interrupted(journey):
    command = [
        sys.executable,
        "-c",
        "from difficulty.cli import main; main()",
        "serve",
        str(journey.bundle),
        "--port",
        "0",
        "--json",
    ]
    server = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        # As a terminal starts it: who runs the tests in the background has Ctrl-C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        told = json.loads(server.stdout.readline())
        assert told["bundle"] == "small-1"
        question = urllib.request.Request(
            told["address"], b'{"prompt": "Hi", "task": "multi-step planning"}'
        )
        with urllib.request.urlopen(question, timeout=60) as answer:
            assert json.loads(answer.read())["reason"] == "hard_task"
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=30) == 130
    finally:
        server.kill()
        server.communicate()


def test_serve_refuses_a_bundle_that_is_none(run):
    assert "no bundle at 'nowhere'" in run("serve", "nowhere", code=2).complaint
