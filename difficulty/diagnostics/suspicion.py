"""What a check of the labels found: groups of samples, single samples, and the report that lists
them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np

from difficulty.errors import RunError
from difficulty.form import Record, SavedForm
from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.text import quantity_text

Model: TypeAlias = Literal["cheap", "frontier"]
Scope: TypeAlias = Literal["task", "region", "row"]
MOST_QUALITY = 0.2
"""A label is suspicious only where its own probability is below this: a label at odds with a
toss-up says nothing.
"""
LEAST_OF_EACH = 10
# Qualities within this of 0 or 1 count as failed or good; those between are not judged.
_SURE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspiciousGroup(SavedForm):
    """Samples whose labels are implausible together.

    Attributes
    ----------
    scope : {"task", "region"}
        A task, or the samples on which the score expects the frontier model to lose.
    name : str
        The task's name, or what the region is.
    model : {"cheap", "frontier"}
        Whose outcomes are in doubt.
    n : int
        Samples that were tested.
    rate : float
        Share of them that the model is marked as failing.
    expected, low, high : float
        The share that the other samples make plausible, and its 95 % interval.
    p_value : float
        Chance of a finding at least as strong among all those tested when no label is wrong.
    """

    scope: Literal["task", "region"]
    name: str
    model: Model
    n: int
    rate: float
    expected: float
    low: float
    high: float
    p_value: float

    @property
    def why(self) -> str:
        """What is implausible, in one sentence."""
        marked = (
            f"the {self.model} model is marked as failing on {self.rate:.0%} of"
            f" {quantity_text(self.n, 'sample')}"
        )
        plausible = (
            f"make {self.expected:.0%} plausible ({self.low:.0%} to {self.high:.0%}; p ="
            f" {self.p_value:.1g})"
        )
        if self.scope == "task":
            return f"task {self.name!r}: {marked}, where the other tasks {plausible}"
        return f"{self.name}: {marked}, where the cheap model's own failures {plausible}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspiciousLabel(Record):
    """One label to look at.

    Attributes
    ----------
    id, task, split : str
        The sample; ``task`` is ``None`` where it has none.
    model : {"cheap", "frontier"}
        Whose outcome it is.
    label : float
        The quality that was given, in [0, 1].
    p_fails : float
        Probability that the model fails here, from samples other than this one; for groups the
        share that is plausible.
    label_quality : float
        Probability of the given label; small is suspicious.
    scope : {"task", "region", "row"}
        Whether it is suspicious with its task, with a region, or alone.
    why : str
        The reason, in words.
    """

    id: str
    task: str | None
    split: str
    model: Model
    label: float
    p_fails: float
    label_quality: float
    scope: Scope
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspiciousCounts(SavedForm):
    """Samples that are suspicious in each scope."""

    task: int = 0
    region: int = 0
    row: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSummary(SavedForm):
    """What run.json holds of a :class:`LabelReport`: no sample by itself."""

    _also = ("why",)

    checked: int
    suspicious: SuspiciousCounts = SuspiciousCounts()
    by_task: dict[str, dict[str, int]]
    """Task to suspicious samples by scope, the task with most first."""
    groups: tuple[SuspiciousGroup, ...] = ()

    @property
    def why(self) -> tuple[str, ...]:
        """What is implausible of each group, in one sentence."""
        return tuple(group.why for group in self.groups)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of figures has to know."""
        return tuple(f"Suspicious labels: {why}." for why in self.why)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelReport:
    """Everything that was found, the strongest suspicion first.

    Attributes
    ----------
    labels : tuple of SuspiciousLabel
        Those of groups first, then single ones by ``label_quality``.
    checked : int
        Samples that were looked at.
    """

    groups: tuple[SuspiciousGroup, ...]
    labels: tuple[SuspiciousLabel, ...]
    checked: int

    def ids(self, scopes: Iterable[Scope]) -> set[str]:
        """Return the samples that are suspicious in one of some scopes."""
        wanted = set(scopes)
        return {label.id for label in self.labels if label.scope in wanted}

    def summary(self) -> LabelSummary:
        """Count samples by scope and by task."""
        scopes: tuple[Scope, ...] = get_args(Scope)
        return LabelSummary(
            checked=self.checked,
            suspicious=SuspiciousCounts(**{scope: len(self.ids([scope])) for scope in scopes}),
            by_task=_by_task(self.labels),
            groups=self.groups,
        )

    def write(self, path: Path) -> None:
        """Write one JSON object a label."""
        lines = [json.dumps(label.as_dict()) + "\n" for label in self.labels]
        path.write_text("".join(lines), encoding="ascii")


def read_suspicious(path: Path, scopes: Iterable[Scope]) -> set[str]:
    """Return the ids of the samples that a report lists in one of some scopes.

    Raises
    ------
    RunError
        If the report is missing or damaged.
    """
    wanted = set(scopes)
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]
        return {row["id"] for row in rows if row["scope"] in wanted}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"the report of suspicious labels {str(path)!r} cannot be read ({error}). Train again."
        ) from error


def _by_task(labels: Sequence[SuspiciousLabel]) -> dict[str, dict[str, int]]:
    """Return, for each task, its suspicious samples by scope; the task with most first."""
    # A sample may be listed for both models; it counts once.
    distinct = {(label.id, label.task or "", label.scope) for label in labels}
    counts = Counter((task, scope) for _, task, scope in distinct)
    totals = Counter(task for _, task, _ in distinct)
    return {
        task or "(none)": {scope: n for (name, scope), n in sorted(counts.items()) if name == task}
        for task, _ in sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    }


def unlikely_labels(p_fails: FloatArray, quality: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the samples whose label is probably wrong, least likely label first, and the
    probability of every label.

    Parameters
    ----------
    p_fails : ndarray of shape (n,)
        Probability that the model fails, predicted without the sample itself.
    quality : ndarray of shape (n,)
        The labels, in [0, 1]; NaN where unknown.

    Returns
    -------
    rows : ndarray of int
        Found by confident learning, and less than one in five likely. Requests differ in more than
        a text tells, so most of them are surprises, not mistakes: how many are wrong cannot be
        told from the predictions, which have learned the wrong labels too (measured: none to 61 %).
    label_quality : ndarray of shape (n,)
        Probability of each label; NaN where it is unknown or between good and failed.
    """
    from cleanlab.filter import find_label_issues  # loads pandas and datasets

    failed_or_good = [quality <= _SURE, quality >= 1.0 - _SURE]
    likely = np.select(failed_or_good, [p_fails, 1.0 - p_fails], default=np.nan)
    sure = np.flatnonzero(~np.isnan(likely))
    failed = (quality[sure] < 0.5).astype(np.int64)
    # Confident learning needs some of each class to know what it is confident about.
    if min(failed.sum(), len(failed) - failed.sum()) < LEAST_OF_EACH:
        return np.zeros(0, dtype=np.intp), likely
    probabilities = np.column_stack([1.0 - p_fails[sure], p_fails[sure]])
    issues = find_label_issues(failed, probabilities, filter_by="confident_learning", n_jobs=1)
    rows = sure[issues & (likely[sure] < MOST_QUALITY)]
    return rows[np.argsort(likely[rows], kind="stable")], likely
