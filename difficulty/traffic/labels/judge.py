"""Label source ``judge``: scores of one or several judges on any scale, made comparable and joined
by request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from difficulty.errors import InvalidValueError
from difficulty.metrics.agreement import krippendorff_alpha
from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.text import quantity_text
from difficulty.traffic.labels import SourceReport, rounded
from difficulty.traffic.labels.rowwise import (
    Fields,
    LabelledRequest,
    join,
    measured,
    refuse_beside,
    without,
)
from difficulty.traffic.readers import RawRow
from difficulty.traffic.rows import Scale, says_something, text

# The best of 0, 1, 3, 10 and 30 in docs/labels.md.
PRIOR_SCORES = 3.0
_SIDES = ("cheap", "frontier")
_RAW = ("judge", "cheap_score", "frontier_score")
_MOST_LISTED = 100
_LEAST_CONSTANT = 5  # scores of a judge from which on it is worth saying that they are all the same
_EXAMPLE = "judge:scale=1,10"


def judge_offsets(
    answers: IntArray,
    judges: IntArray,
    scores: FloatArray,
    *,
    n_judges: int,
    prior_scores: float = PRIOR_SCORES,
) -> FloatArray:
    """Return the offset of each judge by penalised least squares.

    Parameters
    ----------
    answers, judges : ndarray of shape (n_scores,)
        Number of the answer that was judged, and of its judge, both from 0.
    scores : ndarray of shape (n_scores,)
        What was given, on one scale.
    n_judges : int
        How many judges there are.
    prior_scores : float, default 3
        How many further scores of 0 pull each offset to 0; above 0, for the scores leave the mean
        offset open.

    Returns
    -------
    ndarray of shape (n_judges,)
        In the scale's unit; above 0 for a generous judge.
    """
    # Values of the answers are eliminated: what is left is one equation a judge.
    normal, excess = np.diag(np.full(n_judges, prior_scores)), np.zeros(n_judges)
    order = np.argsort(answers, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(answers[order])) + 1):
        if len(rows) < 2:  # an answer with one score says nothing of its judge
            continue
        who, marks = judges[rows], scores[rows]
        np.add.at(normal, (who, who), 1.0)
        np.subtract.at(normal, np.ix_(who, who), 1.0 / len(rows))
        np.add.at(excess, who, marks - marks.mean())
    offsets = np.linalg.solve(normal, excess)
    # The prior pulled each set of judges as a whole; its mean offset is taken to be 0.
    sets = judge_sets(answers, judges, n_judges=n_judges)
    counts = np.bincount(judges, minlength=n_judges)
    totals = np.maximum(np.bincount(sets, weights=counts), 1.0)
    centres = np.bincount(sets, weights=offsets * counts) / totals
    return np.asarray(offsets - centres[sets], dtype=np.float64)


def judge_sets(answers: IntArray, judges: IntArray, *, n_judges: int) -> IntArray:
    """Return a number for each judge, the same for judges that a chain of shared answers connects;
    shape (n_judges,).
    """
    # Judges and answers are the nodes of one graph, each score an edge.
    n = n_judges + int(answers.max(initial=-1)) + 1
    edges = coo_array((np.ones(len(judges)), (judges, n_judges + answers)), shape=(n, n))
    return np.asarray(connected_components(edges, directed=False)[1][:n_judges], dtype=np.intp)


@dataclass(frozen=True, slots=True)
class _Scores:
    """All scores in [0, 1], one entry each: which answer (request and side) it is of, who gave
    it.
    """

    answers: IntArray
    judges: IntArray
    values: FloatArray
    names: list[str]
    offsets: FloatArray

    @property
    def corrected(self) -> FloatArray:
        """The scores without their judges' offsets; some are outside of [0, 1]."""
        return self.values - self.offsets[self.judges]


