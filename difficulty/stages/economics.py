"""Economics: traffic, a price list and, for the ranking, a bundle -> whether routing pays for this
team.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from difficulty.bundle import Bundle, Policy, read_bundle
from difficulty.economics.analysis import FORMAT, KEEP_CHEAP, POLICY, Economics, Setting, analyse
from difficulty.economics.basis import Basis, Counted, fill_tokens, listed_volume
from difficulty.economics.conditions import Answers
from difficulty.economics.prices import PriceList
from difficulty.economics.usage import Arrivals, Requests, Volume
from difficulty.errors import InvalidValueError, RunError, TooFewSamplesError
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.metrics.arrays import FloatArray
from difficulty.metrics.bootstrap import STANDARD, Resampling
from difficulty.metrics.routing import sent_at_share
from difficulty.recipe import LabelSettings
from difficulty.runtime.answer_checker import AnswerChecker
from difficulty.runtime.scorer import Scorer
from difficulty.stages.deploying.session_steps import judge_sessions, tell_switches
from difficulty.stages.judging import Picked, catch_rate, pick_unseen, serve, weighed
from difficulty.stages.overlap import threshold_rows
from difficulty.storage import on_urls, whole_file
from difficulty.text import quantity_text
from difficulty.traffic.table import Traffic
from difficulty.training.run import notes_of

_CHARACTERS_A_TOKEN = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a user asks of the economics.

    Attributes
    ----------
    keep_cheap : float or None
        Share of the requests to keep on the cheap model, in (0, 1]: the simplest ones by score. It
        is what the answer is about where there is no policy, else a comparison.
    volume : Volume or None
        Requests a month; without, the price list's.
    answers : Answers
        What only the team can say; a catch rate that is not given is the policy's.
    today : date or None
        Day on which prices are looked at; today when not given.
    resampling : Resampling
    """

    keep_cheap: float | None = None
    volume: Volume | None = None
    answers: Answers = Answers()
    today: date | None = None
    resampling: Resampling = STANDARD

    def __post_init__(self) -> None:
        if self.keep_cheap is not None and not 0.0 < self.keep_cheap <= 1.0:
            raise InvalidValueError(
                "share to keep cheap",
                self.keep_cheap,
                rule="be in (0, 1]",
                hint="Shares are fractions, not percentages.",
            )


@on_urls
def weigh_up(
    traffic_path: Path, prices: PriceList, question: Question, *, bundle_path: Path | None = None
) -> Economics:
    """Return the economics of routing a team's traffic.

    With a bundle they are those of its policy, judged on requests that training has not seen.
    Without one nothing ranks the requests: the share to keep has to be said, those that are kept
    are taken at random, and the figures say so.

    Raises
    ------
    InvalidValueError
        If nobody says how many requests a month come or, without a bundle, how many to keep.
    TooFewSamplesError
        If the traffic holds no request that training has not seen.
    """
    if bundle_path is None and question.keep_cheap is None:
        raise InvalidValueError(
            "share to keep cheap",
            None,
            rule="be given where no bundle decides",
            hint="Pass --bundle, or --keep-cheap 0.3 for 30 % of the requests, at random.",
        )
    traffic = Traffic.read(traffic_path)
    _need_volume(traffic, prices, question)
    return (
        _ranked(traffic, prices, question, bundle_path)
        if bundle_path
        else _at_random(traffic, prices, question)
    )


def _need_volume(traffic: Traffic, prices: PriceList, question: Question) -> None:
    """Refuse to answer for a month of which nobody said how many requests it has."""
    if question.volume or listed_volume(prices.traffic):
        return
    arrivals, seen = Arrivals.of(traffic.column("timestamp"), traffic.split_groups), ""
    if arrivals.volume:
        low, high = arrivals.volume
        # Told, not taken: labelled traffic is nearly always a sample of what comes.
        seen = (
            f" The {quantity_text(len(traffic), 'request')} of the file alone would be"
            f" {low:,.0f} to {high:,.0f} a month: right only where they are all that came."
        )
    raise InvalidValueError(
        "requests per month",
        None,
        rule="be given, as a saving depends on it",
        hint=(
            "Pass --requests-per-month N or LOW-HIGH, or set requests_per_month in [traffic] of"
            f" the price list.{seen}"
        ),
    )


