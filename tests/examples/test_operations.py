"""The quarter of docs/operations.md, command by command on a small log, and the examples of how
they are scheduled.
"""

import json
import re
import shlex
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import typer
import yaml
from typer.testing import CliRunner

from difficulty.bundle import read_bundle
from difficulty.cli.app import build_app
from difficulty.runtime import Router
from difficulty.stages.watching import retraining
from difficulty.upkeep.logit_map import LogitMap
from tests.conftest import REPOSITORY, require_program
from tests.events import answer, event_of
from tests.journey import sample_rows, write_rows

EXAMPLES = REPOSITORY / "examples" / "operations"
PAGE = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
QUARTER = re.search(r"^```sh\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)[1].splitlines()
MAY_SAY_NO = {"monitor", "replay", "promote", "retrain"}
"""Commands of which this small quarter may have the answer no."""


def decisions_of(journey, rows):
    """Return the log of a quarter, an event a request, and what users said of it: the cheap model
    fails more often than it did.
    """
    router, rng = Router.load(journey.bundle), np.random.default_rng(0)
    start = datetime(2026, 7, 1, tzinfo=UTC)
    events, said = [], []
    for number, row in enumerate(rows):
        decision = router.decide(row["messages"], task=row["task"])
        flips = decision.difficulty_score is not None and rng.random() < 0.1
        other = {"cheap": "frontier", "frontier": "cheap"}
        route = other[decision.route] if flips else decision.route
        event = event_of(
            number,
            id=row["id"],
            time=start + timedelta(hours=number),
            route=route,
            policy_route=decision.route,
            reason=decision.reason,
            difficulty_score=decision.difficulty_score,
            p_cheap_fails=decision.p_cheap_fails,
            p_frontier_fails=decision.p_frontier_fails,
            threshold=decision.threshold,
            propensity=(0.1 if flips else 0.9) if decision.difficulty_score is not None else 1.0,
            task=row["task"],
            group=f"conversation-{number // 2}",
            tokens=decision.tokens,
            messages=tuple(row["messages"]),
            calls=(
                answer(route),
                answer("frontier" if route == "cheap" else "cheap", role="shadow"),
            ),
        )
        events.append(event.as_dict())
        cheap = row["cheap_quality"] if rng.random() > 0.4 else 0.0
        for side, quality in (("cheap", cheap), ("frontier", row["frontier_quality"])):
            if quality is not None:
                said.append(
                    {"id": row["id"], "side": side, "quality": quality, "measured_by": "exact"}
                )
    return events, said


@pytest.fixture
def quarter(journey, tmp_path, monkeypatch):
    """A folder with what the page says is there."""
    events, said = decisions_of(journey, sample_rows(1_800)[800:])
    (tmp_path / "decisions").mkdir()
    write_rows(tmp_path / "decisions" / "log.jsonl", events)
    write_rows(tmp_path / "thumbs.jsonl", said)
    shutil.copy(journey.traffic, tmp_path / "spring.parquet")
    shutil.copytree(journey.bundle, tmp_path / "bundles" / "support-1")
    monkeypatch.chdir(tmp_path)
    run("publish bundles/support-1 --name support --registry registry")
    run("promote support --registry registry")
    return tmp_path


def test_a_log_without_texts_moves_the_same(quarter):
    """By the scores that the bundle gave when it decided: the maps are those of the log with texts,
    to the chance of another half.
    """
    log = quarter / "decisions" / "log.jsonl"
    events = [json.loads(line) for line in log.read_text().splitlines()]
    found = {}
    for name in ("with", "without"):
        (quarter / name).mkdir()
        kept = {} if name == "with" else {"messages": None}
        write_rows(quarter / name / "log.jsonl", [event | kept for event in events])
        line = (
            f"difficulty recalibrate {name} --outcomes thumbs.jsonl --bundle bundles/support-1"
            f" -o bundles/{name}-2 --json"
        )
        code, said = run(line)
        assert code == 0, said
        found[name] = json.loads(said[said.index("{") :])
        assert run(f"verify bundles/{name}-2")[0] == 0
    assert any("keeps no texts" in note for note in found["without"]["notes"])
    after = {
        name: {test["output"]: test["map"] for test in result["calibrators"]}["p_cheap_fails"]
        for name, result in found.items()
    }
    middle = {name: LogitMap(**map_)(np.array([0.1, 0.3])) for name, map_ in after.items()}
    assert middle["with"] == pytest.approx(middle["without"], abs=0.15)


def run(line):
    """Run a command line and return its exit code and what it printed."""
    words = shlex.split(line.removeprefix("difficulty "))
    result = CliRunner().invoke(build_app(), words)
    assert result.exception is None or isinstance(result.exception, SystemExit), (
        f"{line}: {result.exception!r}"
    )
    return result.exit_code, result.output


def test_the_page_has_ten_commands():
    assert len(QUARTER) == 10
    assert all(line.startswith("difficulty ") for line in QUARTER)


def test_a_quarter_runs_as_the_page_says(quarter, monkeypatch):
    """Each command of the page in its order, on 1,000 logged requests."""
    # Half of the trainings of forward validation, for the time they take.
    monkeypatch.setattr(retraining, "_FOLDS", 1)
    for line in QUARTER:
        command = line.split()[1]
        code, said = run(line)
        assert code == 0 or (code == 1 and command in MAY_SAY_NO), f"{line}: {code}\n{said}"
    assert (quarter / "seen" / "monitor.md").is_file()
    assert (quarter / "replay" / "replay.md").is_file()
    new = read_bundle(quarter / "bundles" / "support-2")
    changes = json.loads(new.files["changes.json"])
    # The folder has another name than the bundle within.
    assert changes["parent"]["bundle"] == "small-1"
    assert any("p_cheap_fails" in reason for reason in changes["reasons"])
    code, said = run("versions support --registry registry --json")
    assert len(json.loads(said)["versions"]) == 2
    assert (quarter / "runs" / "summer-material" / "newest.parquet").is_file()


WORKFLOWS = sorted(EXAMPLES.glob("*.yml"))


def scripts_of(path):
    """Return the shell scripts of a workflow."""
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_is_one_that_github_reads(path):
    """The keys that it must have, a trigger, and for each step either an action or a script that a
    shell can parse.
    """
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    # YAML 1.1 reads the key "on" as true.
    assert (
        {"name", True, "permissions", "jobs"}
        <= {*form}
        <= {"name", True, "permissions", "concurrency", "jobs"}
    )
    assert {*form[True]} <= {"schedule", "workflow_dispatch", "push"}
    for schedule in form[True].get("schedule") or ():
        assert len(schedule["cron"].split()) == 5
    for job in form["jobs"].values():
        assert job["runs-on"]
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
    bash = require_program("bash")
    for script in scripts_of(path):
        subprocess.run([bash, "-n"], input=script, text=True, check=True, capture_output=True)


def test_scheduled_command_lines_exist():
    """Each command and each option of the workflows and of the crontab."""
    crontab = (EXAMPLES / "crontab").read_text(encoding="utf-8")
    texts = [script for path in WORKFLOWS for script in scripts_of(path)] + [crontab]
    commands = typer.main.get_command(build_app()).commands
    seen, wrong = set(), []
    for text in texts:
        lines = text.replace("\\\n", " ")
        for found in re.finditer(r"difficulty ([a-z-]+)([^\n&|>]*)", lines):
            name, rest = found.groups()
            if f"difficulty[{name}" in lines and name not in commands:
                continue
            seen.add(name)
            options = commands[name].params
            known = {word for each in options for word in (*each.opts, *each.secondary_opts)}
            wrong += [
                (name, word)
                for word in rest.split()
                if re.match(r"--?[a-z]", word) and word not in known
            ]
    assert wrong == []
    assert {"monitor", "recalibrate", "publish", "promote", "split"} <= seen


def test_crontab_lines_have_five_times_and_a_command():
    lines = (EXAMPLES / "crontab").read_text(encoding="utf-8").splitlines()
    jobs = [line for line in lines if line and line[0] in "0123456789*"]
    assert len(jobs) == 2
    for line in jobs:
        assert re.match(r"(\S+ ){5}cd /srv/router && difficulty ", line)
        # Cron reads a bare percent sign as the end of the line.
        assert not re.search(r"(?<!\\)%", line)


def test_page_names_every_example():
    names = {path.name for path in EXAMPLES.iterdir()}
    assert names <= {*re.findall(r"`([\w.]+)`", PAGE)}
