"""Which requests to label: a part at random and a part that teaches most, in one draw whose
probabilities are known.

Every request keeps at least ``random_share`` of the chance that a plain random draw gives it; the
rest of the chance goes where labels teach most (:mod:`~difficulty.labelling.telling`). Because the
probability of every request is known (:mod:`~difficulty.labelling.inclusion`), figures weighted by
its inverse hold for the whole traffic, whatever the telling part went by. A weight is at most
1 / random_share times that of a plain draw, so with a half figures are worth at least half of the
labels (300 chosen of 912 tool calls: 295). Labels that are chosen and labels drawn at random make
scores that ``benchmarks/label_efficiency.py`` can hardly tell apart: more than a half by what seems
telling would risk the figures for little.

Copies, and near-copies where the traffic names no groups, are one unit: one of them, picked at
random, is labelled and stands for all.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.encoders.base import Encoder
from difficulty.errors import InvalidValueError, TooFewSamplesError
from difficulty.labelling.inclusion import (
    draw,
    mixed_sizes,
    proportional,
    share_of_round,
    units_of,
    weights_over_rounds,
)
from difficulty.labelling.telling import Sides, clusters_of, embed, reasons, telling_sizes
from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.text import quantity_text
from difficulty.traffic.duplicates import INSTRUCTIONS, bare_key, text_hash
from difficulty.traffic.table import Traffic
from difficulty.training.shipped import find_encoder, find_recipe

RANDOM_SHARE = 0.5
"""Half: weights differ by a factor of two at most from a plain draw's on the heavy side, so figures
lose little, and half of the labels go where they teach.
"""
_LOOKED_AT, _LOOKED_AT_PER_LABEL = 20_000, 10
"""Units whose texts are looked at: of more a plain draw comes first."""
_CERTAIN = 1e-9
_MOST_BARE = 100_000
_FAMILY = 17
"""Near-copies that are one unit; of larger families each text is one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ChosenRequests:
    """Requests to label, of a file of N.

    Attributes
    ----------
    rows : ndarray of shape (k,)
        Places in the file, in the order in which they are to be labelled: a random one, so that
        whoever stops early has labelled each with the same chance.
    inclusion : ndarray of shape (k,)
        Probability of each to be among them: that of its copies together, by their number.
    sentences : tuple of str
        What is chosen and why.
    n_eligible : int
        Requests that could be chosen, copies counted.
    """

    rows: IntArray
    inclusion: FloatArray
    sentences: tuple[str, ...]
    n_eligible: int
    _past: _Past
    _probability: FloatArray
    """Of the unit of each of the rows."""
    _copies: FloatArray
    """Requests in the unit of each of the rows."""

    def __len__(self) -> int:
        return len(self.rows)

    def settled(self, tried: int | None = None) -> FloatArray:
        """Return the column ``inclusion`` of the file over all rounds, where the first ``tried`` of
        the rows were labelled (all, when not given); NaN where a request was chosen in none.

        Parameters
        ----------
        tried : int, optional
            Rows whose label was asked for, whether one came or not.

        Returns
        -------
        ndarray of shape (N,)
            In (0, 1].

        Raises
        ------
        InvalidValueError
            If there are not so many.
        """
        tried = len(self) if tried is None else tried
        if not 0 <= tried <= len(self):
            raise InvalidValueError("tried", tried, rule=f"be between 0 and {len(self)}")
        column = self._past.inclusion.copy()
        if not tried:
            return column
        past = self._past
        share = share_of_round(past.n_units, past.n_drawn, tried)
        probability = self._probability[:tried] * (tried / len(self))
        before, now = weights_over_rounds(past.weights, probability, share=share)
        column[past.rows] = np.minimum(1.0, 1.0 / (before * past.copies))
        column[self.rows[:tried]] = np.minimum(1.0, 1.0 / (now * self._copies[:tried]))
        return column


class _Past(NamedTuple):
    """What earlier rounds drew."""

    inclusion: FloatArray
    """Of each request of the file, NaN where there is none; shape (N,)."""
    rows: IntArray
    """Requests that stand for units which chance drew; shape (n_drawn,)."""
    weights: FloatArray
    """Of their units."""
    copies: FloatArray
    """Requests of their units."""
    n_units: int
    """Units that there were to draw at first: those and the ones that still can be."""

    @property
    def n_drawn(self) -> int:
        return len(self.rows)


