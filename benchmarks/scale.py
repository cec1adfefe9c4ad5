"""Time and memory of every stage from ingested traffic to a verified bundle, by number of rows.

    python -m benchmarks.scale --rows 10000 80000 240000 -o benchmarks/results/2026-11-29-scale
    python -m benchmarks.scale --shape asks --rows 80000 1000000 --stages ingest train ship verify \
        -o benchmarks/results/2026-11-29-scale-asks

Rows are those of the project's own generator (``tools.sample_traffic``): requests of a made-up
company, 160 tokens in the mean with 60 in the median, with answers, outcomes of both models and
tasks. ``asks`` are the first 48 words of what the user says last in each, 59 tokens in the mean,
with outcomes and tasks and without answers. Past a million, each further million is the first with
its words exchanged for others that are about as frequent. Each stage is the command of its name in
processes of its own. ``seconds`` is time on the clock, ``processor`` that of all its processes, and
``peak`` their memory: the command's own peak (``ru_maxrss``) and, for each process that it starts,
the largest peak among those; Linux counts a process as no smaller than the one that started it was,
so beside a large one this says too much.
An exponent is the slope of the logarithm of the processor's time, or of the peak, over that of the
rows: 1 is twice the time for twice the rows.

``scikit-learn`` is what one would write instead: ``HashingVectorizer`` of words and pairs of them
(2^17 columns), ``TfidfTransformer`` and ``LogisticRegression`` on whether the cheap model fails, on
the same fit rows, asked about the same test rows, all in memory. It makes one probability: no gain,
no calibration on rows that were kept apart, no out-of-fold scores, no answers, no tasks, no export.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lib.results import write_results
from tools.sample_traffic.generator import generate

STAGES = ("ingest", "train", "ship", "verify", "evaluate", "scikit-learn")
SHAPES = ("whole", "asks")
_TO_A_BUNDLE = STAGES[:4]
_WORDS = 48
_COLUMNS = 2**17
_PART = 1_000_000
_WORD = re.compile(r"\b[a-z]{2,}\b")
_WORDS_OF, _ALIKE = 50_000, 16


def write_rows(path: Path, n: int, shape: str = "whole") -> None:
    """Write generated requests of a shape as JSON lines: a file of up to a million, and others made
    of its rows.

    A file that is there is kept: a run that ended early goes on where it was.
    """
    sizes = [min(_PART, n - first) for first in range(0, n, _PART)]
    paths = [path.with_name(f"{path.stem}-{part:02d}{path.suffix}") for part in range(len(sizes))]
    if not paths[0].exists():
        rows: Iterable[dict[str, Any]] = generate(sizes[0], rng=np.random.default_rng(2026))
        _write(paths[0], map(_as_ask, rows) if shape == "asks" else rows)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        others = zip(range(1, len(sizes)), paths[1:], sizes[1:], strict=True)
        for written in [pool.submit(_write_again, paths[0], *other) for other in others]:
            written.result()


def _write_again(source: Path, part: int, path: Path, n: int) -> None:
    """Write the first rows of a file in other words: each of two lower-case letters or more becomes
    one that is about as frequent, in each part another.
    """
    if path.exists():
        return
    with source.open(encoding="utf-8") as lines:
        told = Counter(
            word
            for line in islice(lines, _WORDS_OF)
            for message in json.loads(line)["messages"]
            for word in _WORD.findall(message["content"])
        )
    ranked, rng = sorted(told, key=lambda word: (-told[word], word)), np.random.default_rng(part)
    other = {
        word: other
        for first in range(0, len(ranked), _ALIKE)
        for near in [ranked[first : first + _ALIKE]]
        for word, other in zip(near, rng.permutation(near).tolist(), strict=True)
    }

    def again(line: str) -> dict[str, Any]:
        row: dict[str, Any] = json.loads(line)
        for message in row["messages"]:
            message["content"] = _WORD.sub(
                lambda found: other.get(found[0], found[0]), message["content"]
            )
        return row | {"id": f"{part}-{row['id']}"}

    with source.open(encoding="utf-8") as lines:
        _write(path, map(again, islice(lines, n)))


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    hidden = path.with_name(f".{path.name}")
    with hidden.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    hidden.rename(path)


def _as_ask(row: dict[str, Any]) -> dict[str, Any]:
    """Return a request as the first words of what the user says last, without answers."""
    said = [message["content"] for message in row["messages"] if message["role"] == "user"]
    ask = {"role": "user", "content": " ".join(said[-1].split()[:_WORDS])}
    left_out = ("cheap_answer", "frontier_answer", "tools")
    return {name: row[name] for name in row if name not in left_out} | {"messages": [ask]}


def _arguments(stage: str, folder: Path, recipe: str) -> list[str]:
    traffic, run, bundle = (
        str(folder / name) for name in ("traffic.parquet", "run", f"{recipe}-1")
    )
    rows = [str(path) for path in sorted(folder.glob("rows-*.jsonl"))]
    return {
        "ingest": ["ingest", *rows, "-o", traffic],
        "train": ["train", traffic, "-o", run, "--recipe", recipe, "--no-tracking"],
        "ship": ["ship", run, "-o", bundle],
        "verify": ["verify", bundle],
        "evaluate": ["evaluate", bundle, traffic, "-o", str(folder / "report")],
    }[stage]


def _command(stage: str, folder: Path, recipe: str) -> None:
    from difficulty.cli import main

    sys.argv = ["difficulty", *_arguments(stage, folder, recipe)]
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        shown, sys.stdout = sys.stdout, nowhere
        try:
            main()
        except SystemExit as stopped:
            # 1 is an answer: a bundle may be told not to be switched on
            if stopped.code not in (None, 0, 1):
                raise
        finally:
            sys.stdout = shown


def _pipeline(stage: str, folder: Path, recipe: str) -> None:
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from difficulty.text import TextView
    from difficulty.traffic.table import Traffic

    traffic = Traffic.read(folder / "traffic.parquet")
    texts = [view.text for view in traffic.views(TextView(1))]
    failed, splits = traffic.outcomes.cheap_failure, traffic.splits()
    words = HashingVectorizer(n_features=_COLUMNS, ngram_range=(1, 2), alternate_sign=False)
    pipeline = make_pipeline(words, TfidfTransformer(sublinear_tf=True), LogisticRegression())
    fit = np.flatnonzero((splits == "fit") & ~np.isnan(failed))
    pipeline.fit([texts[row] for row in fit], failed[fit] > 0.5)
    asked = np.flatnonzero(splits == "test")
    pipeline.predict_proba([texts[row] for row in asked])


def run_stage(stage: str, folder: Path, recipe: str) -> dict[str, float]:
    """Return time and memory of a stage in processes of its own."""
    command = [sys.executable, "-m", "benchmarks.scale", "--stage", stage, "--recipe", recipe]
    result = subprocess.run(
        [*command, "--work", str(folder)], stdout=subprocess.PIPE, text=True, check=True
    )
    figures: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return figures


def _report_stage(stage: str, folder: Path, recipe: str) -> None:
    started = time.perf_counter()
    run: Callable[[str, Path, str], None] = _pipeline if stage == "scikit-learn" else _command
    run(stage, folder, recipe)
    own, other = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    # The largest of the children's, once for each that may be at work beside the command.
    others = other.ru_maxrss * (os.cpu_count() or 1) if other.ru_utime > 1.0 else 0
    unit = 1024 * (1024 if sys.platform == "darwin" else 1)
    figures = {
        "seconds": time.perf_counter() - started,
        "processor": own.ru_utime + own.ru_stime + other.ru_utime + other.ru_stime,
        "peak_mb": own.ru_maxrss / unit,
        "others_mb": others / unit,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


def measure(
    sizes: list[int], stages: list[str], work: Path, recipe: str, shape: str
) -> dict[str, dict[str, dict[str, float]]]:
    """Return the figures of every stage, by number of rows.

    Rows, what stages wrote, and their figures stay in ``work``: a stage that has figures there is
    not run again.
    """
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for size in sizes:
        folder = work / f"{shape}-{size}"
        folder.mkdir(parents=True, exist_ok=True)
        write_rows(folder / "rows.jsonl", size, shape)
        figures[str(size)] = {}
        for stage in stages:
            kept = folder / f"{stage}.figures.json"
            if not kept.exists():
                kept.write_text(json.dumps(run_stage(stage, folder, recipe)))
            figures[str(size)][stage] = json.loads(kept.read_text())
            sys.stderr.write(f"{size} {stage} {figures[str(size)][stage]}\n")
    return figures


def slope(figures: dict[str, dict[str, dict[str, float]]], stage: str, name: str) -> float:
    """Return the exponent with which a figure of a stage grows with the rows."""
    sizes = np.log([float(size) for size in figures])
    values = np.log([figures[size][stage][name] for size in figures])
    return round(float(np.polyfit(sizes, values, 1)[0]), 3) + 0.0  # never minus 0


def as_markdown(results: dict[str, Any]) -> str:
    """Return the page."""
    figures = results["figures"]
    lines = [
        f"# From traffic to a bundle by number of rows, recipe {results['recipe']},"
        f" {results['date']}",
        "",
        f"Requests: {results['shape']}. {results['machine']}.",
    ]
    for size, stages in figures.items():
        lines += ["", f"## {int(size):,} rows", ""]
        lines += [
            "| stage | seconds | of the processor | µs a row | peak MiB | in its processes |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {stage} | {row['seconds']:.0f} | {row['processor']:.0f} |"
            f" {1e6 * row['processor'] / int(size):,.0f} | {row['peak_mb']:,.0f} |"
            f" {row['others_mb']:,.0f} |"
            for stage, row in stages.items()
        ]
        if set(_TO_A_BUNDLE) <= stages.keys():
            parts = [stages[stage] for stage in _TO_A_BUNDLE]
            total = {name: sum(part[name] for part in parts) for name in ("seconds", "processor")}
            lines += [
                "",
                f"From rows to a verified bundle: {total['seconds']:.0f} s on the clock,"
                f" {total['processor']:.0f} of the processor, peak"
                f" {max(part['peak_mb'] for part in parts):,.0f} MiB.",
            ]
    if len(figures) > 1:
        lines += ["", "## Exponents", "", "| stage | processor | peak |", "| --- | --- | --- |"]
        lines += [
            f"| {stage} | {slope(figures, stage, 'processor'):.2f} |"
            f" {slope(figures, stage, 'peak_mb'):.2f} |"
            for stage in next(iter(figures.values()))
        ]
    return "\n".join([*lines, "", "Made by", "", f"    {results['command']}", ""])


def _as_typed(words: list[str]) -> str:
    """Return the command without the folder that it goes on in, which others do not have."""
    words = [*words]
    if "--work" in words:
        del words[(place := words.index("--work")) : place + 2]
    return shlex.join(["python", "-m", "benchmarks.scale", *words])


def main() -> None:
    """Measure and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 40_000, 160_000])
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--shape", default="whole", choices=SHAPES)
    parser.add_argument("--work", type=Path, help="folder of rows and figures, to go on in")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--out", type=Path, help="path of the results without suffix")
    arguments = parser.parse_args()
    if arguments.stage:
        _report_stage(arguments.stage, arguments.work, arguments.recipe)
        return
    if arguments.out is None:
        parser.error("-o OUT must be given")
    load = f"load average {os.getloadavg()[0]:.0f}" if hasattr(os, "getloadavg") else ""
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": _as_typed(sys.argv[1:]),
        "recipe": arguments.recipe,
        "shape": arguments.shape,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python"
        f" {platform.python_version()}, {load} at the start",
    }
    with tempfile.TemporaryDirectory() as scratch:
        results["figures"] = measure(
            arguments.rows,
            arguments.stages,
            arguments.work or Path(scratch),
            arguments.recipe,
            arguments.shape,
        )
    write_results(arguments.out, results, as_markdown(results))


if __name__ == "__main__":
    main()
