"""Time `difficulty serve`: many clients at once, and what its chat API adds to LiteLLM's SDK.

    python -m benchmarks.serving bundles/fast-1 -o benchmarks/results/2026-11-28-serving

One worker, in a process of its own; clients, in another one, are plain sockets in one event loop.
Decisions: 500 clients connect at once and each asks for decisions on requests of the sample, one
after another without a pause, and the same with one decision each, as a burst. Chat: the example's
two models answer at once, in a process of their own; one request at a time is asked through the
service and of LiteLLM's SDK in this process, of the model that the router names, in turns, the
first in turn first. Requests that fell back, which is a second call, are left out. Ranges: of
percentiles over rounds lowest to highest; of what is added 95 % by a bootstrap over requests. Needs
the extra serve.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.lib.http_clients import Tally, ask_at_once, written_call
from benchmarks.lib.results import write_results
from difficulty.runtime import Router
from examples.litellm.client import body_of
from examples.litellm.proxy import upstreams
from examples.litellm.upstream import known_requests

CLIENTS = 500
MOST_P99_MS = 250.0
MOST_ADDED_MS = 3.0
WARM_UP = 40
DRAWS = 2_000


def main() -> None:
    """Run the benchmark and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path, help="bundle folder")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--each", type=int, default=10, help="decisions that a client asks for")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of all clients")
    parser.add_argument("--chats", type=int, default=400, help="chat requests; 0: none")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    rows = [row for row, _ in known_requests().values()]
    random.Random(0).shuffle(rows)
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": (
            f"{platform.machine()}, {os.cpu_count()} cores, load"
            f" {os.getloadavg()[0]:.1f} when begun"
        ),
        "python": platform.python_version(),
        "clients": arguments.clients,
        **decisions(arguments.bundle, rows, arguments),
    }
    if arguments.chats:
        results["chat"] = asyncio.run(chats(arguments.bundle, rows[: WARM_UP + arguments.chats]))
    write_results(arguments.out, results, as_markdown(results))
    print(as_markdown(results), file=sys.stderr)