def choose_requests(
    traffic: Traffic,
    n: int,
    *,
    eligible: NDArray[np.bool_] | None = None,
    scores: FloatArray | Mapping[str, NDArray[np.floating]] | None = None,
    threshold: float | None = None,
    random_share: float = RANDOM_SHARE,
    seed: int = 0,
    encoder: Encoder | None = None,
    vectors: FloatArray | None = None,
) -> ChosenRequests:
    """Choose requests to label.

    Parameters
    ----------
    traffic : Traffic
        All requests, labelled and unlabelled; N of them. For a further round the file as the last
        one left it, with its column ``inclusion``: requests that came later were not there to be
        drawn, and belong into a file of their own.
    n : int
        How many, at least 1; all where there are no more.
    eligible : ndarray of bool of shape (N,), optional
        Which may be chosen; when not given those whose gain is unknown. Never those that an earlier
        round chose, nor their copies.
    scores : ndarray of shape (N,) or mapping of str to such, optional
        ``difficulty_score``, or a scorer's outputs by name; without it the texts decide alone.
    threshold : float, optional
        Of the score; requests near to it count more.
    random_share : float
        In (0, 1]: share of a plain draw's chance that each request keeps; 1 is a plain draw.
    seed : int
        The same seed chooses the same.
    encoder : Encoder, optional
        Static table that texts are compared by; the shipped one when not given.
    vectors : ndarray of shape (N, dim), optional
        Unit vectors of the texts, where they are known already; ``encoder`` is not asked then.

    Raises
    ------
    InvalidValueError
        If ``n`` is below 1, or arrays are not those of the traffic.
    TooFewSamplesError
        If there is nothing to choose from.
    """
    if n < 1:
        raise InvalidValueError("n", n, rule="be 1 or more requests to label")
    sides = None if scores is None else Sides.of(scores)
    score = None if sides is None else sides.score
    _check_lengths(traffic, eligible=eligible, scores=score, vectors=vectors)
    rng = np.random.default_rng([seed, 17])
    units, counts = units_of(_unit_keys(traffic))
    free = _free_requests(traffic, units, eligible, n_units=len(counts))
    representative = _one_of_each(units, free, rng)
    past = _past_of(traffic, units, counts, n_open=len(representative))
    free_copies = np.bincount(units[free], minlength=len(counts)).astype(np.float64)
    kept, first = _looked_at(representative, free_copies[units[representative]], n, rng)
    of_unit = free_copies[units[kept]]
    chosen_sides = None if sides is None else sides.at(kept)
    is_plain = random_share >= 1.0 or n >= len(kept)
    clusters = (
        np.zeros(len(kept), dtype=np.intp)
        if is_plain
        else _clusters(traffic, kept, n, vectors=vectors, encoder=encoder, seed=seed)
    )
    sizes = mixed_sizes(
        of_unit / first,
        telling_sizes(of_unit, clusters, chosen_sides, threshold),
        random_share=random_share,
    )
    # A probability above the round's share would make a weight below 1.
    share = share_of_round(past.n_units, past.n_drawn, min(n, len(kept)))
    probability = first * proportional(sizes, n, largest=min(1.0, share / first.max()))
    ranked = np.zeros(len(kept)) if chosen_sides is None else chosen_sides.score
    order = np.lexsort((rng.random(len(kept)), ranked, clusters))
    drawn = rng.permutation(draw(probability / first, order=order, rng=rng))
    why = (
        []
        if random_share >= 1.0
        else list(reasons(chosen_sides, threshold, int(clusters.max()) + 1))
    )
    sentences = _sentences(
        n_drawn=len(drawn),
        n_free=int(free.sum()),
        n_units=len(representative),
        random_share=random_share,
        why=why,
        before=past.n_drawn,
    )
    return ChosenRequests(
        rows=kept[drawn],
        inclusion=probability[drawn] / of_unit[drawn],
        sentences=tuple(sentences),
        n_eligible=int(free.sum()),
        _past=past,
        _probability=probability[drawn],
        _copies=of_unit[drawn],
    )


def _check_lengths(traffic: Traffic, **arrays: NDArray[Any] | None) -> None:
    """Refuse arrays that are not those of the traffic."""
    for name, values in arrays.items():
        if values is not None and len(values) != len(traffic):
            rule = f"have one entry for each of the {len(traffic):,} requests"
            raise InvalidValueError(name, len(values), rule=rule)


def _free_requests(
    traffic: Traffic, units: IntArray, eligible: NDArray[np.bool_] | None, *, n_units: int
) -> NDArray[np.bool_]:
    """Return which requests may be chosen: neither they nor a copy were chosen before.

    Raises
    ------
    TooFewSamplesError
        If none may.
    """
    inclusion = np.array(traffic.column("inclusion"), dtype=np.float64)
    gain_known = ~np.isnan(traffic.outcomes.gain)
    may = ~gain_known if eligible is None else np.asarray(eligible, dtype=bool)
    closed = np.zeros(n_units, dtype=bool)
    # What is known of one copy is known of all.
    closed[units[~np.isnan(inclusion) | (gain_known & ~may)]] = True
    free: NDArray[np.bool_] = may & ~closed[units]
    if not free.any():
        raise TooFewSamplesError(
            f"choosing requests needs some without a label: got {len(traffic):,}, all labelled or"
            " chosen before. Add traffic."
        )
    return free


