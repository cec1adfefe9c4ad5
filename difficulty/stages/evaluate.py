"""Evaluate: a run or a bundle on labelled traffic -> metrics.json with intervals, slices and
baselines, and the report of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.bundle import Policy, read_bundle
from difficulty.diagnostics.suspicion import LabelSummary
from difficulty.diagnostics.unfamiliar import EDGE
from difficulty.early_exit import exit_sentences
from difficulty.economics import PriceList, request_costs
from difficulty.economics.analysis import POLICY
from difficulty.economics.usage import Volume
from difficulty.errors import RunError
from difficulty.evaluation import Evaluation, Provenance, TaskMeans, evaluate, write_metrics
from difficulty.evaluation.decision.money_case import MoneyCase
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.evaluation.slices import Mistake, Mistakes, traffic_labels, worst_mistakes
from difficulty.metrics.bootstrap import STANDARD, Resampling
from difficulty.perturb import PERTURBATIONS, Stability, measure_stability, perturb
from difficulty.records import Estimate, Prices
from difficulty.report.blocks import ChosenThreshold, Extras, Suspects
from difficulty.report.page import report_html, report_markdown
from difficulty.runtime.answer_checker import AnswerChecker
from difficulty.runtime.scorer import EarlyScorer, Scorer, exits
from difficulty.stages.choosing import both_scores, expected_of, judge_exits, way_of
from difficulty.stages.deploying.bundle_verdict import (
    other_models,
    provenance_of,
    selection,
    with_verdict,
)
from difficulty.stages.deploying.session_steps import judge_sessions
from difficulty.stages.deploying.traffic_scores import quick_scorer, score_traffic
from difficulty.stages.economics import Question, economics_of, read_economics, write_economics
from difficulty.stages.judging import (
    lineage_of,
    moved_facts,
    pick_unseen,
    refuse_none,
    serve,
    shipped_means,
    weighed,
)
from difficulty.stages.overlap import BundleOverlap, threshold_rows
from difficulty.storage import on_urls, whole_file
from difficulty.text import part_text, quantity_text
from difficulty.traffic.outcomes import measures_form, ungraded_notes
from difficulty.traffic.stored.tokenized import tokenize
from difficulty.traffic.table import Traffic
from difficulty.training.answering import check_by_run
from difficulty.training.diagnosis import with_suspicion
from difficulty.training.reading import ReadCounts, reading_of
from difficulty.training.run import Run, notes_of

_NEEDS = "evaluation needs samples"
_OWN_TRAFFIC = "The traffic the bundle was trained on; only its test split is judged."
_OTHER_TRAFFIC = (
    "Other traffic than the bundle was trained on; whether single samples overlap is not known."
)
_LEFT_OUT = "{} left out: the bundle was made from them, or they look so{}."
_NONE_SEEN = "No sample was seen when the bundle was made."


class Judgement(NamedTuple):
    """An evaluation, and which samples of the file it rests on."""

    evaluation: Evaluation
    judged: int
    left_out: int
    """Samples of the file that are not judged, because training or calibration saw them."""
    note: str
    written: tuple[str, ...]
    """Names of the files in the folder."""


@on_urls
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
    volume: Volume | None = None,
    perturbed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Judgement:
    """Judge a run or a bundle and write ``metrics.json``, ``report.html`` and ``report.md`` into
    ``out``.

    Samples whose text or group was in the fit or calibration split are left out: a run remembers
    hashes of them, and so does a bundle with ``seen.bin``. Of a bundle's own training traffic the
    test split is judged; of other traffic, without that file, everything, and the note says that
    overlap is unknown. A run keeps embeddings of a
    slow encoder in ``cache``, where that is given. The report holds texts of requests only with
    ``show_texts``. Of a bundle with early exit the figures are the scorer's; what early exit
    changes in them stands beside them. It says whether routing pays where ``economics`` names an
    ``economics.json``, or else of a bundle where the price list compares ways to host: then
    ``economics.json``, of the same scores and ``volume`` requests a month, is written as well. With
    ``perturbed``, at most so many of the judged requests, drawn at random, are scored in other
    clothes as well.

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
    say(f"judging {quantity_text(len(material.held_out), 'sample')}")
    evaluation = evaluate(
        material.held_out,
        resampling,
        task_means=material.task_means,
        others=material.others,
        provenance=material.provenance,
    )
    evaluation = replace(
        evaluation.noting(material.notes),
        early=material.early,
        sessions=material.sessions,
        lineage=material.lineage,
    )
    out.mkdir(parents=True, exist_ok=True)
    mistakes = mistakes_of(material.held_out, material.picked, show_texts=show_texts)
    if perturbed:
        evaluation = _in_other_clothes(evaluation, material, perturbed, resampling, say)
    say("weighing up what it saves")
    money = (
        read_economics(economics)
        if economics
        else _economics(
            material, traffic, prices, out, Question(volume=volume, resampling=resampling)
        )
    )
    # A file may be about a share that the user asked for: no word on this policy.
    case = MoneyCase.of(money) if money and money["plan"] == POLICY else None
    evaluation = with_verdict(evaluation, material.policy, money=case)
    write_metrics(evaluation, out / "metrics.json")
    extras = replace(
        material.extras,
        economics=money,
        traffic=traffic_path.name,
        places={
            "BUNDLE" if is_bundle else "RUN": str(scorer_path),
            "TRAFFIC": str(traffic_path),
            # Only what has no outcome can be labelled.
            "UNLABELLED": "" if traffic.outcomes.known.all() else str(traffic_path),
        },
        note=material.note,
        mistakes=mistakes,
        texts_shown=show_texts,
    )
    write_report(evaluation, extras, out)
    n = len(material.held_out)
    # A file that was named is shown, not written.
    priced = ("economics.json",) if money and not economics else ()
    return Judgement(
        evaluation,
        n,
        len(traffic) - n,
        material.note,
        ("metrics.json", *priced, "report.html", "report.md"),
    )


