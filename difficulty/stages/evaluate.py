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

from difficulty.bundle import Bundle, Policy, read_bundle
from difficulty.early_exit.cut_offs import exit_sentences
from difficulty.economics import PriceList
from difficulty.errors import RunError, TooFewSamplesError
from difficulty.evaluation import Evaluation, Provenance, TaskMeans, evaluate, write_metrics
from difficulty.evaluation.scored import Judged
from difficulty.metrics.bootstrap import affordable_draws
from difficulty.recipe import LabelSettings
from difficulty.records import Estimate, Prices
from difficulty.report.blocks import Extras
from difficulty.runtime.scorer import EarlyScorer, Scorer, exits
from difficulty.stages.early_exit import both_scores, judge_exits
from difficulty.stages.priced import Question, economics_of, write_economics
from difficulty.stages.provenance import judged_by, provenance_of_bundle, provenance_of_run
from difficulty.stages.reading import reading_of
from difficulty.stages.report import (
    choice_of,
    mistakes_of,
    read_economics,
    suspects_of,
    write_report,
)
from difficulty.stages.scores import score_traffic
from difficulty.stages.scoring import judged, tokenize
from difficulty.traffic.logged import LoggedReport, weigh_logged
from difficulty.traffic.table import Traffic
from difficulty.training.diagnosis import with_suspicion
from difficulty.training.run import Run

_OWN_TRAFFIC = "The traffic the bundle was trained on; only its test split is judged."
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
    n_draws: int = 1000,
    seed: int = 0,
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
    changes in them is told beside them. It says whether routing pays where ``economics`` names an
    ``economics.json``, or else where the price list compares ways to host: then ``economics.json``,
    of the same scores and the defaults of :class:`~difficulty.stages.priced.Question`, is written
    as well.

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
    made = (
        _of_bundle(scorer_path, traffic, per_token, say)
        if is_bundle
        else _of_run(scorer_path, traffic, per_token, cache)
    )
    say(f"judging {len(made.held_out):,} samples")
    rng = np.random.default_rng(seed)
    evaluation = evaluate(
        made.held_out,
        n_draws=n_draws,
        rng=rng,
        task_means=made.task_means,
        others=made.others,
        provenance=made.provenance,
    )
    evaluation = (
        evaluation.noting(made.notes).leaving_early(made.early).descending_from(made.lineage)
    )
    out.mkdir(parents=True, exist_ok=True)
    write_metrics(evaluation, out / "metrics.json")
    mistakes = mistakes_of(made.held_out, made.picked, show_texts=show_texts)
    say("weighing up what it saves")
    money = (
        read_economics(economics)
        if economics
        else _economics(made, traffic, prices, out, n_draws=n_draws, seed=seed)
    )
    extras = replace(
        made.extras,
        economics=money,
        traffic=traffic_path.name,
        note=made.note,
        mistakes=mistakes,
        texts_shown=show_texts,
    )
    write_report(evaluation, extras, out)
    n = len(made.held_out)
    priced = ("economics.json",) if money and not economics else ()
    return Judgement(
        evaluation,
        n,
        len(traffic) - n,
        made.note,
        ("metrics.json", *priced, "report.html", "report.md"),
    )


