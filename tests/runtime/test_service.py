"""The HTTP service on a real socket: what it decides is what the router decides."""

import http.client
import json
import threading
from contextlib import contextmanager

import pytest

from difficulty.request import RequestRow, request_row
from difficulty.runtime import Router
from difficulty.runtime.service import MOST_BYTES, DecisionServer, route_rows

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
def server(small):
    with DecisionServer(Router.from_bundle(small), port=0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def connected(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    try:
        yield connection
    finally:
        connection.close()


def ask(connection, method, path, content=None, headers=None):
    """Return the status and the JSON of an answer."""
    body = content if isinstance(content, bytes | None) else json.dumps(content).encode()
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_decisions_are_those_of_route(server):
    """One request gives one decision, a list a list; one connection bears many questions."""
    expected = list(
        route_rows(
            server.router, [request_row(form, number) for number, form in enumerate(FORMS, 1)]
        )
    )
    assert {row["route"] for row in expected} == {"cheap", "frontier"}
    with connected(server) as connection:
        assert ask(connection, "POST", "/decide", FORMS) == (200, expected)
        assert ask(connection, "POST", "/decide", FORMS[0]) == (200, expected[0])
        assert ask(connection, "POST", "/decide", []) == (200, [])


def test_health_names_the_bundle(server):
    with connected(server) as connection:
        assert ask(connection, "GET", "/health") == (200, {"bundle": server.router.version})


@pytest.mark.parametrize(
    ("question", "status", "error"),
    [
        (("POST", "/decide", b"{"), 400, "a request must be JSON: "),
        (("POST", "/decide", b"\xff"), 400, "a request must be JSON: "),
        (("POST", "/decide", b"[" * 100_000), 400, "a request must be JSON: "),
        (
            ("POST", "/decide", b"", {"Content-Length": str(MOST_BYTES + 1)}),
            413,
            "at most 16,000,000 bytes: got 16,000,001",
        ),
        (("POST", "/decide", b"", {"Content-Length": "-1"}), 411, "needs a Content-Length"),
        (("POST", "/score", b"{}"), 404, "POST knows /decide"),
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


def test_many_connections_at_once(server):
    expected = next(route_rows(server.router, [RequestRow("1", request_row(FORMS[1], 1).request)]))
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
