"""Slices: the same figures for each task, each band of length, and each further label the caller
gives.

To add a kind of slice that follows from what :class:`ScoredTraffic` holds, write a function and add
its line to ``SLICERS``. A kind that needs more (script of the text, source, conversation depth)
comes in as ``ScoredTraffic.labels``.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from sys import intern

import numpy as np

from difficulty.evaluation.scored import ScoredTraffic
from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.records import Estimate
from difficulty.traffic.languages import MOST_CHARS, languages_of
from difficulty.traffic.table import Traffic

Slicer = Callable[[ScoredTraffic], Sequence[str | None]]

OTHER = "(other)"
NO_NAME = "(none)"
MOST_SLICES = 200
"""Slices of one kind; the smallest beyond them are judged together as ``(other)``."""
# The finding few_samples asks the same of all requests together.
LEAST_REQUESTS = 100
LEAST_OUTCOMES = 10

_BANDS = (64, 256, 1024, 4096)
# Bands of tokens, familiarity and turns: 64-255, 0.05-0.20, 4096+, 1.
_BAND = re.compile(r"(\d+(?:\.\d+)?)(?:-\d|\+|$)")
_TOO_FEW = "too few to judge"


def by_task(scored: ScoredTraffic) -> Sequence[str | None]:
    """Return each request's task."""
    return scored.tasks


def by_tokens(scored: ScoredTraffic) -> Sequence[str | None]:
    """Return each request's band of length in tokens: 0-63, 64-255, 256-1023, 1024-4095, 4096+."""
    starts = (0, *_BANDS)
    names = [f"{low}-{high - 1}" for low, high in zip(starts, _BANDS, strict=False)] + [
        f"{_BANDS[-1]}+"
    ]
    if scored.n_tokens is None:
        return [None] * len(scored)
    return [names[band] for band in np.searchsorted(_BANDS, scored.n_tokens, side="right")]


SLICERS: dict[str, Slicer] = {"task": by_task, "tokens": by_tokens}


def slice_rows(scored: ScoredTraffic) -> dict[str, dict[str, IntArray]]:
    """Return, for each kind of slice, each slice's requests; largest slice first.

    Beside named requests, unnamed ones are the slice ``(none)``. A kind in which all requests are
    in one slice is left out: it would repeat the figures of all.
    """
    kinds = {kind: slicer(scored) for kind, slicer in SLICERS.items()} | dict(scored.labels)
    return {kind: _rows_by_name(names) for kind, names in kinds.items() if len(set(names)) > 1}


def too_small(n_requests: int, n_needed: int, n_not_needed: int) -> str:
    """Return why a slice is too small to judge, or an empty string.

    It needs 100 requests and, of those that needed the frontier model and of those that did not, 10
    each.
    """
    if n_requests < LEAST_REQUESTS:
        return f"{_TOO_FEW}: {n_requests} requests (about {LEAST_REQUESTS} are needed)"
    if min(n_needed, n_not_needed) < LEAST_OUTCOMES:
        return (
            f"{_TOO_FEW}: {n_needed} requests needed the frontier model, {n_not_needed} did not"
            f" ({LEAST_OUTCOMES} each are needed)"
        )
    return ""


def is_too_small(estimates: Mapping[str, Estimate]) -> bool:
    """Return whether the figures of a slice bear the mark of :func:`too_small`."""
    return any(estimate.note.startswith(_TOO_FEW) for estimate in estimates.values())


def in_order(
    parts: Sequence[tuple[str, Mapping[str, Estimate]]],
) -> list[tuple[str, Mapping[str, Estimate]]]:
    """Return slices that are all bands of a number, such as ``0.05-0.20`` or ``4096+``, from the
    lowest; others as they are.
    """
    starts = [_BAND.match(name) for name, _ in parts]
    if not all(starts):
        return list(parts)
    return [
        part
        for _, part in sorted(
            zip(starts, parts, strict=True), key=lambda pair: float(pair[0][1]) if pair[0] else 0.0
        )
    ]


def _rows_by_name(names: Sequence[str | None]) -> dict[str, IntArray]:
    """Return the requests of each name, most frequent name first."""
    filled = [NO_NAME if name is None else name for name in names]
    ranked = [
        name for name, _ in sorted(Counter(filled).items(), key=lambda item: (-item[1], item[0]))
    ]
    # A free-text column would else make a slice of every request.
    if len(ranked) > MOST_SLICES:
        ranked = [*ranked[: MOST_SLICES - 1], OTHER]
    code = {name: index for index, name in enumerate(ranked)}
    codes = np.array([code.get(name, len(ranked) - 1) for name in filled])
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(ranked)))
    return dict(zip(ranked, np.split(order, ends[:-1]), strict=True))


NO_LETTERS = "no letters"
MIXED = "mixed"
OTHER_SCRIPT = "other"
_MOST_CHARS = 1_024
_CLEAR = 0.8
"""Share of the letters that one script must have; below it the text is mixed."""
_SOME = 0.05
"""Share of kana that makes Han Japanese, and of hangul that makes it Korean: both are written with
Han between.
"""