def _ranked(
    traffic: Traffic, prices: PriceList, question: Question, bundle_path: Path
) -> Economics:
    bundle = read_bundle(bundle_path)
    picked = pick_unseen(bundle, traffic, needs="economics needs requests")
    scorer, target = Scorer.from_bundle(bundle), bundle.manifest.target
    checker = AnswerChecker.from_bundle(bundle, scorer)
    served = serve(scorer, picked.traffic, target=target, checker=checker)
    table = served.under_policy(bundle.policy)
    economics = economics_of(table, picked.traffic, traffic, bundle.policy, prices, question)
    switches = (
        *tell_switches(served, bundle.policy, prices.per_token),
        *judge_sessions(served, bundle.policy, prices.per_token).notes,
    )
    notes = (*_which(picked, traffic, bundle), *picked.notes, *economics.notes, *switches)
    return replace(economics, notes=notes)


def _at_random(traffic: Traffic, prices: PriceList, question: Question) -> Economics:
    if not len(traffic):
        raise TooFewSamplesError("economics needs requests: got none. Pass other traffic.")
    picked, logged = weighed(traffic, LabelSettings())
    assert question.keep_cheap is not None  # asked for by weigh_up
    plans = {KEEP_CHEAP: np.full(len(traffic), 1.0 - question.keep_cheap)}
    unknown = np.full(len(traffic), np.nan)
    # Equal scores: nothing ranks the requests, so a plan keeps each with the same probability.
    alike = ScoredTraffic(
        difficulty_score=np.zeros(len(traffic)),
        outcomes=picked.outcomes,
        groups=np.asarray(picked.split_groups),
        tasks=picked.tasks,
        cheap_cost=unknown,
        frontier_cost=unknown,
    )
    characters = [
        sum(len(message["content"]) for message in messages) for messages in traffic.messages()
    ]
    counted = Counted(
        np.array(characters) / _CHARACTERS_A_TOKEN,
        f"as their characters by {_CHARACTERS_A_TOKEN:g}",
    )
    basis = Basis(
        {
            "score": (
                "the requests that are kept are taken at random, as there is no bundle that ranks"
                " them (--bundle)"
            )
        }
    )
    case = _Case(
        scored=alike, picked=picked, whole=traffic, plans=plans, counted=counted, basis=basis
    )
    economics = _analysed(case, prices, question)
    return replace(economics, notes=(*notes_of(logged), *economics.notes))


def _which(picked: Picked, traffic: Traffic, bundle: Bundle) -> Iterator[str]:
    """Say which requests count, and what is wrong with them."""
    n, n_all, overlap = len(picked.traffic), len(traffic), picked.overlap
    if overlap.warning:
        yield f"Warning: {overlap.warning}"
    elif overlap.splits is None:
        which = f"All {n:,}" if n == n_all else f"{n:,} of {n_all:,}"
        yield f"{which} requests count: {overlap.note}."
    else:
        yield (
            f"The bundle was trained on this traffic: figures are of the {n:,} requests of its test"
            f" split, out of {n_all:,}."
        )
    if chose := threshold_rows(bundle, traffic, picked.traffic):
        yield (
            f"Warning: the threshold was chosen on {chose:,} of these requests, so the policy's"
            " figures flatter it."
        )


