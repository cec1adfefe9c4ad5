"""Below which familiarity does a score say nothing? From scores of tasks that were left out of
training.

What the score carries is measured as *lift*: the quality that routing by it has above routing at
random, averaged over all frontier shares. It is the mean of the score's centred rank times the
centred gain (for target ``failure``: the cheap model's failure), ranks and means inside each fold;
divided by the mean gain it is APGR minus 1/2. Intervals come from drawing whole tasks, since the
question is how it fares on tasks that nobody has seen.

The rule. Walk up through ``BOUNDS``. A bound passes when, on the requests below it,

1. the interval of the lift holds 0, and its upper end is under ``WORTHWHILE`` of the lift on known
   tasks: little lift is not only not found, it is excluded, so few requests never make a
   recommendation;
2. the frontier model is better on average: otherwise sending them there would cost without helping.

The walk ends at the first band, from one bound to the next, in which the lower end of the lift's
interval is above 0. The recommended ``min_familiarity`` is the largest bound that passed, and 0,
which switches it off, when none did. What is recommended is set when a run is shipped.

Where none passed, ``EDGE`` can be asked for: below it lies what looks like hardly any request of
the traffic, among it requests behind long text that training did not have, and of the traffic
itself one request in fifty.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.form import SavedForm, Undefinable
from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.metrics.bootstrap import Resampling, percentile_interval
from difficulty.metrics.ranking import rank_within
from difficulty.text import quantity_text

BOUNDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
EDGE = BOUNDS[0]
MOST_UNASKED = 0.1
"""Largest bound that is set without being asked for."""
WORTHWHILE = 0.5
_LEAST_REQUESTS = 100
# Below either an interval from drawing tasks is too narrow to be believed, so there is none.
_LEAST_TASKS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class UnseenTasks:
    """Scores of n requests by models that saw no request of their tasks.

    Attributes
    ----------
    score, familiarity, outcome, weight : ndarray of shape (n,)
        Both as those models gave them; the gain or the failure, NaN where unknown; sample weights.
    tasks : ndarray of shape (n,)
        Requests of one task are drawn together.
    fold : ndarray of shape (n,)
        Requests of one fold were scored by one model.
    """

    score: FloatArray
    familiarity: FloatArray
    outcome: FloatArray
    weight: FloatArray
    tasks: NDArray[np.str_]
    fold: IntArray

    def __getitem__(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> UnseenTasks:
        """Return some requests."""
        return UnseenTasks(
            score=self.score[rows],
            familiarity=self.familiarity[rows],
            outcome=self.outcome[rows],
            weight=self.weight[rows],
            tasks=self.tasks[rows],
            fold=self.fold[rows],
        )


@dataclass(frozen=True, kw_only=True)
class Lift(SavedForm):
    """The lift on the requests below a bound of familiarity, in quality units, with its 95 %
    interval; NaN where it is not defined.

    ``gain`` is the mean of what the score predicts there.
    """

    below: float
    n: int
    tasks: int
    gain: Undefinable
    value: Undefinable
    low: Undefinable
    high: Undefinable

    def __post_init__(self) -> None:
        for name in ("gain", "value", "low", "high"):
            if getattr(self, name) is None:  # JSON has no NaN
                object.__setattr__(self, name, np.nan)
        super().__post_init__()

    def as_dict(self, *, without: Container[str] = ()) -> dict[str, Any]:
        """Return the JSON form; numbers that are not defined are null."""
        numbers = super().as_dict(without=without)
        return {name: None if np.isnan(value) else value for name, value in numbers.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class FamiliarityAdvice(SavedForm):
    """The recommended ``min_familiarity`` and what it rests on.

    Attributes
    ----------
    recommended : float
        0 switches it off.
    sentence : str
        The recommendation, or why there is none, for people.
    known_lift : float or None
        On requests of tasks that the model saw.
    lifts : tuple of Lift
        Below each bound, on unseen tasks.
    known_share, unseen_share : float or None
        Share of the calibration requests, and of the requests of unseen tasks, that are less
        familiar than recommended.
    """

    recommended: float
    sentence: str
    known_lift: float | None = None
    lifts: tuple[Lift, ...] = ()
    known_share: float | None = None
    unseen_share: float | None = None

    @property
    def unasked(self) -> float:
        """The bound that is set where nobody said anything: at most ``MOST_UNASKED``."""
        return min(self.recommended, MOST_UNASKED)

    @property
    def at_request(self) -> float:
        """The bound for whoever asks for the recommended one: at the least ``EDGE``."""
        return self.recommended or EDGE


def no_advice(why: str) -> FamiliarityAdvice:
    """Return advice to leave ``min_familiarity`` off because nothing could be measured."""
    return FamiliarityAdvice(
        recommended=0.0,
        sentence=(
            f"No --min-familiarity is set: {why}. Where text or kinds of requests are to be"
            f" expected that training did not have, --min-familiarity {EDGE:g} is recommended: of"
            f" traffic like training's it sends about {EDGE:.1%} to the frontier model."
        ),
    )


def advise(
    unseen: UnseenTasks,
    *,
    known_lift: float,
    known_familiarity: FloatArray,
    rng: np.random.Generator,
    n_draws: int = 500,
) -> FamiliarityAdvice:
    """Recommend a ``min_familiarity`` by the rule above.

    Parameters
    ----------
    known_lift : float
        Lift on requests of known tasks, that were scored without having been seen.
    known_familiarity : ndarray of shape (n_calibration,)
        Familiarity of the calibration requests, for the share of the traffic that the
        recommendation costs.
    rng : numpy.random.Generator
        Draws tasks.
    """
    unseen = unseen[~np.isnan(unseen.outcome)]
    if known_lift <= 0.0:
        return no_advice("the score routes known tasks no better than chance")
    lifts = list(_below_bounds(unseen, rng=rng, n_draws=n_draws))
    # From the first band in which the score does carry something, nothing more is recommended.
    informative = next((band for _, band in lifts if band.low > 0.0), None)
    recommended = 0.0
    for lift, _ in lifts:
        if informative and lift.below >= informative.below:
            break
        if lift.low <= 0.0 and lift.high < WORTHWHILE * known_lift and lift.gain > 0.0:
            recommended = lift.below
    shares = {
        "known_share": float(np.mean(known_familiarity < recommended)),
        "unseen_share": float(np.mean(unseen.familiarity < recommended)),
    }
    below = tuple(lift for lift, _ in lifts)
    if recommended:
        sentence = _recommendation(recommended, **shares)
    else:
        sentence = _why_none(below, informative=informative, known_lift=known_lift)
    return FamiliarityAdvice(
        recommended=recommended, sentence=sentence, known_lift=known_lift, lifts=below, **shares
    )


def lift_of(score: FloatArray, outcome: FloatArray, weight: FloatArray, fold: IntArray) -> float:
    """Return the lift of a score; NaN where no outcome is known. All arrays have the shape (n,),
    unknown outcomes are NaN.
    """
    rows = np.flatnonzero(~np.isnan(outcome))
    if not len(rows):
        return float("nan")
    rank = rank_within(score[rows], fold[rows])
    return float(_lifts(rank, outcome[rows], fold[rows], weight[rows][None, :])[0])


def _below_bounds(
    unseen: UnseenTasks, *, rng: np.random.Generator, n_draws: int
) -> Iterator[tuple[Lift, Lift]]:
    """Yield, for each bound, the lift below it and the lift between the bound before and it."""
    before = 0.0
    for bound in BOUNDS:
        below = unseen.familiarity < bound
        band = below & (unseen.familiarity >= before)
        yield (
            _lift(unseen[below], bound, rng=rng, n_draws=n_draws),
            _lift(unseen[band], bound, rng=rng, n_draws=n_draws),
        )
        before = bound


def _lift(unseen: UnseenTasks, below: float, *, rng: np.random.Generator, n_draws: int) -> Lift:
    n, tasks = len(unseen.score), len(np.unique(unseen.tasks))
    # Neither too few requests nor too few tasks: it is tasks that are drawn.
    if n < _LEAST_REQUESTS or tasks < _LEAST_TASKS:
        return Lift(
            below=below, n=n, tasks=tasks, gain=np.nan, value=np.nan, low=np.nan, high=np.nan
        )
    rank = rank_within(unseen.score, unseen.fold)
    value = float(_lifts(rank, unseen.outcome, unseen.fold, unseen.weight[None, :])[0])
    draws = (
        Resampling(n_draws)
        .of(unseen.tasks, rng=rng)
        .values(lambda weight: _lifts(rank, unseen.outcome, unseen.fold, weight), unseen.weight)
    )
    # A task drawn twice has no lift over itself, so the draws lie lower: they are moved up.
    low, high = percentile_interval(draws - np.mean(draws) + value)
    gain = float(np.average(unseen.outcome, weights=unseen.weight))
    return Lift(below=below, n=n, tasks=tasks, gain=gain, value=value, low=low, high=high)


def _lifts(rank: FloatArray, outcome: FloatArray, fold: IntArray, weight: FloatArray) -> FloatArray:
    """Return the lift for each row of weights of shape (n_draws, n): covariances of rank and
    outcome inside the folds, pooled.
    """
    # One matrix product a sum, for all draws and folds at once.
    inside = (fold[:, None] == np.unique(fold)[None, :]).astype(np.float64)
    size, ranks, outcomes, products = (
        weight @ (inside * values[:, None])
        for values in (np.ones_like(rank), rank, outcome, rank * outcome)
    )
    covariance = products - np.divide(
        ranks * outcomes, size, out=np.zeros_like(size), where=size > 0
    )
    return np.asarray(covariance.sum(axis=1) / size.sum(axis=1))


def _recommendation(recommended: float, *, known_share: float, unseen_share: float) -> str:
    unasked = min(recommended, MOST_UNASKED)
    return (
        f"Requests less familiar than {recommended:g} of tasks that were left out of training are"
        f" routed no better than chance. Shipping sets min_familiarity {unasked:g} unless"
        " --min-familiarity says otherwise (0: off). Where many requests of new kinds are to be"
        f" expected, --min-familiarity recommended sets {recommended:g}: it sends"
        f" {known_share:.1%} of traffic like the calibration samples to the frontier model whatever"
        f" the score, and {unseen_share:.1%} of the requests of left-out tasks."
    )


def _why_none(lifts: tuple[Lift, ...], *, informative: Lift | None, known_lift: float) -> str:
    measured = [lift for lift in lifts if lift.n]
    if not measured:
        why = "no request of a task that was left out of training is unfamiliar"
    elif informative:
        why = (
            "the score also tells unfamiliar requests of left-out tasks apart (quality above"
            f" routing at random {informative.value:.3f} [{informative.low:.3f},"
            f" {informative.high:.3f}] just below {informative.below:g}, against {known_lift:.3f}"
            " on known tasks)"
        )
    else:
        why = (
            f"{quantity_text(measured[-1].n, 'request')} of left-out tasks less familiar than"
            f" {measured[-1].below:g} are too few to tell whether the score carries information"
            " there"
        )
    return no_advice(why).sentence
