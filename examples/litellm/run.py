"""From labelled traffic to a LiteLLM proxy that routes by a learned score: python -m
examples.litellm.run.

Trains on the shipped sample, ships a bundle, prints a proxy configuration and starts a real proxy
with it in front of two small models, sends the sample's requests through it, and compares what came
of them with either model alone. Then the log is read: a monitor page, two other thresholds
replayed, and a recalibrated bundle that the proxy takes up while it runs. Everything stays on
127.0.0.1. The sample is synthetic: its figures say nothing about real models.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from difficulty.bundle import read_bundle
from difficulty.economics import load_prices
from difficulty.events import DecisionEvent
from difficulty.gateway.log_files import read_log
from difficulty.request import read_requests
from difficulty.runtime import Router
from difficulty.runtime.service import route_rows
from difficulty.stages.overlap import training_splits
from difficulty.traffic.table import Traffic
from examples.litellm.client import Reply, body_of, send
from examples.litellm.commands import difficulty, say
from examples.litellm.proxy import ROOT, Proxy, proxy, upstreams
from examples.litellm.quarter import keep_up, point_at
from examples.litellm.report import check, lines, slower, stage_table, stages, table
from examples.litellm.upstream import known_requests

PRICES = ROOT / "data" / "prices.example.toml"
HEURISTIC = """  - model_name: "heuristic"
    litellm_params:
      model: "auto_router/complexity_router"
      complexity_router_config:
        tiers: {SIMPLE: "cheap", MEDIUM: "cheap", COMPLEX: "frontier", REASONING: "frontier"}
      complexity_router_default_model: "frontier"
