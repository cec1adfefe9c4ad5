"""Where another bundle sends the requests of a log: by their texts, or by the logged scores where
the scorer is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.bundle import Bundle, Policy
from difficulty.bundle.store import ANSWER_GRAPH
from difficulty.errors import BundleError, LogError, TrafficError
from difficulty.metrics.arrays import FloatArray
from difficulty.replay.other_rule import BY_SCORE, IN_SESSION, in_session
from difficulty.runtime.golden import checked_router
from difficulty.runtime.rule import after_scoring, before_scoring
from difficulty.stages.ingest import ingest
from difficulty.stages.judging import serve
from difficulty.stages.overlap import overlap_of
from difficulty.text import quantity_text
from difficulty.traffic.table import Traffic

SCORER_FILES = ("scorer.onnx", "tokenizer.json")
_SENT = {"cheap": 0.0, "frontier": 1.0}
_SCORABLE = (*BY_SCORE, IN_SESSION, "unfamiliar", "easy_task", "hard_task")
"""Reasons of requests that another policy may decide by their score."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BundleOpinion:
    """What a bundle says of the requests of a log, arrays of shape (n,).

    Attributes
    ----------
    sent : ndarray
        1 where its rule names the frontier route, 0 where the cheap one, NaN where that is not
        known.
    p_cheap_fails, p_frontier_fails : ndarray
        NaN where it gives none.
    answer_score : ndarray or None
        What its check says of the cheap answers, NaN where there is none to check; None: it has no
        check, or its scores are the logged ones.
    seen : ndarray of bool
        Requests that the bundle was made from.
    without_text : ndarray of bool
        Requests of which the text is not there.
    notes : tuple of str
    """

    sent: FloatArray
    p_cheap_fails: FloatArray
    p_frontier_fails: FloatArray
    answer_score: FloatArray | None
    seen: NDArray[np.bool_]
    without_text: NDArray[np.bool_]
    notes: tuple[str, ...]

    @property
    def is_usable(self) -> NDArray[np.bool_]:
        """Which requests it has an opinion on, and was not made from."""
        return ~(self.seen | self.without_text)


def score_log(
    bundle: Bundle, ids: Sequence[str], logs: Sequence[Path], traffic_path: Path | None
) -> BundleOpinion:
    """Score the texts of a log, or of a traffic file with the same ids.

    Parameters
    ----------
    bundle : Bundle
    ids : sequence of n str
        Requests to give an opinion on, in this order.
    logs : sequence of Path
        Logs that keep texts.
    traffic_path : Path, optional
        File written by ``difficulty ingest``, in place of the logs.

    Raises
    ------
    LogError
        If there is no text, or the bundle checks answers and there are none.
    """
    traffic = Traffic.read(traffic_path) if traffic_path else _read_texts(logs)
    router = checked_router(bundle)
    served = serve(
        router.scorer,
        traffic,
        target=bundle.manifest.target,
        early=router.early,
        checker=router.answers if bundle.policy.answer else None,
    )
    places = {name: row for row, name in enumerate(traffic.ids)}
    at = np.array([places.get(name, -1) for name in ids], dtype=np.intp)
    missing = at < 0
    if missing.all():
        raise LogError(
            "the texts must be those of the log's requests: got none of the"
            f" {len(ids):,} ids among {quantity_text(len(traffic), 'text')}. Pass the traffic"
            " that was ingested"
            " from this log, or one with the same ids."
        )

    def column(values: NDArray[Any] | None) -> FloatArray:
        if values is None:
            return np.full(len(at), np.nan)
        return np.where(missing, np.nan, values.astype(np.float64)[at])

    outputs, answer_score, notes = served.scores.outputs, None, []
    if bundle.policy.answer:
        if "answer_score" not in outputs:
            raise LogError(
                f"bundle {bundle.label} checks answers: replaying it needs the cheap answers, and"
                " there are none. Let the log keep them (log_answers), or name the bundle that"
                " decided with --logged-bundle, where the check is the same."
            )
        answer_score = column(outputs["answer_score"])
    if bundle.manifest.request_numbers and not any(traffic.column("tools")):
        notes.append(
            "The scorer reads the tools that a request offers, and the texts come without: requests"
            " are scored as if they offered none."
        )
    overlap = overlap_of(bundle, traffic)
    if overlap.left_out:
        notes.append(
            f"{overlap.note[0].upper()}{overlap.note[1:]}: those requests are not replayed."
        )
    return BundleOpinion(
        sent=column(served.decisions(bundle.policy)),
        p_cheap_fails=column(outputs.get("p_cheap_fails")),
        p_frontier_fails=column(outputs.get("p_frontier_fails")),
        answer_score=answer_score,
        seen=np.where(missing, False, overlap.seen[at]),
        without_text=missing,
        notes=tuple(notes),
    )


