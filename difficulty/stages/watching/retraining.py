"""Retrain: old and new traffic -> a run that learned from both, the old weighing what it is still
worth, judged on the newest.

What the newest slice judges shares no group and no nearly equal text with what was learned. How
fast old samples lose their weight is chosen on what comes before it, forward in time: fitted on
earlier samples, judged on later ones. The run is no bundle yet: ``ship`` makes one, and only the
gate of ``promote`` puts it in service.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.bundle import Bundle, read_bundle
from difficulty.bundle.seen import PARTS
from difficulty.encoders.base import Encoder
from difficulty.errors import (
    DifficultyError,
    InvalidValueError,
    RunError,
    TooFewSamplesError,
    TrafficError,
)
from difficulty.evaluation.measure import figures_of
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.form import Record
from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.metrics.bootstrap import STANDARD, Resampling
from difficulty.model.combination import Target
from difficulty.recipe import FeatureSettings, Recipe, parse_recipe
from difficulty.records import Estimate
from difficulty.stages.deploying.traffic_scores import quick_scorer, score_traffic
from difficulty.stages.ingest import ingest
from difficulty.stages.judging import label_settings, weighed, without_forms
from difficulty.stages.overlap import overlap_of
from difficulty.stages.train import train
from difficulty.storage import on_urls, refuse_existing, whole_folder
from difficulty.text import part_text, quantity_text
from difficulty.traffic.stored.tokenized import tokenize
from difficulty.traffic.table import Traffic
from difficulty.training.run import Run
from difficulty.upkeep.disjoint import families_of
from difficulty.upkeep.time_weights import (
    HALF_LIVES,
    TriedWay,
    choose_way,
    forward_folds,
    mean_difference,
    weights_by_age,
    worth,
)

MATERIAL = "-material"
"""Ends the name of the folder beside the run: what it learned from and is judged by."""
_FIGURES = ("apgr", "auroc", "brier", "calibration_error")
_LEAST_NEWEST = 50
_FOLDS, _FOLD_SHARE = 2, 0.2
_LEAST_DRAWS = 20
_EDGE = 1e-6

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedScorer(Record):
    """A figure of the newest slice, by the old scorer and by the new one."""

    figure: str
    old: Estimate
    new: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrained:
    """The run, and what the newest slice says of it."""

    run: Run
    bundle: Bundle
    material: Path
    """Folder with ``mixed.parquet``, ``newest.parquet`` and ``retrained.json``."""
    tried: tuple[TriedWay, ...]
    figures: tuple[JudgedScorer, ...]
    loss: Estimate
    """Loss of the new scorer minus that of the bundle's, on the newest slice; below 0 is better."""
    counts: Mapping[str, int]
    notes: tuple[str, ...]

    @property
    def chosen(self) -> TriedWay:
        """How old samples were weighed."""
        return next(way for way in self.tried if way.chosen)

    @property
    def is_worse(self) -> bool:
        """Whether the new scorer is worse than the bundle's beyond chance."""
        return self.loss.low is not None and self.loss.low > 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form, which is ``retrained.json`` too."""
        return {
            "run": str(self.run.folder),
            "bundle": self.bundle.label,
            "half_life": self.chosen.half_life,
            "warm": self.chosen.warm,
            "tried": [way.as_dict() for way in self.tried],
            "figures": [figure.as_dict() for figure in self.figures],
            "loss": self.loss.as_dict(),
            "worse": self.is_worse,
            "counts": dict(self.counts),
            "notes": list(self.notes),
        }


@on_urls
def retrain(
    old_path: Path,
    new_path: Path,
    bundle_path: Path,
    out: Path,
    *,
    encoder: Encoder,
    recipe: Recipe | None = None,
    start: Run | None = None,
    half_lives: Sequence[float | None] = HALF_LIVES,
    newest: float = 0.25,
    find: Callable[[FeatureSettings], Encoder] | None = None,
    cache: Path | None = None,
    more_labels: bool = False,
    unseen_tasks: bool = False,
    resampling: Resampling = STANDARD,
    progress: Say | None = None,
) -> Retrained:
    """Train on old and new traffic and judge the run on the newest requests.

    Parameters
    ----------
    old_path, new_path : Path
        Ingested traffic; a request of both is taken once, as the old file has it.
    bundle_path : Path
        In service today: its recipe, unless another is given, its target, and the scorer that the
        new one is compared with.
    out : Path
        Run folder; ``<out>-material`` beside it holds ``mixed.parquet`` (learned from, with its
        weights), ``newest.parquet`` (for ``promote``) and ``retrained.json``.
    encoder : Encoder
        The one that the recipe names.
    recipe : Recipe, optional
    start : Run, optional
        A run to start from, as one of the ways that are tried.
    half_lives : sequence of float or None
        To choose from; of a single one nothing is chosen.
    newest : float
        Share of the new traffic, by time, that judges.
    find, cache, more_labels, unseen_tasks
        As for :func:`~difficulty.stages.train.train`.
    resampling : Resampling
    progress : callable, optional
        Told what is being done, in a few words.

    Raises
    ------
    OutputExistsError
        If the run folder or the one beside it exists.
    InvalidValueError
        If the share or a half-life is none.
    TooFewSamplesError
        If the newest slice has too few requests, or training has.
    """
    say = progress or (lambda _: None)
    material = out.with_name(f"{out.name}{MATERIAL}")
    refuse_existing(out, what="run folder")
    refuse_existing(material, what="folder")
    if not 0.0 < newest < 1.0 or not half_lives:
        raise InvalidValueError("newest", newest, rule="be a share in (0, 1), beside a half-life")
    for half_life in half_lives:
        weights_by_age(np.array([], dtype="datetime64[us]"), half_life)
    bundle = read_bundle(bundle_path)
    wanted = _recipe_for(bundle, recipe)
    say("reading old and new traffic")
    mixture = _mixture(old_path, new_path, bundle, newest)
    with TemporaryDirectory(prefix="difficulty-") as scratch:
        trainer = _Trainer(wanted, encoder, start, find, cache, Path(scratch))
        ways = [(half_life, False) for half_life in half_lives]
        ways += [(None, True)] if start else []
        tried = _tried(mixture, ways, trainer, bundle.manifest.target, say)
        chosen = next(way for way in tried if way.chosen)
        say("training on all but the newest")
        learned = mixture.learned(chosen.half_life)
        run = trainer.run(
            learned,
            out,
            warm=chosen.warm,
            more_labels=more_labels,
            unseen_tasks=unseen_tasks,
            draws=resampling.draws,
            progress=say,
        )
    say("judging by the newest")
    figures, loss = _judged(bundle, run, mixture.newest, resampling)
    result = Retrained(
        run=run,
        bundle=bundle,
        material=material,
        tried=tried,
        figures=figures,
        loss=loss,
        counts=mixture.counts,
        notes=mixture.notes,
    )
    with whole_folder(material) as folder:
        learned.write(folder / "mixed.parquet")
        mixture.newest.write(folder / "newest.parquet")
        text = json.dumps(result.as_dict(), indent=2, ensure_ascii=False) + "\n"
        (folder / "retrained.json").write_text(text, encoding="utf-8")
    return result


def _recipe_for(bundle: Bundle, recipe: Recipe | None) -> Recipe:
    """Return the recipe, with the target of the bundle: another could not be compared."""
    form = recipe.as_dict() if recipe else dict(bundle.manifest.recipe)
    try:
        return parse_recipe({**form, "target": bundle.manifest.target}, name="the bundle's recipe")
    except DifficultyError as error:
        if recipe:
            raise
        raise RunError(
            f"the recipe of {bundle.label} is of another version ({error}). Pass --recipe."
        ) from error


class _Mixture(NamedTuple):
    """Old and new traffic: what is learned from, and the newest slice."""

    earlier: Traffic
    newest: Traffic
    counts: Mapping[str, int]
    notes: tuple[str, ...]

    @property
    def times(self) -> NDArray[np.datetime64]:
        """Times of what is learned from; NaT where unknown."""
        return _times(self.earlier)

    def learned(self, half_life: float | None, rows: IntArray | None = None) -> Traffic:
        """Return samples to learn from, weighted by their age."""
        traffic = self.earlier if rows is None else self.earlier.select(rows)
        own = np.array(traffic.column("weight"), dtype=np.float64)
        weight = own * weights_by_age(_times(traffic), half_life)
        return traffic.with_columns({"weight": weight.tolist()})


def _mixture(old_path: Path, new_path: Path, bundle: Bundle, newest: float) -> _Mixture:
    """Read both files as one, so that near-duplicates across them are tied, and set the newest
    slice apart.
    """
    new_ids, old_ids = ({*Traffic.read(path).ids} for path in (new_path, old_path))
    both = old_ids & new_ids
    if both == new_ids:
        raise TrafficError(
            f"retraining needs requests that the old traffic does not have: all {len(both):,} of"
            f" {str(new_path)!r} are in {str(old_path)!r} too. Pass the traffic that came since."
        )
    with TemporaryDirectory(prefix="difficulty-") as scratch:
        joined = Path(scratch) / "joined.parquet"
        ingest([old_path, new_path], joined, allow_rejects=True)
        traffic = Traffic.read(joined)
    is_new = np.array([name in new_ids and name not in both for name in traffic.ids], dtype=bool)
    families, times = families_of(traffic), _times(traffic)
    dated = is_new & ~np.isnat(times)
    if not dated.any():
        raise TrafficError(
            "retraining judges by the newest requests: none of the new ones has a timestamp. Add"
            " the column timestamp to the new traffic."
        )
    before = times[~is_new & ~np.isnat(times)]
    if len(before) and before.max() > times[dated].max():
        raise TrafficError(
            f"the new traffic must be newer than the old: {str(new_path)!r} ends"
            f" {times[dated].max().astype('datetime64[s]')}, and {str(old_path)!r}"
            f" {before.max().astype('datetime64[s]')}. Name the old one first, then the new one."
        )
    cut = np.sort(times[dated])[int((1.0 - newest) * dated.sum())]
    late = dated & (times >= cut)
    # A family that began earlier is learned from: its later requests would flatter the judge.
    tied = np.isin(families, families[~late])
    # What made the bundle cannot compare it with another.
    seen = overlap_of(bundle, traffic, parts=PARTS).seen
    judges = late & ~tied & ~seen
    notes = []
    if dropped := int((late & (tied | seen)).sum()):
        notes.append(
            f"{part_text(dropped, int(late.sum()), 'newest request', 'does', 'do')} not judge: tied"
            " to earlier ones, or the bundle was made from them"
        )
    if both:
        notes.append(
            f"{quantity_text(len(both), 'request is', 'requests are')} in both files,"
            " counted as old"
        )
    if undated := int(np.isnat(times).sum()):
        notes.append(
            "without a time"
            f" {quantity_text(undated, 'request weighs', 'requests weigh')} as the oldest"
        )
    n = int(judges.sum())
    if n < _LEAST_NEWEST:
        raise TooFewSamplesError(
            f"retraining judges by at least {_LEAST_NEWEST} requests from {cut} on that are tied to"
            f" no earlier one and did not make the bundle: got {n} of {int(late.sum()):,},"
            f" {int((late & tied).sum()):,} tied and {int((late & seen).sum()):,} seen. Pass more"
            " new traffic, or a larger --newest."
        )
    learned = ~judges & ~(late & ~tied)
    counts = {
        "old": int((~is_new).sum()),
        "new": int(is_new.sum()),
        "learned": int(learned.sum()),
        "newest": n,
    }
    return _Mixture(traffic.select(learned), traffic.select(judges), counts, tuple(notes))


def _times(traffic: Traffic) -> NDArray[np.datetime64]:
    """Return times in UTC; NaT where unknown."""
    column: list[datetime | None] = traffic.column("timestamp")
    naive = [None if when is None else when.replace(tzinfo=None) for when in column]
    return np.array(naive, dtype="datetime64[us]")


class _Trainer(NamedTuple):
    """What all trainings share."""

    recipe: Recipe
    encoder: Encoder
    start: Run | None
    find: Callable[[FeatureSettings], Encoder] | None
    cache: Path | None
    scratch: Path

    def run(self, traffic: Traffic, out: Path, *, warm: bool, **choices: Any) -> Run:
        """Train on some traffic."""
        path = self.scratch / f"{out.name}.parquet"
        traffic.write(path)
        run, _ = train(
            path,
            out,
            recipe=self.recipe,
            encoder=self.encoder,
            find=self.find,
            start=self.start if warm else None,
            cache=self.cache,
            **choices,
        )
        return run


def _tried(
    mixture: _Mixture,
    ways: Sequence[tuple[float | None, bool]],
    trainer: _Trainer,
    target: Target,
    say: Say,
) -> tuple[TriedWay, ...]:
    """Judge each way forward in time, and mark the one to take."""
    nothing = Estimate(value=None, note="the only way")
    if len(ways) == 1:
        [(half_life, warm)] = ways
        weight = weights_by_age(mixture.times, half_life)
        only = TriedWay(
            half_life=half_life,
            warm=warm,
            loss=None,
            behind_first=nothing,
            effective=worth(weight),
            chosen=True,
        )
        return (only,)
    folds = forward_folds(
        mixture.times, families_of(mixture.earlier), folds=_FOLDS, share=_FOLD_SHARE
    )
    judged = [mixture.earlier.select(later) for _, later in folds]
    if trainer.start:
        # What the run to start from has seen, it must not be judged by.
        unseen = [~trainer.start.seen.holds(part) for part in judged]
        judged = [part.select(rows) for part, rows in zip(judged, unseen, strict=True)]
    losses, problems = [], []
    for number, (half_life, warm) in enumerate(ways):
        say(f"forward validation, way {number + 1} of {len(ways)}")
        parts, problem = [], ""
        for fold, ((earlier, _), later) in enumerate(zip(folds, judged, strict=True)):
            try:
                run = trainer.run(
                    mixture.learned(half_life, earlier),
                    trainer.scratch / f"way{number}-{fold}",
                    warm=warm,
                    more_labels=False,
                    unseen_tasks=False,
                    draws=_LEAST_DRAWS,
                )
            except (TooFewSamplesError, TrafficError, RunError) as error:
                # A short half-life leaves too few to learn from: no way to take.
                parts.append(np.full(len(later), np.nan))
                problem = str(error)
                continue
            parts.append(_loss(_outputs_of(run, later), later, target))
        losses.append(np.concatenate(parts) if parts else np.zeros(0))
        problems.append(problem)
    weight = np.concatenate([part.outcomes.weight for part in judged])
    groups = np.concatenate([np.asarray(part.split_groups) for part in judged])
    tried = []
    for (half_life, warm), loss, problem in zip(ways, losses, problems, strict=True):
        known = ~np.isnan(loss)
        whole = not problem and known.any()
        tried.append(
            TriedWay(
                half_life=half_life,
                warm=warm,
                loss=float(np.average(loss[known], weights=weight[known])) if whole else None,
                behind_first=mean_difference(loss, losses[0], weight=weight, groups=groups),
                effective=worth(weights_by_age(mixture.times, half_life)),
                problem=problem,
            )
        )
    place = choose_way(tried)
    tried[place] = replace(tried[place], chosen=True)
    return tuple(tried)


def _outputs_of(run: Run, traffic: Traffic) -> Mapping[str, NDArray[np.floating]]:
    """Return what a run's model gives for traffic."""
    tokens = tokenize(traffic, view=run.view, tokenizer=run.tokenizer)
    return run.model.predict(tokens.ids, tokens.tasks).by_name()


