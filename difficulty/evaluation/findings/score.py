"""Checks of the score: whether there is a signal, and whether the probabilities mean what they
say.
"""

from __future__ import annotations

import numpy as np

from difficulty.evaluation.findings.record import Evidence, Finding

CHANCE = 0.5
LARGEST_ECE = 0.05


def equal_scores(evidence: Evidence) -> Finding | None:
    """All scores are equal, so every request that no other rule settles goes the same way."""
    score = evidence.judged.difficulty_score
    if len(score) < 2 or np.ptp(score) > 0.0:
        return None
    return Finding(
        name="equal_scores",
        severity="error",
        message=(
            f"All {len(score):,} scores are {score[0]:.4g}: the score cannot tell requests apart,"
            " and a threshold keeps or sends all of them. Train again on traffic that resembles"
            " this."
        ),
        numbers={"score": float(score[0]), "requests": len(score)},
    )


def no_signal(evidence: Evidence) -> Finding | None:
    """The score cannot be told from chance: the interval of APGR or, without frontier outcomes, of
    AUROC reaches down to 1/2.
    """
    if equal_scores(evidence):
        return None
    name = "apgr" if evidence.overall["apgr"].value is not None else "auroc"
    figure = evidence.overall[name]
    if figure.value is None or figure.low is None or figure.low > CHANCE:
        return None
    return Finding(
        name="no_signal",
        severity="error",
        message=(
            f"The score cannot be told from chance: {name.upper()} is {figure.value:.3f}, its"
            f" interval reaches down to {figure.low:.3f}, and chance has 0.5. Judge it on more"
            " traffic, or check that labels and requests belong together."
        ),
        numbers={name: figure.value, "low": figure.low, "requests": figure.n},
    )


def calibration_off(evidence: Evidence) -> list[Finding]:
    """A probability does not match the frequency of failures: ECE is clearly above 0.05."""
    found = []
    for name, output in (("ece", "p_cheap_fails"), ("ece_frontier", "p_frontier_fails")):
        figure = evidence.overall.get(name)
        if (
            figure is None
            or figure.value is None
            or figure.low is None
            or figure.low <= LARGEST_ECE
        ):
            continue
        found.append(
            Finding(
                name="calibration_off",
                severity="warning",
                message=(
                    f"{output} is off by {figure.value:.3f} on average (ECE, at least"
                    f" {figure.low:.3f}; up to {LARGEST_ECE:g} is fine): do not read it as a"
                    " probability on this traffic. Calibrate again by training on traffic like"
                    " this."
                ),
                numbers={name: figure.value, "low": figure.low, "requests": figure.n},
            )
        )
    return found
