"""Commands of ``difficulty`` in processes that begin with everything imported, so that a kill at a
random moment falls into their work and not into their imports.

Run as ``python -m tests.attack.forks``, it reads orders, a line of JSON each: a command's words and
the most bytes that its files may have, answered by its process id; then to wait, answered by how it
ended.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time

from tests.conftest import REPOSITORY

_MODULES = (
    "difficulty.stages.ingest",
    "difficulty.stages.train",
    "difficulty.stages.ship",
    "difficulty.stages.evaluate",
    "difficulty.stages.thresholds",
    "difficulty.stages.promote",
    "difficulty.stages.layout",
    "difficulty.bundle.folder_registry",
    "sklearn.linear_model",
    "scipy.sparse",
    "scipy.stats",
    "pyarrow.parquet",
    "onnx",
    "onnxruntime",
    "jinja2",
)


class Commands:
    """Start commands in forks of one process."""

    def __init__(self):
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.attack.forks"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
            bufsize=1,
        )

    def close(self):
        """End the process that forks."""
        self._parent.stdin.close()
        self._parent.wait()
        self._parent.stdout.close()

    def run(self, *words, most_bytes=None):
        """Run a command to its end; return its exit code, what it complained of, and the seconds
        that it took.
        """
        begun = time.monotonic()
        self._ask({"words": [*map(str, words)], "most_bytes": most_bytes})
        ended = self._ask({"wait": True})
        return ended["code"], ended["complaint"], time.monotonic() - begun

    def kill(self, *words, after_s):
        """Kill a command after a time; return whether it was still running."""
        child = self._ask({"words": [*map(str, words)], "most_bytes": None})["pid"]
        time.sleep(after_s)
        os.kill(child, signal.SIGKILL)  # not waited for yet, so the id is still its own
        return self._ask({"wait": True})["code"] == -signal.SIGKILL

    def _ask(self, order):
        self._parent.stdin.write(json.dumps(order) + "\n")
        return json.loads(self._parent.stdout.readline())


def main():
    """Start commands and wait for them, as told."""
    from importlib import import_module

    for name in _MODULES:
        import_module(name)
    # Spoken to by a copy: commands print.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    child, errors = 0, "/dev/null"
    for line in sys.stdin:
        order = json.loads(line)
        if "words" in order:
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(reading)
                _become(order, writing)
            os.close(writing)
            errors = os.fdopen(reading, "rb")
            answers.write(json.dumps({"pid": child}) + "\n")
        else:
            with errors:
                complaint = errors.read()[-3_000:].decode(errors="replace")
            _, status = os.waitpid(child, 0)
            code = os.waitstatus_to_exitcode(status)
            answers.write(json.dumps({"code": code, "complaint": complaint}) + "\n")


def _become(order, errors):
    """Run a command in this process, and end."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.dup2(errors, 2)
    if order["most_bytes"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["most_bytes"],) * 2)
    sys.argv = ["difficulty", *order["words"]]
    code = 70
    try:
        from difficulty.cli import main as run

        run()
    except SystemExit as stopped:
        code = stopped.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
