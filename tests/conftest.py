import gc
import importlib.util
import logging
import os
import re
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")  # how long an example takes is the machine's matter

REPOSITORY = Path(__file__).parents[1]

# What is loaded while tests are collected stays to the end: looking it through for garbage again
# and again took half of that time. From the first test on garbage is collected as ever.
gc.disable()


def pytest_collection_finish() -> None:
    """Set apart what was loaded, and collect what the tests leave."""
    gc.freeze()
    gc.enable()


AT_START = frozenset(path.name for path in REPOSITORY.iterdir())
"""What lies in the repository's folder before the first test."""


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where tests left anything in the repository's folder: later ones, and people, would find
    it there. Caches of tools have a name that begins with a dot.
    """
    if hasattr(session.config, "workerinput"):  # the process that deals out the tests looks
        return
    left = sorted({path.name for path in REPOSITORY.iterdir()} - AT_START)
    if left := [name for name in left if not name.startswith((".", "__pycache__"))]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        reporter.write_line(f"tests left in the repository's folder: {', '.join(left)}", red=True)


# Else importing litellm asks the network for prices, and its retries write into other tests.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")


@pytest.fixture(autouse=True)
def log_level():
    """The command line, run inside a test, quietens the runtime's logger; the next test hears it
    again.
    """
    logger = logging.getLogger("difficulty.runtime")
    level = logger.level
    yield
    logger.setLevel(level)


def public_data(variable: str, default: str) -> Path:
    """Return a folder of public data that is not in the repository, or skip."""
    path = Path(os.environ.get(variable, REPOSITORY / default))
    if not path.is_dir():
        pytest.skip(f"no data at {path}: set {variable}")
    return path


@pytest.fixture(scope="session")
def routellm() -> Path:
    return public_data("DIFFICULTY_ROUTELLM", "../shared/data/raw/RouteLLM")


@pytest.fixture(scope="session")
def normalised() -> Path:
    return public_data("DIFFICULTY_TOOLS", "../shared/data/normalised")


@pytest.fixture(scope="session")
def journey(tmp_path_factory):
    """A small part of the sample, ingested, trained on and shipped; read only."""
    from tests.journey import make_journey  # loads every library of training

    return make_journey(tmp_path_factory.mktemp("journey"))


def require_program(name: str) -> str:
    """Return the path of a program; where it is missing skip the test, or fail it when CI says that
    it must be there.
    """
    if path := shutil.which(name):
        return path
    _missing(f"needs the program {name!r}, which is not installed")


def require_package(name: str) -> Path:
    """Return the folder of a package; where it is missing skip the test, or fail it when CI says
    that it must be there.
    """
    if spec := importlib.util.find_spec(name):
        return Path(spec.origin).parent
    _missing(f"needs the package {name!r}, which is not installed")


def _missing(reason: str) -> NoReturn:
    if os.environ.get("DIFFICULTY_REQUIRE_PROGRAMS"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=require_program("chromium"))
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, address):
    """Return a function that opens the page; at the end nothing was asked for and nothing
    complained.
    """
    contexts, asked, said = [], [], []

    def opened(*, width=1000, height=800, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert asked == [address] * len(contexts)
    assert said == []


STARTING = re.compile(r"^(?:import|from) (?:subprocess|multiprocessing)\b", re.MULTILINE)
"""A file with such a line has tests that start programs or servers."""
QUICK = {"test_docs.py", "test_quick_tests.py", "test_repository.py"}
"""Files whose programs only import the package, or ask git."""


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by markers
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Mark the tests that start a process, which the quick loop leaves out."""
    for item in items:
        named = any(item.get_closest_marker(name) for name in ("gateway", "node", "browser"))
        if named or _starts_programs(item.path):
            item.add_marker("process")


@cache
def _starts_programs(path: Path) -> bool:
    return path.name not in QUICK and bool(STARTING.search(path.read_text(encoding="utf-8")))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Require the programs and packages that a test's markers name."""
    if item.get_closest_marker("node"):
        require_program("node")
        require_node_modules()
    if item.get_closest_marker("browser"):
        require_program("chromium")


def require_node_modules() -> None:
    """Skip the test, or fail it in CI, where the packages of the router in Node.js are not
    installed.
    """
    if (REPOSITORY / "examples" / "node" / "node_modules").is_dir():
        return
    _missing("needs the packages of examples/node: run 'npm ci' there")
