"""Early exit: a small graph decides the requests that are far from the threshold, and the scorer is
asked about the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnxruntime as ort

from difficulty.bundle.policy import Early, Policy
from difficulty.bundle.store import EARLY_GRAPH, Bundle
from difficulty.errors import ScoringError
from difficulty.runtime.rule import ABOVE, WITHIN, Verdict
from difficulty.runtime.session import FloatArray, Graph, load_session

EARLY_OUTPUT = "early_score"


class EarlyScorer:
    """Guess the scorer's score from a few cheap features; reads the same ids as the scorer.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    most_tokens : int
        Longest request there usually is, the task's id included.
    """

    def __init__(self, session: ort.InferenceSession, *, most_tokens: int) -> None:
        self.graph = Graph(session, EARLY_GRAPH, (EARLY_OUTPUT,), most_tokens=most_tokens)

    @classmethod
    def from_bundle(cls, bundle: Bundle, *, threads: int = 1) -> EarlyScorer | None:
        """Build the early scorer of a checked bundle; ``None`` where the bundle has none."""
        if EARLY_GRAPH not in bundle.files:
            return None
        session = load_session(bundle.files[EARLY_GRAPH], threads=threads, name=EARLY_GRAPH)
        return cls(session, most_tokens=bundle.manifest.max_tokens + 1)

    def score_ids(self, ids: Sequence[int]) -> float:
        """Return the early score of one tokenized request.

        Raises
        ------
        ScoringError
            If it is not a number.
        """
        score = self.graph.one(ids)[0]
        if not math.isfinite(score):
            raise ScoringError(f"{EARLY_OUTPUT} must be a number: got {score}. Verify the bundle.")
        return score

    def score_many(self, rows: Sequence[Sequence[int]]) -> FloatArray:
        """Return the early scores of many tokenized requests, in order; one that is not a number is
        NaN or infinite.
        """
        return self.graph.many(rows)[EARLY_OUTPUT]


def exits(policy: Policy) -> Early | None:
    """Return the early exit of a policy where it holds: for the threshold that its cut-offs were
    chosen for, and for it alone.
    """
    early = policy.early
    if (
        early is None
        or early.threshold != policy.threshold
        or policy.task_thresholds
        or policy.min_familiarity > 0
    ):
        return None
    return early


def exit_early(early: Early, score: float, *, informed: bool) -> Verdict | None:
    """Return the verdict of an early score; ``None`` where the scorer has to be asked.

    Parameters
    ----------
    early : Early
    score : float
    informed : bool
        Whether the request came with a task that the scorer knows.
    """
    cut = early.with_task if informed else early.without_task
    if cut is None:
        return None
    if score > cut.high:
        return ABOVE
    return WITHIN if score < cut.low else None