def _loss(
    outputs: Mapping[str, NDArray[np.floating]], traffic: Traffic, target: Target
) -> FloatArray:
    """Return the loss of each request, NaN where its outcome is unknown: for target benefit the
    squared error of the gain, for failure the log loss of P(cheap fails).
    """
    if target == "benefit":
        gain = 2.0 * outputs["difficulty_score"].astype(np.float64) - 1.0
        return np.asarray((gain - traffic.outcomes.gain) ** 2)
    p = np.clip(outputs["p_cheap_fails"].astype(np.float64), _EDGE, 1.0 - _EDGE)
    failed = traffic.outcomes.cheap_failure
    return np.asarray(-(failed * np.log(p) + (1.0 - failed) * np.log1p(-p)))


def _judged(
    bundle: Bundle, run: Run, newest: Traffic, resampling: Resampling
) -> tuple[tuple[JudgedScorer, ...], Estimate]:
    """Compare both scorers on the newest slice."""
    graded, _ = without_forms(newest, bundle)
    traffic, _ = weighed(graded, label_settings(bundle))
    target = bundle.manifest.target
    served = score_traffic(quick_scorer(bundle, len(traffic)), traffic)
    outputs: dict[str, Mapping[str, NDArray[np.floating]]] = {
        "old": served.outputs,
        "new": _outputs_of(run, traffic),
    }
    unknown = np.full(len(traffic), np.nan)
    draws = resampling.affordable(len(traffic)).of(np.asarray(traffic.split_groups))
    figures = {
        name: figures_of(
            ScoredTraffic.of(traffic, each, served.totals, costs=(unknown, unknown), target=target),
            draws,
        )
        for name, each in outputs.items()
    }
    losses = {name: _loss(each, traffic, target) for name, each in outputs.items()}
    loss = mean_difference(
        losses["new"], losses["old"], weight=traffic.outcomes.weight, groups=traffic.split_groups
    )
    judged = tuple(
        JudgedScorer(figure=name, old=figures["old"][name], new=figures["new"][name])
        for name in _FIGURES
        if name in figures["old"] and name in figures["new"]
    )
    return judged, loss
