"""Programs that score or ingest on an engine and do not survive a moment of their work.

Each line of standard input is one to run, a JSON list of strings: job, its sources as JSON, engine,
workers, address; notes, call, seconds, whether the call may be over, whether others do the work;
output. Each is a child of one process that has imported everything, so that twenty take seconds.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

from benchmarks.lib.killing import Moment, StruckEngine
from difficulty.bundle import read_bundle
from difficulty.engine import Engine, open_engine
from difficulty.request import read_requests
from difficulty.stages.ingest import ingest
from difficulty.stages.route import score_rows_on, write_rows


def do_job(job: str, sources: list[str], engine: Engine, out: Path) -> None:
    """Do a job into a folder."""
    if job == "score":
        bundle, asked = map(Path, sources)
        rows = score_rows_on(engine, read_bundle(bundle), read_requests(asked))
        write_rows(rows, out / "scores.jsonl")
    else:
        # A program that is killed between two of its files is run again, over what there is.
        ingest([Path(sources[0])], out / "traffic.parquet", engine=engine, overwrite=True)


def run(told: list[str]) -> None:
    """Read what is told and do the job."""
    job, sources, name, workers, address, notes, call, after_s, may_end, waits, out = told
    moment = Moment(
        Path(notes),
        int(call) or None,
        float(after_s),
        bool(int(may_end)),
        os.getpid() if int(waits) else None,
    )
    with open_engine(name, address=address or None, workers=int(workers)) as engine:
        do_job(job, json.loads(sources), StruckEngine(engine, moment), Path(out))


def run_apart(told: list[str]) -> int:
    """Run in a child of this process, which has imported everything, and return its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        run(told)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)  # nothing of the parent's is to be ended here


def main() -> None:
    """Run what each line tells and answer with its exit code."""
    for line in sys.stdin:
        print(run_apart(json.loads(line)), flush=True)
