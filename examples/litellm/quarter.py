"""What an operator does with the log: a monitor page, two other thresholds replayed, and a
recalibrated bundle that the running proxy takes up without a restart.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from difficulty.events import DecisionEvent
from difficulty.gateway.log_files import read_log
from examples.litellm.client import Reply, send
from examples.litellm.commands import difficulty, say
from examples.litellm.proxy import Proxy

__all__ = ["keep_up", "point_at"]

_PATIENCE_S = 60.0
_TOLD = 2
"""Of so many requests one is judged."""
_SHARE = 0.4


def point_at(current: Path, bundle: Path) -> None:
    """Let the path that the proxy follows be a link to a bundle, in one step."""
    link = current.with_name(f"{current.name}.new")
    link.symlink_to(bundle.name)
    os.replace(link, current)


def keep_up(
    running: Proxy, rows: Sequence[dict[str, Any]], replies: Sequence[Reply], *, current: Path
) -> list[str]:
    """Look at the log of a running proxy, make the next bundle from it, and return what was not as
    it should be.
    """
    folder = current.parent
    bundle, decisions = current.resolve(), folder / "decisions"
    events = logged(decisions, replies)
    feedback = folder / "feedback.jsonl"
    write_feedback(feedback, rows, replies, events)
    outcomes = ("--outcomes", feedback)
    # Exit code 1 is an answer here: an alarm stands, or the log cannot tell.
    difficulty(
        "monitor", decisions, "--bundle", bundle, *outcomes, "-o", folder / "seen", may_say_no=True
    )
    for threshold in other_thresholds(events.values()):
        told = difficulty(
            "replay",
            decisions,
            "--threshold",
            f"{threshold:.3f}",
            *outcomes,
            "-o",
            folder / f"replay-{threshold:.3f}",
            may_say_no=True,
        )
        print(told.strip())
    newer = folder / "gateway-2"
    difficulty(
        "recalibrate",
        decisions,
        "--bundle",
        bundle,
        *outcomes,
        "--objective",
        f"share={_SHARE}",
        "-o",
        newer,
    )
    wrong = [
        f"{path} was not written"
        for path in (folder / "seen" / "monitor.html", newer / "changes.md")
        if not path.exists()
    ]
    return wrong + taken_up(running, rows, newer, current=current)


def logged(decisions: Path, replies: Sequence[Reply]) -> dict[str, DecisionEvent]:
    """Return the events by id, once the log, which is written behind the requests, holds all."""
    wanted = {reply.decision.get("id", "") for reply in replies}
    until = time.monotonic() + _PATIENCE_S
    while True:
        events = {event.id: event for event in read_log(decisions)}
        if wanted <= events.keys() or time.monotonic() > until:
            return events
        time.sleep(0.5)


def write_feedback(
    path: Path,
    rows: Sequence[dict[str, Any]],
    replies: Sequence[Reply],
    events: dict[str, DecisionEvent],
) -> None:
    """Write verdicts on every second request, of the answers that were given or made in shadow: all
    that a judge could have seen.
    """
    verdicts = []
    for row, reply in list(zip(rows, replies, strict=True))[::_TOLD]:
        event = events.get(reply.decision.get("id", ""))
        if event is None:
            continue
        verdicts += [
            {
                "id": event.id,
                "side": call.side,
                "quality": row[f"{call.side}_quality"],
                "measured_by": "sample",
            }
            for call in event.calls
        ]
    path.write_text("".join(json.dumps(verdict) + "\n" for verdict in verdicts), encoding="ascii")


def other_thresholds(events: Iterable[DecisionEvent]) -> tuple[float, float]:
    """Return a lower and a higher threshold: 40 % and 10 % of the scored requests are above."""
    scores = sorted(
        event.difficulty_score for event in events if event.difficulty_score is not None
    )
    return scores[int(0.6 * len(scores))], scores[int(0.9 * len(scores))]


def taken_up(
    running: Proxy, rows: Sequence[dict[str, Any]], newer: Path, *, current: Path
) -> list[str]:
    """Replace the link and send requests until the proxy names the new bundle."""
    point_at(current, newer)
    say(f"ln -s {newer.name} {current.name}, and requests until the proxy has taken it up")
    began, replies = time.monotonic(), []
    while time.monotonic() - began < _PATIENCE_S:
        replies += send(running, rows[:5], at_once=5)
        if replies[-1].decision.get("bundle") == newer.name:
            break
        time.sleep(0.5)
    failed = [reply for reply in replies if reply.status != 200]
    wrong = [f"{reply.id}: answered with status {reply.status} meanwhile" for reply in failed]
    if replies[-1].decision.get("bundle") != newer.name:
        return [*wrong, f"the proxy did not take up {newer.name} in {_PATIENCE_S:.0f} s"]
    if running.process.poll() is not None:
        wrong.append("the proxy ended")
    print(
        f"{newer.name} in service {time.monotonic() - began:.0f} s later, {len(replies)} requests"
        " meanwhile, the same process"
    )
    return wrong
