"""What speaks for and against a bundle on the requests that judge it: where they come from, and the
one verdict. ``evaluate`` and ``thresholds`` say the same of the same requests by it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from difficulty.bundle import Bundle, Manifest, Policy
from difficulty.evaluation import Evaluation, Provenance
from difficulty.evaluation.decision.model_mix import ModelMix
from difficulty.evaluation.decision.money_case import MoneyCase
from difficulty.evaluation.frontiers import MovedFacts
from difficulty.evaluation.verdict import weigh
from difficulty.stages.choosing import expected_of
from difficulty.stages.overlap import BundleOverlap
from difficulty.traffic.logged import LoggedReport
from difficulty.traffic.table import Traffic
from difficulty.training.run import RunRecord


def provenance_of(
    bundle: Bundle,
    judged: Traffic,
    overlap: BundleOverlap,
    *,
    policy: Policy,
    threshold_rows: int | None,
    logged: LoggedReport | None,
    moved: MovedFacts | None,
) -> Provenance:
    """Return where the judged requests come from, as the bundle and the traffic know it.

    Parameters
    ----------
    bundle : Bundle
    judged : Traffic
    overlap : BundleOverlap
        Which requests of the file the bundle has seen.
    policy : Policy
        By which they are routed.
    threshold_rows : int or None
        Judged requests that chose its threshold; ``None``: not known.
    logged : LoggedReport or None
        What logged outcomes rest on.
    moved : MovedFacts or None
        How far the facts about the answers are from those of the check's training.
    """
    return Provenance(
        requests=len(overlap.seen),
        own_traffic=overlap.splits is not None,
        seen=overlap.counts,
        by_chance=overlap.by_chance,
        threshold_rows=threshold_rows,
        checks_answers=policy.answer is not None,
        moved=moved,
        other_models=other_models(bundle.manifest, judged),
        **selection(logged),
    )


def other_models(made_for: RunRecord | Manifest, judged: Traffic) -> tuple[ModelMix, ...]:
    """Return what other models than those of the training have outcomes among the judged."""
    own, named = (made_for.cheap_model, made_for.frontier_model), judged.model_names
    mixes = map(ModelMix.of, ("cheap", "frontier"), own, named)
    return tuple(mix for mix in mixes if mix)


def selection(report: LoggedReport | None) -> dict[str, Any]:
    """Return what of the outcomes an unknown policy selected, by names of :class:`Provenance`."""
    return {"selected": report.unknown_policy, "certain": report.certain} if report else {}


def with_verdict(
    evaluation: Evaluation, policy: Policy | None, *, money: MoneyCase | None = None
) -> Evaluation:
    """Return an evaluation with the verdict on a policy; on a score alone without one."""
    chosen = policy.chosen if policy else None
    verdict = weigh(
        evaluation,
        objective=chosen.objective if chosen else "",
        guarantee=chosen.guarantee if chosen else None,
        expected=expected_of(policy) if policy else None,
        money=money,
    )
    return replace(evaluation, verdict=verdict)
