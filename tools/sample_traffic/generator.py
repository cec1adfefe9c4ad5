"""Sample traffic: synthetic requests of a made-up company, labelled with outcomes of two made-up
models.

For demonstrations and tests. ``data/README.md`` says how the outcomes are drawn and why no figure
on them is about real models.
"""

from __future__ import annotations

import gzip
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from difficulty.errors import InvalidValueError
from tools.sample_traffic.dressing import dress, send_again
from tools.sample_traffic.outcomes import Outcome, draw_outcome
from tools.sample_traffic.pen import Pen
from tools.sample_traffic.request import Request
from tools.sample_traffic.writers import about_some_topic, write

SAMPLE_SIZE = 5000
SAMPLE_SEED = 2026
CHEAP_MODEL = "example/cheap-8b"
FRONTIER_MODEL = "example/frontier"
TASK_SHARES = {
    "classify": 0.24,
    "extract": 0.18,
    "summarize": 0.16,
    "question answering": 0.20,
    "code": 0.12,
    "multi-step planning": 0.10,
}
SENT_AGAIN_SHARE = 0.025
"""Share of requests that repeat an earlier one almost word by word, from the same sender."""
_REMEMBERED = 300
_WORTH_REPEATING = 25
_QUARTER_START = datetime(2026, 7, 1, tzinfo=UTC)
_QUARTER_DAYS = 92
_WEEKEND_WEIGHT = 0.2
_BYTES_PER_TOKEN = 4.2
_TOKENS_PER_MESSAGE = 4


def generate(n: int, *, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Yield synthetic labelled requests in the order of their timestamps.

    Parameters
    ----------
    n : int
        How many, at least 1.
    rng : numpy.random.Generator
        Source of chance; the same state gives the same requests.

    Yields
    ------
    dict
        One request with the fields of the traffic contract; every field is there, ``None`` where
        unknown. At least one outcome is known.

    Raises
    ------
    InvalidValueError
        If ``n`` is below 1.
    """
    if n < 1:
        raise InvalidValueError("n", n, rule="be at least 1")
    times = _timestamps(n, rng)
    # A stream of its own: without answers, requests and outcomes would be the same.
    (answering,) = rng.spawn(1)
    for number, request in enumerate(draw_requests(n, rng=rng)):
        outcome = draw_outcome(request, rng, answering)
        yield _row(request, outcome, number=number, time=times[number])


def write_sample(path: Path, *, n: int = SAMPLE_SIZE, seed: int = SAMPLE_SEED) -> None:
    """Write ``n`` synthetic requests as JSON lines packed with gzip; the same seed gives the same
    lines.

    The gzip header holds no name and no time, so the bytes are the same too, with the same zlib.
    """
    lines = (
        json.dumps(row, ensure_ascii=False) + "\n"
        for row in generate(n, rng=np.random.default_rng(seed))
    )
    with (
        open(path, "wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=file, mtime=0) as packed,
    ):
        packed.writelines(line.encode() for line in lines)


def draw_requests(n: int, *, rng: np.random.Generator) -> Iterator[Request]:
    """Yield ``n`` requests without outcomes, with the traits that their difficulty is computed
    from.
    """
    pen = Pen(rng)
    remembered: deque[Request] = deque(maxlen=_REMEMBERED)
    for number in range(n):
        if remembered and pen.chance(SENT_AGAIN_SHARE):
            yield send_again(pen, pen.pick(remembered))
            continue
        task = pen.weighted(TASK_SHARES)
        topical, rare = about_some_topic(pen)
        request = dress(
            topical, write(topical, task, rare=rare), task=task, rare=rare, number=number
        )
        if request.traits.n_words >= _WORTH_REPEATING:
            remembered.append(request)
        yield request


def _row(request: Request, outcome: Outcome, *, number: int, time: datetime) -> dict[str, Any]:
    return {
        "id": f"sample-{number:06d}",
        "messages": [{"role": each.role, "content": each.content} for each in request.messages],
        "task": request.traits.task,
        "group": request.group,
        "timestamp": time.isoformat(),
        "cheap_model": CHEAP_MODEL,
        "frontier_model": FRONTIER_MODEL,
        "prompt_tokens": _prompt_tokens(request),
        **asdict(outcome),
    }


def _prompt_tokens(request: Request) -> int:
    """Return an estimate: no tokenizer is at hand here."""
    n_bytes = sum(len(message.content.encode()) for message in request.messages)
    return round(n_bytes / _BYTES_PER_TOKEN) + _TOKENS_PER_MESSAGE * len(request.messages)


def _timestamps(n: int, rng: np.random.Generator) -> list[datetime]:
    """Return ``n`` times of one quarter in order, mostly office hours of working days."""
    days = [_QUARTER_START + timedelta(days=day) for day in range(_QUARTER_DAYS)]
    edges = np.cumsum([1.0 if day.weekday() < 5 else _WEEKEND_WEIGHT for day in days])
    chosen = np.searchsorted(edges, rng.random(n) * edges[-1], side="right")
    seconds = np.clip(rng.normal(12.5, 3.0, size=n), 0.0, 23.99) * 3600
    return sorted(
        days[int(day)] + timedelta(seconds=int(second))
        for day, second in zip(chosen, seconds, strict=True)
    )
