"""A store that speaks S3 on this machine, and has bad days when asked."""

import logging
import time
from threading import Thread

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line a call

SLOW_DOWN = (
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)


class S3Server:
    """Moto's server on a free port.

    Attributes
    ----------
    faults : list of callable
        Each is asked of every call, with its WSGI environment; an HTTP status is the answer then.
    asked : list of (str, str)
        Method and path of every call.
    """

    def __init__(self):
        self.faults, self.asked = [], []
        self._store = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self):
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.port}"

    def client(self):
        """Return a client of its own, which no fault is meant for."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
        )

    def keys(self, bucket, prefix=""):
        """Return what lies in a bucket."""
        listed = self.client().list_objects_v2(Bucket=bucket, Prefix=prefix)
        return [item["Key"] for item in listed.get("Contents", [])]

    def _answer(self, environ, start):
        self.asked.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        for fault in list(self.faults):
            if status := fault(environ):
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                start(f"{status} Fault", [("Content-Type", "application/xml")])
                return [SLOW_DOWN if status == 503 else b""]
        return self._store(environ, start)


def busy(times, *, method="GET"):
    """Return a fault: the first calls with a method are told to slow down."""
    left = [times]

    def fault(environ):
        if environ["REQUEST_METHOD"] == method and left[0]:
            left[0] -= 1
            return 503
        return None

    return fault


def slow(seconds):
    """Return a fault: every answer takes its time."""

    def fault(environ):
        time.sleep(seconds)

    return fault


def refusing(name, *, status=500, method="PUT"):
    """Return a fault: calls for keys that end so fail."""

    def fault(environ):
        wanted = environ["REQUEST_METHOD"] == method and environ["PATH_INFO"].endswith(name)
        return status if wanted else None

    return fault
