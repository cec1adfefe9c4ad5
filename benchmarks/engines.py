"""What a Ray cluster does for a core, beside processes of the same machine: the same jobs, the same
workers, to the same bytes; and what becomes of them when a worker is killed.

    difficulty demo -o demo-out
    python -m tools.sample_traffic -n 100000 -o rows.jsonl.gz
    python -m benchmarks.engines --bundle demo-out/sample-1 --rows rows.jsonl.gz --work logs \
        --kills 20 -o benchmarks/results/2026-11-29-engines

Jobs: *score* (blocks of requests, ONNX sessions in the workers), *near-duplicates* (shuffles of
runs and keys between shards), *gradient* (sums of a logistic loss over shards that stay open, as a
solver asks for them; a call is a step), *heads* (a head of ``fast`` fitted as ``train
--spread-heads`` does, on requests of 60 tokens made by chance; *here* is what ``train`` does
without that option, by threads of one process), *monitor* (a report on a simulated log; *here*:
without an engine). Counted is the processor time of the whole tree of processes, Ray's own among
it, the time on the clock without and with the start of the engine, and how much more memory the
program itself held during the job than before it, looked at four times a second.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import cache, partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lib.killing import count_kills
from benchmarks.lib.logistic_shard import COLUMNS, LogisticShard
from benchmarks.lib.results import write_results
from benchmarks.monitor import write_service
from difficulty.bundle import read_bundle
from difficulty.channels.descent import fit_logistic
from difficulty.channels.ngram_products import fitting_on
from difficulty.channels.ngrams import NgramChannel
from difficulty.channels.shards import NgramShards, WeightedNgrams
from difficulty.engine import ENGINES, Engine, open_engine, tree_sum
from difficulty.request import RequestRow, request_row
from difficulty.stages.route import score_rows_on
from difficulty.stages.watching.monitoring import MonitorOptions, monitor
from difficulty.tokens import TokenRows
from difficulty.traffic.duplicates import comparable_text
from difficulty.traffic.near import NearSearch

WORKERS = 2
STEPS, SHARDS = 60, 16
LONG_S = 120
_SIZES = ("score", "near", "gradient", "heads", "monitor")
_PARTS = ("start_s", "start_processor_s", "job_s", "job_processor_s", "program_mb")
_BLOCK = 512
_TICKS = os.sysconf("SC_CLK_TCK")
HERE = "here"
_ALSO_HERE = ("heads", "monitor")
TOKENS, VOCABULARY = 60, 30_000
Job = Callable[[Any], str]
"""Does the work and returns a hash of what came out."""


def score_job(bundle: Path, rows: Sequence[RequestRow], engine: Engine) -> str:
    """Score requests."""
    digest = sha256()
    for row in score_rows_on(engine, read_bundle(bundle), rows):
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def near_job(texts: Sequence[str], engine: Engine) -> str:
    """Search for nearly equal texts."""
    digest = sha256()
    with tempfile.TemporaryDirectory() as folder:
        search = NearSearch(engine, Path(folder))
        for start in range(0, len(texts), _BLOCK):
            search.begin(texts[start : start + _BLOCK])
        for near in search.find():
            digest.update(json.dumps(near).encode())
        search.close()
    return digest.hexdigest()


def gradient_job(n: int, engine: Engine) -> str:
    """Take steps down the loss."""
    weights = np.zeros(COLUMNS)
    with engine.hold(partial(LogisticShard, n // SHARDS), range(SHARDS)) as held:
        for _ in range(STEPS):
            _, gradient = tree_sum(held(weights.astype(np.float32)))
            weights -= gradient / n
    return sha256(weights.tobytes()).hexdigest()


@cache
def ngrams_of(n: int) -> tuple[WeightedNgrams, Any]:
    """Return rows of n-grams, and outcomes that follow from some of the tokens."""
    rng = np.random.default_rng(0)
    tokens = np.minimum(rng.zipf(1.2, size=(n, TOKENS)), VOCABULARY - 1)
    ids = TokenRows([row.tolist() for row in tokens], "any")
    channel = NgramChannel(VOCABULARY)
    counts = NgramShards.counted(ids, channel._counts, channel.dim)
    rows = channel.transform(counts, channel.fit(counts))
    outcome = ((tokens % 7 == 0).sum(axis=1) + rng.normal(size=n) > TOKENS / 7).astype(float)
    return rows, outcome


def heads_job(n: int, engine: Engine | None) -> str:
    """Fit a head."""
    rows, outcome = ngrams_of(n)
    with fitting_on(engine):
        fitted = fit_logistic(rows, outcome, np.ones(n), strength=0.3)
    return sha256(fitted.tobytes()).hexdigest()


def monitor_job(bundle: Path, log: Path, said: Path, engine: Engine | None) -> str:
    """Report on a log."""
    options = MonitorOptions(any_bundle=True, outcomes=[said], counted=True)
    monitored = monitor([log], bundle, options, engine=engine)
    told = json.dumps([monitored.as_dict(), monitored.meter.text()], default=str)
    return sha256(told.encode()).hexdigest()


def held_mb() -> float:
    """Return the memory that this process holds, without what it shares with files."""
    status = Path("/proc/self/status").read_text()
    return float(status.partition("RssAnon:")[2].split()[0]) / 1024.0


class TreeSeconds:
    """The processor time of this process and of all below it, those that ended among them: looked
    at four times a second, as what Ray's workers took is nobody's once they are gone.
    """

    def __init__(self) -> None:
        self._seen: dict[int, float] = {}
        self.most_mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> TreeSeconds:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def so_far(self) -> float:
        """Return seconds since this process began."""
        self._look()
        own = resource.getrusage(resource.RUSAGE_SELF)
        return own.ru_utime + own.ru_stime + sum(self._seen.values())

    def _look(self) -> None:
        self.most_mb = max(self.most_mb, held_mb())
        self._seen |= {child: seconds for child, seconds, _ in below()}

    def _look_on(self) -> None:
        while not self._stop.wait(0.25):
            self._look()


def below() -> Iterator[tuple[int, float, str]]:
    """Yield id, processor time and command of the processes below this one."""
    parents: dict[int, tuple[int, float]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks = sum(map(int, fields[11:13]))
        parents[int(path.parent.name)] = (int(fields[1]), ticks / _TICKS)
    mine = {os.getpid()}
    while more := {child for child, (parent, _) in parents.items() if parent in mine} - mine:
        mine |= more
    for child in mine - {os.getpid()}:
        try:
            command = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        yield child, parents[child][1], command


def measure(name: str, job: Job) -> dict[str, Any]:
    """Do a job on an engine; return what it took."""
    with TreeSeconds() as tree:
        began, before = time.perf_counter(), tree.so_far()
        here, held = name == HERE, held_mb()
        with nullcontext() if here else open_engine(name, workers=WORKERS) as engine:
            started, start_seconds = time.perf_counter(), tree.so_far() - before
            result = job(engine)
            done, seconds = time.perf_counter(), tree.so_far() - before
    return {
        "start_s": started - began,
        "job_s": done - started,
        "start_processor_s": start_seconds,
        "job_processor_s": seconds - start_seconds,
        "program_mb": tree.most_mb - held,
        "result": result,
    }


def read_rows(path: Path, n: int) -> list[dict[str, Any]]:
    """Return the first rows of a file, again and again where it has fewer."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in islice(file, n)]
    return [rows[place % len(rows)] for place in range(n)]


