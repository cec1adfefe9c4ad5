"""What ``run.json`` says of a run: what was trained, on what, with which versions.

A later version may add fields, with a default, so that runs written before are read; it raises
``RUN_FORMAT`` when a field changes its meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from difficulty import __version__
from difficulty.diagnostics.signal import Signal
from difficulty.diagnostics.suspicion import LabelSummary
from difficulty.diagnostics.unfamiliar import FamiliarityAdvice
from difficulty.evaluation import TaskMeans
from difficulty.form import SavedForm
from difficulty.model.combination import Target
from difficulty.recipe import Recipe
from difficulty.traffic.logged import LoggedReport
from difficulty.training.reading import Reading

RUN_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class SplitSamples(SavedForm):
    """Samples of each split; those aside are used for nothing."""

    fit: int
    calibration: int
    test: int
    aside: int

    @property
    def beside_test(self) -> int:
        """Samples that figures of the test samples leave out."""
        return self.fit + self.calibration + self.aside


@dataclass(frozen=True, kw_only=True)
class StartRecord(SavedForm):
    """The run that a warm start continued."""

    created: str
    cheap_model: str | None
    frontier_model: str | None
    training_data: str
    samples: SplitSamples
    run: str
    """Its folder, which may have been moved since."""
    seen: int
    """Requests of the new traffic that it was fitted or calibrated on."""


@dataclass(frozen=True, kw_only=True)
class CandidateRecord(SavedForm):
    """A candidate that a search tried; figures are means over the nested folds."""

    name: str
    features: tuple[str, ...]
    changed: dict[str, Any]
    """Settings that differ from the recipe's."""
    value: float
    low: float
    high: float
    with_task: float
    without_task: float
    behind_best: float
    standard_error: float
    """Of ``behind_best``."""
    seconds: float
    chosen: bool


@dataclass(frozen=True, kw_only=True)
class SearchRecord(SavedForm):
    """What a search tried and chose; the settings are those of the recipe's section ``search``."""

    figure: str
    seed: int
    minutes: float
    folds: int
    encoders: tuple[str, ...]
    ngram_strengths: tuple[float, ...]
    embedding_strengths: tuple[float, ...]
    buckets: tuple[int, ...]
    neighbour_sharpness: tuple[float, ...]
    samples: int
    seconds: float
    chosen: str
    best: str
    tried: tuple[CandidateRecord, ...]
    untried: tuple[str, ...]
    note: str


@dataclass(frozen=True, kw_only=True)
class RunRecord(SavedForm):
    """The content of ``run.json``."""

    format: int = RUN_FORMAT
    created: str
    target: Target
    cheap_model: str | None
    frontier_model: str | None
    """Models of the traffic; ``None`` where it names none."""
    training_data: str
    """Hash of the traffic."""
    samples: SplitSamples
    task_gains: TaskMeans | None
    """Mean gain of each task among the fit samples, for the target ``benefit``."""
    recipe: Recipe
    libraries: dict[str, str]
    teacher: dict[str, Any] | None = None
    """Recipe of the teacher as its run says it, which may be of another version."""
    unlabelled: int = 0
    """Requests that have no label but the teacher's opinion."""
    start: StartRecord | None = None
    search: SearchRecord | None = None
    reading: Reading | None = None
    familiarity: FamiliarityAdvice | None = None
    logged: LoggedReport | None = None
    labels: LabelSummary | None = None
    signal: Signal | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the figures has to know."""
        return notes_of(self.logged, self.reading, self.signal, self.labels)


def notes_of(*parts: LoggedReport | Reading | Signal | LabelSummary | None) -> tuple[str, ...]:
    """Return the sentences of all parts that there are."""
    return tuple(note for part in parts if part for note in part.notes)


_LIBRARIES = ("numpy", "scipy", "scikit-learn", "tokenizers", "onnx", "onnxruntime")


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that shape a run, where they are installed."""
    versions = {"difficulty": __version__}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
