"""The format of decision logs: what the router logged becomes labelled traffic, with the propensity
of each route.

An event teaches what the validators said. Of the route taken, and of a shadow call of the other
model, a verdict on the cheap answer becomes ``cheap_passed``, measured by ``validators:NAMES``. One
on the frontier answer is kept as ``frontier_passed`` beside the outcomes: an answer of the right
form is no quality. A call that ended in an error says nothing of how well the model
answers, and neither does a fallback call say how the frontier model does on requests in general: it
was made because the cheap answer had failed. Both are left out. What is left without a verdict is
unlabelled traffic. Events must hold their messages (the log keeps texts only when it is told to);
others go to the rejects.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from difficulty.errors import LogError, TrafficError
from difficulty.events import Call, DecisionEvent
from difficulty.kinds import plain_name
from difficulty.records import COSTS
from difficulty.routes import Route
from difficulty.traffic.lines import lines_of
from difficulty.traffic.outcomes import VALIDATORS
from difficulty.traffic.readers import RawRow, read_rows, readable_files

_SHOWN = 2_000  # characters of an event that go to the rejects
# No other JSON lines have all of these.
_MARKS = {"format", "bundle_version", "policy_route", "propensity", "calls"}


class LogFormat:
    """JSON lines written by :class:`difficulty.gateway.JsonLinesSink`, one file or a folder of
    them.
    """

    def files(self, path: Path) -> list[Path]:
        """Return the files with events, where all JSON lines below ``path`` are a log's; those
        without a whole line are passed over.
        """
        try:
            lines = [file for file in readable_files(path) if plain_name(file).endswith(".jsonl")]
        except TrafficError:
            return []
        # A crash may tear the only line of a file: nothing to learn from it yet.
        firsts = {file: first for file in lines if (first := _first_line(file)).endswith(b"\n")}
        return list(firsts) if all(map(_is_event, firsts.values())) else []

    def rows(self, file: Path) -> Iterator[RawRow]:
        """Yield one row an event; a line torn by a crash, and an event without its messages, are
        rows with a problem.
        """
        for row in read_rows(file):
            if row.fields is None:
                yield row
                continue
            try:
                yield row._replace(fields=_sample(DecisionEvent.from_dict(row.fields)))
            except LogError as error:
                raw = json.dumps(row.fields, default=str)[:_SHOWN]
                yield row._replace(fields=None, problem=str(error), raw=raw)


def _sample(event: DecisionEvent) -> Mapping[str, Any]:
    """Return an event as a row of the traffic contract."""
    if event.messages is None:
        raise LogError(
            "a decision event must hold its messages to be learned from: got none. Let the log keep"
            " texts."
        )
    calls = {side: event.call(side, roles=("answer", "shadow")) for side in get_args(Route)}
    seen = {side: call for side, call in calls.items() if call and call.error is None}
    # Passed, failed, or None where no validator looked.
    passed = {side: call.passed for side, call in seen.items()}
    prompt = [call.prompt_tokens for call in seen.values() if call.prompt_tokens is not None]
    cached = [call.cached_tokens for call in seen.values() if call.cached_tokens is not None]
    judged = [check for call in seen.values() for check in call.checks if check.passed is not None]
    return {
        "id": event.id,
        "messages": list(event.messages),
        "tools": list(event.tools) if event.tools else None,
        "task": event.task,
        "group": event.group,
        "timestamp": event.time,
        **{f"{side}_model": call.model if call else None for side, call in calls.items()},
        "cheap_passed": passed.get("cheap"),
        "frontier_passed": passed.get("frontier"),
        "measured_by": _measured_by(check.name for check in judged) if judged else None,
        # As the provider counted them; else as the router did.
        "prompt_tokens": prompt[0] if prompt else event.tokens,
        **{f"{side}_tokens": call.completion_tokens for side, call in seen.items()},
        "cached_tokens": cached[0] if prompt and cached else None,
        **_answers(event),
        **_costs(seen),
        "route": event.route,
        "propensity": event.propensity,
        "bundle_version": event.bundle_version,
        **_answered_by(event),
    }


def _answers(event: DecisionEvent) -> dict[str, str | None]:
    """Return what each model answered, a fallback's answer too: it can be judged later."""
    calls = {side: event.call(side) for side in get_args(Route)}
    return {f"{side}_answer": call.answer if call else None for side, call in calls.items()}


def _answered_by(event: DecisionEvent) -> dict[str, Route]:
    """Return whose answer the user saw, where it is another's than that of the route."""
    last = event.call("frontier", roles=("fallback",))
    return {"answered_by": "frontier"} if last and last.error is None else {}


def _costs(seen: Mapping[Route, Call]) -> dict[str, float | None]:
    """Return what each model's answer cost: nothing on either, where the gateway's cache
    answered.
    """
    if any(call.cache_hit for call in seen.values()):
        return dict.fromkeys(COSTS, 0.0)
    return {f"{side}_cost_usd": call.cost_usd for side, call in seen.items()}


def _measured_by(names: Iterable[str]) -> str:
    """Return what a verdict was measured by."""
    return f"{VALIDATORS}:{','.join(sorted({*names}))}"


def _first_line(file: Path) -> bytes:
    try:
        return next(lines_of(file), b"")
    except (OSError, EOFError, zlib.error, TrafficError):
        return b"unreadable\n"  # for the native reader to say why


def _is_event(line: bytes) -> bool:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(event, dict) and event.keys() >= _MARKS