def jobs_of(arguments: argparse.Namespace, part: float) -> dict[str, Job]:
    """Return the jobs that were asked for, each with a part of its rows."""
    n = {name: int(part * getattr(arguments, f"n_{name}")) for name in _SIZES}
    chosen: dict[str, Job] = {}
    if "score" in arguments.only:
        asked = [
            request_row({"id": str(number), "messages": row["messages"]}, number)
            for number, row in enumerate(read_rows(arguments.rows, n["score"]), 1)
        ]
        job = partial(score_job, arguments.bundle, asked)
        chosen[f"score, {len(asked):,} requests"] = job
    if "near-duplicates" in arguments.only:
        texts = [
            comparable_text((each["role"], each["content"]) for each in row["messages"])
            for row in read_rows(arguments.rows, n["near"])
        ]
        texts = list(dict.fromkeys(texts))
        chosen[f"near-duplicates, {len(texts):,} texts"] = partial(near_job, texts)
    if "gradient" in arguments.only:
        what = f"gradient, {STEPS} steps of {n['gradient']:,} rows"
        chosen[what] = partial(gradient_job, n["gradient"])
    if "heads" in arguments.only:
        chosen[f"heads, {n['heads']:,} rows"] = partial(heads_job, n["heads"])
    if "monitor" in arguments.only:
        log = write_service(arguments.work, n["monitor"])
        said = arguments.work / f"said-{n['monitor']}.jsonl"
        what = f"monitor, {n['monitor']:,} events"
        chosen[what] = partial(monitor_job, arguments.bundle, log, said)
    return chosen


