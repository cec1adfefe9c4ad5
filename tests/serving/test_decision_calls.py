"""The HTTP service on a real socket: what it decides is what the router decides."""

import contextlib
import http.client
import json
import logging
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from difficulty.cli import main
from difficulty.request import RequestRow, request_row
from difficulty.runtime import Router
from difficulty.runtime.service import explain_rows, route_rows
from difficulty.serving.call_bodies import MOST_BYTES
from tests.answer_checks import write_with_check
from tests.bundle.conftest import SAVED
from tests.conftest import REPOSITORY
from tests.runtime.conftest import unlimited
from tests.serving.conftest import ask, connected, raw, serving_decisions
from tests.telemetry.conftest import read_text

FORMS = [
    {
        "id": "a",
        "messages": [{"role": "user", "content": "Which label fits: invoice or complaint?"}],
        "task": "classify",
        "prompt_tokens": 9,
    },
    {"prompt": "Plan the move of our warehouse to Lyon."},
    {"prompt": "é\ud800", "task": "multi-step planning"},
    {"messages": []},
    {"id": 7},
    "no object",
]


@pytest.fixture(scope="module")
def router(small):
    return unlimited(Router.from_bundle(small))


@pytest.fixture(scope="module")
def server(router):
    with serving_decisions(router) as service:
        yield service


def test_decisions_are_those_of_route(server, router):
    """One request gives one decision, a list a list; one connection bears many questions."""
    expected = list(
        route_rows(
            router,
            [request_row(form, number, noun="request") for number, form in enumerate(FORMS, 1)],
        )
    )
    assert {row["route"] for row in expected} == {"cheap", "frontier"}
    with connected(server) as connection:
        assert ask(connection, "POST", "/decide", FORMS) == (200, expected)
        assert ask(connection, "POST", "/decide", FORMS[0]) == (200, expected[0])
        assert ask(connection, "POST", "/decide", []) == (200, [])


def test_health_names_the_bundle(server, router):
    with connected(server) as connection:
        assert ask(connection, "GET", "/health") == (200, {"bundle": router.version})