def _economics(
    material: _Material, traffic: Traffic, prices: PriceList | None, out: Path, question: Question
) -> dict[str, Any] | None:
    """Write ``economics.json`` and return it; ``None`` where there are token prices only, or no
    policy that decides what stays cheap.
    """
    if prices is None or not prices.compares_hosting or material.policy is None:
        return None
    economics = economics_of(
        material.held_out, material.picked, traffic, material.policy, prices, question
    )
    write_economics(economics, out / "economics.json")
    return economics.as_dict()


def _in_other_clothes(
    evaluation: Evaluation,
    material: _Material,
    most: int,
    resampling: Resampling,
    say: Callable[[str], None],
) -> Evaluation:
    """Return the evaluation with what becomes of some requests under every perturbation."""
    whole = len(material.picked)
    rows = np.sort(np.random.default_rng(resampling.seed).permutation(whole)[:most])
    asked = material.picked.select(rows)
    messages, policy = asked.messages(), material.policy
    bound = (policy.min_familiarity if policy else 0.0) or EDGE
    plain = material.score(asked)
    if policy is None:
        cuts = np.full(len(asked), np.quantile(plain.score, 1.0 - _SHARE))
        at = f"sending the highest {_SHARE:.0%}, as no threshold is chosen"
    else:
        own = policy.task_thresholds
        cuts = np.array([own.get(task or "", policy.threshold) for task in asked.tasks])
        at = "by the policy's threshold"
    figures = {}
    for name in PERTURBATIONS:
        say(f"judging requests in other clothes: {name.replace('_', ' ')}")
        changed = perturb(name, messages, ids=asked.ids, seed=resampling.seed)
        moved = np.flatnonzero([new != old for new, old in zip(changed, messages, strict=True)])
        if not len(moved):
            continue
        some = asked.select(moved).with_columns({"messages": [changed[row] for row in moved]})
        figures[name] = measure_stability(
            plain.stability(cuts, bound).at(moved),
            material.score(some).stability(cuts[moved], bound),
            gain=asked.outcomes.gain[moved],
            groups=np.asarray(asked.split_groups)[moved],
            weight=asked.outcomes.weight[moved],
            resampling=resampling,
        )
    note = (
        f"Robustness: {len(asked):,} of {quantity_text(whole, 'request')}, drawn at random,"
        f" decided {at};"
        f" unfamiliar is less familiar than {bound:g}. The figures stand in the report, under"
        ' "In other clothes", and in metrics.json, under "robustness".'
    )
    return replace(evaluation.noting([note]), robustness=figures)


_SHARE = 0.3