# Spans of Unicode blocks without their digits and signs, which belong to no script.
_RANGES = {
    "latin": ((0x41, 0x5A), (0x61, 0x7A), (0xAA, 0xAA), (0xBA, 0xBA), (0xC0, 0xD6), (0xD8, 0xF6),
    (0xF8, 0x24F), (0x250, 0x2AF),
              (0x1E00, 0x1EFF), (0x2C60, 0x2C7F), (0xA720, 0xA7FF), (0xFB00, 0xFB06),
              (0xFF21, 0xFF3A), (0xFF41, 0xFF5A)),
    "greek": ((0x370, 0x3FF), (0x1F00, 0x1FFF)),
    "cyrillic": ((0x400, 0x52F), (0x1C80, 0x1C8F), (0x2DE0, 0x2DFF), (0xA640, 0xA69F)),
    "hebrew": ((0x591, 0x5F4), (0xFB1D, 0xFB4F)),
    "arabic": ((0x620, 0x65F), (0x66E, 0x6D3), (0x6D5, 0x6EF), (0x6FA, 0x6FF), (0x750, 0x77F),
    (0x8A0, 0x8FF), (0xFB50, 0xFDFF),
               (0xFE70, 0xFEFC)),
    "devanagari": ((0x900, 0x963), (0x970, 0x97F), (0xA8E0, 0xA8FF)),
    "thai": ((0xE01, 0xE3A), (0xE40, 0xE4E)),
    "hangul": ((0x1100, 0x11FF), (0x3131, 0x318E), (0xA960, 0xA97C), (0xAC00, 0xD7FB)),
    "kana": ((0x3041, 0x309F), (0x30A1, 0x30FA), (0x30FC, 0x30FF), (0x31F0, 0x31FF),
    (0xFF66, 0xFF9F)),
    "han": ((0x2E80, 0x2FD5), (0x3005, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF), (0x20000, 0x323AF)),
}  # fmt: skip
SCRIPTS = (*_RANGES, OTHER_SCRIPT, MIXED, NO_LETTERS)
_LAST_OF_LATIN_1 = 0xFF
_ASCII_LETTER = re.compile("[A-Za-z]")
_SPANS = sorted(
    (low, high, place) for place, spans in enumerate(_RANGES.values()) for low, high in spans
)
_STARTS, _ENDS, _SCRIPTS_OF = (
    np.array(column, dtype=np.uint32) for column in zip(*_SPANS, strict=True)
)


def script_of(text: str) -> str:
    """Return the script that has at least 80 % of a text's letters.

    Only the first 1,024 characters are looked at. Kana beside Han is ``kana`` (Japanese is written
    so), hangul beside Han ``hangul``.

    Returns
    -------
    str
        One of ``SCRIPTS``: ``mixed`` where no script has that many, ``other`` for a script without
        a name of its own here, ``no letters`` where there is none, as in numbers or emoji.
    """
    text = text[:_MOST_CHARS]
    if text.isascii():
        return "latin" if _ASCII_LETTER.search(text) else NO_LETTERS
    # Signs, digits and emoji belong to no script and do not count.
    counts = dict(zip((*_RANGES, OTHER_SCRIPT), _letters(text).tolist(), strict=True))
    total = sum(counts.values())
    if not total:
        return NO_LETTERS
    # Han beside kana or hangul is Japanese or Korean, not a mixture.
    for name in ("kana", "hangul"):
        if counts[name] >= _SOME * (counts[name] + counts["han"]) and counts[name]:
            counts[name], counts["han"] = counts[name] + counts["han"], 0
            break
    name = max(counts, key=counts.__getitem__)
    return name if counts[name] >= _CLEAR * total else MIXED


def _letters(text: str) -> IntArray:
    """Return the number of letters of each named script, then of all others."""
    # script_of takes any text, and utf-32 refuses lone surrogates unless told to pass them.
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    span = np.searchsorted(_STARTS, points, side="right") - 1
    named = (span >= 0) & (points <= _ENDS[span])
    others = points[~named & (points > _LAST_OF_LATIN_1)]
    letters = sum(map(str.isalpha, map(chr, others.tolist())))
    return np.append(np.bincount(_SCRIPTS_OF[span[named]], minlength=len(_RANGES)), letters)


_INSTRUCTIONS = ("system", "developer")
_MANY_TURNS = 4


def traffic_labels(traffic: Traffic) -> dict[str, list[str | None]]:
    """Return, for each kind of slice, the name of every sample's slice; ``None`` where it is not
    known.

    ``script`` and ``language`` are those of the request's own text, instructions of the system left
    out where there is other text. A turn is a message of the user. A source is what the traffic's
    column ``source`` says.
    """
    parts = [message_labels([*block]) for block in traffic.blocks("messages")]
    return joined_labels(traffic, parts)


