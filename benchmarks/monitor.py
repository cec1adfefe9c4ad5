"""How long ``difficulty monitor`` takes on large logs and how much memory, and why DuckDB.

    python -m benchmarks.monitor BUNDLE --events 1000000 10000000 --work FOLDER
    -o benchmarks/results/2026-11-28-monitor

Logs of a simulated service are written to FOLDER (about 0.9 kB an event; one that is there already
is used as it is), with late outcomes of 1 % of the requests. Then the command itself runs on each,
in a process of its own: seconds by the clock, seconds of processors, and the most memory that the
process held. On a machine that does other things too the clock tells of those; processor seconds
divided by the cores are what it takes at least.

Beside it, on the smallest log: reading the lines and adding up four figures by route and week, by
DuckDB within a memory limit of 1 GB and by Polars' streaming engine, each in a process of its own
on the same files, as they are and with one line in a thousand cut off in the middle.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.lib.decision_logs import Service, feedback_rows, write_log

PART = 500_000
LABELLED = 0.01
_PEAK = """
import atexit
atexit.register(lambda: print(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]))
"""
"""Says at the end how many kB the process held at most: what the system tells its parent counts
what that held before it began.
"""
_MONITOR = "import sys; from difficulty.cli import main; main()"
_SAY = (
    "print([(r, str(w)[:10], n, round(score, 9), round(usd, 6)) for r, w, n, score, usd in rows])"
)
_DUCKDB = (
    """
import sys, duckdb
c = duckdb.connect()
c.execute("SET TimeZone = 'UTC'; SET memory_limit = '1GB'; SET preserve_insertion_order = false")
calls = 'STRUCT(side VARCHAR, cost_usd DOUBLE)[]'
columns = {"time": "VARCHAR", "route": "VARCHAR", "difficulty_score": "DOUBLE", "calls": calls}
spec = "{" + ", ".join(f"'{n}': '{k}'" for n, k in columns.items()) + "}"
rows = c.execute(f'''SELECT route, date_trunc('week', "time"::TIMESTAMPTZ) AS week, count(*),
    avg(difficulty_score), sum(list_sum(list_transform(calls, lambda x: x.cost_usd)))
    FROM read_json('{sys.argv[1]}/*.jsonl', format = 'newline_delimited', columns = {spec},
    ignore_errors = true) WHERE route IS NOT NULL GROUP BY ALL ORDER BY ALL''').fetchall()
"""
    + _SAY
)
_POLARS = (
    """
import sys, polars as pl
call = pl.List(pl.Struct({"side": pl.String, "cost_usd": pl.Float64}))
schema = {"time": pl.String, "route": pl.String, "difficulty_score": pl.Float64, "calls": call}
rows = pl.scan_ndjson(f"{sys.argv[1]}/*.jsonl", schema=schema, ignore_errors=True)
cost = pl.col("calls").list.eval(pl.element().struct.field("cost_usd")).list.sum()
week = pl.col("time").str.to_datetime(time_zone="UTC").dt.truncate("1w")
rows = (rows.filter(pl.col("route").is_not_null()).group_by("route", week.alias("week")).agg(
    pl.len(), pl.col("difficulty_score").mean(), cost.sum()).sort("route", "week")
    .collect(engine="streaming").rows())
"""
    + _SAY
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one process took."""

    what: str
    events: int
    bytes: int
    seconds: float
    cpu_s: float
    peak_mb: float
    code: int
    said: str


