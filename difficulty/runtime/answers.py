"""The learned check of the cheap model's answer: a graph that reads the request, the answer and
facts about both, and what a router does with its score.

    if the check is stale or the answer cannot be read:        pass, or on_unknown
    elif answer_score > answer.threshold:                      the frontier model is asked too
    else:                                                      the answer is sent
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from difficulty.answers.facts import FACTS, FACTS_VERSION
from difficulty.answers.shift import MOST_DEVIATIONS, Bands, FactMeans, Reference, Shift
from difficulty.bundle.answer_facts import AnswerFacts
from difficulty.bundle.policy import AnswerRule
from difficulty.bundle.store import ANSWER_FACTS, ANSWER_GRAPH, Bundle
from difficulty.errors import BundleError, ScoringError
from difficulty.form import Record
from difficulty.runtime.session import FloatArray, load_session, most_rows
from difficulty.tokens import lengths_of, pad, pick

logger = logging.getLogger("difficulty.runtime")

AnswerReason = Literal[
    "above_threshold", "within_threshold", "unknown", "stale", "advisory", "no_check", "ineligible"
]
"""``ineligible``: the frontier model cannot take the request, so nothing is sent on;
``advisory``: the answer was streamed past the check; ``no_check``: the policy has none."""

_INPUTS = ("input_ids", "attention_mask", "answer_ids", "answer_mask", "features")
_OUTPUTS = ("p_answer_fails", "answer_score")
_MOST_MOVED = 5
_MEMORY = 1_000
"""Answers after which an answer counts a third in the facts' means."""
_BACK = 0.5
"""A check that was stale counts again when fewer facts than this part of the limit are moved."""
_LOOK_EVERY = 50  # answers


