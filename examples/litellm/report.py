"""What the traffic came to: checks of every request, and quality and cost by route beside the two
models alone.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from difficulty.events import DecisionEvent
from difficulty.records import Prices
from examples.litellm.client import Reply
from examples.litellm.upstream import Known, key_of, plainly_bad

__all__ = ["Line", "Stage", "check", "lines", "slower", "stage_table", "stages", "table"]


class Line(NamedTuple):
    """One line of the table; unknown figures are ``None``."""

    name: str
    requests: int
    fallbacks: int
    quality: float | None
    cost: float | None
    """USD per 1,000 requests."""


class Stage(NamedTuple):
    """What became of the requests that one stage decided."""

    name: str
    requests: int
    cheap_tokens: int
    """Prompt and answer, of calls that were made."""
    frontier_tokens: int
    cost: float
    """USD."""
    gained: float
    """Quality that the stage added to the cheap model's, summed over its requests."""


def stages(rows: Sequence[dict[str, Any]], events: Mapping[str, DecisionEvent]) -> list[Stage]:
    """Return what each stage brought for some rows: the request's score and the rule, validators,
    the learned check, and none of them; ``events`` by the row's id.
    """
    return [
        _stage(name, [row for row in rows if _stage_of(events[row["id"]]) == name], events)
        for name in STAGES
    ]


STAGES = ("sent by the request", "refused by validators", "sent by the check", "kept cheap")


def _stage_of(event: DecisionEvent) -> str:
    if event.route == "frontier":
        return STAGES[0]
    if event.fallback is None:
        return STAGES[3]
    is_escalated = event.escalation is not None and event.escalation.escalated
    return STAGES[2] if is_escalated else STAGES[1]


def _stage(name: str, rows: Sequence[dict[str, Any]], events: Mapping[str, DecisionEvent]) -> Stage:
    calls = [call for row in rows for call in events[row["id"]].calls if call.role != "shadow"]
    tokens = {
        side: sum(
            (call.prompt_tokens or 0) + (call.completion_tokens or 0)
            for call in calls
            if call.side == side
        )
        for side in ("cheap", "frontier")
    }
    cost = sum(call.cost_usd or 0.0 for call in calls)
    gained = sum(row["frontier_quality"] - row["cheap_quality"] for row in rows)
    is_kept = name == STAGES[3]
    return Stage(
        name, len(rows), tokens["cheap"], tokens["frontier"], cost, 0.0 if is_kept else gained
    )


def stage_table(found: Sequence[Stage]) -> str:
    """Return the stages as text, with what a point of quality costs in each."""
    head = (
        f"{'':22} {'requests':>8} {'cheap tokens':>12} {'frontier tokens':>15} {'USD':>8}"
        f" {'quality gained':>14} {'USD a point':>11}"
    )
    return "\n".join(
        [
            head,
            *(
                f"{stage.name:22} {stage.requests:8,} {stage.cheap_tokens:12,}"
                f" {stage.frontier_tokens:15,} {stage.cost:8.4f} {stage.gained:14.1f}"
                f" {_shown(stage.cost / stage.gained if stage.gained > 0 else None, 5):>11}"
                for stage in found
            ),
        ]
    )


def check(
    rows: Sequence[dict[str, Any]],
    replies: Sequence[Reply],
    decisions: Mapping[str, dict[str, Any]],
    events: Sequence[DecisionEvent],
) -> list[str]:
    """Return what is not as it should be, a sentence each.

    Parameters
    ----------
    rows, replies : sequence
        What was sent, and what came back, in the same order.
    decisions : mapping
        What ``difficulty route`` decided of each row, by the row's id.
    events : sequence of DecisionEvent
        What was logged.
    """
    wrong = [
        f"{reply.id}: answered with status {reply.status}"
        for reply in replies
        if reply.status != 200
    ]
    logged = {event.id: event for event in events}
    if len(logged) != len(events) or len(events) != len(replies):
        wrong.append(f"{len(replies)} requests, {len(events)} events, {len(logged)} different ids")
    for row, reply in zip(rows, replies, strict=True):
        event, decided = logged.get(reply.decision.get("id", "")), decisions[row["id"]]
        if event is None:
            wrong.append(f"{row['id']}: no event")
            continue
        found = (event.route, event.reason, reply.decision["route"])
        if found != (decided["route"], decided["reason"], decided["route"]):
            wrong.append(
                f"{row['id']}: went {found}, 'difficulty route' says {decided['route']},"
                f" {decided['reason']}"
            )
        is_bad = plainly_bad(key_of(row["messages"]), Known(*(row[name] for name in Known._fields)))
        is_escalated = event.escalation is not None and event.escalation.escalated
        fails = event.route == "cheap" and (is_bad or is_escalated)
        if (event.fallback == "validation") != fails or bool(
            reply.decision.get("fallback")
        ) != fails:
            wrong.append(
                f"{row['id']}: fallback {event.fallback}, but the cheap answer"
                f" {'fails' if fails else 'passes'}"
            )
        called = [call.side for call in event.calls if call.role != "shadow"]
        if called != [event.route, *(["frontier"] if fails else [])]:
            wrong.append(
                f"{row['id']}: called {', '.join(called)}, and the cheap answer"
                f" {'fails' if fails else 'passes'}"
            )
        if fails and "An answer of the frontier model." not in reply.text:
            wrong.append(f"{row['id']}: got another answer than the frontier model's")
    return wrong