class Served(NamedTuple):
    """A service that answers."""

    port: int
    process: int

    def cpu_s(self) -> float:
        """Return the processor time that it has taken."""
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def served(bundle: Path, *options: str) -> Iterator[Served]:
    """Run the service in a process of its own."""
    program = "from difficulty.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", str(bundle), "--port", "0", "--json"]
    environment = os.environ | {"EXAMPLE_KEY": "not-a-secret", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        said = ""
        while not said.rstrip().endswith("}") and (line := process.stdout.readline()):
            said += line
        try:
            port = int(json.loads(said)["address"].rsplit(":")[-1].split("/")[0])
            yield Served(port, process.pid)
        finally:
            process.terminate()


def decisions(
    bundle: Path, rows: Sequence[dict[str, Any]], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Return what clients saw, asking on and on, and once each."""
    calls = [written_call("/decide", json.dumps(_asked(row)).encode()) for row in rows]
    results: dict[str, Any] = {}
    with served(bundle) as service:
        asyncio.run(ask_at_once(service.port, [calls[:WARM_UP]]))
        for name, each in (("steady", arguments.each), ("burst", 1)):
            rounds = []
            for number in range(arguments.rounds):
                chosen = random.Random(number).choices(calls, k=arguments.clients * each)
                own = [chosen[place :: arguments.clients] for place in range(arguments.clients)]
                began, before = time.perf_counter(), service.cpu_s()
                tally = asyncio.run(ask_at_once(service.port, own))
                seconds, cpu_s = time.perf_counter() - began, service.cpu_s() - before
                rounds.append(_summary(tally, seconds, cpu_s))
            results[name] = {"each": each, "rounds": rounds}
    return results


def _asked(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("id", "messages", "task") if row.get(name) is not None}


def _summary(tally: Tally, seconds: float, cpu_s: float) -> dict[str, float]:
    return {
        "answers": len(tally.ms),
        "refused": tally.refused + sum(status != 200 for status in tally.statuses),
        "a_second": len(tally.ms) / seconds,
        "cpu_ms": cpu_s * 1000 / len(tally.ms),
        **{f"p{cut}": float(np.quantile(tally.ms, cut / 100)) for cut in (50, 99)},
        "slowest": max(tally.ms),
    }


async def chats(bundle: Path, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the milliseconds of each request, through the service and by the SDK."""
    import litellm

    router = Router.load(bundle)
    taken: dict[str, list[float]] = {"service": [], "sdk": []}
    with tempfile.TemporaryDirectory() as scratch, upstreams(Path(scratch)) as upstream:
        options = []
        for side in ("cheap", "frontier"):
            options += [f"--{side}", f"openai/{side}", f"--{side}-api-base"]
            options += [f"{upstream}/{side}/v1", f"--{side}-api-key", "os.environ/EXAMPLE_KEY"]
        with served(bundle, *options, "--log", str(Path(scratch) / "log")) as service:
            line = await asyncio.open_connection("127.0.0.1", service.port)
            for number, row in enumerate(rows):
                body = {**body_of(row), "model": "auto"}
                side = router.decide(body["messages"], row.get("task")).route

                async def through(body: dict[str, Any] = body) -> bool:
                    call = written_call("/v1/chat/completions", json.dumps(body).encode())
                    return await _ask(line, call)

                async def direct(body: dict[str, Any] = body, side: str = side) -> bool:
                    await litellm.acompletion(
                        model=f"openai/{side}",
                        api_base=f"{upstream}/{side}/v1",
                        api_key="not-a-secret",
                        messages=body["messages"],
                    )
                    return True

                turns = [("service", through), ("sdk", direct)]
                times, is_plain = {}, True
                for name, call in turns if number % 2 else turns[::-1]:
                    began = time.perf_counter()
                    is_plain &= await call()
                    times[name] = (time.perf_counter() - began) * 1000
                if is_plain and number >= WARM_UP:
                    for name, ms in times.items():
                        taken[name].append(ms)
            line[1].close()
    return compared(taken)


async def _ask(line: tuple[asyncio.StreamReader, asyncio.StreamWriter], call: bytes) -> bool:
    """Ask one thing; return whether the first model's answer was sent."""
    reader, writer = line
    writer.write(call)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
    assert head.startswith(b"http/1.1 200 "), head[:40]
    return b"x-difficulty-fallback" not in head


def compared(taken: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return percentiles of both ways in ms, and what the service adds at the median, with a
    range.
    """
    pairs = np.array([taken["service"], taken["sdk"]])
    draws = np.random.default_rng(0).integers(0, pairs.shape[1], (DRAWS, pairs.shape[1]))
    added = np.median(pairs[0][draws], axis=1) - np.median(pairs[1][draws], axis=1)
    low, high = np.quantile(added, (0.025, 0.975))
    return {
        "n": pairs.shape[1],
        "ms": {
            name: {f"p{cut}": float(np.quantile(times, cut / 100)) for cut in (50, 99)}
            for name, times in taken.items()
        },
        "added_p50": float(np.median(pairs[0]) - np.median(pairs[1])),
        "low": float(low),
        "high": float(high),
    }


def as_markdown(results: Mapping[str, Any]) -> str:
    """Return the page."""
    lines = [
        f"# What `difficulty serve` takes ({results['date']})",
        "",
        (
            f"{results['machine']}; Python {results['python']}. Made by `python -m"
            " benchmarks.serving`: one worker, its clients in a process of their own on the same"
            " machine, which was shared."
        ),
        "",
        f"## {results['clients']:,} clients at once",
        "",
        (
            "| /decide | answers a round | a second | p50 ms | p99 ms | slowest ms |"
            " processor ms of the service an answer | refused |"
        ),
        "| --- " * 8 + "|",
        *(_row(name, results[name]) for name in ("steady", "burst")),
        "",
        (
            "Medians over rounds, lowest to highest in brackets. Steady: each client asks"
            f" {results['steady']['each']} times, one after another without a pause. Burst: each"
            " connects and asks once."
        ),
        "",
        *_verdict(
            f"p99 under {MOST_P99_MS:g} ms, none refused",
            all(
                _median(results[name], "p99") < MOST_P99_MS and not _total(results[name], "refused")
                for name in ("steady", "burst")
            ),
        ),
    ]
    if chat := results.get("chat"):
        lines += [
            "",
            f"## A chat request, {chat['n']:,} of them, one at a time",
            "",
            "| way | p50 ms | p99 ms |",
            "| --- " * 3 + "|",
            *(
                f"| {title} | {chat['ms'][name]['p50']:.2f} | {chat['ms'][name]['p99']:.2f} |"
                for name, title in (
                    ("service", "`/v1/chat/completions`, with decision and log"),
                    ("sdk", "LiteLLM's SDK, called directly"),
                )
            ),
            "",
            (
                f"Added at p50: {chat['added_p50']:.2f} ms"
                f" ({chat['low']:.2f} to {chat['high']:.2f})."
            ),
            "",
            *_verdict(f"at most {MOST_ADDED_MS:g} ms added", chat["added_p50"] <= MOST_ADDED_MS),
        ]
    return "\n".join(lines) + "\n"


def _row(name: str, asked: Mapping[str, Any]) -> str:
    cells = [f"{asked['rounds'][0]['answers']:,.0f}", _spread(asked, "a_second")]
    cells += [_spread(asked, part) for part in ("p50", "p99", "slowest")]
    cells.append(_spread(asked, "cpu_ms", digits=2))
    return f"| {name} | {' | '.join(cells)} | {_total(asked, 'refused'):.0f} |"


def _spread(asked: Mapping[str, Any], part: str, *, digits: int = 0) -> str:
    values = [each[part] for each in asked["rounds"]]
    told = [f"{value:,.{digits}f}" for value in (np.median(values), min(values), max(values))]
    return f"{told[0]} ({told[1]} to {told[2]})"


def _median(asked: Mapping[str, Any], part: str) -> float:
    return float(np.median([each[part] for each in asked["rounds"]]))


def _total(asked: Mapping[str, Any], part: str) -> float:
    return float(sum(each[part] for each in asked["rounds"]))


def _verdict(goal: str, is_held: bool) -> list[str]:
    return [f"Goal, {goal}: {'held' if is_held else 'missed'}."]


if __name__ == "__main__":
    main()
