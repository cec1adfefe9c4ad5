"""Label source ``judge``: scores of one or several judges on any scale, made comparable and joined
by request.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import InvalidValueError
from difficulty.metrics.ranking import krippendorff_alpha
from difficulty.traffic.labels import SourceReport, known
from difficulty.traffic.labels.rowwise import Fields, Request, given, join, refuse_beside, without
from difficulty.traffic.readers import RawRow
from difficulty.traffic.rows import number, text

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
PRIOR_SCORES = 3.0


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
    normal, excess = np.diag(np.full(n_judges, prior_scores)), np.zeros(n_judges)
    for rows in _rows_by_answer(answers):  # an answer with one score says nothing of its judge
        who, given = judges[rows], scores[rows]
        np.add.at(normal, (who, who), 1.0)
        np.subtract.at(normal, np.ix_(who, who), 1.0 / len(rows))
        np.add.at(excess, who, given - given.mean())
    offsets = np.linalg.solve(normal, excess)
    sets, counts = (
        connected_sets(answers, judges, n_judges=n_judges),
        np.bincount(judges, minlength=n_judges),
    )
    centres = np.bincount(sets, weights=offsets * counts) / np.maximum(
        np.bincount(sets, weights=counts), 1.0
    )
    return np.asarray(offsets - centres[sets], dtype=np.float64)


def connected_sets(answers: IntArray, judges: IntArray, *, n_judges: int) -> IntArray:
    """Return a number for each judge, the same for judges that a chain of shared answers connects;
    shape (n_judges,).
    """
    leader = np.arange(n_judges)
    for rows in _rows_by_answer(answers):
        joined = np.unique(leader[judges[rows]])
        leader[np.isin(leader, joined)] = joined[0]
    return np.unique(leader, return_inverse=True)[1]


def _rows_by_answer(answers: IntArray) -> list[IntArray]:
    """Return the rows of each answer that was judged more than once."""
    order = np.argsort(answers, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(answers[order])) + 1)
    return [part for part in parts if len(part) > 1]


_SIDES = ("cheap", "frontier")
_RAW = ("judge", "cheap_score", "frontier_score")
_MOST_LISTED = 100
_LEAST_CONSTANT = 5  # scores of a judge from which on it is worth saying that they are all the same
_SCALE_RULE = "be two different numbers, the worst score and the best"


def _scale(written: str) -> tuple[float, float]:
    worst, _, best = written.partition(",")
    ends = (
        number(worst.strip(), "scale", rule=_SCALE_RULE),
        number(best.strip(), "scale", rule=_SCALE_RULE),
    )
    if None in ends:
        raise InvalidValueError(
            "scale", written, rule=_SCALE_RULE, hint="Write for example: judge:scale=1,10."
        )
    return ends  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class _Scores:
    """All scores in [0, 1], one entry each: which answer (request and side) it is of, who gave
    it.
    """

    answers: NDArray[np.intp]
    judges: NDArray[np.intp]
    values: FloatArray
    names: list[str]
    offsets: FloatArray


class JudgeScores:
    """Read ``cheap_score`` and ``frontier_score`` of a ``judge``, one row a judge and request,
    joined by ``id``.

    Scores are brought to [0, 1]; each judge's offset is taken off
    (:mod:`difficulty.traffic.labels.judge`); the mean of what is left is the quality, cut to [0,
    1]. All rows are kept in memory, the text of each request once.

    Parameters
    ----------
    scale : pair of float
        The worst and the best score; ``(5, 1)`` where 1 is best.
    prior_scores : float, default 3
        How strongly offsets are pulled to 0, in scores; a very large number takes nothing off.
    """

    options: ClassVar[Mapping[str, Callable[[str], Any]]] = {"scale": _scale}

    def __init__(
        self, *, scale: tuple[float, float] | None = None, prior_scores: float = PRIOR_SCORES
    ) -> None:
        if scale is None or scale[0] == scale[1] or not np.isfinite(scale).all():
            raise InvalidValueError(
                "scale", scale, rule=_SCALE_RULE, hint="Write for example: judge:scale=1,10."
            )
        if not prior_scores > 0 or not np.isfinite(prior_scores):
            raise InvalidValueError("prior_scores", prior_scores, rule="be a number above 0")
        self._worst, self._best = scale
        self._prior_scores = prior_scores
        self._report = SourceReport(source="judge")

    def rows(self, rows: Iterable[RawRow]) -> Iterator[RawRow]:
        """Yield the rows that cannot be used, then one row a request."""
        refused: list[RawRow] = []
        requests = join(rows, self._read, refused)
        yield from refused
        scores = _gathered(requests, self._prior_scores)
        totals, counts = _answers(scores, 2 * len(requests))
        with np.errstate(invalid="ignore"):
            qualities = (totals / counts).reshape(-1, 2)
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
        found: dict[str, Any] = {"judge": text(fields.get("judge"), "judge") or ""}
        for side in _SIDES:
            raw = f"{side}_score"
            if given(fields.get(raw)):
                refuse_beside(fields, raw, f"{side}_quality")
                found[side] = self._unit(fields[raw], raw)
        return found

    def _unit(self, value: Any, subject: str) -> float:
        low, high = sorted((self._worst, self._best))
        rule = f"be on the scale from {self._worst:g} to {self._best:g}, or null"
        score = number(value, subject, rule=rule)
        if score is None or not low <= score <= high:
            raise InvalidValueError(
                subject,
                value,
                rule=rule,
                hint="Leave out what is no score, or give the scale of this judge.",
            )
        return (score - self._worst) / (self._best - self._worst)


def _gathered(requests: Sequence[Request], prior_scores: float) -> _Scores:
    """Return the scores of all requests; the answers of request i are 2i and 2i + 1."""
    numbers: dict[str, int] = {}
    found: list[tuple[int, int, float]] = []
    for index, request in enumerate(requests):
        for labels in request.labels:
            given_scores = [
                (2 * index + side, labels[name])
                for side, name in enumerate(_SIDES)
                if name in labels
            ]
            if given_scores:
                judge = numbers.setdefault(labels["judge"], len(numbers))
                found += [(answer, judge, score) for answer, score in given_scores]
    columns = np.array(found, dtype=np.float64).reshape(-1, 3)
    answers, judges, values = (
        columns[:, 0].astype(np.intp),
        columns[:, 1].astype(np.intp),
        columns[:, 2],
    )
    offsets = judge_offsets(
        answers, judges, values, n_judges=len(numbers), prior_scores=prior_scores
    )
    return _Scores(answers, judges, values, list(numbers), offsets)


def _answers(scores: _Scores, n: int) -> tuple[FloatArray, FloatArray]:
    """Return the sum of the corrected scores of each answer, and how many there are."""
    corrected = scores.values - scores.offsets[scores.judges]
    totals = np.bincount(scores.answers, weights=corrected, minlength=n).astype(np.float64)
    return totals, np.bincount(scores.answers, minlength=n).astype(np.float64)


def _with_quality(request: Request, pair: FloatArray) -> RawRow:
    """Return the request's first row with its qualities in place of scores."""
    qualities = {
        f"{side}_quality": float(value)
        for side, value in zip(_SIDES, pair, strict=True)
        if not np.isnan(value)
    }
    judged = {"n_judges": len({labels["judge"] for labels in request.labels})} if qualities else {}
    return request.row._replace(
        fields=without(request.row.fields or {}, *_RAW) | qualities | judged
    )


