"""Honesty checks: what a reader has to know before trusting the figures, each a named finding.

A check is a function of :class:`Evidence` that returns a finding, several, or none; ``CHECKS``
names them in the order in which they are reported. To add one, write the function and add its line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import binom

from difficulty.evaluation.decision.finding import SEVERITIES, Finding
from difficulty.evaluation.decision.model_mix import ModelMix
from difficulty.evaluation.decision.order import CHANCE, order_text
from difficulty.evaluation.frontiers import CheckFigures, MovedFacts
from difficulty.evaluation.rule_tasks import judge_rule, losing
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.evaluation.slices import LEAST_OUTCOMES, LEAST_REQUESTS
from difficulty.metrics.bootstrap import Resampling, group_codes
from difficulty.metrics.intervals import effective_groups
from difficulty.records import Estimate
from difficulty.text import part_text, quantity_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What is known of where the judged requests come from; counts are requests of the traffic
    file.
    """

    requests: int
    """All requests of the file, before any was left out."""
    own_traffic: bool
    """Whether the file is the traffic that the scorer was trained on."""
    seen: Mapping[str, int] | None = None
    """Requests left out because fitting or calibration saw them, by how that is known: ``same
    text``, ``same group``, ... ``None``: not known, because the bundle has no ``seen.bin``.
    """
    by_chance: int | None = None
    """How many strangers a bundle's filter names among so many requests, where those left out may
    all be such; ``None``: they are known to be seen.
    """
    same_ids: int | None = None
    """Judged requests that bear the id of a sample that training saw."""
    threshold_rows: int | None = None
    """Judged requests that are known to be among those on which the threshold was chosen; ``None``:
    nothing is known, or no threshold.
    """
    suspicious: int | None = None
    """Judged requests in tasks or regions with suspicious labels, by the check at training;
    ``None``: not known.
    """
    other_models: tuple[ModelMix, ...] = ()
    """The cheap and the frontier model, where judged requests name another than the scorer's."""
    selected: int = 0
    """Outcomes that were seen only where an unknown policy chose to look."""
    checks_answers: bool = False
    """Whether the policy checks answers, also where the judged traffic has none."""
    moved: MovedFacts | None = None
    """How far the facts about the judged answers moved; ``None``: not known, or nobody checks."""
    certain: int = 0
    """Requests whose route was certain, so that the other model's outcome could not be seen."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What a check may look at."""

    scored: ScoredTraffic
    overall: Mapping[str, Estimate]
    """Figures of all judged requests."""
    counts: Mapping[str, int]
    """``counts`` of the evaluation."""
    provenance: Provenance | None = None
    """``None`` where the caller knows nothing of the traffic, as in training, which judges its own
    test split.
    """
    answer: CheckFigures | None = None
    """What checking answers does to the bill; ``None`` where no answer was checked."""


