"""Where judged requests come from, and what they are judged by: what the honesty checks and
``lineage`` in metrics.json rest on.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from difficulty.bundle import Manifest, Policy
from difficulty.evaluation import Provenance
from difficulty.records import Prices
from difficulty.stages.policy import hash_of_texts
from difficulty.traffic.logged import LoggedReport
from difficulty.traffic.table import Traffic
from difficulty.training.record import RunRecord, library_versions
from difficulty.training.run import Overlap, Run


def provenance_of_run(
    run: Run,
    traffic: Traffic,
    overlap: Overlap,
    *,
    suspicious: int | None,
    logged: LoggedReport | None,
) -> Provenance:
    """Return what a run knows of traffic, by the hashes and ids that it remembers.

    Parameters
    ----------
    run : Run
    traffic : Traffic
        The whole file.
    overlap : Overlap
        Which of its samples training saw; the others are judged.
    suspicious : int or None
        How many of those have suspicious labels; None: not known.
    logged : LoggedReport or None
        What the weights of logged traffic rest on.
    """
    trained = {*run.out_of_fold.ids, *run.calibration.ids} if run.remembers_ids else set()
    own = traffic.data_hash == run.record.training_data
    return Provenance(
        requests=len(traffic),
        own_traffic=own,
        seen=overlap.counts,
        same_ids=sum(traffic.ids[row] in trained for row in np.flatnonzero(~overlap.any))
        if run.remembers_ids
        else None,
        suspicious=suspicious,
        **_logged(logged),
    )


def provenance_of_bundle(
    policy: Policy,
    traffic: Traffic,
    judged: Traffic,
    splits: NDArray[np.str_] | None,
    *,
    logged: LoggedReport | None,
) -> Provenance:
    """Return what a bundle knows of traffic: whether it is that of its training, and whether the
    threshold was chosen on it.

    Parameters
    ----------
    policy : Policy
    traffic, judged : Traffic
        The whole file, and its samples that are judged.
    splits : ndarray of shape (n,) or None
        Split of each sample in training; None for other traffic than the bundle was trained on.
    logged : LoggedReport or None
        What the weights of logged traffic rest on.
    """
    left_out = (
        {f"{name} split": int((splits == name).sum()) for name in ("fit", "calibration", "aside")}
        if splits is not None
        else None
    )
    return Provenance(
        requests=len(traffic),
        own_traffic=splits is not None,
        seen=left_out,
        threshold_rows=_threshold_rows(policy, traffic, judged),
        **_logged(logged),
    )


def judged_by(
    source: RunRecord | Manifest,
    *,
    scorer: Literal["run", "bundle"],
    name: str,
    policy: Policy | None,
    judged_data: str,
    judged: int,
    left_out: int,
    prices: Prices | None = None,
) -> dict[str, Any]:
    """Return what metrics.json holds as lineage.

    Parameters
    ----------
    source : RunRecord or Manifest
        Of the scorer.
    scorer : {"run", "bundle"}
    name : str
        Name of the run folder, or name and version of the bundle.
    policy : Policy or None
        By which requests were routed; None: no threshold is chosen yet.
    judged_data : str
        Hash of the traffic that the judged requests are of.
    judged, left_out : int
        How many requests of that traffic were judged, and how many were not.
    prices : Prices, optional
        By which cost was computed.
    """
    chosen = policy.chosen if policy else None
    form = source.as_dict()
    return {
        "scorer": scorer,
        "name": name,
        "recipe": form["recipe"]["name"],
        "target": form["target"],
        "cheap_model": policy.cheap_model if policy else form["cheap_model"],
        "frontier_model": policy.frontier_model if policy else form["frontier_model"],
        "trained": form["created"],
        "training_data": form["training_data"],
        "libraries": form["libraries"],
        "objective": chosen.objective if chosen else None,
        "threshold_data": chosen.calibration_data if chosen else None,
        "threshold_requests": chosen.n if chosen else None,
        "review_date": policy.review_date.isoformat() if policy else None,
        "judged_data": judged_data,
        "judged": judged,
        "left_out": left_out,
        "judged_on": datetime.now(UTC).date().isoformat(),
        "judged_with": library_versions(),
        "prices_of": prices.date if prices else None,
    }


def _threshold_rows(policy: Policy, traffic: Traffic, judged: Traffic) -> int | None:
    """Return how many judged requests the threshold was chosen on, where that is certain: it was
    all of them, or all of the file.
    """
    for chosen_on in (judged, traffic):
        if policy.chosen.n == len(chosen_on) and policy.chosen.calibration_data == hash_of_texts(
            chosen_on
        ):
            return len(judged)
    return None


def _logged(report: LoggedReport | None) -> dict[str, int]:
    return {"selected": report.unknown_policy, "certain": report.certain} if report else {}
