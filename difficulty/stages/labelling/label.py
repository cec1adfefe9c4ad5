"""Label: unlabelled traffic -> answers of both models and outcomes of them, within a budget.

The order of things: which requests may be labelled; what one costs by the prices; how many the
budget buys; which ones (:mod:`difficulty.labelling.selection`); and, where the user says yes, the
purchase (:mod:`difficulty.labelling.buying`), the traffic with what came of it, and what it says of
the judge. The same command again goes on where the last one ended.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from difficulty.economics.prices import PriceList
from difficulty.errors import DifficultyError, InvalidValueError, OutputExistsError, TrafficError
from difficulty.form import Record
from difficulty.labelling.advice import LabelAdvice, advise
from difficulty.labelling.budget import Budget
from difficulty.labelling.buying import Patience, Progress, Shop
from difficulty.labelling.hand_off import read_verdicts, refuse_judged, write_hand_off
from difficulty.labelling.journal import PurchaseJournal, journal_path
from difficulty.labelling.judge_figures import (
    JudgeAgreement,
    judge_agreement,
    mean_interval,
    position_bias,
    power_sentence,
)
from difficulty.labelling.model_calls import ModelCaller
from difficulty.labelling.verdicts import VerdictCounts
from difficulty.metrics.arrays import FloatArray
from difficulty.records import Estimate
from difficulty.stages.labelling.answer_judges import BOTH, PEOPLE, RequestToLabel
from difficulty.stages.labelling.label_jobs import LabelJob
from difficulty.stages.labelling.label_models import LabelOptions
from difficulty.stages.labelling.label_plan import LabelPlan, Prepared, prepare
from difficulty.storage import move_into_place, on_urls, refuse_existing, scratch_beside, whole_file
from difficulty.text import one_line
from difficulty.traffic.outcomes import GAIN_OF_VOTE
from difficulty.traffic.table import Traffic
from difficulty.traffic.writer import summary_path

_SIDE_COLUMNS = ("tokens", "cost_usd")
_EXPORTED = 100
"""Pairs that people are given where a model judges too: for its agreement with them."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PurchaseReport(Record):
    """What was bought, and what it says."""

    plan: LabelPlan
    tried: int
    """Requests that were begun, those of earlier runs of the command among them."""
    labelled: int
    problems: dict[str, int]
    """Why requests that were begun have no outcome."""
    votes: dict[str, int]
    """Of a judge that compares: pairs, unknown, inconsistent, cheap, tie, frontier."""
    position_bias: Estimate | None
    agreement: JudgeAgreement | None
    gain: Estimate
    """How much better the frontier answer is on average, weighted to all requests."""
    power: str
    spent_usd: float
    left_usd: float
    """Of the budget."""
    calls: dict[str, int]
    failures: dict[str, int]
    """Attempts that brought nothing, by their kind."""
    stopped: str
    """Why it ended before all was bought; empty: it did not."""
    went_well: bool
    """Whether it ended as it should: all bought, or the budget used."""
    measured_by: str | None
    kept: int
    """Outcomes that the traffic had already, such as users' feedback: the judge's do not replace
    them.
    """
    exported: int
    advice: LabelAdvice | None
    """Whether more labels are worth it."""
    no_advice: str = ""
    """Why that cannot be said; empty: it was not asked."""


