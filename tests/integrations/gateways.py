"""A real LiteLLM proxy in front of the example's two models; what its client and its log say."""

import concurrent.futures
import contextlib
import importlib
import threading
import time

import pytest
from typer.testing import CliRunner

from difficulty.cli.app import build_app
from difficulty.gateway.log_files import read_log
from difficulty.request import read_requests
from difficulty.runtime import Router
from difficulty.runtime.service import route_rows
from tests.journey import write_rows

pytest.importorskip("litellm", exc_type=ImportError)  # what else the example lacks is a fault
client, proxies, reports, models = (
    importlib.import_module(f"examples.litellm.{name}")
    for name in ("client", "proxy", "report", "upstream")
)
CHECKS = ({"check": "non_empty", "options": {"whole": True}}, {"check": "refusal"})
SALT = "a-salt-of-tests"
RULES = {"easy_tasks": ("classify",), "hard_tasks": ("multi-step planning",), "validators": CHECKS}


class Running:
    """A proxy with its bundle and its log."""

    def __init__(self, bundle, proxy, log):
        self.bundle, self.proxy, self.log = bundle, proxy, log

    def events(self, ids):
        """Wait until the events of some requests are logged, and return them in that order."""
        until = time.monotonic() + 20
        while True:
            found = {event.id: event for event in read_log(self.log)} if self.log.is_dir() else {}
            if {*ids} <= {*found} or time.monotonic() > until:
                return [found[name] for name in ids]
            time.sleep(0.1)

    def ids(self):
        """Return the ids of what is logged by now."""
        return {event.id for event in read_log(self.log)} if self.log.is_dir() else set()

    def ask(self, text="Hello", **body):
        """Send one request and return its reply and its event."""
        body = {"model": "auto", "messages": [{"role": "user", "content": text}], **body}
        reply = client.ask(self.proxy, body)
        return reply, self.events([reply.decision["id"]])[0]


class Load:
    """A client in a thread that sends rows over and over until the block ends; what it has seen is
    in ``seen``.
    """

    def __init__(self, proxy, rows, *, at_once):
        self.seen = []
        """Each row, its reply, and when that came, by ``time.monotonic``."""
        self._stop = threading.Event()
        options = {
            "at_once": at_once,
            "keep": lambda row, reply: self.seen.append((row, reply, time.monotonic())),
        }
        self._thread = threading.Thread(
            target=client.send_until, args=(self._stop, proxy, rows), kwargs=options
        )

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def wait_for(self, holds, *, at_most_s=60.0):
        """Wait until something holds of a reply that comes from now on; return whether it came
        to.
        """
        begun, until = len(self.seen), time.monotonic() + at_most_s
        while time.monotonic() < until:
            if any(holds(reply) for _, reply, _ in self.seen[begun:]):
                return True
            time.sleep(0.05)
        return False


def write_config(path, bundle, upstream, *words, settings=""):
    """Write the configuration as the command prints it, and return its path; ``words`` are further
    options, ``settings`` lines of its own section.
    """
    for side in ("cheap", "frontier"):
        words += (f"--{side}", f"openai/{side}", f"--{side}-api-base", f"{upstream}/{side}/v1")
        words += (f"--{side}-api-key", "os.environ/EXAMPLE_KEY")
    for name in ("task", "prompt_tokens"):
        words += ("--client-may-set", name)
    words += (
        "--prices",
        str(proxies.ROOT / "data" / "prices.example.toml"),
        "--cheap-timeout",
        "2",
    )
    printed = CliRunner().invoke(build_app(), ["litellm-config", str(bundle), *map(str, words)])
    assert printed.exit_code == 0, printed.output
    salt = f"callback_settings:\n  difficulty:\n    salt: {SALT}\n{settings}"
    path.write_text(printed.stdout.replace("callback_settings:\n  difficulty:\n", salt))
    return path


@contextlib.contextmanager
def started_together(configs):
    """Start proxies side by side; yield them by their names."""
    with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor() as pool:
        contexts = {
            name: proxies.proxy(config, config.with_suffix(".log"))
            for name, config in configs.items()
        }
        starting = {name: pool.submit(context.__enter__) for name, context in contexts.items()}
        for name, context in contexts.items():
            stack.push(context.__exit__)
            starting[name].exception()
        yield {name: future.result() for name, future in starting.items()}


def known_rows(n):
    """Return rows of the sample whose outcomes are all known."""
    return [row for row, _ in list(models.known_requests().values())[:n]]


def decisions_of(bundle, rows, scratch):
    """Return what ``difficulty route`` decides of rows, by their ids."""
    return {
        row["id"]: row
        for row in route_rows(
            Router.load(bundle), read_requests(write_rows(scratch / "rows.jsonl", rows))
        )
    }
