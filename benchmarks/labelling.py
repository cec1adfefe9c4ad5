"""What buying labels promises: no budget is passed, nothing is paid twice, a judge is known for
what it is.

    python -m benchmarks.labelling -o benchmarks/results/2026-11-28-labelling

**Budget.** Each run buys labels of 2 to 4 requests from two models and a judge, through litellm's
SDK with its HTTP client answered in this process. Limits, refusals, outages, cut answers and hangs
come at rates drawn for each run; an attempt that brings nothing is billed half of the time where it
may be. The server counts what it bills. A run's budget is drawn between one and 1.6 times what a
request may cost at worst, 1 to 16 calls are under way at once.

**Kills.** A purchase of 30 requests from a server on loopback is killed with SIGKILL at a random
moment of its time, and run again to its end; so 20 times. Then one purchase is killed over and over
until it is done. The server counts which of its calls it was asked for twice.

**Judge.** A judge on loopback whose position bias is known is asked about 200 pairs; the server
counts the truth of what it said. Coverage is of simulated judges: each pair's order is forced with
the probability of the bias, else the judge says what is better, a tie in a fifth; agreement is of
votes drawn from a joint distribution that is known.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lib.model_upstream import (
    PRICE,
    Body,
    Model,
    Reply,
    Upstream,
    judging,
    serving,
    unit,
    usage_of,
    user_text,
    usual_upstream,
)
from benchmarks.lib.repetitions import surroundings, table, write
from benchmarks.lib.shares import Share
from difficulty.economics.prices import PriceList, TokenPrice
from difficulty.labelling.budget import Budget
from difficulty.labelling.buying import Patience, Shop
from difficulty.labelling.journal import PurchaseJournal
from difficulty.labelling.judge_figures import (
    VOTES_IN_ORDER,
    cohens_kappa,
    judge_agreement,
    mean_interval,
    position_bias,
    verdicts_needed,
)
from difficulty.labelling.model_calls import ModelCaller
from difficulty.metrics.bootstrap import Resampling
from difficulty.records import Estimate
from difficulty.stages.labelling.answer_judges import ModelJudge, RequestToLabel
from difficulty.stages.labelling.label_jobs import LabelJob
from difficulty.stages.labelling.label_models import LabelModels, LabelOptions, pick_models

PRICES = PriceList(
    date="2026-11-01",  # type: ignore[arg-type]  # read as a date
    **{role: TokenPrice(input=read, output=written) for role, (read, written) in PRICE.items()},
)
HASTE = Patience(
    first_wait_s=0.0, longest_wait_s=0.0, longest_asked_s=300.0, failures_in_a_row=1_000
)
REQUESTS, PAIRS = 30, 200


def options_of(url: str, **changes: Any) -> LabelOptions:
    """Return the options of a purchase."""
    usual = {
        "cheap": "cheap",
        "frontier": "frontier",
        "judge": "judge",
        "budget_usd": 5.0,
        "max_tokens": 100,
        "judge_max_tokens": 60,
        "timeout_s": 30.0,
        "base_urls": dict.fromkeys(("cheap", "frontier", "judge"), url),
    }
    return LabelOptions(**(usual | changes))


def jobs_of(models: LabelModels, n: int, seed: int) -> list[LabelJob]:
    """Return what is to be bought for n requests of different lengths."""
    assert models.judge is not None
    judge = ModelJudge(models.judge)
    texts = (f"Request {seed}-{row} {'word ' * int(60 * unit(seed, row))}" for row in range(n))
    return [
        LabelJob(RequestToLabel(row, [{"role": "user", "content": text}], (), None), models, judge)
        for row, text in enumerate(texts)
    ]


def failing(model: Model, chance: random.Random, rates: dict[str, float]) -> Model:
    """Return a model that fails at some rates; a failure that may have been billed is, half of the
    time.
    """

    def reply(body: Body, attempt: int) -> Reply:
        event, billed = chance.random(), chance.random() < 0.5
        for name, rate in rates.items():
            if event < rate:
                return {
                    "limited": Reply(status=429, headers={"retry-after": "0"}),
                    "busy": Reply(status=503),
                    "refused": Reply(status=400),
                    "broken": Reply(status=500, billed=billed),
                    "cut": Reply(body=b'{"choices": [', billed=billed),
                    "hung": Reply(hang_s=1.0, billed=billed),
                }[name]
            event -= rate
        answer = model(body, attempt)
        usage = usage_of(body, answer.text)
        # Of any length that was allowed: bills are not known before.
        usage["completion_tokens"] = chance.randint(1, int(body["max_tokens"]))
        answer.usage = None if chance.random() < 0.05 else usage
        return answer

    return reply


def one_run(seed: int, folder: Path) -> dict[str, float]:
    """Buy with one budget of one failing upstream; return what was billed and what was said."""
    import httpx
    from openai import AsyncOpenAI

    chance = random.Random(seed)
    rates = {
        name: chance.choice((0.0, chance.uniform(0.0, 0.3)))
        for name in ("limited", "busy", "refused", "broken", "cut", "hung")
    }
    usual = usual_upstream().models
    upstream = Upstream({name: failing(model, chance, rates) for name, model in usual.items()})

    async def answer(request: httpx.Request) -> httpx.Response:
        import json

        reply, content = upstream.reply_to(json.loads(request.content))
        await asyncio.sleep(0.0)  # others come between
        if reply.hang_s:
            raise httpx.ReadTimeout("hung", request=request)
        if isinstance(content, bytes):
            return httpx.Response(reply.status, content=content, headers=dict(reply.headers))
        return httpx.Response(reply.status, json=content, headers=dict(reply.headers))

    async def bought() -> dict[str, float]:
        client = AsyncOpenAI(
            api_key="none",
            base_url="http://upstream.test/v1",
            max_retries=0,
            http_client=httpx.AsyncClient(transport=httpx.MockTransport(answer)),
        )
        caller = ModelCaller(client=client)
        models = pick_models(options_of("http://upstream.test/v1"), PRICES)
        jobs = jobs_of(models, chance.randint(2, 4), seed)
        with PurchaseJournal(folder / f"{seed}.jsonl") as journal:
            journal.begin({})
            unlimited = Shop(caller, Budget(1.0), journal)
            worst = max(job.worst_usd(unlimited) for job in jobs)
            limit = worst * chance.uniform(1.0, 1.6)
            shop = Shop(
                caller, Budget(limit), journal, at_once=chance.randint(1, 16), patience=HASTE
            )
            begun = await shop.buy(jobs)
        await client.close()
        return {
            "limit": limit,
            "billed": upstream.billed_usd,
            "spent": shop.budget.spent_usd,
            "calls": float(shop.counts["calls"]),
            "failed": float(sum(shop.failures.values())),
            "begun": float(begun),
            "labelled": float(sum(bool(job.request.outcomes) for job in jobs)),
            "by_budget": float(shop.stopped == "the budget"),
        }

    return asyncio.run(bought())


def measure_budgets(n: int) -> dict[str, Any]:
    """Return what became of n runs."""
    with tempfile.TemporaryDirectory() as folder:
        runs = [one_run(seed, Path(folder)) for seed in range(n)]
    passed = sum(run["billed"] > run["limit"] or run["spent"] > run["limit"] for run in runs)
    return {
        "runs": n,
        "passed": str(Share.of(passed, n)),
        "said less than billed": sum(run["spent"] < run["billed"] - 1e-12 for run in runs),
        "calls": int(sum(run["calls"] for run in runs)),
        "failed attempts": int(sum(run["failed"] for run in runs)),
        "ended by the budget": int(sum(run["by_budget"] for run in runs)),
        "labelled": int(sum(run["labelled"] for run in runs)),
        "billed, share of the budget": float(
            np.mean([run["billed"] / run["limit"] for run in runs if run["by_budget"]] or [0.0])
        ),
        "counted as spent, share of the budget": float(
            np.mean([run["spent"] / run["limit"] for run in runs if run["by_budget"]] or [0.0])
        ),
    }


def buy_here(url: str, journal_path: Path, n: int, *, at_once: int = 6) -> dict[str, Any]:
    """Buy from a server, and return what came of it."""

    async def bought() -> dict[str, Any]:
        caller = ModelCaller(timeout_s=30.0)
        jobs = jobs_of(pick_models(options_of(url), PRICES), n, 0)
        with PurchaseJournal(journal_path) as journal:
            if journal.plan is None:
                journal.begin({})
            budget = Budget(5.0, spent_usd=journal.spent_usd)
            shop = Shop(caller, budget, journal, at_once=at_once, patience=HASTE)
            await shop.buy(jobs)
            await caller.close()
        lost = sum(call.is_lost for call in journal.calls.values())
        labelled = sum(bool(job.request.outcomes) for job in jobs)
        return {"lost": lost, "labelled": labelled, "spent": budget.spent_usd}

    return asyncio.run(bought())


def slowly(model: Model) -> Model:
    """Return a model that takes a while."""

    def reply(body: Body, attempt: int) -> Reply:
        time.sleep(0.01 + 0.03 * unit(user_text(body)))
        return model(body, attempt)

    return reply


def start(url: str, journal: Path, n: int) -> int:
    """Buy in a process of its own; return its id."""
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            buy_here(url, journal, n)
        os._exit(0)
    return child


def kill_after(child: int, seconds: float) -> bool:
    """Kill a process after some time; return whether it was still at work."""
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def measure_kills(n: int, requests: int = REQUESTS) -> dict[str, Any]:
    """Return what became of n purchases that were killed, and of one killed over and over."""
    import litellm  # noqa: F401  # once, and not in each process that is killed

    chance, runs = random.Random(0), []
    slow = {name: slowly(model) for name, model in usual_upstream().models.items()}
    with tempfile.TemporaryDirectory() as folder:
        took: list[float] = []
        for number in range(n):
            upstream = Upstream(slow)
            with serving(upstream) as url:
                journal = Path(folder) / f"{number}.jsonl"
                if not took:  # how long one takes that nobody kills
                    begun = time.monotonic()
                    os.waitpid(start(url, Path(folder) / "whole.jsonl", requests), 0)
                    took.append(time.monotonic() - begun)
                    upstream.attempts.clear()
                    upstream.paid.clear()
                    upstream.billed_usd = 0.0
                killed = kill_after(start(url, journal, requests), took[0] * chance.random())
                paid = sum(upstream.paid.values())
                done = buy_here(url, journal, requests)
            runs.append(_after(upstream, done) | {"killed": killed, "paid_before": paid})
        upstream, kills = Upstream(slow), 0
        with serving(upstream) as url:
            journal = Path(folder) / "again.jsonl"
            while kills < n:
                kills += kill_after(start(url, journal, requests), took[0] * 0.4 * chance.random())
            over_and_over = _after(upstream, buy_here(url, journal, requests))
    return {
        "kills": n,
        "requests": requests,
        "in the middle": sum(0 < run["paid_before"] < 4 * requests for run in runs),
        "calls paid": int(sum(run["paid"] for run in runs)),
        "calls paid twice": int(sum(run["twice"] for run in runs)),
        "calls lost": int(sum(run["lost"] for run in runs)),
        "labelled": int(sum(run["labelled"] for run in runs)),
        "said less than billed": sum(run["spent"] < run["billed"] - 1e-12 for run in runs),
        "over and over": {"kills": kills, **over_and_over},
    }


def _after(upstream: Upstream, done: dict[str, Any]) -> dict[str, Any]:
    return {
        **done,
        "paid": sum(upstream.paid.values()),
        "twice": sum(count > 1 for count in upstream.attempts.values()),
        "billed": upstream.billed_usd,
    }


def measure_judge(pairs: int, bias: float) -> dict[str, Any]:
    """Return what is measured of a judge on loopback, and what the server counted."""
    marks: list[str] = []
    judge = judging(bias=bias)

    def kept(body: Body, attempt: int) -> Reply:
        reply = judge(body, attempt)
        marks.append(reply.text.rpartition("[[")[2].strip("]\n"))
        return reply

    with tempfile.TemporaryDirectory() as folder, serving(usual_upstream(judge=kept)) as url:

        async def bought() -> list[float]:
            caller = ModelCaller(timeout_s=60.0)
            jobs = jobs_of(pick_models(options_of(url), PRICES), pairs, 1)
            with PurchaseJournal(Path(folder) / "j.jsonl") as journal:
                journal.begin({})
                await Shop(caller, Budget(50.0), journal, patience=HASTE).buy(jobs)
            await caller.close()
            verdicts = [job.request.verdict for job in jobs if job.request.verdict]
            return [one.first_gain for one in verdicts if one.first_gain is not None]

        bias_found = position_bias(asyncio.run(bought()))
    counted = (marks.count("A") - marks.count("B")) / len(marks)
    return {
        "bias": bias,
        "pairs": pairs,
        "measured": _spelt(bias_found),
        "counted": round(counted, 4),
        "off": round(abs((bias_found.value or 0.0) - counted), 4),
        "covers": bool((bias_found.low or 0.0) <= counted <= (bias_found.high or 0.0)),
    }


def _spelt(estimate: Estimate) -> str:
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"


def measure_bias(n_replays: int) -> Iterator[dict[str, Any]]:
    """Yield, for judges whose bias is known, how far off the measure is and how often its interval
    holds the truth.
    """
    for bias in (0.0, 0.05, 0.2, 0.5, -0.2):
        for pairs in (100, 300, 1_000):
            rng = np.random.default_rng([int(100 * abs(bias)), pairs, int(bias < 0)])
            covered, off = 0, []
            for _ in range(n_replays):
                found = position_bias(_first_gains(bias, pairs, rng))
                assert found.value is not None
                assert found.low is not None
                assert found.high is not None
                covered += found.low <= bias <= found.high
                off.append(abs(found.value - bias))
            yield {
                "bias": bias,
                "pairs": pairs,
                "off": float(np.mean(off)),
                "within 0.02": float(np.mean(np.array(off) <= 0.02)),
                "covers": str(Share.of(covered, n_replays)),
            }


def _first_gains(bias: float, pairs: int, rng: np.random.Generator) -> np.ndarray:
    """Return the gains of the first seat, mean over both orders."""
    better = rng.choice([-1.0, 0.0, 1.0], p=(0.3, 0.2, 0.5), size=pairs)
    forced = rng.random((pairs, 2)) < abs(bias)
    seats = np.where(forced, np.sign(bias), np.stack([-better, better], axis=1))
    return np.asarray(seats.mean(axis=1))


JOINT = np.array([[0.20, 0.05, 0.05], [0.05, 0.10, 0.05], [0.05, 0.05, 0.40]])
"""Of a judge's votes and people's: cheap, tie, frontier."""


def measure_agreement(n_replays: int) -> Iterator[dict[str, Any]]:
    """Yield how often the intervals of raw agreement and of kappa hold the truth."""
    cells = np.array([(one, other) for one in VOTES_IN_ORDER for other in VOTES_IN_ORDER])
    share = float(np.trace(JOINT))
    kappa = float(cohens_kappa(cells[:, 0], cells[:, 1], JOINT.ravel()))
    for pairs in (50, 100, 300):
        rng, held = np.random.default_rng(pairs), np.zeros(2, dtype=int)
        for replay in range(n_replays):
            drawn = cells[rng.choice(9, p=JOINT.ravel(), size=pairs)]
            found = judge_agreement(drawn[:, 0], drawn[:, 1], Resampling(400, replay))
            for place, (estimate, value) in enumerate(
                ((found.agreement, share), (found.kappa, kappa))
            ):
                held[place] += (estimate.low or -2.0) <= value <= (estimate.high or 2.0)
        yield {
            "pairs": pairs,
            "agreement": str(Share.of(int(held[0]), n_replays)),
            "kappa": str(Share.of(int(held[1]), n_replays)),
        }


def measure_power(n_replays: int) -> dict[str, Any]:
    """Return how often as many verdicts as were asked for decide it; 80 % are meant."""
    rng, votes, p = np.random.default_rng(0), [-1.0, 0.0, 1.0], (0.3, 0.25, 0.45)
    mean = float(np.dot(votes, p))
    spread = float(np.sqrt(np.dot(np.square(votes), p) - mean**2))
    half = 1.959964 * spread / np.sqrt(100)
    more = verdicts_needed(Estimate(value=mean, low=mean - half, high=mean + half, n=100))
    assert more
    decided = 0
    for _ in range(n_replays):
        found = mean_interval(rng.choice(votes, p=p, size=100 + more))
        decided += (found.low or 0.0) > 0.0 or (found.high or 0.0) < 0.0
    return {"gain": mean, "verdicts": 100 + more, "decided": str(Share.of(decided, n_replays))}


def main() -> None:
    """Measure and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1_000, help="runs with a budget")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=PAIRS, help="pairs of the judge on loopback")
    parser.add_argument("--replays", type=int, default=500, help="of coverage")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    results = {
        "kills": measure_kills(arguments.kills),  # first, as it forks
        "judge": [measure_judge(arguments.pairs, bias) for bias in (0.2, -0.1)],
        "budget": measure_budgets(arguments.runs),
        "bias": list(measure_bias(arguments.replays)),
        "agreement": list(measure_agreement(arguments.replays)),
        "power": measure_power(arguments.replays),
        **surroundings(),
    }
    command = f"python -m benchmarks.labelling -o {arguments.out}"
    write(arguments.out, results, list(page_of(results)), command)


