"""Thresholds: choose the operating point of a bundle again on new traffic, without training, and
write the next version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from difficulty.bundle import Bundle, Policy, read_bundle, write_bundle
from difficulty.bundle.policy import Early
from difficulty.bundle.seen import SeenFilter, salt_of, seen_bytes
from difficulty.bundle.signature import SigningKey, opened, sign_folder
from difficulty.bundle.store import SEEN
from difficulty.diagnostics.signal import WEAK, Signal, SignalPart, measure_signal
from difficulty.early_exit import exit_sentences, unfit
from difficulty.errors import NoSignalError, SeenTrafficError
from difficulty.evaluation import Provenance, TaskMeans, evaluate, metrics_text
from difficulty.evaluation.result import without_threshold
from difficulty.evaluation.rule_tasks import judge_rule, losing
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.evaluation.verdict import SwitchVerdict
from difficulty.metrics.arrays import FloatArray
from difficulty.metrics.bootstrap import STANDARD, Resampling
from difficulty.recipe import ExportSettings, parse_recipe
from difficulty.records import Estimate, OperatingPoint, Prices
from difficulty.report.page import code, escape_but_code
from difficulty.report.wording import difference_text, figure_text, label_of
from difficulty.runtime.answer_checker import AnswerChecker
from difficulty.runtime.scorer import EarlyScorer, Scorer
from difficulty.stages.choosing import (
    answer_rule,
    beside_early_exit,
    both_scores,
    choose_exits,
    chosen_by,
    chosen_point,
    exit_confidence,
    judge_exits,
    policy_files,
)
from difficulty.stages.deploying.bundle_verdict import provenance_of, with_verdict
from difficulty.stages.deploying.traffic_scores import quick_scorer
from difficulty.stages.judging import (
    Served,
    label_settings,
    moved_facts,
    serve,
    shipped_figures,
    shipped_means,
    weighed,
    without_forms,
)
from difficulty.stages.overlap import BundleOverlap, hash_of_texts, known_keys, overlap_of
from difficulty.stages.ship import bundle_name
from difficulty.storage import on_urls
from difficulty.text import quantity_text
from difficulty.thresholds.point import changes, operating_point
from difficulty.thresholds.policy_curve import Objective, parse_objective
from difficulty.thresholds.promises import refuse_blind
from difficulty.thresholds.ways import BY_COST, WayWanted
from difficulty.traffic.table import Traffic
from difficulty.training.run import notes_of

UNLABELLED = (
    "No outcome of these requests is known: the threshold was chosen by scores alone, and what"
    " quality it gives was not measured."
)
NEEDS_NO_OUTCOME = ("share", "cost")


class Rechosen(NamedTuple):
    """The new bundle, and both points as the new traffic sees them."""

    bundle: Bundle
    old: OperatingPoint
    new: OperatingPoint
    changes: Mapping[str, Estimate]
    """Each figure of the new point minus that of the old one."""
    notes: tuple[str, ...] = ()
    """What the signal is where it is not clear, which tasks of the rule clearly lose, and what
    became of early exit.
    """
    warnings: tuple[str, ...] = ()
    """What is wrong with the traffic."""
    verdict: SwitchVerdict | None = None
    """What 'evaluate' says of the new bundle on the same samples: at the best to judge it on
    others; ``None`` where no outcome is known.
    """


@on_urls
def rechoose(
    bundle_path: Path,
    traffic_path: Path,
    out: Path,
    *,
    objective: str,
    per_task: bool = False,
    catch_rate: float | None = None,
    answer: WayWanted = BY_COST,
    prices: Prices | None = None,
    allow_no_signal: bool = False,
    sign_with: SigningKey | None = None,
    today: date | None = None,
    resampling: Resampling = STANDARD,
) -> Rechosen:
    """Choose a bundle's thresholds on labelled traffic and write a new bundle with the same scorer.

    Of the traffic that the bundle was trained on, only the calibration split is used; of other
    traffic, what ``seen.bin`` names is left out. Thresholds of single tasks are chosen again with
    ``per_task``, and else dropped: the objective holds for what is chosen now. Without a
    ``catch_rate`` that of the bundle stays. Whether answers are checked is chosen anew, or as
    ``answer`` says, where the bundle has a check and the traffic answers. Cut-offs of early exit
    belong to one threshold: they are chosen again on the same traffic, or dropped, and the notes
    say so. A score that carries no
    signal on this traffic is refused, as in shipping, unless ``allow_no_signal``. The old bundle's
    signature is not the new one's: ``sign_with`` is the key to sign it with.

    Raises
    ------
    SigningKeyError
        If the key cannot be used.
    BundleError
        If the bundle is damaged, or ``out`` exists or is not named ``<name>-<version>``.
    SeenTrafficError
        If the scorer learned from all of the traffic.
    NoSignalError
        If nothing in the traffic needed the frontier model, or the score does no better on it than
        chance might.
    NotAttainableError
        If no threshold meets the objective.
    """
    name, version = bundle_name(out)
    sign = partial(sign_folder, key=opened(sign_with)) if sign_with else None
    old = read_bundle(bundle_path)
    unseen, overlap, warnings = usable_samples(Traffic.read(traffic_path), old)
    graded, ungraded = without_forms(unseen, old)
    traffic, logged = weighed(graded, label_settings(old))
    scorer, small = quick_scorer(old, len(traffic)), EarlyScorer.from_bundle(old)
    checker = AnswerChecker.from_bundle(old, scorer)
    served = _served_by(old, scorer, small, checker, traffic, prices)
    # What outcomes are made of comes before what the score says of them.
    if (wanted := parse_objective(objective)).promises:
        refuse_blind(served.scored.outcomes, wanted)
    signal = score_signal(served.scored)
    unlabelled = bool(np.isnan(predicted_outcome(served.scored)).all())
    if unlabelled:
        refuse_unlabelled(wanted)
    needs_check = not (unlabelled or allow_no_signal) and needs_check_of_answers(
        served.scored, signal, answer
    )
    rate = old.policy.fallback.catch_rate if catch_rate is None else catch_rate
    leaves = small is not None and not unfit(
        per_task=per_task, min_familiarity=old.policy.min_familiarity
    )
    data = served.under(
        old.policy,
        catch_rate=rate,
        epsilon=old.policy.exploration.epsilon,
        early_budget=early_budget(old) if leaves else 0.0,
    )
    way = beside_early_exit(answer, leaves=leaves)
    point = chosen_point(data, objective, resampling, per_task=per_task, answer=way)
    if needs_check and point.answer is None:
        # Only the check carries a signal, and the policy would do without it.
        raise _no_signal(signal)
    # The old point is judged anew: its own figures are of other traffic.
    routed = served.thresholds_of(old.policy)
    before = operating_point(data, routed, resampling, objective=old.policy.chosen.objective)
    moved = changes(data, before, point, resampling)
    policy = next_policy(
        old, point, traffic, catch_rate=rate, today=today or datetime.now(UTC).date()
    )
    early, early_notes = exits_again(old, policy, served, objective) if small else (None, ())
    # The rule stays the bundle's, so that a losing one is told and not refused.
    lost = losing(judge_rule(served.under_policy(policy), resampling))
    seen = (UNLABELLED,) if unlabelled else signal.notes
    verdict = None
    if not unlabelled:
        moved_by = moved_facts(checker, served, policy) if checker else None
        provenance = provenance_of(
            old,
            traffic,
            overlap,
            policy=policy,
            threshold_rows=len(traffic),
            logged=logged,
            moved=moved_by,
        )
        verdict = _verdict_on(served, policy, provenance, shipped_means(old), resampling)
    said = (*ungraded, *seen, *(task.sentence for task in lost), *early_notes)
    notes = (*warnings, *notes_of(logged), *said)
    policy = replace(policy, early=early)
    files = {
        # The old files first: those that speak of the threshold are put in their place below.
        **old.files,
        **seen_file(old, traffic),
        **policy_files(scorer, policy, version=f"{name}-{version}", early=small),
        "metrics.json": _metrics(old, len(traffic), notes),
        "card.md": _card(
            old, policy, notes, name=f"{name}-{version}", table=points_table(before, point, moved)
        ),
    }
    manifest = old.next_manifest(name=name, version=version)
    written = write_bundle(out, files, manifest, sign=sign)
    return Rechosen(written, before, point, moved, said, warnings, verdict)


def _verdict_on(
    served: Served,
    policy: Policy,
    provenance: Provenance,
    means: TaskMeans | None,
    resampling: Resampling,
) -> SwitchVerdict | None:
    """Return what an evaluation says of the new policy on the samples that chose it."""
    is_stale = policy.answer is not None and provenance.moved and provenance.moved.is_stale
    evaluation = evaluate(
        served.under_policy(policy, is_stale=bool(is_stale)),
        resampling,
        task_means=means,
        others=served.others,
        provenance=provenance,
    )
    return with_verdict(evaluation, policy).verdict


def _served_by(
    old: Bundle,
    scorer: Scorer,
    small: EarlyScorer | None,
    checker: AnswerChecker | None,
    traffic: Traffic,
    prices: Prices | None,
) -> Served:
    """Return the traffic with all that the bundle's graphs say of it."""
    return serve(
        scorer,
        traffic,
        prices,
        target=old.manifest.target,
        # Cut-offs without a task are chosen on all requests, their tasks hidden (docs/recipes.md).
        without_task=small is not None,
        early=small,
        checker=checker,
    )