def write_service(folder: Path, events: int) -> Path:
    """Write a log of a simulated quarter and late outcomes of it, unless they are there; return the
    log's folder.
    """
    log, said = folder / f"log-{events}", folder / f"said-{events}.jsonl"
    if said.exists():
        return log
    rng = np.random.default_rng(events)
    service = Service.usual()
    with said.open("w", encoding="utf-8") as file:
        for number, begin in enumerate(range(0, events, PART)):
            n = min(PART, events - begin)
            columns = service.draw(n, rng, days=91)
            columns["writer"] = columns["writer"] + number * service.clients
            write_log(columns, log, first=begin // 100_000 + 1)
            for row in feedback_rows(columns, LABELLED, rng):
                file.write(json.dumps(row) + "\n")
    return log


def measure(what: str, program: str, arguments: list[str], *, events: int, log: Path) -> Run:
    """Run a program in a process of its own and return what it took."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", _PEAK + program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    with process.stdout as printed:
        said = printed.read().decode("utf-8", "replace")
    _, status, used = os.wait4(process.pid, 0)
    before, _, peak = said.rstrip().rpartition("\n")
    process.returncode = os.waitstatus_to_exitcode(status)
    return Run(
        what=what,
        events=events,
        bytes=sum(path.stat().st_size for path in log.iterdir()),
        seconds=time.perf_counter() - begin,
        cpu_s=used.ru_utime + used.ru_stime,
        peak_mb=float(peak) / 1024.0,
        code=process.returncode,
        said=before[-4_000:],
    )


def monitor_run(bundle: Path, folder: Path, events: int) -> Run:
    """Run the command on a log."""
    log = write_service(folder, events)
    arguments = ["monitor", str(log), "--bundle", str(bundle), "--any-bundle", "--overwrite"]
    arguments += ["--outcomes", str(folder / f"said-{events}.jsonl")]
    arguments += ["--work-dir", str(folder), "-o", str(folder / "seen")]
    return measure("monitor", _MONITOR, arguments, events=events, log=log)


def damaged_copy(log: Path, folder: Path) -> Path:
    """Return a copy of a log in which every thousandth line is cut off in the middle."""
    copy = folder / f"{log.name}-damaged"
    copy.mkdir(exist_ok=True)
    for path in sorted(log.iterdir()):
        with path.open("rb") as source, (copy / path.name).open("wb") as out:
            for number, line in enumerate(source):
                out.write(line[: len(line) // 2] + b"\n" if number % 1_000 == 500 else line)
    return copy


def engines(folder: Path, events: int) -> list[Run]:
    """Run both engines on a log and on a damaged one, in turns."""
    log = write_service(folder, events)
    runs = []
    for name, place in (("whole", log), ("damaged", damaged_copy(log, folder))):
        for engine, program in (("DuckDB", _DUCKDB), ("Polars", _POLARS)):
            what = f"{engine}, {name} lines"
            runs.append(measure(what, program, [str(place)], events=events, log=place))
    return runs


def as_markdown(runs: list[Run], cores: int) -> str:
    """Return the page."""
    lines = [
        "# Monitoring large logs",
        "",
        f"{platform.machine()}, {cores} cores, Python {platform.python_version()}. Made by"
        " `python -m benchmarks.monitor`, which says what is measured. Load while it ran: "
        + ", ".join(f"{load:.1f}" for load in os.getloadavg())
        + " processes (1, 5 and 15 minutes before the end).",
        "",
        "| | events | log, GB | by the clock, s | processors, s | most memory, MB | exit code |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {run.what} | {run.events:,} | {run.bytes / 1e9:.2f} | {run.seconds:.1f} |"
        f" {run.cpu_s:.1f} | {run.peak_mb:,.0f} | {run.code} |"
        for run in runs
    ]
    # 1 is monitor's answer that an alarm stands.
    failed = [run for run in runs if run.code not in ((0, 1) if run.what == "monitor" else (0,))]
    lines += [f"\n{run.what} ended with: {' '.join(run.said.split())[-300:]}" for run in failed]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and write the page and the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--work", type=Path, required=True, help="Folder for the logs.")
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args()
    runs = [monitor_run(arguments.bundle, arguments.work, n) for n in sorted(arguments.events)]
    runs += engines(arguments.work, min(arguments.events))
    cores = len(os.sched_getaffinity(0))
    page = as_markdown(runs, cores)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".md").write_text(page, encoding="utf-8")
    content = {"cores": cores, "runs": [asdict(run) for run in runs]}
    arguments.out.with_suffix(".json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
