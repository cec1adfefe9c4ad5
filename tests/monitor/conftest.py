"""A watched router with seven weeks, one of them without traffic, an alarm, and hostile names."""

import json
from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.lib.decision_logs import Service, feedback_rows, write_log
from difficulty.alarms import Alarm, Watched
from difficulty.decisions import read_decisions
from difficulty.monitor import Promised, watch_log
from difficulty.records import Estimate

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&{{7*7}}"
EXPECTED = {
    "rule_frontier_share": Estimate(value=0.31, low=0.28, high=0.34, n=900),
    "rule_quality": Estimate(value=0.8, low=0.78, high=0.83, n=900),
    "rule_cost": Estimate(value=0.65, low=0.6, high=0.7, n=900),
}
QUIET = Watched(
    alarms=(Alarm(name="tasks", subject="the mix of tasks", standing=False, threshold=260.0),),
    idle={"promise": "the bundle promises no quality"},
    floods=(),
    reference=(date(2026, 7, 6), date(2026, 8, 2)),
    rate=0.05,
)
STANDING = replace(
    QUIET,
    alarms=(
        Alarm(
            name="validators",
            subject="what validators say",
            standing=True,
            since=date(2026, 8, 11),
            crossed=date(2026, 8, 13),
            evidence=4_000.0,
            threshold=160.0,
            odds="quiet traffic looks like this in fewer than 1 of 4,000 quarters",
            found="30.0 % refused",
            expected="5.0 % refused",
            cost="12.00 USD a month more",
            answer="difficulty policy bundles/support-1 --set 'validators=[...]' -o NEW-BUNDLE",
        ),
        *QUIET.alarms,
    ),
)


@pytest.fixture(scope="session")
def seven_weeks(tmp_path_factory):
    """The folder of a log and its outcomes, and what it says of the router."""
    folder = tmp_path_factory.mktemp("seven-weeks")
    rng = np.random.default_rng(3)
    tasks = {"classify": (0.5, 0.2), HOSTILE: (0.5, 0.4)}
    columns = replace(Service.usual(), tasks=tasks).draw(2_400, rng, days=49.0)
    week = (columns["time"] - np.datetime64("2026-07-06")) // np.timedelta64(7, "D")
    columns = {name: values[week != 3] for name, values in columns.items()}
    write_log(columns, folder / "log")
    rows = feedback_rows(columns, 0.8, rng)
    (folder / "said.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with read_decisions(folder / "log", outcomes=[folder / "said.jsonl"]) as table:
        promised = Promised(
            bundle_version="simulated-1",
            objective="share=0.31",
            expected=EXPECTED,
            guarantee="about 31 % of the requests go to the frontier model",
        )
        watch = watch_log(table, promised)
    return SimpleNamespace(folder=folder, watch=watch)