@on_urls
def label(
    traffic_path: Path,
    out: Path,
    options: LabelOptions,
    *,
    spend: bool,
    prices: PriceList | None = None,
    bundle_path: Path | None = None,
    journal: Path | None = None,
    export: Path | None = None,
    human: Path | None = None,
    with_advice: bool = True,
    overwrite: bool = False,
    patience: Patience | None = None,
    caller: ModelCaller | None = None,
    on_plan: Callable[[LabelPlan], None] | None = None,
    on_shop: Callable[[Shop], None] | None = None,
    show: Callable[[Progress], None] | None = None,
) -> LabelPlan | PurchaseReport:
    """Buy answers and outcomes for some requests of traffic, and write it with them.

    Parameters
    ----------
    traffic_path : Path
        Ingested traffic.
    out : Path
        A ``.parquet`` file; the journal of the purchase stands beside it.
    options : LabelOptions
    spend : bool
        Whether money may be spent; else nothing is called and nothing written.
    prices : PriceList, optional
        Goes before the prices that litellm knows.
    bundle_path : Path, optional
        Whose scores say which requests tell most, and whose validators ``validators`` runs.
    journal : Path, optional
        Another place for the journal.
    export : Path, optional
        Where pairs for people to judge are written.
    human : Path, optional
        What people said of pairs, for the judge's agreement with them.
    with_advice : bool
        Whether a score is trained, and thrown away, to say if more labels are worth it.
    overwrite : bool
        Whether what is at ``out`` and ``export`` may be replaced; what the same command wrote may.
    patience : Patience, optional
    caller : ModelCaller, optional
    on_plan : callable, optional
        Called with the plan before anything is bought.
    on_shop : callable, optional
        Called with the shop, so that a purchase can be stopped.
    show : callable, optional
        Called with how far it is.

    Returns
    -------
    LabelPlan or PurchaseReport
        The plan where nothing may be spent.

    Raises
    ------
    TooFewSamplesError
        If no request can be labelled, or not one for the budget.
    TrafficError
        If the journal is of another purchase.
    """
    _refuse_paths(traffic_path, out, export, options, overwrite=overwrite, journal=journal)
    if options.judge == PEOPLE and export is None:
        raise InvalidValueError(
            "the judge", PEOPLE, rule="have something to judge", hint="Pass --export FILE."
        )
    with _journal(journal or journal_path(out), spend=spend) as kept:
        ready = prepare(Traffic.read(traffic_path), options, prices, bundle_path, kept)
        place = str(journal or journal_path(out))
        ready = ready._replace(plan=replace(ready.plan, journal=place))
        if on_plan:
            on_plan(ready.plan)
        if not spend:
            return ready.plan
        said = read_verdicts(human, ready.traffic) if human else None
        if kept.plan != ready.settings:
            kept.begin(ready.settings)
        if options.repeat_lost:
            kept.forget_lost()
        budget = Budget(options.budget_usd, spent_usd=kept.spent_usd)
        caller = caller or ModelCaller(timeout_s=options.timeout_s)
        shop, begun = asyncio.run(
            _buy(ready, budget, kept, options, caller, patience, on_shop, show)
        )
        labelled, report = _settle(ready, options, shop, begun, said)
        _write(labelled, report, out)  # before anything else: it was paid for
        if export is not None and (overwrite or not export.exists()):
            report = replace(report, exported=_export(export, labelled, ready, options, begun))
        if with_advice and report.labelled:
            report = _advised(report, labelled, options)
        _write_notes(report, out)
    return report


def _refuse_paths(
    traffic: Path,
    out: Path,
    export: Path | None,
    options: LabelOptions,
    *,
    overwrite: bool,
    journal: Path | None,
) -> None:
    if out.suffix.lower() != ".parquet" or out.is_dir():
        raise TrafficError(
            f"labelled traffic must go to a .parquet file: got {str(out)!r}. Pass for example"
            " labelled.parquet."
        )
    # The same command goes on where it ended, and writes its own output again; an empty journal is
    # of one that never began.
    begun = journal or journal_path(out)
    again = begun.is_file() and begun.stat().st_size > 0
    other = _judge_of(out)
    if again and not overwrite and other not in (None, options.judge):
        raise OutputExistsError(
            f"the labels of one judge must not go over those of another: {str(out)!r} has those of"
            f" {one_line(str(other))}. Pass another -o, and --journal {begun} so that no answer is"
            " bought again."
        )
    refuse_existing(out, overwrite=overwrite or again)
    if export is not None:
        refuse_existing(export, overwrite=overwrite or again)
        if overwrite:  # else what is there stays as it is
            refuse_judged(export)
    if out.exists() and traffic.exists() and out.samefile(traffic):
        raise OutputExistsError(
            f"the output must not be what is read: got {str(out)!r} for both. Choose another name."
        )


