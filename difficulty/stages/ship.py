"""Ship: a run -> a bundle: graph, parity gate, threshold, golden vectors, metrics and card, written
in one step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from difficulty.bundle import BUNDLE_FORMAT, Bundle, Exploration, Fallback, Policy, write_bundle
from difficulty.bundle.seen import SeenFilter, salt_of, seen_bytes
from difficulty.bundle.signature import SigningKey, opened, sign_folder
from difficulty.bundle.store import EARLY_GRAPH, KINDS, REFERENCE, SEEN, VIEW
from difficulty.conversation.request_numbers import NUMBERS_VERSION
from difficulty.early_exit import unfit
from difficulty.errors import BundleError
from difficulty.evaluation import Evaluation, evaluate, metrics_text
from difficulty.evaluation.measure import VOTES_ALONE
from difficulty.evaluation.rule_tasks import RuleTask, judge_rule
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.evaluation.verdict import weigh
from difficulty.export.parity import ParityReport
from difficulty.metrics import Resampling
from difficulty.recipe import PolicySettings, Recipe
from difficulty.records import OperatingPoint, Prices
from difficulty.routes import did_you_mean
from difficulty.runtime.scorer import Scorer
from difficulty.stages.card import bundle_card
from difficulty.stages.choosing import (
    answer_rule,
    beside_early_exit,
    both_scores,
    choose_exits,
    chosen_by,
    chosen_point,
    exit_confidence,
    expected_of,
    judge_exits,
    policy_files,
)
from difficulty.stages.deploying.shippable import (
    check_promise,
    check_rule,
    no_signal,
    rests_on_check,
    signal_notes,
    whose_samples,
)
from difficulty.stages.deploying.traffic_scores import TrafficScores
from difficulty.stages.exporting import ExportedCheck, Student, export, export_check, student_of
from difficulty.stages.judging import TASK_GAINS, Served, lineage_of, serve
from difficulty.stages.watching.expecting import reference_bytes, reference_of
from difficulty.storage import on_urls
from difficulty.thresholds.policy_curve import Objective, parse_objective
from difficulty.thresholds.ways import BY_COST, WayWanted
from difficulty.training.diagnosis import with_suspicion
from difficulty.training.run import CARRIED_OVER, Run, library_versions

# A version has no dash, so ``support-eu-1`` is version 1 of ``support-eu``.
_NAME = re.compile(r"^(?P<name>.+?)-(?P<version>\d[\w.]*)$")


class Shipped(NamedTuple):
    """What was shipped."""

    bundle: Bundle
    point: OperatingPoint
    parity: ParityReport
    evaluation: Evaluation
    notes: tuple[str, ...] = ()
    """What is to be known of early exit and of int8, where they were asked for, and of tasks of the
    rule that no sample has.
    """
    rule: tuple[RuleTask, ...] = ()
    """What each task of the rule gains or costs, on all samples that heads scored unseen."""


@on_urls
def ship(
    run_path: Path,
    out: Path,
    *,
    objective: str | None = None,
    policy: PolicySettings | None = None,
    models: tuple[str | None, str | None] = (None, None),
    prices: Prices | None = None,
    allow_no_signal: bool = False,
    keep_rule: bool = False,
    early: bool | None = None,
    int8: bool | None = None,
    answer: WayWanted = BY_COST,
    seen: bool = True,
    today: date | None = None,
    cache: Path | None = None,
    sign_with: SigningKey | None = None,
    draws: int = 1000,
    progress: Callable[[str], None] | None = None,
) -> Shipped:
    """Export a run, check it, choose its threshold and write the bundle; nothing is written when a
    check fails.

    Parameters
    ----------
    run_path : Path
        Run folder.
    out : Path
        Bundle folder, named ``<name>-<version>``; must not exist.
    objective : str, optional
        For example ``share=0.3`` or ``risk=0.2,delta=0.05``; default: the recipe's.
    policy : PolicySettings, optional
        Task rules, and what is reckoned with when thresholds are chosen; default: the recipe's.
    models : pair of str, optional
        Names of the cheap and the frontier model to call; default: those of the traffic.
    prices : Prices, optional
        For the expected cost.
    allow_no_signal : bool, default False
        Ship also a score that carries no signal; card and metrics then say so.
    keep_rule : bool, default False
        Ship also a rule that clearly loses; card and output then say so.
    early : bool, optional
        Whether a small graph decides what is far from the threshold; default: the recipe's. Where
        no cut-offs keep the budget, the bundle is shipped without, and the notes say so.
    int8 : bool, optional
        Whether a float32 encoder is made int8, as far as the recipe's ``int8_flips`` allows;
        default: the recipe's. Where that is not far, the encoder stays float32, and the notes say
        so.
    answer : WayWanted
        Whether the policy checks answers of the cheap model, where the run has learned to: by what
        it costs, not at all, or as asked; beside early exit only as asked.
    seen : bool, default True
        Whether the bundle tells which requests it was made from (``seen.bin``): whoever has it can
        test a text.
    today : date, optional
        Date from which the review date is counted.
    cache : Path, optional
        Where embeddings of slow encoders are kept; without it they are computed again.
    sign_with : SigningKey, optional
        Key to sign the bundle with; tried before anything else is done.
    draws : int, default 1000
        Bootstrap draws of the intervals.
    progress : callable, optional
        Told what is being done, in a few words.

    Raises
    ------
    SigningKeyError
        If the key cannot be used.
    NoSignalError
        If training found that the score carries no signal.
    LosingRuleError
        If a task of the rule clearly costs quality that the score would have for the same money.
    ParityError
        If the exported scorer differs from the Python model by more than the recipe allows.
    NotAttainableError
        If no threshold meets the objective.
    RunError
        If early exit is asked for, and the run has no student for it; or int8, and its encoder has
        no float32 weights; or a promise, and the heads saw the samples that have to show it.
    """
    say = progress or (lambda _: None)
    name, version = bundle_name(out)
    # A key that cannot be used is refused before the long work, not after it.
    sign = partial(sign_folder, key=opened(sign_with)) if sign_with else None
    run = Run.read(run_path, cache=cache)
    needs_check = not allow_no_signal and rests_on_check(run, answer)
    asks_early = run.recipe.export.early if early is None else early
    rules, bound = _bounded(run, policy or run.recipe.policy, early=asks_early)
    wanted = parse_objective(objective or rules.objective)
    check_promise(run, wanted, answer)
    terms = _Terms(
        run=run,
        rules=rules,
        wanted=wanted,
        answer=answer,
        student=student_of(run) if asks_early else None,
        int8=run.recipe.export.int8 if int8 is None else int8,
        prices=prices,
        # The run's seed, so that the same run ships the same intervals.
        resampling=Resampling(draws, run.recipe.seed),
        label=f"{name}-{version}",
    )
    remembered, no_memory = _seen_file(run) if seen else ({}, ())
    unseen_tasks = (*bound, *_note_unseen_tasks(run, rules), *no_memory)
    say("exporting")
    exported = export(
        run,
        terms.student,
        terms.choose,
        int8=terms.int8,
        min_familiarity=terms.min_familiarity,
        say=say,
    )
    if needs_check and answer_rule(exported.point) is None:
        # The check is the only signal, and the policy does without it.
        raise no_signal(run.record.signal)
    decided = _policy(terms, exported.point, models=models, today=today or datetime.now(UTC).date())
    check = export_check(run, exported.scorer, exported.served, run.recipe.export)
    decided = _with_stale_shift(decided, check)
    report = exported.report.joined(check.report) if check else exported.report
    say("judging the rule")
    judged_rule = terms.rule_under(decided, exported.served)
    rule = judge_rule(judged_rule, terms.resampling)
    if not keep_rule:
        check_rule(rule, on=whose_samples(len(judged_rule), run.record))
    decided, no_exit = _with_exits(terms, exported.served, decided)
    leaving = terms.student if decided.early else None
    say("judging the test samples")
    # Judged by samples on which nothing was chosen: the side to believe (docs/thresholds.md).
    tested = _served_test(run, exported.quick, decided, leaving, check, prices=prices)
    evaluation = _judged(terms, tested, decided)
    say("writing the bundle")
    files = _files(
        run,
        exported.graph,
        decided,
        exported.scorer,
        evaluation,
        leaving,
        name=terms.label,
        report=report,
        rule=rule,
    )
    if check:
        files |= check.files(exported.scorer, decided, version=terms.label)
    files[REFERENCE] = reference_bytes(reference_of(tested))
    files |= _kinds_file(run) | remembered
    manifest = _manifest(
        run, exported.scorer, name=name, version=version, recipe=terms.asked_recipe
    )
    bundle = write_bundle(out, files, manifest, sign=sign)
    warned = [note for note in (VOTES_ALONE, CARRIED_OVER) if note in evaluation.notes]
    of_signal = signal_notes(run, on_check=needs_check)
    notes = (*of_signal, *exported.notes, *no_exit, *unseen_tasks, *warned)
    return Shipped(bundle, exported.point, report, evaluation, notes, rule)


@dataclass(frozen=True, kw_only=True)
class _Terms:
    """What a run is shipped by: its recipe's settings, or what was asked for in their place."""

    run: Run
    rules: PolicySettings
    wanted: Objective
    answer: WayWanted
    student: Student | None
    int8: bool
    prices: Prices | None
    resampling: Resampling
    label: str
    """``<name>-<version>`` of the bundle."""

    @property
    def min_familiarity(self) -> float:
        """Requests less familiar than this go to the frontier model."""
        return self.rules.min_familiarity or 0.0

    @property
    def leaves(self) -> bool:
        """Whether early exit is reckoned with when the operating point is chosen."""
        return self.student is not None and not unfit(
            per_task=self.rules.per_task, min_familiarity=self.min_familiarity
        )

    @property
    def by_learned(self) -> bool:
        """Whether the operating point is chosen on the fit samples too."""
        return _chooses_by_learned(self.run, self.rules)

    @property
    def asked_recipe(self) -> Recipe:
        """What was asked for at shipping, not what the run was trained with."""
        recipe = self.run.recipe
        return replace(
            recipe,
            calibration=self.run.record.calibration,
            policy=self.rules,
            export=replace(recipe.export, int8=self.int8),
        )

    def choose(self, scores: TrafficScores) -> tuple[OperatingPoint, ScoredTraffic]:
        """Return the operating point, and the calibration samples as the rules route them."""
        calibration = self._under_rules(_served_unseen(self.run, scores, self.prices))
        learned = calibration
        if self.by_learned:
            learned = self._under_rules(_served_learned(self.run, scores, self.prices))
        point = chosen_point(
            learned,
            str(self.wanted),
            self.resampling,
            per_task=self.rules.per_task,
            answer=beside_early_exit(self.answer, leaves=self.leaves),
        )
        return point, calibration

    def rule_under(self, policy: Policy, scores: TrafficScores) -> ScoredTraffic:
        """Return the samples that judge the rule, as a policy routes them: the fit samples too
        where their scores are of heads that did not see them, several times as many as the
        calibration samples; never the test samples, which judge what is shipped.
        """
        if not _keeps_learned(self.run):
            return _served_unseen(self.run, scores, self.prices).under_policy(policy)
        # A fit sample is familiar to what has seen it, so that bound is left out.
        freed = replace(policy, min_familiarity=0.0)
        return _served_learned(self.run, scores, self.prices).under_policy(freed)

    def _under_rules(self, served: Served) -> ScoredTraffic:
        return served.under(
            self.rules,
            catch_rate=self.rules.catch_rate,
            epsilon=self.rules.epsilon,
            early_budget=self.run.recipe.export.early_budget if self.leaves else 0.0,
        )