def early_budget(old: Bundle) -> float:
    """Return the share of decisions that a bundle's early exit may change."""
    return old.policy.early.budget if old.policy.early else ExportSettings().early_budget


def exits_again(
    old: Bundle, policy: Policy, served: Served, objective: str
) -> tuple[Early | None, tuple[str, ...]]:
    """Choose cut-offs for the new threshold with the old budget, and say what they do."""
    both = both_scores(served, policy)
    early, notes = choose_exits(
        policy, both, budget=early_budget(old), confidence=exit_confidence(objective)
    )
    sentences = exit_sentences(judge_exits(early, both), judged="such") if early else []
    return early, (*notes, *sentences)


def usable_samples(
    traffic: Traffic, bundle: Bundle
) -> tuple[Traffic, BundleOverlap, tuple[str, ...]]:
    """Return the samples to choose on, what the bundle has seen of the traffic, and what to warn
    of: of the training traffic the calibration split alone, of other traffic what training did not
    see.
    """
    overlap = overlap_of(bundle, traffic)
    rows = ~overlap.seen
    if overlap.splits is not None:
        if bundle.manifest.recipe.get("calibration") == "cross":
            raise SeenTrafficError(
                "choosing thresholds needs samples that the scorer did not learn from: this"
                " bundle's learned from the calibration samples of this traffic too. Pass other"
                " labelled traffic, or ship the run again with another --objective."
            )
        rows = overlap.splits == "calibration"
    if not rows.any():
        raise SeenTrafficError(
            "choosing thresholds needs samples that the scorer did not learn from: it learned from"
            f" all {len(traffic):,}. Pass other labelled traffic, or ship the run again with"
            " another --objective."
        )
    return traffic.select(rows), overlap, (overlap.warning,) if overlap.warning else ()