class JudgeScores:
    """Read ``cheap_score`` and ``frontier_score`` of a ``judge``, one row a judge and request,
    joined by ``id``.

    Scores are brought to [0, 1]; each judge's offset is taken off (:func:`judge_offsets`); the mean
    of what is left is the quality, cut to [0, 1]. All rows are kept in memory, the text of each
    request once.

    Parameters
    ----------
    scale : pair of float
        The worst and the best score; ``(5, 1)`` where 1 is best.
    prior_scores : float, default 3
        How strongly offsets are pulled to 0, in scores; a very large number takes nothing off.
    """

    options: ClassVar[Mapping[str, Callable[[str], Any]]] = {
        "scale": lambda written: Scale.parse(written, example=_EXAMPLE)
    }

    def __init__(
        self, *, scale: tuple[float, float] | None = None, prior_scores: float = PRIOR_SCORES
    ) -> None:
        self._scale = Scale.of(scale, example=_EXAMPLE)
        if not prior_scores > 0 or not np.isfinite(prior_scores):
            raise InvalidValueError("prior_scores", prior_scores, rule="be a number above 0")
        self._prior_scores = prior_scores
        self._report = SourceReport(source="judge")

    def rows(self, rows: Iterable[RawRow]) -> Iterator[RawRow]:
        """Yield the rows that cannot be used, then one row a request."""
        refused: list[RawRow] = []
        requests = join(rows, self._read, refused)
        yield from refused
        scores = _gathered(requests, self._prior_scores)
        n = 2 * len(requests)
        totals = np.bincount(scores.answers, weights=scores.corrected, minlength=n)
        with np.errstate(invalid="ignore"):  # 0 / 0: an answer that nobody judged
            qualities = (totals / np.bincount(scores.answers, minlength=n)).reshape(-1, 2)
        self._report = _report(scores, requests, qualities)
        for request, pair in zip(requests, np.clip(qualities, 0.0, 1.0), strict=True):
            yield _with_quality(request, pair)

    def report(self) -> SourceReport:
        """Return the judges with their offsets, how far they agree before and after, and what to
        look at.
        """
        return self._report

    def _read(self, fields: Fields) -> Fields:
        """Return the judge and the scores in [0, 1] of one row."""
        labels: dict[str, Any] = {"judge": text(fields.get("judge"), "judge") or ""}
        for side in _SIDES:
            raw = f"{side}_score"
            if says_something(fields.get(raw)):
                refuse_beside(fields, raw, f"{side}_quality")
                labels[side] = self._scale.to_unit(fields[raw], raw)
        return labels


def _gathered(requests: Sequence[LabelledRequest], prior_scores: float) -> _Scores:
    """Return the scores of all requests; the answers of request i are 2i and 2i + 1."""
    numbers: dict[str, int] = {}
    rows = [
        (2 * index + side, numbers.setdefault(labels["judge"], len(numbers)), labels[name])
        for index, request in enumerate(requests)
        for labels in request.labels
        for side, name in enumerate(_SIDES)
        if name in labels
    ]
    columns = np.array(rows, dtype=np.float64).reshape(-1, 3)
    (answers, judges), values = columns[:, :2].astype(np.intp).T, columns[:, 2]
    offsets = judge_offsets(
        answers, judges, values, n_judges=len(numbers), prior_scores=prior_scores
    )
    return _Scores(answers, judges, values, list(numbers), offsets)


def _with_quality(request: LabelledRequest, pair: FloatArray) -> RawRow:
    """Return the request's first row with its qualities in place of scores."""
    qualities = {
        f"{side}_quality": float(value)
        for side, value in zip(_SIDES, pair, strict=True)
        if not np.isnan(value)
    }
    # Not a weight: who gets a second opinion is seldom left to chance.
    columns = without(request.row.fields or {}, *_RAW)
    if not qualities:
        return request.row._replace(fields=columns)
    names = sorted({labels["judge"] for labels in request.labels})
    judged = columns | qualities | {"n_judges": len(names)}
    by = f"judge:{','.join(names)}" if any(names) else "judge"
    return request.row._replace(fields=measured(judged, by))


def _report(
    scores: _Scores, requests: Sequence[LabelledRequest], qualities: FloatArray
) -> SourceReport:
    sizes = np.bincount(scores.judges, minlength=len(scores.names))
    largest = np.argsort(-sizes, kind="stable")[:_MOST_LISTED]
    judges = {
        scores.names[judge] or "(unnamed)": {
            "scores": int(sizes[judge]),
            "offset": round(float(scores.offsets[judge]), 4),
        }
        for judge in largest
    }
    counts = {
        "requests": len(requests),
        "scores": len(scores.values),
        "judges": judges,
        "alpha_as_given": rounded(krippendorff_alpha(scores.answers, scores.values)),
        "alpha_without_offsets": rounded(krippendorff_alpha(scores.answers, scores.corrected)),
        "cut_to_0_1": int(np.sum((qualities < 0.0) | (qualities > 1.0))),
    }
    return SourceReport(source="judge", counts=counts, warnings=tuple(_warnings(scores)))


def _warnings(scores: _Scores) -> Iterator[str]:
    n_judges = len(scores.names)
    if not len(scores.values):
        yield "no row has a column cheap_score or frontier_score with a score"
        return
    sets = judge_sets(scores.answers, scores.judges, n_judges=n_judges)
    if (n_sets := len(np.unique(sets))) > 1:
        yield (
            f"the {n_judges} judges fall into {n_sets} sets that share no answer: offsets are"
            " known only within a set. Let judges of different sets score some of the same answers"
        )
    by_judge = scores.values[np.argsort(scores.judges, kind="stable")]
    ends = np.cumsum(np.bincount(scores.judges))
    for name, values in zip(scores.names, np.split(by_judge, ends[:-1]), strict=True):
        if len(values) >= _LEAST_CONSTANT and np.ptp(values) == 0.0:
            yield (
                f"judge {name!r} gave the same score to all"
                f" {quantity_text(len(values), 'answer')}: its scores say"
                " nothing"
            )
