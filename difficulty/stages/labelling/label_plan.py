"""The plan of a purchase: which requests may be labelled, what one costs, how many the budget buys,
and which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.bundle import Bundle, read_bundle
from difficulty.economics.prices import PriceList
from difficulty.errors import TooFewSamplesError, TrafficError
from difficulty.form import Record
from difficulty.labelling.budget import Budget
from difficulty.labelling.buying import Shop
from difficulty.labelling.journal import PurchaseJournal
from difficulty.labelling.model_calls import ModelCaller, same_model
from difficulty.labelling.selection import RANDOM_SHARE, ChosenRequests, choose_requests
from difficulty.labelling.verdicts import PROMPT_VERSION
from difficulty.metrics.arrays import FloatArray
from difficulty.routes import Route
from difficulty.stages.deploying.traffic_scores import quick_scorer, score_traffic
from difficulty.stages.labelling.answer_judges import (
    BOTH,
    EXACT,
    AnswerJudge,
    RequestToLabel,
    read_references,
)
from difficulty.stages.labelling.label_jobs import LabelJob, requests_of
from difficulty.stages.labelling.label_models import (
    LabelModels,
    LabelOptions,
    pick_judge,
    pick_models,
)
from difficulty.traffic.table import Traffic

_USUAL_ANSWER_TOKENS = 300.0
_USUAL_VERDICT_TOKENS = 120.0
_PROMPT_OF_JUDGE_TOKENS = 280.0
_BYTES_A_TOKEN = 4.0  # of English text, for what is expected; the worst case takes one


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LabelPlan(Record):
    """What is to be bought."""

    requests: int
    eligible: int
    """Requests that could be labelled."""
    left_out: dict[str, int]
    """Why others could not, with their number."""
    chosen: tuple[str, ...]
    """What is chosen, and why."""
    to_buy: dict[str, int]
    """Answers of ``cheap`` and ``frontier`` and verdicts of ``judge`` that are not there yet."""
    expected_usd: float
    """What is likely to be spent from now on."""
    expected_answer_tokens: dict[str, float]
    basis: str
    """What that rests on."""
    worst_request_usd: float
    """Most that a single one of the requests may cost."""
    budget_usd: float
    spent_usd: float
    """By earlier runs of the same command."""
    judge: str
    resumed: bool
    other_judge: bool
    """Whether the journal is of a purchase with another judge: the models' answers in it are not
    bought again.
    """
    journal: str


class Prepared(NamedTuple):
    """All that a purchase needs."""

    traffic: Traffic
    models: LabelModels
    judge: AnswerJudge
    choice: ChosenRequests
    requests: list[RequestToLabel]
    plan: LabelPlan
    settings: dict[str, Any]
    """What must be the same when the command is run again."""


def prepare(
    traffic: Traffic,
    options: LabelOptions,
    prices: PriceList | None,
    bundle_path: Path | None,
    journal: PurchaseJournal,
) -> Prepared:
    """Return what is to be bought, which requests, and by whom they are judged.

    Raises
    ------
    TooFewSamplesError
        If no request can be labelled, or not one for the budget.
    TrafficError
        If the journal is of another purchase.
    """
    budget = Budget(options.budget_usd)  # a budget that is none is refused first
    models = pick_models(options, prices)
    bundle = read_bundle(bundle_path) if bundle_path else None
    judge = pick_judge(options, models, bundle)
    references = (
        read_references(traffic.column("extra"), options.reference)
        if options.judge == EXACT
        else None
    )
    eligible, left_out = _eligible(traffic, options, judge, references)
    if not eligible.any():
        reasons = "; ".join(f"{n:,} {reason}" for reason, n in left_out.items())
        raise TooFewSamplesError(
            f"there must be requests to label: none of {len(traffic):,} is one, {reasons}. Pass"
            " other traffic, or name the models as the traffic does."
        )
    expected = _Expected.of(traffic, models, judge)
    usd = expected.usd(traffic, eligible)
    n = _how_many(options, budget, usd, eligible, journal)
    choice = _choose(traffic, n, eligible, options, bundle)
    requests = requests_of(traffic, choice.rows, references)
    shop = Shop(ModelCaller(), budget, journal)
    jobs = [LabelJob(request, models, judge) for request in requests]
    worst = max((job.worst_usd(shop) for job in jobs), default=0.0)
    settings = _settings(traffic, choice, options)
    _refuse_another(journal, settings)
    other_judge = journal.plan is not None and _differ(journal.plan, settings) != []
    left = options.budget_usd - journal.spent_usd
    begins = journal.plan is None or other_judge
    if jobs and begins and (first := jobs[0].worst_usd(shop)) > max(left, 0.0):
        spent = (
            f", of which {journal.spent_usd:.4f} USD went for what is in the journal"
            if journal.spent_usd
            else ""
        )
        raise TooFewSamplesError(
            f"the budget must cover a request at its worst: it may cost {max(first, worst):.4f} USD"
            f" with answers of {options.max_tokens:,} tokens, and the budget is"
            f" {options.budget_usd:g} USD{spent}. Raise it, or lower --max-tokens."
        )
    plan = LabelPlan(
        requests=len(requests),
        eligible=int(eligible.sum()),
        left_out=left_out,
        chosen=choice.sentences,
        to_buy=_to_buy(jobs, judge, shop),
        expected_usd=float(usd[choice.rows].sum()) - expected.known_usd(traffic, jobs, shop),
        expected_answer_tokens={side: round(expected.answer[side], 1) for side in BOTH},
        basis=expected.basis,
        worst_request_usd=worst,
        budget_usd=options.budget_usd,
        spent_usd=journal.spent_usd,
        judge=options.judge,
        resumed=journal.plan is not None,
        other_judge=other_judge,
        journal=str(journal.path),
    )
    return Prepared(traffic, models, judge, choice, requests, plan, settings)


def _eligible(
    traffic: Traffic, options: LabelOptions, judge: AnswerJudge, references: list[str | None] | None
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Return which requests may be labelled, and why others may not."""
    outcomes = traffic.outcomes
    known = outcomes.gain if "frontier" in judge.sides else outcomes.cheap_quality
    reasons = {"have an outcome": ~np.isnan(known)}
    chosen = np.array([value is not None for value in traffic.column("inclusion")], dtype=bool)
    reasons["were chosen in an earlier round"] = chosen
    for side in BOTH:
        name = getattr(options, side)
        models = traffic.column(f"{side}_model")
        other = [model is not None and not same_model(model, name) for model in models]
        reasons[f"have a {side} model other than {name}"] = np.array(other, dtype=bool)
    if references is not None:
        reasons["have no reference"] = np.array([text is None for text in references], dtype=bool)
    eligible, left_out = np.ones(len(traffic), dtype=bool), {}
    for reason, rows in reasons.items():
        if n := int((eligible & rows).sum()):
            left_out[reason] = n
        eligible &= ~rows
    return eligible, left_out