class _Scored(NamedTuple):
    """Score and familiarity of n requests, arrays of shape (n,)."""

    score: NDArray[np.float64]
    familiarity: NDArray[np.float64] | None

    def stability(self, cuts: NDArray[np.float64], bound: float) -> Stability:
        """Return what thresholds and a bound on familiarity make of them."""
        flags = None if self.familiarity is None else self.familiarity < bound
        return Stability(self.score, self.score > cuts, flags)


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
    sessions: dict[str, Estimate] = field(default_factory=dict)
    """What a bundle that keeps sessions on their model does to those of the judged requests."""
    provenance: Provenance
    lineage: dict[str, Any]
    picked: Traffic
    """The judged requests."""
    policy: Policy | None = None
    """Of a bundle."""
    score: Callable[[Traffic], _Scored]
    """Scores other requests as the judged ones were scored."""
    extras: Extras
    """What the report tells of the scorer beside the figures."""


def _of_run(path: Path, traffic: Traffic, prices: Prices | None, cache: Path | None) -> _Material:
    run = Run.read(path, cache=cache)
    record, model = run.record, run.model
    # Near-duplicates are searched for only in traffic that was not ingested with the run's.
    own = traffic.data_hash == record.training_data
    overlap = run.seen.look_up(traffic, ingested_together=own)
    new = np.flatnonzero(~overlap.any)
    refuse_none(len(new), len(traffic), needs=_NEEDS)
    unseen, ungraded = traffic.select(new), 0
    # Training left them out where there were grades enough: they test what it learned from.
    if not any(map(measures_form, run.calibration.outcomes.measures)):
        unseen, ungraded = unseen.without_forms()
    picked, logged = weighed(unseen, run.recipe.labels)
    tokens = tokenize(picked, view=run.view, tokenizer=run.tokenizer)
    scores, without_task = model.predict_both(tokens.ids, tokens.tasks)
    answers = check_by_run(run, picked, scores)
    held_out = ScoredTraffic.of(
        picked,
        scores.by_name() | (answers.by_name() if answers else {}),
        tokens.totals,
        costs=request_costs(picked.tokens, prices, picked.bill, counted=tokens.totals),
        target=model.target,
        labels=traffic_labels(picked),
    )
    others = {}
    if model.task_channels:
        others = {"without_task": without_task.difficulty_score}
    reading = reading_of(ReadCounts.of(tokens, run.tokenizer), run.tokenizer, run.encoder)
    left_out = len(traffic) - len(new)
    return _Material(
        # Suspicion is remembered by id, which names the same sample in the run's own traffic only.
        held_out=with_suspicion(held_out, picked.ids, run.suspicious) if own else held_out,
        # Learnt when training had the fit samples.
        task_means=record.task_gains,
        others=others,
        notes=(
            *ungraded_notes(ungraded),
            *notes_of(logged, reading),
            *_counted_notes(picked, prices),
        ),
        note=(
            f"{quantity_text(left_out, 'sample')} whose text or group training saw"
            f" {'is' if left_out == 1 else 'are'} left out."
            if left_out
            else "No sample was seen in training."
        ),
        provenance=Provenance(
            requests=len(traffic),
            own_traffic=own,
            seen=overlap.counts,
            same_ids=_same_ids(run, picked),
            other_models=other_models(record, picked),
            suspicious=sum(name in run.suspicious for name in picked.ids) if own else None,
            **selection(logged),
        ),
        lineage=lineage_of(
            record,
            scorer="run",
            name=path.resolve().name,
            policy=None,
            judged_data=traffic.data_hash,
            judged=len(new),
            left_out=left_out,
            prices=prices,
        ),
        picked=picked,
        score=partial(_score_by_run, run),
        extras=Extras(suspects=suspects_of(record.labels)),
    )


def _score_by_run(run: Run, traffic: Traffic) -> _Scored:
    tokens = tokenize(traffic, view=run.view, tokenizer=run.tokenizer)
    scores = run.model.predict(tokens.ids, tokens.tasks)
    return _Scored(scores.difficulty_score, scores.familiarity)


def _score_by_bundle(scorer: Scorer, traffic: Traffic) -> _Scored:
    outputs = score_traffic(scorer, traffic).outputs
    familiarity = outputs.get("familiarity")
    return _Scored(
        outputs["difficulty_score"].astype(np.float64),
        None if familiarity is None else familiarity.astype(np.float64),
    )