"""
"""LiteLLM's own classifier beside ours, to compare what deciding takes."""


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--requests", type=int, default=2000, help="how many to send")
    parser.add_argument("--at-once", type=int, default=50, help="how many at a time")
    parser.add_argument(
        "--timed",
        type=int,
        default=400,
        help="how many to time beside LiteLLM's own classifier, one at a time",
    )
    parser.add_argument("-o", "--out", type=Path, help="folder to keep; default: a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.out or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        wrong = run(folder, n=options.requests, at_once=options.at_once, n_timed=options.timed)
    sys.exit(bool(wrong))


def run(folder: Path, *, n: int, at_once: int, n_timed: int) -> list[str]:
    """Walk the whole way and return what was not as it should be."""
    bundle, unseen = make_bundle(folder)
    rows = chosen_rows(unseen, n)
    # What the proxy follows is a link, so that another bundle can take its place.
    current = folder / "current"
    point_at(current, bundle)
    with upstreams(folder) as upstream:
        config = write_config(folder, current, upstream, follow=True)
        say("litellm --config proxy.yaml")
        with proxy(config, folder / "proxy.log") as running:
            say(f"{len(rows):,} requests, {at_once} at a time")
            replies = send(running, rows, at_once=at_once)
            ours, theirs = timed(running, rows[:n_timed])
            say("a quarter later")
            wrong = keep_up(running, rows, replies, current=current)
    events = list(read_log(folder / "decisions"))
    print("".join(f"NO: {sentence}\n" for sentence in wrong), end="")
    return wrong + report(
        rows,
        replies,
        events[: len(replies)],
        bundle=bundle,
        unseen=unseen,
        timings=(ours, theirs),
        folder=folder,
    )


def make_bundle(folder: Path) -> tuple[Path, set[str]]:
    """Train and ship; return the bundle and the ids of the samples that training did not see."""
    traffic, run_folder, bundle = folder / "traffic.parquet", folder / "run", folder / "gateway-1"
    recipe = Path(__file__).with_name("recipe.toml")
    difficulty("ingest", "data/sample.jsonl.gz", "-o", traffic)
    difficulty(
        "train",
        traffic,
        "-o",
        run_folder,
        "--recipe",
        recipe,
        "--no-tracking",
        "--no-more-labels",
        "--no-unseen-tasks",
    )
    difficulty("ship", run_folder, "-o", bundle, "--prices", PRICES)
    table_ = Traffic.read(traffic)
    splits = training_splits(read_bundle(bundle), table_)
    return bundle, {
        name
        for name, split in zip(table_.ids, splits if splits is not None else [], strict=True)
        if split == "test"
    }


def chosen_rows(unseen: set[str], n: int) -> list[dict[str, Any]]:
    """Return rows with known outcomes: those that training did not see, then others up to ``n``, in
    a shuffled order.
    """
    rows = [row for row, _ in known_requests().values()]
    rows.sort(key=lambda row: row["id"] not in unseen)
    picked = rows[:n]
    random.Random(0).shuffle(picked)
    return picked


def write_config(folder: Path, bundle: Path, upstream: str, *, follow: bool = False) -> Path:
    """Print the proxy's configuration into a file, with LiteLLM's own classifier beside ours; with
    ``follow`` the proxy takes up what comes to the bundle's path later.
    """
    models = [
        "--cheap",
        "openai/cheap-8b",
        "--cheap-api-base",
        f"{upstream}/cheap/v1",
        "--cheap-api-key",
        "os.environ/EXAMPLE_KEY",
    ]
    models += [
        "--frontier",
        "openai/frontier",
        "--frontier-api-base",
        f"{upstream}/frontier/v1",
        "--frontier-api-key",
        "os.environ/EXAMPLE_KEY",
    ]
    text = difficulty(
        "litellm-config",
        bundle,
        *models,
        "--log",
        folder / "decisions",
        "--log-texts",
        "--prices",
        PRICES,
        *(["--follow"] if follow else []),
        # The example's client counts as the sample does, so that decisions can be compared.
        "--client-may-set",
        "task",
        "--client-may-set",
        "prompt_tokens",
    )
    path = folder / "proxy.yaml"
    path.write_text(text.replace("model_list:\n", f"model_list:\n{HEURISTIC}", 1), encoding="utf-8")
    return path


def timed(running: Proxy, rows: list[dict[str, Any]]) -> tuple[list[Reply], list[Reply]]:
    """Send rows one at a time, each through our classifier and through LiteLLM's own, taking turns
    so that both see the same machine.
    """
    ours, theirs = [], []
    for start in range(0, len(rows), 20):
        part = rows[start : start + 20]
        theirs += send(running, part, at_once=1, model="heuristic")
        ours += send(running, part, at_once=1)
    return ours, theirs


def report(
    rows: list[dict[str, Any]],
    replies: list[Reply],
    events: list[DecisionEvent],
    *,
    bundle: Path,
    unseen: set[str],
    timings: tuple[list[Reply], list[Reply]],
    folder: Path,
) -> list[str]:
    """Print the table and the checks; return what was not as it should be."""
    wrong = check(rows, replies, decisions_of(bundle, rows, folder), events)
    by_request = {event.id: event for event in events}
    by_row = {
        reply.id: by_request[reply.decision["id"]]
        for reply in replies
        if reply.decision.get("id") in by_request
    }
    judged = [row for row in rows if row["id"] in unseen and row["id"] in by_row]
    print(
        f"\n{len(judged):,} requests that training did not"
        f" see:\n\n{table(lines(judged, by_row, load_prices(PRICES)))}\n"
    )
    print(f"what each stage brought:\n\n{stage_table(stages(judged, by_row))}\n")
    print(
        f"{len(replies):,} answered, each decided as 'difficulty route' does, fallback where"
        " validation failed or the check said so, one event each: ",
        end="",
    )
    print("yes" if not wrong else f"NO, {len(wrong)} times; the first: {wrong[0]}")
    if timings[0]:
        p50, p99, n = slower(*timings)
        print(
            f"one at a time, {n} requests of one call each take {p50:+.2f} ms (p50), {p99:+.2f} ms"
            " (p99) beside LiteLLM's own heuristic"
        )
    return wrong


def decisions_of(
    bundle: Path, rows: list[dict[str, Any]], folder: Path
) -> dict[str, dict[str, Any]]:
    """Return what ``difficulty route`` decides of each row."""
    path = folder / "requests.jsonl"
    path.write_text(
        "".join(json.dumps({**body_of(row), **row}) + "\n" for row in rows), encoding="ascii"
    )
    return {row["id"]: row for row in route_rows(Router.load(bundle), read_requests(path))}


if __name__ == "__main__":
    main()
