"""Services in a thread, on a real socket."""

import http.client
import json
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from difficulty.bundle import read_bundle
from difficulty.gateway.log_files import read_log
from difficulty.serving.asgi_server import Service
from difficulty.serving.web_app import WebApp


@contextmanager
def serving(app, **options):
    """Serve an application in a thread until the block ends."""
    service = Service(app, port=0, **options)
    thread = threading.Thread(target=service.run_until_stopped)
    thread.start()
    try:
        yield service
    finally:
        service.stop()
        thread.join()


def serving_decisions(router, **options):
    """Serve a router's decisions."""
    return serving(WebApp(router), **options)


@contextmanager
def connected(service):
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def raw(service):
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as line:
        yield line


def ask(connection, method, path, content=None, headers=None):
    """Return the status and the JSON of an answer."""
    body = content if isinstance(content, bytes | None) else json.dumps(content).encode()
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


@pytest.fixture(scope="session")
def small(journey):
    """The bundle of the journey, read once."""
    return read_bundle(journey.bundle)


def wait_for_event(log, name):
    """Return the event of a request, once it is in the log."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        events = {event.id: event for event in read_log(log)} if log.is_dir() else {}
        if name in events:
            return events[name]
        time.sleep(0.05)
    raise AssertionError("no event was logged")
