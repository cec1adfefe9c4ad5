"""Checks of the outcomes: whether they allow a conclusion, and for whom."""

from __future__ import annotations

import numpy as np

from difficulty.evaluation.findings.record import Evidence, Finding
from difficulty.evaluation.slices import LEAST_OUTCOMES, LEAST_REQUESTS

FEW_GROUPS = 40
MANY_SUSPICIOUS = 0.01
"""Share of judged requests with suspicious labels from which on it is worth a warning."""


def few_samples(evidence: Evidence) -> Finding | None:
    """There are too few requests, groups, or requests of one outcome, for the intervals to be
    relied on.
    """
    needed = evidence.judged.needed
    numbers = {
        "requests": evidence.counts["requests"],
        "groups": evidence.counts["groups"],
        "needed": int(np.nansum(needed)),
        "not_needed": int(np.nansum(1.0 - needed)),
    }
    least = {
        "requests": LEAST_REQUESTS,
        "groups": FEW_GROUPS,
        "needed": LEAST_OUTCOMES,
        "not_needed": LEAST_OUTCOMES,
    }
    words = {
        "needed": "requests that needed the frontier model",
        "not_needed": "requests that did not need it",
    }
    short = [
        f"{numbers[name]:,} {words.get(name, name)} ({least[name]} are needed)"
        for name in least
        if numbers[name] < least[name]
    ]
    if not short:
        return None
    return Finding(
        name="few_samples",
        severity="warning",
        message=(
            f"Too few to judge by: {', '.join(short)}. Intervals are wide, and may still be too"
            " narrow. Add labelled requests."
        ),
        numbers=numbers,
    )


def frontier_not_better(evidence: Evidence) -> Finding | None:
    """The frontier model is not clearly better than the cheap one, so that there is little to route
    for.
    """
    gap = evidence.overall.get("gap")
    if gap is None or gap.value is None or (gap.low is not None and gap.low > 0.0):
        return None
    if gap.low is None or gap.high is None:
        return None
    worse = gap.high <= 0.0
    told = "is not better than the cheap one" if worse else "may not be better than the cheap one"
    return Finding(
        name="frontier_not_better",
        severity="error" if worse else "warning",
        message=(
            f"The frontier model {told}: the mean difference in quality is {gap.value:.3f}"
            f" [{gap.low:.3f}, {gap.high:.3f}]. "
        )
        + (
            "Check that the two quality columns are not swapped, else keep everything on the cheap"
            " model."
            if worse
            else "Add labels."
        ),
        numbers={"gap": gap.value, "low": gap.low, "high": gap.high, "requests": gap.n},
    )


def suspicious_labels(evidence: Evidence) -> Finding | None:
    """A share of the judged requests lies in tasks or regions whose labels training found
    suspicious.
    """
    count = evidence.provenance.suspicious if evidence.provenance else None
    n = len(evidence.judged)
    if not count or count < MANY_SUSPICIOUS * n:
        return None
    return Finding(
        name="suspicious_labels",
        severity="warning",
        message=(
            f"{count:,} of {n:,} judged requests ({count / n:.1%}) are in tasks or regions whose"
            " labels training found suspicious: compare the figures with and without them (slices,"
            " labels), and look at suspicious.jsonl in the run."
        ),
        numbers={"suspicious": count, "share": count / n, "requests": n},
    )


def selection_bias(evidence: Evidence) -> list[Finding]:
    """Logged outcomes were seen only where a policy chose to look."""
    known, found = evidence.provenance, []
    if known and known.selected:
        found.append(
            Finding(
                name="selection_bias",
                severity="error",
                message=(
                    f"{known.selected:,} outcomes were seen only where an unknown policy chose to"
                    " look: figures hold for what it let through, not for all requests. Log the"
                    " propensity of the route, or add outcomes of both models."
                ),
                numbers={"selected": known.selected, "requests": len(evidence.judged)},
            )
        )
    if known and known.certain:
        found.append(
            Finding(
                name="selection_bias",
                severity="warning",
                message=(
                    f"On {known.certain:,} requests the route was certain, and the other model's"
                    " outcome could not be seen: no weight makes up for that. Send a small share"
                    " of every kind of request each way."
                ),
                numbers={"certain": known.certain, "requests": len(evidence.judged)},
            )
        )
    return found