def _judge_of(out: Path) -> str | None:
    """Return who judged what is at ``out``; ``None`` where nothing says it."""
    try:
        judge = json.loads(summary_path(out).read_text(encoding="utf-8"))["plan"]["judge"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return judge if isinstance(judge, str) and out.exists() else None


@contextmanager
def _journal(path: Path, *, spend: bool) -> Iterator[PurchaseJournal]:
    """Open the journal; a look at what would be bought leaves none behind."""
    with TemporaryDirectory() as scratch:
        place = path if spend or path.exists() else Path(scratch) / path.name
        with PurchaseJournal(place) as journal:
            yield journal


async def _buy(
    ready: Prepared,
    budget: Budget,
    journal: PurchaseJournal,
    options: LabelOptions,
    caller: ModelCaller,
    patience: Patience | None,
    on_shop: Callable[[Shop], None] | None,
    show: Callable[[Progress], None] | None,
) -> tuple[Shop, int]:
    shop = Shop(caller, budget, journal, at_once=options.at_once, patience=patience, show=show)
    if on_shop:
        on_shop(shop)
    jobs = [LabelJob(request, ready.models, ready.judge) for request in ready.requests]
    try:
        return shop, await shop.buy(jobs)
    finally:
        await caller.close()


def _settle(
    ready: Prepared,
    options: LabelOptions,
    shop: Shop,
    begun: int,
    said: Sequence[tuple[int, float]] | None,
) -> tuple[Traffic, PurchaseReport]:
    """Return the traffic with what came of the purchase, and the report."""
    tried = ready.requests[:begun]
    inclusion = ready.choice.settled(begun)
    labelled, kept = _with_outcomes(ready, tried, options, inclusion)
    verdicts = [one.verdict for one in tried if one.verdict is not None]
    counts = VerdictCounts.of(verdicts)
    gains = [verdict.first_gain for verdict in verdicts if verdict.first_gain is not None]
    gain = _gain(labelled, tried, inclusion)
    report = PurchaseReport(
        plan=ready.plan,
        tried=begun,
        labelled=sum(bool(one.outcomes) for one in tried),
        problems=dict(
            Counter(
                one.problem or "not finished" for one in tried if not one.outcomes
            ).most_common()
        )
        if ready.judge.measured_by
        else {},
        votes={name: getattr(counts, name) for name in VerdictCounts.__slots__} if verdicts else {},
        position_bias=position_bias(gains) if gains else None,
        agreement=_agreement(tried, said) if said is not None else None,
        gain=_clipped(gain),
        power=power_sentence(gain)
        if "frontier" in ready.judge.sides and ready.judge.measured_by
        else "",
        spent_usd=shop.budget.spent_usd,
        left_usd=max(0.0, options.budget_usd - shop.budget.spent_usd),
        calls=dict(shop.counts),
        failures=dict(shop.failures.most_common()),
        stopped=shop.stopped,
        went_well=not shop.stopped or shop.finishes,
        measured_by=ready.judge.measured_by,
        exported=0,
        kept=kept,
        advice=None,
    )
    return labelled, report


def _gain(labelled: Traffic, tried: Sequence[RequestToLabel], inclusion: FloatArray) -> Estimate:
    rows = np.array([one.row for one in tried], dtype=np.intp)
    gain = labelled.select(rows).outcomes.gain
    known = ~np.isnan(gain)
    return mean_interval(gain[known], 1.0 / inclusion[rows[known]])


def _clipped(gain: Estimate) -> Estimate:
    """Return the same with ends that a mean of gains can have."""
    low, high = (None if end is None else min(max(end, -1.0), 1.0) for end in (gain.low, gain.high))
    return replace(gain, low=low, high=high)


def _agreement(
    tried: Sequence[RequestToLabel], said: Sequence[tuple[int, float]]
) -> JudgeAgreement:
    """Compare the judge's votes with what people said of the same requests, several of them by
    their mean.
    """
    people: dict[int, list[float]] = {}
    for row, gain in said:
        people.setdefault(row, []).append(gain)
    pairs = [
        (_judged_gain(one.outcomes), float(np.sign(round(float(np.mean(people[one.row])), 9))))
        for one in tried
        if one.row in people and one.outcomes
    ]
    known = [(judge, person) for judge, person in pairs if judge is not None]
    return judge_agreement([judge for judge, _ in known], [person for _, person in known])


def _judged_gain(outcomes: Mapping[str, Any]) -> float | None:
    if "preference" in outcomes:
        return GAIN_OF_VOTE[outcomes["preference"]]
    qualities = [outcomes.get(f"{side}_quality") for side in BOTH]
    if None in qualities:
        return None
    return float(np.sign(qualities[1] - qualities[0]))  # type: ignore[operator]


def _with_outcomes(
    ready: Prepared, tried: Sequence[RequestToLabel], options: LabelOptions, inclusion: FloatArray
) -> tuple[Traffic, int]:
    """Return the traffic with what was bought, and how many outcomes were there before: those
    stay.
    """
    traffic, measured_by = ready.traffic, ready.judge.measured_by
    names = {"prompt_tokens", "measured_by"}
    names |= {name for one in tried for name in one.outcomes}
    for side in BOTH:
        names |= {f"{side}_{part}" for part in ("answer", "model", *_SIDE_COLUMNS)}
    columns: dict[str, list[Any]] = {name: traffic.column(name) for name in sorted(names)}
    kept = 0
    for one in tried:
        for side, bought in one.bought.items():
            columns[f"{side}_answer"][one.row] = one.answers[side]
            for part in _SIDE_COLUMNS:
                columns[f"{side}_{part}"][one.row] = bought[part]
            if columns["prompt_tokens"][one.row] is None:
                columns["prompt_tokens"][one.row] = bought["prompt_tokens"]
        for side in ready.judge.sides:
            columns[f"{side}_model"][one.row] = getattr(options, side)
        new = {name: v for name, v in one.outcomes.items() if columns[name][one.row] is None}
        kept += len(one.outcomes) - len(new)
        for name, value in new.items():
            columns[name][one.row] = value
        if new and measured_by:
            before = columns["measured_by"][one.row]
            known = before.split("+") if before else []
            columns["measured_by"][one.row] = "+".join(dict.fromkeys([*known, measured_by]))
    columns["inclusion"] = [None if np.isnan(value) else float(value) for value in inclusion]
    return traffic.with_columns(columns), kept


def _export(
    export: Path, labelled: Traffic, ready: Prepared, options: LabelOptions, begun: int
) -> int:
    """Write pairs for people; return how many."""
    rows = [one.row for one in ready.requests[:begun] if len(one.answers) == len(BOTH)]
    if options.judge != PEOPLE:
        rows = rows[:_EXPORTED]  # in the order of the purchase, which is one of chance
    return write_hand_off(export, labelled, rows, seed=options.seed, overwrite=True).pairs


def _advised(report: PurchaseReport, labelled: Traffic, options: LabelOptions) -> PurchaseReport:
    try:
        return replace(report, advice=advise(labelled, seed=options.seed))
    except DifficultyError as error:  # such as labels of one kind: what was paid for stands
        return replace(report, no_advice=str(error))


def _write(labelled: Traffic, report: PurchaseReport, out: Path) -> None:
    with scratch_beside(out) as scratch:
        labelled.write(scratch / out.name)
        _write_notes(report, out)
        move_into_place(scratch / out.name, out, durable=True)


def _write_notes(report: PurchaseReport, out: Path) -> None:
    with whole_file(summary_path(out)) as file:
        file.write(json.dumps(report.as_dict(), indent=2, ensure_ascii=False) + "\n")