def _economics(
    made: _Material,
    traffic: Traffic,
    prices: PriceList | None,
    out: Path,
    *,
    n_draws: int,
    seed: int,
) -> dict[str, Any] | None:
    """Write ``economics.json`` and return what it holds; ``None`` where the price list has no more
    than what tokens cost.
    """
    if prices is None or not prices.compares_hosting:
        return None
    question = Question(n_draws=affordable_draws(len(made.held_out), n_draws), seed=seed)
    found = economics_of(made.held_out, made.picked, traffic, made.policy, prices, question)
    write_economics(found, out / "economics.json")
    return found.as_dict()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Material:
    """What an evaluation needs."""

    held_out: Judged
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
    _check_some(len(new), len(traffic))
    picked, logged = _weighed(traffic.select(new), run.recipe.labels)
    tokens = tokenize(picked, view=run.view, tokenizer=run.tokenizer)
    model, left_out = run.model, len(traffic) - len(new)
    outputs = model.predict(tokens.ids, tokens.tasks).by_name()
    held_out = judged(picked, outputs, tokens.totals, target=model.target, prices=prices)
    suspicious = sum(name in run.suspicious for name in picked.ids) if own else None
    return _Material(
        held_out=with_suspicion(held_out, picked.ids, run.suspicious) if suspicious else held_out,
        task_means=run.record.task_gains,
        others=(
            {"without_task": model.predict(tokens.ids).difficulty_score}
            if model.task_channels
            else None
        ),
        notes=(*_notes(logged), *reading_of(tokens, run.tokenizer, run.encoder).notes),
        note=(
            f"{left_out:,} samples whose text or group training saw are left out."
            if left_out
            else "No sample was seen in training."
        ),
        provenance=provenance_of_run(run, traffic, overlap, suspicious=suspicious, logged=logged),
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
    splits = training_splits(bundle, traffic)
    rows = np.arange(len(traffic)) if splits is None else np.flatnonzero(splits == "test")
    _check_some(len(rows), len(traffic))
    picked, logged = _weighed(traffic.select(rows), label_settings(bundle))
    scorer, policy = Scorer.from_bundle(bundle), bundle.policy
    name = f"{bundle.manifest.name}-{bundle.manifest.version}"
    n, leaving = len(picked), exits(policy)
    small = EarlyScorer.from_bundle(bundle) if leaving else None
    scores = score_traffic(
        scorer,
        picked,
        without_task=True,
        early=small,
        progress=lambda done: say(f"scored {done:,} of {n:,} samples"),
    )
    early = judge_exits(leaving, both_scores(scores, picked, policy)) if leaving else {}
    said = [
        f"Figures are those of the scorer: {sentence}."
        for sentence in exit_sentences(early, judged="judged")
    ]
    return _Material(
        held_out=judged(
            picked,
            scores.outputs,
            scores.totals,
            target=bundle.manifest.target,
            prices=prices,
            policy=policy,
        ),
        others=scores.untold,
        notes=(*_notes(logged), *scores.reading.notes, *said),
        early=early,
        note=_OTHER_TRAFFIC if splits is None else _OWN_TRAFFIC,
        provenance=provenance_of_bundle(policy, traffic, picked, splits, logged=logged),
        lineage=judged_by(
            bundle.manifest,
            scorer="bundle",
            name=name,
            policy=policy,
            judged_data=traffic.data_hash,
            judged=len(rows),
            left_out=len(traffic) - len(rows),
            prices=prices,
        ),
        picked=picked,
        policy=policy,
        extras=Extras(chosen=choice_of(policy)),
    )


def weighed(traffic: Traffic, settings: LabelSettings) -> tuple[Traffic, tuple[str, ...]]:
    """Return logged traffic weighted, with what to say of it; what an unknown policy selected is
    judged as it is, and the notes say so.
    """
    traffic, logged = _weighed(traffic, settings)
    return traffic, _notes(logged)


def _weighed(traffic: Traffic, settings: LabelSettings) -> tuple[Traffic, LoggedReport | None]:
    return weigh_logged(traffic, replace(settings, accept_selection_bias=True))


def _notes(logged: LoggedReport | None) -> tuple[str, ...]:
    return logged.notes if logged else ()


def label_settings(bundle: Bundle) -> LabelSettings:
    """Return the label settings of the recipe that a bundle was trained by; bundles from before
    there were any have the defaults.
    """
    return LabelSettings.parse(bundle.manifest.recipe.get("labels", {}))


def training_splits(bundle: Bundle, traffic: Traffic) -> NDArray[np.str_] | None:
    """Return the split of each sample in training; ``None`` where the bundle was trained on other
    traffic.
    """
    manifest = bundle.manifest
    if traffic.data_hash != manifest.training_data:
        return None
    return traffic.splits(manifest.split.fractions, manifest.split.seed)


def _check_some(n: int, n_all: int) -> None:
    if not n:
        raise TooFewSamplesError(
            f"evaluation needs samples that training did not see: all {n_all:,} were seen. Pass"
            " other traffic."
        )
