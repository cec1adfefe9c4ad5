"""Disjoint parts of traffic, by hash or by time. Samples that are tied, by a group of their own or
by nearly the same text, never come into two parts.

Training sets samples aside that are tied to two splits. Here they are followed to the end: all
samples that are tied to each other, also by way of others, are one family, and a family stands in
one part. So no row is lost, at the price that adding rows may join two families and move one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import InvalidValueError, TooFewSamplesError, UnknownNameError
from difficulty.metrics.arrays import IntArray
from difficulty.traffic.table import Traffic

Straddling = Literal["earlier", "later", "aside"]
"""Where a family goes that has samples on both sides of a cut in time."""
ASIDE_PART, UNDATED = -1, -2
"""In place of a part's number: belongs to none, and has no time."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placed:
    """Where each of n samples belongs.

    Attributes
    ----------
    part : ndarray of int of shape (n,)
        Number of the part; ``ASIDE_PART`` or ``UNDATED`` for none.
    families : ndarray of int of shape (n,)
        Samples with one number are tied.
    straddling : ndarray of bool of shape (n,)
        Samples of families that stand on both sides of a cut in time.
    cuts : tuple of datetime
        Each the time from which on the next part begins.
    """

    part: IntArray
    families: IntArray
    straddling: NDArray[np.bool_]
    cuts: tuple[datetime, ...] = ()


def families_of(traffic: Traffic) -> IntArray:
    """Return the family of each sample, from 0 in the order in which they come; shape (n,)."""
    places: dict[str, int] = {}
    parent: list[int] = []

    def place_of(key: str) -> int:
        if key not in places:
            places[key] = len(parent)
            parent.append(len(parent))
        return places[key]

    def root_of(place: int) -> int:
        while parent[place] != place:
            # Halving the path keeps it short for whoever comes next.
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    own = []
    for key, others in zip(traffic.split_groups, traffic.near_groups, strict=True):
        own.append(place_of(key))
        for other in others:
            first, second = sorted((root_of(own[-1]), root_of(place_of(other))))
            parent[second] = first
    roots = np.array([root_of(place) for place in own], dtype=np.int64)
    _, first_rows, codes = np.unique(roots, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first_rows))[codes], dtype=np.intp)


def split_by_hash(traffic: Traffic, shares: Sequence[float], *, seed: int = 0) -> Placed:
    """Place each family by a hash of its keys.

    Parameters
    ----------
    traffic : Traffic
    shares : sequence of float
        Expected share of the families in each part, summing to 1.
    seed : int
        Another seed gives unrelated parts.

    Raises
    ------
    InvalidValueError
        If the shares are none.
    """
    edges = np.cumsum(_checked(shares))[:-1]
    families = families_of(traffic)
    # The smallest hash of the family's keys: it does not depend on the order of the rows.
    smallest = np.full(int(families.max(initial=-1)) + 1, np.inf)
    keys = traffic.split_groups
    for family, key in zip(families.tolist(), keys, strict=True):
        smallest[family] = min(smallest[family], _unit(key, seed))
    # The smallest of many is near 0 and must be spread again, or large families gather in front.
    number = np.zeros(len(smallest))
    for family, key in {*zip(families.tolist(), keys, strict=True)}:
        number[family] += 1.0 if key else 0.0
    spread = 1.0 - (1.0 - smallest) ** number
    part = np.searchsorted(edges, spread, side="right")
    return Placed(
        part=part[families].astype(np.intp),
        families=families,
        straddling=np.zeros(len(families), dtype=bool),
    )


def split_by_time(
    traffic: Traffic,
    shares: Sequence[float],
    *,
    straddling: str = "earlier",
    cuts: Sequence[datetime] = (),
) -> Placed:
    """Place samples by their time, the oldest first.

    Parameters
    ----------
    traffic : Traffic
        A sample without a time goes where its family stands in time; a family without any has none.
    shares : sequence of float
        Share of the dated samples in each part, summing to 1.
    straddling : {"earlier", "later", "aside"}
        Where a family goes that has samples on both sides of a cut: whole into the part where it
        begins, into the one where it ends, or into none.
    cuts : sequence of datetime, optional
        The cuts themselves, ascending, one less than there are parts, in place of the shares.

    Raises
    ------
    InvalidValueError
        If the shares or the cuts are none.
    TooFewSamplesError
        If fewer than two samples have a time.
    """
    if straddling not in get_args(Straddling):
        raise UnknownNameError("rule for straddling groups", straddling, get_args(Straddling))
    shares = _checked(shares)
    times, dated = _times(traffic)
    if dated.sum() < 2:
        raise TooFewSamplesError(
            f"splitting by time needs samples with a timestamp: got {int(dated.sum()):,} of"
            f" {len(traffic):,}. Add the column timestamp, or split by hash."
        )
    edges = _edges(times[dated], shares, cuts)
    side = np.searchsorted(edges, times, side="right")
    families = families_of(traffic)
    n_families = int(families.max()) + 1
    first, last = np.full(n_families, len(shares)), np.full(n_families, -1)
    np.minimum.at(first, families[dated], side[dated])
    np.maximum.at(last, families[dated], side[dated])
    broken = first < last
    chosen = {"earlier": first, "later": last, "aside": np.where(broken, ASIDE_PART, first)}
    part = np.where(last < 0, UNDATED, chosen[straddling])
    return Placed(
        part=part[families].astype(np.intp),
        families=families,
        straddling=broken[families],
        cuts=tuple(edge.astype("datetime64[us]").item() for edge in edges),
    )


def _checked(shares: Sequence[float]) -> Sequence[float]:
    if len(shares) < 2 or min(shares) <= 0.0 or abs(sum(shares) - 1.0) > 1e-9:
        raise InvalidValueError(
            "parts",
            ", ".join(f"{share:g}" for share in shares),
            rule="be two or more shares above 0 that sum to 1",
            hint="Pass for example train=0.6,choose=0.2,judge=0.2.",
        )
    return shares


def _times(traffic: Traffic) -> tuple[NDArray[np.datetime64], NDArray[np.bool_]]:
    """Return times in UTC, and which samples have one; the others stand at the beginning."""
    column = traffic.column("timestamp")
    dated = np.array([when is not None for when in column], dtype=bool)
    naive = [None if when is None else when.replace(tzinfo=None) for when in column]
    times = np.array([when or datetime(1, 1, 1) for when in naive], dtype="datetime64[us]")
    return times, dated


def _edges(
    times: NDArray[np.datetime64], shares: Sequence[float], cuts: Sequence[datetime]
) -> NDArray[np.datetime64]:
    """Return the times at which the second part and all later ones begin."""
    if not cuts:
        ordered = np.sort(times)
        places = np.ceil(np.cumsum(shares)[:-1] * len(ordered) - 1e-9).astype(np.intp)
        return ordered[np.minimum(places, len(ordered) - 1)]
    edges = np.array([cut.replace(tzinfo=None) for cut in cuts], dtype="datetime64[us]")
    if len(edges) != len(shares) - 1 or (np.diff(edges) <= np.timedelta64(0)).any():
        raise InvalidValueError(
            "cuts",
            ", ".join(cut.isoformat() for cut in cuts),
            rule=f"be {len(shares) - 1} ascending times, one less than there are parts",
        )
    return edges


def _unit(key: str, seed: int) -> float:
    """Return the place of a key in [0, 1)."""
    digest = sha256(f"upkeep:{seed}:{key}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 12) / 2**52
