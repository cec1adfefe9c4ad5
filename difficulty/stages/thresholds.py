"""Thresholds: choose the operating point of a bundle again on new traffic, without training, and write the next version."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np

from difficulty.bundle import Bundle, Policy, read_bundle, write_bundle
from difficulty.evaluation import Evaluation, metrics_text
from difficulty.evaluation.result import without_threshold
from difficulty.records import OperatingPoint, Prices
from difficulty.runtime.scorer import Scorer
from difficulty.stages.evaluate import label_settings, score_traffic, training_splits, weighed
from difficulty.stages.policy import chosen_by, policy_files
from difficulty.stages.scoring import scored_traffic
from difficulty.stages.ship import bundle_name
from difficulty.thresholds.point import choose, operating_point, parse_objective
from difficulty.traffic.table import Traffic

__all__ = ["Rechosen", "rechoose"]


class Rechosen(NamedTuple):
    """The new bundle, and both points as the new traffic sees them."""

    bundle: Bundle
    old: OperatingPoint
    new: OperatingPoint


def rechoose(
    bundle_path: Path,
    traffic_path: Path,
    out: Path,
    *,
    objective: str,
    prices: Prices | None = None,
    today: date | None = None,
    n_draws: int = 1000,
    seed: int = 0,
) -> Rechosen:
    """Choose a bundle's threshold on labelled traffic and write a new bundle with the same scorer.

    Of the traffic that the bundle was trained on, only the calibration split is used.

    Raises
    ------
    BundleError
        If the bundle is damaged, or ``out`` exists or is not named ``<name>-<version>``.
    NotAttainableError
        If no threshold meets the objective.
    """
    name, version = bundle_name(out)
    old = read_bundle(bundle_path)
    traffic, notes = weighed(_usable(Traffic.read(traffic_path), old), label_settings(old))
    scorer = Scorer.from_bundle(old)
    outputs, totals, _ = score_traffic(scorer, traffic)
    data = scored_traffic(traffic, outputs, totals, rules=old.policy, prices=prices)
    before = operating_point(
        data, old.policy.threshold, objective=old.policy.chosen.objective, n_draws=n_draws, rng=np.random.default_rng(seed)
    )
    point = choose(data, parse_objective(objective), n_draws=n_draws, rng=np.random.default_rng(seed))
    policy = _policy(old, point, traffic, today=today or datetime.now(UTC).date())
    files = {
        **old.files,
        **policy_files(scorer, policy, version=f"{name}-{version}"),
        "metrics.json": _metrics(old, len(traffic), notes),
        "card.md": _card(old, policy, notes, name=f"{name}-{version}"),
    }
    created = datetime.now(UTC).isoformat(timespec="seconds")
    kept = old.manifest.model_dump(mode="json", exclude={"files", "sha256"})
    return Rechosen(write_bundle(out, files, {**kept, "name": name, "version": version, "created": created}), before, point)


def _usable(traffic: Traffic, bundle: Bundle) -> Traffic:
    """Return the samples to choose on: of the traffic the bundle was trained on, the calibration split alone."""
    splits = training_splits(bundle, traffic)
    return traffic if splits is None else traffic.select(splits == "calibration")


def _policy(old: Bundle, point: OperatingPoint, traffic: Traffic, *, today: date) -> Policy:
    days = old.manifest.recipe["policy"]["review_after_days"]
    changes = {"threshold": point.threshold, "chosen": chosen_by(point, traffic), "review_date": today + timedelta(days=days)}
    return old.policy.model_copy(update=changes)


def _metrics(old: Bundle, n: int, notes: tuple[str, ...]) -> bytes:
    """Return the old figures without those at the old threshold: no traffic is left to judge the new one by."""
    note = f"the threshold was chosen again on {n:,} samples; evaluate the bundle on other traffic"
    figures = without_threshold(Evaluation.from_dict(json.loads(old.files["metrics.json"])), note).noting(
        [f"Of the samples the threshold was chosen on: {sentence}" for sentence in notes]
    )
    return metrics_text(figures).encode()


def _card(old: Bundle, policy: Policy, notes: tuple[str, ...], *, name: str) -> bytes:
    """Return the old card under a heading that says what is new."""
    before = f"{old.manifest.name}-{old.manifest.version}"
    chosen = policy.chosen
    news = (
        f"# {name}\n\nThe scorer of {before} with another threshold: frontier when `difficulty_score > {policy.threshold:.6g}`, chosen by "
        f"`{chosen.objective}` on {chosen.n:,} samples; review it by {policy.review_date.isoformat()}.\n\n"
        + "".join(f"{sentence}\n\n" for sentence in notes)
        + f"What follows is the card of {before}; its threshold, and its figures at that threshold, no longer hold.\n\n---\n\n"
    )
    return news.encode() + old.files["card.md"]
