"""Training the check of answers, beside the score, wherever traffic holds what the cheap model
answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from difficulty.answer_check.answer_record import AnswerRecord, record_of
from difficulty.answer_check.answered import Answered, AnswerScores, LabelledAnswers
from difficulty.answer_check.check import LEAST_LABELS, AnswerCheck
from difficulty.answers.answer import Answer, Asked
from difficulty.answers.facts import FACTS, read_facts
from difficulty.model.combination import Scores
from difficulty.model.labelled import LabelledTokens
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer
from difficulty.traffic.table import ASIDE, Traffic
from difficulty.training.diagnosis import Unseen
from difficulty.training.material import Material, Progress
from difficulty.training.run import CARRIED_OVER, Run

FloatArray = NDArray[np.float64]
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
    given = np.array([answer is not None for answer in material.traffic.column("cheap_answer")])
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
    places = np.flatnonzero(used)
    answered = read_answered(
        material.traffic.select(places),
        np.column_stack([unseen.p_cheap_fails, unseen.p_frontier_fails])[places],
        view=material.view,
        tokenizer=material.tokenizer,
    )
    weight = np.array(material.traffic.outcomes.weight)
    weight[material.learned_rows] = learned.outcomes.weight[: len(material.learned_rows)]
    outcomes = replace(material.traffic.outcomes, weight=weight)
    groups, place_of = material.traffic.split_groups, {row: at for at, row in enumerate(places)}

    def labelled(chosen: NDArray[np.intp]) -> LabelledAnswers:
        return LabelledAnswers(
            answered=answered.at(np.array([place_of[row] for row in chosen], dtype=np.intp)),
            outcomes=outcomes[chosen],
            groups=[groups[row] for row in chosen],
        )

    fit = labelled(rows)
    held_out = np.setdiff1d(places, rows)
    calibration = held_out[material.splits[held_out] == "calibration"]
    check.fit(fit, labelled(calibration) if len(calibration) else None)
    others = check.predict(labelled(held_out).answered)
    both = check.out_of_fold_.joined(others).spread(np.concatenate([rows, held_out]), len(used))
    record = record_of(check, fit)
    if not len(fit) and start and start.record.answer:
        # Nothing was learned: what is known of the facts is the earlier check's.
        record = replace(start.record.answer, answers=0, started=True)
    notes = (CARRIED_OVER,) if material.asks_again else ()
    return TrainedCheck(check=check, record=record, scores=both), notes


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
    answers = traffic.column("cheap_answer")
    rows = np.array([row for row, answer in enumerate(answers) if answer is not None], np.intp)
    if run.check is None or not len(rows):
        return None
    answered = read_answered(
        traffic.select(rows),
        request_columns(scores.by_name())[rows],
        view=run.view,
        tokenizer=run.tokenizer,
    )
    return run.check.predict(answered).spread(rows, len(answers))


def request_columns(outputs: Mapping[str, NDArray[np.floating]]) -> FloatArray:
    """Return what a check reads of a scorer's outputs, of shape (n, 2)."""
    cheap = outputs["p_cheap_fails"]
    frontier = outputs.get("p_frontier_fails", np.full(len(cheap), np.nan))
    return np.column_stack([cheap, frontier]).astype(np.float64)


def read_answered(
    traffic: Traffic, request: FloatArray, *, view: TextView, tokenizer: RequestTokenizer
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
    """
    answers = [Answer.parse(text) for text in traffic.column("cheap_answer")]
    facts = np.zeros((len(answers), len(FACTS)), dtype=np.float32)
    bodies = zip(traffic.each_messages(), traffic.column("tools"), traffic.tasks, strict=True)
    for row, (messages, tools, task) in enumerate(bodies):
        asked = Asked.of({"messages": messages, "tools": tools}, task=task)
        facts[row] = read_facts(asked, answers[row])
    texts = [view.plain(answer.as_text()).text for answer in answers]
    ids = [row.ids for row in tokenizer.encode_batch(texts)] if texts else []
    return Answered(facts=facts, ids=ids, request=request.astype(np.float32))