def _counted_notes(judged: Traffic, prices: Prices | None) -> tuple[str, ...]:
    """Say whose prompts are priced by the scorer's count, as their own is not known."""
    tokens, bill = judged.tokens, judged.bill
    answered = ~np.isnan(tokens.cheap) | ~np.isnan(tokens.frontier)
    priced = answered & np.isnan(tokens.prompt) & np.isnan(bill.cheap + bill.frontier)
    n = int(priced.sum())
    if prices is None or not n:
        return ()
    return (
        f"{part_text(n, len(judged), 'request', 'has', 'have')} no prompt_tokens: costs count their"
        " prompts by the scorer's tokenizer.",
    )


def _same_ids(run: Run, picked: Traffic) -> int | None:
    """Return how many judged samples bear the id of one that training saw; ``None``: not known."""
    if not run.remembers_ids:
        return None
    trained = {*run.out_of_fold.ids, *run.calibration.ids}
    return sum(name in trained for name in picked.ids)


def _of_bundle(
    path: Path, traffic: Traffic, prices: Prices | None, say: Callable[[str], None]
) -> _Material:
    bundle = read_bundle(path)
    picked, policy = pick_unseen(bundle, traffic, needs=_NEEDS), bundle.policy
    n, leaving, overlap = len(picked.traffic), exits(policy), picked.overlap
    scorer = quick_scorer(bundle, n)
    checker = AnswerChecker.from_bundle(bundle, scorer)
    served = serve(
        scorer,
        picked.traffic,
        prices,
        target=bundle.manifest.target,
        early=EarlyScorer.from_bundle(bundle) if leaving else None,
        without_task=True,
        sliced=True,
        checker=checker,
        progress=lambda done: say(f"scored {done:,} of {n:,} samples"),
    )
    moved = moved_facts(checker, served, policy) if checker else None
    is_stale = policy.answer is not None and moved is not None and moved.is_stale
    early = judge_exits(leaving, both_scores(served, policy)) if leaving else {}
    sentences = [
        f"Figures are those of the scorer: {sentence}."
        for sentence in exit_sentences(early, judged="judged")
    ]
    sessions = judge_sessions(served, policy, prices)
    return _Material(
        held_out=served.under_policy(policy, is_stale=is_stale),
        others=served.others,
        task_means=shipped_means(bundle),
        notes=(
            *picked.notes,
            *served.scores.reading.notes,
            *_counted_notes(picked.traffic, prices),
            *sentences,
            *sessions.notes,
        ),
        early=early,
        sessions=sessions.figures,
        note=_overlap_note(overlap),
        provenance=provenance_of(
            bundle,
            picked.traffic,
            overlap,
            policy=policy,
            threshold_rows=threshold_rows(bundle, traffic, picked.traffic),
            logged=picked.logged,
            moved=moved,
        ),
        lineage=lineage_of(
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
        score=partial(_score_by_bundle, scorer),
        extras=Extras(chosen=choice_of(policy)),
    )


def _overlap_note(overlap: BundleOverlap) -> str:
    if overlap.splits is not None:
        return _OWN_TRAFFIC
    if overlap.counts is None:
        return _OTHER_TRAFFIC
    if not overlap.left_out:
        return _NONE_SEEN
    strangers = f" ({overlap.of_strangers})" if overlap.of_strangers else ""
    return _LEFT_OUT.format(quantity_text(overlap.left_out, "sample"), strangers)


def write_report(evaluation: Evaluation, extras: Extras, out: Path) -> None:
    """Write both reports into a folder; scorer and models are those of the lineage."""
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
        # The name of the traffic file may hold bytes that are no UTF-8.
        with whole_file(out / name, errors="replace") as file:
            file.write(text)


def choice_of(policy: Policy) -> ChosenThreshold:
    """Return how a policy's threshold was chosen, and its rules in words."""
    chosen = policy.chosen
    return ChosenThreshold(
        objective=chosen.objective,
        expected=expected_of(policy),
        n=chosen.n,
        review_date=policy.review_date.isoformat(),
        guarantee=chosen.guarantee,
        rules=tuple(_rules(policy)),
        way=way_of(policy),
    )


def suspects_of(labels: LabelSummary | None) -> Suspects | None:
    """Return what a run says of suspicious labels; None where they were never looked for."""
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
