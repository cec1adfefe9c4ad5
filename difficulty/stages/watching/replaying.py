"""Replay: the requests of a decision log under another bundle, threshold or rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.bundle import Bundle, Trust
from difficulty.bundle.trusted import read_trusted
from difficulty.decisions import LogReading, read_decisions
from difficulty.errors import InvalidValueError, LogError
from difficulty.metrics.arrays import FloatArray
from difficulty.records import Estimate
from difficulty.replay.exploration_plan import PlanBasis, plan_exploration
from difficulty.replay.logged_sides import COLUMNS, LoggedRequests
from difficulty.replay.other_rule import EXPLORED, cut_at, in_session
from difficulty.replay.outcome_model import deal_folds
from difficulty.replay.replay_page import Places, sum_up
from difficulty.replay.replay_result import ReplayCandidate, ReplayPlan, ReplayResult
from difficulty.replay.replayed_figures import (
    BY_ALL_ESTIMATORS,
    LEAST_OUTCOMES,
    OtherRule,
    Replayed,
    replay,
)
from difficulty.stages.watching.replayed_bundle import (
    SCORER_FILES,
    BundleOpinion,
    decide_by_logged_scores,
    keep_ineligible,
    same_files,
    score_log,
    within_sessions,
)
from difficulty.storage import on_urls
from difficulty.text import quantity_text

_READ = (*COLUMNS, "familiarity")
_DISAGREEING = 4.0
"""Standard errors: a fair log is suspected once in 16,000 times."""
_MOST_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class OtherCuts:
    """Thresholds in place of the logged ones."""

    threshold: float | None = None
    task_thresholds: Mapping[str, float] = field(default_factory=dict)
    answer_threshold: float | None = None

    @property
    def any_given(self) -> bool:
        """Whether there is one."""
        return bool(self.task_thresholds) or (
            (self.threshold, self.answer_threshold) != (None, None)
        )


@on_urls
def replay_log(
    logs: Sequence[Path],
    *,
    bundle_path: Path | None = None,
    cuts: OtherCuts = OtherCuts(),
    outcomes: Sequence[Path] = (),
    traffic_path: Path | None = None,
    logged_bundle_path: Path | None = None,
    since: date | None = None,
    plan_width: float | None = None,
    trust: Trust | None = None,
    out: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> ReplayResult:
    """Say what another bundle, or other thresholds, would have had on logged traffic.

    Parameters
    ----------
    logs : sequence of Path
        Files or folders of decision logs.
    bundle_path : Path, optional
        The bundle to replay; its texts are those of the log, of ``traffic_path``, or not needed
        where ``logged_bundle_path`` has the same scorer.
    cuts : OtherCuts
        In place of a bundle.
    outcomes : sequence of Path
        Late outcomes, joined by id.
    traffic_path : Path, optional
        File written by ``difficulty ingest`` with the texts of the log's requests.
    logged_bundle_path : Path, optional
        The bundle that decided; only its requests are replayed.
    since : date, optional
        Only requests of this day (UTC) and later are replayed, such as those since exploration was
        switched on.
    plan_width : float, optional
        Wanted width of the interval of the difference of quality, above 0.
    trust : Trust, optional
        Whose signature bundles must bear.
    out : Path, optional
        Folder that the result goes to, for the command that comes next.
    progress : callable, optional
        Told what is being done, in a few words.

    Raises
    ------
    InvalidValueError
        If not exactly one of a bundle and cuts is given, or a number is out of its range.
    LogError
        If the log holds no request that can be replayed.
    """
    _check_wanted(bundle_path, cuts, plan_width)
    say = progress or (lambda _: None)
    bundle = read_trusted(bundle_path, trust) if bundle_path else None
    decided = read_trusted(logged_bundle_path, trust) if logged_bundle_path else None
    say("reading the log")
    with read_decisions(list(logs), outcomes=list(outcomes)) as table:
        reading, events = table.reading, table.arrays(_READ)
        days = _days(table.query("SELECT min(time) AS a, max(time) AS b FROM decisions"))
    picked = _Picked.of(events, by_cuts=bundle is None, decided=decided, since=since)
    opinion = None
    if bundle is None:
        sent = cut_at(picked.columns, cuts.threshold, cuts.task_thresholds)
        rule = OtherRule(sent=sent, answer_threshold=cuts.answer_threshold)
    else:
        say("deciding as the bundle would")
        opinion = _opinion_of(bundle, decided, picked.columns, logs, traffic_path)
        picked, opinion = picked.left_by(opinion), _at(opinion, opinion.is_usable)
        answer = bundle.policy.answer
        rule = OtherRule(sent=opinion.sent, answer_threshold=answer.threshold if answer else None)
    columns = picked.columns
    log = _requests_of(columns, bundle, opinion)
    p_fails = (
        (columns["p_cheap_fails"], columns["p_frontier_fails"])
        if opinion is None
        else (opinion.p_cheap_fails, opinion.p_frontier_fails)
    )
    say("replaying")
    replayed = replay(log, rule, p_fails, deal_folds(_group_names(columns)))
    return _result(
        _Sources(
            reading=reading,
            picked=picked,
            log=log,
            rule=rule,
            replayed=replayed,
            candidate=_candidate(bundle, cuts),
            notes=opinion.notes if opinion else (),
            per_day=reading.events / days if days else None,
            with_check=rule.answer_threshold is not None,
        ),
        plan_width,
        Places(logged_bundle_path, out),
    )


def _check_wanted(bundle_path: Path | None, cuts: OtherCuts, plan_width: float | None) -> None:
    """Refuse what is neither a bundle nor cuts, or both, and a width that is none."""
    if (bundle_path is None) != cuts.any_given:
        raise InvalidValueError(
            "replay",
            "both" if bundle_path else "neither",
            rule="get a bundle or a threshold",
            hint="Pass --bundle NEW, or --threshold T.",
        )
    if plan_width is not None and not 0.0 < plan_width < 1.0:
        raise InvalidValueError(
            "plan", plan_width, rule="be a width of quality in (0, 1)", hint="Pass 0.02."
        )


def _opinion_of(
    bundle: Bundle,
    decided: Bundle | None,
    columns: Mapping[str, NDArray[Any]],
    logs: Sequence[Path],
    traffic_path: Path | None,
) -> BundleOpinion:
    """Return what a bundle would decide: by the logged scores where they are its own."""
    by_logged = (
        decided is not None and traffic_path is None and same_files(bundle, decided, SCORER_FILES)
    )
    opinion = (
        decide_by_logged_scores(bundle, decided, columns)
        if by_logged and decided is not None
        else score_log(bundle, columns["id"].tolist(), logs, traffic_path)
    )
    return keep_ineligible(within_sessions(opinion, bundle.policy, columns), columns)


def _requests_of(
    columns: Mapping[str, NDArray[Any]], bundle: Bundle | None, opinion: BundleOpinion | None
) -> LoggedRequests:
    """Return the logged requests, their answers checked by the bundle where it has a check."""
    falls_back = bundle.policy.fallback.on_validation_failure if bundle else True
    log = LoggedRequests.of(columns, falls_back=falls_back)
    if opinion is None or opinion.answer_score is None:
        return log
    return log.rechecked(opinion.answer_score)


def _group_names(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.object_]:
    """Return the group of each request; one without a group is its own."""
    groups = columns["group"].tolist()
    return np.array(
        [row if name is None else name for row, name in enumerate(groups)], dtype=object
    )


@dataclass(frozen=True, eq=False)
class _Picked:
    """The requests of a log that can be replayed, and how many cannot, by why."""

    columns: Mapping[str, NDArray[Any]]
    left_out: Mapping[str, int]
    bundle_versions: Mapping[str, int]

    @classmethod
    def of(
        cls,
        columns: Mapping[str, NDArray[Any]],
        *,
        by_cuts: bool,
        decided: Bundle | None,
        since: date | None,
    ) -> _Picked:
        versions = columns["bundle_version"]
        propensity = columns["propensity"]
        keep = np.ones(len(versions), dtype=bool)
        left_out = {}
        wanted = decided.label if decided else (versions[-1] if by_cuts else None)
        if wanted is not None:
            # Scores of two scorers have no threshold in common; the last event is the newest.
            keep = np.asarray(versions == wanted, dtype=bool)
            left_out["foreign_bundle"] = int((~keep).sum())
        if since is not None:
            early = keep & (columns["day"] < np.datetime64(since, "D"))
            left_out["too_early"] = int(early.sum())
            keep &= ~early
        unknown = keep & np.isnan(propensity)
        left_out["without_propensity"] = int(unknown.sum())
        keep &= ~unknown
        if not keep.any():
            raise LogError(
                f"replaying needs requests with a propensity, decided by {wanted or 'a bundle'}:"
                f" got none of {len(versions):,} ({_told(left_out)}). Name the bundle that decided"
                " with --logged-bundle, or check what wrote the log."
            )
        return cls(columns, left_out, {}).at(keep)

    def at(self, keep: NDArray[np.bool_]) -> _Picked:
        columns = {name: values[keep] for name, values in self.columns.items()}
        names, counts = np.unique(columns["bundle_version"].astype(str), return_counts=True)
        return _Picked(
            columns, self.left_out, dict(zip(names.tolist(), counts.tolist(), strict=True))
        )

    def left_by(self, opinion: BundleOpinion) -> _Picked:
        """Return those that a bundle has an opinion on and was not made from."""
        keep = opinion.is_usable
        left_out = dict(self.left_out) | {
            "without_text": int(opinion.without_text.sum()),
            "seen_by_the_bundle": int(opinion.seen.sum()),
        }
        if not keep.any():
            raise LogError(
                "replaying needs requests with a text that the bundle was not made from: got none"
                f" ({_told(left_out)}). Pass a newer log."
            )
        return replace(self, left_out=left_out).at(keep)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sources:
    """What a result is made of."""

    reading: LogReading
    picked: _Picked
    log: LoggedRequests
    rule: OtherRule
    replayed: Replayed
    candidate: ReplayCandidate
    notes: tuple[str, ...]
    per_day: float | None
    with_check: bool


def _result(sources: _Sources, plan_width: float | None, places: Places) -> ReplayResult:
    replayed = sources.replayed
    figures = replayed.figures
    parts = {
        part: {name: getattr(figure, place) for name, figure in figures.items()}
        for part, place in (
            ("overall", "replayed"),
            ("logged", "logged"),
            ("difference", "difference"),
        )
    }
    result = ReplayResult(
        candidate=sources.candidate,
        log=sources.reading.as_dict() | {"bundle_versions": sources.picked.bundle_versions},
        counts=_counts(sources),
        **parts,
        estimators={
            name: {**each, "naive": replayed.naive[name]}
            for name, each in replayed.estimators.items()
        },
        outcomes=replayed.outcomes,
        unsupported={
            name: float(missing.mean())
            if name == "route" or _anything_known(sources, name)
            else 0.0
            for name, missing in replayed.unsupported.items()
        },
        findings=tuple(_findings(sources)),
        assumptions=_assumptions(sources),
        sentence="",
        next_step="",
        plan=None if plan_width is None else _plan(sources, plan_width),
    )
    sentence, next_step = sum_up(result, places)
    return replace(result, sentence=sentence, next_step=next_step)


def _anything_known(sources: _Sources, name: str) -> bool:
    return bool(any(part.known.any() for part in sources.replayed.weighed[name]))


def _counts(sources: _Sources) -> dict[str, int]:
    log, sent = sources.log, sources.rule.sent
    apart = ~np.isnan(sent) & (sent != log.rule_sent)
    return {
        "events": sources.reading.events,
        "requests": len(log),
        "groups": int(log.groups.max()) + 1,
        **{f"left_out_{name}": n for name, n in sources.picked.left_out.items()},
        "sent_apart": int(apart.sum()),
        "route_unknown": int(np.isnan(sent).sum()),
        "explored": int((log.sent != log.rule_sent).sum()),
        "certain": int((np.where(log.sent, log.p_sent, 1.0 - log.p_sent) >= 1.0).sum()),
        "shadow_calls": int((log.cheap_shadow | log.frontier_shadow).sum()),
        "fallbacks": int((log.refused & ~log.sent).sum()),
        "escalations": int(log.escalated.sum()),
        "with_quality": int((~np.isnan(log.cheap_quality) | ~np.isnan(log.frontier_quality)).sum()),
        "with_cheap_quality": int((~np.isnan(log.cheap_quality)).sum()),
        "with_frontier_quality": int((~np.isnan(log.frontier_quality)).sum()),
        "with_cost": int((~np.isnan(log.cost)).sum()),
    }


def _findings(sources: _Sources) -> list[str]:
    """Return what is wrong, or to be looked at, the gravest first."""
    log, replayed, findings = sources.log, sources.replayed, []
    if not log.sent.any() or log.sent.all():
        side = "frontier" if log.sent.all() else "cheap"
        findings.append(
            f"Every request took the {side} route: of the other one the log says nothing"
            + (" but by shadow calls." if (log.cheap_shadow | log.frontier_shadow).any() else ".")
        )
    with_quality = _anything_known(sources, "quality")
    missing = replayed.unsupported["quality" if with_quality else "route"]
    if missing.any():
        findings.append(_told_support(sources, missing))
    excess = float((log.sent - log.p_sent).sum())
    noise = float(np.sqrt((log.p_sent * (1.0 - log.p_sent)).sum()))
    if abs(excess) > _DISAGREEING * max(noise, 0.5):
        findings.append(
            f"{quantity_text(int(log.sent.sum()), 'request')} took the frontier route where the"
            " propensities"
            f" expect {log.p_sent.sum():,.0f}: they are not those of the policy that routed."
        )
    outcomes, difference = replayed.outcomes["quality"], replayed.figures["quality"].difference
    if difference.value is not None and outcomes < LEAST_OUTCOMES and _moves(sources):
        findings.append(
            f"The difference of quality rests on about {outcomes:.0f} outcomes of large weight:"
            " explore more, or longer (--plan)."
        )
    findings += _disagreements(replayed)
    if not with_quality:
        findings.append(
            "No quality is known: share, cost and fallbacks are replayed alone. Pass --outcomes."
        )
    findings += [f"{text}" for text in sources.notes]
    if told := _told(sources.picked.left_out):
        findings.append(f"Not replayed: {told}.")
    unknown = np.isnan(sources.rule.sent)
    stepping = unknown & in_session(sources.picked.columns)
    if stepping.any():
        findings.append(
            f"The route of {quantity_text(int(stepping.sum()), 'request')} is not known: they"
            " went on with a"
            " session that keeps its model, which another rule would have put on another one"
            " before."
        )
    if (left := int((unknown & ~stepping).sum())) > 0:
        findings.append(
            f"The route of {quantity_text(left, 'request')} is not known: early exit decided"
            " them, and their"
            " full score is not in the log. Replay a bundle with texts instead."
        )
    return findings + list(sources.reading.sentences())


_LEFT_OUT = {
    "foreign_bundle": "decided by another bundle",
    "too_early": "of earlier days",
    "without_propensity": "without a propensity, or with an impossible one",
    "without_text": "without a text",
    "seen_by_the_bundle": "that the bundle was made from",
}


def _told(left_out: Mapping[str, int]) -> str:
    """Return how many events are left out, and why, in words."""
    return ", ".join(f"{n:,} {_LEFT_OUT[name]}" for name, n in left_out.items() if n)


def _moves(sources: _Sources) -> bool:
    return bool((sources.rule.sent != sources.log.rule_sent).any())


def _told_support(sources: _Sources, missing: FloatArray) -> str:
    """Say where support is missing."""
    rows = missing > 0.0
    days = sources.picked.columns["day"][rows]
    versions = sources.picked.columns["bundle_version"][rows]
    names, counts = np.unique(versions.astype(str), return_counts=True)
    order = np.argsort(-counts)[:_MOST_NAMED]
    told = ", ".join(f"{names[place]} {counts[place]:,}" for place in order)
    return (
        f"On {int(rows.sum()):,} of {quantity_text(len(rows), 'request')} ({rows.mean():.1%})"
        " the route asked"
        f" about had no chance to be seen, no shadow call shows it, or no outcome of it is told"
        f" ({days.min()} to {days.max()}; {told}): bounds are given, no value."
    )


def _disagreements(replayed: Replayed) -> list[str]:
    """Return what to say where doubly robust and plain weighting are far apart."""
    findings = []
    for name in BY_ALL_ESTIMATORS:
        kinds = replayed.estimators[name]
        best, plain = kinds["doubly_robust"], kinds["inverse_propensity"]
        if best.value is None or plain.value is None or plain.low is None or plain.high is None:
            continue
        # Twice the interval is nearly four standard errors of the wider one.
        if abs(best.value - plain.value) > plain.high - plain.low > 0.0:
            findings.append(
                f"Estimates of {name.replace('_', ' ')} disagree: {best.value:.4g} corrected,"
                f" {plain.value:.4g} weighted alone. Propensities, or what is assumed of missing"
                " labels, may be wrong."
            )
    return findings


def _assumptions(sources: _Sources) -> tuple[str, ...]:
    log, said = sources.log, []
    said.append("Propensities are those with which the log's policy chose.")
    said.append("A route taken for one request changes no other, and both models stay as they are.")
    known = ~np.isnan(np.where(log.sent, log.frontier_quality, log.cheap_quality))
    if 0 < known.sum() < len(known):
        said.append(
            f"{known.mean():.1%} of the outcomes on the route taken are known. The others are taken"
            " to be missing by chance given route, fallback and fifth of the score."
        )
    if (log.cheap_shadow | log.frontier_shadow).any():
        said.append("Shadow calls were drawn by chance from all requests of a route.")
    if log.refused.any():
        said.append(
            "Validators of the candidate are those of the log: what was refused would be again."
        )
    if sources.with_check and sources.candidate.kind == "threshold":
        said.append("The check of answers is the logged one, at another threshold.")
    said.append("Neither rule explores: figures are those of the rules alone.")
    return tuple(said)


def _plan(sources: _Sources, width: float) -> ReplayPlan:
    replayed, log = sources.replayed, sources.log
    now: Estimate = replayed.figures["quality"].difference
    has_width = now.value is not None and now.low is not None and now.high is not None
    own = (~log.sent, log.sent)
    told = tuple(
        float((~np.isnan(quality[side])).mean()) if side.any() else 1.0
        for side, quality in zip(own, (log.cheap_quality, log.frontier_quality), strict=True)
    )
    # A side of which nothing was ever told will be told of as the other one is.
    most = max(told) or 1.0
    basis = PlanBasis.of(
        replayed.weighed["quality"],
        replayed.weighed["cost"],
        log.groups,
        told=(told[0] or most, told[1] or most),
        open_=np.isin(sources.picked.columns["reason"].astype(str), EXPLORED),
        per_day=sources.per_day,
    )
    return ReplayPlan(
        width=width,
        width_now=now.high - now.low
        if has_width and now.high is not None and now.low is not None
        else None,
        ways=plan_exploration(basis, width),
    )


def _candidate(bundle: Bundle | None, cuts: OtherCuts) -> ReplayCandidate:
    if bundle is None:
        return ReplayCandidate(
            kind="threshold",
            threshold=cuts.threshold,
            task_thresholds=dict(cuts.task_thresholds),
            answer_threshold=cuts.answer_threshold,
        )
    return ReplayCandidate(
        kind="bundle",
        bundle=bundle.label,
        bundle_sha256=bundle.digest,
        threshold=bundle.policy.threshold,
        task_thresholds=dict(bundle.policy.task_thresholds),
        answer_threshold=bundle.policy.answer.threshold if bundle.policy.answer else None,
    )


def _at(opinion: BundleOpinion, keep: NDArray[np.bool_]) -> BundleOpinion:
    return replace(
        opinion,
        sent=opinion.sent[keep],
        p_cheap_fails=opinion.p_cheap_fails[keep],
        p_frontier_fails=opinion.p_frontier_fails[keep],
        answer_score=None if opinion.answer_score is None else opinion.answer_score[keep],
        seen=opinion.seen[keep],
        without_text=opinion.without_text[keep],
    )


def _days(times: Mapping[str, NDArray[Any]]) -> float | None:
    """Return how many days the log covers; ``None`` for less than an hour."""
    first, last = times["a"][0], times["b"][0]
    days = float((last - first) / np.timedelta64(1, "D"))
    return days if days > 1.0 / 24.0 else None