@dataclass(frozen=True, slots=True)
class _Expected:
    """What a request is likely to cost."""

    models: LabelModels
    judge: AnswerJudge
    answer: Mapping[Route, float]
    """Tokens of an answer."""
    basis: str

    @classmethod
    def of(cls, traffic: Traffic, models: LabelModels, judge: AnswerJudge) -> _Expected:
        known = {side: _mean(getattr(traffic.tokens, side)) for side in BOTH}
        said = [value for value in known.values() if value is not None]
        usual = said[0] if said else _USUAL_ANSWER_TOKENS
        basis = (
            "answers as long as those in the traffic"
            if len(said) == len(BOTH)
            else "answers of both models as long as those of the one that is known"
            if said
            else f"answers of {_USUAL_ANSWER_TOKENS:.0f} tokens, a guess"
        )
        tokens = {
            side: min(usual if value is None else value, float(models.of(side).max_tokens))
            for side, value in known.items()
        }
        return cls(models, judge, tokens, basis)

    def usd(self, traffic: Traffic, rows: NDArray[np.bool_]) -> FloatArray:
        """Return what each request is likely to cost, 0 for those that are not asked about."""
        usd = np.zeros(len(traffic))
        missing = {
            side: [answer is None for answer in traffic.column(f"{side}_answer")] for side in BOTH
        }
        for row, messages in enumerate(traffic.each_messages()):
            if not rows[row]:
                continue
            asked = _asked_tokens(traffic, row, messages)
            for side in self.judge.sides:
                if missing[side][row]:
                    usd[row] += self._answer_usd(side, asked)
            if self.models.judge is not None:
                shown = asked + sum(self.answer.values()) + _PROMPT_OF_JUDGE_TOKENS
                price = self.models.judge.price
                usd[row] += self.judge.calls * price.usd(round(shown), round(_USUAL_VERDICT_TOKENS))
        return usd

    def known_usd(self, traffic: Traffic, jobs: Sequence[LabelJob], shop: Shop) -> float:
        """Return what answers would cost that are in the journal."""
        return sum(
            self._answer_usd(side, _asked_tokens(traffic, job.request.row, job.request.messages))
            for job in jobs
            for side in job.missing
            if job.has_bought(side, shop)
        )

    def _answer_usd(self, side: Route, asked: float) -> float:
        return self.models.of(side).price.usd(round(asked), round(self.answer[side]))


