"""Time one decision beside the tokenizer alone, encoders, and the routers of other projects, in one
run.

    python -m benchmarks.latency bundles/fast-1 --accurate bundles/accurate-1 --minilm FOLDER -o
    benchmarks/results/2026-11-28-latency

Each contender runs in a process of its own (``benchmarks/contenders``), one thread, and is asked in
turns: a round is every contender on a few texts, and rounds follow each other, so that a busy
machine is busy for all. Texts are cut from the sample traffic to 16, 64, 256 and 512 tokens. Ratios
are medians over rounds of a round's ratio in processor time. So every contender begins with what
the others left in the caches, as in a process that does other things too; what a call takes that
follows others of its kind is measured apart, at 64 tokens, one contender at a time. A contender
that cannot be run is left out, and the page says so. Contenders of ``benchmarks/peers`` run in the
environments that ``benchmarks.quality`` made.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from benchmarks.lib.latency_report import as_markdown, plot
from benchmarks.lib.peer_environments import Peer
from difficulty.training.shipped import shipped_file

LENGTHS = (16, 64, 256, 512)
CONTENDERS = Path(__file__).parent / "contenders"
QUICK = {"fast", "LiteLLM 1.106 heuristic"}
ALONE = 64
"""Tokens of the texts on which each contender is timed alone."""
TURNS = 3
BATCH = 4_000
CALLED = 2_000
COLD_STARTS = 7
_START = (
    "import sys; from difficulty.runtime import Router; Router.load(sys.argv[1]).decide('first"
    " request')"
)
_LIBRARIES = "import numpy, onnxruntime, tokenizers"


class Contender:
    """A process that answers requests for timings.

    Parameters
    ----------
    name : str
        What the page calls it.
    command : sequence
        Python, script and arguments.
    """

    def __init__(self, name: str, command: Sequence[object]) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile("w+")
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }
        started = time.perf_counter()
        self._process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
        )
        self.said = self._answer()
        self.start_s = round(time.perf_counter() - started, 3)

    def ask(self, **question: Any) -> dict[str, Any]:
        """Return the answer to one question."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def __enter__(self) -> Contender:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            if pipe:
                pipe.close()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        while line and not line.startswith("{"):  # what a library prints while it is imported
            line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            reason = (self._errors.read().strip().splitlines() or ["it said nothing"])[-1][:160]
            self.close()
            raise RuntimeError(reason)
        answer: dict[str, Any] = json.loads(line)
        return answer


