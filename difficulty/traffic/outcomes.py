"""What is known of both models on each request, as arrays in which NaN means unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import InvalidValueError
from difficulty.metrics.arrays import FloatArray
from difficulty.text import quantity_text

VALIDATORS, VOTES = "validators", "votes"
GAIN_OF_VOTE = {"cheap": -1.0, "tie": 0.0, "frontier": 1.0}


def once_if_equal(values: FloatArray) -> FloatArray:
    """Return values that are all equal, or all unknown, as one number that is read n times: it
    takes no memory, and may not be written to.
    """
    if not len(values):
        return values
    first = values[0]
    same = np.isnan(values).all() if np.isnan(first) else (values == first).all()
    return np.broadcast_to(first, values.shape) if same else values


def pick_values(values: FloatArray, rows: NDArray[Any]) -> FloatArray:
    """Return some values, those of one number as one."""
    if values.strides != (0,) or not len(values):
        return np.asarray(values[rows])
    n = int(np.count_nonzero(rows)) if rows.dtype == np.bool_ else len(rows)
    return np.broadcast_to(values[0], (n,))


def measures_form(name: str | None) -> bool:
    """Return whether outcomes were measured by checks of the answer's form and nothing else."""
    return bool(name) and all(map(_is_check, str(name).split("+")))


def without_checks(name: str | None) -> str | None:
    """Return the names without those of checks of the form; ``None`` where no other is left."""
    return "+".join(each for each in (name or "").split("+") if not _is_check(each)) or None


def ungraded_notes(n: int) -> tuple[str, ...]:
    """Return what is to be said of requests that lost a check of the form as their outcome."""
    if not n:
        return ()
    return (
        f"of {quantity_text(n, 'request')} only a check of the cheap answer's form is known:"
        " they count as"
        " unlabelled beside the graded ones",
    )


def _find(measures: NDArray[np.object_], find: Callable[[str | None], bool]) -> NDArray[np.bool_]:
    """Return what is found of each name, each name asked for once."""
    answers = {name: find(name) for name in set(measures)}
    return np.fromiter(map(answers.__getitem__, measures), np.bool_, len(measures))


def _names_check(name: str | None) -> bool:
    return bool(name) and any(map(_is_check, str(name).split("+")))


