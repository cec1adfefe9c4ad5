"""Economics: traffic, a price list and, for the ranking, a bundle -> whether routing pays for this
team.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from difficulty.bundle import read_bundle
from difficulty.economics.account import Economics
from difficulty.economics.analysis import MAIN_PLAN
from difficulty.economics.basis import Basis, Counted
from difficulty.economics.prices import PriceList
from difficulty.errors import TooFewSamplesError
from difficulty.recipe import LabelSettings
from difficulty.runtime.scorer import Scorer
from difficulty.stages.evaluate import label_settings, training_splits, weighed
from difficulty.stages.priced import Question, analysed, economics_of
from difficulty.stages.scores import score_traffic
from difficulty.stages.scoring import judged
from difficulty.traffic.table import Traffic

_CHARACTERS_A_TOKEN = 4.0


def weigh_up(
    traffic_path: Path, prices: PriceList, question: Question, *, bundle_path: Path | None = None
) -> Economics:
    """Return the economics of routing a team's traffic.

    Of the traffic that the bundle was trained on only the test split counts, but for how many
    requests come, and when. Without a bundle nothing ranks the requests: those that are kept are
    taken at random, and the figures say so.

    Raises
    ------
    TooFewSamplesError
        If the traffic holds no request that training has not seen.
    """
    traffic = Traffic.read(traffic_path)
    return (
        _ranked(traffic, prices, question, bundle_path)
        if bundle_path
        else _at_random(traffic, prices, question)
    )


def _ranked(
    traffic: Traffic, prices: PriceList, question: Question, bundle_path: Path
) -> Economics:
    bundle = read_bundle(bundle_path)
    splits = training_splits(bundle, traffic)
    rows = np.arange(len(traffic)) if splits is None else np.flatnonzero(splits == "test")
    if not len(rows):
        raise TooFewSamplesError(
            f"economics needs requests that training did not see: all {len(traffic):,} were seen."
            " Pass other traffic."
        )
    picked, notes = weighed(traffic.select(rows), label_settings(bundle))
    scores = score_traffic(Scorer.from_bundle(bundle), picked)
    scored = judged(
        picked,
        scores.outputs,
        scores.totals,
        target=bundle.manifest.target,
        prices=None,
        policy=bundle.policy,
    )
    made = economics_of(scored, picked, traffic, bundle.policy, prices, question)
    return replace(made, notes=(_which(len(rows), len(traffic), splits), *notes, *made.notes))


def _at_random(traffic: Traffic, prices: PriceList, question: Question) -> Economics:
    picked, notes = weighed(traffic, LabelSettings())
    plans = {MAIN_PLAN: np.full(len(traffic), question.share)}
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
    made = analysed(picked, traffic, plans, counted, prices, question, hard_share=None, basis=basis)
    return replace(made, notes=(*notes, *made.notes))


def _which(n: int, n_all: int, splits: NDArray[np.str_] | None) -> str:
    if splits is None:
        return (
            f"All {n:,} requests count, as the bundle was trained on other traffic; whether single"
            " ones overlap is not known."
        )
    return (
        f"The bundle was trained on this traffic: figures are of the {n:,} requests of its test"
        f" split, out of {n_all:,}."
    )
