"""What a tracker is told of a finished step: training, an evaluation, a shipped bundle. Needs no
package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

Step = Literal["train", "evaluate", "ship"]


class TrackedData(NamedTuple):
    """The traffic that a step read."""

    path: Path
    digest: str
    """Hexadecimal; a tracker may keep its beginning."""
    rows: int
    columns: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class TrackedStep:
    """A finished step. Neither texts of requests nor what holds them stand in it."""

    step: Step
    name: str
    """By which people tell it from others."""
    note: str
    """What came of it, as Markdown: its first sentence is read in lists."""
    parameters: Mapping[str, object]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    figures: Mapping[str, Mapping[str, float | int | None]] = field(default_factory=dict)
    """Figure, then ``value``, ``low``, ``high``, ``n``."""
    files: Sequence[tuple[Path, str]] = ()
    """Files, each with the folder among the artifacts where it is kept."""
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    """PNG, by file name."""
    data: TrackedData | None = None
    run_folder: Path | None = None
    """Folder of the run that was trained, judged or shipped: what links the steps."""
    bundle: Path | None = None
    """Folder of a bundle to keep as a model that can be served."""


class TrackedRun(NamedTuple):
    """Where a step was recorded."""

    run_id: str
    name: str
    experiment: str
    uri: str
    training_run: str | None = None
    """Id of the run that recorded the training, where it is known."""


class Tracker(Protocol):
    """Where steps are recorded, for example MLflow."""

    def log(self, step: TrackedStep) -> TrackedRun:
        """Record one finished step."""
