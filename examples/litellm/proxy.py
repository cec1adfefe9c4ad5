"""Processes of the example, all on 127.0.0.1: the two models and a LiteLLM proxy. They end with the
block that began them.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["Proxy", "free_port", "proxy", "upstreams"]

ROOT = Path(__file__).parents[2]
_PATIENCE_S = 300.0


class Proxy(NamedTuple):
    """A proxy that answers."""

    url: str
    key: str
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def upstreams(folder: Path) -> Iterator[str]:
    """Run the two models; yield the address under which ``/cheap/v1`` and ``/frontier/v1`` are."""
    port = free_port()
    with _running(
        [sys.executable, "-m", "examples.litellm.upstream", str(port)], folder / "upstream.log", {}
    ) as process:
        _wait(f"http://127.0.0.1:{port}/", process, folder / "upstream.log")
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def proxy(config: Path, log: Path) -> Iterator[Proxy]:
    """Run a LiteLLM proxy with a configuration; nothing is fetched or reported by it."""
    port, key = free_port(), f"sk-{secrets.token_hex(24)}"
    environment = {
        "LITELLM_MASTER_KEY": key,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "EXAMPLE_KEY": "not-a-secret",
        "PYTHONUNBUFFERED": "1",
    }
    program = [
        str(Path(sys.executable).with_name("litellm")),
        "--config",
        str(config),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with _running([*program, "--telemetry", "False"], log, environment) as process:
        _wait(f"http://127.0.0.1:{port}/health/liveliness", process, log)
        yield Proxy(f"http://127.0.0.1:{port}", key, process)


@contextlib.contextmanager
def _running(
    command: list[str], log: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment},
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(
        f"{process.args!r:.80} does not answer. Its last"
        f" words:\n{log.read_text(errors='replace')[-2000:]}"
    )


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