def _asked_tokens(traffic: Traffic, row: int, messages: Sequence[Mapping[str, str]]) -> float:
    known = float(traffic.tokens.prompt[row])
    if np.isfinite(known):
        return known
    n_bytes = sum(len(message["content"].encode("utf-8", "replace")) for message in messages)
    return n_bytes / _BYTES_A_TOKEN


def _mean(values: FloatArray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def _how_many(
    options: LabelOptions,
    budget: Budget,
    usd: FloatArray,
    eligible: NDArray[np.bool_],
    journal: PurchaseJournal,
) -> int:
    if options.n is not None:
        return min(options.n, int(eligible.sum()))
    if journal.plan is not None:  # begun with what the budget bought then
        return int(journal.plan["requests"])
    mean = float(usd[eligible].mean())
    most = int(eligible.sum())
    return min(most, max(1, int(budget.limit_usd / mean))) if mean > 0.0 else most


def _choose(
    traffic: Traffic,
    n: int,
    eligible: NDArray[np.bool_],
    options: LabelOptions,
    bundle: Bundle | None,
) -> ChosenRequests:
    scores = threshold = None
    if bundle is not None:
        scores = dict(score_traffic(quick_scorer(bundle, len(traffic)), traffic).outputs)
        threshold = bundle.policy.threshold
    return choose_requests(
        traffic,
        n,
        eligible=eligible,
        scores=scores,
        threshold=threshold,
        seed=options.seed,
        random_share=RANDOM_SHARE if options.random_share is None else options.random_share,
    )


def _to_buy(jobs: Sequence[LabelJob], judge: AnswerJudge, shop: Shop) -> dict[str, int]:
    counts = Counter(side for job in jobs for side in job.missing if not job.has_bought(side, shop))
    return {**{side: counts[side] for side in BOTH}, "judge": judge.calls * len(jobs)}


_OF_JUDGE = ("judge", "judge_max_tokens", "judge_prompt")
"""Settings in which a purchase may differ from the journal's: answers are of the models alone."""


def _settings(traffic: Traffic, choice: ChosenRequests, options: LabelOptions) -> dict[str, Any]:
    ids = [traffic.ids[row] for row in choice.rows]
    return {
        "traffic": traffic.data_hash,
        "cheap": options.cheap,
        "frontier": options.frontier,
        "judge": options.judge,
        "max_tokens": options.max_tokens,
        "judge_max_tokens": options.judge_max_tokens,
        "judge_prompt": PROMPT_VERSION,
        "requests": len(ids),
        "chosen": sha256("\n".join(ids).encode("utf-8", "surrogatepass")).hexdigest(),
    }


def _differ(plan: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    return [name for name, value in settings.items() if plan.get(name) != value]


def _refuse_another(journal: PurchaseJournal, settings: Mapping[str, Any]) -> None:
    if journal.plan is None:
        return
    other = [name for name in _differ(journal.plan, settings) if name not in _OF_JUDGE]
    if other:
        raise TrafficError(
            f"{str(journal.path)!r} is the journal of another purchase: it differs in"
            f" {', '.join(other)}. Run the command as it was begun, or choose another output; only"
            " the judge may be another one."
        )
