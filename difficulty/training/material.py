"""What a model is trained on: traffic read, weighted, split, checked and tokenized, with what a
teacher says of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty import __version__
from difficulty.channels.shards import is_many
from difficulty.encoders.base import Encoder
from difficulty.engine import Engine
from difficulty.errors import RecipeError, RunError, TooFewSamplesError, TrafficError
from difficulty.evaluation import TaskMeans
from difficulty.metrics.arrays import FloatArray, effective_samples
from difficulty.metrics.coded_names import pick_names
from difficulty.model.combination import Calibration, Target
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.labelled import LabelledTokens
from difficulty.recipe import FeatureSettings, Recipe
from difficulty.text import TextView, quantity_text
from difficulty.tokens import RequestTokenizer
from difficulty.traffic.logged import LoggedReport, weigh_logged
from difficulty.traffic.outcomes import Outcomes
from difficulty.traffic.stored.splits import ASIDE, SplitNames
from difficulty.traffic.stored.tokenized import Tokenized, tokenize
from difficulty.traffic.table import Traffic
from difficulty.training.assemble import (
    build_model,
    calibration_of,
    known_tasks,
    knows_numbers,
    labelled,
    learned_rows,
)
from difficulty.training.distil import check_teacher, with_opinion, with_unlabelled
from difficulty.training.finished_parts import FinishedParts
from difficulty.training.run import Run, SearchRecord, StartRecord
from difficulty.training.search import search
from difficulty.training.view_learning import learn_view
from difficulty.training.wrapping import wrap_some

# Samples with a known outcome that each split needs.
_NEEDED = {"fit": 60, "calibration": 20}
_ENOUGH_IN_ALL = 200
_LEAST_OF_EACH = 5
_LEAST_GRADED = 200
"""With fewer graded answers, checks of the form are learned from beside them."""
# Differences of equal qualities round.
_LEAST_SPREAD = 1e-9

Progress = Callable[[str], None]


def counted(say: Progress, what: str, total: int) -> Callable[[int], None]:
    """Return what tells of rows done: how many, at what rate, and how long the rest will take; no
    more than once a second.
    """
    begun = told = time.monotonic()

    def show(done: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told < 1.0 or not done:
            return
        told = now
        rate = done / max(now - begun, 1e-9)
        left = max(0.0, (total - done) / rate)
        say(f"{what}: {done:,}, {rate:,.0f} a second, {left:,.0f} s left")

    return show


def choose_target(
    wanted: Literal["auto", "benefit", "failure"], outcomes: Outcomes, splits: SplitNames
) -> Target:
    """Return the target: benefit where both outcomes are known of enough samples to learn from."""
    if wanted != "auto":
        return wanted
    has_gain = ~np.isnan(outcomes.gain)
    enough = all(np.sum(has_gain[splits == split]) >= least for split, least in _NEEDED.items())
    return "benefit" if enough else "failure"


def check_outcomes(outcomes: Outcomes, splits: SplitNames, target: Target) -> None:
    """Refuse traffic that nothing can be learned from."""
    if target == "benefit":
        wanted, needed, value = outcomes.gain, "both outcomes", "gain of the frontier model"
    else:
        wanted, needed = outcomes.cheap_failure, "the cheap model's outcome"
        value = "outcome of the cheap model"
    labelled = ~np.isnan(wanted)
    for split, least in _NEEDED.items():
        rows = labelled & (splits == split)
        n, worth = int(rows.sum()), effective_samples(outcomes.weight[rows])
        if not (splits == split).any() and labelled.sum() >= _ENOUGH_IN_ALL:
            raise TooFewSamplesError(
                f"training needs at least {least} {split} samples: no group of the"
                f" {len(labelled):,} samples fell into that split. Part the traffic into more"
                " groups, or change seed in the recipe."
            )
        if n < least:
            raise TooFewSamplesError(
                f"training needs at least {least} {split} samples with {needed} known, about 200 in"
                f" all: got {n} of {len(labelled):,}. Add labels."
            )
        if worth < least:
            raise TooFewSamplesError(
                f"training needs {split} samples worth at least {least} equally weighted ones: got"
                f" {n:,} worth {worth:.0f}, so uneven are their weights. Lower"
                " labels.largest_weight, check the column weight, or log more traffic."
            )
    if np.ptp(wanted[labelled & (splits == "fit")]) < _LEAST_SPREAD:
        raise TooFewSamplesError(
            f"training needs samples that differ: every known {value} is equal. Check the outcome"
            " columns."
        )
    _check_failures(outcomes.cheap_failure[splits == "fit"])
    if target == "benefit":
        _check_gap(outcomes)


def _check_failures(failure: FloatArray) -> None:
    # Whatever the target is, p_cheap_fails is learned too, and needs both classes.
    failed, fine = int((failure > 0).sum()), int((failure < 1).sum())
    if min(failed, fine) < _LEAST_OF_EACH:
        rarer = "failures" if failed < fine else "good answers"
        raise TooFewSamplesError(
            f"training needs at least {_LEAST_OF_EACH} failures and {_LEAST_OF_EACH} good answers"
            f" of the cheap model among the fit samples: got {min(failed, fine)} {rarer}. Add"
            " labels, or check the column cheap_quality."
        )


def _check_gap(outcomes: Outcomes) -> None:
    rows = ~np.isnan(outcomes.gain)
    gap = float(np.average(outcomes.gain[rows], weights=outcomes.weight[rows]))
    if gap <= 0:
        raise TrafficError(
            "the frontier model must be better than the cheap one for routing to pay: its mean"
            f" quality is {-gap:.3f} lower. Check that the two quality columns are not swapped; if"
            " they are right, send everything to the cheap model."
        )


def check_start(start: Run, recipe: Recipe, encoder: Encoder) -> None:
    """Refuse a run whose vectors are not those of the recipe.

    Raises
    ------
    RunError
        If the encoder (and with it the vocabulary), the features or the text settings differ, or
        the recipe searches for features.
    """
    if recipe.search:
        raise RunError(
            "a warm start keeps the features of the run: got a recipe that searches for features."
            " Leave the recipe out."
        )
    if start.encoder.digest != encoder.digest:
        raise RunError(
            f"a warm start needs the encoder of the run, {start.encoder.digest[:12]}: got"
            f" {encoder.digest[:12]}. Leave out --recipe, name the run's encoder folder in it"
            f" ({str(start.folder / 'encoder')!r}), or train without --start-from."
        )
    for section in ("features", "text"):
        ours, theirs = (getattr(each, section).as_dict() for each in (recipe, start.recipe))
        # The encoder may be another folder with the same content: its digest was compared.
        for key in sorted((ours.keys() | theirs.keys()) - {"encoder"}):
            if ours.get(key) != theirs.get(key):
                raise RunError(
                    f"a warm start needs {section}.{key} as in the run, {theirs.get(key)!r}: got"
                    f" {ours.get(key)!r}. Use the run's recipe, or train without --start-from."
                )


class StartedSplits(NamedTuple):
    """The splits of traffic that starts from another run."""

    splits: SplitNames
    asks_again: bool
    """Whether requests that the run saw are learned from: another cheap model answered them."""


def split_started(traffic: Traffic, start: Run, recipe: Recipe) -> StartedSplits:
    """Return which samples are learned from and judged by, no test sample among those that the run
    was fitted or calibrated on.

    Where enough other requests are left, those that the run saw are set aside: it knows their
    outcomes by heart. Where not, and another cheap model answered them, they have new outcomes and
    are learned from; the splits come from the same hash, so that what the run was tested on is what
    the new one is tested on. Traffic of those requests alone is split by another hash.

    Raises
    ------
    RunError
        If too few are left, and those that it saw cannot be learned from.
    """
    seen = start.seen.holds(traffic)
    splits = traffic.splits(recipe.split.fractions, recipe.seed)
    if _falls_short(splits):
        other = traffic.splits(recipe.split.fractions, recipe.seed + 1)
        if not _falls_short(np.where(seen, ASIDE, other)):
            return StartedSplits(np.where(seen, ASIDE, other), False)
    left = np.where(seen, ASIDE, splits)
    # Where the traffic itself is too small, that is what is said of it later.
    if not _falls_short(left) or _falls_short(splits):
        return StartedSplits(left, False)  # set aside, not dropped: rows keep their numbers
    _refuse_same_answers(traffic, start, n_seen=int(seen.sum()), left=int((left == "fit").sum()))
    if not (~seen & (splits == "test")).any():
        raise RunError(
            "a warm start on requests that the run saw needs others to judge by: it saw all"
            f" {len(traffic):,}, or those that it did not see are in no test split. Answer those of"
            f" {str(start.folder / 'test.parquet')!r} by the new model too, and split by the run's"
            " seed and fractions."
        )
    return StartedSplits(np.where(seen & (splits == "test"), ASIDE, splits), True)


def _falls_short(splits: SplitNames) -> bool:
    """Return whether there are too few samples to learn from, whatever is known of them."""
    return any(int((splits == split).sum()) < least for split, least in _NEEDED.items())


def _refuse_same_answers(traffic: Traffic, start: Run, *, n_seen: int, left: int) -> None:
    """Refuse to learn again from requests that the run saw, unless a check of answers is carried
    over to another cheap model.
    """
    saw = (
        f"it saw {n_seen:,} of {quantity_text(len(traffic), 'request')}, and {left} fit"
        " samples are left"
    )
    if start.check is None:
        raise RunError(
            f"a warm start needs requests that the run did not see, at least {_NEEDED['fit']} fit"
            f" and {_NEEDED['calibration']} calibration samples: {saw}. The run has no check of"
            " answers that could be carried over. Train without --start-from, or label other"
            " requests."
        )
    pair = traffic.model_pair
    names = (pair[0] if pair else None, start.record.cheap_model)
    if None in names or names[0] == names[1]:
        raise RunError(
            "a warm start learns from requests that the run saw only where another cheap model"
            f" answered them: {saw}, and the cheap models are {names[1]!r} and {names[0]!r}. Name"
            " the new one in cheap_model, label other requests, or train without --start-from."
        )


def start_record(start: Run, traffic: Traffic, *, asks_again: bool) -> StartRecord:
    """Return what the new run remembers of the one it started from."""
    record = start.record
    return StartRecord(
        created=record.created,
        cheap_model=record.cheap_model,
        frontier_model=record.frontier_model,
        training_data=record.training_data,
        samples=record.samples,
        run=str(start.folder),
        seen=int(start.seen.holds(traffic).sum()),
        asks_again=asks_again,
    )


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a model is trained on.

    Attributes
    ----------
    recipe : Recipe
        As given, or what a search chose.
    encoder : Encoder
        The one that the recipe names.
    traffic : Traffic
        All samples, logged ones weighted.
    data_hash : str
        Of the traffic as it was read.
    splits : ndarray of shape (n,)
        Split of each sample.
    view : TextView
        How requests are read, with what version 2 learned from the fit samples.
    tokens : Tokenized
        Token ids of all samples.
    fit, calibration : LabelledTokens
        The two splits that are learned from; unlabelled requests that a teacher judged stand after
        the fit samples.
    how : {"split", "cross"}
        How the recipe calibrates these samples.
    logged : LoggedReport or None
        How logged samples were weighted.
    ungraded : int
        Samples that lost a check of the form as their outcome, as others were graded.
    searched : SearchRecord or None
        What a search tried.
    asks_again : bool
        Whether requests that ``start`` saw are learned from, with the outcomes of another cheap
        model. The score then begins anew: what ``start`` says of requests that it saw is no
        measure of what it says of others. Its check of answers is carried over.
    engine : Engine or None
        Where blocks of texts are read; ``None``: in this process.
    parts : FinishedParts
        What is kept beside an unfinished run.
    """

    recipe: Recipe
    encoder: Encoder
    traffic: Traffic
    data_hash: str
    splits: SplitNames
    target: Target
    view: TextView
    tokenizer: RequestTokenizer
    tokens: Tokenized
    fit: LabelledTokens
    calibration: LabelledTokens
    how: Calibration
    logged: LoggedReport | None = None
    ungraded: int = 0
    searched: SearchRecord | None = None
    start: Run | None = None
    asks_again: bool = False
    teacher: Run | None = None
    engine: Engine | None = None
    parts: FinishedParts = field(default_factory=FinishedParts)

    @cached_property
    def learned(self) -> LabelledTokens:
        """The samples that heads learn from: those to fit, and with ``how="cross"`` those to
        calibrate after them.
        """
        return self.fit.joined(self.calibration) if self.how == "cross" else self.fit

    @property
    def learned_rows(self) -> NDArray[np.intp]:
        """Places of those of them that have labels, in order."""
        return learned_rows(self.splits, self.how)

    def learned_ids(self) -> Iterator[str]:
        """Yield their ids."""
        return self.traffic.select(self.learned_rows).each("id")

    @property
    def n_unlabelled(self) -> int:
        """Number of requests without labels among the fit samples."""
        return len(self.fit) - int((self.splits == "fit").sum())

    @property
    def task_means(self) -> TaskMeans | None:
        """Mean gain of each task among the samples that heads learn from, for target benefit."""
        if self.target != "benefit":
            return None
        rows, outcomes = self.learned_rows, self.traffic.outcomes
        tasks = pick_names(self.traffic.tasks, rows)
        return TaskMeans.fit(tasks, outcomes.gain[rows], weight=outcomes.weight[rows])

    def rows(self, split: str) -> NDArray[np.intp]:
        """Return the places of a split's samples."""
        return np.flatnonzero(self.splits == split)


