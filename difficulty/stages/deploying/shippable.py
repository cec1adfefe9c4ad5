"""What a run must have to be shipped: a signal, a rule that does not lose, and samples that can
show what is promised.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from difficulty.diagnostics.signal import WEAK, Signal, SignalPart, measure_signal
from difficulty.errors import LosingRuleError, NoSignalError, RunError
from difficulty.evaluation.rule_tasks import RuleTask, losing
from difficulty.text import quantity_text
from difficulty.thresholds.policy_curve import Objective
from difficulty.thresholds.promises import refuse_blind
from difficulty.thresholds.ways import WayWanted
from difficulty.traffic.table import Traffic
from difficulty.training.run import Run, RunRecord


def whose_samples(n: int, record: RunRecord) -> str:
    """Name the splits that ``n`` judged samples of a run are of."""
    return "calibration" if n <= record.samples.calibration else "fit and calibration"


def check_rule(rule: Sequence[RuleTask], *, on: str) -> None:
    """Refuse a rule that the score would clearly beat ``on`` the samples of some splits."""
    if lost := losing(rule):
        names = ", ".join(repr(task.task) for task in lost)
        raise LosingRuleError(
            f"a rule has to do no worse than the score in its place: that of {names} clearly loses"
            f" on the {on} samples. {' '.join(task.sentence for task in lost)} Take {names}"
            " out of the rule (--no-rule: all of it), or insist with --keep-rule."
        )


def rests_on_check(run: Run, answer: WayWanted) -> bool:
    """Return whether only the check of answers carries a signal; refuse a run without any."""
    signal = run.record.signal
    if signal is None:
        raise RunError(f"run {str(run.folder)!r} holds no test of its signal. Train it again.")
    if signal.verdict != "none":
        return False
    if answer.way == "off" or _signal_of_check(run).verdict == "none":
        raise no_signal(signal)
    return True


def check_carries_signal(run: Run) -> bool:
    """Return whether a run has a check of answers that carries a signal."""
    return _signal_of_check(run).verdict != "none"


def signal_notes(run: Run, *, on_check: bool) -> tuple[str, ...]:
    """Return what is to be known of the signal of a run that is shipped: nothing where it is clear.

    Parameters
    ----------
    run : Run
    on_check : bool
        Whether the policy checks answers, and only that check carries a signal.
    """
    signal = run.record.signal
    if signal is None or not on_check:
        return signal.notes if signal else ()
    return (
        f"The request's score carries no signal (p = {signal.p_value:.2g} on"
        f" {quantity_text(signal.n, 'sample')}):"
        " this bundle rests on the check of the cheap model's answers alone, so that every answer"
        " has to be checked.",
    )


def no_signal(signal: Signal | None) -> NoSignalError:
    """Return the error of a score without a signal."""
    n, p_value = (signal.n, signal.p_value) if signal else (0, 1.0)
    return NoSignalError(
        f"shipping needs a score that carries a signal, p at most {WEAK:g}: on"
        f" {quantity_text(n, 'sample')} scored"
        f" without having been seen, chance alone does as well with p = {p_value:.2g}. Check that"
        " the labels belong to the requests, add labels, or insist with --allow-no-signal."
    )


def _signal_of_check(run: Run) -> Signal:
    """Test the check on the samples whose answers it scored without having seen them."""
    # Where calibration samples were learned from too, their scores are out of fold.
    is_crossed = run.record.calibration == "cross"
    parts = [
        part
        for traffic, fold in ((run.calibration, is_crossed), (run.test, False))
        if (part := _signal_part(run, traffic, out_of_fold=fold)) is not None
    ]
    return measure_signal(parts)


def _signal_part(run: Run, traffic: Traffic, *, out_of_fold: bool) -> SignalPart | None:
    answers, outcomes = run.answer_scores(traffic), traffic.outcomes
    if answers is None:
        return None
    wanted = outcomes.gain if run.model.target == "benefit" else outcomes.cheap_failure
    return SignalPart(
        score=answers.answer_score,
        # An answer that was not checked has no rank.
        outcome=np.where(np.isnan(answers.answer_score), np.nan, wanted),
        weight=outcomes.weight,
        groups=np.asarray(traffic.split_groups),
        fold=np.zeros(len(traffic), dtype=np.intp) if out_of_fold else None,
    )


def check_promise(run: Run, objective: Objective, answer: WayWanted) -> None:
    """Refuse a promise where no samples are left to show it: heads know the outcomes of those that
    they learned from, and scores by other heads say nothing certain of these; and a check that was
    carried over to a new cheap model saw all but the test samples with the old one.
    """
    if not objective.promises:
        return
    refuse_blind(run.calibration.outcomes.without_votes(), objective)
    if run.record.calibration == "cross":
        raise RunError(
            f"the objective {objective} is a promise and needs calibration samples that the heads"
            f" did not learn from: the heads of {str(run.folder)!r} learned from theirs."
            ' Train again by a recipe file with calibration = "split" above its first section,'
            " choose the threshold on other labelled traffic (difficulty thresholds), or ship with"
            " another objective."
        )
    if run.record.has_carried_check and answer.way != "off":
        raise RunError(
            f"the objective {objective} is a promise and needs calibration samples that no check"
            f" saw: that of {str(run.folder)!r} began as one that saw them with another cheap"
            " model's outcomes. Choose the threshold on other labelled traffic (difficulty"
            " thresholds), or ship without the check (--answer off) or with another objective."
        )
