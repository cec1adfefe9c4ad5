"""What is to be said of a check: what it was learned from, how far it can be believed, and what the
facts of its answers were. It holds none of the texts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from difficulty.answer_check.answered import LabelledAnswers
from difficulty.answer_check.check import AnswerCheck, Form
from difficulty.answers.facts import FACTS, FACTS_VERSION
from difficulty.form import SavedForm
from difficulty.metrics.coded_names import codes_of, pick_names
from difficulty.metrics.probability import brier
from difficulty.metrics.recalibration import recalibration
from difficulty.text import quantity_text

FloatArray = NDArray[np.float64]
_LEAST_OF_BAND = 100
"""Answers of a band: their means are known to a tenth of a deviation."""
_MOST_BANDS = 5


@dataclass(frozen=True, kw_only=True)
class FactSpread(SavedForm):
    """One fact over the answers that were learned from."""

    name: str
    known: float
    """Share of the answers of which it is known."""
    mean: float | None
    sd: float | None
    low: float | None
    """One answer in a hundred lies below."""
    high: float | None
    """One answer in a hundred lies above."""
    weight: float
    """How a linear model in place of the check moves its logit with a deviation of the fact."""


@dataclass(frozen=True, kw_only=True)
class SpreadBand(SavedForm):
    """The facts over the answers to requests of which the score says the like."""

    up_to: float | None
    """Largest ``p_cheap_fails`` of these requests; ``None``: the last band."""
    n: int
    mean: tuple[float | None, ...]
    known: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class AnswerRecord(SavedForm):
    """What run.json holds of the check of answers."""

    facts_version: int
    answers: int
    """Answers that were learned from; in a run that only carries on an earlier check, none."""
    labels: int
    """Those with a known outcome."""
    failures: float
    """How many of these failed, in answers; where votes are all that is known, how many lost."""
    form: Form
    started: bool
    """Whether it starts from the check of another cheap model."""
    weights: tuple[float, ...]
    """Of the logit of the request, or of the check that it starts from, then of each head."""
    slope: float | None = None
    """Of a logistic regression of the outcome on the logit of ``p_answer_fails``, out of fold; 1
    is right.
    """
    skill: float | None = None
    """How much less than that of the mean outcome the squared error is, out of fold; 0 is no less.
    """
    facts: tuple[FactSpread, ...] = ()
    bands: tuple[SpreadBand, ...] = ()
    """By ``p_cheap_fails``, ascending: which answers are checked depends on it. None for fewer than
    200 answers.
    """
    by_votes: bool = False
    """Whether votes are all that is known of the answers."""

    @property
    def sentence(self) -> str:
        """What was learned, in words."""
        if not self.answers:
            return "check of the answer: carried on from the run that this one starts from."
        slope, skill = (
            "unknown" if value is None else f"{value:.2f}" for value in (self.slope, self.skill)
        )
        failed = "lost, a tie counting half" if self.by_votes else "failed"
        return (
            f"check of the answer: learned from {quantity_text(self.answers, 'answer')}, of which"
            f" {self.labels:,} have a known outcome and {self.failures:,.0f} {failed}; out of fold"
            f" its calibration slope is {slope} (1 is right), its skill {skill} (0 is no better"
            " than the mean)."
        )


def record_of(check: AnswerCheck, fit: LabelledAnswers) -> AnswerRecord:
    """Return what is to be said of a check that was just fitted to these answers."""
    known = ~np.isnan(fit.failure)
    outcome, weight = fit.failure[known], fit.outcomes.weight[known]
    graded = fit.outcomes.without_votes().cheap_quality
    slope = skill = None
    if known.any():
        p_fails = check.out_of_fold_.p_answer_fails[known]
        codes = codes_of(pick_names(fit.groups, np.flatnonzero(known)))
        found = recalibration(p_fails, outcome, weight=weight, codes=codes)
        slope = found.slope.value if found else None
        mean = np.full(len(outcome), np.average(outcome, weights=weight))
        spread = brier(mean, outcome, weight=weight)
        skill = 1.0 - brier(p_fails, outcome, weight=weight) / spread if spread > 0 else None
    return AnswerRecord(
        facts_version=FACTS_VERSION,
        answers=len(fit),
        labels=int(known.sum()),
        failures=float(outcome.sum()),
        by_votes=bool(known.any() and np.isnan(graded[known]).all()),
        form=check.form,
        started=check.start is not None,
        weights=tuple(map(float, check.stack_.coefficients)),
        slope=slope,
        skill=skill,
        facts=_spreads(fit.answered.facts, check.surrogate_),
        bands=_bands(fit.answered.facts, fit.answered.request[:, 0].astype(np.float64)),
    )


def _bands(facts: NDArray[np.float32], p_cheap_fails: FloatArray) -> tuple[SpreadBand, ...]:
    """Return the facts by what the score says of the requests, in bands of as many answers."""
    known = np.sort(p_cheap_fails[~np.isnan(p_cheap_fails)])
    n_bands = min(_MOST_BANDS, len(known) // _LEAST_OF_BAND)
    if n_bands < 2:
        return ()
    # Requests that the score cannot tell apart are of one band.
    edges = np.unique([part[-1] for part in np.array_split(known, n_bands)])[:-1]
    band_of = np.searchsorted(edges, p_cheap_fails, side="left")
    bands = []
    for number, edge in enumerate([*edges.tolist(), None]):
        rows = facts[(band_of == number) & ~np.isnan(p_cheap_fails)].astype(np.float64)
        is_known = ~np.isnan(rows)
        counts = is_known.sum(axis=0)
        means = np.where(is_known, rows, 0.0).sum(axis=0) / np.maximum(counts, 1)
        bands.append(
            SpreadBand(
                up_to=edge,
                n=len(rows),
                mean=tuple(
                    float(f"{mean:.6g}") if count else None
                    for mean, count in zip(means.tolist(), counts.tolist(), strict=True)
                ),
                known=tuple(float(f"{share:.6g}") for share in is_known.mean(axis=0).tolist()),
            )
        )
    return tuple(bands) if len(bands) > 1 else ()


def _spreads(facts: NDArray[np.float32], weights: FloatArray) -> tuple[FactSpread, ...]:
    spreads = []
    for name, column, weight in zip(FACTS, facts.T, weights, strict=True):
        values = column[~np.isnan(column)].astype(np.float64)
        low, high = np.quantile(values, [0.01, 0.99]).tolist() if len(values) else (None, None)
        spreads.append(
            FactSpread(
                name=name,
                known=len(values) / max(len(column), 1),
                mean=float(values.mean()) if len(values) else None,
                sd=float(values.std()) if len(values) else None,
                low=low,
                high=high,
                weight=float(weight),
            )
        )
    return tuple(spreads)
