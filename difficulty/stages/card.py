"""``card.md``: what a bundle is, for people. Counts and figures only, no text of the traffic."""

from __future__ import annotations

from difficulty.bundle import Policy
from difficulty.early_exit.cut_offs import exit_sentences
from difficulty.evaluation import Evaluation
from difficulty.export.parity import ParityReport
from difficulty.records import Estimate
from difficulty.training.record import RunRecord

_SHOWN = {
    "apgr": "APGR",
    "auroc": "AUROC",
    "brier": "Brier score of p_cheap_fails",
    "ece": "ECE of p_cheap_fails",
    "routing_precision": "routing precision",
    "routing_recall": "routing recall",
    "frontier_share": "frontier share",
    "quality": "quality",
    "gap_recovered": "share of the quality gap recovered",
    "risk": "risk (kept requests that the cheap model fails)",
    "cost": "cost, USD per 1,000 requests",
}


def bundle_card(
    name: str, record: RunRecord, policy: Policy, evaluation: Evaluation, report: ParityReport
) -> str:
    """Return the card in Markdown."""
    samples = record.samples
    meaning = (
        "(1 + expected gain of the frontier model) / 2"
        if record.target == "benefit"
        else "P(the cheap model fails)"
    )
    lines = [
        f"# {name}",
        "",
        (
            f"Routes requests between `{policy.cheap_model}` (cheap) and `{policy.frontier_model}`"
            " (frontier)."
        ),
        f"`difficulty_score` is {meaning}; higher means more worth the frontier model.",
        "",
        "## Rule",
        "",
        (
            f"- cheap without scoring: {_tasks(policy.easy_tasks)}, below"
            f" {policy.max_cheap_tokens:,} tokens"
        ),
        f"- frontier without scoring: {_tasks(policy.hard_tasks)}",
        (
            f"- frontier when less familiar than {policy.min_familiarity:g}"
            if policy.min_familiarity
            else "- unfamiliar requests are scored too"
        ),
        (
            f"- else frontier when `difficulty_score > {policy.threshold:.6g}`, chosen by"
            f" `{policy.chosen.objective}` on {policy.chosen.n:,} calibration requests"
        ),
        f"- review the threshold by {policy.review_date.isoformat()}",
        "",
        "## Test figures",
        "",
        (
            f"On {evaluation.counts['requests']:,} requests that were used neither for fitting,"
            " calibration nor the threshold."
        ),
        "",
        "| figure | value | 95 % interval | n |",
        "| --- | --- | --- | --- |",
        *(
            _row(label, evaluation.overall[key])
            for key, label in _SHOWN.items()
            if key in evaluation.overall
        ),
        "",
        *_early(policy, evaluation),
        "## Made from",
        "",
        f"- recipe `{record.recipe.name}`, traffic sha256 `{record.training_data}`",
        (
            f"- {samples.fit:,} fit, {samples.calibration:,} calibration, {samples.test:,}"
            f" test samples, {samples.aside:,} aside"
        ),
        *(f"- {sentence}" for sentence in record.notes),
        (
            "- exported graph against the Python model: largest difference"
            f" {report.max_difference:.2g} on {report.n:,} requests, {report.flips} decisions"
            " flipped"
        ),
        *(
            [f"- encoder trained on with float32 weights, shipped with others: {report.encoder}"]
            if report.encoder
            else []
        ),
        "",
        (
            "Scores hold for traffic like that it was trained on. They say little about kinds of"
            " requests it never saw."
        ),
        *([record.familiarity.sentence] if record.familiarity else []),
        "",
    ]
    return "\n".join(lines)


def _early(policy: Policy, evaluation: Evaluation) -> list[str]:
    """Return the section on early exit, where there is one."""
    if not policy.early:
        return []
    early = policy.early
    cuts = [("with", early.with_task), ("without", early.without_task)]
    return [
        "## Early exit",
        "",
        (
            f"`early.onnx` decides what is far from the threshold; it may change {early.budget:.2%}"
            " of the scorer's decisions. All other figures are the scorer's."
        ),
        "",
        *(
            f"- {word} a known task: cheap below {cut.low:.6g}, frontier above {cut.high:.6g},"
            f" chosen on {cut.n:,} calibration requests with confidence {early.confidence:g}"
            for word, cut in cuts
            if cut
        ),
        *(f"- {sentence}" for sentence in exit_sentences(evaluation.early, judged="test")),
        "",
    ]


def _tasks(tasks: tuple[str, ...]) -> str:
    return ", ".join(f"`{task}`" for task in tasks) or "no task"


def _row(label: str, estimate: Estimate) -> str:
    if estimate.value is None:
        return f"| {label} | unknown | {estimate.note} | {estimate.n:,} |"
    interval = (
        "unknown"
        if estimate.low is None or estimate.high is None
        else f"{estimate.low:.3f} to {estimate.high:.3f}"
    )
    return f"| {label} | {estimate.value:.3f} | {interval} | {estimate.n:,} |"
