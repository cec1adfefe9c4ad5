"""Economics: traffic, a price list and, for the ranking, a bundle -> whether routing pays for this team."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from difficulty.bundle import Policy, read_bundle
from difficulty.economics.analysis import MAIN_PLAN, Setting, analyse
from difficulty.economics.basis import Basis, Counted, fill_tokens
from difficulty.economics.options import Answers
from difficulty.economics.prices import PriceList
from difficulty.economics.result import Economics
from difficulty.economics.usage import Requests
from difficulty.economics.volume import Arrivals, Volume
from difficulty.errors import InvalidValueError, TooFewSamplesError
from difficulty.evaluation.judged import Judged
from difficulty.metrics.arrays import FloatArray
from difficulty.metrics.routing import sent_at_share
from difficulty.recipe import LabelSettings
from difficulty.runtime.scorer import Scorer
from difficulty.stages.evaluate import label_settings, score_traffic, training_splits, weighed
from difficulty.stages.route import atomic_lines
from difficulty.stages.scoring import catch_rate, judged
from difficulty.traffic.table import Traffic

__all__ = ["Question", "economics_of", "weigh_up", "write_economics"]

_CHARACTERS_A_TOKEN = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a user asks of the economics.

    Attributes
    ----------
    share : float
        Share of the requests to keep on the cheap model, in (0, 1]: the simplest ones by score.
    volume : Volume or None
        Requests a month; without, the price list's, else what the timestamps give.
    answers : Answers
        What only the team can say; a catch rate that is not given is the policy's.
    today : date or None
        Day on which prices are looked at; today when not given.
    n_draws, seed : int
        Bootstrap draws, and their seed.
    """

    share: float = 0.3
    volume: Volume | None = None
    answers: Answers = Answers()
    today: date | None = None
    n_draws: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise InvalidValueError("share", self.share, rule="be in (0, 1]", hint="Shares are fractions, not percentages.")


def weigh_up(traffic_path: Path, prices: PriceList, question: Question, *, bundle_path: Path | None = None) -> Economics:
    """Return the economics of routing a team's traffic.

    Of the traffic that the bundle was trained on only the test split counts, but for how many requests come, and when. Without a bundle
    nothing ranks the requests: those that are kept are taken at random, and the figures say so.

    Raises
    ------
    TooFewSamplesError
        If the traffic holds no request that training has not seen.
    """
    traffic = Traffic.read(traffic_path)
    return _ranked(traffic, prices, question, bundle_path) if bundle_path else _at_random(traffic, prices, question)


def economics_of(scored: Judged, picked: Traffic, whole: Traffic, policy: Policy, prices: PriceList, question: Question) -> Economics:
    """Return the economics of requests that are scored already.

    Parameters
    ----------
    scored : Judged
        Scores and outcomes of the requests, with the policy's routes.
    picked : Traffic
        The same requests.
    whole : Traffic
        The traffic they were picked from: it tells how many requests come, and when.
    policy : Policy
        The bundle's.
    prices : PriceList
    question : Question
    """
    sent = scored.sent
    plans = {MAIN_PLAN: 1.0 - _sent_of_simplest(scored, question.share)}
    if sent is not None:
        plans["policy"] = 1.0 - sent
    answers = question.answers
    if answers.catch_rate is None:
        answers = replace(answers, catch_rate=catch_rate(policy.fallback))
    hard = float(np.mean([task in policy.hard_tasks for task in scored.tasks]))
    counted = Counted(scored.n_tokens.astype(np.float64), "by the scorer's tokenizer")
    return _analysed(picked, whole, plans, counted, prices, replace(question, answers=answers), hard_share=hard, basis=Basis())


def write_economics(economics: Economics, path: Path) -> None:
    """Write ``economics.json``; a reader sees the old file or the whole new one."""
    with atomic_lines(path) as file:
        file.write(json.dumps(economics.as_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _ranked(traffic: Traffic, prices: PriceList, question: Question, bundle_path: Path) -> Economics:
    bundle = read_bundle(bundle_path)
    splits = training_splits(bundle, traffic)
    rows = np.arange(len(traffic)) if splits is None else np.flatnonzero(splits == "test")
    if not len(rows):
        raise TooFewSamplesError(f"economics needs requests that training did not see: all {len(traffic):,} were seen. Pass other traffic.")
    picked, notes = weighed(traffic.select(rows), label_settings(bundle))
    scores = score_traffic(Scorer.from_bundle(bundle), picked)
    scored = judged(picked, scores.outputs, scores.totals, target=bundle.manifest.target, prices=None, policy=bundle.policy)
    made = economics_of(scored, picked, traffic, bundle.policy, prices, question)
    return replace(made, notes=(_which(len(rows), len(traffic), splits), *notes, *made.notes))


def _at_random(traffic: Traffic, prices: PriceList, question: Question) -> Economics:
    picked, notes = weighed(traffic, LabelSettings())
    plans = {MAIN_PLAN: np.full(len(traffic), question.share)}
    characters = [sum(len(message["content"]) for message in messages) for messages in traffic.messages()]
    counted = Counted(np.array(characters) / _CHARACTERS_A_TOKEN, f"as their characters by {_CHARACTERS_A_TOKEN:g}")
    basis = Basis({"score": "the requests that are kept are taken at random, as there is no bundle that ranks them (--bundle)"})
    made = _analysed(picked, traffic, plans, counted, prices, question, hard_share=None, basis=basis)
    return replace(made, notes=(*notes, *made.notes))


def _analysed(
    picked: Traffic,
    whole: Traffic,
    plans: dict[str, FloatArray],
    counted: Counted,
    prices: PriceList,
    question: Question,
    *,
    hard_share: float | None,
    basis: Basis,
) -> Economics:
    tokens, found = fill_tokens(picked.tokens, counted, prices.traffic)
    requests = Requests(tokens=tokens, outcomes=picked.outcomes, groups=np.asarray(picked.split_groups), plans=plans)
    setting = Setting(
        share=question.share,
        answers=question.answers,
        volume=question.volume,
        arrivals=Arrivals.of(whole.column("timestamp"), whole.split_groups),
        hard_share=hard_share,
        basis=basis.with_(assumed=found.assumed, missing=found.missing),
        notes=_routed_already(whole),
        today=question.today or datetime.now(UTC).date(),
    )
    return analyse(requests, prices, setting, n_draws=question.n_draws, rng=np.random.default_rng(question.seed))


def _sent_of_simplest(scored: Judged, share: float) -> FloatArray:
    """Return the probability that each request goes to the frontier model when the simplest ``share`` by score is kept."""
    outcomes = scored.outcomes
    return sent_at_share(scored.difficulty_score, 1.0 - share, weight=outcomes.weight * outcomes.per_request)


def _which(n: int, n_all: int, splits: NDArray[np.str_] | None) -> str:
    if splits is None:
        return f"All {n:,} requests count, as the bundle was trained on other traffic; whether single ones overlap is not known."
    return f"The bundle was trained on this traffic: figures are of the {n:,} requests of its test split, out of {n_all:,}."


def _routed_already(traffic: Traffic) -> tuple[str, ...]:
    """Say so where the cheap model answered some requests already."""
    routes = [route for route in traffic.column("route") if route is not None]
    cheap = routes.count("cheap")
    if not cheap:
        return ()
    return (f"The cheap model answered {cheap / len(routes):.0%} of the logged requests already; that is not counted as today's spend.",)
