"""Training the check of answers, beside the score, wherever traffic holds what the cheap model
answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.answer_check.answer_record import AnswerRecord, record_of
from difficulty.answer_check.answered import Answered, AnswerScores, LabelledAnswers
from difficulty.answer_check.check import LEAST_LABELS, AnswerCheck
from difficulty.engine import Engine
from difficulty.metrics.coded_names import pick_names
from difficulty.model.combination import Scores
from difficulty.model.labelled import LabelledTokens
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer, TokenRows
from difficulty.traffic.stored.splits import ASIDE
from difficulty.traffic.stored.text_columns import ANSWERED
from difficulty.traffic.table import Traffic
from difficulty.training.answer_reading import read_answers
from difficulty.training.diagnosis import Unseen
from difficulty.training.finished_parts import FinishedParts
from difficulty.training.material import Material, Progress
from difficulty.training.run import CARRIED_OVER, Run

FloatArray = NDArray[np.float64]
_MOST_ANSWERS = 100_000
_BLOCK = 65_536
"""Answers that are read and scored at a time."""
_LEAST_OF_EACH = 5
"""Answers that failed, and answers that did not, that learning needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedCheck:
    """A check, what is to be said of it, and its scores of all n samples of the traffic, each by
    parts that did not see the sample: NaN where there is no answer or the sample is set aside.
    """

    check: AnswerCheck
    record: AnswerRecord
    scores: AnswerScores


def train_check(
    material: Material, learned: LabelledTokens, unseen: Unseen, *, progress: Progress
) -> tuple[TrainedCheck | None, tuple[str, ...]]:
    """Return the check, if the recipe wants one and the traffic holds enough answers, or a run to
    start from has one; and what is to be said otherwise.

    Parameters
    ----------
    material : Material
    learned : LabelledTokens
        What the score's heads learned from, with the weights that its labels have.
    unseen : Unseen
        What the score says of all samples, each by heads that did not see it.
    """
    settings, start = material.recipe.answer, material.start
    if not settings:
        return None, ()
    earlier = start.check if start else None
    given = material.traffic.known("cheap_answer")
    used = given & (material.splits != ASIDE)
    if not used.any() and earlier is None:
        return None, ()
    rows = material.learned_rows[used[material.learned_rows]]
    refused = _too_few(material, rows)
    if refused and earlier is None:
        return None, (refused,)
    progress(f"learning from {len(rows):,} answers")
    check = AnswerCheck(
        vocabulary_size=material.encoder.vocabulary_size,
        target=material.target,
        form=settings.form,
        folds=material.recipe.folds,
        seed=material.recipe.seed,
        start=earlier,
    )
    rows = _every_so_many(rows)
    held_out = np.flatnonzero(used & ~np.isin(np.arange(len(used)), material.learned_rows))
    calibration = _every_so_many(held_out[material.splits[held_out] == "calibration"])
    request = np.column_stack([unseen.p_cheap_fails, unseen.p_frontier_fails])
    weight = np.array(material.traffic.outcomes.weight)
    weight[material.learned_rows] = learned.outcomes.weight[: len(material.learned_rows)]
    outcomes = replace(material.traffic.outcomes, weight=weight)
    groups = material.traffic.split_groups

    def read(chosen: NDArray[np.intp], name: str) -> Answered:
        return read_answered(
            material.traffic.select(chosen),
            request[chosen],
            view=material.view,
            tokenizer=material.tokenizer,
            engine=material.engine,
            parts=material.parts,
            name=name,
        )

    def labelled(chosen: NDArray[np.intp], answered: Answered) -> LabelledAnswers:
        return LabelledAnswers(
            answered=answered, outcomes=outcomes[chosen], groups=pick_names(groups, chosen)
        )

    fit = labelled(rows, read(rows, "answers"))
    blocks = [held_out[first : first + _BLOCK] for first in range(0, len(held_out), _BLOCK)]
    # Of few answers all are held at once, and read once.
    first = read(blocks[0], "answers 0") if blocks else None
    whole = first if len(blocks) == 1 else None
    judged = None
    if len(calibration):
        judged = labelled(
            calibration,
            whole.at(np.searchsorted(held_out, calibration))
            if whole
            else read(calibration, "answers to calibrate"),
        )
    check.fit(fit, judged)
    scores = [check.out_of_fold_]
    for number, block in enumerate(blocks):
        answered = first if first and not number else read(block, f"answers {number}")
        scores.append(check.predict(answered))
    both = reduce(AnswerScores.joined, scores).spread(np.concatenate([rows, held_out]), len(used))
    record = record_of(check, fit)
    if not len(fit) and start and start.record.answer:
        # Nothing was learned: what is known of the facts is the earlier check's.
        record = replace(start.record.answer, answers=0, started=True)
    notes = (CARRIED_OVER,) if material.asks_again else ()
    return TrainedCheck(check=check, record=record, scores=both), notes


