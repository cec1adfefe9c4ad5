"""Time and memory of an ingest, stage by stage, on generated spend logs of LiteLLM's proxy.

    python -m benchmarks.ingest --rows 10000 100000 1000000 -o benchmarks/results/2026-11-28-ingest

Rows are one call each of two models. Their requests are of words as frequent as a language has them
(Zipf), 40 to 4,000 characters long, half of them below 300; 3 % were there before, 5 % are one with
another word or other numbers, 20 % stand behind one of five headers, conversations have up to eight
calls. Each stage runs in a process of its own with one thread and does what the stages before it
do: ``read`` gives rows of the contract, ``check`` samples and the keys of their texts, ``equal``
keeps equal texts together, ``near`` nearly equal ones too, ``whole`` is ``difficulty ingest``
itself, which checks and searches in a process for each core. Memory is the peak of the first
process and of the largest that it starts (``ru_maxrss``), of which ``bare`` is what the modules of
one take; processor time is that of all.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lib.results import write_results
from difficulty.stages.ingest import ingest
from difficulty.traffic.checks.row_checks import check_rows, row_blocks
from difficulty.traffic.duplicates import Grouper
from difficulty.traffic.formats.litellm_spend import LiteLLMFormat
from difficulty.traffic.reading.dialect import ReadOptions
from difficulty.traffic.reading.named_pair import ModelPair

MODELS = ("mistral-small", "gpt-4o")
_OPTIONS = ReadOptions(pair=ModelPair(cheap=MODELS[:1], frontier=MODELS[1:]))
_REPEATED, _CHANGED, _HEADED = 0.03, 0.05, 0.2
_BLOCK = 5_000
_START = datetime(2026, 1, 5, tzinfo=UTC)


def spend_logs(n: int, *, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield the rows of a log."""
    rng = np.random.default_rng(seed)
    words = _vocabulary(rng)
    headers = [_text(words, rng, 90) for _ in range(5)]
    said: list[str] = []
    for start in range(0, n, _BLOCK):
        size = min(_BLOCK, n - start)
        lengths = np.clip(rng.lognormal(3.85, 0.9, size), 7, 700).astype(int)
        kinds = rng.random((size, 2))
        tokens, session = rng.integers(20, 900, (size, 2)), 0
        for row in range(size):
            if said and kinds[row, 0] < _REPEATED:
                text = said[int(rng.integers(len(said)))]
            elif said and kinds[row, 0] < _REPEATED + _CHANGED:
                text = _changed(said[int(rng.integers(len(said)))], words, rng)
            else:
                text = _text(words, rng, int(lengths[row]))
                said.append(text)
            if kinds[row, 1] < _HEADED:
                text = f"{headers[row % 5]}\n\n{text}"
            session += rng.random() < 0.4
            yield _call(start + row, text, f"{start}-{session}", tokens[row].tolist())
        del said[:-20_000]  # of the last requests, so that the generator stays small


def _vocabulary(rng: np.random.Generator) -> np.ndarray:
    """Return 1 << 16 words, of which the n-th of 30,000 comes up in proportion to 1 / n."""
    syllables = ["ka", "mo", "ri", "te", "lan", "os", "ber", "in", "du", "sel", "qua", "ther", "e"]
    words = ["".join(rng.choice(syllables, size=rng.integers(1, 5))) for _ in range(30_000)]
    words[::40] = [str(number) for number in rng.integers(1, 10_000, size=len(words[::40]))]
    share = 1.0 / np.arange(10, 30_010)
    return rng.choice(np.array(words), size=1 << 16, p=share / share.sum())


def _text(words: np.ndarray, rng: np.random.Generator, n_words: int) -> str:
    text = " ".join(words[rng.integers(len(words), size=n_words)].tolist())
    return f"{text.capitalize()}?"


def _changed(text: str, words: np.ndarray, rng: np.random.Generator) -> str:
    parts = text.split(" ")
    parts[int(rng.integers(len(parts)))] = str(words[rng.integers(len(words))])
    return " ".join(part if not part.isdigit() else str(int(part) + 7) for part in parts)


