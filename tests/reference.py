"""The figures by their plain formulas: what the package computes for many draws at once is held
against these.
"""

import numpy as np

from difficulty.metrics.arrays import weights


def cost_quality_curve(score, cheap_quality, frontier_quality, *, weight=None):
    """Return frontier share and mean quality as requests move to the frontier model, highest score
    first, one point for each distinct score and one before them.
    """
    score, cheap, frontier = (
        np.asarray(values, dtype=float) for values in (score, cheap_quality, frontier_quality)
    )
    weight = weights(weight, n=len(score))
    levels = [np.inf, *np.unique(score)[::-1]]
    shares = np.array([weight[score >= level].sum() for level in levels])
    # level by level: all at once is a matrix of gigabytes for thousands of requests
    quality = np.array([np.where(score >= level, frontier, cheap) @ weight for level in levels])
    return shares / weight.sum(), quality / weight.sum()


def gap_recovered(quality, *, cheap_quality, frontier_quality):
    """Return PGR: how much of the way from cheap to frontier quality a quality has come."""
    return (quality - cheap_quality) / (frontier_quality - cheap_quality)


def average_gap_recovered(frontier_share, quality, **ends):
    """Return APGR: the area under PGR along the frontier share."""
    return np.trapezoid(gap_recovered(np.asarray(quality), **ends), frontier_share)


def calls_for_gap(frontier_share, quality, *, target, **ends):
    """Return CPT: the first share at which PGR reaches the target; NaN where it never does."""
    share, recovered = np.asarray(frontier_share), gap_recovered(np.asarray(quality), **ends)
    reached = np.flatnonzero(recovered >= target - 1e-12)
    if not len(reached):
        return np.nan
    upto = slice(max(reached[0] - 1, 0), reached[0] + 1)
    return np.interp(target, recovered[upto], share[upto])


def quality_at_share(frontier_share, quality, *, share):
    """Return the curve's quality at a frontier share."""
    return np.interp(share, frontier_share, quality)


def routing_precision(score, needed, *, threshold, weight=None):
    """Return the share of the requests above the threshold that needed the frontier model."""
    sent = np.asarray(score) > threshold
    return np.average(np.asarray(needed)[sent], weights=weights(weight, n=len(sent))[sent])


def routing_recall(score, needed, *, threshold, weight=None):
    """Return the share of the requests that needed the frontier model which are above it."""
    sent, weight = np.asarray(score) > threshold, weights(weight, n=len(score))
    return np.average(sent, weights=weight * np.asarray(needed))


def cheap_route_precision(score, needed, *, threshold, weight=None):
    """Return the share of the requests at or below it that did not need the frontier model."""
    return 1.0 - risk(score, needed, threshold=threshold, weight=weight)


def risk(score, cheap_fails, *, threshold, weight=None):
    """Return the share of the requests at or below the threshold that the cheap model fails."""
    kept = np.asarray(score) <= threshold
    return np.average(np.asarray(cheap_fails)[kept], weights=weights(weight, n=len(kept))[kept])


def reliability(probability, outcome, bins):
    """Return mean probability, mean outcome and size of each bin that holds a request."""
    inside = [np.asarray(bins) == number for number in np.unique(bins)]
    columns = np.asarray(probability, dtype=float), np.asarray(outcome, dtype=float)
    return np.array([[*(values[rows].mean() for values in columns), rows.sum()] for rows in inside])
