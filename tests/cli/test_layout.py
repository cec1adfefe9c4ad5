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


def test_new_key_is_shown_once_and_kept_as_a_hash(run, tmp_path):
    """Its file is what serve reads; a second key stands beside the first."""
    from difficulty.serving.api_keys import ApiKeys

    path = tmp_path / "keys.txt"
    secrets = [
        json.loads(run("new-key", name, "--keys", path, "--json", code=0).out)["key"]
        for name in ("team-a", "team-b")
    ]
    known = ApiKeys(path)
    assert [known.find(secret).name for secret in secrets] == ["team-a", "team-b"]
    assert not any(secret in path.read_text() for secret in secrets)
    assert path.stat().st_mode & 0o077 == 0
    assert "name of letters" in run("new-key", "two words", code=2).complaint


def test_serve_refuses_half_of_what_it_needs(run, journey, tmp_path):
    """One model of two, a log without models, a file of keys that holds none in the clear."""
    serve = ("serve", journey.bundle, "--port", "0")
    assert "--frontier must be given" in run(*serve, "--cheap", "openai/a", code=2).complaint
    assert "--log must stand beside --cheap" in run(*serve, "--log", "log", code=2).complaint
    (tmp_path / "keys.txt").write_text("team-a my-secret-key\n")
    complaint = run(*serve, "--keys", tmp_path / "keys.txt", code=2).complaint
    assert "line.1 must be a name and the SHA-256 of a key" in complaint
    assert "my-secret-key" not in complaint