class AnswerScore(NamedTuple):
    """Outputs of the check for one answer."""

    p_answer_fails: float
    answer_score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FactMove(Record):
    """A fact that moved a score."""

    name: str
    value: float
    deviations: float
    """From the mean of the training answers; at most 4."""
    push: float
    """On the score's logit, by a linear model beside the graph; above 0: towards escalation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerVerdict(Record):
    """What the check says of a cheap answer."""

    escalate: bool
    """Whether the frontier model is to be asked too."""
    reason: AnswerReason
    answer_score: float | None
    """What was compared with the threshold; ``None`` where the answer could not be checked."""
    p_answer_fails: float | None
    threshold: float | None
    """``None`` where the policy has no check."""
    moved: tuple[FactMove, ...] = ()
    """The facts that moved the score most, the strongest first."""
    bundle_version: str
    error: str | None = None
    """Why the answer could not be checked, with reason ``unknown``."""


class AnswerScorer:
    """Score answers; safe to use from several threads.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    facts : AnswerFacts

    Raises
    ------
    BundleError
        If the graph has other inputs or outputs than the contract, or reads facts that this
        version does not compute.
    """

    def __init__(self, session: ort.InferenceSession, facts: AnswerFacts) -> None:
        inputs = {item.name: item for item in session.get_inputs()}
        outputs = {item.name for item in session.get_outputs()}
        if {*inputs} != {*_INPUTS} or not {*_OUTPUTS} <= outputs:
            raise BundleError(
                f"{ANSWER_GRAPH} must have the inputs {sorted(_INPUTS)} and the outputs"
                f" {sorted(_OUTPUTS)}: got {sorted(inputs)} and {sorted(outputs)}. Ship the bundle"
                " again."
            )
        if facts.facts_version > FACTS_VERSION:
            raise BundleError(
                f"{ANSWER_FACTS} has facts of version {facts.facts_version}, newer than this"
                f" runtime computes ({FACTS_VERSION}). Upgrade difficulty."
            )
        if tuple(fact.name for fact in facts.facts) != FACTS:
            raise BundleError(
                f"{ANSWER_FACTS} must list the {len(FACTS)} facts of version {FACTS_VERSION} in"
                f" their order: got {len(facts.facts)}. Train again with this version."
            )
        width = inputs["features"].shape[-1]
        if isinstance(width, int) and width != len(FACTS) + 2:
            raise BundleError(
                f"{ANSWER_GRAPH} must read {len(FACTS)} facts and two probabilities: got"
                f" {width} features. Ship the bundle again."
            )
        self.session = session
        self.facts = facts
        self.reference = _reference(facts)
        weights = np.array([fact.weight for fact in facts.facts])
        # A fact that never varied, or was never known, moves nothing.
        varied = self.reference.sd > 0
        self._weights = np.where(varied, weights, 0.0)
        self._middle = np.where(varied, self.reference.mean, 0.0)
        self._spread = np.where(varied, self.reference.sd, 1.0)

    @classmethod
    def from_bundle(cls, bundle: Bundle, *, threads: int = 1) -> AnswerScorer | None:
        """Build the check of a bundle that was read; ``None`` where the bundle has none."""
        facts = bundle.answer_facts
        if facts is None:
            return None
        session = load_session(bundle.files[ANSWER_GRAPH], threads=threads, name=ANSWER_GRAPH)
        return cls(session, facts)

    def score(
        self, ids: Sequence[int], answer_ids: Sequence[int], features: NDArray[np.float32]
    ) -> AnswerScore:
        """Return the score of one answer.

        Parameters
        ----------
        ids : sequence of int
            Of the request, as the scorer reads it.
        answer_ids : sequence of int
        features : ndarray of shape (len(FACTS) + 2,)
            The facts, then ``p_cheap_fails`` and ``p_frontier_fails`` of the request; ``nan`` is
            unknown.

        Raises
        ------
        ScoringError
            If an output is not a probability.
        """
        # One by one, as requests come: without the order and the batches of many.
        values = (*_one_row(ids), *_one_row(answer_ids), features[np.newaxis, :])
        found = AnswerScore(
            *(
                value.item()
                for value in self.session.run(_OUTPUTS, dict(zip(_INPUTS, values, strict=True)))
            )
        )
        for name, value in zip(_OUTPUTS, found, strict=True):
            if not 0.0 <= value <= 1.0:  # also: not a number
                raise ScoringError(f"{name} must be in [0, 1]: got {value}. Verify the bundle.")
        return found

    def score_many(
        self,
        ids: Sequence[Sequence[int]],
        answer_ids: Sequence[Sequence[int]],
        features: NDArray[np.float32],
    ) -> dict[str, FloatArray]:
        """Return ``p_answer_fails`` and ``answer_score`` of n answers, arrays of shape (n,).

        Parameters
        ----------
        ids, answer_ids : sequence of n sequences of int
        features : ndarray of shape (n, len(FACTS) + 2)
        """
        results = {name: np.zeros(len(ids), dtype=np.float32) for name in _OUTPUTS}
        lengths = np.maximum(lengths_of(ids), lengths_of(answer_ids))
        order = np.argsort(lengths, kind="stable")
        end = len(order)
        while end > 0:  # longest first, as the scorer's
            picked = order[max(0, end - most_rows(int(lengths[order[end - 1]]))) : end]
            end -= len(picked)
            request, answer = pad(pick(ids, picked)), pad(pick(answer_ids, picked))
            values = (*request, *answer, features[picked].astype(np.float32, copy=False))
            found = self.session.run(list(_OUTPUTS), dict(zip(_INPUTS, values, strict=True)))
            for name, value in zip(_OUTPUTS, found, strict=True):
                results[name][picked] = value
        return results

    def find_moved(self, facts: NDArray[np.float32]) -> tuple[FactMove, ...]:
        """Return the facts, of shape (len(FACTS),), that moved a score most."""
        far = (facts - self._middle) / self._spread
        far[np.isnan(far)] = 0.0  # what is not known here moved nothing
        np.maximum(far, -MOST_DEVIATIONS, out=far)
        np.minimum(far, MOST_DEVIATIONS, out=far)
        push = far * self._weights
        strongest = np.argsort(-np.abs(push), kind="stable")[:_MOST_MOVED]
        return tuple(
            FactMove(
                name=self.facts.facts[number].name,
                value=round(value, 6),
                deviations=round(deviations, 3),
                push=round(pushed, 3),
            )
            for number, value, deviations, pushed in zip(
                strongest.tolist(),
                facts[strongest].tolist(),
                far[strongest].tolist(),
                push[strongest].tolist(),
                strict=True,
            )
            if pushed
        )


def _one_row(ids: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ids and mask of one text, as :func:`~difficulty.tokens.pad` would."""
    row = np.array([ids or [0]], dtype=np.int64)
    return row, np.full(row.shape, bool(ids), dtype=np.int64)