def gather(
    traffic_path: Path,
    recipe: Recipe,
    encoder: Encoder,
    *,
    find: Callable[[FeatureSettings], Encoder] | None,
    start: Run | None,
    teacher: Run | None,
    unlabelled: Path | None,
    progress: Progress,
    engine: Engine | None = None,
    parts: FinishedParts | None = None,
) -> Material:
    """Read traffic and make it what a recipe's model is trained on; the parameters are those of
    :func:`~difficulty.stages.train.train`.
    """
    # Everything that can be refused is refused before the traffic is read, which may take minutes.
    if start and recipe.features.finetune:
        raise RecipeError(
            "a fine-tuned encoder cannot start from another run. Leave out --start-from, or use"
            " another recipe."
        )
    if start:
        check_start(start, recipe, encoder)
    progress("reading traffic")
    parts = parts or FinishedParts()
    read = Traffic.read(traffic_path)
    check_teacher(recipe, teacher, read, unlabelled)
    graded, ungraded = read.without_forms(least=_LEAST_GRADED)
    if not is_many(len(read)):  # processes take longer to start than to read so few
        engine = None
    # Before the split: what selects outcomes is a property of all rows.
    traffic, logged = weigh_logged(graded, recipe.labels)
    if start:
        splits, asks_again = split_started(traffic, start, recipe)
    else:
        splits, asks_again = traffic.splits(recipe.split.fractions, recipe.seed), False
    target = choose_target(recipe.target, traffic.outcomes, splits)
    check_outcomes(traffic.outcomes, splits, target)
    how = calibration_of(recipe, _n_labelled(traffic.outcomes, splits, target))
    # By the fit samples alone: calibration and test must not choose the features they judge.
    asked, fitted = traffic, np.flatnonzero(splits == "fit")
    if recipe.augment:
        asked = wrap_some(traffic, fitted, recipe.augment, seed=recipe.seed)
    # Heads that go on from another run's read what that run read.
    view = start.view if start else learn_view(recipe, asked, fitted, data_hash=read.data_hash)
    recipe, encoder, searched = _search(
        recipe, encoder, find, traffic, splits == "fit", view=view, target=target, progress=progress
    )
    # By the recipe that a search chose: searched for some minutes, it may choose another.
    if is_many(len(read)) and not recipe.features.finetune:
        parts.claim(_key(read, recipe, encoder, start, teacher, unlabelled))
    progress(f"tokenizing {len(traffic):,} requests")
    tokenizer = _tokenizer(recipe, encoder)

    def read_tokens() -> dict[str, NDArray[Any]]:
        show = counted(progress, f"tokenizing {len(traffic):,} requests", len(traffic))
        tokens = tokenize(asked, view=view, tokenizer=tokenizer, engine=engine, progress=show)
        return tokens.as_arrays()

    arrays = parts.arrays("tokens", read_tokens)
    tokens = Tokenized.of_arrays(arrays, traffic.tasks, tokenizer.digest)
    fit, calibration = (
        labelled(traffic, tokens, splits == split) for split in ("fit", "calibration")
    )
    if teacher:
        progress("asking the teacher")
        fit = _with_teacher(
            recipe, fit, traffic, splits, teacher, unlabelled, view=view, tokenizer=tokenizer
        )
    return Material(
        recipe=recipe,
        encoder=encoder,
        traffic=traffic,
        data_hash=read.data_hash,
        splits=splits,
        target=target,
        view=view,
        tokenizer=tokenizer,
        tokens=tokens,
        fit=fit,
        calibration=calibration,
        how=how,
        logged=logged,
        ungraded=ungraded,
        searched=searched,
        start=start,
        asks_again=asks_again,
        teacher=teacher,
        engine=engine,
        parts=parts,
    )