def main() -> None:
    """Measure and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, help="for score and monitor")
    parser.add_argument("--rows", type=Path, help="JSON lines with messages, for all but heads")
    parser.add_argument("--work", type=Path, help="folder for the log of monitor")
    parser.add_argument("--n-score", type=int, default=600_000)
    parser.add_argument("--n-near", type=int, default=100_000)
    parser.add_argument("--n-gradient", type=int, default=600_000)
    parser.add_argument("--n-heads", type=int, default=131_072)
    parser.add_argument("--n-monitor", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument(
        "--only", nargs="*", default=["score", "near-duplicates", "gradient", "heads", "monitor"]
    )
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of kills")
    parser.add_argument("--kill-part", type=float, default=0.02, help="of the rows of a job")
    parser.add_argument("-o", "--out", type=Path, required=True, help="path without suffix")
    arguments = parser.parse_args()

    figures = {}
    for what, job in jobs_of(arguments, 1.0).items():
        names = tuple(arguments.engines)
        if what.startswith("heads"):
            ngrams_of(arguments.n_heads)  # before anything is counted
        if what.startswith(_ALSO_HERE):
            names = (HERE, *names)
        taken: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        for _ in range(arguments.repeats):
            for name, each in taken.items():
                each.append(measure(name, job))
                print(what, name, each[-1], flush=True)
        figures[what] = taken
    kills = {}
    if arguments.kills:
        for what, job in jobs_of(arguments, arguments.kill_part).items():
            if what.startswith(_ALSO_HERE):  # of as few rows no engine holds any
                continue
            for name in arguments.engines:
                with (
                    open_engine(name, workers=WORKERS) as engine,
                    tempfile.TemporaryDirectory() as folder,
                ):
                    kills[f"{what}, {name}"] = count_kills(
                        engine, job, arguments.kills, folder=Path(folder), seed=arguments.seed
                    )
                print(what, name, kills[f"{what}, {name}"], flush=True)
    given = {"--bundle": arguments.bundle, "--rows": arguments.rows, "--work": arguments.work}
    sources = "".join(f" {option} {path}" for option, path in given.items() if path)
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python -m benchmarks.engines{sources}"
        f" --only {' '.join(arguments.only)} --engines {' '.join(arguments.engines)}"
        f" --n-score {arguments.n_score}"
        f" --n-near {arguments.n_near} --n-gradient {arguments.n_gradient}"
        f" --n-heads {arguments.n_heads} --n-monitor {arguments.n_monitor}"
        f" --repeats {arguments.repeats}"
        f" --kills {arguments.kills} --kill-part {arguments.kill_part} --seed {arguments.seed}"
        f" -o {arguments.out}",
        "workers": WORKERS,
        "jobs": figures,
        "kills": kills,
    }
    write_results(arguments.out, results, as_markdown(results))


def as_markdown(results: dict[str, Any]) -> str:
    """Return the page."""
    lines = [
        f"# Ray beside processes of the same machine, {results['date']}",
        "",
        f"{results['workers']} workers each; medians. Processor time is that of all processes,"
        " Ray's own among it. *For a core*: work a second of processor time, without the start, and"
        f" of a job of {LONG_S} s on the clock, with it. *Program*: memory that the program itself"
        " held more at most, without its workers.",
        "",
        "| job | engine | start, s | processor, s | job, s | processor, s | for a core | long |"
        " program, MB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for what, taken in results["jobs"].items():
        middle = {
            name: {part: float(np.median([each[part] for each in taken[name]])) for part in _PARTS}
            for name in taken
        }
        local = middle.get("local", next(iter(middle.values())))["job_processor_s"]
        busy = LONG_S * results["workers"]
        for name, part in middle.items():
            core = local / part["job_processor_s"]
            long = busy / (busy / core + part["start_processor_s"])
            lines.append(
                f"| {what} | {name} | {part['start_s']:.1f} | {part['start_processor_s']:.1f} |"
                f" {part['job_s']:.1f} | {part['job_processor_s']:.1f} | {core:.2f} x |"
                f" {long:.2f} x | {part['program_mb']:,.0f} |"
            )
    same = all(
        len({each["result"] for name in taken for each in taken[name]}) == 1
        for taken in results["jobs"].values()
    )
    lines += ["", f"Results of both engines equal, byte for byte: {'yes' if same else 'NO'}."]
    if results["kills"]:
        lines += ["", "| jobs, a worker killed at a moment of its work | calls | killed | same |"]
        lines += ["| --- | --- | --- | --- |"]
        lines += [
            f"| {what} | {n['calls']} | {n['killed']} of {n['jobs']} | {n['same']} of {n['jobs']} |"
            for what, n in results["kills"].items()
        ]
    return "\n".join([*lines, "", "Made by", "", f"    {results['command']}", ""])


if __name__ == "__main__":
    main()
