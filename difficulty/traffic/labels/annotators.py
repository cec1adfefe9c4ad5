"""Label source ``annotators``: what several people, or several checks, said of one request, as one
sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from difficulty.errors import InvalidValueError
from difficulty.metrics.agreement import krippendorff_alpha, pair_agreement
from difficulty.records import OUTCOMES
from difficulty.traffic.labels import SourceReport, rounded
from difficulty.traffic.labels.rowwise import Fields, LabelledRequest, join, without
from difficulty.traffic.outcomes import GAIN_OF_VOTE
from difficulty.traffic.readers import RawRow
from difficulty.traffic.rows import choice, flag, quality, text


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
    passed = flag(fields.get("cheap_passed"), "cheap_passed")
    vote = choice(fields.get("preference"))
    if vote is not None and vote not in GAIN_OF_VOTE:
        raise InvalidValueError("preference", vote, rule="be 'cheap', 'tie', 'frontier' or null")
    labels = {
        "annotator": text(fields.get("annotator"), "annotator"),
        "cheap_quality": quality(fields.get("cheap_quality"), "cheap_quality"),
        "frontier_quality": quality(fields.get("frontier_quality"), "frontier_quality"),
        "cheap_passed": None if passed is None else float(passed),
        "preference": None if vote is None else GAIN_OF_VOTE[vote],
    }
    return {
        name: value for name, value in labels.items() if value is not None or name == "annotator"
    }


def _heard_twice(request: LabelledRequest) -> list[RawRow]:
    """Take a second row of one annotator out of a request and return it, refused."""
    first: dict[str, tuple[str, int]] = {}
    usable, refused = [], []
    for labels, place in zip(request.labels, request.lines, strict=True):
        name = labels["annotator"]
        if name is not None and name in first:  # rows without a name may be of different people
            source, line = first[name]
            hint = f"Line {line} of {source} has the first; keep the one that counts."
            error = InvalidValueError("an annotator", name, rule="label a request once", hint=hint)
            shown = {"id": (request.row.fields or {}).get("id"), **labels}
            refused.append(RawRow(*place, shown, str(error)))
            continue
        first.setdefault(name, place)
        usable.append(labels)
    request.labels = usable
    return refused


def _combined(request: LabelledRequest) -> dict[str, Any]:
    """Return the first row's columns with the outcomes of all."""
    columns = without(request.row.fields or {}, "annotator", *OUTCOMES)
    # A request that one person labelled is a sample like any other.
    if len(request.labels) > 1:
        columns["n_annotators"] = len(request.labels)
    said = {name: [row[name] for row in request.labels if name in row] for name in OUTCOMES}
    means = {name: float(np.mean(values)) for name, values in said.items() if values}
    outcomes: dict[str, Any] = {
        name: means[name] for name in ("cheap_quality", "frontier_quality") if name in means
    }
    if "cheap_passed" in means:
        outcomes |= _passed(said["cheap_passed"], means["cheap_passed"], outcomes)
    if "preference" in means:
        outcomes |= _voted(said["preference"], means["preference"], outcomes)
    return columns | outcomes


def _passed(verdicts: Sequence[float], mean: float, known: Mapping[str, Any]) -> dict[str, Any]:
    if len(set(verdicts)) == 1:
        # Agreed: it stays a verdict.
        return {"cheap_passed": bool(mean)}
    return {} if "cheap_quality" in known else {"cheap_quality": mean}


def _voted(votes: Sequence[float], mean: float, known: Mapping[str, Any]) -> dict[str, Any]:
    if len(set(votes)) > 1 and not known:
        return {"cheap_quality": (1.0 - mean) / 2.0, "frontier_quality": (1.0 + mean) / 2.0}
    # Half-way between two votes the tie is meant: nobody agreed on more.
    nearest = min(GAIN_OF_VOTE, key=lambda vote: (abs(GAIN_OF_VOTE[vote] - mean), vote != "tie"))
    return {"preference": nearest}


def _report(requests: Sequence[LabelledRequest]) -> SourceReport:
    names = {labels["annotator"] for request in requests for labels in request.labels} - {None}
    several = sum(len(request.labels) > 1 for request in requests)
    agreement = {name: figures for name in OUTCOMES if (figures := _agreement(requests, name))}
    counts = {
        "requests": len(requests),
        "annotators": len(names),
        "with_several": several,
        "agreement": agreement,
    }
    warnings = () if several else ("no request has more than one annotator: rows are joined by id",)
    return SourceReport(source="annotators", counts=counts, warnings=warnings)


def _agreement(requests: Sequence[LabelledRequest], outcome: str) -> dict[str, Any] | None:
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
    equal = pair_agreement(units, values)
    if np.isnan(equal):
        return None
    return {
        "requests": int((np.bincount(units) > 1).sum()),
        "pairs_equal": rounded(equal),
        "alpha": rounded(krippendorff_alpha(units, values)),
    }