def _key(
    traffic: Traffic,
    recipe: Recipe,
    encoder: Encoder,
    start: Run | None,
    teacher: Run | None,
    unlabelled: Path | None,
) -> dict[str, Any]:
    """Return what decides a run, but for how it is judged."""
    return {
        "package": __version__,
        "traffic": traffic.data_hash,
        "recipe": recipe.as_dict(),
        "encoder": encoder.digest,
        "runs": [run and run.record.as_dict() for run in (start, teacher)],
        "unlabelled": sha256(unlabelled.read_bytes()).hexdigest() if unlabelled else None,
    }


def _n_labelled(outcomes: Outcomes, splits: SplitNames, target: Target) -> int:
    """Return how many fit and calibration samples have the outcome that the target needs."""
    wanted = outcomes.gain if target == "benefit" else outcomes.cheap_failure
    return int((~np.isnan(wanted))[learned_rows(splits, "cross")].sum())


def _tokenizer(recipe: Recipe, encoder: Encoder) -> RequestTokenizer:
    return RequestTokenizer.from_file(encoder.tokenizer_path, max_tokens=recipe.text.max_tokens)


def _with_teacher(
    recipe: Recipe,
    fit: LabelledTokens,
    traffic: Traffic,
    splits: SplitNames,
    teacher: Run,
    unlabelled: Path | None,
    *,
    view: TextView,
    tokenizer: RequestTokenizer,
) -> LabelledTokens:
    """Return the fit samples with the teacher's opinion, and the unlabelled requests it judged."""
    assert recipe.distil  # check_teacher has seen to it
    share, names = recipe.distil.share, traffic.select(splits == "fit").ids
    fit = with_opinion(fit, names, teacher.out_of_fold, share=share, target=teacher.model.target)
    if unlabelled is None:
        return fit
    return with_unlabelled(
        fit, unlabelled, teacher, view=view, tokenizer=tokenizer, labelled=traffic, share=share
    )


def _search(
    recipe: Recipe,
    encoder: Encoder,
    find: Callable[[FeatureSettings], Encoder] | None,
    traffic: Traffic,
    chosen: NDArray[np.bool_],
    *,
    view: TextView,
    target: Target,
    progress: Progress,
) -> tuple[Recipe, Encoder, SearchRecord | None]:
    """Return recipe and encoder as they are, or what a search chose by the fit samples, with its
    report; others are not even tokenized.
    """
    if not recipe.search:
        return recipe, encoder, None
    fitted = traffic.select(chosen)

    def read(encoder: Encoder) -> LabelledTokens:
        tokens = tokenize(fitted, view=view, tokenizer=_tokenizer(recipe, encoder))
        return labelled(fitted, tokens, np.ones(len(fitted), dtype=np.bool_))

    def build(recipe: Recipe, encoder: Encoder, fit: LabelledTokens) -> DifficultyModel:
        tasks, numbers = known_tasks(recipe, fit), knows_numbers(recipe, fit)
        return build_model(recipe, encoder, target, tasks=tasks, numbers=numbers)

    result = search(
        recipe, encoder, read=read, build=build, target=target, find=find, progress=progress
    )
    return result.recipe, result.encoder, result.report