def economics_of(
    scored: ScoredTraffic,
    picked: Traffic,
    whole: Traffic,
    policy: Policy,
    prices: PriceList,
    question: Question,
) -> Economics:
    """Return the economics of requests that are scored already.

    Parameters
    ----------
    scored : ScoredTraffic
        Scores and outcomes of the requests, with the policy's routes.
    picked : Traffic
        The same requests.
    whole : Traffic
        The traffic they were picked from: it tells how many requests come, and when.
    policy : Policy
        The bundle's, which the answer is about.
    prices : PriceList
    question : Question
    """
    assert scored.sent is not None  # a policy routes every request
    plans = {POLICY: scored.sent}
    if question.keep_cheap is not None:
        # A share of requests: the weights of logged outcomes do not count requests.
        requests = scored.outcomes.weight * scored.outcomes.per_request
        plans[KEEP_CHEAP] = sent_at_share(
            scored.difficulty_score, 1.0 - question.keep_cheap, weight=requests
        )
    answers = question.answers
    if answers.catch_rate is None:
        answers = replace(answers, catch_rate=catch_rate(policy.fallback))
    assert scored.n_tokens is not None
    counted = Counted(scored.n_tokens.astype(np.float64), "by the scorer's tokenizer")
    case = _Case(scored=scored, picked=picked, whole=whole, plans=plans, counted=counted)
    return _analysed(case, prices, replace(question, answers=answers))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Case:
    """Requests, and what is to be done with them."""

    scored: ScoredTraffic
    picked: Traffic
    """The same requests."""
    whole: Traffic
    """The traffic they were picked from."""
    plans: dict[str, FloatArray]
    """Plan, and the probability that it sends each request."""
    counted: Counted
    basis: Basis = Basis()


def _analysed(case: _Case, prices: PriceList, question: Question) -> Economics:
    prices, cached = _with_cached_share(prices, case.picked)
    tokens, filled = fill_tokens(case.picked.tokens, case.counted, prices.traffic)
    scored = replace(case.scored, outcomes=case.scored.outcomes.graded())
    bill = case.picked.bill.frontier
    billed = bool(np.isfinite(bill).any())
    requests = Requests(
        scored=scored, tokens=tokens, plans=case.plans, frontier_bill=bill if billed else None
    )
    setting = Setting(
        # The first is what was asked; what follows is for comparison.
        plan=next(iter(case.plans)),
        keep_cheap=question.keep_cheap,
        answers=question.answers,
        volume=question.volume,
        # Of the whole file: the picked requests are only a part of what comes.
        arrivals=Arrivals.of(case.whole.column("timestamp"), case.whole.split_groups),
        basis=case.basis.with_(assumed=filled.assumed, missing=filled.missing),
        notes=(*cached, *_billed(bill), *_routed_already(case.whole)),
        today=question.today or datetime.now(UTC).date(),
    )
    return analyse(requests, prices, setting, question.resampling)


def _with_cached_share(prices: PriceList, traffic: Traffic) -> tuple[PriceList, tuple[str, ...]]:
    """Return the price list with the share of cached prompt tokens that the traffic says, and a
    sentence about it.
    """
    share = traffic.tokens.cached_share
    if share is None:
        return prices, ()
    said = f"{share:.0%} of the prompt tokens came from the providers' caches, as the traffic says."
    return replace(prices, traffic=replace(prices.traffic, cached_share=share)), (said,)


def _billed(bill: FloatArray) -> tuple[str, ...]:
    """Say for how many requests the frontier model's cost is a bill."""
    n = int(np.isfinite(bill).sum())
    if not n:
        return ()
    return (
        (
            f"Frontier cost is as billed on {n:,} of {quantity_text(len(bill), 'request')};"
            " ways to host the cheap"
            " model are priced by the list."
        ),
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


def write_economics(economics: Economics, path: Path) -> None:
    """Write ``economics.json``; a reader sees the old file or the whole new one."""
    with whole_file(path) as file:
        file.write(
            json.dumps(economics.as_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        )


def read_economics(path: Path) -> dict[str, Any]:
    """Return what ``economics.json`` holds.

    Raises
    ------
    RunError
        If it cannot be read, or is of another format.
    """
    again = "Run 'difficulty economics' again."
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"economics file {str(path)!r} cannot be read: {error}. {again}") from error
    if not isinstance(content, dict) or "format" not in content:
        raise RunError(
            f"economics file {str(path)!r} must hold what 'difficulty economics' writes: got"
            f" something without a format. {again}"
        )
    written = content["format"]
    if written == 1:
        # One plan, a share of the requests; a bundle's own stood beside it.
        return content | {
            "format": FORMAT,
            "plan": KEEP_CHEAP,
            KEEP_CHEAP: content.get("share"),
            "keep_cheap_share": content.get("asked_share"),
        }
    if written != FORMAT:
        raise RunError(f"economics format must be 1 or {FORMAT}: got {written!r}. {again}")
    return content