def _clusters(
    traffic: Traffic,
    rows: IntArray,
    n: int,
    *,
    vectors: FloatArray | None,
    encoder: Encoder | None,
    seed: int,
) -> IntArray:
    """Return the cluster of each of some requests, by their texts."""
    if vectors is None:
        table = encoder or find_encoder(find_recipe("fast").features)
        return clusters_of(embed(traffic.select(rows), table), n, seed=seed)
    return clusters_of(vectors[rows], n, seed=seed)


def _unit_keys(traffic: Traffic) -> list[str]:
    """Return a key that a request shares with its copies, and with near-copies where nothing but
    the text decided what belongs together. Other instructions or tools make another request.
    """
    groups = traffic.split_groups
    named = {key for key, group in zip(groups, traffic.column("group"), strict=True) if group}
    sizes = Counter(groups)
    key_of: dict[tuple[str | bytes, str], str] = {}
    keys = []
    # Bare keys take a quarter of a millisecond: of very many only equal texts are copies.
    of_text = bare_key if len(traffic) <= _MOST_BARE else text_hash
    for key, text, beside in zip(groups, traffic.comparable_texts(), _beside(traffic), strict=True):
        own = of_text(text)
        family = key if key not in named and sizes[key] <= _FAMILY else own
        # Where nobody looked for near-copies, copies have keys of their own.
        keys.append(key_of.setdefault((own, beside), f"{family!r} {beside}"))
    return keys


def _beside(traffic: Traffic) -> Iterator[str]:
    """Yield a hash of the instructions and the tools of each request."""
    for messages, tools in zip(traffic.each_messages(), traffic.column("tools"), strict=True):
        system = [part["content"] for part in messages if part["role"] in INSTRUCTIONS]
        yield text_hash(json.dumps([system, tools])) if system or tools else ""


def _one_of_each(units: IntArray, free: NDArray[np.bool_], rng: np.random.Generator) -> IntArray:
    """Return one free request of each unit that has any, each copy with the same chance."""
    rows = rng.permutation(np.flatnonzero(free))
    _, first = np.unique(units[rows], return_index=True)
    return np.asarray(np.sort(rows[first]), dtype=np.intp)


def _past_of(traffic: Traffic, units: IntArray, counts: IntArray, *, n_open: int) -> _Past:
    """Return what earlier rounds drew; units that were certain to be labelled are none of it."""
    inclusion = np.array(traffic.column("inclusion"), dtype=np.float64)
    chosen = ~np.isnan(inclusion)
    # Labelled whatever was chosen: together such copies stand for their unit.
    anyway = ~np.isnan(traffic.outcomes.gain) & ~chosen
    anyway &= np.bincount(units[chosen], minlength=len(counts))[units] == 0
    share = np.bincount(units[anyway], minlength=len(counts)) / counts
    alone = anyway & (share[units] < 1.0)
    rows = np.flatnonzero(chosen)
    whole = np.bincount(units[rows], weights=1.0 / inclusion[rows], minlength=len(counts))
    weights = whole[units[rows]] / counts[units[rows]]
    by_chance = weights > 1.0 + _CERTAIN
    rows, weights = rows[by_chance], weights[by_chance]
    return _Past(
        inclusion=np.where(alone, share[units], inclusion),
        rows=rows,
        weights=weights,
        copies=counts[units[rows]].astype(np.float64),
        n_units=len(rows) + n_open,
    )


def _looked_at(
    representative: IntArray, copies: FloatArray, n: int, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    """Return the requests whose texts are compared, and the probability that each was one: a draw
    by the number of copies where there are very many.
    """
    most = max(_LOOKED_AT, _LOOKED_AT_PER_LABEL * n)
    if len(representative) <= most:
        return representative, np.ones(len(representative))
    probability = proportional(copies, most)
    drawn = draw(probability, order=rng.permutation(len(representative)), rng=rng)
    return representative[drawn], probability[drawn]


def _sentences(
    *, n_drawn: int, n_free: int, n_units: int, random_share: float, why: list[str], before: int
) -> Iterator[str]:
    copies = f", {n_free - n_units:,} of them copies" if n_free > n_units else ""
    earlier = f"; {before:,} were chosen before" if before else ""
    yield (
        f"{n_drawn:,} of {quantity_text(n_free, 'request')} without a label"
        f" {'is' if n_drawn == 1 else 'are'} chosen{copies}{earlier}."
    )
    if not why:
        yield "Every request is as probable as any other."
        return
    yield (
        f"Every request keeps {random_share:.0%} of the chance of a plain random draw; the rest of"
        f" the chance goes to {', '.join(why[:-1]) + ' and ' if len(why) > 1 else ''}{why[-1]}."
    )
    yield (
        "The probability of each is written as 'inclusion', and weighs it in training, thresholds"
        " and every figure."
    )
