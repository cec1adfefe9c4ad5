"""A small OpenAI-compatible server whose models answer, fail, limit, hang, bill and judge as a test
says, and that counts what it was paid for.
"""

import contextlib
import hashlib
import json
import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PRICE = {"cheap": (0.1, 0.3), "frontier": (2.0, 8.0), "judge": (1.0, 4.0)}
"""USD per million tokens, read and written."""


def unit(*parts):
    """Return a number in [0, 1) that depends on some words alone."""
    digest = hashlib.sha256("\x00".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


class Reply:
    """What a model sends back."""

    def __init__(self, text="", *, status=200, headers=None, usage=None, body=None, hang_s=0.0):
        self.text, self.status, self.headers = text, status, headers or {}
        self.usage, self.body, self.hang_s = usage, body, hang_s
        self.finish_reason = "stop"


class Upstream:
    """Models by name: functions from the request's body and the number of the attempt on it to a
    :class:`Reply`.
    """

    def __init__(self, models, prices=PRICE):
        self.models, self.prices = models, prices
        self.attempts = Counter()
        """By model and hash of the body."""
        self.paid = Counter()
        """The same, of those that were answered and billed."""
        self.billed_usd = 0.0
        self.bodies = []
        self.most_at_once = self._at_once = 0
        self._lock = threading.Lock()

    def answer(self, body):
        """Return the status, the headers and the body of one attempt."""
        key = (body["model"], hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest())
        with self._lock:
            self.attempts[key] += 1
            attempt = self.attempts[key]
            self.bodies.append(body)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            reply = self.models[body["model"]](body, attempt)
            usage = reply.usage or usage_of(body, reply.text)
            if reply.status == 200:
                with self._lock:
                    self.paid[key] += 1
                    self.billed_usd += bill(self.prices[body["model"].partition("-")[0]], usage)
            if reply.hang_s:
                time.sleep(reply.hang_s)
        finally:
            with self._lock:
                self._at_once -= 1
        return reply.status, reply.headers, reply.body or completion(body["model"], reply, usage)

    def calls(self, model):
        """Return how often a model was asked."""
        return sum(n for (name, _), n in self.attempts.items() if name == model)


def usage_of(body, text):
    read = sum(len(message["content"]) for message in body["messages"]) // 4 + 1
    written = min(len(text) // 4 + 1, body.get("max_tokens", 10**9))
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def bill(price, usage):
    read, written = price
    return (usage["prompt_tokens"] * read + usage["completion_tokens"] * written) / 1e6


def completion(model, reply, usage):
    message = {"role": "assistant", "content": reply.text}
    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
    form = {"id": "x", "object": "chat.completion", "created": 1, "model": model}
    if reply.status != 200:
        return {"error": {"message": "an error of the test", "type": "test", "code": reply.status}}
    return {**form, "choices": [choice], **({"usage": usage} if usage else {})}


def user_text(body):
    return body["messages"][-1]["content"]


def replaying(answers):
    """Return a model that gives known answers by the request's last text."""
    return lambda body, attempt: Reply(answers[user_text(body)])


def echoing(name):
    """Return a model that answers with its name, a colon and what it was asked."""
    return lambda body, attempt: Reply(f"{name}: {user_text(body)[:60]}")


def shown_pair(body):
    """Return what a judge was shown: the request, and both answers."""
    parts = re.search(
        r"<request>\n(.*)\n</request>.*<answer_a>\n(.*)\n</answer_a>.*<answer_b>\n(.*)\n</answer_b>",
        user_text(body),
        flags=re.DOTALL,
    )
    return parts.groups()


def judging(better, *, bias=0.0):
    """Return a judge that says which answer is better as ``better(request, first, second)`` does
    (``"A"``, ``"B"`` or ``"TIE"``), and with the probability ``bias`` names the first whatever it
    says; below 0 the second.
    """

    def judge(body, attempt):
        request, first, second = shown_pair(body)
        forced = unit("bias", request, first, second) < abs(bias)
        mark = ("A" if bias > 0 else "B") if forced else better(request, first, second)
        return Reply(f"I compared both answers.\n[[{mark}]]")

    return judge


@contextlib.contextmanager
def serving(upstream):
    """Serve on loopback; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, headers, content = upstream.answer(body)
            raw = content if isinstance(content, bytes) else json.dumps(content).encode()
            with contextlib.suppress(OSError):  # a client that hung up
                self.send_response(status)
                for name, value in {"content-type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_):
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