def _reference(facts: AnswerFacts) -> Reference:
    return Reference(
        np.array([math.nan if fact.mean is None else fact.mean for fact in facts.facts]),
        np.array([math.nan if fact.sd is None else fact.sd for fact in facts.facts]),
        np.array([fact.known for fact in facts.facts], dtype=np.float64),
        _bands(facts),
    )


def _bands(facts: AnswerFacts) -> Bands | None:
    bands = facts.bands
    if not bands:
        return None
    means = [[math.nan if mean is None else mean for mean in band.mean] for band in bands]
    edges = [band.up_to for band in bands if band.up_to is not None]
    return Bands(np.array(edges), np.array(means), np.array([band.known for band in bands]))


class AnswerWatch:
    """Count answers that were checked, and see when their facts have moved too far.

    Safe to use from several threads; every process watches the answers it sees.

    Parameters
    ----------
    scorer : AnswerScorer
    rule : AnswerRule or None
        Its ``stale_shift`` is the limit; without one nothing is ever stale.
    version : str
        Of the bundle, for the log.
    memory : int
        Answers after which an answer counts a third.
    """

    def __init__(
        self, scorer: AnswerScorer, rule: AnswerRule | None, *, version: str, memory: int = _MEMORY
    ) -> None:
        self._names = [fact.name for fact in scorer.facts.facts]
        self._means = FactMeans(scorer.reference, memory=memory)
        self._limit = rule.stale_shift if rule else None
        self._version = version
        self._lock = threading.Lock()
        self._waiting: list[tuple[NDArray[np.float32], float]] = []
        """Facts that are not yet in the means: they are added many at once, which takes less."""
        self.shift: Shift | None = None
        """How far facts were moved at the last look; ``None`` before there were enough answers."""
        self.is_stale = False
        self.checked = self.escalated = self.unknown = 0

    def add(self, facts: NDArray[np.float32], p_cheap_fails: float = math.nan) -> None:
        """Count the facts of an answer, held against those of training answers to requests of which
        the scorer says the like, and look at their means from time to time.
        """
        with self._lock:
            self._waiting.append((facts, p_cheap_fails))
            if len(self._waiting) == _LOOK_EVERY:
                rows, said = zip(*self._waiting, strict=True)
                self._waiting.clear()
                self._means.add(np.stack(rows), said)
                self.shift = self._means.shift()
                self._judge()

    def note(self, verdict: AnswerVerdict) -> AnswerVerdict:
        """Count a verdict and return it."""
        with self._lock:
            self.checked += 1
            self.escalated += verdict.escalate
            self.unknown += verdict.error is not None
        return verdict

    def as_dict(self) -> dict[str, Any]:
        """Return the counts and the shift, for whoever watches the router."""
        shift = self.shift
        return {
            "checked": self.checked,
            "escalated": self.escalated,
            "unknown": self.unknown,
            "shift": None if shift is None else round(shift.share, 4),
            "moved": [] if shift is None else self._moved(shift),
            "stale": self.is_stale,
        }

    def _moved(self, shift: Shift) -> list[str]:
        return [self._names[number] for number in shift.moved[:_MOST_MOVED]]

    def _judge(self) -> None:
        """Begin or end to be stale; said once each time."""
        if self.shift is None or self._limit is None:
            return
        share = self.shift.share
        limit = self._limit * _BACK if self.is_stale else self._limit
        if (share > limit) == self.is_stale:
            return
        self.is_stale = not self.is_stale
        if self.is_stale:
            logger.warning(
                "the check of answers of bundle %s no longer counts: %.0f %% of the facts about"
                " answers moved by more than half a deviation, and %.0f %% may (first %s). The"
                " request's score decides alone; train on recent answers",
                self._version,
                100 * share,
                100 * self._limit,
                ", ".join(self._moved(self.shift)),
            )
        else:
            logger.warning("the check of answers of bundle %s counts again", self._version)
