"""``card.md``: what a bundle is, for people. Counts and figures only, no text of the traffic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from difficulty.bundle import Policy
from difficulty.early_exit import exit_sentences
from difficulty.evaluation import Evaluation
from difficulty.evaluation.rule_tasks import RuleTask
from difficulty.evaluation.words import UNKNOWN, measures_text
from difficulty.export.parity import ParityReport
from difficulty.records import Estimate
from difficulty.report.blocks import Paragraph, Points, Row, Section, Table
from difficulty.report.page import Markdown, code, escape_but_code
from difficulty.report.wording import threshold_text
from difficulty.stages.choosing import way_of
from difficulty.text import quantity_text
from difficulty.training.run import RunRecord

_SHOWN = {
    "apgr": "APGR",
    "auroc": "AUROC",
    "brier": "Brier score of p_cheap_fails",
    "ece": "ECE of p_cheap_fails",
    "routing_precision": "routing precision",
    "routing_recall": "routing recall",
    "frontier_share": "frontier share",
    "escalated_share": "share sent on after the check of the answer",
    "quality": "quality",
    "gap_recovered": "share of the quality gap recovered",
    "risk": "risk (kept requests that the cheap model fails)",
    "cost": "cost, USD per 1,000 requests",
}


def bundle_card(
    name: str,
    record: RunRecord,
    policy: Policy,
    evaluation: Evaluation,
    report: ParityReport,
    rule: Sequence[RuleTask] = (),
) -> str:
    """Return the card in Markdown; ``rule`` is what each task of the rule gains or costs."""
    meaning = (
        "(1 + expected gain of the frontier model) / 2"
        if record.target == "benefit"
        else "P(the cheap model fails)"
    )
    head = (
        f"Routes requests between {code(policy.cheap_model)} (cheap) and"
        f" {code(policy.frontier_model)} (frontier). {code('difficulty_score')} is {meaning};"
        " higher means more worth the frontier model."
    )
    early = [_early_exit(policy, evaluation)] if policy.early else []
    sections = [
        _rule(policy, rule, _chosen_on(policy, record)),
        _figures(evaluation),
        *early,
        _made_from(record, report),
    ]
    # Notes stand in the column of the intervals, so none is set to the right.
    return Markdown(escape=escape_but_code, column="---").page(
        name, sections, head=[Paragraph(head)]
    )


def _chosen_on(policy: Policy, record: RunRecord) -> str:
    """Say how many requests of which splits chose the threshold."""
    n = policy.chosen.n
    whose = "calibration" if n <= record.samples.calibration else "fit and calibration"
    return f"{n:,} {whose} requests"


def _rule(policy: Policy, rule: Sequence[RuleTask], chosen_on: str) -> Section:
    points = (
        f"cheap without scoring: {_tasks(policy.easy_tasks)}, below"
        f" {policy.max_cheap_tokens:,} tokens",
        f"frontier without scoring: {_tasks(policy.hard_tasks)}",
        f"frontier when less familiar than {policy.min_familiarity:g}"
        if policy.min_familiarity
        else "unfamiliar requests are scored too",
        f"else frontier when {code(f'difficulty_score > {threshold_text(policy.threshold)}')},"
        f" chosen by {code(policy.chosen.objective)} on {chosen_on}",
        *_checked(policy),
        *([f"guaranteed: {policy.chosen.guarantee}"] if policy.chosen.guarantee else []),
        f"review the threshold by {policy.review_date.isoformat()}",
    )
    if not rule:
        return Section.of("rule", "Rule", Points(points))
    measured = Points(tuple(task.sentence for task in rule))
    text = (
        "Each task of the rule on requests that the heads scored without having seen them, the"
        " test samples apart, with 95 % intervals; differences are rule minus score."
    )
    return Section.of("rule", "Rule", Points(points), text, measured)


def _checked(policy: Policy) -> Iterator[str]:
    """Say which answers are sent on."""
    check = policy.answer
    if check:
        yield (
            "answers of the cheap model are sent on when"
            f" {code(f'answer_score > {threshold_text(check.threshold)}')}; an answer that cannot"
            f" be checked {'is sent on' if check.on_unknown == 'escalate' else 'passes'}"
        )
    if why := way_of(policy):
        yield why


def _tasks(tasks: Sequence[str]) -> str:
    return ", ".join(code(task) for task in tasks) or "no task"


def _figures(evaluation: Evaluation) -> Section:
    rows = [
        Row(label, _cells(evaluation.overall[name]))
        for name, label in _SHOWN.items()
        if name in evaluation.overall
    ]
    text = (
        f"On {quantity_text(evaluation.counts['requests'], 'request')} used neither for fitting,"
        " calibration nor the threshold."
    )
    if evaluation.measured_by:
        text += f" Outcomes were measured by {measures_text(evaluation.measured_by)}."
    table = Table.of("", ["figure", "value", "95 % interval", "n"], rows)
    return Section.of("figures", "Test figures", text, table)


def _cells(estimate: Estimate) -> tuple[str, str, str]:
    low, high = estimate.low, estimate.high
    if estimate.value is None:
        return UNKNOWN, estimate.note, f"{estimate.n:,}"
    interval = UNKNOWN if low is None or high is None else f"{low:.3f} to {high:.3f}"
    return f"{estimate.value:.3f}", interval, f"{estimate.n:,}"


def _early_exit(policy: Policy, evaluation: Evaluation) -> Section:
    early = policy.early
    assert early is not None
    cuts = (("with", early.with_task), ("without", early.without_task))
    points = [
        f"{word} a known task: cheap below {threshold_text(cut.low)}, frontier above"
        f" {threshold_text(cut.high)}, chosen on {quantity_text(cut.n, 'calibration request')}"
        " with confidence"
        f" {early.confidence:g}"
        for word, cut in cuts
        if cut
    ]
    text = (
        f"{code('early.onnx')} decides what is far from the threshold; it may change"
        f" {early.budget:.2%} of the scorer's decisions. All other figures are the scorer's."
    )
    sentences = exit_sentences(evaluation.early, judged="test")
    return Section.of("early", "Early exit", text, Points((*points, *sentences)))


def _made_from(record: RunRecord, report: ParityReport) -> Section:
    text = (
        "Scores hold for traffic like that it was trained on. They say little about kinds of"
        " requests it never saw."
    )
    if record.familiarity:
        text += f"\n{record.familiarity.sentence}"
    return Section.of("made-from", "Made from", Points(tuple(_origins(record, report))), text)


def _origins(record: RunRecord, report: ParityReport) -> Iterator[str]:
    samples = record.samples
    yield f"recipe {code(record.recipe.name)}, traffic sha256 {code(record.training_data)}"
    yield (
        f"{samples.fit:,} fit, {samples.calibration:,} calibration,"
        f" {quantity_text(samples.test, 'test sample')},"
        f" {samples.aside:,} aside"
    )
    if record.calibration == "cross":
        yield (
            "heads learned from the fit and the calibration samples; probabilities are calibrated,"
            " and the threshold is chosen, on scores by heads that did not see the sample"
        )
    yield from record.notes
    yield (
        "exported graph against the Python model: largest difference"
        f" {report.max_difference:.2g} on {quantity_text(report.n, 'request')}, {report.flips}"
        " decisions flipped"
    )
    if report.encoder:
        yield f"encoder trained on with float32 weights, shipped with others: {report.encoder}"
