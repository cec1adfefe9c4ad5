"""Thresholds: choose the operating point of a bundle again on new traffic, without training, and write the next version."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np

from difficulty.bundle import Bundle, Chosen, read_bundle, write_bundle
from difficulty.export.suite import golden_requests
from difficulty.records import OperatingPoint, Prices
from difficulty.runtime.golden import golden_rows
from difficulty.runtime.router import Router
from difficulty.runtime.scorer import Scorer
from difficulty.stages.evaluate import score_traffic
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
    """Choose a bundle's threshold on labelled traffic and write a new bundle; scorer, metrics and card stay as they are.

    Raises
    ------
    BundleError
        If the bundle is damaged, or ``out`` exists or is not named ``<name>-<version>``.
    NotAttainableError
        If no threshold meets the objective.
    """
    name, version = bundle_name(out)
    old = read_bundle(bundle_path)
    traffic = Traffic.read(traffic_path)
    scorer = Scorer.from_bundle(old)
    outputs, totals = score_traffic(scorer, traffic)
    data = scored_traffic(traffic, outputs["difficulty_score"], totals, rules=old.policy, prices=prices)
    before = operating_point(
        data, old.policy.threshold, objective=old.policy.chosen.objective, n_draws=n_draws, rng=np.random.default_rng(seed)
    )
    point = choose(data, parse_objective(objective), n_draws=n_draws, rng=np.random.default_rng(seed))
    expected = point.as_dict()
    chosen = Chosen(
        objective=point.objective,
        calibration_data=sha256("".join(sorted(traffic.text_hashes())).encode()).hexdigest(),
        n=len(traffic),
        expected={key: expected[key] for key in ("frontier_share", "quality", "gap_recovered", "cost")},
    )
    start = today or datetime.now(UTC).date()
    days = old.manifest.recipe["policy"]["review_after_days"]
    changes = {"threshold": point.threshold, "chosen": chosen, "review_date": start + timedelta(days=days)}
    policy = old.policy.model_copy(update=changes)
    router = Router(scorer, policy, version=f"{name}-{version}")
    golden = "".join(json.dumps(row) + "\n" for row in golden_rows(router, golden_requests()))
    text = json.dumps(policy.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    files = {**old.files, "policy.json": text.encode(), "golden.jsonl": golden.encode("ascii")}
    created = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = {**old.manifest.model_dump(mode="json", exclude={"files"}), "name": name, "version": version, "created": created}
    return Rechosen(write_bundle(out, files, manifest), before, point)
