"""Hostile clients before ``difficulty serve``: it goes on, with bounded memory, and another client
gets the same answer as before.

Hostile clients before a real LiteLLM proxy are in ``tests/integrations/test_litellm_hostile.py``.
"""

import contextlib
import http.client
import json
import os
import random
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter

import pytest

from tests.attack.conftest import sized
from tests.conftest import REPOSITORY
from tests.versions import SAVED, TEXT

MOST_MEMORY = 4 << 30
"""Bytes of address space of the service; the libraries reserve most of it."""
ASKED = json.dumps({"prompt": TEXT}).encode()
PIECES = (
    b"POST /decide HTTP/1.1\r\n",
    b"GET /health HTTP/1.1\r\n",
    b"PUT /decide HTTP/1.1\r\n",
    b"POST /" + b"x" * 70_000 + b" HTTP/1.1\r\n",
    b"POST /decide HTTP/9.9\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"\x00" * 100,
    b"Host: x\r\n",
    b"Content-Length: 20\r\n",
    b"Content-Length: 16000000\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Content-Length: -5\r\n",
    b"Content-Length: \xb2\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"X: " + b"y" * 60_000 + b"\r\n",
    b"X: y\r\n" * 200,
    b" folded\r\n",
    b"\r\n",
    b"\r\n" + ASKED,
    b"[" * 50_000,
    b'{"messages": ' + b"[" * 900 + b"]" * 900 + b"}",
    b'{"prompt": "' + b"a" * 100_000 + b'"}',
    b'{"prompt": "\\ud800", "prompt_tokens": ' + b"9" * 5_000 + b"}",
    b"[" + b"0," * 100_000 + b"0]",
    b'{"prompt": 1e999}',
    b"5\r\nhello\r\n0\r\n\r\n",
)
BODIES = (
    b"[" + b"0," * 400_000 + b"0]",
    b"[" + b"{}," * 2_047 + b"{}]",
    b"{" + b'"a": [' * 5_000,
    b"[" * 1_000_000,
    b'{"messages": [' + b'{"content": [{"text": "w7"}]},' * 20_000 + b"{}]}",
    b'{"prompt": "' + b"w7 " * 500_000 + b'"}',
    b'{"id": ' + b"9" * 100_000 + b', "prompt": "w7"}',
    b'{"prompt": "w7", "task": {"a": [1, 2, 3]}, "prompt_tokens": -1}',
    b"\xff\xfe" * 1_000,
    b"null",
    b"NaN",
    b"",
)


@pytest.fixture
def served():
    """A service of its own, which the system keeps from taking more memory; and its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from difficulty.cli import main; main()"),
            *("serve", str(SAVED), "--port", str(port), "--max-connections", "32"),
        ],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "MALLOC_ARENA_MAX": "2"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY)),
    )
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            time.sleep(0.1)
        yield process, port
    finally:
        process.kill()
        process.wait()


def decision(port):
    """Return what an honest client is answered, asking again where it finds no place."""
    for _ in range(60):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("POST", "/decide", ASKED)
            answer = connection.getresponse()
            if answer.status == 200:
                return json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.2)
    return None


def garbage(rng, counts, line):
    """Send pieces of requests in any order."""
    line.sendall(b"".join(rng.choice(PIECES) for _ in range(rng.randint(1, 8))))


def long_body(rng, counts, line):
    """Send a whole request with a body that costs much or is none."""
    body = rng.choice(BODIES)
    line.sendall(b"POST /decide HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    status = line.recv(64).split(b" ")
    counts[f"status {int(status[1])}" if len(status) > 1 else "closed"] += 1


def many_at_once(rng, counts, line):
    """Send forty requests before reading one answer."""
    head = b"POST /decide HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(ASKED)
    line.sendall((head + ASKED) * 40)


def half(rng, counts, line):
    """Begin a request and go away in the middle."""
    head = b"POST /decide HTTP/1.1\r\nContent-Length: 1000\r\n\r\n"
    line.sendall(head[: rng.randrange(len(head))] if rng.random() < 0.5 else head + b'{"prompt')


def reset(rng, counts, line):
    """Ask, and reset the connection before the answer."""
    line.sendall(b"POST /decide HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(ASKED) + ASKED)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


ATTACKS = (garbage, garbage, long_body, many_at_once, half, reset)


@pytest.mark.slow
def test_hostile_clients_before_serve(served, tally):
    """Some of the connections stay open as long as the service bears them."""
    process, port = served
    rng, counts, kept, expected = random.Random(0), Counter(), [], decision(port)
    assert expected["route"] in ("cheap", "frontier")
    for number in range(sized(3_000, least=20)):
        counts["cases"] += 1
        with contextlib.suppress(OSError):
            line = socket.create_connection(("127.0.0.1", port), timeout=60)
            kept.append(line)
            rng.choice(ATTACKS)(rng, counts, line)
        while len(kept) > rng.choice((0, 5, 50)):
            kept.pop(rng.randrange(len(kept))).close()
        if number % 20 == 0:
            counts["honest requests"] += 1
            assert decision(port) == expected
        assert process.poll() is None
    for line in kept:
        line.close()
    assert decision(port) == expected
    counts["MiB at most"] = peak_mib(process.pid)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    tally("clients of serve", counts)


def peak_mib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        (line,) = [line for line in file if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1_024
