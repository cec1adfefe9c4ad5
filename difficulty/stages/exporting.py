"""Export at shipping time: the graph of a run, compared with the Python model on the path that
requests take in serving.

Where the recipe or the caller wants int8, the encoder's float32 weights are made int8 after the
fact. The score then moves, so what counts is decisions: of the ladder of
:mod:`difficulty.encoders.quantise` the first rung ships on which few enough of them change, at the
threshold that is chosen on the scores of that very graph.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.answer_check.answer_graph import build_answer_graph
from difficulty.answer_check.answer_record import AnswerRecord
from difficulty.answer_check.answered import Answered
from difficulty.answer_check.golden_cases import golden_cases
from difficulty.bundle.answer_facts import AnswerFacts, FactBand, FactSummary
from difficulty.bundle.policy import Policy
from difficulty.bundle.store import ANSWER_FACTS, ANSWER_GRAPH, EARLY_GRAPH, GOLDEN_ANSWERS
from difficulty.conversation.request_numbers import numbered, read_numbers, with_first
from difficulty.early_exit import EarlyModel, build_early_graph
from difficulty.encoders.quantise import Rung, can_be_int8, ladder
from difficulty.encoders.transformer import TransformerEncoder
from difficulty.errors import RunError, ScoringError
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.export.graph import build_graph, task_ids
from difficulty.export.parity import (
    ParityReport,
    check_flips,
    compare,
    compare_early,
    compare_outputs,
    golden_requests,
)
from difficulty.recipe import ExportSettings
from difficulty.records import OperatingPoint
from difficulty.runtime.answer_checker import AnswerChecker, read_answers
from difficulty.runtime.answers import AnswerScorer
from difficulty.runtime.golden_answers import golden_answer_rows
from difficulty.runtime.scorer import EarlyScorer, Scorer
from difficulty.runtime.session import load_session
from difficulty.stages.deploying.traffic_scores import (
    TrafficScores,
    answered_rows,
    every_so_many,
    quicker,
    score_traffic,
)
from difficulty.tokens import TokenRows, join
from difficulty.traffic.stored.tokenized import tokenize
from difficulty.training.answering import read_answered, request_columns
from difficulty.training.run import Run

Choose = Callable[[TrafficScores], tuple[OperatingPoint, ScoredTraffic]]
"""From what a graph gives for the calibration requests to the operating point that is chosen on
it, or on other scores, and these requests as the rules route them.
"""

STALE_SHIFT = 0.1
"""Share of the facts that may move by more than half a deviation: a model whose style changed moved
13 to 30 % of them, and chance none.
"""
MOST_COMPARED = 8_192
"""Calibration requests that are compared, of more every so many: arithmetic that differs differs on
any of them, and the Python model reads a request no faster for being the hundred-thousandth.
"""
_MOST_BY_ITSELF = 4_096
"""Of those, requests that are read one by one; and answers, each of which takes as long to read as
several requests.
"""
_SAMPLE = 64
"""Requests on which weights are told apart by how much int8 hurts them."""
_ANY_DIFFERENCE = 1.0
"""Outputs lie in [0, 1]: no difference is refused, what is no number is."""


class Exported(NamedTuple):
    """A graph that passed the gate."""

    graph: bytes
    scorer: Scorer
    served: TrafficScores
    """What it gives for the calibration requests."""
    point: OperatingPoint
    report: ParityReport
    quick: Scorer
    """Gives many requests the same numbers in less time."""
    notes: tuple[str, ...] = ()
    """What became of int8, where it was asked for."""


class Student(NamedTuple):
    """What early exit ships: in Python, as a graph, and as routers run it."""

    model: EarlyModel
    graph: bytes
    scorer: EarlyScorer


def student_of(run: Run) -> Student:
    """Export the run's student.

    Raises
    ------
    RunError
        If it has none.
    """
    if run.early is None:
        raise RunError(
            f"early exit needs a run with a student: {str(run.folder)!r} has none. Training makes"
            " one where the encoder is a transformer, the recipe has n-grams and its calibration is"
            " 'split': train such a recipe again, or ship without early exit."
        )
    graph = build_early_graph(run.model, run.early).SerializeToString()
    # One token more than the text's: the task's id stands before them.
    scorer = EarlyScorer(
        load_session(graph, name=EARLY_GRAPH), most_tokens=run.tokenizer.max_tokens + 1
    )
    return Student(run.early, graph, scorer)


def export(
    run: Run,
    student: Student | None,
    choose: Choose,
    *,
    int8: bool,
    min_familiarity: float,
    say: Callable[[str], None],
) -> Exported:
    """Export a run and choose the operating point; with ``int8`` the smallest encoder that decides
    almost as the Python model does.

    Parameters
    ----------
    run : Run
    student : Student, optional
        Compared as well.
    choose : callable
        Chooses the operating point on what a graph gives for the calibration requests.
    int8 : bool
        Make a float32 encoder int8. Where no rung of the ladder passes, the encoder stays as it is,
        and the notes say so.
    min_familiarity : float
        Requests less familiar than this go to the frontier model, whatever their score.
    say : callable
        Told what is being done, in a few words.

    Raises
    ------
    ParityError
        If the graph differs from the Python model by more than the recipe allows.
    RunError
        If int8 is asked for, and the encoder has no float32 weights.
    """
    if int8 and not can_be_int8(run.encoder):
        raise RunError(
            f"int8 at shipping needs an encoder with float32 weights: that of {str(run.folder)!r}"
            ' has none. Train with features.transformer.precision = "float32", or ship it as'
            " it is."
        )
    gate, budget = _Gate(run, student), run.recipe.export.int8_flips
    for rung in gate.rungs() if int8 else ():
        say(f"trying {rung}")
        if exported := gate.lossy(rung, choose, min_familiarity=min_familiarity, budget=budget):
            return exported
    say("comparing the graph with the Python model")
    note = (
        "the encoder stays float32: every int8 form of it that was tried changes more than"
        f" {budget:.2%} of the decisions"
    )
    # The Python model is the float32 one, so its graph is always there to fall back on.
    return gate.exact(choose)._replace(notes=(note,) if int8 else ())


class _Compared(NamedTuple):
    """What a graph gives for the requests that are compared, arrays of shape (n,)."""

    report: ParityReport
    served: TrafficScores
    """For all calibration requests; those that are compared come first in the arrays."""
    score: NDArray[np.float64]
    familiarity: NDArray[np.float64]
    """1 where there is no such output."""


class _Gate:
    """Calibration requests and the suite, and what the Python model gives for them."""

    def __init__(self, run: Run, student: Student | None) -> None:
        self.run, self.student, self.settings = run, student, run.recipe.export
        self.task_ids = task_ids(run.model)
        self.rows = every_so_many(np.arange(len(run.calibration)), MOST_COMPARED)
        self.calibration = run.calibration.select(self.rows)
        tokens = tokenize(self.calibration, view=run.view, tokenizer=run.tokenizer)
        self.calibration_ids = tokens.ids
        requests = golden_requests(numbers=run.model.reads_numbers)
        views = [run.view(request["messages"]) for request in requests]
        texts = {
            f"suite:{request['id']}": view.text
            for request, view in zip(requests, views, strict=True)
        }
        numbers = [
            read_numbers(each["messages"], each.get("tools"), view.question)
            for each, view in zip(requests, views, strict=True)
        ]
        # Python reads the ids that training makes, the graph those that serving makes.
        suite, served = (
            [numbered(row.ids, found) for row, found in zip(rows, numbers, strict=True)]
            for rows in (
                run.tokenizer.encode_batch(list(texts.values())),
                map(run.tokenizer.encode, texts.values()),
            )
        )
        suite_tasks = [None, *list(self.task_ids)[:1]]
        self.names = [*self.calibration.ids, *[*texts] * len(suite_tasks)]
        ids = join(tokens.ids, TokenRows(suite * len(suite_tasks), run.tokenizer.digest))
        tasks = [*tokens.tasks, *(task if row else None for task in suite_tasks for row in suite)]
        # what a router reads: the task's id first where there is one
        self.suite_rows = [
            with_first(self.task_ids[task], row) if task and row else row
            for task in suite_tasks
            for row in served
        ]
        self.python = run.model.predict(ids, tasks)
        self.early = student.model.predict(run.model, ids, tasks) if student else None

    def rungs(self) -> Iterator[Rung]:
        """Yield the encoder's forms in int8, told apart on some calibration requests."""
        assert isinstance(self.run.encoder, TransformerEncoder)
        ids = self.calibration_ids
        rows = np.linspace(0, len(ids) - 1, min(_SAMPLE, len(ids)), dtype=np.int64)
        return ladder(self.run.encoder, [ids[row] for row in rows])

    def exact(self, choose: Choose) -> Exported:
        """Return the graph as it was trained, which must give the Python model's scores."""
        graph, scorer, quick = self._built(None)
        tolerance = self.settings.max_score_difference
        compared = self._compare(scorer, quick, tolerance=tolerance)
        point, cut = self._chosen(choose, compared.served)
        report = check_flips(
            self.names,
            self.python.difficulty_score,
            compared.score,
            threshold=cut,
            report=compared.report,
            settings=self.settings,
        )
        return Exported(graph, scorer, compared.served, point, report, quick)

    def lossy(
        self, rung: Rung, choose: Choose, *, min_familiarity: float, budget: float
    ) -> Exported | None:
        """Return the graph with another encoder; ``None`` where it makes too few of the Python
        model's decisions.
        """
        graph, scorer, quick = self._built(rung.encoder)
        compared = self._compare(scorer, quick, tolerance=_ANY_DIFFERENCE)
        point, cut = self._chosen(choose, compared.served)
        shipped = (compared.score > cut) | (compared.familiarity < min_familiarity)
        python = self.python.difficulty_score > cut
        if self.python.familiarity is not None:
            python |= self.python.familiarity < min_familiarity
        # Those near the threshold too: int8 moves scores by more than rounding (docs/recipes.md).
        flipped = python != shipped
        flipped[: len(self.calibration_ids)] |= self._escalated(
            point, self.python.by_name()
        ) != self._escalated(
            point, {name: one[self.rows] for name, one in compared.served.outputs.items()}
        )
        flips = int(flipped.sum())
        if flips > budget * len(python):
            return None
        report = replace(compared.report, flips=flips, encoder=str(rung))
        return Exported(graph, scorer, compared.served, point, report, quick)

    def _built(self, encoder: TransformerEncoder | None) -> tuple[bytes, Scorer, Scorer]:
        """Return the file, its scorer, and one that scores the run's samples in less time."""
        run = self.run
        graph = build_graph(run.model, encoder=encoder).SerializeToString()
        scorer = Scorer(load_session(graph), run.tokenizer, run.view, task_ids=self.task_ids)
        return graph, scorer, quicker(scorer, graph, len(run.calibration) + len(run.test))

    def _chosen(
        self, choose: Choose, served: TrafficScores
    ) -> tuple[OperatingPoint, NDArray[np.float64]]:
        """Return the operating point, and the threshold that it holds for each request."""
        point, data = choose(served)
        cut = np.full(len(self.names), point.threshold)
        cut[: len(self.rows)] = data.cuts(point)[self.rows]
        answer = point.answer
        if answer and answer.kind == "check" and answer.request_threshold is not None:
            # Where every answer is checked the threshold is 1, which no score passes: what the
            # score decides is what it decides where no check can count.
            cut[:] = answer.request_threshold
        return point, cut

    def _escalated(
        self, point: OperatingPoint, outputs: Mapping[str, NDArray[np.floating]]
    ) -> NDArray[np.bool_]:
        """Return whether the check, told these outputs of a scorer, sends the answer to each
        compared request on; not where there is none.
        """
        n = len(self.calibration_ids)
        escalated = np.zeros(n, dtype=np.bool_)
        if point.answer and self.run.check and len(self._answered_rows):
            rows = self._answered_rows
            said = request_columns({name: one[:n] for name, one in outputs.items()})[rows]
            answered = replace(self._answered, request=said.astype(np.float32))
            escalated[rows] = self.run.check.predict(answered).answer_score > point.answer.threshold
        return escalated

    @cached_property
    def _answered_rows(self) -> NDArray[np.intp]:
        answers = self.calibration.column("cheap_answer")
        return np.array([row for row, one in enumerate(answers) if one is not None], dtype=np.intp)

    @cached_property
    def _answered(self) -> Answered:
        """The calibration answers, nothing told of their requests."""
        rows, run = self._answered_rows, self.run
        unknown = np.full((len(rows), 2), np.nan)
        return read_answered(
            self.calibration.select(rows), unknown, view=run.view, tokenizer=run.tokenizer
        )

    def _compare(self, scorer: Scorer, quick: Scorer, *, tolerance: float) -> _Compared:
        """Compare a graph with the Python model on every request."""
        early = self.student.scorer if self.student else None
        calibration, rows = self.run.calibration, self.rows
        served = score_traffic(quick, calibration, without_task=early is not None, early=early)
        suite = scorer.score_many(self.suite_rows)
        shipped = {name: np.r_[served.outputs[name][rows], suite[name]] for name in scorer.outputs}
        settings = replace(self.settings, max_score_difference=tolerance)
        report = compare(self.names, self.python, shipped, settings)
        largest = max(report.max_difference, self._compare_singly(scorer, settings))
        report = replace(report, max_difference=largest)
        # Whatever the precision of the encoder, the early graph has none in it and must agree.
        if early and served.early and self.early is not None:
            scores = np.r_[served.early.with_task[rows], early.score_many(self.suite_rows)]
            report = report.joined(compare_early(self.names, self.early, scores, self.settings))
        score = shipped["difficulty_score"].astype(np.float64)
        familiarity = shipped.get("familiarity", np.ones(len(score)))
        return _Compared(report, served, score, familiarity.astype(np.float64))

    def _compare_singly(self, scorer: Scorer, settings: ExportSettings) -> float:
        """Return the largest difference of the file itself on requests that are read one by one, as
        a router reads them: those of a file of traffic are read in arrays, and many of them scored
        by a quicker form of the graph.
        """
        places = every_so_many(np.arange(len(self.rows)), _MOST_BY_ITSELF)
        some = self.calibration.select(places)
        requests = zip(some.each_messages(), some.tasks, some.each_tools(), strict=True)
        shipped = scorer.score_many([_ids_of(scorer, *request) for request in requests])
        names = [self.names[place] for place in places]
        return compare(names, self.python.at(places), shipped, settings).max_difference