def main() -> None:
    """Run the benchmark and write ``<out>.json``, ``<out>.md`` and ``<out>.svg``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path, help="a bundle of recipe fast")
    parser.add_argument("--accurate", type=Path, help="a bundle of recipe accurate")
    parser.add_argument(
        "--encoder",
        type=Path,
        help="folder with encoder.onnx and tokenizer.json: its int8 encoder alone",
    )
    parser.add_argument("--minilm", type=Path, help="folder of all-MiniLM-L6-v2")
    parser.add_argument(
        "--python",
        type=Path,
        default=Path(sys.executable),
        help="Python that has sentence-transformers and transformers",
    )
    parser.add_argument(
        "--environments",
        type=Path,
        default=Path(".benchmark/environments"),
        help="of benchmarks.quality",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=10, help="texts of each length, in each round")
    parser.add_argument(
        "--skip-install", action="store_true", help="do not measure the size of the base install"
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    contenders, left_out = _contenders(arguments)
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": (
            f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} when"
            " begun"
        ),
        "python": platform.python_version(),
        "rounds": arguments.rounds,
        "texts": arguments.texts,
        "left_out": left_out,
        "single": _single(contenders, texts := _texts(arguments), arguments.rounds),
        "alone_tokens": ALONE,
        "alone": _alone(contenders, texts[ALONE]),
        "batches": _batches(contenders),
        "callers": _callers(arguments.bundle),
        "processes": {
            one.name: {"start_s": one.start_s, "resident_mb": one.said["resident_mb"]}
            for one in contenders
        },
        "cold_start": _cold_starts(arguments.bundle),
        "install_mb": None if arguments.skip_install else _install_mb(),
        "long_prompt_ms": _long_prompt(contenders[0]),
    }
    for one in contenders:
        one.close()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(
        json.dumps(results, indent=1) + "\n", encoding="utf-8"
    )
    arguments.out.with_suffix(".md").write_text(
        as_markdown(results, picture=f"{arguments.out.name}.svg"), encoding="utf-8"
    )
    plot(results, arguments.out.with_suffix(".svg"))


def _contenders(arguments: argparse.Namespace) -> tuple[list[Contender], dict[str, str]]:
    """Start all; return those that run, ours first, and why others do not."""
    peers = {
        name: Peer(name, arguments.environments).environment / "bin" / "python"
        for name in ("llmrouter_lib", "semantic_router_lib")
    }
    tokenizer = arguments.bundle / "tokenizer.json"
    commands: dict[str, list[object] | None] = {
        "fast": [sys.executable, "bundle.py", arguments.bundle.resolve()],
        "accurate": (
            arguments.accurate and [sys.executable, "bundle.py", arguments.accurate.resolve()]
        ),
        "MiniLM int8, ONNX session": (
            arguments.encoder and [sys.executable, "encoder.py", arguments.encoder.resolve()]
        ),
        "MiniLM, sentence-transformers": (
            arguments.minilm and [arguments.python, "minilm.py", arguments.minilm.resolve()]
        ),
        "XLM-RoBERTa-base shape, transformers": [
            arguments.python,
            "xlm_roberta.py",
            tokenizer.resolve(),
        ],
        "LiteLLM 1.106 heuristic": [peers["llmrouter_lib"], "litellm_heuristic.py"],
        "semantic-router 1.1.1, without its encoder": [
            peers["semantic_router_lib"],
            "semantic_router_lib.py",
        ],
        "LLMRouter 0.4.0 kNN, without its encoder": [peers["llmrouter_lib"], "llmrouter_knn.py"],
    }
    started, left_out = [], {}
    for name, command in commands.items():
        if not command:
            left_out[name] = "not asked for"
            continue
        print(f"starting {name}", file=sys.stderr, flush=True)
        try:
            started.append(
                Contender(
                    name,
                    [
                        Path(os.path.abspath(str(command[0]))),
                        CONTENDERS / str(command[1]),
                        *command[2:],
                    ],
                )
            )
        except (RuntimeError, OSError) as error:
            left_out[name] = str(error)
    return started, left_out


def _texts(arguments: argparse.Namespace) -> dict[int, list[str]]:
    """Return texts of each length in tokens, cut from the sample traffic's requests laid end to
    end.
    """
    tokenizer = Tokenizer.from_file(str(arguments.bundle / "tokenizer.json"))
    found = {}
    for length in LENGTHS:
        text, at, texts = " ".join(_sample(3_000)), 0, []
        while len(texts) < arguments.texts:
            window = text[at : at + 12 * length]
            end = tokenizer.encode(window).offsets[length - 1][1]
            texts.append(window[:end])
            at += end
        found[length] = texts
    return found


def _sample(n: int) -> list[str]:
    with gzip.open(shipped_file("data/sample.jsonl.gz"), "rt", encoding="utf-8") as file:
        return [
            json.loads(line)["messages"][0]["content"]
            for line, _ in zip(file, range(n), strict=False)
        ]


def _single(
    contenders: list[Contender], texts: dict[int, list[str]], rounds: int
) -> list[dict[str, Any]]:
    """Return what each call took at each length."""
    times: dict[tuple[str, str, int], list[list[list[int]]]] = {}
    for number in range(rounds + 1):
        print(f"round {number} of {rounds}", file=sys.stderr, flush=True)
        for length, ones in texts.items():
            for contender in contenders:
                quick = contender.name in QUICK  # of what takes long, a few calls say enough
                asked = {"texts": ones if quick else ones[:2], "rounds": 5 if quick else 1}
                apart = [
                    call for call in contender.said["calls"] if "new" in call
                ]  # they make words new for the others too
                for calls in (
                    [call for call in contender.said["calls"] if call not in apart],
                    apart,
                ):
                    answer = contender.ask(calls=calls, **asked)
                    for call in calls:
                        if number:  # the first round warms up
                            times.setdefault((contender.name, call, length), []).append(
                                answer[call]
                            )
    return [_row(key, found, times) for key, found in times.items()]


def _alone(contenders: list[Contender], texts: list[str]) -> list[dict[str, Any]]:
    """Return what each call takes when it follows others of its kind: of each run of calls the
    second half counts.
    """
    times: dict[tuple[str, str], list[list[int]]] = {}
    for _ in range(TURNS):
        for contender in contenders:
            quick = contender.name in QUICK
            for call in (call for call in contender.said["calls"] if "new" not in call):
                answer = contender.ask(
                    calls=[call], texts=texts if quick else texts[:2], rounds=100 if quick else 4
                )[call]
                times.setdefault((contender.name, call), []).extend(answer[len(answer) // 2 :])
    base = float(np.median([one[1] for one in times["fast", "tokenizer"]]))
    return [
        {
            "contender": name,
            "call": call,
            "p50_ms": float(np.quantile([one[0] for one in found], 0.5)) / 1e6,
            "p99_ms": float(np.quantile([one[0] for one in found], 0.99)) / 1e6,
            "times_tokenizer": float(np.median([one[1] for one in found])) / base,
        }
        for (name, call), found in times.items()
    ]


def _row(
    key: tuple[str, str, int], found: list[list[list[int]]], times: dict[tuple[str, str, int], Any]
) -> dict[str, Any]:
    name, call, length = key
    wall = np.array([one[0] for row in found for one in row]) / 1e6
    base = times[("fast", "tokenizer", length)]
    ratio = np.median(
        [_middle(row) / _middle(other) for row, other in zip(found, base, strict=True)]
    )
    return {
        "contender": name,
        "call": call,
        "tokens": length,
        "p50_ms": float(np.quantile(wall, 0.5)),
        "p99_ms": float(np.quantile(wall, 0.99)),
        "processor_ms": float(np.median([one[1] for row in found for one in row]) / 1e6),
        "times_tokenizer": float(ratio),
    }


def _middle(row: list[list[int]]) -> float:
    """Return the median processor time of a round."""
    return float(np.median([one[1] for one in row]))


def _batches(contenders: list[Contender]) -> dict[str, dict[str, float]]:
    """Return requests a second of processor time on sample requests, median of five batches."""
    found, texts = {}, _sample(BATCH)
    for one in contenders:
        for call in one.said["batches"]:
            some = texts if one.name == "fast" else texts[:64]
            taken = [
                one.ask(batch=some, call=call)[call][0]
                for _ in range(5 if one.name == "fast" else 2)
            ]
            found[one.name] = {
                "requests": len(some),
                "per_second": round(
                    len(some) / (float(np.median([row[1] for row in taken])) / 1e9)
                ),
            }
    return found


def _callers(bundle: Path) -> list[dict[str, Any]]:
    """Return what concurrent callers of one event loop get, by way of asking and number of
    callers.
    """
    command = [sys.executable, CONTENDERS / "callers.py", bundle.resolve()]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    asked = json.dumps(_sample(CALLED))
    found = subprocess.run(
        [str(part) for part in command],
        input=asked,
        text=True,
        check=True,
        env=environment,
        stdout=subprocess.PIPE,
    )
    rows: list[dict[str, Any]] = json.loads(found.stdout)
    return rows


def _long_prompt(fast: Contender) -> dict[str, float]:
    """Return what a decision takes on a million characters and on 8,000, ASCII and not, in ms of
    processor time.
    """
    texts = {
        "1 MB": "some words and more " * 50_000,
        "8 kB": "some words and more " * 400,
        "1 MB, accents": "des mots énormes " * 60_000,
    }
    found = {}
    for name, text in texts.items():
        answer = fast.ask(texts=[text], calls=["decide"], rounds=15)
        found[name] = round(float(np.median([one[1] for one in answer["decide"]])) / 1e6, 3)
    return found


def _cold_starts(bundle: Path) -> dict[str, float]:
    """Return medians in s, from process start to first decision and to imported libraries, in
    turns: wall and processor time.
    """
    commands = {
        "first decision": [sys.executable, "-c", _START, bundle],
        "libraries imported": [sys.executable, "-c", _LIBRARIES],
    }
    wall: dict[str, list[float]] = {name: [] for name in commands}
    processor: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(COLD_STARTS):
        for name, command in commands.items():
            before, started = os.times(), time.perf_counter()
            subprocess.run(
                [str(part) for part in command],
                check=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
            wall[name].append(time.perf_counter() - started)
            after = os.times()
            processor[name].append(
                after.children_user
                + after.children_system
                - before.children_user
                - before.children_system
            )
    medians = {f"{name}, wall": float(np.median(taken)) for name, taken in wall.items()}
    medians |= {f"{name}, processor": float(np.median(taken)) for name, taken in processor.items()}
    ratios = np.divide(*wall.values())
    return medians | {"first decision over libraries, median of ratios": float(np.median(ratios))}


def _install_mb() -> float:
    """Return what ``pip install .`` adds to an empty environment, in MB."""
    with tempfile.TemporaryDirectory() as scratch:
        venv.create(scratch, with_pip=True)
        before = _size(Path(scratch))
        repository = Path(__file__).parents[1]
        install = [
            f"{scratch}/bin/python",
            "-m",
            "pip",
            "install",
            "-q",
            "-c",
            repository / "constraints.txt",
            repository,
        ]
        subprocess.run([str(part) for part in install], check=True)
        return round((_size(Path(scratch)) - before) / 1e6, 1)


def _size(folder: Path) -> int:
    return sum(
        path.lstat().st_size
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    )


if __name__ == "__main__":
    main()
