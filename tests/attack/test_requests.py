"""Fuzzed requests: each is decided, nothing of it is said, and no error is long."""

import json
import logging
import random
import traceback

import pytest

from difficulty.runtime import Router
from tests.attack.conftest import sized
from tests.attack.grammar import SECRET, request
from tests.attack.workers import attack
from tests.versions import SAVED

BATCH = 250
LONGEST_ERROR = 200
LONGEST_WARNING = 500


class Heard(logging.Handler):
    """Keep what was logged since the last look."""

    def __init__(self):
        super().__init__()
        self.messages = []
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record):
        """Keep what is written."""
        self.messages.append(self.format(record))  # with the traceback, where there is one


def fuzz(findings, folder, *, seed, count):
    """Decide ``count`` requests, batch by batch: one by one, and together."""
    logger, heard = logging.getLogger("difficulty.runtime"), Heard()
    logger.addHandler(heard)
    logger.propagate = False
    router, counts = Router.load(SAVED), findings.counts
    for start in range(0, count, BATCH):
        rng = random.Random(f"{seed} {start}")
        asked = [request(rng) for _ in range(min(BATCH, count - start))]
        with findings.case(f"batch {start} of seed {seed}", cpu_s=60.0):
            decisions = decided(router, asked, together=start // BATCH % 2 == 1, findings=findings)
        for decision in decisions:
            counts["cases"] += 1
            judge(decision, findings)
        for message in heard.messages:
            counts["warnings"] += 1
            if SECRET in message or len(message) > LONGEST_WARNING:
                findings.fault("leaking or long warnings", message)
        heard.messages.clear()


def decided(router, asked, *, together, findings):
    """Return the decisions; a request that raises is a fault, and has none."""
    if together:
        try:
            return router.decide_many(asked)
        except BaseException:
            findings.fault("batches raised", traceback.format_exc()[-450:])
    decisions = []
    for one in asked:
        try:
            decisions.append(router.decide(one.messages, one.task, tokens=one.tokens))
        except BaseException:
            findings.fault("raised", traceback.format_exc()[-450:])
    return decisions


def judge(decision, findings):
    """Find what must not stand in a decision."""
    if decision.route not in ("cheap", "frontier"):
        findings.fault("no route", repr(decision.route))
    if decision.error is None:
        findings.counts["scored or by rule"] += 1
    else:
        findings.counts["scorer errors"] += 1
        longest = max(findings.counts["longest error"], len(decision.error))
        findings.counts["longest error"] = longest
        if decision.route != "frontier":
            findings.fault("error on the cheap route", decision.error)
        if SECRET in decision.error or len(decision.error) > LONGEST_ERROR:
            findings.fault("leaking or long errors", decision.error)
    try:
        json.dumps(decision.as_dict(), allow_nan=False)
    except Exception as error:
        findings.fault("decisions that are no JSON", f"{type(error).__name__} {error}")


def test_seven_hundred_fuzzed_requests(tmp_path, tally):
    """The short form of the attack below."""
    tally("requests, short", attack(tmp_path, f"{__name__}:fuzz", seed=1, count=700, cpu_s=300))


@pytest.mark.slow
def test_fuzzed_requests(tmp_path, tally):
    """420,000 of them."""
    tally("requests", attack(tmp_path, f"{__name__}:fuzz", seed=0, count=sized(420_000)))