def decide_by_logged_scores(
    bundle: Bundle, logged: Bundle, columns: Mapping[str, NDArray[Any]]
) -> BundleOpinion:
    """Decide by the scores that the log holds, where both bundles have the same scorer.

    Raises
    ------
    BundleError
        If they do not.
    """
    if not same_files(bundle, logged, SCORER_FILES):
        raise BundleError(
            f"scores of {logged.label} say nothing of {bundle.label}: its scorer is another one."
            " Pass the texts with --traffic, or a log that keeps them."
        )
    if bundle.policy.answer and not same_files(bundle, logged, (ANSWER_GRAPH,)):
        raise BundleError(
            f"the check of answers of {bundle.label} is another than that of {logged.label}. Pass"
            " texts and answers with --traffic, or a log that keeps them."
        )
    sent = np.array(
        [
            _decide(bundle.policy, *row)
            for row in zip(
                *(
                    columns[name].tolist()
                    for name in (
                        "task",
                        "tokens",
                        "difficulty_score",
                        "p_cheap_fails",
                        "familiarity",
                        "policy_route",
                        "reason",
                        "threshold",
                    )
                ),
                strict=True,
            )
        ],
        dtype=np.float64,
    )
    none = np.zeros(len(sent), dtype=bool)
    return BundleOpinion(
        sent=sent,
        p_cheap_fails=columns["p_cheap_fails"],
        p_frontier_fails=columns["p_frontier_fails"],
        answer_score=None,
        seen=none,
        without_text=none,
        notes=(
            f"Scores are the logged ones: {logged.label} has the same scorer. Which requests the"
            " bundle was made from is known by their texts alone: none is left out.",
        ),
    )


def within_sessions(
    opinion: BundleOpinion, policy: Policy, columns: Mapping[str, NDArray[Any]]
) -> BundleOpinion:
    """Return the opinion of a bundle that keeps sessions on their model: where a request went on
    with one, its route hangs on steps that the log may not hold.
    """
    if policy.stick is None:
        return opinion  # each request is decided alone, whatever the log's policy did
    ruled = [
        not np.isnan(tokens) and before_scoring(policy, task=task, tokens=int(tokens)) is not None
        for task, tokens in zip(columns["task"].tolist(), columns["tokens"].tolist(), strict=True)
    ]
    # Those too that the log's policy decided by a rule that this one does not have.
    unknown = in_session(columns) & np.isin(columns["reason"].astype(str), _SCORABLE)
    unknown &= ~np.array(ruled, dtype=bool)
    note = (
        "The bundle keeps sessions on their model: requests are taken to begin one where the log"
        " says of no session."
    )
    return replace(
        opinion, sent=np.where(unknown, np.nan, opinion.sent), notes=(*opinion.notes, note)
    )


def keep_ineligible(opinion: BundleOpinion, columns: Mapping[str, NDArray[Any]]) -> BundleOpinion:
    """Return the opinion with the route that the log's rule gave to what a model could not take:
    images and other media, room and places of a body are in no text.
    """
    kept = (columns["reason"].astype(str) == "ineligible") & opinion.is_usable
    if not kept.any():
        return opinion
    routes = np.array([_SENT[route] for route in columns["policy_route"][kept].tolist()])
    sent = opinion.sent.copy()
    sent[kept] = routes
    note = (
        f"{quantity_text(n := int(kept.sum()), 'request')} that a model could not take"
        f" {'keeps its route' if n == 1 else 'keep their routes'}: what was needed is in no text."
    )
    return replace(opinion, sent=sent, notes=(*opinion.notes, note))


def same_files(bundle: Bundle, other: Bundle, names: Sequence[str]) -> bool:
    """Return whether both bundles have some files with the same content."""
    return all(
        name in bundle.files
        and name in other.files
        and bundle.manifest.files[name].sha256 == other.manifest.files[name].sha256
        for name in names
    )


def _decide(
    policy: Policy,
    task: str | None,
    tokens: float,
    score: float,
    p_cheap_fails: float,
    familiarity: float,
    policy_route: str,
    reason: str,
    threshold: float,
) -> float:
    """Return the route of one request; NaN where the log does not hold what it hangs on."""
    if reason == "ineligible":
        return _SENT[policy_route]
    if np.isnan(tokens):
        if task in policy.easy_tasks or task in policy.hard_tasks:
            return np.nan
    elif verdict := before_scoring(policy, task=task, tokens=int(tokens)):
        return _SENT[verdict.route]
    if reason not in _SCORABLE:
        return _SENT[policy_route]  # no score, or a rule of the gateway's own
    if np.isnan(score):
        return np.nan
    verdict = after_scoring(
        policy, task=task, score=score, familiarity=None if np.isnan(familiarity) else familiarity
    )
    # What early exit decided has its small graph's score, which holds for that threshold alone.
    if (
        np.isnan(p_cheap_fails)
        and policy.task_thresholds.get(task or "", policy.threshold) != threshold
    ):
        return np.nan
    return _SENT[verdict.route] if not np.isnan(p_cheap_fails) else _SENT[policy_route]


def _read_texts(logs: Sequence[Path]) -> Traffic:
    """Return the requests of logs that keep texts."""
    with TemporaryDirectory() as scratch:
        out = Path(scratch) / "texts.parquet"
        try:
            ingest(list(logs), out, format="log", near_duplicates=False, allow_rejects=True)
        except TrafficError as error:
            raise LogError(
                "replaying a bundle needs the texts of the log's requests, and none could be read"
                f" ({error!s:.200}). Pass them with --traffic, let the log keep texts (log_texts),"
                " or name the bundle that decided with --logged-bundle, where the scorer is the"
                " same."
            ) from error
        return Traffic.read(out)