def _is_check(name: str) -> bool:
    return name.partition(":")[0] == VALIDATORS


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Outcomes of n requests.

    Attributes
    ----------
    cheap_quality, frontier_quality : ndarray of shape (n,)
        Quality in [0, 1]; a request that only has ``cheap_passed`` counts as 1 or 0, one that only
        has a preference as the win rate of either answer (1, 0.5 or 0). NaN where unknown.
    preferred_gain : ndarray of shape (n,)
        1 where the frontier answer was preferred, 0 for a tie, -1 where the cheap one was. NaN
        where nobody voted.
    weight : ndarray of shape (n,)
        Weights of the outcomes, above 0: sample weights, for logged traffic times the inverse
        propensity of the route.
    request_weight : ndarray of shape (n,), optional
        Weights of the requests, for what no outcome takes part in; the same when not given.
    measured_by : ndarray of str or None, shape (n,), optional
        What the outcomes of each request were measured by: ``exact``, ``tests``, ``judge:NAME``,
        ``votes``, ``votes:NAME``, ``validators:NAMES``, several of them joined by ``+``; ``None``
        where nobody said.
    by_verdict : ndarray of bool, shape (n,), optional
        Where ``cheap_quality`` stands for ``cheap_passed`` alone; nowhere when not given.
    """

    cheap_quality: FloatArray
    frontier_quality: FloatArray
    preferred_gain: FloatArray
    weight: FloatArray
    request_weight: FloatArray | None = None
    measured_by: NDArray[np.object_] | None = None
    by_verdict: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        columns = (self.cheap_quality, self.frontier_quality, self.preferred_gain, self.weight)
        sizes = {*map(len, columns)}
        if len(sizes) != 1:
            raise InvalidValueError("outcomes", sorted(sizes), rule="have one length")

    def __len__(self) -> int:
        return len(self.cheap_quality)

    def __getitem__(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Outcomes:
        """Return the outcomes of some rows."""
        return Outcomes(
            cheap_quality=self.cheap_quality[rows],
            frontier_quality=self.frontier_quality[rows],
            preferred_gain=pick_values(self.preferred_gain, rows),
            weight=pick_values(self.weight, rows),
            request_weight=None if self.request_weight is None else self.request_weight[rows],
            measured_by=None if self.measured_by is None else self.measured_by[rows],
            by_verdict=None if self.by_verdict is None else self.by_verdict[rows],
        )

    @property
    def per_request(self) -> FloatArray:
        """What turns ``weight`` into the weight of the requests: 1 without inverse propensities."""
        if self.request_weight is None:
            return np.ones(len(self))
        return self.request_weight / self.weight

    def joined(self, other: Outcomes) -> Outcomes:
        """Return these outcomes and others after them."""
        parts = (self, other)
        logged = any(part.request_weight is not None for part in parts)
        return Outcomes(
            cheap_quality=np.concatenate([part.cheap_quality for part in parts]),
            frontier_quality=np.concatenate([part.frontier_quality for part in parts]),
            preferred_gain=np.concatenate([part.preferred_gain for part in parts]),
            weight=np.concatenate([part.weight for part in parts]),
            request_weight=np.concatenate([part.weight * part.per_request for part in parts])
            if logged
            else None,
            measured_by=np.concatenate([part._measures for part in parts]),
            by_verdict=np.concatenate([part._verdicts for part in parts]),
        )

    @property
    def _measures(self) -> NDArray[np.object_]:
        return np.full(len(self), None) if self.measured_by is None else self.measured_by

    @property
    def _verdicts(self) -> NDArray[np.bool_]:
        return np.zeros(len(self), dtype=bool) if self.by_verdict is None else self.by_verdict

    @property
    def only_checked(self) -> NDArray[np.bool_]:
        """Of which requests checks of the cheap answer's form are all that is known of it: those
        see some failures, and never that an answer is right.

        The frontier answer may be graded beside it: then ``measured_by`` names both, and the
        verdict is the check's.
        """
        of_form = _find(self._measures, measures_form)
        verdicts = self._verdicts
        if verdicts.any():
            of_form |= verdicts & _find(self._measures, _names_check)
        return of_form

    def without_votes(self) -> Outcomes:
        """Return the outcomes with the quality unknown where a vote stands for it: who is better
        says of neither how often it fails. The gain stays.
        """
        voted = _find(self._measures, lambda name: (name or "").partition(":")[0] == VOTES)
        if not voted.any():
            return self
        return replace(
            self,
            cheap_quality=np.where(voted, np.nan, self.cheap_quality),
            frontier_quality=np.where(voted, np.nan, self.frontier_quality),
            # The difference of win rates, where votes differ.
            preferred_gain=np.where(voted, self.gain, self.preferred_gain),
        )

    def graded(self) -> Outcomes:
        """Return the outcomes with the quality unknown where a vote or a check of the form alone
        stands for it.
        """
        votes_gone, checked = self.without_votes(), self.only_checked
        if not checked.any():
            return votes_gone
        # A verdict is on the cheap answer: a frontier quality beside it is a grade.
        both = checked & ~self._verdicts
        return replace(
            votes_gone,
            cheap_quality=np.where(checked, np.nan, votes_gone.cheap_quality),
            frontier_quality=np.where(both, np.nan, votes_gone.frontier_quality),
        )

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which requests have any outcome; the others are unlabelled."""
        unknown = np.isnan(self.cheap_quality) & np.isnan(self.frontier_quality)
        return np.asarray(~(unknown & np.isnan(self.preferred_gain)))

    @property
    def measures(self) -> dict[str | None, int]:
        """What outcomes were measured by, with the number of requests, the most frequent first;
        requests of which nothing is known are left out.
        """
        return dict(Counter(self._measures[self.known]).most_common())

    @property
    def cheap_failure(self) -> FloatArray:
        """1 - cheap quality: what ``p_cheap_fails`` predicts. NaN where unknown."""
        return 1.0 - self.cheap_quality

    @property
    def frontier_failure(self) -> FloatArray:
        """1 - frontier quality: what ``p_frontier_fails`` predicts. NaN where unknown."""
        return 1.0 - self.frontier_quality

    @property
    def gain(self) -> FloatArray:
        """Frontier quality minus cheap quality, in [-1, 1]; NaN where unknown.

        The preference stands where a quality is unknown, and a tie always does: it says that the
        difference is none.
        """
        # NaN where either quality is unknown, so the vote steps in there.
        difference = self.frontier_quality - self.cheap_quality
        return np.where(
            np.isnan(difference) | (self.preferred_gain == 0.0), self.preferred_gain, difference
        )
