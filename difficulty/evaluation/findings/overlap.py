"""Checks that what is judged was seen by nothing: neither by training nor by the choice of the
threshold.
"""

from __future__ import annotations

from difficulty.evaluation.findings.record import Evidence, Finding


def training_overlap(evidence: Evidence) -> Finding | None:
    """The traffic holds requests that training saw; they were left out of every figure."""
    known = evidence.provenance
    if known is None or not known.seen or not (left_out := sum(known.seen.values())):
        return None
    told = ", ".join(f"{count:,} {name}" for name, count in known.seen.items() if count)
    advice = (
        "It is the traffic of the training."
        if known.own_traffic
        else "Traffic to judge by should hold none: see how it was drawn."
    )
    return Finding(
        name="training_overlap",
        severity="info" if known.own_traffic else "warning",
        message=(
            f"{left_out:,} of {known.requests:,} requests were seen in training ({told}) and are"
            f" left out of every figure. {advice}"
        ),
        numbers={
            "left_out": left_out,
            "requests": known.requests,
            **{name.replace(" ", "_"): count for name, count in known.seen.items()},
        },
    )


def same_ids(evidence: Evidence) -> Finding | None:
    """Judged requests bear ids of training samples, though their texts differ: the same request,
    edited, or ids that are not unique.
    """
    known = evidence.provenance
    if known is None or not known.same_ids:
        return None
    return Finding(
        name="same_ids",
        severity="warning",
        message=(
            f"{known.same_ids:,} judged requests bear the id of a training sample with another"
            " text. If they are the same requests, edited, leave them out; if not, give requests"
            " ids that are unique across files."
        ),
        numbers={"same_ids": known.same_ids, "requests": len(evidence.judged)},
    )


def threshold_on_judged_data(evidence: Evidence) -> Finding | None:
    """The threshold was chosen on requests that are judged, so that what it does looks better than
    it is.
    """
    known = evidence.provenance
    if known is None or not known.threshold_rows:
        return None
    return Finding(
        name="threshold_on_judged_data",
        severity="error",
        message=(
            f"The threshold was chosen on {known.threshold_rows:,} of the {len(evidence.judged):,}"
            " judged requests: figures at the threshold flatter it. Judge on other traffic."
        ),
        numbers={"threshold_rows": known.threshold_rows, "requests": len(evidence.judged)},
    )


def overlap_unknown(evidence: Evidence) -> Finding | None:
    """A bundle holds no samples, so that it cannot tell which requests of other traffic were used
    in training.
    """
    known = evidence.provenance
    if known is None or known.seen is not None:
        return None
    return Finding(
        name="overlap_unknown",
        severity="info",
        message=(
            "Whether training, or the choice of the threshold, saw some of these requests is not"
            " known: a bundle remembers no samples. Evaluate the run to find out."
        ),
        numbers={"requests": known.requests},
    )