def page_of(results: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the page."""
    budget, kills = results["budget"], results["kills"]
    again = kills["over and over"]
    yield f"# Buying labels, {results['date']}"
    yield from ("", "In brackets 95 % intervals, of shares exact ones.", "", "## Budget", "")
    yield (
        f"{budget['runs']:,} runs through litellm's SDK with upstreams that fail: "
        f"{budget['calls']:,} calls, {budget['failed attempts']:,} of which brought nothing, "
        f"{budget['labelled']:,} requests labelled."
    )
    yield ""
    yield from table(
        ("what", "runs"),
        [
            ("the budget was passed", budget["passed"]),
            ("less was said to be spent than was billed", budget["said less than billed"]),
            ("the budget ended the purchase", f"{budget['ended by the budget']:,}"),
        ],
    )
    yield ""
    yield (
        f"Where the budget ended it, {budget['billed, share of the budget']:.1%} of it were billed"
        f" and {budget['counted as spent, share of the budget']:.1%} counted as spent: what failed"
        " and may have been billed counts in full, and the worst case of the next request must fit."
        " These budgets are hardly more than that worst case; of a usual one all but that is used."
    )
    yield from ("", "## Kills", "")
    yield from table(
        ("", f"{kills['kills']} purchases killed once", f"one killed {again['kills']} times"),
        [
            ("calls paid", f"{kills['calls paid']:,}", f"{again['paid']:,}"),
            ("calls paid twice", kills["calls paid twice"], again["twice"]),
            ("calls lost: counted as spent, not repeated", kills["calls lost"], again["lost"]),
            (
                "requests labelled",
                f"{kills['labelled']:,} of {kills['kills'] * kills['requests']:,}",
                f"{again['labelled']} of {kills['requests']}",
            ),
        ],
    )
    yield from ("", f"{kills['in the middle']} of the kills came after the first paid call.", "")
    yield from ("## Judge", "", "On loopback, 8 calls at once:", "")
    yield from table(
        ("bias told", "pairs", "measured", "counted by the server", "off", "interval holds it"),
        [
            (
                f"{row['bias']:+g}",
                row["pairs"],
                row["measured"],
                f"{row['counted']:+.3f}",
                row["off"],
                "yes" if row["covers"] else "no",
            )
            for row in results["judge"]
        ],
    )
    yield from ("", "Simulated judges:", "")
    yield from table(
        ("bias", "pairs", "mean error", "within 0.02", "interval holds the truth"),
        [
            (
                f"{row['bias']:+g}",
                f"{row['pairs']:,}",
                f"{row['off']:.3f}",
                f"{row['within 0.02']:.0%}",
                row["covers"],
            )
            for row in results["bias"]
        ],
    )
    yield from ("", "Agreement with people, interval holds the truth:", "")
    yield from table(
        ("pairs", "share of equal votes", "kappa"),
        [(row["pairs"], row["agreement"], row["kappa"]) for row in results["agreement"]],
    )
    power = results["power"]
    yield ""
    yield (
        f"As many verdicts as are asked for ({power['verdicts']:,} in all, gain {power['gain']:g})"
        f" decide it in {power['decided']} of the draws; 80 % are meant."
    )


if __name__ == "__main__":
    main()