def message_labels(requests: Sequence[Sequence[Mapping[str, str]]]) -> dict[str, list[str | None]]:
    """Return the labels that messages alone tell, of a block of requests."""
    of_scripts: list[str | None] = []
    beginnings: list[str] = []
    turns: list[str | None] = []
    system: list[str | None] = []
    for messages in requests:
        own = _own_texts(messages)
        text = _own_text(messages, own)
        of_scripts.append(script_of(text))
        beginnings.append(text[:MOST_CHARS])
        turns.append(_turns(messages))
        system.append(
            "with system message" if len(own) < len(messages) else "without system message"
        )
    languages: list[str | None] = [*languages_of(beginnings)]
    return {"script": of_scripts, "language": languages, "turns": turns, "system": system}


def joined_labels(
    traffic: Traffic, parts: Sequence[Mapping[str, list[str | None]]]
) -> dict[str, list[str | None]]:
    """Return all labels of traffic, given those of its messages block by block."""
    kinds = message_labels([])
    labels = {kind: list(chain.from_iterable(part[kind] for part in parts)) for kind in kinds}
    return labels | {"source": _sources(traffic), "model_pair": _pairs(traffic)}


def scripts(traffic: Traffic) -> list[str]:
    """Return the script of every sample's own text."""
    return [
        script_of(_own_text(messages, _own_texts(messages))) for messages in traffic.each_messages()
    ]


def _own_texts(messages: Sequence[Mapping[str, str]]) -> list[str]:
    return [message["content"] for message in messages if message["role"] not in _INSTRUCTIONS]


def _own_text(messages: Sequence[Mapping[str, str]], own: Sequence[str]) -> str:
    # Instructions alone are then the whole of the request.
    return "\n".join(own) if any(map(str.strip, own)) else messages[0]["content"]


def _turns(messages: Sequence[Mapping[str, str]]) -> str:
    """Return the band of the number of messages of the user."""
    count = max(1, sum(message["role"] == "user" for message in messages))
    if count == 1:
        return "1"
    return f"2-{_MANY_TURNS - 1}" if count < _MANY_TURNS else f"{_MANY_TURNS}+"


def _sources(traffic: Traffic) -> list[str | None]:
    found = (json.loads(extra).get("source") if extra else None for extra in traffic.each("extra"))
    return [None if source is None else intern(str(source)) for source in found]


def _pairs(traffic: Traffic) -> list[str | None]:
    """Return both names of each sample; ``None`` where neither is known."""
    pairs = zip(traffic.names("cheap_model"), traffic.names("frontier_model"), strict=True)
    return [*map(_pair, pairs)]


@lru_cache(maxsize=1_024)
def _pair(names: tuple[str | None, str | None]) -> str | None:
    cheap, frontier = names
    return f"{cheap or 'unknown'} / {frontier or 'unknown'}" if cheap or frontier else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A request that was routed wrongly: what the scorer said, and what happened."""

    id: str
    task: str | None
    score: float
    p_cheap_fails: float
    cheap_quality: float | None
    frontier_quality: float | None
    by_rule: bool
    """Whether a rule decided and not the score."""
    text: str | None = None
    """The request; ``None`` where texts are not shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistakes:
    """Both kinds of mistakes, the most confident first."""

    kept: tuple[Mistake, ...]
    """Kept on the cheap model although the frontier model was needed."""
    sent: tuple[Mistake, ...]
    """Sent to the frontier model although it was not."""
    n_kept: int
    """How many there are in all."""
    n_sent: int


def worst_mistakes(scored: ScoredTraffic, ids: Sequence[str], *, most: int = 10) -> Mistakes | None:
    """Return the mistakes of a routing; None without a threshold.

    Kept requests that needed the frontier model come with the lowest score first, sent requests
    that did not need it with the highest. Requests of which that is not known are in neither.

    Parameters
    ----------
    scored : ScoredTraffic
    ids : sequence of n str
        Id of each request.
    most : int
        Mistakes of each kind.
    """
    score, routes = scored.difficulty_score, scored.ends_frontier
    if routes is None:
        return None
    kept = np.flatnonzero((routes == 0.0) & (scored.needed == 1.0))
    sent = np.flatnonzero((routes == 1.0) & (scored.needed == 0.0))
    return Mistakes(
        kept=_listed(scored, ids, kept[np.argsort(score[kept], kind="stable")][:most]),
        sent=_listed(scored, ids, sent[np.argsort(-score[sent], kind="stable")][:most]),
        n_kept=len(kept),
        n_sent=len(sent),
    )


def _listed(scored: ScoredTraffic, ids: Sequence[str], rows: IntArray) -> tuple[Mistake, ...]:
    outcomes, p_cheap_fails = scored.outcomes, scored.p_cheap_fails
    assert p_cheap_fails is not None
    return tuple(
        Mistake(
            id=ids[row],
            task=scored.tasks[row],
            score=float(scored.difficulty_score[row]),
            p_cheap_fails=float(p_cheap_fails[row]),
            cheap_quality=_known(outcomes.cheap_quality, row),
            frontier_quality=_known(outcomes.frontier_quality, row),
            by_rule=not np.isnan(scored.by_rule[row]),
        )
        for row in rows
    )


def _known(values: FloatArray, row: int) -> float | None:
    return None if np.isnan(values[row]) else float(values[row])