def _report(scores: _Scores, requests: Sequence[Request], qualities: FloatArray) -> SourceReport:
    corrected = scores.values - scores.offsets[scores.judges]
    sizes = np.bincount(scores.judges, minlength=len(scores.names))
    largest = np.argsort(-sizes, kind="stable")[:_MOST_LISTED]
    found = {
        "requests": len(requests),
        "scores": len(scores.values),
        "judges": {
            scores.names[j] or "(unnamed)": {
                "scores": int(sizes[j]),
                "offset": round(float(scores.offsets[j]), 4),
            }
            for j in largest
        },
        "alpha_as_given": known(krippendorff_alpha(scores.answers, scores.values)),
        "alpha_without_offsets": known(krippendorff_alpha(scores.answers, corrected)),
        "cut_to_0_1": int(np.sum((qualities < 0.0) | (qualities > 1.0))),
    }
    return SourceReport(source="judge", found=found, warnings=tuple(_warnings(scores)))


def _warnings(scores: _Scores) -> Iterator[str]:
    n_judges = len(scores.names)
    if not len(scores.values):
        yield "no row has a column cheap_score or frontier_score with a score"
        return
    sets = connected_sets(scores.answers, scores.judges, n_judges=n_judges)
    if n_sets := int(sets.max()):
        yield (
            f"the {n_judges} judges fall into {n_sets + 1} sets that share no answer: offsets are"
            " known only within a set. Let judges of different sets score some of the same answers"
        )
    by_judge: dict[int, list[float]] = defaultdict(list)
    for judge, value in zip(scores.judges.tolist(), scores.values.tolist(), strict=True):
        by_judge[judge].append(value)
    for judge, values in sorted(by_judge.items()):
        if len(values) >= _LEAST_CONSTANT and min(values) == max(values):
            yield (
                f"judge {scores.names[judge]!r} gave the same score to all {len(values):,} answers:"
                " its scores say nothing"
            )
