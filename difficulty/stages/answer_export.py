"""Export of the check of answers: its graph, compared with the Python model on every calibration
answer, what its facts were, and its golden vectors.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np

from difficulty.answer_check.answer_graph import build_answer_graph
from difficulty.answer_check.answer_record import AnswerRecord
from difficulty.answer_check.golden_cases import golden_cases
from difficulty.bundle.answer_facts import AnswerFacts, FactSummary
from difficulty.bundle.policy import Policy
from difficulty.bundle.store import ANSWER_FACTS, ANSWER_GRAPH, GOLDEN_ANSWERS
from difficulty.errors import RunError
from difficulty.export.parity import ParityReport, compare_outputs
from difficulty.recipe import ExportSettings
from difficulty.runtime.answer_checker import AnswerChecker
from difficulty.runtime.answers import AnswerScorer
from difficulty.runtime.golden_answers import golden_answer_rows
from difficulty.runtime.scorer import Scorer
from difficulty.runtime.session import load_session
from difficulty.stages.judging import TrafficScores, check_answers
from difficulty.training.answering import read_answered, request_columns
from difficulty.training.run import Run

STALE_SHIFT = 0.1
"""Share of the facts that may move by more than half a deviation: a model whose style changed moved
13 to 30 % of them, and chance none.
"""


class ExportedCheck(NamedTuple):
    """A check that passed the gate, as routers run it."""

    graph: bytes
    facts: AnswerFacts
    scorer: AnswerScorer
    report: ParityReport

    def files(self, scorer: Scorer, policy: Policy, *, version: str) -> dict[str, bytes]:
        """Return what a bundle holds of it, with golden vectors."""
        checker = self.checker(scorer, policy, version=version)
        rows = golden_answer_rows(checker, golden_cases())
        return {
            ANSWER_GRAPH: self.graph,
            ANSWER_FACTS: (json.dumps(self.facts.as_dict(), indent=2) + "\n").encode(),
            GOLDEN_ANSWERS: "".join(json.dumps(row) + "\n" for row in rows).encode("ascii"),
        }

    def checker(self, scorer: Scorer, policy: Policy | None, *, version: str) -> AnswerChecker:
        """Return what checks answers beside a scorer."""
        rule = policy.answer if policy else None
        return AnswerChecker(self.scorer, scorer, rule, version=version)


def export_check(
    run: Run, scorer: Scorer, scores: TrafficScores, settings: ExportSettings
) -> ExportedCheck | None:
    """Export the check of a run; ``None`` where it has none.

    Parameters
    ----------
    run : Run
    scorer : Scorer
        The exported one.
    scores : TrafficScores
        What it gives for the calibration samples.
    settings : ExportSettings

    Raises
    ------
    ParityError
        If the graph differs from the Python model by more than the recipe allows on any
        calibration answer.
    """
    check, record = run.check, run.record.answer
    if check is None:
        return None
    if record is None:
        raise RunError(f"run.json of {str(run.folder)!r} says nothing of its check. Train again.")
    graph = build_answer_graph(check).SerializeToString()
    facts = facts_of(record, tolerance=settings.max_score_difference)
    answers = AnswerScorer(load_session(graph, name=ANSWER_GRAPH), facts)
    checker = AnswerChecker(answers, scorer, None, version="export")
    shipped = check_answers(checker, run.calibration)
    rows = np.flatnonzero(~np.isnan(shipped["answer_score"]))
    answered = read_answered(
        run.calibration.select(rows),
        request_columns(scores.outputs)[rows],
        view=run.view,
        tokenizer=run.tokenizer,
    )
    names = [run.calibration.ids[row] for row in rows]
    python = check.predict(answered).by_name()
    report = compare_outputs(
        names,
        python,
        {name: shipped[name][rows] for name in python},
        settings,
        what="check of answers",
    )
    return ExportedCheck(graph, facts, answers, report)


def facts_of(record: AnswerRecord, *, tolerance: float) -> AnswerFacts:
    """Return ``answer.json``."""
    return AnswerFacts(
        facts_version=record.facts_version,
        facts=tuple(FactSummary(**spread.as_dict()) for spread in record.facts),
        n=record.answers,
        stale_shift=STALE_SHIFT,
        score_tolerance=tolerance,
    )