def _call(number: int, text: str, session: str, tokens: list[int]) -> dict[str, Any]:
    side = number * 7919 % 10 < 3
    prompt, completion = tokens
    time_ = (_START + timedelta(seconds=number)).isoformat()
    return {
        "request_id": f"chatcmpl-{number:012x}",
        "call_type": "acompletion",
        "api_key": "88dc28d0f030c55ed4ab77ed8faf0981",
        "spend": round((prompt + 4 * completion) * (2.5e-6 if side else 1e-7), 9),
        "total_tokens": prompt + completion,
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "startTime": time_,
        "endTime": time_,
        "model": MODELS[side],
        "model_group": MODELS[side],
        "user": f"u{number % 997}",
        "session_id": session,
        "metadata": {"tags": ["chat"], "user_feedback": "up" if number % 50 == 0 else None},
        "cache_hit": "False",
        "status": "success",
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": text},
        ],
        "response": {
            "object": "chat.completion",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text[::-1]}}],
            "usage": {"prompt_tokens": prompt, "completion_tokens": completion},
        },
    }


def _read(file: Path) -> int:
    return sum(1 for _ in LiteLLMFormat(_OPTIONS).rows(file))


def _check(file: Path) -> int:
    blocks = row_blocks(LiteLLMFormat(_OPTIONS).rows(file))
    return sum(check_rows(block).tally.kept for block in blocks)


def _group(file: Path, *, near: bool) -> int:
    with Grouper(near=near) as grouper:
        for block in row_blocks(LiteLLMFormat(_OPTIONS).rows(file)):
            grouper.begin(check_rows(block).keys)
        for _ in grouper.place_all():
            pass
    return grouper.near_duplicates


def _whole(file: Path) -> int:
    out = file.with_suffix(".parquet")
    return ingest([file], out, options=_OPTIONS, overwrite=True).kept


STAGES: dict[str, Callable[[Path], int]] = {
    "bare": lambda file: 0,
    "read": _read,
    "check": _check,
    "equal": lambda file: _group(file, near=False),
    "near": lambda file: _group(file, near=True),
    "whole": _whole,
}


def run_stage(name: str, file: Path) -> dict[str, float]:
    """Return seconds and peak memory of a stage in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.ingest", "--stage", name, "--file", str(file)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    figures: dict[str, float] = json.loads(result.stdout)
    return figures


def _report_stage(name: str, file: Path) -> None:
    started, cpu = time.perf_counter(), time.process_time()
    count = STAGES[name](file)
    own, other = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    peak = own.ru_maxrss + other.ru_maxrss
    figures = {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu + other.ru_utime + other.ru_stime,
        "peak_mb": peak / 1024 / (1024 if sys.platform == "darwin" else 1),
        "count": count,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


def measure(sizes: list[int], stages: list[str]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the figures of every stage, by number of rows."""
    figures: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            file = Path(folder) / "spend_logs.jsonl"
            with file.open("w", encoding="utf-8") as lines:
                lines.writelines(json.dumps(row) + "\n" for row in spend_logs(size))
            own = {"file_mb": {"size": file.stat().st_size / 2**20}}
            figures[str(size)] = own | {name: run_stage(name, file) for name in stages}
    return figures


def main() -> None:
    """Measure and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=list(STAGES))
    parser.add_argument("--stage", choices=list(STAGES), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--out", type=Path, help="path of the results without suffix")
    arguments = parser.parse_args()
    if arguments.stage:
        _report_stage(arguments.stage, arguments.file)
        return
    if arguments.out is None:
        parser.error("-o OUT must be given")
    sizes = " ".join(map(str, arguments.rows))
    load = f"load average {os.getloadavg()[0]:.0f}" if hasattr(os, "getloadavg") else ""
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python -m benchmarks.ingest --rows {sizes} -o {arguments.out}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python"
        f" {platform.python_version()}, {load}",
        "figures": measure(arguments.rows, arguments.stages),
    }
    write_results(arguments.out, results, as_markdown(results))


def as_markdown(results: dict[str, Any]) -> str:
    """Return the page."""
    lines = [f"# Ingest of LiteLLM's spend logs, {results['date']}", "", results["machine"] + "."]
    for size, stages in results["figures"].items():
        file_mb = stages["file_mb"]["size"]
        lines += ["", f"## {int(size):,} rows, {file_mb:,.0f} MiB", ""]
        lines += [
            "| up to | seconds | of the processor | µs a row | peak MiB |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {name} | {stage['seconds']:.1f} | {stage['cpu_seconds']:.1f} |"
            f" {1e6 * stage['cpu_seconds'] / int(size):.0f} | {stage['peak_mb']:,.0f} |"
            for name, stage in stages.items()
            if name != "file_mb"
        ]
    return "\n".join([*lines, "", "Made by", "", f"    {results['command']}", ""])


if __name__ == "__main__":
    main()
