"""What shipping and re-choosing both write: how a threshold was chosen, the policy file and the
golden vectors.
"""

from __future__ import annotations

import json
from hashlib import sha256

import numpy as np

from difficulty.bundle import Chosen, Policy
from difficulty.export.suite import golden_requests
from difficulty.records import OperatingPoint
from difficulty.runtime.golden import golden_rows
from difficulty.runtime.router import Router
from difficulty.runtime.scorer import EarlyScorer, Scorer
from difficulty.thresholds.objective import parse_objective
from difficulty.thresholds.per_task import choose_per_task
from difficulty.thresholds.point import EXPECTED, choose
from difficulty.thresholds.policy_curve import ScoredTraffic
from difficulty.traffic.table import Traffic


def choose_point(
    data: ScoredTraffic, objective: str, *, per_task: bool, n_draws: int, rng: np.random.Generator
) -> OperatingPoint:
    """Return the operating point that meets an objective, over all requests or in each task.

    Raises
    ------
    NotAttainableError
        If no threshold meets it.
    """
    return (choose_per_task if per_task else choose)(
        data, parse_objective(objective), n_draws=n_draws, rng=rng
    )


def chosen_by(point: OperatingPoint, traffic: Traffic) -> Chosen:
    """Return how a threshold was chosen on some traffic; of its texts only one hash is kept."""
    expected = point.as_dict()
    return Chosen(
        objective=point.objective,
        calibration_data=hash_of_texts(traffic),
        n=len(traffic),
        expected={name: expected[name] for name in EXPECTED},
        assumed=point.assumed,
        guarantee=point.guarantee,
    )


def hash_of_texts(traffic: Traffic) -> str:
    """Return the hash by which a policy remembers the requests that its threshold was chosen on,
    whatever their order.
    """
    return sha256("".join(sorted(traffic.text_hashes())).encode()).hexdigest()


def policy_files(
    scorer: Scorer, policy: Policy, *, version: str, early: EarlyScorer | None = None
) -> dict[str, bytes]:
    """Return ``policy.json`` and the golden vectors that a router with this policy gives."""
    rows = golden_rows(Router(scorer, policy, version=version, early=early), golden_requests())
    form = policy.as_dict(
        without=() if policy.early else ("early",)
    )  # readers from before it know no such field
    text = json.dumps(form, indent=2, ensure_ascii=False) + "\n"
    return {
        "policy.json": text.encode(),
        "golden.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode("ascii"),
    }
