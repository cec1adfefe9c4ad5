"""Evaluate: a run or a bundle on labelled traffic -> metrics.json with intervals, slices and
baselines, and the report of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.bundle import Policy, read_bundle
from difficulty.diagnostics.suspicion import LabelSummary
from difficulty.early_exit.cut_offs import exit_sentences
from difficulty.economics import PriceList, request_costs
from difficulty.errors import RunError
from difficulty.evaluation import Evaluation, Provenance, TaskMeans, evaluate, write_metrics
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.evaluation.scripts import traffic_labels
from difficulty.evaluation.slices import Mistake, Mistakes, worst_mistakes
from difficulty.metrics.bootstrap import STANDARD, Resampling
from difficulty.records import Estimate, Prices
from difficulty.report.blocks import Chosen, Extras, Suspects
from difficulty.report.page import report_html, report_markdown
from difficulty.runtime.scorer import EarlyScorer, Scorer, exits
from difficulty.stages.choosing import both_scores, judge_exits
from difficulty.stages.economics import Question, economics_of, read_economics, write_economics
from difficulty.stages.judging import (
    Picked,
    hash_of_texts,
    judged_by,
    pick_unseen,
    refuse_none,
    serve,
    weighed,
)
from difficulty.storage import whole_file
from difficulty.traffic.logged import LoggedReport
from difficulty.traffic.table import Traffic
from difficulty.traffic.tokenized import tokenize
from difficulty.training.diagnosis import with_suspicion
from difficulty.training.reading import ReadCounts, reading_of
from difficulty.training.run import Overlap, Run

_NEEDS = "evaluation needs samples"
_OWN_TRAFFIC = "The traffic the bundle was trained on; only its test split is judged."
_LEFT_OUT = ("fit", "calibration", "aside")
_OTHER_TRAFFIC = (
    "Other traffic than the bundle was trained on; whether single samples overlap is not known."
)


class Judgement(NamedTuple):
    """An evaluation, and which samples of the file it rests on."""

    evaluation: Evaluation
    judged: int
    left_out: int
    """Samples of the file that are not judged, because training or calibration saw them."""
    note: str
    written: tuple[str, ...]
    """Names of the files in the folder."""


def evaluate_scorer(
    scorer_path: Path,
    traffic_path: Path,
    out: Path,
    *,
    prices: PriceList | None = None,
    cache: Path | None = None,
    resampling: Resampling = STANDARD,
    show_texts: bool = False,
    economics: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Judgement:
    """Judge a run or a bundle and write ``metrics.json``, ``report.html`` and ``report.md`` into
    ``out``.

    Samples whose text or group was in the fit or calibration split are left out: a run remembers
    hashes of them. A bundle does not; of its own training traffic the test split is judged, of
    other traffic everything, and the note says that overlap is unknown. A run keeps embeddings of a
    slow encoder in ``cache``, where that is given. The report holds texts of requests only with
    ``show_texts``. Of a bundle with early exit the figures are the scorer's; what early exit
    changes in them stands beside them. It says whether routing pays where ``economics`` names an
    ``economics.json``, or else where the price list compares ways to host: then ``economics.json``,
    of the same scores and the defaults of :class:`~difficulty.stages.economics.Question`, is
    written as well.

    Raises
    ------
    TooFewSamplesError
        If nothing is left to judge.
    """
    traffic = Traffic.read(traffic_path)
    is_bundle = (scorer_path / "manifest.json").is_file()
    if not is_bundle and not (scorer_path / "run.json").is_file():
        raise RunError(
            f"neither a run nor a bundle at {str(scorer_path)!r}. Name a folder written by"
            " 'difficulty train' or 'difficulty ship'."
        )
    say, per_token = progress or (lambda _: None), prices.per_token if prices else None
    material = (
        _of_bundle(scorer_path, traffic, per_token, say)
        if is_bundle
        else _of_run(scorer_path, traffic, per_token, cache)
    )
    say(f"judging {len(material.held_out):,} samples")
    evaluation = evaluate(
        material.held_out,
        resampling,
        task_means=material.task_means,
        others=material.others,
        provenance=material.provenance,
    )
    evaluation = (
        evaluation.noting(material.notes)
        .leaving_early(material.early)
        .descending_from(material.lineage)
    )
    out.mkdir(parents=True, exist_ok=True)
    write_metrics(evaluation, out / "metrics.json")
    mistakes = mistakes_of(material.held_out, material.picked, show_texts=show_texts)
    say("weighing up what it saves")
    money = (
        read_economics(economics)
        if economics
        else _economics(material, traffic, prices, out, resampling)
    )
    extras = replace(
        material.extras,
        economics=money,
        traffic=traffic_path.name,
        note=material.note,
        mistakes=mistakes,
        texts_shown=show_texts,
    )
    write_report(evaluation, extras, out)
    n = len(material.held_out)
    priced = ("economics.json",) if money and not economics else ()
    return Judgement(
        evaluation,
        n,
        len(traffic) - n,
        material.note,
        ("metrics.json", *priced, "report.html", "report.md"),
    )


def _economics(
    material: _Material,
    traffic: Traffic,
    prices: PriceList | None,
    out: Path,
    resampling: Resampling,
) -> dict[str, Any] | None:
    """Write ``economics.json`` and return what it holds; ``None`` where the price list has no more
    than what tokens cost.
    """
    if prices is None or not prices.compares_hosting:
        return None
    question = Question(resampling=resampling)
    economics = economics_of(
        material.held_out, material.picked, traffic, material.policy, prices, question
    )
    write_economics(economics, out / "economics.json")
    return economics.as_dict()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Material:
    """What an evaluation needs."""

    held_out: ScoredTraffic
    task_means: TaskMeans | None = None
    others: dict[str, NDArray[np.float64]] | None = None
    note: str
    notes: tuple[str, ...] = ()
    """What is to be known of the outcomes: how logged ones are weighted."""
    early: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    """What the early exit of a bundle does to the judged requests."""
    provenance: Provenance
    lineage: dict[str, Any]
    picked: Traffic
    """The judged requests."""
    policy: Policy | None = None
    """Of a bundle."""
    extras: Extras
    """What the report tells of the scorer beside the figures."""


def _of_run(path: Path, traffic: Traffic, prices: Prices | None, cache: Path | None) -> _Material:
    run = Run.read(path, cache=cache)
    own = traffic.data_hash == run.record.training_data
    overlap = run.seen.look_up(traffic, ingested_together=own)
    new = np.flatnonzero(~overlap.any)
    refuse_none(len(new), len(traffic), needs=_NEEDS)
    picked, logged = weighed(traffic.select(new), run.recipe.labels)
    tokens = tokenize(picked, view=run.view, tokenizer=run.tokenizer)
    model, left_out = run.model, len(traffic) - len(new)
    held_out = ScoredTraffic.of(
        picked,
        model.predict(tokens.ids, tokens.tasks).by_name(),
        tokens.totals,
        costs=request_costs(picked.tokens, prices),
        target=model.target,
        labels=traffic_labels(picked),
    )
    suspicious = sum(name in run.suspicious for name in picked.ids) if own else None
    reading = reading_of(ReadCounts.of(tokens, run.tokenizer), run.tokenizer, run.encoder)
    return _Material(
        held_out=with_suspicion(held_out, picked.ids, run.suspicious) if suspicious else held_out,
        task_means=run.record.task_gains,
        others=(
            {"without_task": model.predict(tokens.ids).difficulty_score}
            if model.task_channels
            else None
        ),
        notes=(*(logged.notes if logged else ()), *reading.notes),
        note=(
            f"{left_out:,} samples whose text or group training saw are left out."
            if left_out
            else "No sample was seen in training."
        ),
        provenance=_provenance_of_run(run, traffic, overlap, suspicious=suspicious, logged=logged),
        lineage=judged_by(
            run.record,
            scorer="run",
            name=path.resolve().name,
            policy=None,
            judged_data=traffic.data_hash,
            judged=len(new),
            left_out=left_out,
            prices=prices,
        ),
        picked=picked,
        extras=Extras(suspects=suspects_of(run.record.labels)),
    )


def _of_bundle(
    path: Path, traffic: Traffic, prices: Prices | None, say: Callable[[str], None]
) -> _Material:
    bundle = read_bundle(path)
    picked, policy = pick_unseen(bundle, traffic, needs=_NEEDS), bundle.policy
    n, leaving = len(picked.traffic), exits(policy)
    served = serve(
        Scorer.from_bundle(bundle),
        picked.traffic,
        prices,
        target=bundle.manifest.target,
        early=EarlyScorer.from_bundle(bundle) if leaving else None,
        without_task=True,
        sliced=True,
        progress=lambda done: say(f"scored {done:,} of {n:,} samples"),
    )
    early = judge_exits(leaving, both_scores(served, policy)) if leaving else {}
    sentences = [
        f"Figures are those of the scorer: {sentence}."
        for sentence in exit_sentences(early, judged="judged")
    ]
    return _Material(
        held_out=served.under_policy(policy),
        others=served.others,
        notes=(*picked.notes, *served.scores.reading.notes, *sentences),
        early=early,
        note=_OTHER_TRAFFIC if picked.splits is None else _OWN_TRAFFIC,
        provenance=_provenance_of_bundle(policy, traffic, picked),
        lineage=judged_by(
            bundle.manifest,
            scorer="bundle",
            name=bundle.label,
            policy=policy,
            judged_data=traffic.data_hash,
            judged=n,
            left_out=len(traffic) - n,
            prices=prices,
        ),
        picked=picked.traffic,
        policy=policy,
        extras=Extras(chosen=choice_of(policy)),
    )


def _provenance_of_run(
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


def _provenance_of_bundle(policy: Policy, traffic: Traffic, picked: Picked) -> Provenance:
    """Return what a bundle knows of traffic: whether it is that of its training, and whether the
    threshold was chosen on it.
    """
    splits = picked.splits
    left_out = (
        None
        if splits is None
        else {f"{name} split": int((splits == name).sum()) for name in _LEFT_OUT}
    )
    return Provenance(
        requests=len(traffic),
        own_traffic=splits is not None,
        seen=left_out,
        threshold_rows=_threshold_rows(policy, traffic, picked.traffic),
        **_logged(picked.logged),
    )


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


def write_report(evaluation: Evaluation, extras: Extras, out: Path) -> None:
    """Write ``report.html`` and ``report.md`` into a folder; what the lineage says of scorer and
    models is taken from it.
    """
    lineage = evaluation.lineage
    extras = replace(
        extras,
        scorer=lineage.get("name", ""),
        kind=lineage.get("scorer", extras.kind),
        cheap_model=lineage.get("cheap_model"),
        frontier_model=lineage.get("frontier_model"),
        made_on=lineage.get("judged_on", ""),
    )
    for name, text in (
        ("report.html", report_html(evaluation, extras)),
        ("report.md", report_markdown(evaluation, extras)),
    ):
        with whole_file(out / name, errors="replace") as file:
            file.write(text)


def choice_of(policy: Policy) -> Chosen:
    """Return how a policy's threshold was chosen, and its rules in words."""
    chosen = policy.chosen
    return Chosen(
        objective=chosen.objective,
        expected={name: Estimate(**form) for name, form in chosen.expected.items()},
        n=chosen.n,
        review_date=policy.review_date.isoformat(),
        guarantee=chosen.guarantee,
        rules=tuple(_rules(policy)),
    )


