"""Margins by which sessions keep their model: what each would cost and bring on steps whose
outcomes are known, and which to take.

Caches are reckoned with as providers have them: a call finds cached what the last call of the same
model in the same session had as its prompt, unless that was too long ago. So a session that goes
back and forth pays the full price for what came in between, not for the whole prompt each time.

A margin is chosen among quantiles of how far scores are from the threshold, so that it fits any
score's spread. Taken is the pair that saves most, of those whose mean quality does not fall by more
than ``max_loss``, with a confidence of 95 %. As the best of many looks better than it is, what is
told of it is cross-fitted: each half of the sessions is judged by the margins that the other half
chose. Where that shows no saving, or such a loss, there are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import InvalidValueError, NotAttainableError
from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.records import Estimate, Prices
from difficulty.routes import Stick
from difficulty.text import quantity_text

BoolArray = NDArray[np.bool_]
MAX_LOSS = 0.005
"""By how much the mean quality may fall; as in promotion."""
LEAST_SESSIONS = 30
LONGEST = 1_000
"""Steps of a session; what comes after them is taken for a session of its own."""
_QUANTILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_ONE_SIDED, _TWO_SIDED = 1.645, 1.96


@dataclass(frozen=True, kw_only=True, eq=False)
class SessionSteps:
    """Steps of sessions, session by session and each in its order; arrays of shape (n,).

    Attributes
    ----------
    session : ndarray of int
        Ascending from 0.
    score, threshold : ndarray
        What the rule compares.
    fixed : ndarray
        1 where a rule before the score sends the step to the frontier model, 0 where it keeps it,
        NaN where the score decides.
    at_s : ndarray
        Seconds, on any clock.
    in_loop : ndarray of bool
        Whether the step goes on after a tool's result.
    prompt, cheap_tokens, frontier_tokens : ndarray
        Token counts.
    cheap_quality, frontier_quality : ndarray
        NaN where unknown.
    """

    session: IntArray
    score: FloatArray
    threshold: FloatArray
    fixed: FloatArray
    at_s: FloatArray
    in_loop: BoolArray
    prompt: FloatArray
    cheap_tokens: FloatArray
    frontier_tokens: FloatArray
    cheap_quality: FloatArray
    frontier_quality: FloatArray

    def __len__(self) -> int:
        return len(self.session)

    @property
    def n_sessions(self) -> int:
        """How many sessions there are."""
        return int(self.session[-1]) + 1 if len(self) else 0

    @property
    def turns(self) -> Sequence[NDArray[np.intp]]:
        """The rows of the first steps, of the second ones, and so on; of each session at most one
        in each.
        """
        begins = np.searchsorted(self.session, np.arange(self.n_sessions))
        place = np.arange(len(self)) - begins[self.session]
        order = np.argsort(place, kind="stable")
        ends = np.cumsum(np.bincount(place)) if len(self) else np.array([], dtype=np.intp)
        return np.split(order, ends[:-1]) if len(ends) else []

    def at(self, rows: BoolArray) -> SessionSteps:
        """Return some sessions, whole ones."""
        picked = {name: getattr(self, name)[rows] for name in self.__dataclass_fields__}
        _, picked["session"] = np.unique(picked["session"], return_inverse=True)
        return SessionSteps(**picked)

    @property
    def sent_alone(self) -> BoolArray:
        """Where each step goes that is decided alone."""
        return np.where(np.isnan(self.fixed), self.score > self.threshold, self.fixed > 0.5)


def session_routes(steps: SessionSteps, sticks: Sequence[Stick]) -> BoolArray:
    """Return whether each step goes to the frontier model, shape (n_sticks, n): the rule of
    :mod:`difficulty.runtime.sticking`, with sessions that begin anew.
    """
    margin = np.array([stick.margin for stick in sticks])[:, None]
    back = np.array([stick.back for stick in sticks])[:, None]
    loop_only = np.array([stick.within == "loop" for stick in sticks], dtype=bool)[:, None]
    minutes = [np.inf if s.cold_after_minutes is None else s.cold_after_minutes for s in sticks]
    cold_s = np.array(minutes)[:, None] * 60.0
    sent = np.zeros((len(sticks), len(steps)), dtype=bool)
    alone, free = steps.sent_alone, np.isnan(steps.fixed)
    for number, rows in enumerate(steps.turns):
        named = np.broadcast_to(alone[rows], (len(sticks), len(rows)))
        if number == 0:
            sent[:, rows] = named
            continue
        before, idle = sent[:, rows - 1], steps.at_s[rows] - steps.at_s[rows - 1]
        held = free[rows] & (idle <= cold_s) & (~loop_only | steps.in_loop[rows])
        score, threshold = steps.score[rows], steps.threshold[rows]
        crosses = np.where(named, score > threshold + margin, score <= threshold - back)
        sent[:, rows] = np.where(held & (named != before) & ~crosses, before, named)
    return sent


class SessionBill(NamedTuple):
    """What steps cost on the routes they took, arrays of shape (..., n), USD."""

    cost: FloatArray
    cold: FloatArray
    """Of that, what switches cost: tokens that the model of the step before had in its cache, and
    this one has not. 0 where nothing switched.
    """
    switched: BoolArray


def bill_sessions(
    steps: SessionSteps, sent: BoolArray, prices: Prices, *, cache_minutes: float | None = 5.0
) -> SessionBill:
    """Return what routes cost, ``sent`` of shape (..., n), with caches that go cold after some
    minutes.
    """
    shape = sent.shape[:-1]
    keep_s = np.inf if cache_minutes is None else cache_minutes * 60.0
    cost, cold = np.zeros(sent.shape), np.zeros(sent.shape)
    switched = np.zeros(sent.shape, dtype=bool)
    # Of each session and model: the prompt of its last call, and when that was.
    read = np.zeros((2, *shape, steps.n_sessions))
    when = np.full((2, *shape, steps.n_sessions), -np.inf)
    for number, rows in enumerate(steps.turns):
        sessions, prompt, now = steps.session[rows], steps.prompt[rows], steps.at_s[rows]
        warm = [
            np.minimum(
                np.where(now - when[side][..., sessions] <= keep_s, read[side][..., sessions], 0.0),
                prompt,
            )
            for side in (0, 1)
        ]
        goes = sent[..., rows]
        as_cheap = prices.cost("cheap", prompt, steps.cheap_tokens[rows], cached=warm[0])
        as_frontier = prices.cost("frontier", prompt, steps.frontier_tokens[rows], cached=warm[1])
        cost[..., rows] = np.where(goes, as_frontier, as_cheap)
        if number:
            turned = goes != sent[..., rows - 1]
            to_frontier = (prices.cold_cost("frontier", 1.0) or 0.0) * (warm[0] - warm[1])
            to_cheap = (prices.cold_cost("cheap", 1.0) or 0.0) * (warm[1] - warm[0])
            lost = np.maximum(np.where(goes, to_frontier, to_cheap), 0.0)
            switched[..., rows], cold[..., rows] = turned, np.where(turned, lost, 0.0)
        for side, called in ((0, ~goes), (1, goes)):
            read[side][..., sessions] = np.where(called, prompt, read[side][..., sessions])
            when[side][..., sessions] = np.where(called, now, when[side][..., sessions])
    return SessionBill(cost, cold, switched)


def judge_stick(steps: SessionSteps, stick: Stick, prices: Prices | None) -> dict[str, Estimate]:
    """Return what a policy's margins do to sessions, beside deciding each step alone.

    Parameters
    ----------
    steps : SessionSteps
        At least ``LEAST_SESSIONS`` sessions; token counts may be unknown where ``prices`` is None.
    stick : Stick
        The policy's.
    prices : Prices or None
        With a price of cached tokens for either model; None: nothing is said of costs.

    Returns
    -------
    dict of str to Estimate
        ``frontier_share``, ``switched_share`` (of the further steps), each also with ``_alone``;
        ``quality_change``; with prices ``cost_ratio``, and ``cold_share`` of the cost, also with
        ``_alone``. Intervals are of 95 %, by sessions.
    """
    n = steps.n_sessions
    sent = np.stack([steps.sent_alone, session_routes(steps, [stick])[0]])
    begins = np.r_[True, steps.session[1:] != steps.session[:-1]]
    switched = np.zeros(sent.shape)
    switched[:, 1:] = sent[:, 1:] != sent[:, :-1]
    switched[:, begins] = 0.0
    gain = steps.frontier_quality - steps.cheap_quality
    gained, each = np.where(np.isnan(gain), 0.0, sent * np.nan_to_num(gain)), np.ones(len(steps))

    def sums(rows: FloatArray | BoolArray) -> FloatArray:
        rows = np.atleast_2d(np.asarray(rows, dtype=np.float64))
        return np.array([np.bincount(steps.session, row, minlength=n) for row in rows])

    def figures(name: str, above: FloatArray, below: FloatArray) -> dict[str, Estimate]:
        return {
            f"{name}{end}": _estimate(sums(above[row]), sums(below[row]))
            for end, row in (("_alone", 0), ("", 1))
        }

    every = np.stack([each, each])
    judged = figures("frontier_share", sent, every)
    judged |= figures("switched_share", switched, np.stack([~begins, ~begins]))
    judged["quality_change"] = _estimate(
        sums(gained[1] - gained[0]), sums(~np.isnan(gain)), unknown="no outcomes of both models"
    )
    if prices is not None:
        bill = bill_sessions(steps, sent, prices, cache_minutes=stick.cold_after_minutes)
        judged["cost_ratio"] = _estimate(sums(bill.cost[1]), sums(bill.cost[0]))
        judged |= figures("cold_share", bill.cold, bill.cost)
    return judged


def _estimate(above: FloatArray, below: FloatArray, *, unknown: str = "") -> Estimate:
    """Return sums over sums with an interval by sessions; rows of shape (1, n)."""
    n = above.shape[1]
    if not below.sum() > 0:
        return Estimate(value=None, n=n, note=unknown or "there is no such step")
    value, error = (float(part[0]) for part in _ratio(above, below))
    return Estimate(
        value=value, low=value - _TWO_SIDED * error, high=value + _TWO_SIDED * error, n=n
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginChoice:
    """Margins, and what they brought beside deciding each step alone, cross-fitted.

    Attributes
    ----------
    stick : Stick
    cost_ratio : Estimate
        Cost over that of each step alone.
    quality_change : Estimate
        Mean quality minus that of each step alone.
    switches_alone, switches : float
        Share of the further steps that switch.
    cold_alone, cold : float
        Part of the cost that switches make.
    """

    stick: Stick
    cost_ratio: Estimate
    quality_change: Estimate
    switches_alone: float
    switches: float
    cold_alone: float
    cold: float

    @property
    def sentence(self) -> str:
        """What was chosen, and what is expected of it."""
        ratio, change = self.cost_ratio, self.quality_change
        return (
            f"sessions keep their model within margins of {self.stick.margin:.4g} and, back,"
            f" {self.stick.back:.4g}, chosen on {quantity_text(ratio.n, 'session')}: their cost is"
            f" {ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f}) of deciding each step alone,"
            f" their quality changes by {change.value:+.4f} ({change.low:+.4f} to"
            f" {change.high:+.4f}), and of the further steps {self.switches:.1%} switch where"
            f" {self.switches_alone:.1%} did".replace("%", " %")
        )


def choose_margins(
    steps: SessionSteps,
    prices: Prices,
    *,
    like: Stick = Stick(),  # noqa: B008 - immutable
    max_loss: float = MAX_LOSS,
) -> MarginChoice:
    """Return the margins that save most without a loss of quality.

    Parameters
    ----------
    steps : SessionSteps
        Sessions that neither training nor the threshold's promise was judged by.
    prices : Prices
        With a price of cached tokens for either model.
    like : Stick
        Says within what sessions are held, and when caches are cold.
    max_loss : float
        By how much the mean quality may fall.

    Raises
    ------
    NotAttainableError
        If there are too few sessions, their steps or prices are not known, or no margin saves.
    """
    if not 0.0 <= max_loss < 1.0:
        raise InvalidValueError("max_loss", max_loss, rule="be a share in [0, 1)")
    _refuse_unknown(steps, prices)
    bill = _Judged.of(steps, prices, like)
    half = np.arange(steps.n_sessions) % 2 == 0
    # Each half is judged by what the other one chose.
    chosen = [bill.choose(part, max_loss) for part in (half, ~half)]
    cost, quality = bill.compare(np.where(half, chosen[1], chosen[0]))
    pick = bill.choose(np.ones_like(half), max_loss)
    if pick == 0 or (cost.high or 0.0) >= 1.0 or (quality.value or 0.0) < -max_loss:
        what = f"{cost.value:.3f} ({cost.low:.3f} to {cost.high:.3f})"
        raise NotAttainableError(
            "margins of sessions must save without a loss of quality, seen on sessions that did"
            f" not choose them: their cost is {what} of deciding each step alone, with a change of"
            f" quality of {quality.value:+.4f} ({quality.low:+.4f} to {quality.high:+.4f}), on"
            f" {quantity_text(steps.n_sessions, 'session')}. Pass more sessions, or set a"
            " margin of your own with"
            " --set stick.margin=0.05."
        )
    switches_alone, cold_alone = bill.measure_switches(0)
    switches, cold = bill.measure_switches(pick)
    return MarginChoice(
        stick=bill.sticks[pick],
        cost_ratio=cost,
        quality_change=quality,
        switches_alone=switches_alone,
        switches=switches,
        cold_alone=cold_alone,
        cold=cold,
    )


def _refuse_unknown(steps: SessionSteps, prices: Prices) -> None:
    further = len(steps) - steps.n_sessions
    if steps.n_sessions < LEAST_SESSIONS or further < steps.n_sessions:
        raise NotAttainableError(
            f"choosing margins needs {LEAST_SESSIONS} sessions of two and more steps (group and"
            f" timestamp): got {steps.n_sessions:,} with {quantity_text(len(steps), 'step')}."
            " Set one of your own"
            " with --set stick.margin=0.05."
        )
    if None in (prices.cheap_cached_input, prices.frontier_cached_input):
        raise NotAttainableError(
            "choosing margins needs a price of cached tokens for either model: got none. Set"
            " cached_input in [cheap] and [frontier] of the price list."
        )
    gain = steps.frontier_quality - steps.cheap_quality
    if np.isnan(gain).mean() > 0.5:
        share = f"{1.0 - np.isnan(gain).mean():.0%}".replace("%", " %")
        raise NotAttainableError(
            "choosing margins needs outcomes of both models on at least half of the steps: got"
            f" those of {share}. Add labels, or set a margin of your own with --set"
            " stick.margin=0.05."
        )
    counts = steps.prompt + steps.cheap_tokens + steps.frontier_tokens
    if np.isnan(counts).any():
        raise InvalidValueError("token counts of steps", None, rule="all be known")


@dataclass(frozen=True, eq=False)
class _Judged:
    """Sums of sessions for each pair of margins, shape (n_sticks, n_sessions); the first pair is of
    no margin.
    """

    sticks: Sequence[Stick]
    cost: FloatArray
    cold: FloatArray
    gained: FloatArray
    """Quality beyond that of the cheap model, of steps with known outcomes."""
    switched: FloatArray
    known: FloatArray
    """Of each session, steps with known outcomes; shape (n_sessions,)."""
    further: int

    @classmethod
    def of(cls, steps: SessionSteps, prices: Prices, like: Stick) -> _Judged:
        sticks, parts = _grid(steps, like), []
        gain = steps.frontier_quality - steps.cheap_quality
        n = steps.n_sessions

        def by_session(values: FloatArray) -> FloatArray:
            filled = np.nan_to_num(values.astype(np.float64))
            return np.array([np.bincount(steps.session, row, minlength=n) for row in filled])

        # Some pairs at a time, so that memory stays bounded.
        width = max(1, 4_000_000 // max(len(steps), 1))
        for first in range(0, len(sticks), width):
            sent = session_routes(steps, sticks[first : first + width])
            if first == 0:
                sent[0] = steps.sent_alone
            bill = bill_sessions(steps, sent, prices, cache_minutes=like.cold_after_minutes)
            sums = (bill.cost, bill.cold, sent * gain, bill.switched)
            parts.append([by_session(np.asarray(values)) for values in sums])
        cost, cold, gained, switched = (np.concatenate(each) for each in zip(*parts, strict=True))
        known = np.zeros(n)
        np.add.at(known, steps.session, ~np.isnan(gain))
        return cls(sticks, cost, cold, gained, switched, known, len(steps) - n)

    def choose(self, part: BoolArray, max_loss: float) -> int:
        """Return which pair saves most on some sessions, of those whose quality holds."""
        change, error = _ratio(
            self.gained[:, part] - self.gained[:1, part],
            np.broadcast_to(self.known[part], self.gained[:, part].shape),
        )
        saving = self.cost[:, part].sum(axis=1)
        holds = change - _ONE_SIDED * error >= -max_loss
        return int(np.argmin(np.where(holds, saving, np.inf)))

    def compare(self, pick: IntArray) -> tuple[Estimate, Estimate]:
        """Return cost over that of each step alone, and quality minus that, where each session has
        a pair.
        """
        every = np.arange(len(pick))
        cost, gained = self.cost[pick, every], self.gained[pick, every]
        ratio = _estimate(cost[None], self.cost[:1])
        change = _estimate((gained - self.gained[0])[None], self.known[None])
        return ratio, change

    def measure_switches(self, pick: int) -> tuple[float, float]:
        """Return the share of further steps that switch, and what that is of the cost."""
        switched = float(self.switched[pick].sum()) / max(self.further, 1)
        return switched, float(self.cold[pick].sum() / self.cost[pick].sum())


def _ratio(above: FloatArray, below: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return sums over sums and their standard errors, by sessions; rows of shape (k, n)."""
    total, n = below.sum(axis=1), below.shape[1]
    value = above.sum(axis=1) / total
    left = above - value[:, None] * below
    return value, np.sqrt((left**2).sum(axis=1) * n / max(n - 1, 1)) / total


def _grid(steps: SessionSteps, like: Stick) -> list[Stick]:
    """Return pairs of margins at quantiles of the distance from the threshold, none first."""
    away = (steps.score - steps.threshold)[np.isnan(steps.fixed)]
    ups, downs = (
        sorted({0.0, *np.quantile(each, _QUANTILES).round(4).clip(0, 1).tolist()})
        if len(each)
        else [0.0]
        for each in (away[away > 0], -away[away <= 0])
    )
    return [
        Stick(
            within=like.within,
            margin=up,
            margin_back=down,
            cold_after_minutes=like.cold_after_minutes,
        )
        for up in ups
        for down in downs
    ]