def _every_so_many(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return so many of the rows as a check is learned from: more would not make it better, and
    each has 224 facts.
    """
    return rows[:: 1 + (len(rows) - 1) // _MOST_ANSWERS] if len(rows) else rows


def _too_few(material: Material, rows: NDArray[np.intp]) -> str:
    """Return why a check cannot be learned from these samples; empty where it can."""
    failure = material.traffic.outcomes.cheap_failure[rows]
    failure = failure[~np.isnan(failure)]
    failed, fine = failure.sum(), (1.0 - failure).sum()
    if len(failure) >= LEAST_LABELS and min(failed, fine) >= _LEAST_OF_EACH:
        return ""
    return (
        f"No check of answers was learned: it needs {LEAST_LABELS} answers with a known outcome,"
        f" {_LEAST_OF_EACH} of them failing and {_LEAST_OF_EACH} not: got {len(failure):,}, of"
        f" which {failed:,.0f} fail."
    )


def check_by_run(run: Run, traffic: Traffic, scores: Scores) -> AnswerScores | None:
    """Return what the check of a run says of new traffic that its scorer gave these scores, NaN
    where there is no answer; ``None`` where the run has no check, or the traffic no answer.
    """
    rows = np.flatnonzero(traffic.known("cheap_answer"))
    if run.check is None or not len(rows):
        return None
    answered = read_answered(
        traffic.select(rows),
        request_columns(scores.by_name())[rows],
        view=run.view,
        tokenizer=run.tokenizer,
    )
    return run.check.predict(answered).spread(rows, len(traffic))


def request_columns(outputs: Mapping[str, NDArray[np.floating]]) -> FloatArray:
    """Return what a check reads of a scorer's outputs, of shape (n, 2)."""
    cheap = outputs["p_cheap_fails"]
    frontier = outputs.get("p_frontier_fails", np.full(len(cheap), np.nan))
    return np.column_stack([cheap, frontier]).astype(np.float64)


def read_answered(
    traffic: Traffic,
    request: FloatArray,
    *,
    view: TextView,
    tokenizer: RequestTokenizer,
    engine: Engine | None = None,
    parts: FinishedParts | None = None,
    name: str = "answers",
) -> Answered:
    """Return what the check reads of traffic that holds an answer on every row.

    Parameters
    ----------
    traffic : Traffic
        n samples.
    request : ndarray of shape (n, 2)
        What the scorer says of them: P(cheap fails), P(frontier fails), NaN where unknown.
    view, tokenizer
        As requests are read.
    engine : Engine, optional
        Where blocks of them are read; by default here.
    parts : FinishedParts, optional
        Where what was read is kept while a run is unfinished, under a name.
    """

    def read() -> dict[str, NDArray[Any]]:
        return read_answers(traffic.sent(ANSWERED), view, tokenizer, engine=engine)

    arrays = (parts or FinishedParts()).arrays(name, read)
    ids = TokenRows.of(arrays["flat"], arrays["ends"], tokenizer.digest)
    return Answered(facts=arrays["facts"], ids=ids, request=request.astype(np.float32))