def lines(
    rows: Sequence[dict[str, Any]], events: Mapping[str, DecisionEvent], prices: Prices
) -> list[Line]:
    """Return the lines of the table for some rows; ``events`` by the row's id."""
    by_route = {
        route: [row for row in rows if events[row["id"]].route == route]
        for route in ("cheap", "frontier")
    }
    return [
        *(_routed(f"route {route}", found, events) for route, found in by_route.items()),
        _routed("routed", rows, events),
        _alone("always cheap", rows, "cheap", (prices.cheap_input, prices.cheap_output)),
        _alone(
            "always frontier", rows, "frontier", (prices.frontier_input, prices.frontier_output)
        ),
    ]


def table(found: Sequence[Line]) -> str:
    """Return the lines as text."""
    head = f"{'':16} {'requests':>8} {'fallbacks':>9} {'quality':>8} {'USD per 1,000':>14}"
    return "\n".join(
        [
            head,
            *(
                f"{line.name:16} {line.requests:8,} {line.fallbacks:9,}"
                f" {_shown(line.quality, 3):>8} {_shown(line.cost, 4):>14}"
                for line in found
            ),
        ]
    )


def slower(ours: Sequence[Reply], theirs: Sequence[Reply]) -> tuple[float, float, int]:
    """Return by how many milliseconds our requests took longer, at p50 and at p99, and how many
    were compared.

    Requests that fell back are left out on both sides: a second call of a model is not the time
    that deciding takes.
    """
    pairs = [
        (our.latency_ms, their.latency_ms)
        for our, their in zip(ours, theirs, strict=True)
        if not our.decision.get("fallback")
    ]
    (p50, p99), (their_p50, their_p99) = (
        (cuts[49], cuts[98])
        for cuts in (statistics.quantiles(side, n=100) for side in zip(*pairs, strict=True))
    )
    return p50 - their_p50, p99 - their_p99, len(pairs)


def _routed(name: str, rows: Sequence[dict[str, Any]], events: Mapping[str, DecisionEvent]) -> Line:
    found = [events[row["id"]] for row in rows]
    costs = [event.cost_usd for event in found if event.cost_usd is not None]
    worth = [
        row[
            (
                "cheap_quality"
                if event.route == "cheap" and event.fallback is None
                else "frontier_quality"
            )
        ]
        for row, event in zip(rows, found, strict=True)
    ]
    return Line(
        name,
        len(rows),
        sum(event.fallback is not None for event in found),
        _mean(worth),
        _per_1000(costs, len(rows)),
    )


def _alone(
    name: str, rows: Sequence[dict[str, Any]], side: str, prices: tuple[float, float]
) -> Line:
    costs = [
        (row["prompt_tokens"] * prices[0] + row[f"{side}_tokens"] * prices[1]) / 1e6 for row in rows
    ]
    return Line(
        name,
        len(rows),
        0,
        _mean([row[f"{side}_quality"] for row in rows]),
        _per_1000(costs, len(rows)),
    )


def _per_1000(costs: Sequence[float], n: int) -> float | None:
    mean = _mean(costs) if len(costs) == n else None
    return None if mean is None else 1000 * mean


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _shown(value: float | None, digits: int) -> str:
    return "unknown" if value is None else f"{value:.{digits}f}"
