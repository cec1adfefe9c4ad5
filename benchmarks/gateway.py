"""Time what the plugin adds to a LiteLLM proxy, beside LiteLLM's own heuristic classifier, in one
run.

    python -m benchmarks.gateway bundles/gateway-1 -o benchmarks/results/2026-11-27-gateway

Once in this process, where nothing but classifying is timed: both classifiers are asked of each
request by LiteLLM's auto router, one after the other, the first in turn first. Ours is timed as in
a proxy, where a hook decides before the auto router asks, and as the auto router's call alone. And
once through a real proxy with the example's two models, one request at a time, where all else is
timed too. Requests are those of the sample traffic, each asked once. Needs the extra gateway.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from litellm.router_strategy.complexity_router.complexity_router import ComplexityRouter

from benchmarks.lib.results import write_results
from difficulty.gateway.settings import build_gateway, parse_settings
from difficulty.integrations.litellm import DifficultyHandler
from examples.litellm.client import Reply, body_of
from examples.litellm.proxy import proxy, upstreams
from examples.litellm.run import timed, write_config
from examples.litellm.upstream import known_requests

Classify = Callable[[dict[str, Any]], Awaitable[object]]

WARM_UP = 200
MOST_ADDED_MS = {"p50": 1.0, "p99": 5.0}
"""What the plugin may add, at most."""
THEIRS, HOOK, ALONE = (
    "LiteLLM's heuristic",
    "plugin: hook and classifier",
    "plugin: classifier alone",
)
_TIERS = {"SIMPLE": "cheap", "MEDIUM": "cheap", "COMPLEX": "frontier", "REASONING": "frontier"}


def main() -> None:
    """Run the benchmark and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path, help="bundle folder")
    parser.add_argument(
        "--requests", type=int, default=3_000, help="requests to classify in this process"
    )
    parser.add_argument(
        "--through-proxy", type=int, default=400, help="requests to send through a proxy; 0: none"
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    rows = [row for row, _ in known_requests().values()]
    random.Random(0).shuffle(rows)
    load = os.getloadavg()[0]
    taken = asyncio.run(in_process(arguments.bundle, rows[: WARM_UP + arguments.requests]))
    replies = (
        through_proxy(arguments.bundle, rows[: arguments.through_proxy])
        if arguments.through_proxy
        else None
    )
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f} when begun",
        "python": platform.python_version(),
        "in_process": compared(taken),
        "through_proxy": compared(replies) if replies else None,
    }
    write_results(arguments.out, results, as_markdown(results))
    print(as_markdown(results), file=sys.stderr)


async def in_process(bundle: Path, rows: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """Return the milliseconds that each classifier took for each request, those of the warm-up left
    out.
    """
    calls = classifiers(bundle)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for number, row in enumerate(rows):
        turns = [*calls][number % len(calls) :] + [*calls][: number % len(calls)]
        for name in turns:
            body = body_of(row) | {"litellm_call_id": f"{name} {number}"}
            began = time.perf_counter()
            await calls[name](body)
            taken[name].append((time.perf_counter() - began) * 1000)
    return {name: times[WARM_UP:] for name, times in taken.items()}


def classifiers(bundle: Path) -> dict[str, Classify]:
    """Return what classifies a request's body, by name."""
    settings = parse_settings({"bundle": str(bundle), "mode": "auto_router"})
    handler = DifficultyHandler(settings, build_gateway(settings))
    theirs = _auto_router({})
    ours = _auto_router({"classifier_type": "custom", "classifier_plugin": handler})

    def asked(router: ComplexityRouter) -> Classify:
        async def classify(body: dict[str, Any]) -> object:
            messages = body["messages"]
            outcome = await router.aclassify(
                _last(messages, "user") or "", _last(messages, "system"), body, messages, messages
            )
            assert outcome.cause in (
                "heuristic_scorer",
                "reasoning_override",
                "classifier_plugin",
            ), outcome.cause
            return outcome

        return classify

    alone = asked(ours)

    async def hook(body: dict[str, Any]) -> object:
        await handler.async_pre_call_hook(None, None, body, "acompletion")
        return await alone(body)

    return {THEIRS: asked(theirs), HOOK: hook, ALONE: alone}


def through_proxy(bundle: Path, rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Return the milliseconds from request to answer by either classifier; requests that fell back,
    which is a second call, left out.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with (
            upstreams(folder) as upstream,
            proxy(write_config(folder, bundle, upstream), folder / "proxy.log") as running,
        ):
            timed(running, rows[:20])
            ours, theirs = timed(running, rows)
    pairs = [pair for pair in zip(ours, theirs, strict=True) if _answered_at_once(*pair)]
    return {
        THEIRS: [their.latency_ms for _, their in pairs],
        HOOK: [our.latency_ms for our, _ in pairs],
    }


def compared(taken: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return percentiles of each classifier, in ms, and by how much they are above those of
    LiteLLM's heuristic.
    """
    found = {
        name: {"p50": float(np.quantile(times, 0.5)), "p99": float(np.quantile(times, 0.99))}
        for name, times in taken.items()
    }
    for row in found.values():
        row |= {f"added_{cut}": row[cut] - found[THEIRS][cut] for cut in MOST_ADDED_MS}
    return {"requests": len(taken[THEIRS]), "ms": found}


def as_markdown(results: Mapping[str, Any]) -> str:
    """Return the page."""
    lines = [
        f"# What the LiteLLM plugin adds ({results['date']})",
        "",
        (
            f"{results['machine']}; Python {results['python']}. Made by `python -m"
            " benchmarks.gateway`, both classifiers in turns. The machine was shared: p99 also"
            " holds what other processes took."
        ),
        "",
        "## Classifying alone, in one process",
        "",
        *_table(results["in_process"]),
        "",
        _verdict(results["in_process"]["ms"][HOOK]),
    ]
    if results["through_proxy"]:
        lines += [
            "",
            "## Through a proxy, one request at a time, from request to answer",
            "",
            *_table(results["through_proxy"]),
        ]
    return "\n".join(lines) + "\n"


def _table(found: Mapping[str, Any]) -> list[str]:
    head = f"| {found['requests']:,} requests | p50 ms | p99 ms | added at p50 | added at p99 |"
    rows = [
        f"| {name} | {row['p50']:.3f} | {row['p99']:.3f} | {row['added_p50']:+.3f} |"
        f" {row['added_p99']:+.3f} |"
        for name, row in found["ms"].items()
    ]
    return [head, "| --- " * 5 + "|", *rows]


def _verdict(row: Mapping[str, float]) -> str:
    held = all(row[f"added_{cut}"] <= most for cut, most in MOST_ADDED_MS.items())
    allowed = " and ".join(f"{most:g} ms at {cut}" for cut, most in MOST_ADDED_MS.items())
    return f"The plugin adds at most {allowed}: {'yes' if held else 'no'}."


def _auto_router(config: dict[str, Any]) -> ComplexityRouter:
    return ComplexityRouter(
        "auto", SimpleNamespace(), {"tiers": _TIERS, **config}, derive_savings_baseline=False
    )


def _last(messages: Sequence[Mapping[str, Any]], role: str) -> str | None:
    return next(
        (message["content"] for message in reversed(messages) if message["role"] == role), None
    )


def _answered_at_once(*replies: Reply) -> bool:
    return all(reply.status == 200 and not reply.decision.get("fallback") for reply in replies)


if __name__ == "__main__":
    main()
