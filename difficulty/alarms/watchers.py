"""What is watched: a watcher is an entry of ``WATCHERS``.

A watcher turns daily sums into strands: columns with what they are on quiet days. How evidence is
gathered, and when it suffices, is the same for all of them, see :mod:`difficulty.alarms.watching`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from difficulty.alarms.alarm import Promises
from difficulty.alarms.day_sums import DaySums
from difficulty.alarms.quiet_weeks import (
    LEAST_GROUPS,
    around,
    common_words,
    informative_cuts,
    learn_quiet,
    tolerance_of,
)
from difficulty.alarms.sources import LARGEST_WEIGHT, SOURCES, Cuts
from difficulty.alarms.summaries import DailySummaries
from difficulty.alarms.wealth import Quiet
from difficulty.metrics.arrays import FloatArray, IntArray

RECALIBRATE = "difficulty recalibrate {logs} --bundle {bundle} -o NEXT"
RETRAIN = "difficulty retrain TRAFFIC NEWER --bundle {bundle} -o NEXT_RUN"
CALIBRATION_BOUND = 0.05
"""How far stated probabilities may be from what happens, on average."""
MOST_HIDDEN = 0.01
"""Share of replaced and unjudged cheap answers above which the judged ones are a picked part."""
PROMISE_MARGIN = 0.02
"""How far a share that is promised may be passed: weekends differ, and promises are of a mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A log that is watched.

    Attributes
    ----------
    log : DailySummaries
    reference : slice
        The first whole weeks; empty where the log has too few.
    promises : Promises
    """

    log: DailySummaries
    reference: slice
    promises: Promises

    @property
    def weekdays(self) -> IntArray:
        """Return a number from 0 to 6 for each day."""
        return np.asarray(self.log.days.astype(np.int64) % 7, dtype=np.intp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strand:
    """Columns that are watched together, and how their means are told."""

    sums: DaySums
    quiet: Quiet
    products: FloatArray | None = None
    """Where the columns are a mix, see :func:`difficulty.alarms.mixes.follow_mix`."""
    sentence: str = "{value:.1%} of {what} are {column}"
    what: str = "requests"
    shift: float = 0.0
    scale: float = 1.0
    """The mean is told as ``(mean + shift) * scale``."""

    def told(self, mean: float, column: int) -> str:
        """Return a mean as a sentence."""
        value = (mean + self.shift) * self.scale
        return self.sentence.format(value=value, what=self.what, column=self.sums.columns[column])


class Watcher(Protocol):
    """What watches one thing."""

    @property
    def subject(self) -> str:
        """Return what it is, for a sentence."""

    @property
    def weight(self) -> float:
        """Return its part of the false-alarm rate, beside those of the other watchers."""

    @property
    def answer(self) -> str:
        """Return the command that answers its alarm; ``{bundle}`` is the bundle."""

    @property
    def needs_reference(self) -> bool:
        """Return whether it compares with the log's first weeks."""

    @property
    def sudden(self) -> bool:
        """Return whether one day may be enough."""

    def strands(self, scene: Scene) -> Sequence[Strand] | str:
        """Return what to bet on, or why there is nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftWatcher:
    """Watches whether requests or answers are other ones than in the reference."""

    subject: str
    sources: Mapping[str, str]
    """Names of sources, and what their columns are shares of."""
    weight: float = 1.0
    answer: str = RECALIBRATE
    sudden: bool = False
    needs_reference: bool = True

    def strands(self, scene: Scene) -> Sequence[Strand] | str:
        """Return a strand a source that the reference knows."""
        strands, why = [], f"no request says anything of {self.subject}"
        for name, what in self.sources.items():
            sums = scene.log.sums.get(name)
            if sums is None:
                continue
            groups = int(sums.groups[scene.reference].sum())
            if groups < LEAST_GROUPS:
                why = (
                    f"the reference needs {LEAST_GROUPS} groups that say something of"
                    f" {self.subject}, and has {groups:,}"
                )
                continue
            if isinstance(SOURCES[name], Cuts):
                chosen, products = informative_cuts(sums, scene.reference), None
            else:
                chosen, products = common_words(sums, scene.reference)
            quiet = learn_quiet(chosen, scene.reference, scene.weekdays)
            strands.append(Strand(sums=chosen, quiet=quiet, products=products, what=what))
        return strands or why


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationWatcher:
    """Watches whether stated probabilities are what happens, where outcomes are known.

    What was judged may have been chosen by anything that the score knows: given the request, the
    stated probability still has to be right. Where cheap answers that were refused are not judged,
    the judged ones fail less often than is stated, and only "more often" is watched.
    """

    subject: str = "stated probabilities against outcomes"
    weight: float = 3.0
    answer: str = RECALIBRATE
    sudden: bool = True
    needs_reference: bool = False

    def strands(self, scene: Scene) -> Sequence[Strand] | str:
        """Return a strand a model."""
        strands = []
        hidden = scene.log.sums.get("hidden")
        hides = hidden is not None and float(hidden.mean()[0]) > MOST_HIDDEN
        for side in ("cheap", "frontier"):
            sums = scene.log.sums.get(f"{side}_calibration")
            if sums is None:
                continue
            quiet = around(0.5, CALIBRATION_BOUND / 2.0, sums)
            strands.append(
                Strand(
                    sums=sums,
                    # Sums hold (1 + failed - p) / 2.
                    quiet=replace(quiet, rises_only=True) if side == "cheap" and hides else quiet,
                    sentence=(
                        f"the {side} model fails {{value:+.1f}} points beside what is stated"
                        " ({column})"
                    ),
                    shift=-0.5,
                    scale=200.0,
                )
            )
        return strands or "no outcome is known of a request with a stated probability"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareWatcher:
    """Watches whether as many requests go to the frontier model as the bundle expects."""

    subject: str = "frontier share against what the bundle expects"
    weight: float = 1.0
    answer: str = RECALIBRATE
    sudden: bool = False
    needs_reference: bool = False

    def strands(self, scene: Scene) -> Sequence[Strand] | str:
        """Return the share, with the weekdays of the reference where there is one."""
        sums, ends = scene.log.sums.get("share"), scene.promises.frontier_share
        if sums is None:
            return "no request has a route"
        if ends is None:
            return "the bundle expects no share"
        middle, half = (ends[0] + ends[1]) / 2.0, (ends[1] - ends[0]) / 2.0
        tolerance = float(tolerance_of(np.array([middle]))[0])
        like = None
        if int(sums.groups[scene.reference].sum()) >= LEAST_GROUPS:
            like = learn_quiet(sums, scene.reference, scene.weekdays)
        quiet = around(middle, half + tolerance, sums, like)
        return [Strand(sums=sums, quiet=quiet, sentence="a frontier share of {value:.1%}")]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromiseWatcher:
    """Watches whether what is promised of quality is kept, on requests with outcomes."""

    subject: str = "the promise of the bundle"
    weight: float = 3.0
    answer: str = RECALIBRATE
    sudden: bool = True
    needs_reference: bool = False

    def strands(self, scene: Scene) -> Sequence[Strand] | str:
        """Return the bound that the objective set, or the quality that was expected."""
        promises, sums = scene.promises, scene.log.sums
        if promises.risk is not None:
            name, bound = "unnoticed_risk" if promises.noticed else "risk", promises.risk
            sentence = "the cheap model fails {value:.1%} of the kept requests"
        elif promises.missed is not None:
            name, bound = "missed", promises.missed
            sentence = "{value:.1%} of the kept requests needed the frontier model"
        elif promises.quality is not None:
            return self._of_quality(scene, promises.quality)
        else:
            return "the bundle promises no quality"
        if name not in sums:
            return "no kept request has the outcomes that the promise is about"
        quiet = around(bound, PROMISE_MARGIN, sums[name])
        return [Strand(sums=sums[name], quiet=_one_sided(quiet), sentence=sentence)]

    def _of_quality(self, scene: Scene, quality: float) -> Sequence[Strand] | str:
        sums = scene.log.sums.get("lost_quality")
        if sums is None:
            return "no outcome is known on both routes, so quality cannot be told"
        quiet = around((1.0 - quality) / LARGEST_WEIGHT, PROMISE_MARGIN / LARGEST_WEIGHT, sums)
        sentence = "a quality of {value:.3f}"
        return [
            Strand(
                sums=sums,
                quiet=_one_sided(quiet),
                sentence=sentence,
                shift=-1.0 / LARGEST_WEIGHT,
                scale=-LARGEST_WEIGHT,
            )
        ]


def _one_sided(quiet: Quiet) -> Quiet:
    return Quiet(
        mean=quiet.mean,
        bound=quiet.bound,
        variance=quiet.variance,
        swing=quiet.swing,
        rises_only=True,
    )


def _model(side: str) -> ShiftWatcher:
    return ShiftWatcher(
        subject=f"the {side} model's answers",
        sources={f"{side}_length": f"the {side} model's answers"},
        weight=2.0,
        sudden=True,
    )


WATCHERS: Mapping[str, Watcher] = {
    "promise": PromiseWatcher(),
    "calibration": CalibrationWatcher(),
    "share": ShareWatcher(),
    "validators": ShiftWatcher(
        subject="what validators say",
        sources={"refusals": "checked answers"},
        weight=2.0,
        answer="difficulty policy {bundle} --set 'validators=[...]' -o NEXT",
        sudden=True,
    ),
    "cheap_model": _model("cheap"),
    "frontier_model": _model("frontier"),
    "cost": ShiftWatcher(
        subject="cost per call",
        sources={
            "cheap_cost": "the cheap model's calls",
            "frontier_cost": "the frontier model's calls",
        },
        answer="difficulty thresholds {bundle} TRAFFIC --objective OBJECTIVE --prices prices.toml"
        " -o NEXT",
        sudden=True,
    ),
    "scores": ShiftWatcher(subject="scores of requests", sources={"scores": "scores"}),
    "length": ShiftWatcher(
        subject="length of requests", sources={"length": "requests"}, answer=RETRAIN
    ),
    "familiarity": ShiftWatcher(
        subject="familiarity of requests", sources={"familiarity": "familiarities"}, answer=RETRAIN
    ),
    "tasks": ShiftWatcher(
        subject="the mix of tasks", sources={"tasks": "requests"}, weight=1.5, answer=RETRAIN
    ),
    "scripts": ShiftWatcher(
        subject="the mix of scripts", sources={"scripts": "requests"}, weight=0.5, answer=RETRAIN
    ),
    "answer_check": ShiftWatcher(
        subject="scores of cheap answers",
        sources={"answer_scores": "scores of answers"},
        answer=RECALIBRATE,
    ),
}
"""What is watched, by name."""
