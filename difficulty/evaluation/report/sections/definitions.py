"""What the words and figures mean, one line each."""

from __future__ import annotations

from difficulty.evaluation.report.blocks import Facts, Section
from difficulty.evaluation.report.extras import Extras
from difficulty.evaluation.result import Evaluation

DEFINITIONS = (
    (
        "0.697 [0.678, 0.716]",
        (
            "A figure with its 95 % interval: on requests like these it would rarely lie outside"
            " the brackets."
        ),
    ),
    ("unknown", "What the figure needs is not there. It is never counted as zero."),
    (
        "difficulty_score",
        (
            "How much a request is worth the frontier model, from 0 to 1; for target benefit 0.5"
            " means no difference."
        ),
    ),
    (
        "threshold",
        "Requests with a score above it go to the frontier model; ties stay on the cheap one.",
    ),
    ("frontier share", "Share of the requests that go to the frontier model."),
    (
        "quality",
        "Mean quality of the answers that users get, in the unit of the labels, from 0 to 1.",
    ),
    (
        "gap recovered",
        "Share of the quality between all cheap (0) and all frontier (1) that routing keeps.",
    ),
    ("cost", "USD per 1,000 requests, from prices and token counts."),
    (
        "fallback share",
        (
            "Share of the requests that the cheap model answers first and the frontier model again,"
            " after failed validation."
        ),
    ),
    ("routing precision", "Of the requests sent to the frontier model, the share that needed it."),
    ("routing recall", "Of the requests that needed the frontier model, the share that is sent."),
    (
        "cheap route precision",
        "Of the requests kept on the cheap model, the share that did not need the frontier model.",
    ),
    (
        "risk",
        (
            "Of the requests kept on the cheap model, the share that it fails; the frontier model"
            " may fail some of them too."
        ),
    ),
    ("APGR", "Share of the gap recovered, averaged over all frontier shares: 0.5 is chance."),
    ("CPT(80 %)", "Smallest frontier share that recovers 80 % of the gap."),
    (
        "AUROC",
        (
            "Of two requests of which one needed the frontier model, how often its score is the"
            " higher one: 0.5 is chance."
        ),
    ),
    ("Brier, ECE", "How far predicted probabilities are from what happens; 0 is perfect."),
    ("oracle", "Routing that knows every outcome beforehand: no score can do better."),
)


def definitions_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return the definitions."""
    return Section("definitions", "How to read this", (Facts(DEFINITIONS),))
