"""Familiarity: how much a request looks like the traffic the model was fitted on.

Three measures, each as a percentile of the calibration traffic; the smallest counts, again as a
percentile: 0.05 means that 95 of 100 calibration requests looked more like what was known. Scores
of unfamiliar requests deserve less trust.

- Topic: the cosine of the request's embedding with the nearest of a few hundred centres of the fit
  traffic.
- Wording: how common the request's token pairs are in the fit traffic, the mean of their log
  shares.

- Extent: how long the request is, in tokens. It counts at the long end alone: the longest 2 % of
  the calibration traffic have their percentile, the shortest 95 % have 1.

Wording tells other kinds of requests apart, topic tells new subjects apart; their minimum is better
than either (fitted on RouteLLM MMLU: AUROC 0.95 against GSM8K and against the users' side of tool
calls, 0.70 against MMLU subjects that were left out; topic alone 0.78, 0.76 and 0.61).

Both are means over a request, so text that comes along drowns in them what is new: of MMLU requests
behind 3,000 characters of other text, a bound of 0.02 flags 83 % where the text is documentation of
software, 58 % where it is questions of GSM8K and none where it is other questions of MMLU. With the
extent it flags all of them, and 1.9 % of the requests as they are (1.6 % without). That it counts
at the long end alone costs little elsewhere: AUROC 0.944 for 0.952 against GSM8K, 0.630 for 0.639
against subjects left out; as a percentile all along 0.931 and 0.563. The least mean over a window
of 64 pairs was tried as well: it flags 92 %, 59 % and 3 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from difficulty.channels.heads import in_half
from difficulty.channels.neighbours import unit_centres
from difficulty.channels.shards import EmbeddedRows, Embeddings, LaterColumns, PairCounts

FloatArray = NDArray[np.float64]

_MOST_CENTRES = 256
_SHARES: FloatArray = np.concatenate([[0.0, 0.01, 0.02], np.linspace(0.05, 1.0, 20)])
"""Where the percentile map has knots, closer where it matters most."""


@dataclass(frozen=True, slots=True)
class Percentile:
    """A value as the share of the calibration traffic below it, piecewise linear.

    Attributes
    ----------
    knots, values : ndarray of shape (n_knots,)
        Both ascending; the values from 0 to 1.
    """

    knots: FloatArray
    values: FloatArray

    def __call__(self, raw: FloatArray) -> FloatArray:
        """Return shares in [0, 1]."""
        return np.asarray(np.interp(raw, self.knots, self.values), dtype=np.float64)

    @classmethod
    def of(cls, raw: FloatArray, *, least_step: float) -> Percentile:
        """Fit to calibration values; knots are ``least_step`` apart, since a steeper map would blow
        up float32 rounding.
        """
        quantiles = np.quantile(raw, _SHARES)
        places = [len(_SHARES) - 1]
        for place in range(len(_SHARES) - 2, -1, -1):
            if quantiles[places[-1]] - quantiles[place] >= least_step:
                places.append(place)
        knots, values = quantiles[places[::-1]], _SHARES[places[::-1]]
        if values[0] > 0.0:  # the lowest shares had no room, and the map has to start at 0
            # Values that are all the same have the middle of the ranks that they share.
            values[0] *= 0.5 if len(values) > 1 else 1.0
            knots, values = np.r_[knots[0] - least_step, knots], np.r_[0.0, values]
        return cls(knots, values)


_TAIL = 0.05
"""Share of the longest requests past which length says nothing of familiarity."""


def extent_of(lengths: FloatArray) -> Percentile:
    """Return the map of minus the number of tokens: a percentile at the long end, 1 elsewhere.

    Parameters
    ----------
    lengths : ndarray of shape (n_calibration,)
        Tokens of the calibration requests.
    """
    whole = Percentile.of(-lengths, least_step=1.0)
    last = int(np.searchsorted(whole.values, _TAIL))
    return Percentile(whole.knots[: last + 1], np.r_[whole.values[:last], 1.0])


class Known(NamedTuple):
    """What is known of n requests; each may be missing."""

    embeddings: Embeddings | None = None
    """Unit vectors of shape (n, dim)."""
    pairs: PairCounts | None = None
    """Counts of token pairs, of shape (n, n_buckets)."""
    lengths: FloatArray | None = None
    """Tokens, of shape (n,)."""


@dataclass(frozen=True, slots=True)
class Topic:
    """Cosine with the nearest centre; ``centres`` holds unit vectors, shape (n_centres, dim)."""

    centres: FloatArray

    def __call__(self, embeddings: Embeddings) -> FloatArray:
        """Return the measure of unit vectors of shape (n_requests, dim)."""
        if isinstance(embeddings, EmbeddedRows):
            return np.concatenate([self(block) for block in embeddings.blocks()])
        return np.asarray((embeddings @ self.centres.T).max(axis=1, initial=-1.0), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Wording:
    """Mean log share of a request's token pairs; ``log_share`` has one entry for each bucket of
    hashed pairs.
    """

    log_share: FloatArray

    def __call__(self, pairs: PairCounts) -> FloatArray:
        """Return the measure of counts of shape (n_requests, n_buckets); a request without a pair
        has the rarest.
        """
        if isinstance(pairs, LaterColumns):
            return np.concatenate([self(block) for block in pairs.blocks()])
        weights = sp.csr_array(
            (1.0 + np.log(pairs.data, dtype=np.float64), pairs.indices, pairs.indptr),
            shape=pairs.shape,
        )
        total = np.asarray(weights.sum(axis=1)).ravel()
        summed = weights @ self.log_share
        mean: FloatArray = np.where(
            total > 0, summed / np.where(total > 0, total, 1.0), self.log_share.min()
        )
        return mean


@dataclass(frozen=True, slots=True)
class Familiarity:
    """Fitted measures with their percentiles; topic or wording may be missing, not both, and models
    of before have no extent.
    """

    topic: tuple[Topic, Percentile] | None
    wording: tuple[Wording, Percentile] | None
    joint: Percentile
    extent: Percentile | None = None

    def __call__(
        self,
        embeddings: Embeddings | None,
        pairs: PairCounts | None,
        lengths: FloatArray | None = None,
    ) -> FloatArray:
        """Return familiarity in [0, 1], of shape (n_requests,)."""
        return self.joint(self.least(embeddings, pairs, lengths))

    def least(
        self,
        embeddings: Embeddings | None,
        pairs: PairCounts | None,
        lengths: FloatArray | None = None,
    ) -> FloatArray:
        """Return the smallest percentile."""
        parts = []
        if self.topic and embeddings is not None:
            parts.append(self.topic[1](self.topic[0](embeddings)))
        if self.wording and pairs is not None:
            parts.append(self.wording[1](self.wording[0](pairs)))
        if self.extent and lengths is not None:
            parts.append(self.extent(-lengths))
        least: FloatArray = np.min(parts, axis=0)
        return least


def fit_familiarity(
    fit: Known, calibration: Known, *, centres: FloatArray | None = None, seed: int
) -> Familiarity | None:
    """Fit the measures on the fit requests and the percentiles on the calibration requests.

    Parameters
    ----------
    fit, calibration : Known
        Without embeddings and without pairs there is no familiarity.
    centres : ndarray of shape (n_centres, dim), optional
        Centres of the fit embeddings where they are known already.
    seed : int
        Seed of the clustering.
    """
    topic = wording = None
    if fit.embeddings is not None and calibration.embeddings is not None:
        nearest = Topic(
            unit_centres(fit.embeddings, most=_MOST_CENTRES, seed=seed)
            if centres is None
            else centres
        )
        topic = nearest, Percentile.of(nearest(calibration.embeddings), least_step=5e-3)
    if fit.pairs is not None and calibration.pairs is not None:
        common = Wording(_log_share(fit.pairs))
        wording = common, Percentile.of(common(calibration.pairs), least_step=1e-2)
    if topic is None and wording is None:
        return None
    extent = None if calibration.lengths is None else extent_of(calibration.lengths)
    straight = Percentile(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    plain = Familiarity(topic, wording, straight, extent)
    joint = Percentile.of(plain.least(*calibration), least_step=5e-3)
    return Familiarity(topic, wording, joint, extent)


def _log_share(pairs: PairCounts) -> FloatArray:
    """Return the log share of requests in which each bucket occurs, half a request added; what each
    has above the rarest is a number of 16 bits.
    """
    blocks = pairs.blocks() if isinstance(pairs, LaterColumns) else [pairs]
    seen = np.zeros(pairs.shape[1], dtype=np.int64)
    for block in blocks:
        seen += np.bincount(block.indices, minlength=pairs.shape[1])
    shares = np.log((seen + 0.5) / (pairs.shape[0] + 1.0))
    return np.asarray(shares.min() + in_half(shares - shares.min()), dtype=np.float64)