def score_signal(scored: ScoredTraffic, score: FloatArray | None = None) -> Signal:
    """Test a score as training does, on this traffic: the request's, unless another is given."""
    outcomes, tested = scored.outcomes, scored.difficulty_score if score is None else score
    part = SignalPart(
        score=tested,
        outcome=np.where(np.isnan(tested), np.nan, predicted_outcome(scored)),
        weight=outcomes.weight,
        groups=scored.groups,
    )
    return measure_signal([part])


def predicted_outcome(scored: ScoredTraffic) -> FloatArray:
    """Return what the score predicts; where no gain is known, the cheap model's failure."""
    gain = scored.outcomes.gain
    if scored.target == "failure" or np.isnan(gain).all():
        return scored.outcomes.cheap_failure
    return gain


def refuse_unlabelled(wanted: Objective) -> None:
    """Refuse an objective that is about outcomes where none is known."""
    if wanted.name not in NEEDS_NO_OUTCOME:
        raise NoSignalError(
            f"objective {str(wanted)!r} needs requests with outcomes: none of this traffic has any."
            " Pass share=X or cost=USD, which go by scores alone, or add outcomes with 'difficulty"
            " outcomes'."
        )


def needs_check_of_answers(scored: ScoredTraffic, signal: Signal, answer: WayWanted) -> bool:
    """Return whether only the check of answers carries a signal; refuse traffic on which a
    threshold would route no better than chance might.
    """
    outcome = predicted_outcome(scored)
    known = outcome[~np.isnan(outcome)]
    if not (known > 0.0).any():
        lacking = (
            "no failure of the cheap model"
            if scored.target == "failure"
            else "no request that the frontier model answered better"
        )
        raise NoSignalError(
            f"choosing a threshold needs requests of both kinds: {lacking} was seen among"
            f" {len(known):,} with a known outcome. Check what the outcomes were measured by, add"
            " labels, or insist with --allow-no-signal."
        )
    if signal.verdict != "none":
        return False
    checked = None if answer.way == "off" else scored.answer_score
    if checked is None or score_signal(scored, checked).verdict == "none":
        raise _no_signal(signal)
    return True


def _no_signal(signal: Signal) -> NoSignalError:
    return NoSignalError(
        f"choosing a threshold needs a score that carries a signal, p at most {WEAK:g}: on"
        f" {quantity_text(signal.n, 'sample')} of this traffic chance alone does as well with p ="
        f" {signal.p_value:.2g}. Add labels, train on traffic like this, or insist with"
        " --allow-no-signal."
    )


