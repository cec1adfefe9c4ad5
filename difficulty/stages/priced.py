"""Economics of requests that are scored already: what evaluation and the command of that name
share.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np

from difficulty.bundle import Policy
from difficulty.economics.account import Economics
from difficulty.economics.analysis import MAIN_PLAN, Setting, analyse
from difficulty.economics.basis import Basis, Counted, fill_tokens
from difficulty.economics.conditions import Answers
from difficulty.economics.prices import PriceList
from difficulty.economics.usage import Arrivals, Requests, Volume
from difficulty.errors import InvalidValueError
from difficulty.evaluation.scored import Judged
from difficulty.metrics.arrays import FloatArray
from difficulty.metrics.routing import sent_at_share
from difficulty.stages.scoring import catch_rate
from difficulty.storage import whole_file
from difficulty.traffic.table import Traffic


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
            raise InvalidValueError(
                "share",
                self.share,
                rule="be in (0, 1]",
                hint="Shares are fractions, not percentages.",
            )


def economics_of(
    scored: Judged,
    picked: Traffic,
    whole: Traffic,
    policy: Policy | None,
    prices: PriceList,
    question: Question,
) -> Economics:
    """Return the economics of requests that are scored already.

    Parameters
    ----------
    scored : Judged
        Scores and outcomes of the requests, with the policy's routes.
    picked : Traffic
        The same requests.
    whole : Traffic
        The traffic they were picked from: it tells how many requests come, and when.
    policy : Policy or None
        The bundle's; a run has none, and then nothing is known of fallback and hard tasks.
    prices : PriceList
    question : Question
    """
    sent = scored.sent
    plans = {MAIN_PLAN: 1.0 - _sent_of_simplest(scored, question.share)}
    if sent is not None:
        plans["policy"] = 1.0 - sent
    answers = question.answers
    if answers.catch_rate is None and policy:
        answers = replace(answers, catch_rate=catch_rate(policy.fallback))
    hard = float(np.mean([task in policy.hard_tasks for task in scored.tasks])) if policy else None
    counted = Counted(scored.n_tokens.astype(np.float64), "by the scorer's tokenizer")
    return analysed(
        picked,
        whole,
        plans,
        counted,
        prices,
        replace(question, answers=answers),
        hard_share=hard,
        basis=Basis(),
    )


def analysed(
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
    """Return the economics of plans: which requests of ``picked`` are kept; ``whole`` is the
    traffic they were picked from.
    """
    tokens, found = fill_tokens(picked.tokens, counted, prices.traffic)
    requests = Requests(
        tokens=tokens, outcomes=picked.outcomes, groups=np.asarray(picked.split_groups), plans=plans
    )
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
    return analyse(
        requests,
        prices,
        setting,
        n_draws=question.n_draws,
        rng=np.random.default_rng(question.seed),
    )


def write_economics(economics: Economics, path: Path) -> None:
    """Write ``economics.json``; a reader sees the old file or the whole new one."""
    with whole_file(path) as file:
        file.write(
            json.dumps(economics.as_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        )


def _sent_of_simplest(scored: Judged, share: float) -> FloatArray:
    """Return the probability that each request goes to the frontier model when the simplest
    ``share`` by score is kept.
    """
    outcomes = scored.outcomes
    return sent_at_share(
        scored.difficulty_score, 1.0 - share, weight=outcomes.weight * outcomes.per_request
    )


def _routed_already(traffic: Traffic) -> tuple[str, ...]:
    """Say so where the cheap model answered some requests already."""
    routes = [route for route in traffic.column("route") if route is not None]
    cheap = routes.count("cheap")
    if not cheap:
        return ()
    return (
        (
            f"The cheap model answered {cheap / len(routes):.0%} of the logged requests already;"
            " that is not counted as today's spend."
        ),
    )
