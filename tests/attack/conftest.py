"""The counts of every attack, in one table at the end of a run."""

import os

import pytest

SHARE = float(os.environ.get("DIFFICULTY_ATTACK", "1"))
"""How much of the full sizes to run; 0.01 takes a minute or two."""


def sized(full, *, least=1):
    """Return a number of cases: ``full`` of them, or the share that the environment asks for."""
    return max(least, round(full * SHARE))


@pytest.fixture
def tally(record_property):
    """Return a function that puts the counts of a class of attack into the table."""

    def put(attack, counts):
        record_property("attack", (attack, {name: counts[name] for name in sorted(counts)}))

    return put


def pytest_terminal_summary(terminalreporter):
    """Print a line for each class of attack: cases first, then what came of them."""
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
    ]
    rows = [
        value for report in reports for name, value in report.user_properties if name == "attack"
    ]
    if not rows:
        return
    terminalreporter.section("attacks")
    width = max(len(attack) for attack, _ in rows)
    for attack, counts in sorted(rows):
        told = ", ".join(f"{name} {count:,}" for name, count in counts.items() if name != "cases")
        terminalreporter.write_line(f"{attack:{width}}  {counts.get('cases', 0):>9,}  {told}")
