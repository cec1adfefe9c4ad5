"""What traffic is sliced by beside task and length: script, source, model pair, turns of the
conversation, system message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from difficulty.evaluation.slices import script_of
from difficulty.traffic.table import Traffic

_INSTRUCTIONS = ("system", "developer")
_MANY_TURNS = 4


def traffic_labels(traffic: Traffic) -> dict[str, list[str | None]]:
    """Return, for each kind of slice, the name of every sample's slice; ``None`` where it is not
    known.

    ``script`` is that of the request's own text, instructions of the system left out where there is
    other text. A turn is a message of the user. A source is what the traffic's column ``source``
    says.
    """
    scripts: list[str | None] = []
    turns: list[str | None] = []
    system: list[str | None] = []
    for messages in traffic.each_messages():
        own = [message["content"] for message in messages if message["role"] not in _INSTRUCTIONS]
        scripts.append(
            script_of("\n".join(own) if any(map(str.strip, own)) else messages[0]["content"])
        )
        turns.append(_turns(messages))
        system.append(
            "with system message" if len(own) < len(messages) else "without system message"
        )
    return {
        "script": scripts,
        "turns": turns,
        "system": system,
        "source": _sources(traffic),
        "model_pair": _pairs(traffic),
    }


def _turns(messages: Sequence[Mapping[str, str]]) -> str:
    """Return the band of the number of messages of the user."""
    count = max(1, sum(message["role"] == "user" for message in messages))
    if count == 1:
        return "1"
    return f"2-{_MANY_TURNS - 1}" if count < _MANY_TURNS else f"{_MANY_TURNS}+"


def _sources(traffic: Traffic) -> list[str | None]:
    given = (extra.get("source") for extra in traffic.column("extra"))
    return [None if source is None else str(source) for source in given]


def _pairs(traffic: Traffic) -> list[str | None]:
    """Return both names of each sample; ``None`` where neither is known."""
    pairs = zip(traffic.column("cheap_model"), traffic.column("frontier_model"), strict=True)
    return [
        f"{cheap or 'unknown'} / {frontier or 'unknown'}" if cheap or frontier else None
        for cheap, frontier in pairs
    ]