def failing(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Return the errors and warnings: those that ``--strict`` does not let pass."""
    return tuple(finding for finding in findings if finding.severity != "info")


# With fewer, intervals from drawing groups may be too narrow (docs/metrics.md).
FEW_GROUPS = 40
IMPROBABLE = 0.001
"""Chance of naming so many strangers, below which some were seen."""
MANY_SUSPICIOUS = 0.01
MANY_CHECKED = 0.1
"""Share of outcomes by checks of the form from which it is said."""
"""Share of judged requests with suspicious labels from which on it is worth a warning."""


def few_samples(evidence: Evidence) -> Finding | None:
    """Too few requests, groups or requests of one outcome to rely on the intervals."""
    scored, needed = evidence.scored, evidence.scored.needed
    numbers = {
        "requests": evidence.counts["requests"],
        # As their weight is spread: seven that hold nearly all are not a hundred.
        "groups": round(effective_groups(scored.outcomes.weight, group_codes(scored.groups))),
        "needed": int(np.nansum(needed)),
        "not_needed": int(np.nansum(1.0 - needed)),
    }
    least = {
        "requests": LEAST_REQUESTS,
        "groups": FEW_GROUPS,
        "needed": LEAST_OUTCOMES,
        "not_needed": LEAST_OUTCOMES,
    }
    words = {
        "groups": "groups, by their weight",
        "needed": "requests that needed the frontier model",
        "not_needed": "requests that did not need it",
    }
    short = [
        f"{numbers[name]:,} {words.get(name, name)} ({least[name]} are needed)"
        for name in least
        if numbers[name] < least[name]
    ]
    if not short:
        return None
    return Finding.of(
        "few_samples",
        "warning",
        f"Too few to judge by: {', '.join(short)}. Intervals are wide, and may still be"
        " too narrow.",
        "Add labelled requests.",
        numbers,
    )


def form_checks(evidence: Evidence) -> Finding | None:
    """Outcomes that checks of the answer's form alone stand for, so that wrong answers count as
    right.
    """
    outcomes = evidence.scored.outcomes
    known = ~np.isnan(outcomes.cheap_quality)
    checked, n = int((known & outcomes.only_checked).sum()), int(known.sum())
    if checked <= MANY_CHECKED * n:
        return None
    names = sorted({name or "" for name in outcomes[outcomes.only_checked].measures})
    return Finding.of(
        "form_checks",
        "warning",
        (
            f"{checked:,} of {quantity_text(n, 'answer')} of the cheap model"
            f" {'was' if checked == 1 else 'were'} measured by {', '.join(names[:3])} alone."
            " Such checks see an answer's form, not whether it is"
            " right: the risk is higher than it seems."
        ),
        "Label a part of the requests.",
        {"checked": checked, "requests": n},
    )


def frontier_not_better(evidence: Evidence) -> Finding | None:
    """The frontier model is not clearly better, so that there is little to route for."""
    gap = evidence.overall.get("gap")
    if gap is None or gap.value is None or (gap.low is not None and gap.low > 0.0):
        return None
    if gap.low is None or gap.high is None:
        return None
    worse = gap.high <= 0.0
    verb = "is not" if worse else "may not be"
    advice = (
        "Check that the two quality columns are not swapped, else keep everything on the cheap"
        " model."
        if worse
        else "Add labels."
    )
    return Finding.of(
        "frontier_not_better",
        "error" if worse else "warning",
        (
            f"The frontier model {verb} better than the cheap one: the mean difference in quality"
            f" is {gap.value:.3f} ({gap.low:.3f} to {gap.high:.3f})."
        ),
        advice,
        {"gap": gap.value, "low": gap.low, "high": gap.high, "requests": gap.n},
    )


def suspicious_labels(evidence: Evidence) -> Finding | None:
    """Judged requests are in tasks or regions whose labels training found suspicious."""
    count = evidence.provenance.suspicious if evidence.provenance else None
    n = len(evidence.scored)
    if not count or count < MANY_SUSPICIOUS * n:
        return None
    return Finding.of(
        "suspicious_labels",
        "warning",
        (
            f"{count:,} of {quantity_text(n, 'judged request')} ({count / n:.1%}) are in tasks"
            " or regions whose"
            " labels training found suspicious."
        ),
        (
            "Compare the figures with and without them (slices, labels), and look at"
            " suspicious.jsonl in the run."
        ),
        {"suspicious": count, "share": count / n, "requests": n},
    )


def selection_bias(evidence: Evidence) -> list[Finding]:
    """Logged outcomes were seen only where a policy chose to look."""
    source, biases = evidence.provenance, []
    if source and source.selected:
        biases.append(
            Finding.of(
                "selection_bias",
                "error",
                (
                    f"{quantity_text(source.selected, 'outcome was', 'outcomes were')} seen"
                    " only where an unknown policy chose to"
                    " look: figures hold for what it let through, not for all requests."
                ),
                "Log the propensity of the route, or add outcomes of both models.",
                {"selected": source.selected, "requests": len(evidence.scored)},
            )
        )
    if source and source.certain:
        biases.append(
            Finding.of(
                "selection_bias",
                "warning",
                (
                    f"On {quantity_text(source.certain, 'request')} the route was certain, and"
                    " the other model's"
                    " outcome could not be seen: no weight makes up for that."
                ),
                "Send a small share of every kind of request each way.",
                {"certain": source.certain, "requests": len(evidence.scored)},
            )
        )
    return biases


def may_be_chance(named: int, n: int, chance: float) -> bool:
    """Return whether a filter that takes one stranger for a friend with probability ``chance`` may
    have named so many of n strangers.
    """
    return bool(binom.sf(named - 1, n, chance) > IMPROBABLE)


def training_overlap(evidence: Evidence) -> Finding | None:
    """The traffic holds requests that training saw; they were left out of every figure."""
    source = evidence.provenance
    if source is None or not source.seen or not (left_out := sum(source.seen.values())):
        return None
    numbers = {
        "left_out": left_out,
        "requests": source.requests,
        **{name.replace(" ", "_"): count for name, count in source.seen.items()},
    }
    if source.by_chance is not None:
        return Finding(
            name="training_overlap",
            severity="info",
            message=(
                f"{part_text(left_out, source.requests, 'request', 'looks', 'look')} like some that"
                f" the bundle was made from: left out. Chance alone names about"
                f" {source.by_chance:,}, so that few or none of them were seen."
            ),
            numbers=numbers | {"by_chance": source.by_chance},
        )
    reasons = ", ".join(f"{count:,} {name}" for name, count in source.seen.items() if count)
    advice = (
        "It is the traffic of the training."
        if source.own_traffic
        else "Traffic to judge by should hold none: see how it was drawn."
    )
    return Finding.of(
        "training_overlap",
        # The traffic of the training always overlaps: its test split alone is judged.
        "info" if source.own_traffic else "warning",
        (
            f"{part_text(left_out, source.requests, 'request', 'was', 'were')} seen in training"
            f" ({reasons}): left out of every figure."
        ),
        advice,
        numbers,
    )


def same_ids(evidence: Evidence) -> Finding | None:
    """Judged requests bear ids of training samples with other texts."""
    source = evidence.provenance
    if source is None or not source.same_ids:
        return None
    return Finding.of(
        "same_ids",
        "warning",
        (
            f"{quantity_text(source.same_ids, 'judged request bears', 'judged requests bear')}"
            " the id of a training sample with another"
            " text."
        ),
        (
            "If they are the same requests, edited, leave them out; if not, give requests ids that"
            " are unique across files."
        ),
        {"same_ids": source.same_ids, "requests": len(evidence.scored)},
    )


def other_models(evidence: Evidence) -> Finding | None:
    """Outcomes are those of other models than the scorer was made for."""
    mixes = evidence.provenance.other_models if evidence.provenance else ()
    if not mixes:
        return None
    n = len(evidence.scored)
    parts = [
        f"{part_text(sum(mix.others.values()), n, 'judged request', 'has', 'have')} outcomes of"
        f" {', '.join(repr(name) for name in list(mix.others)[:3])} as the {mix.side} model, and"
        f" the scorer was made for {mix.own!r}"
        for mix in mixes
    ]
    return Finding.of(
        "other_models",
        "warning",
        f"{'; '.join(parts)}: the figures say how well it routes to another pair of models.",
        "Judge on outcomes of its own models, or train on these.",
        {f"{mix.side}_requests": sum(mix.others.values()) for mix in mixes} | {"requests": n},
    )


def threshold_on_judged_data(evidence: Evidence) -> Finding | None:
    """The threshold was chosen on judged requests, so that figures at it flatter."""
    source = evidence.provenance
    if source is None or not source.threshold_rows:
        return None
    return Finding.of(
        "threshold_on_judged_data",
        "error",
        (
            f"The threshold was chosen on {source.threshold_rows:,} of the {len(evidence.scored):,}"
            " judged requests: figures at the threshold flatter it."
        ),
        "Judge on other traffic.",
        {"threshold_rows": source.threshold_rows, "requests": len(evidence.scored)},
    )


def overlap_unknown(evidence: Evidence) -> Finding | None:
    """A bundle without ``seen.bin`` does not know what its training saw of other traffic."""
    source = evidence.provenance
    if source is None or source.seen is not None:
        return None
    return Finding(
        name="overlap_unknown",
        severity="info",
        message=(
            "Whether training, or the choice of the threshold, saw some of these requests is not"
            " known: the bundle has no seen.bin. Evaluate the run to find out, or ship it again."
        ),
        numbers={"requests": source.requests},
    )


# Fewer than of a figure: only whether an interval holds 0 is asked.
_RULE_DRAWS = 400


def losing_rule(evidence: Evidence) -> list[Finding]:
    """A task of the rule costs quality that the score would have for the same money."""
    return [
        Finding.of(
            "losing_rule",
            "error",
            task.sentence,
            (
                f"Take {task.task!r} out of"
                f" {'easy_tasks' if task.route == 'cheap' else 'hard_tasks'}, or ship with"
                " --no-rule."
            ),
            {
                "requests": task.requests,
                "known": task.n,
                **{
                    name: value
                    for name, value in (
                        ("net", task.net.value),
                        ("low", task.net.low),
                        ("high", task.net.high),
                        ("gap", task.gap.value),
                    )
                    if value is not None
                },
            },
        )
        for task in losing(judge_rule(evidence.scored, Resampling(_RULE_DRAWS)))
    ]


def check_loses_money(evidence: Evidence) -> Finding | None:
    """The policy checks answers, and the request's score alone would be cheaper for the same
    quality.
    """
    told = evidence.answer and evidence.answer.told_of_a_loss()
    return Finding(name="check_loses_money", **told._asdict()) if told else None


def check_would_save(evidence: Evidence) -> Finding | None:
    """The policy does not check answers, and checking them would clearly be cheaper for the same
    quality.
    """
    told = evidence.answer and evidence.answer.told_of_a_saving()
    return Finding(name="check_would_save", **told._asdict()) if told else None


def answers_unchecked(evidence: Evidence) -> Finding | None:
    """The policy checks answers, and a part of the judged requests has none to check."""
    scored, source = evidence.scored, evidence.provenance
    n, how = len(scored), "routed by the request's score alone"
    if scored.answer_score is not None:
        n = int(np.isnan(scored.answer_score).sum())
        how = f"{'sent on' if scored.on_unknown == 'escalate' else 'kept'} as the policy says"
    bare = n == len(scored) and source is not None and source.checks_answers
    if (scored.escalated is None and not bare) or n <= MANY_UNCHECKED * len(scored):
        return None
    return Finding.of(
        "answers_unchecked",
        "warning",
        (
            f"{part_text(n, len(scored), 'judged request', 'has', 'have')} no answer to check:"
            f" {how}; with their answers the figures would be others."
        ),
        "Add cheap_answer to the traffic.",
        {"unchecked": n, "requests": len(scored)},
    )


def stale_check(evidence: Evidence) -> Finding | None:
    """The answers are no longer like those that the check was trained on."""
    moved = evidence.provenance and evidence.provenance.moved
    if not moved or not moved.is_stale:
        return None
    return Finding.of(
        "stale_check",
        "warning",
        (
            f"The check of answers is stale: {100 * moved.share:.1f} % of {moved.n_facts} facts"
            f" about the answers moved by more than half a deviation since training, and"
            f" {100 * moved.limit:.1f} % may (first {', '.join(moved.names)}). Routers let the"
            " request's score decide alone then, and the figures are those of that."
        ),
        "Train on recent answers.",
        {"shift": moved.share, "limit": moved.limit, "answers": moved.n_answers},
    )


MANY_UNCHECKED = 0.05
CALIBRATION_LEVEL = 0.05
"""How often probabilities that are right may be called off, all of a scorer's together."""
LARGEST_ERROR = 0.05
"""Calibration error up to which it matters little."""


def _check_decides(evidence: Evidence) -> bool:
    return evidence.answer is not None and evidence.answer.decides


def equal_scores(evidence: Evidence) -> Finding | None:
    """All scores are equal, so every request that no other rule settles goes the same way."""
    score = evidence.scored.difficulty_score
    if _check_decides(evidence) or len(score) < 2 or np.ptp(score) > 0.0:
        return None
    return Finding.of(
        "equal_scores",
        "error",
        (
            f"All {len(score):,} scores are {score[0]:.4g}: the score cannot tell requests apart,"
            " and a threshold keeps or sends all of them."
        ),
        "Train again on traffic that resembles this.",
        {"score": float(score[0]), "requests": len(score)},
    )


def no_signal(evidence: Evidence) -> Finding | None:
    """APGR (AUROC without frontier outcomes) cannot be told from that of chance."""
    # Equal scores are a finding of their own, with a cause of their own.
    if equal_scores(evidence) or _check_decides(evidence):
        return None
    name = "apgr" if evidence.overall["apgr"].value is not None else "auroc"
    figure = evidence.overall[name]
    if figure.value is None or figure.low is None or figure.low > CHANCE:
        return None
    ends = {"low": figure.low, "high": figure.high}
    numbers = {name: figure.value, **{end: at for end, at in ends.items() if at is not None}}
    return Finding.of(
        "no_signal",
        "error",
        order_text(evidence.overall),
        "Judge it on more traffic, or check that labels and requests belong together.",
        numbers | {"requests": figure.n},
    )


def calibration_off(evidence: Evidence) -> list[Finding]:
    """A probability does not match the frequency of failures: chance does not explain it, and the
    calibration error is above 0.05.
    """
    outputs = {"": "p_cheap_fails", "_frontier": "p_frontier_fails"}
    tested = {
        suffix: figure
        for suffix in outputs
        if (figure := evidence.overall.get(f"calibration_p{suffix}")) and figure.value is not None
    }
    findings = []
    for suffix, figure in tested.items():
        chance, error = figure.value, evidence.overall[f"calibration_error{suffix}"].value
        # Each of several may be called off by chance, so each has a part of the level.
        if chance is None or error is None or chance > CALIBRATION_LEVEL / len(tested):
            continue
        if error <= LARGEST_ERROR:
            continue
        findings.append(
            Finding.of(
                "calibration_off",
                "warning",
                (
                    f"{outputs[suffix]} is off by {error:.3f} (calibration error; up to"
                    f" {LARGEST_ERROR:g} is fine), and right ones look so in"
                    f" {_chance_text(chance)}: do not read it as a probability on this"
                    f" traffic.{_lean(evidence, suffix)}"
                ),
                "Calibrate again by training on traffic like this.",
                {
                    f"calibration_error{suffix}": error,
                    f"calibration_p{suffix}": chance,
                    "requests": figure.n,
                },
            )
        )
    return findings


def _chance_text(chance: float) -> str:
    """Return in how many samples chance alone would do as much."""
    rate = "fewer than 0.1" if chance < 0.001 else f"{100.0 * chance:.1f}"
    return f"{rate} % of samples"


def _lean(evidence: Evidence, suffix: str) -> str:
    """Return which way a probability is wrong, where that is clear."""
    slope, intercept = (
        evidence.overall.get(f"calibration_{name}{suffix}") for name in ("slope", "intercept")
    )
    said = []
    if intercept and intercept.low is not None and intercept.high is not None:
        said += ["too low on the whole"] * (intercept.low > 0.0)
        said += ["too high on the whole"] * (intercept.high < 0.0)
    if slope and slope.low is not None and slope.high is not None:
        said += ["too timid"] * (slope.low > 1.0)
        said += ["too extreme"] * (slope.high < 1.0)
    return f" It is {' and '.join(said)}." if said else ""


Check = Callable[[Evidence], Finding | Iterable[Finding] | None]

CHECKS: Final[dict[str, Check]] = {
    "training_overlap": training_overlap,
    "same_ids": same_ids,
    "other_models": other_models,
    "threshold_on_judged_data": threshold_on_judged_data,
    "selection_bias": selection_bias,
    "equal_scores": equal_scores,
    "no_signal": no_signal,
    "losing_rule": losing_rule,
    "check_loses_money": check_loses_money,
    "answers_unchecked": answers_unchecked,
    "stale_check": stale_check,
    "frontier_not_better": frontier_not_better,
    "form_checks": form_checks,
    "suspicious_labels": suspicious_labels,
    "calibration_off": calibration_off,
    "few_samples": few_samples,
    "check_would_save": check_would_save,
    "overlap_unknown": overlap_unknown,
}


def findings_of(evidence: Evidence) -> tuple[Finding, ...]:
    """Return what all checks found, the gravest first."""
    findings: list[Finding] = []
    for check in CHECKS.values():
        result = check(evidence)
        findings += [] if result is None else [result] if isinstance(result, Finding) else result
    # sorted is stable: within a severity the order of CHECKS stays.
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))
