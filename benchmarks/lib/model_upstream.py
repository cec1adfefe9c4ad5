"""A small OpenAI-compatible server whose models answer, fail, limit, hang, bill and judge as they
are told to, and that counts what it was paid for. Tests of labelling use it too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PRICE = {"cheap": (0.1, 0.3), "frontier": (2.0, 8.0), "judge": (1.0, 4.0)}
"""USD per million tokens, read and written."""
Body = Mapping[str, Any]


def unit(*parts: object) -> float:
    """Return a number in [0, 1) that depends on some words alone."""
    digest = hashlib.sha256("\x00".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


@dataclass(slots=True)
class Reply:
    """What a model sends back; ``body`` in place of a chat completion."""

    text: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    usage: Mapping[str, Any] | None = None
    body: Any = None
    hang_s: float = 0.0
    finish_reason: str = "stop"
    billed: bool | None = None
    """``None``: what was answered with 200 is."""


Model = Callable[[Body, int], Reply]
"""From a request's body and the number of the attempt on it to a reply."""


class Upstream:
    """Models by name, and what was asked and paid."""

    def __init__(
        self, models: Mapping[str, Model], prices: Mapping[str, tuple[float, float]] = PRICE
    ) -> None:
        self.models, self.prices = dict(models), prices
        self.attempts: Counter[tuple[str, str]] = Counter()
        """By model and hash of the body."""
        self.paid: Counter[tuple[str, str]] = Counter()
        """The same, of those that were billed."""
        self.billed_usd = 0.0
        self.bodies: list[Body] = []
        self._lock = threading.Lock()

    def reply_to(self, body: Body) -> tuple[Reply, Any]:
        """Return a model's reply to one attempt, and the content that is sent."""
        model = body["model"]
        key = (model, hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest())
        with self._lock:
            self.attempts[key] += 1
            attempt = self.attempts[key]
            self.bodies.append(body)
        reply = self.models[model](body, attempt)
        usage = reply.usage or usage_of(body, reply.text)
        if reply.status == 200 if reply.billed is None else reply.billed:
            with self._lock:
                self.paid[key] += 1
                self.billed_usd += bill(self.prices[model], usage)
        return reply, reply.body if reply.body is not None else _completion(model, reply, usage)

    def calls(self, model: str) -> int:
        """Return how often a model was asked."""
        return sum(n for (name, _), n in self.attempts.items() if name == model)


def usage_of(body: Body, text: str) -> dict[str, int]:
    """Return the tokens of a call: one for four characters."""
    read = sum(len(message["content"]) for message in body["messages"]) // 4 + 1
    written = min(len(text) // 4 + 1, body.get("max_tokens", 1 << 30))
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def bill(price: tuple[float, float], usage: Mapping[str, Any]) -> float:
    """Return USD of a call."""
    read, written = price
    return (usage["prompt_tokens"] * read + usage["completion_tokens"] * written) / 1e6


def _completion(model: str, reply: Reply, usage: Mapping[str, Any]) -> dict[str, Any]:
    if reply.status != 200:
        return {"error": {"message": "an error of a test", "type": "test", "code": reply.status}}
    message = {"role": "assistant", "content": reply.text}
    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
    form = {"id": "x", "object": "chat.completion", "created": 1, "model": model}
    return {**form, "choices": [choice], "usage": usage}


def user_text(body: Body) -> str:
    """Return the last message's text."""
    return str(body["messages"][-1]["content"])


def echoing(name: str) -> Model:
    """Return a model that answers with its name, a colon and what it was asked."""
    return lambda body, attempt: Reply(f"{name}: {user_text(body)[:60]}")


_PAIR = re.compile(
    r"<request>\n(.*)\n</request>.*<answer_a>\n(.*)\n</answer_a>.*<answer_b>\n(.*)\n</answer_b>",
    re.DOTALL,
)


def shown_pair(body: Body) -> tuple[str, str, str]:
    """Return what a judge was shown: the request, and both answers in their order."""
    parts = _PAIR.search(user_text(body))
    assert parts is not None
    return parts[1], parts[2], parts[3]


def truth(request: str, first: str, second: str) -> str:
    """Return the better answer's mark, ``A``, ``B`` or ``TIE``: by a hash of the request, whatever
    the order; answers begin with their model's name.
    """
    marks = {text.partition(":")[0]: mark for text, mark in ((first, "A"), (second, "B"))}
    share = unit("truth", request)
    if share < 0.2:
        return "TIE"
    return marks["cheap"] if share < 0.45 else marks["frontier"]


def judging(better: Callable[[str, str, str], str] = truth, *, bias: float = 0.0) -> Model:
    """Return a judge that names the better answer, and with the probability of the size of ``bias``
    the first whatever it is shown, or where that is below 0 the second.
    """

    def judge(body: Body, attempt: int) -> Reply:
        request, first, second = shown_pair(body)
        forced = unit("bias", request, first, second) < abs(bias)
        mark = ("A" if bias > 0 else "B") if forced else better(request, first, second)
        return Reply(f"I compared both answers.\n[[{mark}]]")

    return judge


def usual_upstream(**models: Model) -> Upstream:
    """Return an upstream of two models and a fair judge, perhaps with others in their place."""
    usual = {"cheap": echoing("cheap"), "frontier": echoing("frontier"), "judge": judging()}
    return Upstream(usual | models)


@contextlib.contextmanager
def serving(upstream: Upstream) -> Iterator[str]:
    """Serve on loopback; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            reply, content = upstream.reply_to(body)
            if reply.hang_s:
                time.sleep(reply.hang_s)
            raw = content if isinstance(content, bytes) else json.dumps(content).encode()
            with contextlib.suppress(OSError):  # a client that hung up
                self.send_response(reply.status)
                for name, value in {"content-type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