def bundle_name(out: Path) -> tuple[str, str]:
    """Return name and version of a folder named ``<name>-<version>``."""
    named = _NAME.match(out.name)
    if not named:
        raise BundleError(
            "a bundle folder must be named <name>-<version>, for example support-1: got"
            f" {out.name!r}. Choose such a name."
        )
    if out.exists():
        raise BundleError(
            f"bundle {str(out)!r} exists already. Bundles are never overwritten: choose a new"
            " version."
        )
    return named["name"], named["version"]


def _served_unseen(run: Run, scores: TrafficScores, prices: Prices | None) -> Served:
    """Return the calibration samples beside scores by heads that did not see them."""
    answers = run.answer_scores(run.calibration)
    unseen = scores.instead(run.unseen_calibration).beside(answers.by_name() if answers else None)
    return Served.of(run.calibration, unseen, target=run.model.target, prices=prices)


def _chooses_by_learned(run: Run, rules: PolicySettings) -> bool:
    """Return whether way and threshold are chosen on the fit samples too, by scores of heads that
    did not see them: several times as many as the calibration samples.

    Not where heads keep off the calibration samples, which alone can show a promise; not where a
    search chose the recipe by the fit samples, which then look better than others; not where some
    of them came in other clothes; not where familiarity decides, as that of a fit sample knows the
    sample; and runs of before cannot.
    """
    return _keeps_learned(run) and not rules.min_familiarity