def _ids_of(
    scorer: Scorer, messages: list[dict[str, str]], task: str | None, tools: list[Any] | None
) -> list[int]:
    """Return the ids of a request; none for text of which the tokenizer keeps nothing."""
    try:
        return scorer.encode(messages, task, tools).ids
    except ScoringError:
        return []


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
        calibration answer that is compared: 4,096, every so many of more.
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
    given = np.flatnonzero(run.calibration.known("cheap_answer"))
    sampled = every_so_many(given, _MOST_BY_ITSELF)
    sample = run.calibration.select(sampled)
    asked, told = answered_rows(sample)
    # Facts are one function's, and read once; ids are made as in serving and as in training.
    read = read_answers(run.view, run.tokenizer, asked, told, sample.tasks)
    requests = zip(asked, sample.tasks, strict=True)
    ids = [_ids_of(scorer, each["messages"], task, each["tools"]) for each, task in requests]
    shipped = checker.score_read(read, ids, scorer.score_many(ids))
    rows = np.flatnonzero(~np.isnan(shipped["answer_score"]))
    texts = [run.view.plain(answer.as_text()).text for row in rows if (answer := told[row])]
    encoded = run.tokenizer.encode_batch(texts)
    answered = Answered(
        facts=read.facts[np.searchsorted(read.places, rows)],
        ids=TokenRows([each.ids for each in encoded], run.tokenizer.digest),
        request=request_columns(scores.outputs)[sampled[rows]].astype(np.float32),
    )
    names = [sample.ids[row] for row in rows]
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
        bands=tuple(FactBand(**band.as_dict()) for band in record.bands),
        stale_shift=STALE_SHIFT,
        score_tolerance=tolerance,
    )