@pytest.mark.parametrize(
    ("question", "status", "error"),
    [
        (("POST", "/decide", b"{"), 400, "a request must be JSON: "),
        (("POST", "/decide", b"\xff"), 400, "a request must be JSON: "),
        (("POST", "/decide", b"[" * 100_000), 400, "a request must be nested at most "),
        (
            ("POST", "/decide", b"", {"Content-Length": str(MOST_BYTES + 1)}),
            413,
            "at most 16,000,000 bytes: got 16,000,001",
        ),
        (("POST", "/decide", b"", {"Content-Length": "9" * 5_000}), 413, "got far more"),
        (("POST", "/decide", b"[" + b"0," * 999_999 + b"0]"), 413, "2,048 requests: got 1,000,000"),
        (("POST", "/decide", [{"prompt": "x"}] * 2_049), 413, "at most 2,048 requests: got 2,049"),
        (("POST", "/decide", b"[" + b"[]," * 5_000_000 + b"0]"), 413, "at most 2,000,000 objects"),
        (
            ("POST", "/decide", b"{}", {"Content-Length": "2", "Transfer-Encoding": "chunked"}),
            400,
            "needs one Content-Length alone",
        ),
        (("GET", "/health", b"{}", {"Content-Length": "2"}), 400, "GET has no body"),
        (("POST", "/decide", b"", {"Content-Length": "-1"}), 411, "needs a Content-Length"),
        (("POST", "/score", b"{}"), 404, "POST knows /decide, /check and /explain"),
        (("GET", "/"), 404, "GET knows /health"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_question_is_refused(server, question, status, error):
    """The service goes on after it."""
    with connected(server) as connection:
        answer = ask(connection, *question)
        assert (answer[0], error in answer[1]["error"]) == (status, True)
    with connected(server) as connection:
        assert ask(connection, "GET", "/health")[0] == 200


def test_many_connections_at_once(server, router):
    expected = next(route_rows(router, [RequestRow("1", request_row(FORMS[1], 1).request)]))
    answers = []

    def work():
        with connected(server) as connection:
            answers.extend(ask(connection, "POST", "/decide", FORMS[1]) for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [(200, expected)] * 80


def test_two_lengths_are_refused(server):
    """Who stands before the service may have read the other one."""
    with raw(server) as line:
        line.sendall(b"POST /decide HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\n{}")
        assert line.recv(100).startswith(b"HTTP/1.1 400 ")


def test_text_with_as_many_commas_as_one_likes_is_decided(server):
    with connected(server) as connection:
        status, decision = ask(connection, "POST", "/decide", {"prompt": "a,[{" * 1_000_000})
        assert (status, decision["truncated"]) == (200, True)


def test_connections_are_bounded_and_quiet_ones_make_room(router):
    """Four of four are taken: one more finds no place until one of them has kept quiet for a
    second, and takes the place of that one.
    """
    with serving_decisions(router, most_connections=4) as bounded, ExitStack() as stack:
        quiet = [stack.enter_context(raw(bounded)) for _ in range(4)]
        for line in quiet:  # half of a call each
            line.sendall(b"POST /decide HTTP/1.1\r\nContent-")
        time.sleep(0.2)
        with raw(bounded) as line:
            assert line.recv(100).startswith(b"HTTP/1.1 503 ")
        time.sleep(1.0)
        with connected(bounded) as connection:
            assert ask(connection, "GET", "/health")[0] == 200
        assert quiet[0].recv(100) == b""


class Slow:
    """A router that takes its time."""

    def __init__(self, router):
        self.router, self.asked = router, threading.Event()

    def decide_many(self, requests):
        """Decide after half a second."""
        self.asked.set()
        time.sleep(0.5)
        return self.router.decide_many(requests)


def test_what_has_come_in_is_answered_at_the_end(router):
    """A call under way gets its answer, an idle connection is closed, and nobody new is let in."""
    slow, answers = Slow(router), []
    with serving_decisions(slow) as ending:

        def work():
            with connected(ending) as connection:
                answers.append(ask(connection, "POST", "/decide", FORMS[1]))

        asking = threading.Thread(target=work)
        with raw(ending) as idle:
            asking.start()
            assert slow.asked.wait(30)
            ending.stop()
            assert idle.recv(10) == b""
        asking.join()
    assert [status for status, _ in answers] == [200]
    with pytest.raises(ConnectionRefusedError):
        raw(ending).__enter__()


SERVE = "import sys; from difficulty.cli import main; sys.argv[0] = 'difficulty'; main()"


def test_command_ends_gracefully_and_keeps_its_memory(journey):
    """Against calls of 16 MB that want a gigabyte, several at once; then it is told to end."""
    command = [sys.executable, "-c", SERVE, "serve", str(journey.bundle), "--port", "0", "--json"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process,
        contextlib.ExitStack() as ended,
    ):
        ended.callback(process.kill)  # a test that fails may not wait for a server
        told = ""
        while not told.rstrip().endswith("}"):
            told += process.stdout.readline()
        address = json.loads(told)["address"].removesuffix("/decide").removeprefix("http://")
        before = resident(process.pid)

        def attack(content):
            connection = http.client.HTTPConnection(address, timeout=60)
            connection.request("POST", "/decide", content)
            return connection.getresponse().status

        lists = [
            b"[" + part * (15_990_000 // len(part)) + b"0]" for part in (b"0,", b"[],", b"{},")
        ]
        with ThreadPoolExecutor(6) as pool:
            assert set(pool.map(attack, lists * 4)) == {413}
        assert resident(process.pid, peak=True) - before < 300e6
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def resident(number, *, peak=False):
    """Return the memory of a process, now or at its most, in bytes."""
    name = "VmHWM:" if peak else "VmRSS:"
    with open(f"/proc/{number}/status") as file:
        (line,) = (line for line in file if line.startswith(name))
    return int(line.split()[1]) * 1024


@pytest.fixture(scope="module")
def checking(tmp_path_factory):
    """A server whose bundle has a check by hand: the answer's first word is its score."""
    folder = tmp_path_factory.mktemp("checked") / "words-1"
    write_with_check(SAVED, folder, rule={"kind": "both", "request_threshold": 0.5})
    with serving_decisions(Router.load(folder)) as service:
        yield service


def test_answers_are_checked_over_http(checking):
    """One gives one verdict, a list a list; what cannot be read passes, and says why."""
    call = {"function": {"name": "f", "arguments": "{"}}
    forms = [
        {"prompt": "w3", "answer": "w150"},
        {"id": "b", "prompt": "w3", "answer": {"role": "assistant", "content": "w50"}},
        {"prompt": "w3", "answer": {"content": None, "tool_calls": [call]}, "tools": [{}]},
        {"prompt": "w3", "answer": {"choices": []}},
        {"prompt": "w3"},
        {"prompt": "w3", "answer": 7},
        {"messages": [], "answer": "w1"},
        "no object",
    ]
    with connected(checking) as connection:
        status, verdicts = ask(connection, "POST", "/check", forms)
        assert ask(connection, "POST", "/check", forms[0])[1] == verdicts[0]
        _, health = ask(connection, "GET", "/health")
    assert status == 200
    assert [verdict["reason"] for verdict in verdicts] == [
        "above_threshold",
        *["within_threshold"] * 3,
        *["unknown"] * 4,
    ]
    assert [verdict["escalate"] for verdict in verdicts] == [True, *[False] * 7]
    assert (verdicts[0]["answer_score"], verdicts[1]["id"]) == (0.75, "b")
    assert [verdict.get("error", "")[:30] for verdict in verdicts[4:]] == [
        "answer must be a text or a mes",
        "answer must be a text or a mes",
        "a request must hold some text ",
        "request 8 must be a JSON objec",
    ]
    assert (health["check"]["checked"], health["check"]["unknown"]) == (9, 4)
    assert (health["check"]["escalated"], health["check"]["stale"]) == (2, False)


def test_explanations_over_http(server, small):
    """They are the router's own, and are no decisions that count; a call holds a few alone."""
    with connected(server) as connection:
        status, told = ask(connection, "POST", "/explain", FORMS)
        assert (status, len(told)) == (200, len(FORMS))
        assert ask(connection, "POST", "/explain", FORMS[1])[1] == {**told[1], "id": "1"}
        rows = [request_row(form, number, noun="request") for number, form in enumerate(FORMS, 1)]
        assert told == json.loads(json.dumps(list(explain_rows(Router.from_bundle(small), rows))))
        status, refused = ask(connection, "POST", "/explain", FORMS[:1] * 17)
        assert (status, refused["error"]) == (413, "a call must have at most 16 requests: got 17")


def test_service_without_a_check_lets_answers_pass(server):
    with connected(server) as connection:
        status, verdict = ask(connection, "POST", "/check", {"prompt": "w3", "answer": "w150"})
    assert (status, verdict["escalate"], verdict["reason"]) == (200, False, "no_check")


def test_caller_says_that_nobody_will_check(checking):
    with connected(checking) as connection:
        decisions = [
            ask(connection, "POST", "/decide", {"prompt": "w3", "checked": checked})[1]
            for checked in (True, False)
        ]
    assert [decision["threshold"] for decision in decisions] == [0.6, 0.5]


def test_prometheus_reads_what_was_decided(server, router):
    """Decisions by route and reason, their scores, calls by status; the bundle that decides."""
    requests = [{"prompt": "Hello"}, {"prompt": "Hello again"}, {}]
    with connected(server) as connection:
        status, decisions = ask(connection, "POST", "/decide", requests)
        assert status == 200
        ask(connection, "GET", "/nowhere")
    with connected(server) as connection:
        connection.request("GET", "/metrics")
        reply = connection.getresponse()
        assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        samples = read_text(reply.read().decode())
    version = router.version
    errors = [row for row in decisions if row["reason"] == "scorer_error"]
    key = ("bundle_version", version), ("reason", "scorer_error"), ("route", errors[0]["route"])
    assert samples[("difficulty_decisions_total", *key)] >= len(errors)
    assert samples["difficulty_score_count", ("bundle_version", version)] >= 2
    assert samples["difficulty_decision_seconds_count",] >= 3
    assert samples["difficulty_scorer_errors_total",] == router.scorer_errors >= 1
    assert samples["difficulty_bundle_info", ("bundle_version", version)] == 1
    assert samples["difficulty_service_answers_total", ("path", "/decide"), ("status", "200")] >= 1
    assert samples["difficulty_service_answers_total", ("path", "other"), ("status", "404")] >= 1


def test_command_lets_warnings_of_the_router_through(journey, monkeypatch):
    """Other commands have them in their output: a refused bundle stands nowhere else here."""
    logger = logging.getLogger("difficulty.runtime")
    monkeypatch.setattr(logger, "level", logging.ERROR)
    heard = []
    monkeypatch.setattr(
        "difficulty.serving.served.build_service",
        lambda *_, **__: heard.append(logger.level) or sys.exit(0),
    )
    monkeypatch.setattr(sys, "argv", ["difficulty", "serve", str(journey.bundle), "--follow"])
    with pytest.raises(SystemExit):
        main()
    assert heard == [logging.WARNING]