def _keeps_learned(run: Run) -> bool:
    """Return whether the fit samples can judge by scores of heads that did not see them."""
    as_they_come = not run.record.search and not run.recipe.augment
    return run.learned is not None and as_they_come


def _served_learned(run: Run, scores: TrafficScores, prices: Prices | None) -> Served:
    """Return fit and calibration samples beside scores by heads that did not see them."""
    learned, (unseen, totals) = run.learned, run.unseen_learned
    assert learned is not None
    answers, n = run.answer_scores(learned), len(learned)
    served = scores._replace(
        outputs=unseen.by_name(),
        totals=totals,
        readable=np.ones(n, dtype=np.bool_),
        chars=None,  # of these samples texts are not kept
        # Only early exit asks, which runs like this cannot have.
        knows_task=np.zeros(n, dtype=np.bool_),
        without_task=None,
        early=None,
    ).beside(answers.by_name() if answers else None)
    return Served.of(learned, served, target=run.model.target, prices=prices)


def _seen_file(run: Run) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Return ``seen.bin``, or what is to be said of a run that cannot make one."""
    keys = run.seen_keys
    if keys is None:
        return {}, (
            "the bundle will not know its own training requests again: the run is of an earlier"
            " version and kept no keys of them. Train again for a seen.bin.",
        )
    salt = salt_of(run.record.training_data)
    return {SEEN: seen_bytes([SeenFilter.of([keys.tobytes()], part="training", salt=salt)])}, ()


def _kinds_file(run: Run) -> dict[str, bytes]:
    """Return ``kinds.json``, where the run has it: not runs of before, nor of few groups."""
    path = run.folder / KINDS
    return {KINDS: path.read_bytes()} if path.is_file() else {}


def _note_unseen_tasks(run: Run, rules: PolicySettings) -> tuple[str, ...]:
    """Say which tasks of the rule no sample has: a misspelt one would route nothing."""
    seen = {task for part in (run.calibration, run.test) for task in part.tasks if task}
    if run.model.tasks:
        seen |= {*run.model.tasks.tasks}
    unseen = [task for task in (*rules.easy_tasks, *rules.hard_tasks) if task not in seen]
    if not unseen:
        return ()
    named = (f"{task!r}{did_you_mean(task, seen)}" for task in unseen)
    return (f"no sample has these tasks of the rule: {', '.join(named)}.",)


def _bounded(
    run: Run, rules: PolicySettings, *, early: bool
) -> tuple[PolicySettings, tuple[str, ...]]:
    """Return the rules with the bound on familiarity that leaving tasks out showed, where nothing
    else was said, and what is to be said of it.
    """
    if rules.min_familiarity is not None:
        return rules, ()
    advice = run.record.familiarity
    bound, found = (advice.unasked, advice.recommended) if advice else (0.0, 0.0)
    if bound and early:
        note = (
            f"min_familiarity {bound:g} is not set: early exit was asked for, which does not know"
            " how familiar a request is"
        )
        return replace(rules, min_familiarity=0.0), (f"{note}.",)
    if not bound:
        return replace(rules, min_familiarity=0.0), ()
    more = f"; up to {found:g} that is so: --min-familiarity {found:g}" if found > bound else ""
    note = (
        f"min_familiarity {bound:g} is set: on less familiar requests of tasks that were left out"
        f" of training the score routes no better than chance (--min-familiarity 0: off{more})"
    )
    return replace(rules, min_familiarity=bound), (f"{note}.",)


def _with_stale_shift(policy: Policy, check: ExportedCheck | None) -> Policy:
    """Return a policy that says when its check of answers no longer counts."""
    if not policy.answer or not check:
        return policy
    return replace(policy, answer=replace(policy.answer, stale_shift=check.facts.stale_shift))


def _with_exits(
    terms: _Terms, scores: TrafficScores, policy: Policy
) -> tuple[Policy, tuple[str, ...]]:
    """Return a policy with the cut-offs of early exit, which belong to its threshold, or what is to
    be said where none keep the budget.
    """
    if not terms.student:
        return policy, ()
    run = terms.run
    served = Served.of(run.calibration, scores, target=run.model.target, prices=terms.prices)
    cuts, why_not = choose_exits(
        policy,
        both_scores(served, policy),
        budget=run.recipe.export.early_budget,
        confidence=exit_confidence(str(terms.wanted)),
    )
    return replace(policy, early=cuts), tuple(why_not)


def _policy(
    terms: _Terms, point: OperatingPoint, *, models: tuple[str | None, str | None], today: date
) -> Policy:
    run, rules = terms.run, terms.rules
    chosen_on = run.learned_hashes if terms.by_learned else None
    text_hashes = chosen_on or run.calibration.text_hashes()
    return Policy(
        cheap_model=models[0] or run.record.cheap_model or "cheap",
        frontier_model=models[1] or run.record.frontier_model or "frontier",
        max_cheap_tokens=rules.max_cheap_tokens,
        easy_tasks=rules.easy_tasks,
        hard_tasks=rules.hard_tasks,
        min_familiarity=rules.min_familiarity or 0.0,
        fallback=Fallback(
            validators=rules.validators, streaming=rules.streaming, catch_rate=rules.catch_rate
        ),
        stick=rules.stick,
        exploration=Exploration(epsilon=rules.epsilon, shadow=rules.shadow, seed=run.recipe.seed),
        threshold=point.threshold,
        task_thresholds=dict(point.task_thresholds),
        review_date=today + timedelta(days=rules.review_after_days),
        answer=answer_rule(point),
        chosen=chosen_by(point, text_hashes, stick=rules.stick),
    )


def _served_test(
    run: Run,
    scorer: Scorer,
    policy: Policy,
    leaving: Student | None,
    check: ExportedCheck | None,
    *,
    prices: Prices | None,
) -> Served:
    return serve(
        scorer,
        run.test,
        prices,
        target=run.model.target,
        early=leaving.scorer if leaving else None,
        without_task=True,
        sliced=True,
        checker=check.checker(scorer, policy, version="ship") if check else None,
    )


def _judged(terms: _Terms, tested: Served, policy: Policy) -> Evaluation:
    """Return the test samples judged, with the verdict and what was judged by what."""
    evaluation = _evaluate(terms.run, tested, policy, terms.resampling)
    lineage = _build_lineage(terms.run, policy, name=terms.label, prices=terms.prices)
    evaluation, chosen = replace(evaluation, lineage=lineage), policy.chosen
    verdict = weigh(
        evaluation,
        objective=chosen.objective,
        guarantee=chosen.guarantee,
        expected=expected_of(policy),
    )
    return replace(evaluation, verdict=verdict)


def _evaluate(run: Run, served: Served, policy: Policy, resampling: Resampling) -> Evaluation:
    held_out = with_suspicion(served.under_policy(policy), run.test.ids, run.suspicious)
    evaluation = evaluate(
        held_out, resampling, task_means=run.record.task_gains, others=served.others
    ).noting(run.record.notes)
    if not policy.early:
        return evaluation
    return replace(evaluation, early=judge_exits(policy.early, both_scores(served, policy)))


def _build_lineage(run: Run, policy: Policy, *, name: str, prices: Prices | None) -> dict[str, Any]:
    """Return what metrics.json says of the test samples and the bundle that they judge."""
    record = run.record
    # An evaluation of the bundle has the same plain ways to stand beside as the test samples.
    means = {TASK_GAINS: record.task_gains.as_dict()} if record.task_gains else {}
    lineage = lineage_of(
        record,
        scorer="bundle",
        name=name,
        policy=policy,
        judged_data=record.training_data,
        judged=record.samples.test,
        left_out=record.samples.beside_test,
        prices=prices,
    )
    return lineage | means


def _files(
    run: Run,
    graph: bytes,
    policy: Policy,
    scorer: Scorer,
    evaluation: Evaluation,
    leaving: Student | None,
    *,
    name: str,
    report: ParityReport,
    rule: Sequence[RuleTask],
) -> dict[str, bytes]:
    card = bundle_card(name, run.record, policy, evaluation, report, rule)
    return {
        "scorer.onnx": graph,
        "tokenizer.json": run.encoder.tokenizer_path.read_bytes(),
        **({VIEW: run.view.learned.as_bytes} if run.view.version > 1 else {}),
        **({EARLY_GRAPH: leaving.graph} if leaving else {}),
        **policy_files(scorer, policy, version=name, early=leaving.scorer if leaving else None),
        "metrics.json": metrics_text(evaluation).encode(),
        "card.md": card.encode(),
    }


def _manifest(
    run: Run, scorer: Scorer, *, name: str, version: str, recipe: Recipe
) -> dict[str, Any]:
    return {
        "format": BUNDLE_FORMAT,
        "name": name,
        "version": version,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "target": run.model.target,
        "outputs": scorer.outputs,
        "text_view": recipe.text.view,
        "max_chars": recipe.text.max_chars,
        "max_tokens": recipe.text.max_tokens,
        "task_ids": scorer.task_ids,
        "request_numbers": NUMBERS_VERSION if scorer.reads_numbers else None,
        # What the gate held the graph to, other runtimes have to hold too.
        "score_tolerance": recipe.export.max_score_difference,
        "cheap_model": run.record.cheap_model,
        "frontier_model": run.record.frontier_model,
        "training_data": run.record.training_data,
        "split": {"seed": recipe.seed, **recipe.split.as_dict()},
        "recipe": recipe.as_dict(),
        "libraries": library_versions(),
    }