def seen_file(old: Bundle, traffic: Traffic) -> dict[str, bytes]:
    """Return ``seen.bin`` with the samples of this choice in place of the last one's; none where
    the old bundle has none.
    """
    if old.seen is None:
        return {}
    trained = [one for one in old.seen if one.part == "training"]
    salt = salt_of(hash_of_texts(traffic))
    keys = [*chain.from_iterable(known_keys(traffic))]
    chosen = SeenFilter.of(keys, part="threshold", salt=salt)
    return {SEEN: seen_bytes([*trained, chosen])}


def next_policy(
    old: Bundle, point: OperatingPoint, traffic: Traffic, *, catch_rate: float | None, today: date
) -> Policy:
    """Return a bundle's policy with a point that was chosen on some traffic."""
    days = _review_days(old)
    new: dict[str, Any] = {
        "threshold": point.threshold,
        "task_thresholds": dict(point.task_thresholds),
        "answer": answer_rule(
            point, stale_shift=old.answer_facts.stale_shift if old.answer_facts else None
        ),
        "fallback": replace(old.policy.fallback, catch_rate=catch_rate),
        "chosen": chosen_by(point, traffic.text_hashes(), stick=old.policy.stick),
        "review_date": today + timedelta(days=days),
    }
    return replace(old.policy, **new)


def _review_days(bundle: Bundle) -> int:
    """Return how long a threshold is good for, by the recipe that a bundle was trained by."""
    section = bundle.manifest.recipe.get("policy")
    days = section.get("review_after_days") if isinstance(section, dict) else None
    # The field alone: the rest may be a recipe of another version.
    form = {"name": "review", "policy": {} if days is None else {"review_after_days": days}}
    return parse_recipe(form, name="manifest.json: recipe").policy.review_after_days


def _metrics(old: Bundle, n: int, notes: tuple[str, ...]) -> bytes:
    """Return the old figures without those at the old threshold."""
    note = (
        f"the threshold was chosen again on {quantity_text(n, 'sample')}; evaluate the"
        " bundle on other traffic"
    )
    # All of the traffic chose the new threshold, so none is left to judge it by.
    figures = without_threshold(shipped_figures(old), note).noting(
        [f"Of the samples the threshold was chosen on: {sentence}" for sentence in notes]
    )
    return metrics_text(figures).encode()


def points_table(old: OperatingPoint, new: OperatingPoint, moved: Mapping[str, Estimate]) -> str:
    """Return both points in Markdown, as the new traffic sees them."""
    rows = [
        f"| threshold | {old.threshold:.6g} | {new.threshold:.6g} |"
        f" {new.threshold - old.threshold:+.6g} |"
    ]
    rows += [
        f"| {escape_but_code(task)} | {old.task_thresholds.get(task, old.threshold):.6g} |"
        f" {new.task_thresholds.get(task, new.threshold):.6g} | |"
        for task in sorted({*old.task_thresholds, *new.task_thresholds})
    ]
    rows += [
        f"| {label_of(name)} | {figure_text(name, getattr(old, name))} |"
        f" {figure_text(name, getattr(new, name))} | {difference_text(name, change)} |"
        for name, change in moved.items()
    ]
    if new.answer or old.answer:
        cuts = ["" if one is None else f"{one.threshold:.6g}" for one in (old.answer, new.answer)]
        rows.insert(1, f"| threshold of answers | {cuts[0]} | {cuts[1]} | |")
    return "\n".join(
        [
            f"| | old ({escape_but_code(old.objective)}) | new ({escape_but_code(new.objective)}) |"
            " change |",
            "| --- | --- | --- | --- |",
            *rows,
        ]
    )


def _card(old: Bundle, policy: Policy, notes: tuple[str, ...], *, name: str, table: str) -> bytes:
    """Return the old card under a heading that says what is new."""
    before = escape_but_code(f"{old.manifest.name}-{old.manifest.version}")
    chosen, check = policy.chosen, policy.answer
    checked = (
        ""
        if check is None
        else f" Answers of the cheap model are sent on when `answer_score > {check.threshold:.6g}`."
    )
    news = (
        f"# {escape_but_code(name)}\n\nThe scorer of {before} with another threshold: frontier when"
        f" `difficulty_score > {policy.threshold:.6g}`, chosen by"
        f" {escape_but_code(code(chosen.objective))} on {quantity_text(chosen.n, 'sample')};"
        " review it"
        f" by {policy.review_date.isoformat()}.{checked}\n\n"
        + (f"Guaranteed: {escape_but_code(chosen.guarantee)}.\n\n" if chosen.guarantee else "")
        + "".join(f"{escape_but_code(sentence)}\n\n" for sentence in notes)
        + f"What these samples say of both, with 95 % intervals:\n\n{table}\n\n"
        + f"What follows is the card of {before}; its threshold, and its figures at that threshold,"
        " no longer hold.\n\n---\n\n"
    )
    return news.encode() + old.files["card.md"]
