"""Label source ``annotators``: what several people, or several checks, said of one request, as one
sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from difficulty.errors import InvalidValueError
from difficulty.metrics.ranking import krippendorff_alpha, pair_agreement
from difficulty.traffic.labels import SourceReport, known
from difficulty.traffic.labels.rowwise import Fields, Request, join, without
from difficulty.traffic.readers import RawRow
from difficulty.traffic.rows import choice, flag, quality, text

_VOTES = {"cheap": -1.0, "tie": 0.0, "frontier": 1.0}
_OUTCOMES = ("cheap_quality", "frontier_quality", "cheap_passed", "preference")


class Annotators:
    """Join the rows of one ``id``, one row an ``annotator``, and keep the mean of what they said.

    Qualities become their mean. Verdicts of ``cheap_passed`` that differ become ``cheap_quality``,
    the share that passed, unless a quality is known; votes that differ become the win rate of
    either answer, (1 - mean) / 2 and (1 + mean) / 2, unless a quality is known, and else the
    nearest of cheap, tie and frontier. The weight is that of the first row: see ``docs/labels.md``
    for why it does not grow with the number of annotators. All rows are kept in memory, the text of
    each request once.
    """

    options: ClassVar[Mapping[str, Callable[[str], Any]]] = {}

    def __init__(self) -> None:
        self._report = SourceReport(source="annotators")

    def rows(self, rows: Iterable[RawRow]) -> Iterator[RawRow]:
        """Yield the rows that cannot be used, then one row a request."""
        refused: list[RawRow] = []
        requests = join(rows, _read, refused)
        for request in requests:
            refused += _heard_twice(request)
        yield from refused
        self._report = _report(requests)
        for request in requests:
            yield request.row._replace(fields=_combined(request))

    def report(self) -> SourceReport:
        """Return how many annotators and requests there were, and how far they agree on each
        outcome.
        """
        return self._report


def _read(fields: Fields) -> Fields:
    """Return the annotator and the outcomes of one row, as numbers where they are known."""
    passed, vote = (
        flag(fields.get("cheap_passed"), "cheap_passed"),
        choice(fields.get("preference")),
    )
    if vote is not None and vote not in _VOTES:
        raise InvalidValueError("preference", vote, rule="be 'cheap', 'tie', 'frontier' or null")
    found = {
        "cheap_quality": quality(fields.get("cheap_quality"), "cheap_quality"),
        "frontier_quality": quality(fields.get("frontier_quality"), "frontier_quality"),
        "cheap_passed": None if passed is None else float(passed),
        "preference": None if vote is None else _VOTES[vote],
    }
    return {"annotator": text(fields.get("annotator"), "annotator")} | {
        name: value for name, value in found.items() if value is not None
    }


def _heard_twice(request: Request) -> list[RawRow]:
    """Take a second row of one annotator out of a request and return it, refused."""
    first: dict[str, tuple[str, int]] = {}
    kept, refused = [], []
    for labels, place in zip(request.labels, request.lines, strict=True):
        name = labels["annotator"]
        if name is not None and name in first:
            line, source = first[name][1], first[name][0]
            rule, hint = (
                "label a request once",
                f"Line {line} of {source} has the first; keep the one that counts.",
            )
            problem = str(InvalidValueError("an annotator", name, rule=rule, hint=hint))
            shown = {"id": (request.row.fields or {}).get("id"), **labels}
            refused.append(RawRow(place[0], place[1], shown, problem))
            continue
        first.setdefault(name, place)
        kept.append(labels)
    request.labels = kept
    return refused


def _combined(request: Request) -> dict[str, Any]:
    """Return the first row's columns with the outcomes of all."""
    columns = without(request.row.fields or {}, "annotator", *_OUTCOMES)
    if len(request.labels) > 1:
        columns["n_annotators"] = len(request.labels)
    said = {
        name: [labels[name] for labels in request.labels if name in labels] for name in _OUTCOMES
    }
    means = {name: float(np.mean(values)) for name, values in said.items() if values}
    found: dict[str, Any] = {
        name: means[name] for name in ("cheap_quality", "frontier_quality") if name in means
    }
    if "cheap_passed" in means:
        found |= _passed(said["cheap_passed"], means["cheap_passed"], found)
    if "preference" in means:
        found |= _voted(said["preference"], means["preference"], found)
    return columns | found


def _passed(verdicts: Sequence[float], mean: float, found: Mapping[str, Any]) -> dict[str, Any]:
    if len(set(verdicts)) == 1:
        return {"cheap_passed": bool(mean)}
    return {} if "cheap_quality" in found else {"cheap_quality": mean}


def _voted(votes: Sequence[float], mean: float, found: Mapping[str, Any]) -> dict[str, Any]:
    if len(set(votes)) > 1 and not found:
        return {"cheap_quality": (1.0 - mean) / 2.0, "frontier_quality": (1.0 + mean) / 2.0}
    nearest = min(_VOTES, key=lambda name: (abs(_VOTES[name] - mean), name != "tie"))
    return {"preference": nearest}


def _report(requests: Sequence[Request]) -> SourceReport:
    names = {labels["annotator"] for request in requests for labels in request.labels} - {None}
    several = sum(len(request.labels) > 1 for request in requests)
    found: dict[str, Any] = {
        "requests": len(requests),
        "annotators": len(names),
        "with_several": several,
    }
    found["agreement"] = {
        name: figures for name in _OUTCOMES if (figures := _agreement(requests, name)) is not None
    }
    warnings = () if several else ("no request has more than one annotator: rows are joined by id",)
    return SourceReport(source="annotators", found=found, warnings=warnings)


def _agreement(requests: Sequence[Request], outcome: str) -> dict[str, Any] | None:
    """Return how far annotators agree on one outcome; ``None`` where no request has two values of
    it.
    """
    said = [
        (index, labels[outcome])
        for index, request in enumerate(requests)
        for labels in request.labels
        if outcome in labels
    ]
    units, values = np.array([index for index, _ in said]), np.array([value for _, value in said])
    same = pair_agreement(units, values)
    if np.isnan(same):
        return None
    sizes = np.bincount(units)
    return {
        "requests": int((sizes > 1).sum()),
        "pairs_equal": known(same),
        "alpha": known(krippendorff_alpha(units, values)),
    }