def suspects_of(labels: LabelSummary | None) -> Suspects | None:
    """Return what a run says of suspicious labels; None for a run from before they were looked
    for.
    """
    if labels is None:
        return None
    return Suspects(by_task=labels.by_task, reasons=labels.why, checked=labels.checked)


def mistakes_of(scored: ScoredTraffic, traffic: Traffic, *, show_texts: bool) -> Mistakes | None:
    """Return the worst mistakes; without ``show_texts`` no text is read."""
    mistakes = worst_mistakes(scored, traffic.ids)
    if mistakes is None or not show_texts:
        return mistakes
    return replace(
        mistakes, kept=_with_texts(mistakes.kept, traffic), sent=_with_texts(mistakes.sent, traffic)
    )


def _with_texts(mistakes: tuple[Mistake, ...], traffic: Traffic) -> tuple[Mistake, ...]:
    rows = {name: row for row, name in enumerate(traffic.ids)}
    messages = traffic.messages([rows[mistake.id] for mistake in mistakes])
    texts = (" / ".join(message["content"] for message in each) for each in messages)
    return tuple(replace(mistake, text=text) for mistake, text in zip(mistakes, texts, strict=True))


def _rules(policy: Policy) -> list[str]:
    rules = []
    if policy.easy_tasks and policy.max_cheap_tokens:
        rules.append(
            f"{', '.join(policy.easy_tasks)} below {policy.max_cheap_tokens:,} tokens stay on the"
            " cheap model"
        )
    if policy.hard_tasks:
        rules.append(f"{', '.join(policy.hard_tasks)} go to the frontier model")
    if policy.min_familiarity:
        rules.append(
            f"requests less familiar than {policy.min_familiarity:g} go to the frontier model"
        )
    if policy.task_thresholds:
        rules.append(f"{', '.join(policy.task_thresholds)} have thresholds of their own")
    return rules
